# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""From raster layers of QGIS to files that another program can read: the file itself, or a copy where there is none that says the same.

The functions are called in a background thread, with layers or sources that belong to it (Processing takes care of that), or
with a clone of a layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsProviderRegistry,
    QgsRasterBlockFeedback,
    QgsRasterFileWriter,
    QgsRasterInterface,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)
from qgis.PyQt.QtCore import Qt

from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import Cancelled, WorkerError

MOST_PIXELS = 400_000_000
"""Of a copy: some 20 000 × 20 000 pixels. What is larger is better exported once, by the user."""

_NOT_IN_WHEELS = (".ecw", ".sid")
"""Formats that QGIS reads by drivers which the worker's GDAL does not have."""
_TEXT_PICTURES = ("wms", "arcgismapserver")
"""Providers that give drawn pictures: colours, no measurements."""

ROLES = {
    "blue": ("b", "blue", "b2", "b02"),
    "green": ("g", "green", "b3", "b03"),
    "red": ("r", "red", "b4", "b04"),
    "nir": ("nir", "b8", "b08"),
}
"""Names that bands of a copy are known by; those of a file are read by the worker, which knows many more."""


@dataclass(frozen=True)
class RasterSource:
    """A raster as the worker gets it."""

    path: str
    """What GDAL opens."""
    bands: dict[str, int] = field(default_factory=dict)
    """Role → number from 1, where the file itself no longer says so."""
    copied: bool = False

    @property
    def options(self) -> list[str]:
        """Words of the command line that say which band is which."""
        return ["--bands", ",".join(f"{role}={number}" for role, number in self.bands.items())] if self.bands else []


def raster_source(layer: QgsRasterLayer, folder: Path, *, extent: QgsRectangle | None = None, feedback: Any = None) -> RasterSource:
    """The layer's file, or a copy in `folder` where no file says the same as the layer.

    A copy is made of layers that are in memory or on a server of data (WCS, PostGIS), and of files whose CRS or nodata the user has
    changed in the layer's properties: the layer is right then, for it is what the user sees. GDAL copies what it can open itself, with
    band names, scales and data type; the rest is copied by QGIS, as the numbers that the layer shows.

    Args:
        layer: valid, of this thread.
        folder: for the copy.
        extent: the part that is needed, in the layer's CRS: a copy has no more. Default: all.
        feedback: a QgsFeedback that can cancel the copying.

    Raises:
        WorkerError: it cannot be had, with what to do.
    """
    name = layer.name()
    if not layer.isValid() or layer.dataProvider() is None:
        _check_there(layer.source().partition("|")[0])
        raise WorkerError(tr("{layer}: the layer cannot be read; repair its source or remove it.").format(layer=name))
    kind = layer.dataProvider().name()
    if kind in _TEXT_PICTURES:
        words = tr("{layer}: a map from a server holds colours, not measurements; download the imagery itself and add it as a file.")
        raise WorkerError(words.format(layer=name))
    times = layer.temporalProperties()
    if times is not None and times.isActive() and layer.dataProvider().temporalCapabilities().hasTemporalCapabilities():
        raise WorkerError(
            tr("{layer}: its picture changes with time; export the moment that you need as a GeoTIFF and take that.").format(layer=name)
        )
    path = _file_of(layer) if kind == "gdal" else None
    if path is not None and _says_the_same(layer):
        return RasterSource(path)
    return _copy(layer, folder, extent=extent, feedback=feedback)


def _file_of(layer: QgsRasterLayer) -> str | None:
    """What GDAL opens for a layer; None where only QGIS can (memory, passwords, options of the driver)."""
    uri = layer.dataProvider().dataSourceUri()
    parts = QgsProviderRegistry.instance().decodeUri("gdal", uri)
    path = str(parts.get("path") or uri)
    if "/vsimem/" in uri or uri.startswith("MEM:") or "authcfg" in uri or parts.get("openOptions") or parts.get("credentialOptions"):
        return None
    if parts.get("layerName"):  # a layer inside a GeoPackage
        return f"GPKG:{path}:{parts['layerName']}" if path.lower().endswith(".gpkg") else None
    if path.lower().endswith(_NOT_IN_WHEELS):
        return None
    if parts.get("vsiPrefix"):
        return uri.partition("|")[0]
    _check_there(path)
    return str(Path(path).absolute()) if Path(path).exists() else path  # the worker runs in another folder


