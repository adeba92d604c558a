"""What a user does in the real desktop, click by click. QGIS runs it (`qgis --code`); `test_desktop.py` reads what it writes.

Clicks, drags and keys are those of the X server (xdotool). Each step waits until the window shows what it should; a step that fails
or an exception ends QGIS at once and is written down.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from qgis.core import Qgis, QgsCoordinateTransform, QgsPointXY, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QPoint, Qt, QTimer
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtWidgets import QApplication, QToolButton, QWidget
from qgis.utils import iface, plugins

OUT, SAMPLE = Path(os.environ["SR_GEO_OUT"]), Path(os.environ["SR_GEO_SAMPLE"])
SECONDS = 120
FOREIGN = ("rasterio", "shapely", "pyproj", "pyogrio", "geopandas", "torch", "onnxruntime")
Step = Generator[Callable[[], Any], None, None]
facts: dict[str, Any] = {"steps": []}


def xdo(*words: object) -> Callable[[], bool]:
    """One command of xdotool, which returns at once; what comes back tells whether it has ended."""
    process = subprocess.Popen(["xdotool", *map(str, words)])
    return lambda: process.poll() is not None


def at(widget: QWidget, across: float = 0.5, down: float = 0.5) -> tuple[int, int]:
    point = widget.mapToGlobal(QPoint(round(across * widget.width()), round(down * widget.height())))
    return point.x(), point.y()


def click(widget: QWidget, across: float = 0.5, down: float = 0.5) -> None:
    facts["steps"].append(f"click {type(widget).__name__} {getattr(widget, 'text', str)()}".strip())
    xdo("mousemove", *at(widget, across, down), "click", 1)


def drag(widget: QWidget, start: float, stop: float, down: float = 0.5) -> Callable[[], bool]:
    facts["steps"].append(f"drag {type(widget).__name__}")
    words: list[object] = ["mousemove", *at(widget, start, down), "mousedown", 1, "sleep", 0.1]
    for share in ((start + stop) / 2, stop):
        words += ["mousemove", *at(widget, share, down), "sleep", 0.1]
    return xdo(*words, "mouseup", 1)


def picture(name: str) -> None:
    QApplication.primaryScreen().grabWindow(0).save(str(OUT / f"{name}.png"))


def settled(seconds: float = 1.0) -> Callable[[], bool]:
    """Some time later, for what has no end of its own to wait for."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def rendered() -> bool:
    return not iface.mapCanvas().isDrawing()


def tree() -> list[list[str]]:
    root = QgsProject.instance().layerTreeRoot()
    return [[group.name(), *(node.name() for node in group.children())] for group in root.findGroups()]


def project() -> tuple[QgsRasterLayer, QgsVectorLayer]:
    image = QgsRasterLayer(str(SAMPLE / "itaipu_landsat8.tif"), "Landsat 8, 30 m")
    fields = QgsVectorLayer(str(SAMPLE / "itaipu_parcels.gpkg"), "Fields", "ogr")
    opened = QgsProject.instance()
    group = opened.layerTreeRoot().addGroup("May 2020")
    opened.addMapLayers([image, fields], False)
    renderer = image.renderer()
    renderer.setRedBand(3)
    renderer.setGreenBand(2)
    renderer.setBlueBand(1)
    image.setDefaultContrastEnhancement()
    outline = fields.renderer().symbol().symbolLayer(0)
    outline.setBrushStyle(Qt.BrushStyle.NoBrush)
    outline.setStrokeColor(QColor("#ffd54f"))
    outline.setStrokeWidth(0.5)
    group.addLayer(fields)
    group.addLayer(image)
    return image, fields


def look_at(fields: QgsVectorLayer, factor: float) -> None:
    """Move the map to the part of the fields where they lie closest."""
    canvas = iface.mapCanvas()
    transform = QgsCoordinateTransform(fields.crs(), canvas.mapSettings().destinationCrs(), QgsProject.instance())
    extent = transform.transformBoundingBox(fields.extent())
    centre = QgsPointXY(extent.xMinimum() + 0.33 * extent.width(), extent.yMinimum() + 0.6 * extent.height())
    extent.scale(factor, centre)
    canvas.setExtent(extent)
    canvas.refresh()


