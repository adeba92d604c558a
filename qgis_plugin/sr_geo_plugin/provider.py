# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The Processing provider."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from sr_geo_plugin.algorithms.check_models import CheckModels
from sr_geo_plugin.algorithms.enhance_parcels import EnhanceParcels
from sr_geo_plugin.algorithms.enhance_raster import EnhanceRaster
from sr_geo_plugin.algorithms.parcel_report import ParcelReport
from sr_geo_plugin.algorithms.quality_report import QualityReport
from sr_geo_plugin.algorithms.train_region import TrainRegion

ALGORITHMS = (EnhanceRaster, EnhanceParcels, ParcelReport, QualityReport, TrainRegion, CheckModels)


class SrGeoProvider(QgsProcessingProvider):
    """SR Geo among the algorithms of QGIS."""

    def id(self) -> str:
        return "srgeo"

    def name(self) -> str:
        return "SR Geo"

    def icon(self) -> QIcon:
        return QIcon(str(Path(__file__).parent / "icons" / "sr_geo.svg"))

    def loadAlgorithms(self) -> None:
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """What the worker writes."""
        return ["tif"]

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """What the worker writes."""
        return ["gpkg"]

    def supportsNonFileBasedOutput(self) -> bool:
        return False
