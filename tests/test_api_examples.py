"""The examples in the docstrings do what they say."""

import doctest
import importlib
import pkgutil
import shutil
from pathlib import Path

import pytest

import sr_geo

# Importable without the optional parts.
MODULES = [name for _, name, _ in pkgutil.walk_packages(sr_geo.__path__, "sr_geo.") if not name.startswith(("sr_geo.train", "sr_geo.cli"))]


@pytest.fixture
def in_a_checkout(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder where nothing but sample_data/ is."""
    shutil.copytree(repository / "sample_data", tmp_path / "sample_data")
    monkeypatch.chdir(tmp_path)


def examples(module: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder().find(importlib.import_module(module))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.usefixtures("in_a_checkout")
def test_examples(module: str) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in examples(module):
        report: list[str] = []
        runner.run(test, out=report.append)
        assert runner.failures == 0, "".join(report)


def test_the_main_functions_have_an_example() -> None:
    named = {test.name for module in ("sr_geo.raster.enhance", "sr_geo.models.catalog") for test in examples(module)}
    assert {"sr_geo.raster.enhance.enhance_raster", "sr_geo.raster.enhance.enhance_parcels", "sr_geo.models.catalog.load_model"} <= named
