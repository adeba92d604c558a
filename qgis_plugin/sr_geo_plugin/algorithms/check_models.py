# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Check models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFileDestination,
)

from sr_geo_plugin import settings
from sr_geo_plugin.algorithms.base import SrGeoAlgorithm
from sr_geo_plugin.page import write_page
from sr_geo_plugin.translation import tr


class CheckModels(SrGeoAlgorithm):
    """Whether everything that a run needs is there and whole."""

    icon_name = "check_models.svg"

    def name(self) -> str:
        return "checkmodels"

    def displayName(self) -> str:
        return tr("Check models")

    def tags(self) -> list[str]:
        return [tr("diagnosis"), tr("models"), tr("installation")]

    def shortHelpString(self) -> str:
        return tr(
            "Opens every model, checks that its file is whole, and says what each was made for and where it must not be believed. Then "
            "looks over the installation: packages, drivers, graphics card. Nothing is changed, nothing is fetched."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        page = QgsProcessingParameterFileDestination("REPORT", tr("Models and installation"), tr("Web page (*.html)"))
        self.addParameter(page)
        self.addOutput(QgsProcessingOutputNumber("USABLE", tr("Models that can be used")))
        self.addOutput(QgsProcessingOutputNumber("FAULTS", tr("Faults found")))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        report = self.parameterAsFileOutput(parameters, "REPORT", context)
        models = self.call(["models", "list", "--json"], feedback).get("models", [])
        settings.remember_models(models)
        feedback.setProgress(50)
        checks = diagnosis(self, feedback)
        usable = [model for model in models if not model["fault"]]
        faults = [check for check in checks if check["state"] == "missing"]
        for model in models:
            said = model["fault"] or tr("whole and usable")
            (feedback.reportError if model["fault"] else feedback.pushInfo)(f"{model['name']}: {said}")
        for check in checks:
            if check["state"] != "ok":
                (feedback.reportError if check["state"] == "missing" else feedback.pushWarning)(f"{check['name']}: {check['detail']}")
        header = [tr("model"), tr("bands"), tr("for"), tr("limits"), tr("state")]
        rows = [
            [model["name"], ", ".join(model["bands"]), model["purpose"], model["limits"], model["fault"] or tr("whole and usable")]
            for model in models
        ]
        about = [[tr("part"), tr("state"), tr("details"), tr("remedy")]]
        about += [[check["name"], states().get(check["state"], check["state"]), check["detail"], check["remedy"]] for check in checks]
        try:
            write_page(report, tr("SR Geo: models and installation"), [(tr("Models"), [header, *rows]), (tr("Installation"), about)])
        except OSError as error:
            words = tr("{path}: the page cannot be written ({reason}); choose another folder.").format(path=report, reason=error.strerror)
            raise QgsProcessingException(words) from error
        return {"REPORT": report, "USABLE": len(usable), "FAULTS": len(faults) + len(models) - len(usable)}


def diagnosis(algorithm: SrGeoAlgorithm, feedback: QgsProcessingFeedback) -> list[dict[str, str]]:
    """What ``sr-geo doctor`` found; it ends with 1 where something is missing, which is no failure here."""
    return of_the_plugin(algorithm.call(["doctor", "--json"], feedback, allowed=(0, 1)).get("checks", []))


def of_the_plugin(checks: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The checks without parts for other work than the plugin's (faces, number plates, plots); that for training is installed by Set up."""
    shown = [dict(check) for check in checks if not check["name"].startswith("extra ") or check["name"] == "extra train"]
    for check in shown:
        if check["name"] == "extra train" and check["state"] != "ok":
            check["detail"] = tr("not installed; only Train regional model needs it")
            check["remedy"] = tr("SR Geo, Set up…, Install: tick “with training of regional models” and press Repair")
    return shown


def states() -> dict[str, str]:
    """The states of a check, in words."""
    return {"ok": tr("works"), "warn": tr("look at it"), "missing": tr("missing")}
