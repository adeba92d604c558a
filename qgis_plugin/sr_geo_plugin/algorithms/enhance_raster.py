# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Enhance raster."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsProcessingContext, QgsProcessingFeedback

from sr_geo_plugin.algorithms.base import copies, failures, full
from sr_geo_plugin.algorithms.imaging import ImagingAlgorithm
from sr_geo_plugin.polygons import rectangle_file
from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import no_leftovers


class EnhanceRaster(ImagingAlgorithm):
    """A whole raster, or an extent of it."""

    icon_name = "enhance_raster.svg"

    def name(self) -> str:
        return "enhanceraster"

    def displayName(self) -> str:
        return tr("Enhance raster")

    def tags(self) -> list[str]:
        return [tr("super-resolution"), tr("sharpen"), tr("upscale"), "Sentinel-2", "Landsat"]

    def shortHelpString(self) -> str:
        return tr(
            "Makes a satellite raster four times finer along each axis. The result covers the same ground and keeps CRS, data type, "
            "units, nodata and band names; seen through the sensor again it gives the input back.\n\nThe model was trained on "
            "farmland. Detail finer than about half an input pixel is a likely guess, not a measurement: ask for the map of added "
            "detail to see where."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.add_raster()
        self.add_extent()
        self.add_model()
        self.add_options()
        self.add_outputs(table=False)

    def work(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        output = self.destination(parameters, "OUTPUT", context, "layer")
        detail = self.destination(parameters, "DETAIL_MAP", context, "layer")
        report = self.destination(parameters, "REPORT", context, "file")
        with copies() as folder, no_leftovers(output, detail, report):
            extent = self.extent(parameters, context)
            source, bands = self.source(folder, extent, parameters, context, feedback)
            words = ["enhance", source.path, full(output), "--overwrite", "--progress", "json", *bands, *self.options(parameters, context)]
            if extent is not None:
                with failures():
                    words += ["--parcels", str(rectangle_file(extent, self.layer.crs(), folder)), "--parcels-as", "box"]
            words += ["--detail-map", full(detail)] if detail else []
            words += ["--report", full(report)] if report else []
            self.call(words, feedback)
        self.style_result(output, context)
        files = {"OUTPUT": output, "DETAIL_MAP": detail, "REPORT": report}
        return {name: path for name, path in files.items() if path}
