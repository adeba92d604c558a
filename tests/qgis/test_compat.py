"""The plugin on QGIS 3.22 to 4: scoped names that PyQt6 has, Python 3.9, and nothing imported but qgis, numpy and Python itself."""

import ast
import sys
from collections.abc import Iterator
from importlib import import_module

import pytest

from tests.qgis.conftest import PLUGIN

FILES = {path.relative_to(PLUGIN).as_posix(): path for path in sorted((PLUGIN / "sr_geo_plugin").rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
ALLOWED = {"qgis", "numpy", "processing", "osgeo", "sr_geo_plugin"}
"""osgeo is QGIS's own GDAL, which is loaded in QGIS anyway."""
HEAVY = {"rasterio", "shapely", "pyproj", "pyogrio", "geopandas", "torch", "onnxruntime", "scipy", "PIL", "sr_geo"}


@pytest.mark.parametrize("name", FILES)
def test_nothing_else_is_imported(name: str) -> None:
    roots = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            roots.add(str(node.module).split(".")[0])
    assert roots - set(sys.stdlib_module_names) - ALLOWED - {"winreg", "__future__"} == set()
    assert not roots & HEAVY


@pytest.mark.parametrize("name", FILES)
def test_it_is_python_3_9(name: str) -> None:
    ast.parse(FILES[name].read_text(encoding="utf-8"), feature_version=(3, 9))
    assert not any(type(node).__name__ in ("Match", "TryStar") for node in ast.walk(TREES[name]))
    uses_new_unions = any(isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) for node in ast.walk(TREES[name]))
    future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in TREES[name].body)
    assert future or not uses_new_unions, "X | Y in annotations needs `from __future__ import annotations` on 3.9"


@pytest.mark.parametrize("name", FILES)
def test_every_file_names_its_licence(name: str) -> None:
    assert "SPDX-License-Identifier: GPL-2.0-or-later" in FILES[name].read_text(encoding="utf-8").splitlines()[1]


def qt_names(tree: ast.Module) -> dict[str, str]:
    """Names imported from qgis.PyQt with the module of each."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("qgis.PyQt."):
            found.update({alias.asname or alias.name: f"{str(node.module)[len('qgis.PyQt.') :]}.{alias.name}" for alias in node.names})
    return found


def chains(tree: ast.Module) -> Iterator[list[str]]:
    """``Name.attribute.attribute`` as lists of words, the longest only."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            words: list[str] = []
            here: ast.expr = node
            while isinstance(here, ast.Attribute):
                words.insert(0, here.attr)
                here = here.value
            if isinstance(here, ast.Name):
                yield [here.id, *words]


def unknown_to_qt6(tree: ast.Module) -> list[str]:
    names, missing = qt_names(tree), []
    for local, path in names.items():
        module, _, name = path.partition(".")
        found = getattr(import_module(f"PyQt6.{module}"), name, None)
        if found is None and name != "QAction":  # compat.py has both places
            missing.append(path)
            continue
        for words in chains(tree):
            if words[0] == local and found is not None:
                here = found
                for word in words[1:]:
                    if not hasattr(here, word):
                        missing.append(".".join(words))
                        break
                    here = getattr(here, word)
                    if callable(here) and not isinstance(here, type):
                        break
    return missing


def test_the_check_itself_finds_what_qt6_lacks() -> None:
    pytest.importorskip("PyQt6.QtWidgets", reason="PyQt6 is not installed, or its libraries are missing")
    code = "from qgis.PyQt.QtCore import Qt\nfrom qgis.PyQt.QtWidgets import QMessageBox\n"
    code += "a = Qt.AlignLeft, Qt.AlignmentFlag.AlignLeft, QMessageBox.Ok"
    assert unknown_to_qt6(ast.parse(code)) == ["Qt.AlignLeft", "QMessageBox.Ok"]


@pytest.mark.parametrize("name", FILES)
def test_qt6_knows_every_name(name: str) -> None:
    pytest.importorskip("PyQt6.QtWidgets", reason="PyQt6 is not installed, or its libraries are missing")
    assert unknown_to_qt6(TREES[name]) == []


@pytest.mark.parametrize("name", FILES)
def test_nothing_that_qt6_dropped(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    for word in (".exec_(", "pyrcc5", "import PyQt5", "from PyQt5", "import PyQt6", "from PyQt6", "QVariant.Type", "resources_rc"):
        assert word not in text