def story() -> Step:
    window, canvas = iface.mainWindow(), iface.mapCanvas()
    window.showNormal()
    window.move(0, 0)
    window.resize(1400, 900)
    facts["version"] = Qgis.QGIS_VERSION
    before = {name for name in FOREIGN if name in sys.modules}
    plugin = plugins["sr_geo_plugin"]
    facts["plugin"] = str(Path(sys.modules["sr_geo_plugin"].__file__).parent)
    image, fields = project()
    yield settled()
    QgsProject.instance().setCrs(image.crs())  # QGIS takes that of the first layer
    look_at(fields, 0.4)
    yield settled()

    # the panel, by its button in the tool bar
    button = next(found for found in window.findChildren(QToolButton) if found.defaultAction() is plugin.actions[0])
    click(button)
    yield lambda: plugin.dock is not None and plugin.dock.isVisible() and plugin.dock._looking is None
    dock, view = plugin.dock, plugin.dock.view
    window.resizeDocks([dock], [400], Qt.Orientation.Horizontal)
    yield settled()
    facts["banner"] = view.banner.isVisible()
    facts["models"] = [view.form.models.itemText(index) for index in range(view.form.models.count())]

    # the fields, by the keyboard
    click(view.form.parcels)
    yield lambda: view.form.parcels.view().isVisible()
    xdo("key", "Down", "Return")
    yield lambda: view.form.parcel_layer is fields

    # the preview, and its divider
    started = time.monotonic()
    click(view.preview)
    yield lambda: view.swipe.has_pictures
    facts["preview_seconds"] = round(time.monotonic() - started, 1)
    yield settled()
    picture("panel")
    yield drag(view.swipe, 0.5, 0.8)
    yield lambda: view.swipe.divider > 0.7
    facts["divider"] = round(view.swipe.divider, 2)

    # the run; the map is moved meanwhile
    view.form.whole_box.setChecked(True)
    extent = canvas.extent()
    click(view.run)
    yield lambda: dock._running is not None
    xdo("mousemove", *at(canvas), "click", 4)
    yield lambda: canvas.extent() != extent
    facts["canvas_moved_during_run"] = dock._running is not None
    yield lambda: dock._running is None and len(dock._results) == 1
    facts["tree"] = tree()
    facts["rows"] = view.table.model().rowCount()
    result = QgsProject.instance().mapLayer(dock._results[0].layer_ids[0])
    facts["same_bands"] = result.renderer().usesBands() == image.renderer().usesBands()
    yield settled()
    facts["message"] = iface.messageBar().currentItem().text()
    look_at(fields, 0.16)
    yield settled(0.5)
    yield rendered
    view.ensureWidgetVisible(view.save_table)
    yield settled()
    picture("result")

    # before and after on the map
    view.ensureWidgetVisible(view.compare)
    yield settled(0.5)
    click(view.compare)
    yield lambda: dock.comparison.item is not None and dock.comparison.item.is_drawn
    yield drag(canvas, 0.5, 0.35)
    yield lambda: dock.comparison.item.share < 0.4
    yield settled()
    picture("compare")

    # undone
    click(view.remove)
    yield lambda: not len(dock._results)
    facts["tree_after_undo"] = tree()

    # the dialog of Processing
    import processing

    dialog = processing.createAlgorithmDialog("srgeo:enhanceparcels", {"INPUT": image, "PARCELS": fields})
    dialog.move(250, 60)
    dialog.resize(900, 720)
    dialog.show()
    yield settled()
    picture("dialog")
    dialog.close()

    # Set up
    plugin.set_up()
    plugin.dialog.move(300, 80)
    yield lambda: plugin.dialog._task is None
    yield settled()
    picture("setup")
    plugin.dialog.close()

    facts["foreign"] = sorted({name for name in FOREIGN if name in sys.modules} - before)
    facts["done"] = True


class Player:
    """Goes from step to step, each when what the last one waits for has come."""

    def __init__(self) -> None:
        self.steps = story()
        self.wanted: Callable[[], Any] = lambda: True
        self.since = time.monotonic()
        self.timer = QTimer()
        self.timer.timeout.connect(self.look)
        self.timer.start(100)

    def look(self) -> None:
        try:
            if self.wanted():
                self.wanted, self.since = next(self.steps), time.monotonic()
            elif time.monotonic() - self.since > SECONDS:
                picture("failed")
                message = iface.messageBar().currentItem()
                raise TimeoutError(f"after {facts['steps'][-1:]}: nothing came; message: {message.text() if message else ''}")
        except StopIteration:
            self.end()
        except Exception:
            facts["error"] = traceback.format_exc()
            self.end()

    def end(self) -> None:
        self.timer.stop()
        (OUT / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
        QgsProject.instance().removeAllMapLayers()  # where the samples lie in a temporary folder, QGIS asks about them before it ends
        QgsProject.instance().setDirty(False)
        QTimer.singleShot(0, iface.actionExit().trigger)


QTimer.singleShot(500, lambda: globals().__setitem__("player", Player()))
