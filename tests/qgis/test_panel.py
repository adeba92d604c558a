"""The panel: what is added to the project, what is said, and that everything can be taken back."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from osgeo import gdal, ogr
from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QCoreApplication, QElapsedTimer, QEvent, QPoint, Qt, QTimer
from qgis.PyQt.QtTest import QTest
from qgis.PyQt.QtWidgets import QFrame, QPushButton, QStyle, QStyleOptionComboBox

from sr_geo_plugin import settings
from sr_geo_plugin.environment import Runtime
from sr_geo_plugin.panel import jobs
from sr_geo_plugin.panel.dock import SrGeoDock
from sr_geo_plugin.panel.table import read_table, write_csv
from sr_geo_plugin.panel.view import PanelView
from sr_geo_plugin.worker import WorkerError

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"
MILLISECONDS = 120_000
FOREIGN = ("rasterio", "shapely", "pyproj", "pyogrio", "geopandas", "torch", "onnxruntime", "sr_geo")


def wait_for(condition: Callable[[], bool]) -> None:
    clock = QElapsedTimer()
    clock.start()
    while not condition():
        assert clock.elapsed() < MILLISECONDS, "nothing came"
        QCoreApplication.processEvents()
        QTest.qWait(10)
    QTest.qWait(20)  # what was put off to the next turn of the event loop


class FakeWorker:
    """Stands in for the worker: enlarges the raster, or does what a test wants."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.act: Callable[[list[str]], None] = lambda words: None
        self.warnings: list[str] = []

    def __call__(self, runtime: Runtime, words: Sequence[str], *, log: Any, cancelled: Any, progress: Any = None) -> dict[str, Any]:
        if words[0] == "models":
            return {"models": [{"name": "steppe-x4", "domain": "satellite", "purpose": "Wheat"}, {"name": "faces", "domain": "face"}]}
        self.calls.append(list(words))
        self.act(list(words))
        for line in self.warnings:
            log(f"warning: {line}")
        source, output = words[1], words[2]
        with_scale = gdal.Translate(output, source, widthPct=400, heightPct=400)
        assert with_scale is not None
        made = {"outputs": [output]}
        for option in ("--detail-map", "--parcel-table"):
            if option in words:
                path = words[list(words).index(option) + 1]
                gdal.Translate(path, source, bandList=[1], widthPct=400, heightPct=400) if path.endswith(".tif") else table_file(Path(path))
        progress(1.0, "")
        return made


def table_file(path: Path) -> Path:
    """As the worker writes it: two fields, the second beyond the image."""
    base = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    layer = base.CreateLayer("parcels", _utm(), ogr.wkbPolygon)
    kinds = {"id": ogr.OFTString, "name": ogr.OFTString, "width_px": ogr.OFTReal, "valid_share": ogr.OFTReal}
    kinds |= dict.fromkeys(("red_before", "red_after", "ndvi_before", "ndvi_after", "detail", "area_ha"), ogr.OFTReal)
    kinds |= {"crop": ogr.OFTString, "source_name": ogr.OFTString}
    for name, kind in kinds.items():
        layer.CreateField(ogr.FieldDefn(name, kind))
    for number, (title, ndvi) in enumerate((("Оңтүстік", 0.61), ("Солтүстік", None)), start=1):
        feature = ogr.Feature(layer.GetLayerDefn())
        values = {"id": str(number), "source_name": title, "area_ha": 5.824 * number, "red_before": 0.1, "red_after": 0.2}
        for name, value in {**values, "valid_share": 1.0}.items():
            feature.SetField(name, value)
        if ndvi is not None:
            feature.SetField("ndvi_after", ndvi)
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POLYGON(({number}00 0,{number}50 0,{number}50 50,{number}00 50,{number}00 0))"))
        layer.CreateFeature(feature)
    base = None
    return path


def _utm() -> Any:
    from osgeo import osr

    system = osr.SpatialReference()
    system.ImportFromEPSG(32642)
    return system


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> FakeWorker:
    fake = FakeWorker()
    monkeypatch.setattr(jobs, "run", fake)
    monkeypatch.setattr(settings, "runtime", lambda: Runtime(Path(sys.executable), "0.1"))
    return fake


