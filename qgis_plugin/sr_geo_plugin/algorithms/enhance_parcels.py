# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Enhance field parcels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
)

from sr_geo_plugin.algorithms.base import copies, full, given, helped
from sr_geo_plugin.algorithms.imaging import PARCELS_AS, ImagingAlgorithm
from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import no_leftovers


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
        column = QgsProcessingParameterField("SPLIT_BY", tr("A file for each parcel, named by the column"), None, "PARCELS", optional=True)
        self.addParameter(
            helped(column, tr("Instead of one raster. Parcels of the same value come into one file. The folder of the files stands below."))
        )
        self.add_extent()
        self.add_model()
        self.add_options()
        self.add_outputs(table=True, optional=True)
        folder = QgsProcessingParameterFolderDestination("FOLDER", tr("Folder of the files for each parcel"), None, True, False)
        self.addParameter(folder)
        self.addOutput(QgsProcessingOutputNumber("COUNT", tr("Number of rasters written")))

    def checkParameterValues(self, parameters: dict[str, Any], context: QgsProcessingContext) -> tuple[bool, str]:
        """QGIS's own checks, and that the two ways to write the result are not mixed."""
        good, words = super().checkParameterValues(parameters, context)
        split, folder = given(parameters, "SPLIT_BY"), given(parameters, "FOLDER")
        if not good:
            return good, words
        if split and not folder:
            return False, tr("A file for each parcel is wanted: choose the folder of the files, too.")
        if folder and not split:
            return False, tr("A folder of files is wanted: choose the column that names them, too.")
        if split and self.parameterAsEnum(parameters, "PARCELS_AS", context):
            return False, tr("A file for each parcel holds that parcel only: choose “only the parcels”.")
        if not split and not given(parameters, "OUTPUT"):
            return False, tr("Choose where the enhanced raster is to be written, or a column and a folder for a file of each parcel.")
        return True, ""

    def work(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        column = self.parameterAsString(parameters, "SPLIT_BY", context)
        # Asked for only where it is written: QGIS loads what was asked for.
        output = "" if column else self.destination(parameters, "OUTPUT", context, "layer")
        files_folder = self._made(parameters, context) if column else ""
        target = full(files_folder or output)
        detail = self.destination(parameters, "DETAIL_MAP", context, "layer")
        table = self.destination(parameters, "TABLE", context, "layer")
        report = self.destination(parameters, "REPORT", context, "file")
        with copies() as folder, no_leftovers(target, detail, table, report):
            extent = self.extent(parameters, context)
            parcels = self.parcels(folder, extent, parameters, context, feedback)
            source, bands = self.source(folder, extent, parameters, context, feedback)
            words = ["enhance", source.path, target, "--overwrite", "--progress", "json", *bands, *self.options(parameters, context)]
            words += self.parcel_words(parcels, parameters, context)
            shape = PARCELS_AS[self.parameterAsEnum(parameters, "PARCELS_AS", context)]
            words += ["--split-by", column] if column else ["--parcels-as", shape]
            for option, path in (("--detail-map", detail), ("--parcel-table", table), ("--report", report)):
                words += [option, full(path)] if path else []
            count = len(self.call(words, feedback).get("outputs", []))
        self.style_result(output, context)
        files = {"OUTPUT": output, "FOLDER": files_folder, "DETAIL_MAP": detail, "TABLE": table, "REPORT": report}
        return {**{name: path for name, path in files.items() if path}, "COUNT": count}

    def _made(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """The folder for the files; the one that it lies in is there afterwards."""
        folder = self.parameterAsString(parameters, "FOLDER", context)
        try:
            Path(folder).absolute().parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            words = tr("{path}: the folder cannot be made ({reason}); choose another one.")
            raise QgsProcessingException(words.format(path=folder, reason=error.strerror)) from error
        return folder
