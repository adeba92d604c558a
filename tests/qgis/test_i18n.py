"""English, Russian and Kazakh, complete: every text is translated, and no text goes around the translation."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "qgis_plugin"))
import translations  # noqa: E402 - a script beside the plugin

I18N = translations.PLUGIN / "i18n"
SAME_EVERYWHERE = {"SR Geo", "{layer} ×4", "GeoTIFF (*.tif)", "PSNR, dB"}
"""Names and formats that need no translation."""
ENGLISH_NAMES = {
    "SR", "Geo", "QGIS", "Python", "NVIDIA", "GeoTIFF", "Cloud", "Optimized", "PSNR", "SSIM", "ERGAS", "NDVI", "Sentinel", "Landsat",
    "CSV", "pip", "wheel", "wheels", "uv", "python", "org", "auto", "tif", "csv", "html", "loop", "iterations", "NIR",
    "SOCKS", "HTTP", "http", "user", "password", "host", "port", "ONNX", "Runtime",
    "r", "g", "b", "nir", "SR_GEO_QGIS_DATA",
}  # fmt: skip
SHOWN_BY = {
    # functions and methods whose text a user sees
    "QLabel", "QPushButton", "QCheckBox", "QGroupBox", "QgsCollapsibleGroupBox", "QAction", "WorkerError", "QgsProcessingException",
    "setText", "setToolTip", "setWindowTitle", "setPlaceholderText", "setSpecialValueText", "addRow", "addTab", "addAction", "setTitle",
    "setHorizontalHeaderLabels", "showMessage", "setHelp",
}  # fmt: skip
SOURCES = sorted({text.words for text in translations.texts()})


def test_there_is_something_to_translate() -> None:
    assert len(SOURCES) > 100


@pytest.mark.parametrize("language", sorted(translations.LANGUAGES))
def test_every_text_is_translated(language: str) -> None:
    path = I18N / f"sr_geo_{language}.ts"
    known = translations.read(path)
    assert [source for source in SOURCES if source not in known] == []
    assert sorted(known) == SOURCES, "texts that nobody uses: run qgis_plugin/translations.py"
    root = ElementTree.parse(path).getroot()
    assert root.get("language") == translations.LANGUAGES[language]


@pytest.mark.parametrize("language", sorted(translations.LANGUAGES))
def test_translations_keep_placeholders_breaks_and_blanks(language: str) -> None:
    for source, words in translations.read(I18N / f"sr_geo_{language}.ts").items():
        assert translations.placeholders(words) == translations.placeholders(source), source
        assert words.count("\n") == source.count("\n"), source
        assert words[:1].isspace() == source[:1].isspace(), source
        assert words.endswith("…") == source.endswith("…"), source
        assert "  " not in words, source
        re.sub(r"{\w*}", "", words).format()  # no stray brace


@pytest.mark.parametrize("language", sorted(translations.LANGUAGES))
def test_translations_are_in_their_language(language: str) -> None:
    for source, words in translations.read(I18N / f"sr_geo_{language}.ts").items():
        if source in SAME_EVERYWHERE:
            continue
        assert words != source
        assert re.search("[А-Яа-яӘәҒғҚқҢңӨөҰұҮүҺһІі]", words), source
        latin = set(re.findall(r"[A-Za-z_]+", re.sub(r"{\w*}", "", words)))
        assert latin <= ENGLISH_NAMES, (source, latin - ENGLISH_NAMES)


def test_kazakh_is_kazakh() -> None:
    """Letters that Russian lacks stand in all longer texts; letters that only one of the two has do not stray."""
    kazakh, russian = (translations.read(I18N / f"sr_geo_{language}.ts") for language in ("kk", "ru"))
    longer = [words for words in kazakh.values() if len(re.sub(r"{\w*}", "", words)) > 30 and words not in SAME_EVERYWHERE]
    assert [words for words in longer if not re.search("[ӘәҒғҚқҢңӨөҰұҮүҺһІі]", words)] == []
    assert not [words for words in russian.values() if re.search("[ӘәҒғҚқҢңӨөҰұҮүҺһІі]", words)]


def shown_literals(path: Path) -> Iterator[str]:
    """Texts with words in them that are shown without `tr`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name not in SHOWN_BY:
            continue
        for argument in node.args:
            for part in argument.elts if isinstance(argument, (ast.List, ast.Tuple)) else [argument]:
                texts = [part] if isinstance(part, ast.Constant) else part.values if isinstance(part, ast.JoinedStr) else []
                for text in texts:
                    if isinstance(text, ast.Constant) and isinstance(text.value, str) and re.search(r"[A-Za-z]{3,}", text.value):
                        yield f"{path.name}:{node.lineno}: {text.value}"


def test_no_text_goes_around_the_translation() -> None:
    allowed = ("http://", "<b>", "</b>", "<ol>")
    found = [text for path in translations.PLUGIN.rglob("*.py") for text in shown_literals(path)]
    assert [text for text in found if not any(part in text for part in allowed)] == []


def test_what_cannot_be_found_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text('tr(f"{x} was added")\n')
    with pytest.raises(ValueError, match=r"bad\.py:1: tr\(\) takes one plain string"):
        list(translations.texts(tmp_path))


def test_new_texts_are_added_and_old_ones_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.ts"
    assert translations.write(path, "kk_KZ", ["Field", "Area & more"], {"Field": "Танап"}) == ["Area & more"]
    assert translations.read(path) == {"Field": "Танап"}
    assert translations.write(path, "kk_KZ", ["Field"], translations.read(path)) == []
