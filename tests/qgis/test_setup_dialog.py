"""The page of Set up: what it shows and what its buttons do."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from qgis.core import QgsApplication, QgsNetworkAccessManager, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication
from qgis.PyQt.QtWidgets import QFileDialog, QMessageBox

from sr_geo_plugin import installer, settings
from sr_geo_plugin.environment import Maker, Runtime, forget_runtimes, private_environment
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
    assert "not installed yet: press Install below" in dialog.status.text()
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


OLDER = "0.9.1 works, but this plugin comes with 0.10.0: press Repair"


@pytest.mark.parametrize(("brought", "words"), [("0.10.0", OLDER), ("0.9.1", "0.9.1 is ready"), ("0.9.0", "0.9.1 is ready")])
def test_an_old_environment_is_named(dialog: SetUpDialog, monkeypatch: pytest.MonkeyPatch, brought: str, words: str) -> None:
    ours = Runtime(private_environment() / "bin" / "python", "0.9.1", ())
    monkeypatch.setattr(settings, "runtime", lambda: ours)
    monkeypatch.setattr("sr_geo_plugin.environment.bundled_wheel", lambda: Path(f"sr_geo-{brought}-py3-none-any.whl"))
    dialog._show_state()
    assert words in dialog.status.text()


def test_a_graphics_card_that_is_not_there(dialog: SetUpDialog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sr_geo_plugin.setup_dialog.nvidia_driver", lambda: False)
    assert "No driver" not in dialog.plan.toPlainText()
    dialog.gpu.setChecked(True)
    assert "No driver of an NVIDIA graphics card was found" in dialog.plan.toPlainText()
    monkeypatch.setattr("sr_geo_plugin.setup_dialog.nvidia_driver", lambda: True)
    dialog._show_plan()
    assert "No driver" not in dialog.plan.toPlainText()


@pytest.mark.parametrize(("driver", "offered"), [(None, False), (False, True), (True, True)])
def test_where_there_can_be_no_graphics_card_none_is_offered(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch, driver: "bool | None", *, offered: bool
) -> None:
    monkeypatch.setattr("sr_geo_plugin.setup_dialog.nvidia_driver", lambda: driver)
    page = SetUpDialog()
    qtbot.addWidget(page)
    assert page.gpu.isEnabled() is offered


@pytest.fixture
def network() -> Iterator[Callable[..., None]]:
    """Sets QGIS's own proxy, as its options do."""
    names = ("proxyEnabled", "proxyType", "proxyHost", "proxyPort", "proxyUser", "proxyPassword", "noProxyUrls", "proxyExcludedUrls")

    def chosen(**values: Any) -> None:
        for name in names:
            QgsSettings().remove(f"proxy/{name}")
        for name, value in values.items():
            QgsSettings().setValue(f"proxy/{name}", value)
        QgsNetworkAccessManager.instance().setupDefaultProxyAndCache()

    yield chosen
    chosen()


def test_the_proxy_is_that_of_qgis_also_when_it_is_changed_later(dialog: SetUpDialog, qtbot: Any, network: Callable[..., None]) -> None:
    network(proxyEnabled=True, proxyType="HttpProxy", proxyHost="proxy", proxyPort="3128")
    dialog.refresh()
    assert dialog.proxy.text() == "http://proxy:3128"
    assert dialog.proxy.displayText() == "http://proxy:3128", "it can be read"
    network(proxyEnabled=True, proxyType="HttpProxy", proxyHost="proxy", proxyPort="8080", proxyUser="ana", proxyPassword="p@ss")
    dialog.refresh()
    assert dialog.proxy.text() == "http://ana:p%40ss@proxy:8080"
    assert "ana" not in dialog.proxy.displayText(), "a password is hidden"
    dialog.proxy.clear()
    qtbot.keyClicks(dialog.proxy, "http://mine:1")
    dialog.refresh()
    assert dialog.proxy.text() == "http://mine:1", "what was typed stays"