def _check_there(path: str) -> None:
    if Path(path).is_absolute() and not path.startswith("/vsi") and not Path(path).exists():
        raise WorkerError(tr("{path}: the file is no longer there; put it back, or add the layer anew.").format(path=path))


def _says_the_same(layer: QgsRasterLayer) -> bool:
    stored = layer.dataProvider().crs()
    return (not layer.crs().isValid() or layer.crs() == stored) and _same_holes(layer)


def _same_holes(layer: QgsRasterLayer) -> bool:
    """Whether the layer has no data just where its file has none."""
    provider = layer.dataProvider()
    for band in range(1, provider.bandCount() + 1):
        ranges = provider.userNoDataValues(band)
        if ranges or (provider.sourceHasNoDataValue(band) and not provider.useSourceNoDataValue(band)):
            return False
    return True


def _copy(layer: QgsRasterLayer, folder: Path, *, extent: QgsRectangle | None, feedback: Any) -> RasterSource:
    provider = layer.dataProvider()
    columns, rows = provider.xSize(), provider.ySize()
    if not provider.capabilities() & QgsRasterInterface.Capability.Size or columns <= 0 or rows <= 0:
        raise WorkerError(
            tr("{layer}: the source does not tell its pixel size; export the layer as a GeoTIFF and take that.").format(layer=layer.name())
        )
    whole = provider.extent()
    width, height = whole.width() / columns, whole.height() / rows
    left, top, right, bottom = _pixels(layer, extent)
    if (right - left) * (bottom - top) > MOST_PIXELS:
        words = tr(
            "{layer}: not a file that can be read directly, and too large to copy; choose a smaller extent or export it as a GeoTIFF."
        )
        raise WorkerError(words.format(layer=layer.name()))
    try:
        path = named(folder, "raster", layer.name(), ".tif")
    except OSError:
        _not_copied(layer, folder)
    crs = layer.crs() if layer.crs().isValid() else provider.crs()
    if _copied_by_gdal(layer, path, (left, top, right - left, bottom - top), crs, feedback):
        return RasterSource(str(path), roles_of_names(band_names(layer)), copied=True)
    pipe = QgsRasterPipe()
    pipe.set(provider.clone())
    writer = QgsRasterFileWriter(str(path))
    writer.setOutputProviderKey("gdal")
    writer.setOutputFormat("GTiff")
    set_options = getattr(writer, "setCreationOptions", None) or writer.setCreateOptions  # renamed in QGIS 3.44
    set_options(["TILED=YES", "BIGTIFF=IF_SAFER", "PHOTOMETRIC=MINISBLACK", "ALPHA=UNSPECIFIED"])
    area = QgsRectangle(
        whole.xMinimum() + left * width,
        whole.yMaximum() - bottom * height,
        whole.xMinimum() + right * width,
        whole.yMaximum() - top * height,
    )
    reading = QgsRasterBlockFeedback()
    if feedback is not None:  # direct: this thread is busy, and no event would reach it
        feedback.canceled.connect(reading.cancel, Qt.ConnectionType.DirectConnection)
        if feedback.isCanceled():
            raise Cancelled()
    done = writer.writeRaster(pipe, right - left, bottom - top, area, crs, QgsCoordinateTransformContext(), reading)
    if feedback is not None and feedback.isCanceled():
        raise Cancelled()
    if done != QgsRasterFileWriter.WriterError.NoError:
        _not_copied(layer, folder)
    return RasterSource(str(path), roles_of_names(band_names(layer)), copied=True)