@pytest.fixture
def image(tmp_path: Path, qgis_new_project: None) -> QgsRasterLayer:
    path = tmp_path / "Ферма 10 m.tif"
    shutil.copy(SAMPLE / "rendered_farm.tif", path)
    layer = QgsRasterLayer(str(path), "Farm")
    project = QgsProject.instance()
    project.setCrs(layer.crs())
    group = project.layerTreeRoot().addGroup("May")
    project.addMapLayer(layer, False)
    group.addLayer(layer)
    return layer


@pytest.fixture
def fields(image: QgsRasterLayer) -> QgsVectorLayer:
    layer = QgsVectorLayer(str(SAMPLE / "rendered_farm_parcels.geojson"), "Fields", "ogr")
    QgsProject.instance().addMapLayer(layer)
    return layer


@pytest.fixture
def dock(qgis_iface: Any, image: QgsRasterLayer, worker: FakeWorker) -> Iterator[SrGeoDock]:
    qgis_iface.messageBar().clearWidgets()
    canvas = qgis_iface.mapCanvas()
    canvas.setDestinationCrs(image.crs())
    canvas.setExtent(image.extent())
    dock = SrGeoDock(qgis_iface)
    wait_for(lambda: dock._looking is None)
    yield dock
    dock.shut_down()
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def said(qgis_iface: Any) -> tuple[str, Any]:
    QTest.qWait(50)
    item = qgis_iface.messageBar().currentItem()
    return ("", None) if item is None else (item.text(), item.level())


def run(dock: SrGeoDock) -> None:
    dock.view.run.click()
    wait_for(lambda: dock._running is None)


def tree() -> list[str]:
    """Names in the layer tree, groups with what is in them."""
    return [
        f"{node.name()}: {', '.join(child.name() for child in node.children())}" if hasattr(node, "addLayer") else node.name()
        for node in QgsProject.instance().layerTreeRoot().children()
    ]


# --- a run ------------------------------------------------------------------------------------------------------------


def test_the_result_lies_above_the_image_and_looks_like_it(dock: SrGeoDock, image: QgsRasterLayer, qgis_iface: Any) -> None:
    image.renderer().setRedBand(4)
    image.setOpacity(0.8)
    run(dock)
    assert tree() == ["May: Farm ×4, Farm"]
    result = QgsProject.instance().mapLayersByName("Farm ×4")[0]
    assert result.renderer().usesBands() == image.renderer().usesBands()
    assert result.opacity() == image.opacity()
    assert result.extent() == image.extent()
    assert result.isTemporary()
    text, level = said(qgis_iface)
    assert (text[:13], level) == ("Farm ×4 added", Qgis.MessageLevel.Success)


def test_undo_removes_layers_and_temporary_files(dock: SrGeoDock, fields: QgsVectorLayer) -> None:
    dock.view.form.parcels.setLayer(fields)
    dock.view.form.detail_map.setChecked(True)
    run(dock)
    assert tree() == ["Fields", "May: Farm ×4, added detail, Farm ×4, Farm"]
    result = dock._results[0]
    assert {path.name for path in result.folder.iterdir()} >= {"Farm_x4.tif", "Farm_x4_detail.tif", "Farm_x4_parcels.gpkg"}
    dock.view.remove.click()
    assert tree() == ["Fields", "May: Farm"]
    assert not result.folder.exists()
    assert not dock.view.results_box.isVisibleTo(dock)


def test_undo_leaves_a_file_that_the_user_named(dock: SrGeoDock, tmp_path: Path, qgis_iface: Any) -> None:
    dock.view.form.file.setFilePath(str(tmp_path / "mine"))  # the ending is added
    run(dock)
    dock.undo(dock._results[0])
    assert tree() == ["May: Farm"]
    assert (tmp_path / "mine.tif").exists()
    assert said(qgis_iface)[0] == f"The layer was removed; the file stays: {tmp_path / 'mine.tif'}"


