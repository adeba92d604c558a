# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Before | after on the map itself: left of a divider the map is drawn without the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qgis.core import QgsMapRendererParallelJob, QgsMapSettings
from qgis.gui import QgsMapCanvas, QgsMapCanvasItem, QgsMapTool
from qgis.PyQt.QtCore import QObject, QPointF, QRectF, QSize, QSizeF, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPen

_NEAR = 12
"""Pixels from the divider within which a press takes hold of it; farther off the map is moved."""


class SwipeItem(QgsMapCanvasItem):
    """Covers the map left of the divider by a picture of the same place without the layers that are compared."""

    def __init__(self, canvas: QgsMapCanvas, hidden: Callable[[], Sequence[str]]) -> None:
        """Draw at once.

        Args:
            canvas: of the map.
            hidden: gives the ids of the layers to leave out.
        """
        super().__init__(canvas)
        self._canvas = canvas
        self._hidden = hidden
        self._picture: QImage | None = None
        self._job: QgsMapRendererParallelJob | None = None
        self.share = 0.5
        """Of the map's width that is covered."""
        self.setZValue(50)
        canvas.mapCanvasRefreshed.connect(self.draw)
        canvas.extentsChanged.connect(self._drop)
        self.draw()

    def draw(self) -> None:
        """Draw the map without the layers, in the background."""
        self._stop()
        settings = QgsMapSettings(self._canvas.mapSettings())
        hidden = set(self._hidden())
        settings.setLayers([layer for layer in settings.layers() if layer.id() not in hidden])
        self._job = QgsMapRendererParallelJob(settings)
        self._job.finished.connect(self._drawn)
        self._job.start()

    def move_to(self, x: float) -> None:
        """Put the divider at a pixel of the map."""
        self.share = min(max(x / max(self._size().width(), 1), 0.0), 1.0)
        self.update()

    @property
    def divider(self) -> float:
        """Pixel of the map at which the divider stands."""
        return self.share * self._size().width()

    @property
    def is_drawn(self) -> bool:
        """Whether the picture for the map as it stands is there."""
        return self._picture is not None

    def remove(self) -> None:
        """Take it off the map."""
        self._canvas.mapCanvasRefreshed.disconnect(self.draw)
        self._canvas.extentsChanged.disconnect(self._drop)
        self._stop()
        self._canvas.scene().removeItem(self)

    def _size(self) -> QSize:
        """Of the map itself; the widget has a frame around it."""
        return self._canvas.viewport().size()

    def _stop(self) -> None:
        if self._job is not None:
            self._job.finished.disconnect(self._drawn)
            self._job.cancelWithoutBlocking()
            self._job = None

    def _drawn(self) -> None:
        if self._job is not None:
            self._picture = self._job.renderedImage()
            self._job = None
            self.update()

    def _drop(self) -> None:
        """The map moves: the picture is of another place now."""
        self._picture = None
        self.update()

    # What QGIS calls

    def boundingRect(self) -> QRectF:
        return QRectF(QPointF(0, 0), QSizeF(self._size()))

    def paint(self, painter: QPainter, _option: Any = None, _widget: Any = None) -> None:
        x, height = self.divider, self._size().height()
        if self._picture is not None:
            part = QRectF(0, 0, x, height)
            ratio = self._picture.width() / max(self._size().width(), 1)  # more than 1 on fine screens
            painter.fillRect(part, self._canvas.canvasColor())
            painter.drawImage(part, self._picture, QRectF(0, 0, x * ratio, height * ratio))
        for colour, width in ((QColor(0, 0, 0, 150), 4), (QColor(255, 255, 255), 2)):
            painter.setPen(QPen(colour, width))
            painter.drawLine(QPointF(x, 0), QPointF(x, height))
        painter.setBrush(QColor(40, 40, 40, 200))
        painter.drawEllipse(QPointF(x, height / 2), 9, 9)


class SwipeTool(QgsMapTool):
    """Drags the divider; elsewhere it moves the map as the hand does."""

    def __init__(self, canvas: QgsMapCanvas, item: SwipeItem) -> None:
        super().__init__(canvas)
        self._item = item
        self._dragging = False
        self._panning = False
        self.setCursor(Qt.CursorShape.SplitHCursor)

    def canvasPressEvent(self, event: Any) -> None:
        self._dragging = abs(event.pos().x() - self._item.divider) <= _NEAR
        if not self._dragging:
            self.canvas().panActionStart(event.pos())

    def canvasMoveEvent(self, event: Any) -> None:
        if self._dragging:
            self._item.move_to(event.pos().x())
        elif event.buttons() & Qt.MouseButton.LeftButton:
            self._panning = True
            self.canvas().panAction(event)

    def canvasReleaseEvent(self, event: Any) -> None:
        if self._panning:
            self.canvas().panActionEnd(event.pos())
        self._dragging = self._panning = False


class Comparison(QObject):
    """Switches the divider on the map on and off."""

    ended = pyqtSignal()
    """It was switched off by choosing another tool."""

    def __init__(self, canvas: QgsMapCanvas, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._canvas = canvas
        self.item: SwipeItem | None = None
        self._tool: SwipeTool | None = None
        self._earlier: QgsMapTool | None = None

    def start(self, hidden: Callable[[], Sequence[str]]) -> None:
        """Put the divider on the map.

        Args:
            hidden: gives the ids of the layers that are left out on its left.
        """
        self.stop()
        self.item = SwipeItem(self._canvas, hidden)
        self._tool = SwipeTool(self._canvas, self.item)
        self._earlier = self._canvas.mapTool()
        self._canvas.setMapTool(self._tool)
        self._canvas.mapToolSet.connect(self._other_tool)

    def stop(self) -> None:
        """Take it off, and give the map its earlier tool back; nothing happens where there is none."""
        if self.item is None:
            return
        item, tool, earlier = self.item, self._tool, self._earlier
        self.item = self._tool = self._earlier = None
        self._canvas.mapToolSet.disconnect(self._other_tool)
        item.remove()
        if self._canvas.mapTool() is tool:
            self._canvas.unsetMapTool(tool)
            if earlier is not None:
                self._canvas.setMapTool(earlier)

    def _other_tool(self, new: QgsMapTool | None, _old: QgsMapTool | None = None) -> None:
        if self.item is not None and new is not self._tool:
            self.stop()
            self.ended.emit()
