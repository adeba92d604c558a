# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""From layers of QGIS to files that another program can read: the file itself, or a copy where there is none that says the same.

The functions are called in a background thread, with layers or sources that belong to it (Processing takes care of that), or
with a clone of a layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSource,
    QgsFields,
    QgsGeometry,
    QgsProcessingFeatureSource,
    QgsProviderRegistry,
    QgsRasterBlockFeedback,
    QgsRasterFileWriter,
    QgsRasterInterface,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import Qt

from sr_geo_plugin.compat import MULTI_POLYGON, POLYGON_GEOMETRY
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
    changed in the layer's properties: the layer is right then, for it is what the user sees.

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
    return path


def _check_there(path: str) -> None:
    if Path(path).is_absolute() and not path.startswith("/vsi") and not Path(path).exists():
        raise WorkerError(tr("{path}: the file is no longer there; put it back, or add the layer anew.").format(path=path))


def _says_the_same(layer: QgsRasterLayer) -> bool:
    provider = layer.dataProvider()
    stored = provider.crs()
    if layer.crs().isValid() and layer.crs() != stored:
        return False
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
    left, top, right, bottom = 0, 0, columns, rows
    if extent is not None:
        left = max(0, math.floor((extent.xMinimum() - whole.xMinimum()) / width))
        right = min(columns, math.ceil((extent.xMaximum() - whole.xMinimum()) / width))
        top = max(0, math.floor((whole.yMaximum() - extent.yMaximum()) / height))
        bottom = min(rows, math.ceil((whole.yMaximum() - extent.yMinimum()) / height))
        if left >= right or top >= bottom:
            raise WorkerError(tr("{layer}: the extent lies outside the raster; choose another one.").format(layer=layer.name()))
    if (right - left) * (bottom - top) > MOST_PIXELS:
        words = tr(
            "{layer}: not a file that can be read directly, and too large to copy; choose a smaller extent or export it as a GeoTIFF."
        )
        raise WorkerError(words.format(layer=layer.name()))
    path = Path(folder) / "raster.tif"
    pipe = QgsRasterPipe()
    pipe.set(provider.clone())
    writer = QgsRasterFileWriter(str(path))
    writer.setOutputProviderKey("gdal")
    writer.setOutputFormat("GTiff")
    writer.setCreateOptions(["TILED=YES", "BIGTIFF=IF_SAFER", "PHOTOMETRIC=MINISBLACK", "ALPHA=UNSPECIFIED"])
    area = QgsRectangle(
        whole.xMinimum() + left * width,
        whole.yMaximum() - bottom * height,
        whole.xMinimum() + right * width,
        whole.yMaximum() - top * height,
    )
    crs = layer.crs() if layer.crs().isValid() else provider.crs()
    reading = QgsRasterBlockFeedback()
    if feedback is not None:  # direct: this thread is busy, and no event would reach it
        feedback.canceled.connect(reading.cancel, Qt.ConnectionType.DirectConnection)
        if feedback.isCanceled():
            raise Cancelled
    done = writer.writeRaster(pipe, right - left, bottom - top, area, crs, QgsCoordinateTransformContext(), reading)
    if feedback is not None and feedback.isCanceled():
        raise Cancelled()
    if done != QgsRasterFileWriter.WriterError.NoError:
        raise WorkerError(
            tr("{layer}: it cannot be copied to {folder}; is there room on the disk?").format(layer=layer.name(), folder=folder)
        )
    return RasterSource(str(path), roles_of_names(band_names(layer)), copied=True)


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