def test_a_name_without_a_folder_lies_beside_the_project(dock: SrGeoDock, worker: FakeWorker, tmp_path: Path) -> None:
    """The worker runs in a folder of its own, which is deleted afterwards."""
    form = dock.view.form
    form.file.setFilePath("mine")
    assert form.output == Path.home() / "mine.tif"
    QgsProject.instance().write(str(tmp_path / "project.qgz"))
    assert form.output == tmp_path / "mine.tif"
    run(dock)
    assert worker.calls[0][2] == str(tmp_path / "mine.tif")
    form.file.setFilePath("~/mine.tif")
    assert form.output == Path.home() / "mine.tif"


def test_the_button_of_the_message_undoes_too(dock: SrGeoDock, qgis_iface: Any) -> None:
    run(dock)
    said(qgis_iface)
    button = next(push for push in qgis_iface.messageBar().currentItem().findChildren(QPushButton) if push.text() == "Undo")
    button.click()
    assert tree() == ["May: Farm"]


def test_a_layer_that_the_user_removed_is_forgotten(dock: SrGeoDock) -> None:
    run(dock)
    run(dock)
    assert dock.view.results.count() == 2
    QgsProject.instance().removeMapLayer(dock._results[0].layer_ids[0])
    assert dock.view.results.count() == 1
    QgsProject.instance().clear()
    assert dock.view.results.count() == 0


def test_what_the_worker_is_told(dock: SrGeoDock, worker: FakeWorker, fields: QgsVectorLayer, image: QgsRasterLayer) -> None:
    form = dock.view.form
    form.parcels.setLayer(fields)
    form.models.setCurrentIndex(form.models.findData("steppe-x4"))
    form.bands["red"].setBand(3)
    form.bands["nir"].setBand(4)
    form.blur.setValue(1.8)
    form.buffer.setValue(20)
    form.whole_box.setChecked(True)
    run(dock)
    words = worker.calls[0]
    assert words[:2] == ["enhance", image.source()]
    told = " ".join(words[3:])
    for part in ("--bands red=3,nir=4", "--model steppe-x4", "--psf 1.8", "--buffer-m 20 ", "--parcels-as box", "--progress json"):
        assert part in told
    assert form.models.findData("faces") == -1


def test_nothing_is_told_that_was_not_chosen(dock: SrGeoDock, worker: FakeWorker) -> None:
    run(dock)
    assert [word for word in worker.calls[0][3:] if word.startswith("--")] == ["--overwrite", "--progress"]


def test_selected_fields_only(dock: SrGeoDock, worker: FakeWorker, fields: QgsVectorLayer) -> None:
    dock.view.form.parcels.setLayer(fields)
    assert not dock.view.form.selected.isEnabled()
    fields.selectByIds([feature.id() for feature in list(fields.getFeatures())[:3]])
    assert "(3)" in dock.view.form.selected.text()
    dock.view.form.selected.setChecked(True)
    counts = []
    worker.act = lambda words: counts.append(QgsVectorLayer(words[words.index("--parcels") + 1]).featureCount())
    run(dock)
    assert counts == [3]


def test_warnings_of_the_worker_are_shown(dock: SrGeoDock, worker: FakeWorker, qgis_iface: Any) -> None:
    worker.warnings = ["p.gpkg: 2 parcels lie outside the raster: left out"]
    run(dock)
    text, level = said(qgis_iface)
    assert text.endswith("2 parcels lie outside the raster: left out")
    assert level == Qgis.MessageLevel.Warning


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_failure_says_what_to_do_and_leaves_nothing(dock: SrGeoDock, worker: FakeWorker, qgis_iface: Any) -> None:
    outputs = []

    def full(words: list[str]) -> None:
        outputs.append(Path(words[2]))
        outputs[0].with_name(f"{outputs[0].name}.part").mkdir()
        raise WorkerError("out.tif: no room on the disk; make some and run again", "log")

    worker.act = full
    run(dock)
    assert said(qgis_iface) == ("out.tif: no room on the disk; make some and run again", Qgis.MessageLevel.Critical)
    assert tree() == ["May: Farm"]
    assert not outputs[0].parent.exists()
    assert dock.view.run.isEnabled()


def test_an_error_of_ours_does_not_end_qgis(dock: SrGeoDock, worker: FakeWorker, qgis_iface: Any) -> None:
    worker.act = lambda words: 1 / 0
    run(dock)
    text, level = said(qgis_iface)
    assert (text[:30], level) == ("Unexpected: ZeroDivisionError:", Qgis.MessageLevel.Critical)


