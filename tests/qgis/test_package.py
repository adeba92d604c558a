"""The zip, and what the plugin site asks of it."""

import configparser
import importlib.util
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import sr_geo
from tests.qgis.conftest import PLUGIN

FOLDER = PLUGIN / "sr_geo_plugin"


@pytest.fixture(scope="module")
def metadata() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(FOLDER / "metadata.txt", encoding="utf-8")
    return parser["general"]


def test_the_zip_holds_the_plugin_its_licence_and_a_wheel(plugin_zip: Path, metadata: configparser.SectionProxy) -> None:
    assert plugin_zip.stat().st_size <= 25_000_000
    with zipfile.ZipFile(plugin_zip) as archive:
        names = archive.namelist()
        (wheel,) = [name for name in names if name.endswith(".whl")]
        archive.extract(wheel, plugin_zip.parent)
    assert {name.split("/")[0] for name in names} == {"sr_geo_plugin"}
    for name in ("__init__.py", "metadata.txt", "LICENSE", "icons/sr_geo.svg", "i18n/sr_geo_kk.qm", "i18n/sr_geo_ru.qm"):
        assert f"sr_geo_plugin/{name}" in names
    assert not [name for name in names if re.search(r"__pycache__|\.(pyc|so|pyd|dll|dylib|exe|ts)$|/\.", name)]
    assert Path(wheel).name == f"sr_geo-{metadata['version']}-py3-none-any.whl"
    with zipfile.ZipFile(plugin_zip.parent / wheel) as inner:
        assert "sr_geo/models/weights/satellite-rgbn-x4.onnx" in inner.namelist()


def test_the_same_tree_gives_the_same_entries(plugin_zip: Path) -> None:
    with zipfile.ZipFile(plugin_zip) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 1, 1, 0, 0, 0)}
        assert archive.namelist() == sorted(archive.namelist())


def test_metadata_says_what_the_site_and_qgis_want(metadata: configparser.SectionProxy) -> None:
    assert metadata["version"] == sr_geo.__version__
    assert (metadata["qgisMinimumVersion"], metadata["qgisMaximumVersion"]) == ("3.22", "4.99")
    assert metadata["hasProcessingProvider"] == "yes"
    assert "supportsQt6" not in metadata, "obsolete"
    assert (FOLDER / metadata["icon"]).is_file()
    for key in ("name", "description", "about", "author", "license", "tags", "category"):
        assert metadata[key].strip(), key
    assert "DEPENDENCIES" in metadata["about"], "the site asks for them there"


@pytest.fixture(scope="module")
def packer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_plugin", PLUGIN / "make_plugin.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_addresses_come_from_the_wheel(packer: ModuleType, tmp_path: Path) -> None:
    about = """Metadata-Version: 2.4
Name: sr-geo
Project-URL: Homepage, https://example.org/
Project-URL: Issues, https://example.org/issues
Project-URL: Repository, https://example.org/code
Author-email: The SR Geo authors <authors@example.org>

Author-email: not@this.one
"""
    with zipfile.ZipFile(tmp_path / "sr_geo-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("sr_geo-1.dist-info/METADATA", about)
    known = packer.addresses(tmp_path / "sr_geo-1-py3-none-any.whl")
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(packer.filled((FOLDER / "metadata.txt").read_text(encoding="utf-8"), known))
    section = parser["general"]
    # What the plugin site refuses an upload without (qgis-plugins, validator.py).
    for key in ("name", "description", "version", "qgisMinimumVersion", "author", "email", "about", "tracker", "repository", "homepage"):
        assert section[key].strip(), key
    assert (section["email"], section["tracker"]) == ("authors@example.org", "https://example.org/issues")
    assert section["changelog"].strip().startswith("0.1.0")


def test_without_addresses_metadata_stays_as_it_is(packer: ModuleType) -> None:
    text = (FOLDER / "metadata.txt").read_text(encoding="utf-8")
    assert packer.filled(text, {}) == text


@pytest.mark.parametrize("tool", ["bandit", "flake8"])
def test_the_sites_scanners_are_content(tool: str) -> None:
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed: pip install '.[plugin]'")
    words = {
        "bandit": ["-r", str(FOLDER), "-q"],
        # Not QGS105: `iface` is handed on, so that tests can give one. QGS201 and QGS202 are wrong about several names. The rest is ruff's.
        "flake8": [str(FOLDER), "--select", "QGS", "--extend-ignore", "QGS105,QGS201,QGS202"],
    }[tool]
    done = subprocess.run([sys.executable, "-m", tool, *words], capture_output=True, text=True, check=False, cwd=PLUGIN)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_flake8_of_qgis_is_the_one_that_runs() -> None:
    if find_spec("flake8") is None:
        pytest.skip("flake8 is not installed: pip install '.[plugin]'")
    done = subprocess.run([sys.executable, "-m", "flake8", "--version"], capture_output=True, text=True, check=True)
    assert "flake8-qgis" in done.stdout


def test_icons_are_drawings() -> None:
    icons = list((FOLDER / "icons").iterdir())
    assert len(icons) == 7
    for icon in icons:
        assert icon.read_text(encoding="utf-8").startswith("<svg "), icon