def test_other_kinds_of_proxy(network: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    network(proxyEnabled=True, proxyType="Socks5Proxy", proxyHost="proxy", proxyPort="1080")
    assert installer.system_proxy() == "socks5h://proxy:1080"
    network(proxyEnabled=False, proxyType="HttpProxy", proxyHost="proxy", proxyPort="3128")
    assert installer.system_proxy() == ""
    monkeypatch.setenv("HTTPS_PROXY", "http://system:3128")
    assert installer.system_proxy() == "http://system:3128"


def test_addresses_that_qgis_asks_without_its_proxy(network: Callable[..., None]) -> None:
    urls = ["https://mirror.example.org/simple", "intranet.example.org:8080", "URL"]
    network(proxyEnabled=True, proxyType="HttpProxy", proxyHost="proxy", proxyPort="3128", noProxyUrls=urls)
    assert installer.direct_hosts() == ["mirror.example.org", "intranet.example.org", "url"]


def test_installing_runs_the_plan_in_the_background(dialog: SetUpDialog, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = []

    def install(plan: Any, *, proxy: str, direct: list[str], progress: Any, cancelled: Any, log: Any) -> None:
        plans.append((plan, proxy, direct))
        progress(0.5, "half")
        log("a line")

    monkeypatch.setattr(installer, "install", install)
    monkeypatch.setattr(installer, "direct_hosts", lambda: ["mirror.example.org"])
    dialog.proxy.setText("http://proxy:3128")
    with qtbot.waitSignal(dialog.changed, timeout=20_000):
        dialog.install.click()
    ((plan, proxy, direct),) = plans
    assert (proxy, direct) == ("http://proxy:3128", ["mirror.example.org"])
    assert plan.steps[0].command[0] == "/usr/bin/python3.12"
    qtbot.waitUntil(lambda: "a line" in dialog.log.toPlainText(), timeout=20_000)


UV_SAYS = [
    "2026-05-04T10:00:00+00:00 /persons/ana/.local/share/sr-geo/qgis/environment",
    "> /opt/uv/bin/uv venv --clear --python >=3.10 /persons/ana/.local/share/sr-geo/qgis/environment",
    "Using CPython 3.11.2 interpreter at: /usr/bin/python3",
    "Creating virtual environment at: environment",
    "> /opt/uv/bin/uv pip install --python /persons/ana/.local/share/sr-geo/qgis/environment/bin/python "
    "/persons/ana/.local/share/QGIS/QGIS3/profiles/default/python/plugins/sr_geo_plugin/wheels/sr_geo-0.1.0-py3-none-any.whl",
    *(f"Downloading package {number}" for number in range(30)),
]


def test_the_log_follows_what_happens(dialog: SetUpDialog, qtbot: Any) -> None:
    dialog.show()
    bar = dialog.log.verticalScrollBar()
    for width in range(500, 900, 8):
        dialog.resize(width, 700)
        dialog.log.clear()
        for line in UV_SAYS:
            dialog._write(line)
            QCoreApplication.processEvents()
        assert bar.value() == bar.maximum() > 0, width
    bar.setValue(0)  # the user reads what came before
    dialog._write("more")
    assert bar.value() == 0


def test_cancel(dialog: SetUpDialog, qtbot: Any, monkeypatch: pytest.MonkeyPatch, warned: list[str]) -> None:
    from sr_geo_plugin.worker import Cancelled

    def install(plan: Any, *, progress: Any, cancelled: Any, log: Any, **_: Any) -> None:
        log("begun")
        qtbot_free_wait(cancelled)
        raise Cancelled

    monkeypatch.setattr(installer, "install", install)
    dialog.install.click()
    qtbot.waitUntil(lambda: "begun" in dialog.log.toPlainText(), timeout=20_000)
    assert dialog.cancel.isEnabled()
    assert not dialog.install.isEnabled()
    dialog.cancel.click()
    assert dialog.progress.format() == "Cancelling…"
    assert not dialog.cancel.isEnabled()
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
    qtbot.waitUntil(lambda: bool(warned), timeout=60_000)
    assert "no Python with SR Geo" in warned[0]
    assert dialog.existing.filePath() == str(tmp_path), "to be corrected"
    assert settings.chosen_python() == ""
    dialog.existing.setFilePath(str(toolkit_python))
    dialog.use.click()
    qtbot.waitUntil(lambda: settings.chosen_python() == str(toolkit_python), timeout=60_000)
    assert "is ready" in dialog.status.text()
    qtbot.waitUntil(lambda: dialog.checks.rowCount() > 5, timeout=60_000)
    texts = {dialog.checks.item(row, 0).text(): dialog.checks.item(row, 1).text() for row in range(dialog.checks.rowCount())}
    assert texts["model satellite-rgbn-x4"] == "works"
    assert "satellite-rgbn-x4" in settings.known_models()


def test_where_no_python_is_found_one_can_be_chosen(qtbot: Any, monkeypatch: pytest.MonkeyPatch, warned: list[str], tmp_path: Path) -> None:
    """The only entry of the list is the shown one already, and must answer to a click all the same."""
    monkeypatch.delenv("SR_GEO_PYTHON", raising=False)
    monkeypatch.setattr("sr_geo_plugin.setup_dialog.host_pythons", lambda: iter([]))
    monkeypatch.setattr("sr_geo_plugin.setup_dialog.examine", lambda path: MAKER if path.name == "good" else None)
    names = iter([str(tmp_path / "bad"), str(tmp_path / "good")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (next(names), ""))
    page = SetUpDialog()
    qtbot.addWidget(page)
    page.refresh()
    qtbot.waitUntil(lambda: page._task is None, timeout=20_000)
    assert page.makers.count() == 1
    assert "No Python 3.10 or later was found" in page.plan.toPlainText()
    assert not page.install.isEnabled()
    page.makers.activated.emit(0)
    assert "bad is no Python 3.10 or later" in warned[0]
    page.makers.activated.emit(0)
    assert page.maker == MAKER
    assert page.install.isEnabled()


@pytest.mark.parametrize("ours", [True, False])
def test_a_repair_keeps_the_parts_that_are_there(qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, ours: bool) -> None:
    """What another Python of the user's has does not matter."""
    python = private_environment() / "bin" / "python" if ours else tmp_path / "python"
    monkeypatch.setattr("sr_geo_plugin.setup_dialog.host_pythons", lambda: iter([MAKER]))
    monkeypatch.setattr(settings, "runtime", lambda: Runtime(python, "0.1.0", ("train",)))
    page = SetUpDialog()
    qtbot.addWidget(page)
    page.refresh()
    qtbot.waitUntil(page.install.isEnabled, timeout=20_000)
    assert (page.train.isChecked(), page.gpu.isChecked()) == (ours, False)
    assert ("sr-geo[train]" in page.plan.toPlainText()) is ours


def test_the_environment_is_removed_in_the_background(dialog: SetUpDialog, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    monkeypatch.setattr(installer, "remove", lambda folder: threads.append((folder, threading.current_thread())))
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    private_environment().mkdir(parents=True)
    dialog.refresh()
    with qtbot.waitSignal(dialog.changed, timeout=20_000):
        dialog.remove.click()
    ((folder, thread),) = threads
    assert folder == private_environment()
    assert thread is not threading.main_thread()


def test_the_page_goes_with_the_plugin_in_mid_installation(dialog: SetUpDialog, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sr_geo_plugin.worker import Cancelled

    seen: list[str] = []

    def install(plan: Any, *, progress: Any, cancelled: Any, log: Any, **_: Any) -> None:
        seen.append("begun")
        qtbot_free_wait(cancelled)
        seen.append("ended")
        raise Cancelled

    monkeypatch.setattr(installer, "install", install)
    dialog.install.click()
    qtbot.waitUntil(lambda: seen == ["begun"], timeout=20_000)
    said = dialog.status.text()
    dialog.shut_down()
    qtbot.waitUntil(lambda: QgsApplication.taskManager().countActiveTasks() == 0, timeout=20_000)
    assert seen == ["begun", "ended"]
    assert dialog.status.text() == said, "what is shown is not touched any more"
    assert not dialog.isVisible()


def test_nothing_is_left_in_the_task_manager(dialog: SetUpDialog, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: QgsApplication.taskManager().countActiveTasks() == 0, timeout=20_000)
