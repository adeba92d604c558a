# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Enhance field parcels."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingParameterEnum

from sr_geo_plugin.algorithms.base import no_leftovers, work_folder
from sr_geo_plugin.algorithms.imaging import PARCELS_AS, ImagingAlgorithm
from sr_geo_plugin.translation import tr


class EnhanceParcels(ImagingAlgorithm):
    """Only where there are parcels."""

    icon_name = "enhance_parcels.svg"

    def name(self) -> str:
        return "enhanceparcels"

    def displayName(self) -> str:
        return tr("Enhance field parcels")

    def tags(self) -> list[str]:
        return [tr("super-resolution"), tr("fields"), tr("agriculture"), tr("crops"), "NDVI", "Sentinel-2", "Landsat"]

    def shortHelpString(self) -> str:
        return tr(
            "Makes a satellite raster four times finer where there are field parcels; the rest is not computed. Parcels may be in any "
            "CRS. Invalid outlines are repaired, and what lies outside the raster is left out with a warning.\n\nMeans over a parcel "
            "stay what the satellite measured. Texture inside a field finer than about half an input pixel is a likely guess: never "
            "count rows in it."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_raster()
        self.add_parcels()
        shapes = [tr("only the parcels, nodata around them"), tr("all within the rectangle about them")]
        self.addParameter(QgsProcessingParameterEnum("PARCELS_AS", tr("Enhance"), shapes, False, 0))
        self.add_extent()
        self.add_model()
        self.add_options()
        self.add_outputs(table=True)

    def work(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        output = self.destination(parameters, "OUTPUT", context, "layer")
        detail = self.destination(parameters, "DETAIL_MAP", context, "layer")
        table = self.destination(parameters, "TABLE", context, "layer")
        report = self.destination(parameters, "REPORT", context, "file")
        with work_folder() as folder, no_leftovers(output):
            extent = self.extent(parameters, context)
            parcels = self.parcels(folder, extent, parameters, context, feedback)
            source, bands = self.source(folder, extent, parameters, context, feedback)
            words = ["enhance", source.path, output, "--overwrite", "--progress", "json", *bands, *self.options(parameters, context)]
            words += self.parcel_words(parcels, parameters, context)
            words += ["--parcels-as", PARCELS_AS[self.parameterAsEnum(parameters, "PARCELS_AS", context)]]
            for option, path in (("--detail-map", detail), ("--parcel-table", table), ("--report", report)):
                words += [option, path] if path else []
            self.call(words, feedback)
        self.style_result(output, context)
        files = {"OUTPUT": output, "DETAIL_MAP": detail, "TABLE": table, "REPORT": report}
        return {name: path for name, path in files.items() if path}
