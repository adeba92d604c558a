# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Work in the background: the map stays usable, the task manager shows the progress, and an end is told in the main thread."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from qgis.core import QgsFeedback, QgsTask
from qgis.PyQt.QtCore import pyqtSignal

from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import Cancelled, WorkerError

_FLAGS = QgsTask.Flag.CanCancel | getattr(QgsTask.Flag, "Silent", QgsTask.Flag.CanCancel)
"""Silent, from QGIS 3.26 on: the panel says itself how a task ended, and what to do."""


class BackgroundTask(QgsTask):
    """Runs a function in a thread of QGIS.

    Args:
        description: shown by the task manager.
        job: gets the task, for its progress and to see whether it was cancelled; what it returns goes to `done`.
        done: called in the main thread.
        failed: called in the main thread with the reason; `Cancelled` where the user stopped it.
    """

    said = pyqtSignal(float, str)
    """Share done, 0 to 1, and words about it; may be sent from the thread."""

    def __init__(
        self,
        description: str,
        job: Callable[[BackgroundTask], Any],
        *,
        done: Callable[[Any], None],
        failed: Callable[[WorkerError], None],
    ) -> None:
        super().__init__(description, _FLAGS)
        self._job, self._done, self._failed = job, done, failed
        self._value: Any = None
        self._error: WorkerError | None = None
        self.feedback = QgsFeedback()
        """For functions of QGIS that copy layers."""
        self.lines: list[str] = []
        """What the worker said."""

    def progressed(self, share: float, words: str) -> None:
        """Say how far the work is."""
        self.setProgress(100 * share)
        self.said.emit(share, words)

    def log(self, line: str) -> None:
        """Keep a line that the worker said."""
        self.lines.append(line)

    @property
    def warnings(self) -> list[str]:
        """Warnings of the worker, for the user."""
        return [line[len("warning: ") :] for line in self.lines if line.startswith("warning: ")]

    # What QGIS calls

    def cancel(self) -> None:
        self.feedback.cancel()
        super().cancel()

    def run(self) -> bool:
        try:
            self._value = self._job(self)
        except WorkerError as error:
            self._error = error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            words = tr("Unexpected: {reason}. Please report it with the log.").format(reason=reason)
            self._error = WorkerError(words, traceback.format_exc())
        return self._error is None and not self.isCanceled()

    def finished(self, good: bool) -> None:
        if good:
            self._done(self._value)
        else:  # cancelled before it began, there is no error yet
            self._failed(self._error if self._error is not None and not self.isCanceled() else Cancelled())
