"""The real desktop with the plugin installed from its zip, and a user's clicks in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.qgis.conftest import REPOSITORY, SAMPLE

PROGRAMS = ("qgis", "xvfb-run", "xdotool")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def facts(plugin_zip: Path, toolkit_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the user did and saw.

    SR_GEO_SCREENSHOTS names a folder that gets the pictures, SR_GEO_LANGUAGE the language of the window (ru, kk). For the documentation
    they are reduced to 256 colours: `Image.quantize(256, kmeans=2)` of Pillow.
    """
    folder = tmp_path_factory.mktemp("desktop")
    profile = folder / "profiles" / "default"
    (profile / "QGIS").mkdir(parents=True)
    language = os.environ.get("SR_GEO_LANGUAGE", "en")
    (profile / "QGIS" / "QGIS3.ini").write_text(
        f"[PythonPlugins]\nsr_geo_plugin=true\n[locale]\noverrideFlag=true\nuserLocale={language}\n[qgis]\nshowTips320=false\n"
        "checkVersion=false\n"
    )
    with zipfile.ZipFile(plugin_zip) as archive:
        archive.extractall(profile / "python" / "plugins")
    out = folder / "out"
    out.mkdir()
    environ = {name: value for name, value in os.environ.items() if name not in ("QT_QPA_PLATFORM", "PYTHONPATH", "QGIS_PLUGINPATH")}
    environ |= {
        "QGIS_CUSTOM_CONFIG_PATH": str(folder),
        "SR_GEO_PYTHON": str(toolkit_python),
        "SR_GEO_QGIS_DATA": str(folder / "data"),
        "SR_GEO_MODELS": str(folder / "models"),
        "SR_GEO_OUT": str(out),
        "SR_GEO_SAMPLE": str(SAMPLE),
        "PROJ_DATA": "/usr/share/proj",  # as some installations of QGIS set it; an older database than the worker's
    }
    script = REPOSITORY / "tests" / "qgis" / "desktop.py"
    command = ["xvfb-run", "-a", "-s", "-screen 0 1400x900x24", "qgis", "--nologo", "--code", str(script)]
    ended = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    written = out / "facts.json"
    assert written.exists(), ended.stderr[-2000:]
    found = json.loads(written.read_text(encoding="utf-8"))
    found["exit"] = ended.returncode
    wanted = os.environ.get("SR_GEO_SCREENSHOTS")
    if wanted:
        for path in out.glob("*.png"):
            shutil.copy(path, Path(wanted) / f"qgis-{path.name}")
    assert "error" not in found, found["error"]
    return found


def test_qgis_goes_through_it_and_ends(facts: dict[str, Any]) -> None:
    assert facts["done"]
    assert facts["exit"] == 0


def test_the_plugin_is_the_one_in_the_zip(facts: dict[str, Any]) -> None:
    assert facts["plugin"].endswith("profiles/default/python/plugins/sr_geo_plugin")


def test_the_panel_finds_the_worker_and_its_models(facts: dict[str, Any]) -> None:
    assert not facts["banner"]
    assert "satellite-rgb-x4" in facts["models"]


def test_preview_and_divider(facts: dict[str, Any]) -> None:
    assert facts["preview_seconds"] > 0
    assert facts["divider"] == pytest.approx(0.8, abs=0.05)


def test_the_result_lies_in_the_group_above_the_image(facts: dict[str, Any]) -> None:
    assert facts["tree"] == [["May 2020", "Fields", "Landsat 8, 30 m ×4", "Landsat 8, 30 m"]]
    assert facts["same_bands"]
    assert facts["rows"] == 40
    assert facts["canvas_moved_during_run"]


def test_undo(facts: dict[str, Any]) -> None:
    assert facts["tree_after_undo"] == [["May 2020", "Fields", "Landsat 8, 30 m"]]


def test_no_library_of_the_worker_came_into_qgis(facts: dict[str, Any]) -> None:
    assert facts["foreign"] == []
