# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The result looks like the input: same renderer, stretch and bands, beside it in the layer tree. So they compare at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qgis.core import (
    QgsLayerTreeGroup,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsRasterRenderer,
    QgsReadWriteContext,
)
from qgis.PyQt.QtXml import QDomDocument

from sr_geo_plugin.compat import ALPHA_BAND
from sr_geo_plugin.layers import band_names

_BAND_SETTERS = ("setInputBand", "setGrayBand", "setBand")
"""How the renderers of one band call it: all from QGIS 3.38 on; grey; pseudocolour and hillshade."""


@dataclass(frozen=True)
class Style:
    """How a raster layer is drawn, taken down so that it outlives the layer."""

    document: QDomDocument
    bands: tuple[str, ...]
    """Descriptions of the layer's bands, without their numbers."""
    used: tuple[int, ...]
    """Bands that are drawn, from 1."""
    nodata: tuple[tuple[bool, list[Any]], ...]
    """For each band, whether the file's own nodata value holds, and the user's further ones."""

    @staticmethod
    def of(layer: QgsRasterLayer) -> Style:
        """The style of a layer as it is drawn now."""
        document = QDomDocument("qgis")
        layer.exportNamedStyle(document, QgsReadWriteContext(), _categories())
        provider, numbers = layer.dataProvider(), range(1, layer.bandCount() + 1 if layer.isValid() else 1)
        renderer = layer.renderer()
        return Style(
            document,
            picture_bands(layer),
            () if renderer is None else tuple(renderer.usesBands()),
            tuple((provider.useSourceNoDataValue(number), list(provider.userNoDataValues(number))) for number in numbers),
        )

    def apply(self, result: QgsRasterLayer) -> bool:
        """Draw `result` the same way.

        The stretch is written down as numbers: "cumulative cut of the visible part" would give other ones for each of the two layers.

        Returns:
            False where a band that the style draws is not in `result`; its own style is left as it is then.
        """
        numbers = same_bands(self.bands, picture_bands(result))
        if not self.used or any(band not in numbers for band in self.used):
            return False
        done, _ = result.importNamedStyle(self.document, _categories())
        renderer = result.renderer()
        if not done or renderer is None:
            return False
        chosen_alpha = 0 < renderer.alphaBand() <= len(self.bands)
        _draw_bands(renderer, numbers)
        if not chosen_alpha:  # the result's own holes: it may have some where the source has none
            renderer.setAlphaBand(alpha_band(result) or -1)
        renderer.setMinMaxOrigin(QgsRasterMinMaxOrigin())  # "user defined"
        for number, (of_file, of_user) in enumerate(self.nodata[: len(self.bands)], start=1):
            if number in numbers:
                result.dataProvider().setUseSourceNoDataValue(numbers[number], of_file)
                result.dataProvider().setUserNoDataValue(numbers[number], of_user)
        result.emitStyleChanged()
        return True


def copy_style(source: QgsRasterLayer, result: QgsRasterLayer) -> bool:
    """Draw `result` as `source` is drawn now; see `Style.apply`."""
    return Style.of(source).apply(result)


def same_bands(source: Sequence[str], result: Sequence[str]) -> dict[int, int]:
    """Number in the result of each band of the source, both from 1; bands that the result lacks are left out.

    Args:
        source: descriptions of the bands of the source.
        result: of the result. As many bands are the same bands; of fewer, the descriptions tell.
    """
    if len(source) == len(result):
        return {number: number for number in range(1, len(source) + 1)}
    found = {}
    for number, name in enumerate(source, start=1):
        if name and source.count(name) == 1 and result.count(name) == 1:
            found[number] = result.index(name) + 1
    return found


def picture_bands(layer: QgsRasterLayer) -> tuple[str, ...]:
    """Descriptions of the bands without the alpha band, which is the last: QGIS shows the mask of a file as one."""
    names = band_names(layer)
    return tuple(names[:-1] if alpha_band(layer) == len(names) else names)


def alpha_band(layer: QgsRasterLayer) -> int:
    """Number of the band that says where there is data, from 1; 0: none."""
    provider, count = layer.dataProvider(), layer.bandCount()
    return next((number for number in range(count, 0, -1) if provider.colorInterpretation(number) == ALPHA_BAND), 0)


def add_above(project: QgsProject, result: QgsMapLayer, source_id: str, *, beside: Iterable[str] = ()) -> bool:
    """Put a layer into the project, right above the source and in its group.

    Args:
        project: to put it into.
        result: not yet in a project.
        source_id: id of the layer that it was made from.
        beside: ids of layers to be tried next where the source is gone.

    Returns:
        False where none of them is in the project any more; the layer is then on top of the tree.
    """
    root = project.layerTreeRoot()
    nodes = (root.findLayer(layer_id) for layer_id in (source_id, *beside))
    node = next((node for node in nodes if node is not None), None)
    project.addMapLayer(result, False)
    group: QgsLayerTreeGroup = root if node is None else node.parent()
    group.insertLayer(0 if node is None else group.children().index(node), result)
    return node is not None


def _categories() -> QgsMapLayer.StyleCategories:
    return QgsMapLayer.StyleCategory.Symbology | QgsMapLayer.StyleCategory.Rendering


def _draw_bands(renderer: QgsRasterRenderer, numbers: Mapping[int, int]) -> None:
    """Change the numbers of the bands that a renderer draws, and of their stretches."""
    if isinstance(renderer, QgsMultiBandColorRenderer):
        for band, put in (
            (renderer.redBand(), renderer.setRedBand),
            (renderer.greenBand(), renderer.setGreenBand),
            (renderer.blueBand(), renderer.setBlueBand),
        ):
            if band in numbers:
                put(numbers[band])
    elif renderer.usesBands():
        put: Any = next((getattr(renderer, name) for name in _BAND_SETTERS if hasattr(renderer, name)), None)
        if put is not None:
            put(numbers[renderer.usesBands()[0]])
    if renderer.alphaBand() in numbers:
        renderer.setAlphaBand(numbers[renderer.alphaBand()])