def test_the_image_is_removed_during_the_run(dock: SrGeoDock, worker: FakeWorker, image: QgsRasterLayer, qgis_iface: Any) -> None:
    bands = image.renderer().usesBands()
    running = []
    worker.act = lambda words: wait_in_thread(lambda: bool(running))
    dock.view.run.click()
    QgsProject.instance().removeMapLayer(image.id())
    running.append(True)
    wait_for(lambda: dock._running is None)
    assert "on top" in said(qgis_iface)[0]
    assert tree()[0] == "Farm ×4"
    assert QgsProject.instance().mapLayersByName("Farm ×4")[0].renderer().usesBands() == bands


def wait_in_thread(condition: Callable[[], bool]) -> None:
    import time

    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)


def test_the_file_of_the_image_is_deleted_during_the_run(
    dock: SrGeoDock, worker: FakeWorker, image: QgsRasterLayer, qgis_iface: Any
) -> None:
    """The file and its layer are gone when the worker tells of it."""
    ready: list[bool] = []

    def lose(words: list[str]) -> None:
        Path(words[1]).unlink()
        ready.append(True)
        wait_in_thread(lambda: QgsProject.instance().count() == 0)
        raise WorkerError(f"{words[1]}: no such file; check the name")

    worker.act = lose
    dock.view.run.click()
    wait_for(lambda: bool(ready))
    QgsProject.instance().removeMapLayer(image.id())
    wait_for(lambda: dock._running is None)
    assert said(qgis_iface)[1] == Qgis.MessageLevel.Critical
    assert "no such file" in said(qgis_iface)[0]
    assert tree() == ["May: "]
    assert dock.view.run.isEnabled()


def test_a_layer_whose_file_is_gone_since_the_project_was_saved(dock: SrGeoDock, tmp_path: Path, qgis_iface: Any) -> None:
    lost = QgsRasterLayer(str(tmp_path / "lost.tif"), "Lost")
    QgsProject.instance().addMapLayer(lost)
    dock.view.form.layers.setLayer(lost)
    for button in (dock.view.run, dock.view.preview):
        qgis_iface.messageBar().clearWidgets()
        button.click()
        wait_for(lambda: dock._running is None and dock._previewing is None)
        assert "lost.tif: the file is no longer there; put it back" in said(qgis_iface)[0]


def test_words_that_come_late_do_not_hide_that_it_stops(dock: SrGeoDock, worker: FakeWorker) -> None:
    worker.act = lambda words: wait_in_thread(dock._running.isCanceled)
    dock.view.run.click()
    wait_for(lambda: bool(worker.calls))
    dock.view.cancel.click()
    dock._running.said.emit(0.5, "Enhancing: tile 1 of 2")
    assert dock.view.progress_words.text() == "Stopping…"
    wait_for(lambda: dock._running is None)


def test_closing_in_mid_run_ends_the_worker(
    qgis_iface: Any, image: QgsRasterLayer, toolkit_python: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SR_GEO_PYTHON", str(toolkit_python))
    dock = SrGeoDock(qgis_iface)
    wait_for(lambda: dock._looking is None)
    dock.view.form.file.setFilePath(str(tmp_path / "out.tif"))
    dock.view.run.click()
    task = dock._running
    shares: list[float] = []
    task.said.connect(lambda share, words: shares.append(share))
    wait_for(lambda: bool(shares) or dock._running is None)
    assert dock._running is not None, "it ended before it could be closed"
    clock = QElapsedTimer()
    clock.start()
    dock.shut_down()
    assert clock.elapsed() < 10_000, "the worker was not heard to end"
    dock.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QTest.qWait(200)  # what comes after the end finds no panel
    assert QgsApplication.taskManager().countActiveTasks() == 0
    assert not list(tmp_path.glob("out.tif*"))


def test_a_stop_is_no_error(dock: SrGeoDock, worker: FakeWorker, qgis_iface: Any) -> None:
    def wait(words: list[str]) -> None:
        wait_in_thread(dock._running.isCanceled)
        raise jobs.WorkerError("the worker was stopped")

    worker.act = wait
    dock.view.run.click()
    QTest.qWait(50)
    dock.view.cancel.click()
    wait_for(lambda: dock._running is None)
    assert said(qgis_iface) == ("Stopped; nothing was written.", Qgis.MessageLevel.Info)
    assert tree() == ["May: Farm"]


def test_fields_without_crs(dock: SrGeoDock, worker: FakeWorker, qgis_iface: Any) -> None:
    plain = QgsVectorLayer("Polygon", "Plain", "memory")
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(0, 0, 1, 1)))
    plain.dataProvider().addFeatures([feature])
    plain.setCrs(QgsCoordinateReferenceSystem())
    QgsProject.instance().addMapLayer(plain)
    dock.view.form.parcels.setLayer(plain)
    run(dock)
    text, level = said(qgis_iface)
    assert "no CRS" in text
    assert level == Qgis.MessageLevel.Critical
    assert worker.calls == []