def polygons_file(  # noqa: C901 - a row of cases, each of them short
    source: QgsFeatureSource | QgsVectorLayer,
    folder: Path,
    *,
    selected_only: bool = False,
    within: QgsRectangle | None = None,
    within_crs: QgsCoordinateReferenceSystem | None = None,
    context: Any = None,
    feedback: Any = None,
    need_crs: bool = True,
) -> Path:
    """The polygons as a GeoPackage in `folder`, with their CRS and columns; unsaved edits, filters and joins are in it.

    Args:
        source: of a Processing parameter, or a layer.
        folder: for the file.
        selected_only: of a layer: the selected features. A source of Processing knows by itself.
        within: only what touches this rectangle.
        within_crs: of the rectangle; default: the source's.
        context: QgsProcessingContext, for transformations; default: none.
        feedback: a QgsFeedback that can cancel.
        need_crs: whether to refuse polygons without one.

    Raises:
        WorkerError: with what to do.
    """
    name = source.name() if isinstance(source, QgsVectorLayer) else source.sourceName()
    crs = source.crs() if isinstance(source, QgsVectorLayer) else source.sourceCrs()
    if QgsWkbTypes.geometryType(source.wkbType()) != POLYGON_GEOMETRY:
        raise WorkerError(tr("{layer}: these are no polygons; choose the layer with the outlines of the fields.").format(layer=name))
    if need_crs and not crs.isValid():
        raise WorkerError(tr("{layer}: the parcels have no CRS; set it with a right click, Layer CRS, and run again.").format(layer=name))
    request = QgsFeatureRequest()
    if within is not None:
        if within_crs is not None and within_crs.isValid() and crs.isValid() and within_crs != crs:
            transforms = context.transformContext() if context is not None else QgsCoordinateTransformContext()
            within = QgsCoordinateTransform(within_crs, crs, transforms).transformBoundingBox(within)
        request.setFilterRect(within)
    path = Path(folder) / "parcels.gpkg"
    fields = source.fields()
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName, options.fileEncoding = "GPKG", "parcels", "UTF-8"
    options.layerOptions = [f"FID={_free_name(fields, 'sr_geo_row')}", f"GEOMETRY_NAME={_free_name(fields, 'sr_geo_outline')}"]
    writer = QgsVectorFileWriter.create(str(path), fields, MULTI_POLYGON, crs, QgsCoordinateTransformContext(), options)
    failed = writer.hasError() != QgsVectorFileWriter.WriterError.NoError
    count = 0
    if not failed:
        for feature in _features(source, request, selected_only=selected_only):
            if feedback is not None and feedback.isCanceled():
                del writer
                raise Cancelled()
            copy = QgsFeature(fields)
            copy.setAttributes(feature.attributes())
            copy.setGeometry(_flat(feature.geometry()))
            failed = failed or not writer.addFeature(copy)
            count += 1
    reason = writer.errorMessage()
    del writer  # closes the file
    if failed:
        raise WorkerError(
            tr("{layer}: the parcels cannot be copied to {folder} ({reason}).").format(layer=name, folder=folder, reason=reason)
        )
    if count == 0:
        if selected_only or isinstance(source, QgsProcessingFeatureSource):
            raise WorkerError(tr("{layer}: no parcels to work on; select some, or switch off “selected features only”.").format(layer=name))
        raise WorkerError(tr("{layer}: the layer has no parcels.").format(layer=name))
    return path


def _features(source: Any, request: QgsFeatureRequest, *, selected_only: bool) -> Any:
    if isinstance(source, QgsProcessingFeatureSource):  # invalid outlines are repaired by the worker, which says so
        return source.getFeatures(request, QgsProcessingFeatureSource.Flag.FlagSkipGeometryValidityChecks)
    if selected_only and isinstance(source, QgsVectorLayer):
        return source.getSelectedFeatures(request)
    return source.getFeatures(request)


def _flat(geometry: QgsGeometry) -> QgsGeometry:
    """A multi-polygon of straight lines in the plane."""
    if geometry.isNull():
        return geometry
    plain = QgsGeometry(geometry)
    shape = plain.get()
    if QgsWkbTypes.isCurvedType(shape.wkbType()):
        plain = QgsGeometry(shape.segmentize())
        shape = plain.get()
    shape.dropZValue()
    shape.dropMValue()
    plain.convertToMultiType()
    return plain


def _free_name(fields: QgsFields, name: str) -> str:
    taken = {field.name().casefold() for field in fields}
    while name in taken:
        name += "_"
    return name


def rectangle_file(extent: QgsRectangle, crs: QgsCoordinateReferenceSystem, folder: Path) -> Path:
    """One rectangle as a GeoPackage: the part of a raster that is wanted.

    Raises:
        WorkerError: it cannot be written, or is empty.
    """
    if extent.isEmpty() or not extent.isFinite():
        raise WorkerError(tr("The extent is empty; draw or choose another one."))
    path = Path(folder) / "extent.gpkg"
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName, options.layerName = "GPKG", "extent"
    writer = QgsVectorFileWriter.create(str(path), QgsFields(), MULTI_POLYGON, crs, QgsCoordinateTransformContext(), options)
    feature = QgsFeature()
    geometry = QgsGeometry.fromRect(extent)
    geometry.convertToMultiType()
    feature.setGeometry(geometry)
    good = writer.hasError() == QgsVectorFileWriter.WriterError.NoError and writer.addFeature(feature)
    del writer
    if not good:
        raise WorkerError(tr("The extent cannot be written to {folder}; is there room on the disk?").format(folder=folder))
    return path
