# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Train regional model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from sr_geo_plugin import settings
from sr_geo_plugin.algorithms.base import SrGeoAlgorithm, advanced, full, helped
from sr_geo_plugin.translation import tr


class TrainRegion(SrGeoAlgorithm):
    """A model that goes on learning from the user's own rasters."""

    icon_name = "train_region.svg"

    def name(self) -> str:
        return "trainregion"

    def displayName(self) -> str:
        return tr("Train regional model")

    def tags(self) -> list[str]:
        return [tr("machine learning"), tr("fine-tuning"), tr("region")]

    def shortHelpString(self) -> str:
        return tr(
            "Goes on training a shipped model with your own rasters, and adds the new one to the list of models. A strip of the "
            "rasters is held out, on which the gain is measured.\n\nIt pays with some ten million pixels of one region, and takes "
            "hours without a graphics card: minutes are enough to try the steps only. The part “training” must be installed (SR Geo, "
            "Set up…). Fill in the licences in the recipe before you give the model to anybody."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        folder = QgsProcessingParameterFile("FOLDER", tr("Folder with your rasters"), QgsProcessingParameterFile.Behavior.Folder)
        self.addParameter(helped(folder, tr("GeoTIFFs, Sentinel-2 and Landsat folders; it is searched to the bottom and not changed.")))
        minutes = QgsProcessingParameterNumber(
            "MINUTES", tr("Minutes to train"), QgsProcessingParameterNumber.Type.Double, 60.0, False, 0.1
        )
        self.addParameter(minutes)
        bands = QgsProcessingParameterString("BANDS", tr("Which band is which"), None, False, True)
        self.addParameter(helped(advanced(bands), tr("Only where the files do not say: r=3,g=2,b=1,nir=4 (numbers from 1).")))
        changes = QgsProcessingParameterString("CHANGES", tr("Changes of the recipe, one a line"), None, True, True)
        self.addParameter(helped(advanced(changes), tr("Keys and values, for instance loop.iterations=2000.")))
        self.addParameter(advanced(QgsProcessingParameterBoolean("INSTALL", tr("Add it to the list of models"), True)))
        self.addParameter(QgsProcessingParameterFolderDestination("RUN", tr("Folder of the run")))
        self.addOutput(QgsProcessingOutputFile("MODEL_FILE", tr("Trained model")))
        self.addOutput(QgsProcessingOutputString("MODEL", tr("Name of the model")))

    def canExecute(self) -> tuple[bool, str]:
        good, words = super().canExecute()
        runtime = settings.runtime()
        if good and runtime is not None and "train" not in runtime.parts:
            return False, _no_training()
        return good, words

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        source = full(self.parameterAsString(parameters, "FOLDER", context))
        run = Path(full(self.parameterAsString(parameters, "RUN", context)))
        try:
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            words = tr("{path}: the folder cannot be made ({reason}); choose another one.")
            raise QgsProcessingException(words.format(path=run, reason=error.strerror)) from error
        recipe = run / "recipe-to-read.yaml"
        bands = self.parameterAsString(parameters, "BANDS", context).strip()
        self._train(
            ["train", "new-region", source, "--output", str(recipe), "--overwrite", *(["--bands", bands] if bands else [])], feedback
        )
        words = ["train", str(recipe), "--data", source, "--run", str(run / "run"), "--progress", "json"]
        words += ["--max-minutes", f"{self.parameterAsDouble(parameters, 'MINUTES', context):g}"]
        for line in self.parameterAsString(parameters, "CHANGES", context).splitlines():
            words += ["--set", line.strip()] if line.strip() else []
        words += [] if self.parameterAsBool(parameters, "INSTALL", context) else ["--no-install"]
        answer = self._train(words, feedback)
        model = str(answer.get("model", ""))
        if answer.get("installed"):
            settings.remember_models(self.call(["models", "list", "--json"], feedback, quiet=True).get("models", []))
        return {"RUN": str(run), "MODEL_FILE": model, "MODEL": Path(model).stem}

    def _train(self, words: list[str], feedback: QgsProcessingFeedback) -> dict[str, Any]:
        try:
            return self.call(words, feedback)
        except QgsProcessingException as error:
            if "training needs" in str(error):
                raise QgsProcessingException(_no_training()) from error
            raise


def _no_training() -> str:
    return tr("The part “training” is not installed: open SR Geo, Set up…, tick it and repair.")
