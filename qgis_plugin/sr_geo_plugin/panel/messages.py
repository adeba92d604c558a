# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Entries of the message bar: one line, what to do, and a button that does it. Details go to the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import Qgis, QgsApplication
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QPushButton

from sr_geo_plugin.translation import tr

TITLE = "SR Geo"
"""Of messages, and of the tab in the log panel."""
_SECONDS = {Qgis.MessageLevel.Info: 6, Qgis.MessageLevel.Success: 12}
"""That a message stays; warnings and errors stay until they are closed."""


def tell(
    iface: Any,
    words: str,
    *,
    level: Qgis.MessageLevel = Qgis.MessageLevel.Info,
    log: str = "",
    button: tuple[str, Callable[[], None]] | None = None,
) -> None:
    """Put a line into the message bar, and into the log.

    Args:
        iface: of QGIS.
        words: one line; for a failure, with what to do.
        level: how serious it is.
        log: details for the log panel.
        button: its words and what it does.
    """
    QgsApplication.messageLog().logMessage(f"{words}\n{log}".strip(), TITLE, level, False)
    # A moment later, so that it lies above what QGIS itself says about the end of a task.
    QTimer.singleShot(0, lambda: _show(iface, words, level, log, button))


def _show(iface: Any, words: str, level: Qgis.MessageLevel, log: str, button: tuple[str, Callable[[], None]] | None) -> None:
    bar = iface.messageBar()
    item = bar.createMessage(TITLE, words)
    for text, action in [] if button is None else [button]:
        push = QPushButton(text, item)
        push.clicked.connect(lambda _checked=False, action=action, item=item: _act(bar, item, action))
        item.layout().addWidget(push)
    if log:
        push = QPushButton(tr("Log"), item)
        push.clicked.connect(lambda _checked=False: iface.openMessageLog())
        item.layout().addWidget(push)
    bar.pushWidget(item, level, _SECONDS.get(level, 0))


def _act(bar: Any, item: Any, action: Callable[[], None]) -> None:
    bar.popWidget(item)
    action()
