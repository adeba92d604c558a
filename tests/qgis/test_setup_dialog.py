"""The page of Set up: what it shows and what its buttons do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtWidgets import QMessageBox

from sr_geo_plugin import installer, settings
from sr_geo_plugin.environment import Maker, forget_runtimes, private_environment
from sr_geo_plugin.setup_dialog import SetUpDialog
from sr_geo_plugin.worker import WorkerError

MAKER = Maker(Path("/usr/bin/python3.12"), "venv", "3.12.1")


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts of message boxes, which are not shown."""
    said: list[str] = []
    monkeypatch.setattr(QMessageBox, "warning", lambda _parent, _title, text: said.append(text))
    return said


@pytest.fixture
def dialog(qtbot: Any, monkeypatch: pytest.MonkeyPatch, warned: list[str]) -> Iterator[SetUpDialog]:
    monkeypatch.delenv("SR_GEO_PYTHON", raising=False)
    monkeypatch.setattr("sr_geo_plugin.setup_dialog.host_pythons", lambda: iter([MAKER]))
    settings.choose_python("")
    forget_runtimes()
    page = SetUpDialog()
    qtbot.addWidget(page)
    page.refresh()
    qtbot.waitUntil(lambda: page.makers.count() == 2, timeout=20_000)
    qtbot.waitUntil(page.install.isEnabled, timeout=20_000)
    yield page
    QgsSettings().remove("sr_geo/python")


def test_what_it_will_do_is_shown_before_anything_is_done(dialog: SetUpDialog) -> None:
    assert "not installed yet" in dialog.status.text()
    assert dialog.makers.itemText(0) == "Python 3.12.1 (/usr/bin/python3.12)"
    assert str(private_environment()) in dialog.plan.toPlainText()
    assert "190 MB are downloaded" in dialog.plan.toPlainText()
    assert "-m venv" in dialog.plan.toPlainText()
    dialog.gpu.setChecked(True)
    assert "onnxruntime-gpu[cuda,cudnn]" in dialog.plan.toPlainText()
    dialog.offline.setFilePath("/media/wheels")
    assert "--find-links /media/wheels" in dialog.plan.toPlainText()
    assert "downloaded" not in dialog.plan.toPlainText()
    assert not private_environment().exists()


def test_installing_runs_the_plan_in_the_background(dialog: SetUpDialog, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []

    def install(plan: Any, *, proxy: str, progress: Any, cancelled: Any, log: Any) -> None:
        plans.append((plan, proxy))
        progress(0.5, "half")
        log("a line")

    monkeypatch.setattr(installer, "install", install)
    dialog.proxy.setText("http://proxy:3128")
    with qtbot.waitSignal(dialog.changed, timeout=20_000):
        dialog.install.click()
    ((plan, proxy),) = plans
    assert proxy == "http://proxy:3128"
    assert plan.steps[0].command[0] == "/usr/bin/python3.12"
    qtbot.waitUntil(lambda: "a line" in dialog.log.toPlainText(), timeout=20_000)


def test_cancel(dialog: SetUpDialog, qtbot: Any, monkeypatch: pytest.MonkeyPatch, warned: list[str]) -> None:
    from sr_geo_plugin.worker import Cancelled

    def install(plan: Any, *, proxy: str, progress: Any, cancelled: Any, log: Any) -> None:
        log("begun")
        qtbot_free_wait(cancelled)
        raise Cancelled

    monkeypatch.setattr(installer, "install", install)
    dialog.install.click()
    qtbot.waitUntil(lambda: "begun" in dialog.log.toPlainText(), timeout=20_000)
    assert dialog.cancel.isEnabled()
    assert not dialog.install.isEnabled()
    dialog.cancel.click()
    qtbot.waitUntil(dialog.install.isEnabled, timeout=20_000)
    assert warned == [], "what the user stopped is no failure"


def qtbot_free_wait(cancelled: Any) -> None:
    """In the task's thread: wait until it was cancelled."""
    import time

    until = time.monotonic() + 20
    while not cancelled() and time.monotonic() < until:
        time.sleep(0.02)


def test_a_failure_is_told_and_the_page_lives_on(
    dialog: SetUpDialog, qtbot: Any, monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    def install(*_: Any, **__: Any) -> None:
        raise WorkerError("no network")

    monkeypatch.setattr(installer, "install", install)
    dialog.install.click()
    qtbot.waitUntil(lambda: warned == ["no network"], timeout=20_000)
    assert dialog.install.isEnabled()


def test_an_existing_python(dialog: SetUpDialog, qtbot: Any, toolkit_python: Path, warned: list[str], tmp_path: Path) -> None:
    dialog.existing.setFilePath(str(tmp_path))
    dialog.use.click()
    assert "no Python with SR Geo" in warned[0]
    assert settings.chosen_python() == ""
    dialog.existing.setFilePath(str(toolkit_python))
    dialog.use.click()
    assert settings.chosen_python() == str(toolkit_python)
    assert "is ready" in dialog.status.text()
    qtbot.waitUntil(lambda: dialog.checks.rowCount() > 5, timeout=60_000)
    texts = {dialog.checks.item(row, 0).text(): dialog.checks.item(row, 1).text() for row in range(dialog.checks.rowCount())}
    assert texts["model satellite-rgbn-x4"] == "works"
    assert "satellite-rgbn-x4" in settings.known_models()


def test_nothing_is_left_in_the_task_manager(dialog: SetUpDialog, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: QgsApplication.taskManager().countActiveTasks() == 0, timeout=20_000)
