# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The panel of the main window: form, preview, run, results."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateTransform,
    QgsCsException,
    QgsPointXY,
    QgsProcessingUtils,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.gui import QgsDockWidget
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtGui import QCursor
from qgis.PyQt.QtWidgets import QApplication, QFileDialog, QWidget

from sr_geo_plugin.layers import file_name
from sr_geo_plugin.panel import jobs, picture
from sr_geo_plugin.panel.compare import Comparison
from sr_geo_plugin.panel.messages import TITLE, tell
from sr_geo_plugin.panel.results import Result, Results
from sr_geo_plugin.panel.styling import Style, add_above
from sr_geo_plugin.panel.table import ParcelTable, read_table, write_csv
from sr_geo_plugin.panel.task import BackgroundTask
from sr_geo_plugin.panel.view import PanelView
from sr_geo_plugin.polygons import polygons_file
from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import Cancelled, WorkerError

_MANY = 20_000
"""Fields from which on only those on the image are handed to the worker."""


class SrGeoDock(QgsDockWidget):
    """The panel. Nothing in it waits: previews and runs are tasks of QGIS."""

    set_up_wanted = pyqtSignal()
    """The user asks for the page that installs SR Geo."""

    def __init__(self, iface: Any, parent: QWidget | None = None) -> None:
        super().__init__(TITLE, parent or iface.mainWindow())
        self.setObjectName("SrGeoDock")
        self._iface = iface
        self._project = QgsProject.instance()
        self._results = Results()
        self._running: BackgroundTask | None = None
        self._previewing: BackgroundTask | None = None
        self._looking: BackgroundTask | None = None
        self._preview_folder: Path | None = None
        self._warnings: list[str] = []
        self._closing = False
        self.comparison = Comparison(iface.mapCanvas(), self)
        self.view = PanelView(self)
        self.setWidget(self.view)
        view = self.view
        view.set_up.clicked.connect(self.set_up_wanted)
        view.preview.clicked.connect(self.preview)
        view.run.clicked.connect(self.run)
        view.cancel.clicked.connect(self.cancel)
        view.remove.clicked.connect(self._remove_shown)
        view.save_table.clicked.connect(self._save_table)
        view.table.wanted.connect(self._show_field)
        view.compare.toggled.connect(self._compare)
        self.comparison.ended.connect(lambda: view.compare.setChecked(False))
        view.results.currentIndexChanged.connect(self._show_result)
        view.form.layer_changed.connect(self._forget_preview)
        view.form.models.activated.connect(self._forget_preview)  # by the user; not where the list is filled anew
        self._project.layersRemoved.connect(self._layers_removed)
        self.look_for_worker()

    # The worker

    def look_for_worker(self) -> None:
        """Find SR Geo's Python and the models, in the background; call it again after Set up."""
        self._looking = BackgroundTask(tr("SR Geo: looking for the worker"), jobs.look, done=self._found, failed=self._not_found)
        QgsApplication.taskManager().addTask(self._looking)

    def _found(self, models: list[tuple[str, str]]) -> None:
        self._looking = None
        self.view.show_worker(found=True)
        self.view.form.set_models(models)

    def _not_found(self, error: WorkerError) -> None:
        self._looking = None
        self.view.show_worker(found=not isinstance(error, jobs.NotSetUpError))
        if not isinstance(error, (jobs.NotSetUpError, Cancelled)):
            self._complain(error)

    # The preview

    def preview(self) -> None:
        """Enhance the piece of the image in the middle of the map."""
        layer = self.view.form.layer
        if self._previewing is not None or layer is None:
            if layer is None:
                tell(self._iface, tr("There is no image: add a raster layer first."), level=Qgis.MessageLevel.Warning)
            return
        try:
            centre = self._centre(layer)
        except WorkerError as error:
            self._complain(error)
            return
        self._forget_preview()
        folder = self._preview_folder = Path(tempfile.mkdtemp(prefix="preview-", dir=QgsProcessingUtils.tempFolder()))
        choice, style, copy = self.view.form.choice(), Style.of(layer), layer.clone()
        self._previewing = BackgroundTask(
            tr("SR Geo: preview"),
            lambda task: jobs.preview(task, jobs.worker(), copy, choice, centre=centre, folder=folder),
            done=lambda made: self._previewed(made, style),
            failed=self._preview_failed,
        )
        self.view.swipe.show_words(tr("Enhancing the middle of the map…"))
        self.view.preview.setEnabled(False)
        QgsApplication.taskManager().addTask(self._previewing)

    def _centre(self, layer: QgsRasterLayer) -> QgsPointXY:
        """The middle of the map, in the layer's CRS."""
        canvas = self._iface.mapCanvas()
        there = canvas.mapSettings().destinationCrs()
        if not (there.isValid() and layer.crs().isValid()):
            return canvas.center()
        try:
            return QgsCoordinateTransform(there, layer.crs(), self._project).transform(canvas.center())
        except QgsCsException as error:
            words = tr("{layer} does not lie under the middle of the map; move the map over it.")
            raise WorkerError(words.format(layer=layer.name()), str(error)) from error

    def _previewed(self, made: jobs.Preview, style: Style) -> None:
        self._end_preview()
        if made.before.parent != self._preview_folder:  # another layer was chosen in the very moment
            self.view.show_hint()
            return
        before, after = QgsRasterLayer(str(made.before), "before"), QgsRasterLayer(str(made.after), "after")
        if not (before.isValid() and after.isValid()):
            self._preview_failed(WorkerError(tr("The preview cannot be read; try once more.")))
            return
        style.apply(before)
        style.apply(after)
        area, size = picture.middle(before)
        self.view.swipe.show_pictures(picture.draw(before, area, size), picture.draw(after, area, size))
        words = tr("{columns} × {rows} pixels of the image, {seconds} s")
        self.view.say(words.format(columns=size.width() // 4, rows=size.height() // 4, seconds=f"{made.seconds:.1f}"))

    def _preview_failed(self, error: WorkerError) -> None:
        self._end_preview()
        self.view.show_hint()
        self._complain(error)

    def _end_preview(self) -> None:
        self._previewing = None
        self.view.preview.setEnabled(self._running is None)

    def _forget_preview(self, _index: int = 0) -> None:
        """The preview is of another layer or model now, or is made anew."""
        if self._previewing is not None:
            self._previewing.cancel()
        if self._preview_folder is not None:
            shutil.rmtree(self._preview_folder, ignore_errors=True)
            self._preview_folder = None
        self.view.show_hint()

    # The run

    def run(self) -> None:
        """Enhance the image, or the fields on it, in the background."""
        form = self.view.form
        layer, fields = form.layer, form.parcel_layer
        if self._running is not None or layer is None:
            if layer is None:
                tell(self._iface, tr("There is no image: add a raster layer first."), level=Qgis.MessageLevel.Warning)
            return
        folder = Path(tempfile.mkdtemp(prefix="sr-geo-", dir=QgsProcessingUtils.tempFolder()))
        temporary = form.output is None
        output = form.output or folder / f"{file_name(layer.name())}_x4.tif"
        try:
            self._refuse_open_file(output)
            parcels = None if fields is None else self._parcels_file(fields, layer, folder)
        except WorkerError as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._complain(error)
            return
        choice, style, copy = form.choice(), Style.of(layer), layer.clone()
        source = (layer.id(), layer.name())
        label = "" if fields is None else fields.displayField()

        def done(made: jobs.Made) -> None:
            self._end_run()
            if not temporary:
                shutil.rmtree(folder, ignore_errors=True)
            self._ran(made, source, style, folder=folder if temporary else None, label=label)

        def failed(error: WorkerError) -> None:
            self._end_run()
            shutil.rmtree(folder, ignore_errors=True)
            self._complain(error)
            if isinstance(error, Cancelled) and not self._closing:
                # QGIS before 3.26 calls a task failed that was stopped; this lies above.
                tell(self._iface, tr("Stopped; nothing was written."))

        self._running = BackgroundTask(
            tr("SR Geo: enhancing {layer}").format(layer=layer.name()),
            lambda task: jobs.enhance(task, jobs.worker(), copy, choice, output, parcels=parcels),
            done=done,
            failed=failed,
        )
        self._running.said.connect(self._progressed)
        self.view.show_running(running=True)
        QgsApplication.taskManager().addTask(self._running)

    def _progressed(self, share: float, words: str) -> None:
        if self._running is not None and not self._running.isCanceled():
            self.view.show_progress(share, words)

    def cancel(self) -> None:
        """Stop the run; the worker ends, and no half-written file is left."""
        if self._running is not None:
            self.view.show_progress(0.0, tr("Stopping…"))
            self._running.cancel()

    def _refuse_open_file(self, output: Path) -> None:
        for layer in self._project.mapLayers().values():
            shown = layer.source().partition("|")[0]
            if shown and Path(shown) == output:
                words = tr("{path} is open as the layer {layer}: remove that layer, or choose another name.")
                raise WorkerError(words.format(path=output, layer=layer.name()))

    def _parcels_file(self, fields: QgsVectorLayer, layer: QgsRasterLayer, folder: Path) -> Path:
        many = fields.featureCount() > _MANY and layer.crs().isValid()
        QApplication.setOverrideCursor(QCursor(Qt.CursorShape.WaitCursor))
        try:
            return polygons_file(
                fields,
                folder,
                selected_only=self.view.form.selected_only,
                within=layer.extent() if many else None,
                within_crs=layer.crs() if many else None,
                need_crs=layer.crs().isValid(),
            )
        finally:
            QApplication.restoreOverrideCursor()

    def _end_run(self) -> None:
        if self._running is not None:
            self._warnings = self._running.warnings
        self._running = None
        self.view.show_running(running=False)
        self.view.preview.setEnabled(self._previewing is None)

    def _ran(self, made: jobs.Made, source: tuple[str, str], style: Style, *, folder: Path | None, label: str) -> None:
        source_id, source_name = source
        name = tr("{layer} ×4").format(layer=source_name)
        image = QgsRasterLayer(str(made.output), name)
        if not image.isValid():
            self._complain(WorkerError(tr("{path}: the result cannot be opened; is the disk still there?").format(path=made.output)))
            return
        original = self._project.mapLayer(source_id)
        same_look = (style if original is None else Style.of(original)).apply(image)
        layers = [image]
        if made.detail_map is not None:
            layers.append(QgsRasterLayer(str(made.detail_map), tr("{layer}, added detail").format(layer=name)))
        placed = True
        for layer in reversed(layers):
            placed = add_above(self._project, layer, source_id)
        for layer in layers[1:]:
            node = self._project.layerTreeRoot().findLayer(layer.id())
            node.setItemVisibilityChecked(False)
        table = None if made.table is None else self._read_table(made.table, label)
        result = Result(name, source_id, tuple(layer.id() for layer in layers), folder, made.output, table)
        self._results.add(result)
        self._list_results()
        self._tell_made(result, made.seconds, placed=placed, same_look=same_look)

    def _read_table(self, path: Path, label: str) -> ParcelTable | None:
        try:
            return read_table(path, label)
        except WorkerError as error:
            self._complain(error)
            return None

    def _tell_made(self, result: Result, seconds: float, *, placed: bool, same_look: bool) -> None:
        words = tr("{layer} added ({seconds} s).")
        if not placed:
            words = tr("{layer} added on top ({seconds} s): the image is no longer in the project.")
        text = words.format(layer=result.name, seconds=f"{seconds:.0f}")
        if not same_look:
            text += " " + tr("It has colours of its own: a band that the image shows is not in it.")
        level = Qgis.MessageLevel.Success
        if self._warnings:
            text, level = f"{text} {self._warnings[0]}", Qgis.MessageLevel.Warning
        tell(self._iface, text, level=level, log="\n".join(self._warnings), button=(tr("Undo"), lambda: self.undo(result)))

    # Results

    def undo(self, result: Result) -> None:
        """Take a result back: its layers leave the project, temporary files are deleted."""
        self._results.undo(result, self._project)
        self._list_results()
        if result.folder is None:
            tell(self._iface, tr("The layer was removed; the file stays: {path}").format(path=result.output))

    def _remove_shown(self) -> None:
        if self.view.results.currentIndex() >= 0:
            self.undo(self._results[self.view.results.currentIndex()])

    def _layers_removed(self, layer_ids: list[str]) -> None:
        if self._results.forget(layer_ids):
            self._list_results()

    def _compare(self, wanted: bool) -> None:
        if wanted:
            self.comparison.start(self._shown_layers)
        else:
            self.comparison.stop()

    def _shown_layers(self) -> tuple[str, ...]:
        index = self.view.results.currentIndex()
        return self._results[index].layer_ids if index >= 0 else ()

    def _list_results(self) -> None:
        if not len(self._results):
            self.view.compare.setChecked(False)
        self.view.list_results([self._results[index].name for index in range(len(self._results))])

    def _show_result(self, index: int) -> None:
        self.view.show_table(self._results[index].table if 0 <= index < len(self._results) else None)
        if self.comparison.item is not None:
            self.comparison.item.draw()

    def _shown_table(self) -> ParcelTable | None:
        index = self.view.results.currentIndex()
        return self._results[index].table if index >= 0 else None

    def _save_table(self) -> None:
        table = self._shown_table()
        if table is None:
            return
        path, _ = QFileDialog.getSaveFileName(self, tr("Save the table"), "", tr("CSV table (*.csv)"))
        if not path:
            return
        try:
            write_csv(table, Path(path).with_suffix(".csv"))
        except WorkerError as error:
            self._complain(error)

    def _show_field(self, row: int) -> None:
        """Move the map to a field and let it flash."""
        table = self._shown_table()
        if table is None or table.outlines[row].isNull():
            return
        canvas = self._iface.mapCanvas()
        target = canvas.mapSettings().destinationCrs()
        extent = table.outlines[row].boundingBox()
        if table.crs.isValid() and target.isValid():
            try:
                extent = QgsCoordinateTransform(table.crs, target, self._project).transformBoundingBox(extent)
            except QgsCsException as error:
                words = tr("The field cannot be shown: it lies where the CRS of the map does not reach.")
                self._complain(WorkerError(words, str(error)))
                return
        extent.scale(1.6)
        canvas.setExtent(extent)
        canvas.refresh()
        canvas.flashGeometries([table.outlines[row]], table.crs)

    # Ends

    def _complain(self, error: WorkerError) -> None:
        """Say what went wrong and what to do; a stop by the user needs no comment."""
        if isinstance(error, Cancelled):
            return
        button = (tr("Set up…"), self.set_up_wanted.emit) if isinstance(error, jobs.NotSetUpError) else None
        tell(self._iface, str(error), level=Qgis.MessageLevel.Critical, log=error.log, button=button)

    def shut_down(self) -> None:
        """Stop what runs and let go of the project; before the plugin is unloaded."""
        self._closing = True
        self._project.layersRemoved.disconnect(self._layers_removed)
        self.comparison.stop()
        tasks = [task for task in (self._looking, self._previewing, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        for task in tasks:
            task.waitForFinished(10_000)
        self._forget_preview()

