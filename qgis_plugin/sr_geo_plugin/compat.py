# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between QGIS 3.22 and 4, in one place. Elsewhere scoped names are written, which all of them know."""

from __future__ import annotations

from typing import Any

from qgis.core import Qgis

try:
    from qgis.PyQt.QtGui import QAction
except ImportError:  # Qt 5
    from qgis.PyQt.QtWidgets import QAction

if hasattr(Qgis, "LayerType"):  # from 3.30 on
    RASTER_LAYER: Any = Qgis.LayerType.Raster
    VECTOR_LAYER: Any = Qgis.LayerType.Vector
    MULTI_POLYGON: Any = Qgis.WkbType.MultiPolygon
    POLYGON_GEOMETRY: Any = Qgis.GeometryType.Polygon
else:
    from qgis.core import QgsMapLayerType, QgsWkbTypes

    RASTER_LAYER = QgsMapLayerType.RasterLayer
    VECTOR_LAYER = QgsMapLayerType.VectorLayer
    MULTI_POLYGON = QgsWkbTypes.Type.MultiPolygon
    POLYGON_GEOMETRY = QgsWkbTypes.GeometryType.PolygonGeometry

if hasattr(Qgis, "RasterColorInterpretation"):  # from 3.36 on
    ALPHA_BAND: Any = Qgis.RasterColorInterpretation.AlphaBand
else:
    from qgis.core import QgsRaster

    ALPHA_BAND = QgsRaster.ColorInterpretation.AlphaBand

__all__ = ["ALPHA_BAND", "MULTI_POLYGON", "POLYGON_GEOMETRY", "RASTER_LAYER", "VECTOR_LAYER", "QAction"]
