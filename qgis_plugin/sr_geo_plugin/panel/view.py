# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the panel looks like; what it does is in `dock`."""

from __future__ import annotations

from collections.abc import Sequence

from qgis.PyQt.QtCore import QEvent, QObject, Qt
from qgis.PyQt.QtWidgets import (
    QComboBox,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from sr_geo_plugin.panel.form import Form
from sr_geo_plugin.panel.swipe import SwipeView
from sr_geo_plugin.panel.table import ParcelTable, TableView
from sr_geo_plugin.translation import tr

NARROWEST = 320
"""Pixels of the screen in which a preview still shows something."""


class PanelView(QScrollArea):
    """Form, preview, progress, results, one below the other."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget(self)
        layout = QVBoxLayout(inner)
        layout.addWidget(self._make_banner(inner))
        self.form = Form(inner)
        layout.addWidget(self.form)
        layout.addWidget(self._make_preview(inner), 3)
        layout.addWidget(self._make_run(inner))
        layout.addWidget(self._make_results(inner), 2)
        self.setWidget(inner)
        self._fit()
        self.show_running(running=False)
        self.list_results([])
        self.show_table(None)
        self.show_hint()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep room for the widest line: it depends on the language, and on whether “More options” is open."""
        if watched is self.widget() and event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return super().eventFilter(watched, event)

    def _fit(self) -> None:
        """No narrower than what is in it, as nothing scrolls sideways."""
        self.setMinimumWidth(max(NARROWEST, self.widget().minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width()))

    # Parts

    def _make_banner(self, parent: QWidget) -> QWidget:
        self.banner = QFrame(parent)
        self.banner.setFrameShape(QFrame.Shape.StyledPanel)
        words = QLabel(tr("SR Geo itself is not installed yet. Set up shows what it needs before anything is done."), self.banner)
        words.setWordWrap(True)
        self.set_up = QPushButton(tr("Set up…"), self.banner)
        row = QHBoxLayout(self.banner)
        row.addWidget(words, 1)
        row.addWidget(self.set_up)
        self.banner.hide()
        return self.banner

    def _make_preview(self, parent: QWidget) -> QWidget:
        box = QGroupBox(tr("Preview"), parent)
        layout = QVBoxLayout(box)
        self.swipe = SwipeView(box)
        self.swipe.setToolTip(tr("Drag to compare. The wheel zooms; drag with the right button to move."))
        layout.addWidget(self.swipe, 1)
        self.caption = QLabel(box)
        self.preview = QPushButton(tr("Preview the map centre"), box)
        layout.addWidget(self.caption)
        layout.addWidget(self.preview)
        return box

    def _make_run(self, parent: QWidget) -> QWidget:
        box = QWidget(parent)
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        self.run = QPushButton(tr("Enhance"), box)
        self.run.setDefault(True)
        self.cancel = QPushButton(tr("Cancel"), box)
        row.addWidget(self.run, 1)
        row.addWidget(self.cancel)
        layout.addLayout(row)
        self.progress = QProgressBar(box)
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress_words = QLabel(box)
        layout.addWidget(self.progress)
        layout.addWidget(self.progress_words)
        return box

    def _make_results(self, parent: QWidget) -> QWidget:
        self.results_box = QGroupBox(tr("Results"), parent)
        layout = QVBoxLayout(self.results_box)
        row = QHBoxLayout()
        self.results = QComboBox(self.results_box)
        self.remove = QPushButton(tr("Undo"), self.results_box)
        self.remove.setToolTip(tr("Remove this result from the project. A file that you named yourself stays on the disk."))
        row.addWidget(self.results, 1)
        row.addWidget(self.remove)
        layout.addLayout(row)
        self.compare = QPushButton(tr("Compare on the map"), self.results_box)
        self.compare.setCheckable(True)
        self.compare.setToolTip(tr("Drag the divider on the map: the image is on its left, the result on its right."))
        layout.addWidget(self.compare)
        self.table = TableView(self.results_box)
        self.table.setMinimumHeight(150)
        layout.addWidget(self.table, 1)
        self.save_table = QPushButton(tr("Save the table…"), self.results_box)
        layout.addWidget(self.save_table)
        return self.results_box

    # What is shown

    def show_worker(self, *, found: bool) -> None:
        """Whether SR Geo itself is there; without it the panel asks for Set up."""
        self.banner.setVisible(not found)

    def show_hint(self) -> None:
        """No preview yet."""
        self.swipe.show_words(tr("Move the map to a place that you know, then press “Preview the map centre”."))
        self.say("")

    def say(self, words: str) -> None:
        """Words under the preview."""
        self.caption.setText(words)
        self.caption.setVisible(bool(words))

    def show_running(self, *, running: bool) -> None:
        """Whether a run goes on."""
        for widget in (self.cancel, self.progress, self.progress_words):
            widget.setVisible(running)
        self.run.setEnabled(not running)
        self.preview.setEnabled(not running)
        if running:
            self.show_progress(0.0, tr("Starting…"))

    def show_progress(self, share: float, words: str) -> None:
        """How far the run is."""
        self.progress.setValue(round(1000 * share))
        self.progress_words.setText(words)

    def list_results(self, names: Sequence[str]) -> None:
        """List the results, and show the first."""
        self.results.clear()
        self.results.addItems(names)
        self.results_box.setVisible(bool(names))

    def show_table(self, table: ParcelTable | None) -> None:
        """Show what was measured of the fields; None: nothing was."""
        for widget in (self.table, self.save_table):
            widget.setVisible(table is not None)
        if table is not None:
            self.table.show_table(table)
