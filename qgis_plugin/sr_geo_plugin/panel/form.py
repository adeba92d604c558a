# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What to enhance, and how: the upper part of the panel."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qgis.core import QgsMapLayerProxyModel, QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.gui import QgsCollapsibleGroupBox, QgsDoubleSpinBox, QgsFileWidget, QgsMapLayerComboBox, QgsRasterBandComboBox
from qgis.PyQt.QtCore import Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QCheckBox, QComboBox, QFormLayout, QVBoxLayout, QWidget

from sr_geo_plugin.panel.jobs import Choice
from sr_geo_plugin.translation import tr

SHARPEST, SOFTEST = 1.0, 3.2
"""Blur that the shipped models know, in output pixels."""


class Form(QWidget):
    """Layer, parcels, model, and the options that are rarely needed."""

    layer_changed = pyqtSignal()
    """Another raster layer was chosen, or none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layers = QgsMapLayerComboBox(self)
        self.layers.setFilters(QgsMapLayerProxyModel.Filter.RasterLayer)
        self.layers.setExcludedProviders(["wms", "arcgismapserver"])  # colours, no measurements
        self.layers.setToolTip(tr("The satellite image: a raster layer of the project."))
        self.parcels = QgsMapLayerComboBox(self)
        self.parcels.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
        self.parcels.setAllowEmptyLayer(True)
        self.parcels.setLayer(None)
        self.parcels.setToolTip(tr("Field outlines. Only the image within them is enhanced; without them, all of it."))
        self.selected = QCheckBox(tr("Selected fields only"), self)
        self.models = QComboBox(self)
        self.models.addItem(tr("Automatic, by the bands"), "")
        self.models.setToolTip(tr("The network. Your own regional models are listed too."))
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(tr("Image"), self.layers)
        form.addRow(tr("Fields"), self.parcels)
        form.addRow("", self.selected)
        form.addRow(tr("Model"), self.models)
        self.more = self._more()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.more)
        for combo in (self.layers, self.parcels, self.models, *self.bands.values()):  # long names must not widen the panel
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.setMinimumContentsLength(6)
        metrics, usual = self.models.fontMetrics(), self.models.itemText(0)
        wider = metrics.horizontalAdvance(usual) - 6 * metrics.horizontalAdvance("X")
        self.models.setMinimumWidth(self.models.minimumSizeHint().width() + wider)  # what stands there mostly is read whole
        self.layers.layerChanged.connect(self._layer_changed)
        self.parcels.layerChanged.connect(self._parcels_changed)
        self._watched: QgsVectorLayer | None = None
        self._known: str | None = None
        """The image whose bands are listed."""
        self._layer_changed()
        self._parcels_changed()

    def _more(self) -> QgsCollapsibleGroupBox:
        box = QgsCollapsibleGroupBox(tr("More options"), self)
        self.bands: dict[str, QgsRasterBandComboBox] = {}
        form = QFormLayout(box)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        roles = {"blue": tr("Blue band"), "green": tr("Green band"), "red": tr("Red band"), "nir": tr("Near infrared band")}
        for role, words in roles.items():
            band = QgsRasterBandComboBox(box)
            band.setShowNotSetOption(True, tr("as the file says"))
            band.setBand(-1)
            self.bands[role] = band
            form.addRow(words, band)
        self.blur = QgsDoubleSpinBox(box)
        self.blur.setRange(SHARPEST - 0.1, SOFTEST)
        self.blur.setSingleStep(0.1)
        self.blur.setDecimals(1)
        self.blur.setClearValue(self.blur.minimum(), tr("measured"))  # the lowest value stands for it
        self.blur.setValue(self.blur.minimum())
        self.blur.setToolTip(tr("Blur of the sensor in pixels of the result. Change it only where the result looks too soft or has halos."))
        form.addRow(tr("Sensor blur"), self.blur)
        self.buffer = QgsDoubleSpinBox(box)
        self.buffer.setRange(-1000, 10000)
        self.buffer.setSuffix(tr(" m"))
        self.buffer.setClearValue(0)
        self.buffer.setValue(0)
        self.buffer.setDecimals(0)
        self.buffer.setToolTip(tr("Metres to grow every field; below zero, to shrink it. The statistics are of the fields themselves."))
        form.addRow(tr("Margin around fields"), self.buffer)
        self.whole_box = QCheckBox(tr("Also the land between the fields"), box)
        form.addRow("", self.whole_box)
        self.detail_map = QCheckBox(tr("Add a map of the added detail"), box)
        self.detail_map.setToolTip(tr("Shows pixel by pixel how much was added beyond what the satellite measured."))
        form.addRow("", self.detail_map)
        self.file = QgsFileWidget(box)
        self.file.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        self.file.setFilter(tr("GeoTIFF (*.tif)"))
        self.file.lineEdit().setPlaceholderText(tr("[temporary file]"))
        form.addRow(tr("Save as"), self.file)
        box.setSaveCollapsedState(False)
        box.setCollapsed(True)
        return box

    @property
    def layer(self) -> QgsRasterLayer | None:
        """The image."""
        return self.layers.currentLayer()

    @property
    def parcel_layer(self) -> QgsVectorLayer | None:
        """The fields; None: the whole image."""
        return self.parcels.currentLayer()

    @property
    def selected_only(self) -> bool:
        """Whether only the selected fields are wanted."""
        return self.selected.isEnabled() and self.selected.isChecked()

    @property
    def output(self) -> Path | None:
        """Where the user wants the result; None: in a temporary file. A name without a folder lies beside the project."""
        text = self.file.filePath().strip()
        if not text:
            return None
        path = Path(QgsProject.instance().absolutePath() or Path.home()) / Path(text).expanduser()
        return path if path.suffix.lower() in (".tif", ".tiff") else path.with_name(f"{path.name}.tif")

    def choice(self) -> Choice:
        """What was chosen."""
        bands = {role: band.currentBand() for role, band in self.bands.items() if band.currentBand() > 0}
        blur = self.blur.value()
        return Choice(
            model=self.models.currentData() or "",
            bands=bands,
            blur=None if blur < SHARPEST - 0.01 else round(blur, 1),
            buffer_m=self.buffer.value(),
            whole_box=self.whole_box.isChecked(),
            detail_map=self.detail_map.isChecked(),
        )

    def set_models(self, names: list[tuple[str, str]]) -> None:
        """List the models.

        Args:
            names: what the worker calls each, and words about it.
        """
        chosen = self.models.currentData()
        self.models.clear()
        self.models.addItem(tr("Automatic, by the bands"), "")
        for name, words in names:
            self.models.addItem(name, name)
            self.models.setItemData(self.models.count() - 1, words, Qt.ItemDataRole.ToolTipRole)
        self.models.setCurrentIndex(max(self.models.findData(chosen), 0))

    def _layer_changed(self) -> None:
        known = None if self.layer is None else self.layer.id()
        if self._known == known:  # the box also says so where another layer was added or removed
            return
        self._known = known
        for band in self.bands.values():
            band.setLayer(self.layer)
            band.setBand(-1)
        self.layer_changed.emit()

    def _parcels_changed(self) -> None:
        if self._watched is not None:
            with suppress(TypeError, RuntimeError):  # the layer is gone
                self._watched.selectionChanged.disconnect(self._selection_changed)
        self._watched = self.parcel_layer
        if self._watched is not None:
            self._watched.selectionChanged.connect(self._selection_changed)
        for widget in (self.buffer, self.whole_box):
            widget.setEnabled(self._watched is not None)
        self._selection_changed()

    def _selection_changed(self) -> None:
        layer = self.parcel_layer
        count = 0 if layer is None else layer.selectedFeatureCount()
        self.selected.setEnabled(count > 0)
        self.selected.setText(tr("Selected fields only ({number})").format(number=count) if count else tr("Selected fields only"))
