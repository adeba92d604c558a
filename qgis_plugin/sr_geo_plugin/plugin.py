# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin: a provider for Processing, a panel, and Set up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsApplication, QgsSettings
from qgis.PyQt.QtCore import QCoreApplication, QLocale, Qt, QTranslator
from qgis.PyQt.QtGui import QIcon

from sr_geo_plugin.compat import QAction
from sr_geo_plugin.provider import SrGeoProvider
from sr_geo_plugin.translation import tr

FOLDER = Path(__file__).parent


class SrGeoPlugin:
    """What QGIS loads and unloads.

    Args:
        iface: of QGIS; None inside qgis_process.
    """

    def __init__(self, iface: Any) -> None:
        self.iface = iface
        self.translator = _translator()
        self.provider: SrGeoProvider | None = None
        self.actions: list[QAction] = []
        self.dock: Any = None
        self.dialog: Any = None

    def initProcessing(self) -> None:
        """The algorithms: all that qgis_process needs."""
        if self.provider is None:
            self.provider = SrGeoProvider()
            QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self) -> None:
        """Everything."""
        self.initProcessing()
        panel = self._action(tr("SR Geo panel"), "sr_geo.svg", self.show_dock)
        panel.setCheckable(True)
        self._action(tr("Set up…"), "check_models.svg", self.set_up)
        self.iface.addToolBarIcon(panel)

    def unload(self) -> None:
        """Undo `initGui`, in reverse."""
        if self.dialog is not None:
            self.dialog.shut_down()
            self.dialog.deleteLater()
            self.dialog = None
        if self.dock is not None:
            self.iface.removeDockWidget(self.dock)
            close = getattr(self.dock, "shut_down", None)
            if close is not None:
                close()
            self.dock.deleteLater()
            self.dock = None
        for number, action in enumerate(self.actions):
            if number == 0:
                self.iface.removeToolBarIcon(action)
            self.iface.removePluginRasterMenu(tr("SR Geo"), action)
            action.deleteLater()
        self.actions = []
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if self.translator is not None:
            QCoreApplication.removeTranslator(self.translator)
            self.translator = None

    def show_dock(self, shown: bool = True) -> None:
        """Show or hide the panel; it is made when it is first wanted."""
        if self.dock is None:
            if not shown:
                return
            from sr_geo_plugin.panel.dock import SrGeoDock

            self.dock = SrGeoDock(self.iface)
            self.dock.set_up_wanted.connect(self.set_up)
            self.dock.visibilityChanged.connect(self.actions[0].setChecked)
            self.iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.dock)
        self.dock.setVisible(shown)
        if shown:
            self.dock.raise_()

    def set_up(self) -> None:
        """Show the page that installs SR Geo."""
        if self.dialog is None:
            from sr_geo_plugin.setup_dialog import SetUpDialog

            self.dialog = SetUpDialog(self.iface.mainWindow())
            self.dialog.changed.connect(self._set_up_changed)
        self.dialog.refresh()
        self.dialog.show()
        self.dialog.raise_()

    def _set_up_changed(self) -> None:
        if self.provider is not None:
            self.provider.refreshAlgorithms()
        if self.dock is not None:
            self.dock.look_for_worker()

    def _action(self, text: str, icon: str, slot: Any) -> QAction:
        action = QAction(QIcon(str(FOLDER / "icons" / icon)), text, self.iface.mainWindow())
        action.triggered.connect(slot)
        self.iface.addPluginToRasterMenu(tr("SR Geo"), action)
        self.actions.append(action)
        return action


def _translator() -> QTranslator | None:
    """The words of the user's language, installed; None where they are those of the source."""
    language = QLocale.system().name()
    settings = QgsSettings()
    if settings.value("locale/overrideFlag", False, type=bool):
        language = settings.value("locale/userLocale", language, type=str)
    path = FOLDER / "i18n" / f"sr_geo_{language[:2]}.qm"
    translator = QTranslator()
    if not path.exists() or not translator.load(str(path)):
        return None
    QCoreApplication.installTranslator(translator)
    return translator
