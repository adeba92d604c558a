# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two pictures of one place, the first left of a divider and the second right of it."""

from __future__ import annotations

from typing import Any

from qgis.PyQt.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPalette, QPen
from qgis.PyQt.QtWidgets import QSizePolicy, QWidget

from sr_geo_plugin.translation import tr

_STEP = 0.02
"""Of the width, for each press of an arrow key."""
_LARGEST_ZOOM = 16.0
_GRIP = 9.0


class SwipeView(QWidget):
    """Shows a preview. Drag the divider, or press ← and →; the wheel zooms at the pointer; drag with the right button to move."""

    divider_moved = pyqtSignal(float)
    """The divider's new place, from 0 at the left to 1 at the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._before: QImage | None = None
        self._after: QImage | None = None
        self._words = ""
        self._divider = 0.5
        self._zoom = 1.0
        self._centre = QPointF(0.5, 0.5)  # of what is shown, as shares of the picture
        self._held: QPointF | None = None
        self.setMinimumSize(180, 160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName(tr("Preview: before on the left, after on the right"))

    def sizeHint(self) -> QSize:
        """Room for the picture in a usual panel."""
        return QSize(340, 300)

    @property
    def divider(self) -> float:
        """The divider's place, from 0 at the left to 1 at the right."""
        return self._divider

    @property
    def has_pictures(self) -> bool:
        """Whether there is something to compare."""
        return self._before is not None

    def show_pictures(self, before: QImage, after: QImage) -> None:
        """Show two pictures of the same place; they may differ in size, not in shape. Zoom and divider start anew."""
        self._before, self._after = before, after
        self._divider, self._zoom, self._centre = 0.5, 1.0, QPointF(0.5, 0.5)
        self.update()

    def show_words(self, words: str) -> None:
        """Show a line instead of pictures."""
        self._before = self._after = None
        self._words = words
        self.update()

    def set_divider(self, share: float) -> None:
        """Move the divider.

        Args:
            share: of the width, held within 0 … 1.
        """
        self._divider = min(max(share, 0.0), 1.0)
        self.update()
        self.divider_moved.emit(self._divider)

    # What Qt calls

    def paintEvent(self, _event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().color(QPalette.ColorRole.Dark))
        if self._before is None or self._after is None:
            painter.setPen(self.palette().color(QPalette.ColorRole.BrightText))
            flags = _number(Qt.AlignmentFlag.AlignCenter, Qt.TextFlag.TextWordWrap)
            painter.drawText(self.rect().adjusted(12, 12, -12, -12), flags, self._words)
            painter.end()
            return
        target, x = self._target(), self._divider * self.width()
        # Pixels stay pixels while they are enlarged; smaller than the picture, they are averaged.
        smooth = target.width() < self._after.width()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        for picture, left, right in ((self._before, 0.0, x), (self._after, x, float(self.width()))):
            painter.setClipRect(QRectF(left, 0, right - left, self.height()))
            painter.drawImage(target, picture, QRectF(picture.rect()))
        painter.setClipping(False)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(QPen(QColor(0, 0, 0, 150), 4))
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.setPen(QPen(QColor(255, 255, 255), 2))
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
        painter.setBrush(QColor(40, 40, 40, 200))
        painter.drawEllipse(QPointF(x, self.height() / 2), _GRIP, _GRIP)
        self._label(painter, tr("before"), left=True, room=x)
        self._label(painter, tr("after"), left=False, room=self.width() - x)
        painter.end()

    def mousePressEvent(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.set_divider(event.pos().x() / max(self.width(), 1))
        elif self.has_pictures:
            self._held = QPointF(event.pos())

    def mouseMoveEvent(self, event: Any) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.set_divider(event.pos().x() / max(self.width(), 1))
        elif self._held is not None:
            target, moved = self._target(), QPointF(event.pos()) - self._held
            self._held = QPointF(event.pos())
            self._centre -= QPointF(moved.x() / target.width(), moved.y() / target.height())
            self._stay_inside()
        near = self.has_pictures and abs(event.pos().x() - self._divider * self.width()) < _GRIP
        self.setCursor(Qt.CursorShape.SplitHCursor if near else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, _event: Any) -> None:
        self._held = None

    def wheelEvent(self, event: Any) -> None:
        if not self.has_pictures:
            return
        at = QPointF(event.position())
        old = self._target()
        share = QPointF((at.x() - old.x()) / old.width(), (at.y() - old.y()) / old.height())
        self._zoom = min(max(self._zoom * 1.25 ** (event.angleDelta().y() / 120), 1.0), _LARGEST_ZOOM)
        new = self._target()
        middle = QPointF(self.width() / 2, self.height() / 2)
        self._centre = QPointF(share.x() + (middle.x() - at.x()) / new.width(), share.y() + (middle.y() - at.y()) / new.height())
        self._stay_inside()
        event.accept()

    def keyPressEvent(self, event: Any) -> None:
        steps = {Qt.Key.Key_Left: -_STEP, Qt.Key.Key_Right: _STEP}
        if event.key() in steps:
            self.set_divider(self._divider + steps[event.key()])
        else:
            super().keyPressEvent(event)

    # Geometry

    def _target(self) -> QRectF:
        """Where the whole picture lies, in pixels of the widget, at the zoom and place that are shown."""
        size = self._after.size()
        scale = self._zoom * max(self.width() / max(size.width(), 1), self.height() / max(size.height(), 1))
        width, height = size.width() * scale, size.height() * scale
        return QRectF(self.width() / 2 - self._centre.x() * width, self.height() / 2 - self._centre.y() * height, width, height)

    def _stay_inside(self) -> None:
        """Move the picture so that it fills the widget."""
        target = self._target()
        margins = (self.width() / 2 / target.width(), self.height() / 2 / target.height())
        self._centre = QPointF(*(min(max(at, margin), 1 - margin) for at, margin in zip((self._centre.x(), self._centre.y()), margins)))
        self.update()

    def _label(self, painter: QPainter, words: str, *, left: bool, room: float) -> None:
        metrics = painter.fontMetrics()
        width, height = metrics.horizontalAdvance(words) + 12, metrics.height() + 4
        if room < width + 8:
            return
        box = QRectF(6 if left else self.width() - width - 6, 6, width, height)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 150))
        painter.drawRoundedRect(box, 4, 4)
        painter.setPen(QColor(255, 255, 255))
        painter.drawText(box, _number(Qt.AlignmentFlag.AlignCenter), words)


def _number(*flags: Any) -> int:
    """Flags as one number; PyQt6 gives enums their value by name only."""
    total = 0
    for flag in flags:
        total |= int(getattr(flag, "value", flag))
    return total
