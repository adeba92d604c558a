"""What QGIS shows in Russian and Kazakh: the compiled files, which are what it loads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

from sr_geo_plugin.translation import tr

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "qgis_plugin"))
import translations


@pytest.mark.parametrize("language", sorted(translations.LANGUAGES))
def test_the_compiled_file_says_the_same(language: str, qgis_app: object) -> None:
    """It is made from the .ts file as it stands."""
    translator = QTranslator()
    assert translator.load(str(translations.PLUGIN / "i18n" / f"sr_geo_{language}.qm"))
    QCoreApplication.installTranslator(translator)
    try:
        for source, words in translations.read(translations.PLUGIN / "i18n" / f"sr_geo_{language}.ts").items():
            assert tr(source) == words
    finally:
        QCoreApplication.removeTranslator(translator)
    assert tr("Enhance") == "Enhance"