def _pixels(layer: QgsRasterLayer, extent: QgsRectangle | None) -> tuple[int, int, int, int]:
    """First column and row, and the ones after the last, of the pixels that an extent touches; all where there is none."""
    provider = layer.dataProvider()
    columns, rows, whole = provider.xSize(), provider.ySize(), provider.extent()
    if extent is None:
        return 0, 0, columns, rows
    width, height = whole.width() / columns, whole.height() / rows
    left = max(0, math.floor((extent.xMinimum() - whole.xMinimum()) / width))
    right = min(columns, math.ceil((extent.xMaximum() - whole.xMinimum()) / width))
    top = max(0, math.floor((whole.yMaximum() - extent.yMaximum()) / height))
    bottom = min(rows, math.ceil((whole.yMaximum() - extent.yMinimum()) / height))
    if left >= right or top >= bottom:
        raise WorkerError(tr("{layer}: the extent lies outside the raster; choose another one.").format(layer=layer.name()))
    return left, top, right, bottom


def _copied_by_gdal(layer: QgsRasterLayer, path: Path, window: tuple[int, ...], crs: QgsCoordinateReferenceSystem, feedback: Any) -> bool:
    """Copy pixels as they are stored, with names, scales and nodata; False where only QGIS can read them as the layer shows them."""
    provider = layer.dataProvider()
    uri = provider.dataSourceUri()
    if provider.name() != "gdal" or "authcfg" in uri or not _same_holes(layer):
        return False
    parts = QgsProviderRegistry.instance().decodeUri("gdal", uri)
    if parts.get("credentialOptions"):
        return False
    name = f"GPKG:{parts['path']}:{parts['layerName']}" if parts.get("layerName") else uri.partition("|")[0]
    source = or_none(gdal.OpenEx, name, gdal.OF_RASTER, open_options=list(parts.get("openOptions") or []))
    if source is None or (source.RasterXSize, source.RasterYSize) != (provider.xSize(), provider.ySize()):
        return False  # for instance one that is turned, which QGIS shows straightened

    def going_on(*_: object) -> int:
        return 0 if feedback is not None and feedback.isCanceled() else 1

    wkt = crs.toWkt(QgsCoordinateReferenceSystem.WktVariant.WKT_PREFERRED) if crs.isValid() else None
    copying = {"format": "GTiff", "srcWin": list(window), "outputSRS": wkt, "creationOptions": ["TILED=YES", "BIGTIFF=IF_SAFER"]}
    gdal.ErrorReset()
    made = or_none(gdal.Translate, str(path), source, callback=going_on, **copying)
    if not going_on():
        raise Cancelled()
    done = made is not None
    del made  # writes the rest, which may be what the disk has no room for
    if not done or gdal.GetLastErrorType() >= gdal.CE_Failure:
        _not_copied(layer, path.parents[1])
    return True


def named(folder: Path, inside: str, layer: str, ending: str) -> Path:
    """A file called as the layer is, for what the worker says of it; in a folder of its own, where no other file can have the name."""
    own = Path(folder) / inside
    own.mkdir(exist_ok=True)
    return own / (file_name(layer) + ending)


def file_name(layer: str) -> str:
    """A layer's name as the name of a file, in any script."""
    kept = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in layer).strip("_")
    return kept[:60] or "layer"


def _not_copied(layer: QgsRasterLayer, folder: Path) -> NoReturn:
    raise WorkerError(tr("{layer}: it cannot be copied to {folder}; is there room on the disk?").format(layer=layer.name(), folder=folder))


def or_none(function: Callable[..., Any], *words: Any, **named: Any) -> Any:
    """What a function of GDAL gives back; None where it fails, whether or not another plugin has made GDAL raise exceptions."""
    try:
        return function(*words, **named)
    except RuntimeError:
        return None


def band_names(layer: QgsRasterLayer) -> list[str]:
    """What the provider calls the bands, without the ``Band 1: `` that QGIS puts before."""
    names = [layer.bandName(number) for number in range(1, layer.bandCount() + 1)]
    return [re.sub(r"^\w+ 0*\d+(?::\s*|$)", "", name) for name in names]


def roles_of_names(names: Iterable[str]) -> dict[str, int]:
    """Which band is which, by names that leave no doubt; empty where two bands have the same one."""
    found: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        word = re.split(r"[\s(,;:_-]", name.strip().lower(), maxsplit=1)[0]
        for role, known in ROLES.items():
            if word in known:
                if role in found:
                    return {}
                found[role] = number
    return found