def test_a_file_that_is_open_is_not_written_over(dock: SrGeoDock, worker: FakeWorker, image: QgsRasterLayer, qgis_iface: Any) -> None:
    dock.view.form.file.setFilePath(image.source())
    run(dock)
    assert "is open as the layer Farm: remove that layer, or choose another name" in said(qgis_iface)[0]
    assert worker.calls == []


def test_without_an_image(dock: SrGeoDock, image: QgsRasterLayer, qgis_iface: Any) -> None:
    QgsProject.instance().removeMapLayer(image.id())
    for button in (dock.view.run, dock.view.preview):
        button.click()
        assert said(qgis_iface)[0] == "There is no image: add a raster layer first."


def test_not_set_up(qgis_iface: Any, image: QgsRasterLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "runtime", lambda: None)
    qgis_iface.messageBar().clearWidgets()
    dock = SrGeoDock(qgis_iface)
    wait_for(lambda: dock._looking is None)
    assert dock.view.banner.isVisibleTo(dock)
    assert said(qgis_iface)[0] == ""  # the panel itself says it
    wanted = []
    dock.set_up_wanted.connect(lambda: wanted.append(True))
    dock.view.set_up.click()
    run(dock)
    text, _ = said(qgis_iface)
    assert "Set up…" in text
    next(push for push in qgis_iface.messageBar().currentItem().findChildren(QPushButton) if push.text() == "Set up…").click()
    assert wanted == [True, True]
    dock.shut_down()


# --- preview ----------------------------------------------------------------------------------------------------------


def test_a_preview_of_the_map_centre(dock: SrGeoDock, image: QgsRasterLayer, worker: FakeWorker, qgis_iface: Any) -> None:
    """Also where the map has another CRS than the image."""
    qgis_iface.mapCanvas().setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:4326"))
    dock.view.preview.click()
    wait_for(lambda: dock._previewing is None)
    assert dock.view.swipe.has_pictures
    assert dock.view.caption.text().startswith("120 × 120 pixels")
    assert worker.calls[0][1].endswith("before.tif")
    folder = dock._preview_folder
    dock.view.form.layers.setLayer(None)
    assert not dock.view.swipe.has_pictures  # it was of another layer
    assert not folder.exists()


def test_what_was_chosen_stays_where_a_result_comes_and_goes(dock: SrGeoDock, worker: FakeWorker, image: QgsRasterLayer) -> None:
    form = dock.view.form
    form.bands["red"].setBand(3)
    dock.view.preview.click()
    wait_for(lambda: dock.view.swipe.has_pictures)
    run(dock)
    assert form.bands["red"].currentBand() == 3
    dock.view.remove.click()
    assert form.layer is image
    assert form.bands["red"].currentBand() == 3
    assert dock.view.swipe.has_pictures


def test_the_usual_model_is_read_whole(monkeypatch: pytest.MonkeyPatch, qtbot: Any) -> None:
    usual = "Автоматты түрде, арналар бойынша"
    monkeypatch.setattr("sr_geo_plugin.panel.form.tr", lambda words: usual if words == "Automatic, by the bands" else words)
    view = PanelView()
    qtbot.addWidget(view)
    view.show()
    view.resize(200, 600)
    QTest.qWait(100)
    models = view.form.models
    option = QStyleOptionComboBox()
    models.initStyleOption(option)
    place = models.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, models)
    assert place.width() >= models.fontMetrics().horizontalAdvance(usual)


