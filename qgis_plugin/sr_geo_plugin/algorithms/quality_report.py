# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Quality report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsRasterLayer,
)

from sr_geo_plugin.algorithms.base import SrGeoAlgorithm, copies, failures, full, given, helped
from sr_geo_plugin.layers import raster_source
from sr_geo_plugin.page import write_page
from sr_geo_plugin.translation import tr


class QualityReport(SrGeoAlgorithm):
    """An enhanced raster against the truth."""

    icon_name = "quality_report.svg"
    layers: dict[str, QgsRasterLayer]

    def name(self) -> str:
        return "qualityreport"

    def displayName(self) -> str:
        return tr("Quality report")

    def tags(self) -> list[str]:
        return ["PSNR", "SSIM", "SAM", "ERGAS", tr("accuracy"), tr("compare")]

    def shortHelpString(self) -> str:
        return tr(
            "Compares an enhanced raster with a reference of the same grid, band by band: PSNR, SSIM, errors, bias, spectral angle and "
            "ERGAS. With the raster that was enhanced it also tells whether the result, seen through the sensor again, gives that "
            "raster back, and how plain interpolation would have done.\n\nPixels without data in either raster are left out."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer("REFERENCE", tr("Reference (the truth)")))
        self.addParameter(QgsProcessingParameterRasterLayer("ENHANCED", tr("Enhanced raster")))
        measured = QgsProcessingParameterRasterLayer("INPUT", tr("Raster that was enhanced"), None, True)
        self.addParameter(helped(measured, tr("Optional: adds consistency, and what interpolation alone would reach.")))
        border = QgsProcessingParameterNumber(
            "BORDER", tr("Pixels to leave out on every side"), QgsProcessingParameterNumber.Type.Integer, 0, False, 0, 10_000
        )
        self.addParameter(border)
        self.addParameter(QgsProcessingParameterFileDestination("REPORT", tr("Quality report"), tr("Web page (*.html)")))
        figures = QgsProcessingParameterFileDestination("FIGURES", tr("Figures"), "JSON (*.json)", None, True, False)
        self.addParameter(helped(figures, tr("All figures, for programs.")))
        self.addOutput(QgsProcessingOutputNumber("PSNR", tr("PSNR of all bands, dB")))
        self.addOutput(QgsProcessingOutputNumber("SSIM", tr("SSIM of all bands")))

    def prepareAlgorithm(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> bool:
        self.layers = {}
        for name in ("REFERENCE", "ENHANCED", "INPUT"):
            layer = self.parameterAsRasterLayer(parameters, name, context)
            if layer is not None:
                self.layers[name] = layer.clone()
                self.layers[name].setName(layer.name())
            elif name != "INPUT" or given(parameters, name):
                raise QgsProcessingException(self.invalidRasterError(parameters, name))
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        try:
            return self._work(parameters, context, feedback)
        finally:
            self.layers.clear()  # this object may live on after QGIS has ended, which layers must not

    def _work(self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback) -> dict[str, Any]:
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        figures = self.parameterAsFileOutput(parameters, "FIGURES", context) if given(parameters, "FIGURES") else ""
        with copies() as folder:
            paths = {}
            for name in self.layers:
                (folder / name).mkdir()
                with failures():
                    paths[name] = raster_source(self.layers[name], folder / name, feedback=feedback).path
            written = figures or str(folder / "figures.json")
            words = ["evaluate", paths["REFERENCE"], paths["ENHANCED"], "--json", full(written), "--overwrite"]
            words += ["--border", str(self.parameterAsInt(parameters, "BORDER", context))]
            words += ["--lr", paths["INPUT"]] if "INPUT" in paths else []
            self.call(words, feedback)
            found = json.loads(Path(written).read_text(encoding="utf-8"))
        title = tr("Quality of {layer}").format(layer=self.layers["ENHANCED"].name())
        try:
            write_page(report, title, tables(found), foot=tr("Reference: {path}").format(path=found["reference"]))
        except OSError as error:
            words = tr("{path}: the page cannot be written ({reason}); choose another folder.").format(path=report, reason=error.strerror)
            raise QgsProcessingException(words) from error
        together = found["together"]
        return {"REPORT": report, **({"FIGURES": figures} if figures else {}), "PSNR": together["psnr"], "SSIM": together["ssim"]}


def tables(found: Mapping[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """The figures of ``sr-geo evaluate --json`` as headings with tables."""
    bands = [found["together"], *found["bands"]]
    lines = (
        ("psnr", tr("PSNR, dB"), ".2f"),
        ("ssim", "SSIM", ".4f"),
        ("rmse", "RMSE", ".4g"),
        ("mae", tr("mean error"), ".4g"),
        ("bias", tr("bias"), "+.4g"),
    )
    header = ["", tr("all bands"), *(band["name"] for band in found["bands"])]
    parts = [(tr("Against the reference"), [header, *_rows(bands, lines)])]
    if found.get("interpolation"):
        parts.append((tr("Interpolation alone"), [header, *_rows(found["interpolation"], lines)]))
    single = [["", ""]]
    for name, label, form in (("sam", tr("spectral angle, °"), ".3f"), ("ergas", "ERGAS", ".3f"), ("lpips", "LPIPS", ".4f")):
        if found.get(name) is not None:
            single.append([label, format(found[name], form)])
    single.append([tr("valid in both, %"), format(100 * found["compared"], ".1f")])
    consistency = found.get("consistency")
    if consistency and consistency["mean_absolute"] is not None:
        single.append([tr("seen through the sensor again, mean difference"), format(consistency["mean_absolute"], ".4g")])
    trust = found.get("trust") or {}
    for name, label in (
        ("hallucination", tr("invented detail, share")),
        ("omission", tr("missed detail, share")),
        ("improvement", tr("true detail, share")),
    ):
        if trust.get(name) is not None:
            single.append([label, format(trust[name], ".3f")])
    return [*parts, (tr("Altogether"), single)]


def _rows(bands: Sequence[Mapping[str, Any]], lines: Sequence[tuple[str, str, str]]) -> list[list[str]]:
    return [[label, *("–" if band[name] is None else format(band[name], form) for band in bands)] for name, label, form in lines]
