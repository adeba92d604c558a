# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Set up: makes SR Geo's own Python environment, or takes one that is there, and shows whether it works."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qgis.core import QgsApplication
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QUrl, pyqtSignal
from qgis.PyQt.QtGui import QDesktopServices
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QTabWidget,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from sr_geo_plugin import installer, settings
from sr_geo_plugin.algorithms.check_models import of_the_plugin, states
from sr_geo_plugin.environment import (
    Maker,
    Plan,
    examine,
    find_runtime,
    forget_runtimes,
    hide_password,
    host_pythons,
    install_plan,
    newer_version,
    nvidia_driver,
    private_environment,
)
from sr_geo_plugin.panel.task import BackgroundTask
from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import Cancelled, WorkerError, run

_COLOURS = {"ok": "#2e7d32", "warn": "#b26a00", "missing": "#c62828"}


class SetUpDialog(QDialog):
    """The page. Nothing in it waits; installing and checking are tasks of QGIS.

    Args:
        parent: the main window.
    """

    changed = pyqtSignal()
    """Another Python is used, or the one in use was changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("SrGeoSetUp")
        self.setWindowTitle(tr("SR Geo: Set up"))
        self.resize(700, 700)
        self._task: BackgroundTask | None = None
        self._shut = False
        self._makers: list[Maker] = []
        self.status = QLabel(self)
        self.status.setWordWrap(True)
        self.tabs = QTabWidget(self)
        self.tabs.addTab(self._new_page(), tr("Install"))
        self.tabs.addTab(self._existing_page(), tr("Use an existing Python"))
        self.tabs.addTab(self._check_page(), tr("Check"))
        self.progress = QProgressBar(self)
        self.progress.setRange(0, 100)
        self.progress.setVisible(False)
        self.log = QPlainTextEdit(self)
        self.log.setReadOnly(True)
        self.log.setMaximumBlockCount(5000)
        self.log.setPlaceholderText(tr("What happens is written here."))
        self.cancel = _button(tr("Cancel"), self._cancel)
        self.cancel.setEnabled(False)
        close = _button(tr("Close"), self.close)
        row = QHBoxLayout()
        row.addWidget(self.progress, 1)
        row.addStretch()
        row.addWidget(self.cancel)
        row.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(self.status)
        layout.addWidget(self.tabs, 3)
        layout.addWidget(self.log, 1)
        layout.addLayout(row)

    # The pages

    def _new_page(self) -> QWidget:
        page = QWidget(self)
        words = QLabel(
            tr(
                "SR Geo does not run inside QGIS, whose libraries would clash with its own: it gets a Python environment in a folder "
                "of yours, outside QGIS and your profile. QGIS itself is not changed."
            ),
            page,
        )
        words.setWordWrap(True)
        self.makers = QComboBox(page)
        self.gpu = QCheckBox(tr("for an NVIDIA graphics card"), page)
        if nvidia_driver() is None:
            self.gpu.setEnabled(False)
            self.gpu.setToolTip(tr("There is no ONNX Runtime for NVIDIA graphics cards on this system."))
        self.train = QCheckBox(tr("with training of regional models"), page)
        self.offline = QgsFileWidget(page)
        self.offline.setStorageMode(QgsFileWidget.StorageMode.GetDirectory)
        self.offline.setToolTip(
            tr("For machines without internet: made by “pip wheel” on another machine of the same system and Python version.")
        )
        self.proxy = QLineEdit(page)
        self.proxy.setPlaceholderText("http://user:password@host:port")
        self.proxy.editingFinished.connect(self._hide_password)
        self.plan = QTextBrowser(page)
        self.install = _button(tr("Install"), self._install)
        self.remove = _button(tr("Remove"), self._remove)
        form = QFormLayout()
        form.addRow(tr("Made with"), self.makers)
        form.addRow("", self.gpu)
        form.addRow("", self.train)
        form.addRow(tr("Folder of wheels"), self.offline)
        form.addRow(tr("Proxy"), self.proxy)
        buttons = QHBoxLayout()
        buttons.addStretch()
        buttons.addWidget(self.remove)
        buttons.addWidget(self.install)
        box = QGroupBox(tr("What will be done"), page)
        inside = QVBoxLayout(box)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.plan)
        layout = QVBoxLayout(page)
        layout.addWidget(words)
        layout.addLayout(form)
        layout.addWidget(box, 1)
        layout.addLayout(buttons)
        self.makers.currentIndexChanged.connect(self._show_plan)
        self.makers.activated.connect(self._chosen)  # comes also where the only entry is chosen again
        self.gpu.toggled.connect(self._show_plan)
        self.train.toggled.connect(self._show_plan)
        self.offline.fileChanged.connect(self._show_plan)
        return page

    def _existing_page(self) -> QWidget:
        page = QWidget(self)
        words = QLabel(
            tr(
                "A Python, or the folder of a virtual environment, in which SR Geo is installed. Left empty, the one made by Install "
                "is used."
            ),
            page,
        )
        words.setWordWrap(True)
        self.existing = QgsFileWidget(page)
        self.existing.setStorageMode(QgsFileWidget.StorageMode.GetFile)
        self.use = _button(tr("Use it"), self._use)
        layout = QVBoxLayout(page)
        layout.addWidget(words)
        layout.addWidget(self.existing)
        row = QHBoxLayout()
        row.addStretch()
        row.addWidget(self.use)
        layout.addLayout(row)
        layout.addStretch()
        return page

    def _check_page(self) -> QWidget:
        page = QWidget(self)
        self.checks = QTableWidget(0, 3, page)
        self.checks.setHorizontalHeaderLabels([tr("Part"), tr("State"), tr("Details, and what to do")])
        self.checks.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.checks.horizontalHeader().setSectionResizeMode(2, QHeaderView.ResizeMode.Stretch)
        self.checks.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.checks.verticalHeader().setVisible(False)
        self.checks.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.checks.setWordWrap(True)
        self.check = _button(tr("Check now"), self._check)
        self.show_log = _button(
            tr("Show the log of the installation"), lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(installer.log_file())))
        )
        layout = QVBoxLayout(page)
        layout.addWidget(self.checks, 1)
        row = QHBoxLayout()
        row.addWidget(self.show_log)
        row.addStretch()
        row.addWidget(self.check)
        layout.addLayout(row)
        return page

    # What is shown

    def refresh(self) -> None:
        """Show how things stand; looks for interpreters, unless something is going on."""
        if self._task is not None:
            return
        if not self.proxy.isModified():  # QGIS's settings may have changed since; what was typed here stays
            self.proxy.setText(installer.system_proxy())
            self._hide_password()
        self.existing.setFilePath(settings.chosen_python())
        if self._makers:
            self._show_state()
            return
        self.status.setText(tr("Looking for what is installed…"))

        def look(task: BackgroundTask) -> list[Maker]:
            settings.runtime()  # asked here, its answer is known when the state is shown
            return list(host_pythons())

        def seen(makers: list[Maker]) -> None:
            self._show_state()
            runtime = settings.runtime()
            ours = runtime is not None and private_environment() in runtime.python.parents
            for part, box in (("gpu", self.gpu), ("train", self.train)):  # so that a repair takes nothing away
                box.setChecked(box.isChecked() or (ours and part in runtime.parts))
            self._found(makers)

        self._start(tr("SR Geo: looking for Python"), look, seen)

    def _show_state(self) -> None:
        runtime = settings.runtime()
        if runtime is None:
            words = tr("SR Geo itself is not installed yet: press Install below. It takes a few minutes, once.")
            if settings.chosen_python():
                words = tr("{python} has no SR Geo any more: install it there again, choose another Python, or press Install below.")
            self.status.setText(f"<b>{html.escape(words.format(python=settings.chosen_python()))}</b>")
        else:
            words = tr("SR Geo {version} is ready: {python}").format(version=runtime.version, python=runtime.python)
            newer = newer_version(runtime)
            if newer:
                brings = tr("SR Geo {version} works, but this plugin comes with {newer}: press Repair to renew it.")
                words = brings.format(version=runtime.version, newer=newer)
            self.status.setText(f"<b>{html.escape(words)}</b>")
        there = private_environment().exists()
        self.install.setText(tr("Repair") if there else tr("Install"))
        self._enable()

    def _enable(self) -> None:
        busy = self._task is not None
        self.install.setEnabled(not busy and self.maker is not None)
        self.remove.setEnabled(not busy and private_environment().exists())
        self.use.setEnabled(not busy)
        self.check.setEnabled(not busy and settings.runtime() is not None)
        self.show_log.setEnabled(installer.log_file().exists())
        self.cancel.setEnabled(busy)
        self.progress.setVisible(busy)

    def _found(self, makers: list[Maker]) -> None:
        self._makers = makers
        self.makers.clear()
        for maker in makers:
            name = f"Python {maker.version}" if maker.kind == "venv" else f"uv {maker.version}"
            self.makers.addItem(f"{name} ({maker.program})")
        self.makers.addItem(tr("another one…"))
        self._show_plan()

    @property
    def maker(self) -> Maker | None:
        """What the environment will be made with."""
        index = self.makers.currentIndex()
        return self._makers[index] if 0 <= index < len(self._makers) else None

    def _chosen(self, index: int) -> None:
        if index == len(self._makers) and self._task is None:
            self._choose_maker()

    def _show_plan(self, *_: object) -> None:
        maker = self.maker
        if maker is None:
            self.plan.setPlainText(
                tr(
                    "No Python 3.10 or later was found. Install one from python.org, or uv, and open this page again; or choose "
                    "another one above."
                )
            )
        else:
            try:
                plan = self._planned(maker)
            except WorkerError as error:
                self.plan.setPlainText(str(error))
                return
            words = (
                tr("{download} MB are downloaded and {disk} MB used in {folder}:")
                if not self.offline.filePath()
                else tr("{disk} MB are used in {folder}:")
            )
            steps = "".join(f"<li><code>{html.escape(hide_password(step.command))}</code></li>" for step in plan.steps)
            about = words.format(download=plan.download_mb, disk=plan.disk_mb, folder=plan.environment)
            notice = ""
            if self.gpu.isChecked() and not nvidia_driver():
                notice = tr(
                    "No driver of an NVIDIA graphics card was found on this machine. Everything works all the same, but runs stay on the "
                    "processor until a driver is installed."
                )
                notice = f"<p><b>{html.escape(notice)}</b></p>"
            self.plan.setHtml(f"{notice}{html.escape(about)}<ol>{steps}</ol>")
        self._enable()

    def _choose_maker(self) -> None:
        from qgis.PyQt.QtWidgets import QFileDialog

        self.makers.setCurrentIndex(0 if self._makers else -1)
        name, _ = QFileDialog.getOpenFileName(self, tr("Python 3.10 or later, or uv"))
        if not name:
            return
        maker = examine(Path(name))
        if maker is None:
            QMessageBox.warning(
                self, self.windowTitle(), tr("{file} is no Python 3.10 or later that can make environments, and not uv.").format(file=name)
            )
            return
        self._found([maker, *(other for other in self._makers if other.program != maker.program)])

    def _planned(self, maker: Maker) -> Plan:
        offline = self.offline.filePath()
        return install_plan(
            maker,
            installer.package(),
            gpu=self.gpu.isChecked(),
            train=self.train.isChecked(),
            offline=Path(offline) if offline else None,
        )

    def _hide_password(self) -> None:
        """An address can be read, one with a password only while it is written. Not for mid writing: Qt would clear the field."""
        hidden = "@" in self.proxy.text()
        self.proxy.setEchoMode(QLineEdit.EchoMode.PasswordEchoOnEdit if hidden else QLineEdit.EchoMode.Normal)

    # What the buttons do

    def _install(self) -> None:
        maker = self.maker
        if maker is None:
            return
        try:
            plan = self._planned(maker)
        except WorkerError as error:
            self._failed(error)
            return
        proxy, direct = self.proxy.text().strip(), installer.direct_hosts()
        self.log.clear()

        def install(task: BackgroundTask) -> None:
            installer.install(
                plan, proxy=proxy, direct=direct, progress=task.progressed, cancelled=task.isCanceled, log=self._line(task)
            )

        self._start(tr("SR Geo: installing"), install, self._installed)

    def _installed(self, _: object) -> None:
        settings.choose_python("")
        self.existing.setFilePath("")
        self._write(tr("Done."))
        self._show_state()
        self.changed.emit()
        self._check()

    def _remove(self) -> None:
        words = tr("Remove the environment in {folder}? Your own models and results stay.").format(folder=private_environment())
        if QMessageBox.question(self, self.windowTitle(), words) == QMessageBox.StandardButton.Yes:
            self._start(tr("SR Geo: removing"), lambda task: installer.remove(private_environment()), self._removed)

    def _removed(self, _: object) -> None:
        self._show_state()
        self.changed.emit()

    def _use(self) -> None:
        path = self.existing.filePath().strip()
        forget_runtimes()

        def look(task: BackgroundTask) -> str:
            if path and find_runtime(path) is None:
                words = tr("{path}: no Python with SR Geo; install it there with pip, or choose another one.")
                raise WorkerError(words.format(path=path))
            return path

        self._start(tr("SR Geo: looking for Python"), look, self._used)

    def _used(self, path: str) -> None:
        settings.choose_python(path)
        self._show_state()
        self.changed.emit()
        if settings.runtime() is not None:
            self._check()

    def _check(self) -> None:
        runtime = settings.runtime()
        if runtime is None:
            return

        def look(task: BackgroundTask) -> list[dict[str, str]]:
            options: dict[str, Any] = {"cancelled": task.isCanceled, "log": self._line(task)}
            settings.remember_models(run(runtime, ["models", "list", "--json"], **options).get("models", []))
            return of_the_plugin(run(runtime, ["doctor", "--json"], allowed=(0, 1), **options).get("checks", []))

        self._start(tr("SR Geo: checking"), look, self._checked)

    def _checked(self, checks: list[dict[str, str]]) -> None:
        names = states()
        self.checks.setRowCount(len(checks))
        for row, check in enumerate(checks):
            details = check["detail"] + (f"\n→ {check['remedy']}" if check["remedy"] else "")
            for column, text in enumerate((check["name"], names.get(check["state"], check["state"]), details)):
                item = QTableWidgetItem(text)
                if column == 1:
                    item.setForeground(_colour(check["state"]))
                self.checks.setItem(row, column, item)
        self.tabs.setCurrentIndex(2)
        self.changed.emit()

    # Tasks

    def _start(self, description: str, job: Callable[[BackgroundTask], Any], done: Callable[[Any], None]) -> None:
        if self._task is not None:
            return

        def ended(value: Any) -> None:
            self._task = None
            if self._shut:
                return
            self.progress.setVisible(False)
            done(value)
            self._enable()

        def failed(error: WorkerError) -> None:
            self._task = None
            if self._shut:
                return
            self._show_state()
            self._failed(error)

        self._task = _LinesTask(description, job, done=ended, failed=failed)
        self._task.said.connect(self._said)
        self._task.line.connect(self._write)
        self.progress.setValue(0)
        self.progress.setFormat("%p%")
        self._enable()
        QgsApplication.taskManager().addTask(self._task)

    def _write(self, line: str) -> None:
        """Add a line to the log and stay at its end, which Qt alone loses where the scroll bar comes and lines break anew."""
        bar = self.log.verticalScrollBar()
        at_end = bar.value() + bar.pageStep() >= bar.maximum()
        self.log.appendPlainText(line)
        if at_end:
            bar.setValue(bar.maximum())

    def _line(self, task: Any) -> Callable[[str], None]:
        return task.line.emit

    def _said(self, share: float, words: str) -> None:
        if self._task is None or self._task.isCanceled():
            return
        self.progress.setValue(round(100 * share))
        self.progress.setFormat(words.replace("%", "%%"))

    def _cancel(self) -> None:
        if self._task is not None:
            self.cancel.setEnabled(False)  # it may take some seconds until all is taken away
            self.progress.setFormat(tr("Cancelling…"))
            self._task.cancel()

    def shut_down(self) -> None:
        """Stop what goes on, and show nothing more; before the plugin is unloaded."""
        self._shut = True
        task = self._task
        if task is not None:
            task.cancel()
            task.waitForFinished(10_000)
        self.close()

    def _failed(self, error: WorkerError) -> None:
        self._write(str(error))
        if not isinstance(error, Cancelled):
            QMessageBox.warning(self, self.windowTitle(), str(error))


class _LinesTask(BackgroundTask):
    """One that hands on what is said, line by line."""

    line = pyqtSignal(str)


def _button(text: str, slot: Callable[..., Any]) -> QPushButton:
    button = QPushButton(text)
    button.clicked.connect(lambda *_: slot())
    button.setAutoDefault(False)
    return button


def _colour(state: str) -> Any:
    from qgis.PyQt.QtGui import QBrush, QColor

    return QBrush(QColor(_COLOURS.get(state, "#444444")))