def test_nothing_is_cut_off_at_the_side(dock: SrGeoDock, qgis_iface: Any) -> None:
    """There is no bar to scroll sideways; in Russian the options are wider than the panel was."""
    view = dock.view
    view.show()
    view.resize(200, 600)
    for words in ("short", "Добавить карту деталей, которых спутник не измерял, по каждому пикселю"):
        view.form.detail_map.setText(words)
        view.form.more.setCollapsed(False)
        QTest.qWait(100)
        assert view.widget().width() <= view.viewport().width()
    assert view.viewport().width() > 320


def test_a_preview_is_of_the_model_that_is_chosen(dock: SrGeoDock, image: QgsRasterLayer) -> None:
    dock.view.preview.click()
    wait_for(lambda: dock._previewing is None)
    assert dock.view.swipe.has_pictures
    models = dock.view.form.models
    QTest.keyClick(models, Qt.Key.Key_Down)
    assert models.currentIndex() == 1
    assert not dock.view.swipe.has_pictures


def test_a_preview_that_comes_too_late(dock: SrGeoDock, image: QgsRasterLayer, qgis_iface: Any) -> None:
    """Another layer is chosen between the end of the work and the telling of it."""
    from sr_geo_plugin.panel.styling import Style

    dock._preview_folder = None
    dock._previewed(jobs.Preview(Path("/gone/before.tif"), Path("/gone/after.tif"), 1.0), Style.of(image))
    assert said(qgis_iface)[0] == ""
    assert not dock.view.swipe.has_pictures


def test_previews_wait_for_the_end_of_a_run(dock: SrGeoDock, worker: FakeWorker) -> None:
    """And the button is as the last of the two leaves it."""
    go_on: list[str] = []
    worker.act = lambda words: wait_in_thread(lambda: ("run" if words[2].endswith("x4.tif") else "preview") in go_on)
    dock.view.preview.click()
    dock.view.run.click()
    assert not dock.view.preview.isEnabled()
    go_on.append("preview")
    wait_for(lambda: dock._previewing is None)
    assert not dock.view.preview.isEnabled()
    go_on.append("run")
    wait_for(lambda: dock._running is None)
    assert dock.view.preview.isEnabled()


def test_the_map_is_elsewhere(dock: SrGeoDock, worker: FakeWorker, qgis_iface: Any) -> None:
    qgis_iface.mapCanvas().setExtent(QgsRectangle(0, 0, 10, 10))
    dock.view.preview.click()
    wait_for(lambda: dock._previewing is None)
    assert said(qgis_iface)[0] == "Farm does not lie under the middle of the map; move the map over it."
    assert worker.calls == []


# --- comparison on the map --------------------------------------------------------------------------------------------


