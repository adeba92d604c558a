# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Parcel report."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback, QgsProcessingOutputNumber, QgsVectorLayer

from sr_geo_plugin.algorithms.base import copies, full
from sr_geo_plugin.algorithms.imaging import ImagingAlgorithm
from sr_geo_plugin.translation import tr


class ParcelReport(ImagingAlgorithm):
    """Statistics of the parcels, without keeping the enhanced raster."""

    icon_name = "parcel_report.svg"

    def name(self) -> str:
        return "parcelreport"

    def displayName(self) -> str:
        return tr("Parcel report")

    def tags(self) -> list[str]:
        return [tr("fields"), tr("agriculture"), tr("zonal statistics"), "NDVI"]

    def shortHelpString(self) -> str:
        return tr(
            "Enhances the field parcels on a satellite raster and writes what came out of it: a page with pictures before and after, "
            "spectra and a table of the parcels, and the table as a layer. Area, mean of each band and NDVI are given before and "
            "after, so that one sees what the enhancement changed.\n\nThe enhanced raster itself is not kept: use Enhance field "
            "parcels for that."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_raster()
        self.add_parcels()
        self.add_extent()
        self.add_model()
        self.add_options(kept=False)
        self.add_table(shown=True)
        self.add_report(shown=True)
        self.addOutput(QgsProcessingOutputNumber("COUNT", tr("Number of parcels")))

    def work(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        table = self.destination(parameters, "TABLE", context, "layer")
        report = self.destination(parameters, "REPORT", context, "file")
        with copies() as folder:
            extent = self.extent(parameters, context)
            parcels = self.parcels(folder, extent, parameters, context, feedback)
            source, bands = self.source(folder, extent, parameters, context, feedback)
            words = ["enhance", source.path, str(folder / "enhanced.tif"), "--overwrite", "--progress", "json", *bands]
            words += [*self.options(parameters, context), *self.parcel_words(parcels, parameters, context)]
            written = table or str(folder / "statistics.gpkg")
            words += ["--parcel-table", full(written)]
            words += ["--report", full(report)] if report else []
            self.call(words, feedback)
            count = QgsVectorLayer(written, "statistics").featureCount()
        files = {"TABLE": table, "REPORT": report}
        return {**{name: path for name, path in files.items() if path}, "COUNT": count}
