# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What all algorithms share: whether they can run, how the worker is called, and how its words reach the dialogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProcessingUtils,
)
from qgis.PyQt.QtGui import QIcon

from sr_geo_plugin import settings
from sr_geo_plugin.environment import Runtime
from sr_geo_plugin.worker import WorkerError, run, show_command, work_folder

ICONS = Path(__file__).resolve().parents[1] / "icons"


class SrGeoAlgorithm(QgsProcessingAlgorithm):
    """An algorithm whose work is done by `sr-geo` in a Python of its own."""

    icon_name = "sr_geo.svg"

    # What QGIS calls

    def createInstance(self) -> QgsProcessingAlgorithm:
        return type(self)()

    def icon(self) -> QIcon:
        return QIcon(str(ICONS / self.icon_name))

    def group(self) -> str:
        return ""

    def groupId(self) -> str:
        return ""

    def canExecute(self) -> tuple[bool, str]:
        return (True, "") if settings.runtime() is not None else (False, settings.not_set_up())

    # What the algorithms call

    def worker(self) -> Runtime:
        """The Python to work with.

        Raises:
            QgsProcessingException: there is none, with what to do.
        """
        runtime = settings.runtime()
        if runtime is None:
            raise QgsProcessingException(settings.not_set_up())
        return runtime

    def call(
        self, arguments: Sequence[str], feedback: QgsProcessingFeedback, *, quiet: bool = False, allowed: Sequence[int] = (0,)
    ) -> dict[str, Any]:
        """Run ``sr-geo arguments…``, showing progress and words in the dialogue; its last JSON object.

        Args:
            arguments: words of the command line.
            feedback: of the run.
            quiet: do not show the command line.
            allowed: exit codes that are no failure.

        Raises:
            QgsProcessingException: it failed or was cancelled.
        """

        def show(share: float, text: str) -> None:
            feedback.setProgress(100.0 * share)
            feedback.setProgressText(text)

        def log(line: str) -> None:
            if line.startswith("warning: "):
                feedback.pushWarning(line[len("warning: ") :])
            elif not line.startswith("error: "):
                feedback.pushConsoleInfo(line)

        if not quiet:
            feedback.pushCommandInfo(show_command(arguments))
        with failures():
            return run(self.worker(), arguments, progress=show, cancelled=feedback.isCanceled, log=log, allowed=allowed)


@contextmanager
def failures() -> Iterator[None]:
    """Errors of the worker as those of Processing."""
    try:
        yield
    except WorkerError as error:
        # Its frames hold layers. Python keeps the last exception to the end, and a layer must not outlive QGIS.
        error.__traceback__ = None
        raise QgsProcessingException(str(error)) from error


def copies() -> AbstractContextManager[Path]:
    """A folder for copies of layers that is gone at the end."""
    return work_folder(QgsProcessingUtils.tempFolder())


def advanced(parameter: QgsProcessingParameterDefinition) -> QgsProcessingParameterDefinition:
    """The parameter, under "Advanced parameters"."""
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


def helped(parameter: QgsProcessingParameterDefinition, text: str) -> QgsProcessingParameterDefinition:
    """The parameter with a help text."""
    parameter.setHelp(text)
    return parameter


def full(path: str) -> str:
    """A path for the worker, which runs in a folder of its own: relative ones are meant from where QGIS is."""
    return str(Path(path).absolute()) if path else ""


def given(parameters: dict[str, Any], name: str) -> bool:
    """Whether an optional parameter has a value."""
    return parameters.get(name) not in (None, "")