def test_the_divider_on_the_map(dock: SrGeoDock, qgis_iface: Any, image: QgsRasterLayer) -> None:
    run(dock)
    canvas = qgis_iface.mapCanvas()
    canvas.setLayers([QgsProject.instance().mapLayersByName("Farm ×4")[0], image])
    dock.view.compare.setChecked(True)
    item = dock.comparison.item
    wait_for(lambda: item.is_drawn)
    layers = canvas.layers()
    canvas.setFrameShape(QFrame.Shape.Box)  # as the map of the main window has
    canvas.setLineWidth(4)
    canvas.grab()  # which lays it out
    canvas.setLayers([image])
    canvas.refresh()
    QTest.qWait(500)  # the map is drawn a moment after it changed
    wait_for(lambda: not canvas.isDrawing() and item.is_drawn)
    item.move_to(0)
    without = canvas.grab().toImage()
    item.move_to(canvas.viewport().width())
    covered = canvas.grab().toImage()
    assert item.is_drawn
    row = [(x, canvas.height() // 2 + 30) for x in range(40, canvas.width() - 40)]  # the map and the picture lie pixel on pixel
    assert [without.pixel(*at) for at in row] == [covered.pixel(*at) for at in row]
    canvas.setLayers(layers)
    item.move_to(canvas.viewport().width() / 2)
    start = QPoint(canvas.viewport().width() // 2, canvas.height() // 2)
    viewport = canvas.viewport()
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(viewport, start + QPoint(30, 0))
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, start + QPoint(30, 0))
    assert item.divider >= start.x()
    dock.undo(dock._results[0])
    assert not dock.view.compare.isChecked()
    assert dock.comparison.item is None
    canvas.setFrameShape(QFrame.Shape.NoFrame)


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_of_the_fields(dock: SrGeoDock, fields: QgsVectorLayer) -> None:
    fields.setDisplayExpression('"name"')
    dock.view.form.parcels.setLayer(fields)
    run(dock)
    model = dock.view.table.model()
    titles = [model.headerData(column, Qt.Orientation.Horizontal) for column in range(model.columnCount())]
    assert titles[:3] == ["Field", "Area, ha", "NDVI after"]  # nothing was measured for "NDVI before"
    assert {"Red before", "Red after", "Covered, %"} <= set(titles)
    shown = [[model.index(row, column).data() for column in range(3)] for row in range(model.rowCount())]
    assert [row[0] for row in shown] == ["Оңтүстік", "Солтүстік"]
    assert shown[1][2] == "–"
    model.sort(1, Qt.SortOrder.DescendingOrder)
    assert model.index(0, 0).data() == "Солтүстік"


def test_a_field_is_found_on_the_map(dock: SrGeoDock, fields: QgsVectorLayer, qgis_iface: Any) -> None:
    dock.view.form.parcels.setLayer(fields)
    run(dock)
    model = dock.view.table.model()
    model.sort(1, Qt.SortOrder.DescendingOrder)
    dock.view.table.doubleClicked.emit(model.index(0, 0))  # the second of the file
    assert qgis_iface.mapCanvas().extent().contains(QgsRectangle(200, 0, 250, 50))


def test_the_table_as_csv(tmp_path: Path) -> None:
    table = read_table(table_file(tmp_path / "t.gpkg"), "name")
    write_csv(table, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines[1].startswith("Оңтүстік,5.824,0.6100")
    with pytest.raises(WorkerError, match="cannot be written"):
        write_csv(table, tmp_path / "no folder" / "t.csv")
    with pytest.raises(WorkerError, match="cannot be read"):
        read_table(tmp_path / "t.csv")


# --- the real worker --------------------------------------------------------------------------------------------------


def test_a_real_run(
    qgis_iface: Any, image: QgsRasterLayer, fields: QgsVectorLayer, toolkit_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window goes on while the worker works, and no library of the worker comes into QGIS."""
    monkeypatch.setenv("SR_GEO_PYTHON", str(toolkit_python))
    monkeypatch.setenv("PROJ_DATA", "/usr/share/proj")
    before = {name for name in FOREIGN if name in sys.modules}
    dock = SrGeoDock(qgis_iface)
    wait_for(lambda: dock._looking is None)
    assert not dock.view.banner.isVisibleTo(dock)
    assert dock.view.form.models.findData("satellite-rgbn-x4") > 0
    dock.view.form.parcels.setLayer(fields)
    ticks, shares = [], []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(10)
    dock.view.run.click()
    dock._running.said.connect(lambda share, words: shares.append(share))
    wait_for(lambda: dock._running is None)
    assert len(ticks) > 20
    assert shares[-1] == 1.0
    assert shares == sorted(shares)
    result = QgsProject.instance().mapLayersByName("Farm ×4")[0]
    assert image.extent().contains(result.extent())
    assert (result.rasterUnitsPerPixelX(), result.renderer().usesBands()) == (2.5, image.renderer().usesBands())
    assert dock.view.table.model().rowCount() == fields.featureCount()
    ndvi = next(column for column in dock._results[0].table.columns if column.name == "ndvi_after")
    values = [row[dock._results[0].table.columns.index(ndvi)] for row in dock._results[0].table.rows]
    assert all(-1 <= value <= 1 for value in values if value is not None)
    assert {name for name in FOREIGN if name in sys.modules} == before
    assert not list(Path(result.source()).parent.glob("*.part"))
    dock.shut_down()
    assert QgsApplication.taskManager().countActiveTasks() == 0
