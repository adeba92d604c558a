# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Statistics of the fields before and after, as a table: sort, find a field on the map, save for a spreadsheet."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qgis.core import QgsCoordinateReferenceSystem, QgsGeometry, QgsVectorLayer
from qgis.PyQt.QtCore import QAbstractTableModel, QLocale, QModelIndex, QObject, QSortFilterProxyModel, Qt, pyqtSignal
from qgis.PyQt.QtWidgets import QAbstractItemView, QTableView, QWidget

from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import WorkerError

RAW = Qt.ItemDataRole.UserRole
"""Role of the number itself, for sorting."""


@dataclass(frozen=True)
class Column:
    """A column that is shown."""

    name: str
    """In the file."""
    title: str
    decimals: int | None = None
    """None: text."""
    factor: float = 1.0


@dataclass(frozen=True)
class ParcelTable:
    """What a run measured, a row a field."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    """Numbers, text or None, in the order of `columns`."""
    outlines: tuple[QgsGeometry, ...]
    crs: QgsCoordinateReferenceSystem


def read_table(path: Path, label: str = "") -> ParcelTable:
    """Read a table that the worker wrote.

    Args:
        path: GeoPackage.
        label: column of the fields' own layer by which they are called; empty: by their numbers.

    Raises:
        WorkerError: it is no such table.
    """
    layer = QgsVectorLayer(f"{path}|layername=parcels", path.stem, "ogr")
    if not layer.isValid():
        raise WorkerError(tr("{path}: the table of the fields cannot be read; run again.").format(path=path))
    columns = _columns([field.name() for field in layer.fields()], label)
    rows, outlines = [], []
    for feature in layer.getFeatures():
        rows.append(tuple(_plain(feature[column.name], column.factor) for column in columns))
        outlines.append(QgsGeometry(feature.geometry()))
    measured = [any(row[index] is not None for row in rows) for index in range(len(columns))]
    kept = [index for index, some in enumerate(measured) if some]  # no NDVI without near infrared
    shown = tuple(tuple(row[index] for index in kept) for row in rows)
    return ParcelTable(tuple(columns[index] for index in kept), shown, tuple(outlines), layer.crs())


def write_csv(table: ParcelTable, path: Path) -> None:
    """Write what is shown, with a byte order mark, so that spreadsheets read every script.

    Raises:
        WorkerError: it cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([column.title for column in table.columns])
            for row in table.rows:
                writer.writerow(["" if value is None else _rounded(value, column) for value, column in zip(row, table.columns)])
    except OSError as error:
        words = tr("{path} cannot be written ({reason}); close it where it is open, or choose another place.")
        raise WorkerError(words.format(path=path, reason=error.strerror or error)) from error


class TableModel(QAbstractTableModel):
    """The table for Qt."""

    def __init__(self, table: ParcelTable, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.table = table

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's
        return 0 if parent.isValid() else len(self.table.rows)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.table.columns)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return self.table.columns[section].title if orientation == Qt.Orientation.Horizontal else str(section + 1)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        column, value = self.table.columns[index.column()], self.table.rows[index.row()][index.column()]
        if role == RAW:
            return value
        if role == Qt.ItemDataRole.DisplayRole:
            if value is None:
                return "–"
            return str(value) if column.decimals is None else QLocale().toString(float(value), "f", column.decimals)
        if role == Qt.ItemDataRole.TextAlignmentRole and column.decimals is not None:
            alignment = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            return int(getattr(alignment, "value", alignment))
        return None


class TableView(QTableView):
    """Shows the table; a double click asks for the field on the map."""

    wanted = pyqtSignal(int)
    """Row of the table, in the order of the file."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.verticalHeader().hide()
        self.setToolTip(tr("Double-click a field to see it on the map."))
        self.doubleClicked.connect(lambda index: self.wanted.emit(index.model().mapToSource(index).row()))

    def show_table(self, table: ParcelTable) -> None:
        """Show another table."""
        sorted_model = QSortFilterProxyModel(self)
        sorted_model.setSourceModel(TableModel(table, sorted_model))
        sorted_model.setSortRole(RAW)
        old = self.model()
        self.setModel(sorted_model)
        if old is not None:
            old.deleteLater()
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.resizeColumnsToContents()
        self.resizeRowsToContents()


def _columns(names: list[str], label: str) -> tuple[Column, ...]:
    """The columns to show of those in a file: what is measured, and no column twice."""
    own = names[names.index("detail") + 1 :] if "detail" in names else []  # the layer's; a name that was taken got `source_` before it
    called = [name for name in (f"source_{label}", label) if label and name in own]
    known = [
        Column((*called, "id")[0], tr("Field")),
        Column("area_ha", tr("Area, ha"), 2),
        Column("ndvi_before", tr("NDVI before"), 3),
        Column("ndvi_after", tr("NDVI after"), 3),
        Column("ndvi_std_before", tr("NDVI variation before"), 3),
        Column("ndvi_std_after", tr("NDVI variation after"), 3),
    ]
    ends = [
        Column("detail", tr("Added detail"), 4),
        Column("valid_share", tr("Covered, %"), 0, 100.0),
        Column("width_px", tr("Width, pixels of the input"), 1),
    ]
    start = names.index("valid_share") + 1 if "valid_share" in names else 0
    stop = names.index("ndvi_before") if "ndvi_before" in names else start
    bands = []
    for name in names[start:stop]:
        role, _, side = name.rpartition("_")
        title = tr("{band} before") if side == "before" else tr("{band} after")
        bands.append(Column(name, title.format(band=band_title(role)), 4))
    return tuple(column for column in (*known, *bands, *ends) if column.name in names)


def band_title(role: str) -> str:
    """What people call a band."""
    titles = {
        "coastal": tr("Coastal blue"),
        "blue": tr("Blue"),
        "green": tr("Green"),
        "red": tr("Red"),
        "nir": tr("NIR"),
        "nir08": tr("NIR (narrow)"),
        "rededge1": tr("Red edge 1"),
        "rededge2": tr("Red edge 2"),
        "rededge3": tr("Red edge 3"),
        "swir1": "SWIR 1",  # called so in every language
        "swir2": "SWIR 2",
    }
    return titles.get(role) or (tr("Band {number}").format(number=role) if role.isdigit() else role)


def _plain(value: Any, factor: float) -> Any:
    """A value of QGIS as Python's own: NULL becomes None."""
    if value is None or (hasattr(value, "isNull") and value.isNull()):
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value * factor
    return str(value)


def _rounded(value: Any, column: Column) -> str:
    return str(value) if column.decimals is None else f"{value:.{column.decimals + 1}f}"
