# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""From polygon layers of QGIS, whatever they are kept in, to a file that another program can read.

The functions are called with layers or sources of the calling thread (Processing takes care of that).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsCsException,
    QgsFeature,
    QgsFeatureRequest,
    QgsFeatureSource,
    QgsFields,
    QgsGeometry,
    QgsProcessingFeatureSource,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

from sr_geo_plugin.compat import MULTI_POLYGON, POLYGON_GEOMETRY
from sr_geo_plugin.layers import named
from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import Cancelled, WorkerError


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
        request.setFilterRect(_brought(within, within_crs, crs, name, context))
    words = tr("{layer}: the parcels cannot be copied to {folder} ({reason}).")
    try:
        path = named(folder, "parcels", name, ".gpkg")
    except OSError as error:
        raise WorkerError(words.format(layer=name, folder=folder, reason=error.strerror)) from error
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
        raise WorkerError(words.format(layer=name, folder=folder, reason=reason))
    if count == 0:
        if within is not None:
            raise WorkerError(tr("{layer}: no parcels lie within the extent; choose another one.").format(layer=name))
        if selected_only or isinstance(source, QgsProcessingFeatureSource):
            raise WorkerError(tr("{layer}: no parcels to work on; select some, or switch off “selected features only”.").format(layer=name))
        raise WorkerError(tr("{layer}: the layer has no parcels; draw some in it, or choose another layer.").format(layer=name))
    return path


def _brought(
    extent: QgsRectangle, given: QgsCoordinateReferenceSystem | None, wanted: QgsCoordinateReferenceSystem, name: str, context: Any
) -> QgsRectangle:
    """The extent in the CRS of the parcels; as it is where one of the two is not known."""
    if given is None or not given.isValid() or not wanted.isValid() or given == wanted:
        return extent
    transforms = context.transformContext() if context is not None else QgsCoordinateTransformContext()
    try:
        return QgsCoordinateTransform(given, wanted, transforms).transformBoundingBox(extent)
    except QgsCsException as error:
        words = tr("{layer}: the image lies where the CRS of the parcels ({crs}) does not reach; check the CRS of both layers.")
        raise WorkerError(words.format(layer=name, crs=wanted.authid()), str(error)) from error


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
