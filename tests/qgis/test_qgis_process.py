"""What users get: the zip, unpacked into a fresh profile, run by the real `qgis_process`."""

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.qgis.conftest import SAMPLE

PROGRAM = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
"""Debian's wrapper of 3.22 does not start; the program itself does."""

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="qgis_process is not installed")

FARM = SAMPLE / "rendered_farm.tif"
PARCELS = SAMPLE / "rendered_farm_parcels.geojson"
HEAVY = "rasterio shapely pyproj pyogrio geopandas torch onnxruntime sr_geo"

WATCHER = """
import os, sys, threading, time

def note():
    while True:
        with open(os.environ["NOTE"] + ".part", "w") as file:
            file.write(" ".join(list(sys.modules)))
        os.replace(os.environ["NOTE"] + ".part", os.environ["NOTE"])
        time.sleep(0.1)

class Watcher:
    def __init__(self, iface): threading.Thread(target=note, daemon=True).start()
    def initProcessing(self): pass
    def initGui(self): pass
    def unload(self): pass

def classFactory(iface):
    return Watcher(iface)
"""


@dataclass(frozen=True)
class Qgis:
    profile: Path
    environ: dict[str, str]

    def run(self, *words: object, **environ: str) -> "subprocess.CompletedProcess[str]":
        command = [str(PROGRAM), *map(str, words)]
        return subprocess.run(command, env={**self.environ, **environ}, capture_output=True, text=True, check=False, timeout=300)

    def results(self, algorithm: str, *words: object, **environ: str) -> dict[str, object]:
        done = self.run("--json", "run", algorithm, "--", *words, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout[done.stdout.index("{") :])["results"]
        assert isinstance(found, dict)
        return found


@pytest.fixture
def qgis(plugin_zip: Path, toolkit_python: Path, tmp_path: Path) -> Qgis:
    """A profile with nothing but the zip in it."""
    profile = tmp_path / "profile"
    plugins = profile / "profiles" / "default" / "python" / "plugins"
    plugins.mkdir(parents=True)
    with zipfile.ZipFile(plugin_zip) as archive:
        archive.extractall(plugins)
    (profile / "profiles" / "default" / "QGIS").mkdir()
    (profile / "profiles" / "default" / "QGIS" / "QGIS3.ini").write_text("[PythonPlugins]\nsr_geo_plugin=true\n")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("QGIS_", "PYTHON"))}
    environ.update(
        QT_QPA_PLATFORM="offscreen",
        QGIS_CUSTOM_CONFIG_PATH=str(profile),
        XDG_RUNTIME_DIR=str(tmp_path),
        SR_GEO_PYTHON=str(toolkit_python),
        SR_GEO_QGIS_DATA=str(tmp_path / "data"),
        SR_GEO_MODELS=str(tmp_path / "models"),
    )
    return Qgis(profile, environ)


def info(path: object, python: str) -> dict[str, object]:
    """What the toolkit's rasterio says of a raster."""
    code = (
        "import json, sys, rasterio\nd = rasterio.open(sys.argv[1])\nm = d.read(1, masked=True)\n"
        "print(json.dumps({'size': d.shape, 'crs': str(d.crs), 'dtype': d.dtypes[0], 'nodata': d.nodata, 'bounds': list(d.bounds),"
        " 'mean': float(m.mean()), 'valid': float(1 - m.mask.mean()), 'names': d.descriptions}))"
    )
    done = subprocess.run([python, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_parcels_are_enhanced(qgis: Qgis, tmp_path: Path) -> None:
    python = qgis.environ["SR_GEO_PYTHON"]
    words = [f"INPUT={FARM}", f"PARCELS={PARCELS}", "PSF=2", f"OUTPUT={tmp_path / 'fields.tif'}", f"TABLE={tmp_path / 'table.gpkg'}"]
    # A PROJ database of another installation, as QGIS on Windows and macOS names it.
    found = qgis.results("srgeo:enhanceparcels", *words, PROJ_DATA="/usr/share/proj", PROJ_LIB="/usr/share/proj", GDAL_DATA=str(tmp_path))
    assert found == {"OUTPUT": str(tmp_path / "fields.tif"), "TABLE": str(tmp_path / "table.gpkg"), "COUNT": 1}
    before, after = info(FARM, python), info(tmp_path / "fields.tif", python)
    assert after["crs"] == before["crs"]
    assert after["dtype"] == before["dtype"]
    assert after["names"] == before["names"]
    assert after["valid"] < 1.0, "nodata around the parcels"
    assert after["mean"] == pytest.approx(before["mean"], rel=0.2)
    assert not list(tmp_path.glob("*.part"))


def test_a_whole_raster_and_a_model_by_name(qgis: Qgis, tmp_path: Path) -> None:
    qgis.results("srgeo:enhanceraster", f"INPUT={FARM}", "PSF=2", "MODEL=satellite-rgb-x4", f"OUTPUT={tmp_path / 'farm.tif'}")
    before, after = info(FARM, qgis.environ["SR_GEO_PYTHON"]), info(tmp_path / "farm.tif", qgis.environ["SR_GEO_PYTHON"])
    assert after["size"] == [4 * side for side in before["size"]]  # type: ignore[attr-defined]
    assert after["bounds"] == pytest.approx(before["bounds"])


def test_a_failure_is_one_line_and_exit_code_1(qgis: Qgis, tmp_path: Path) -> None:
    points = tmp_path / "empty.geojson"
    points.write_text('{"type": "FeatureCollection", "features": []}')
    done = qgis.run("run", "srgeo:enhanceparcels", "--", f"INPUT={FARM}", f"PARCELS={points}", f"OUTPUT={tmp_path / 'out.tif'}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.tif").exists()


def test_without_an_environment_it_says_what_to_do(qgis: Qgis, tmp_path: Path) -> None:
    words = ["run", "srgeo:enhanceraster", "--", f"INPUT={FARM}", f"OUTPUT={tmp_path / 'out.tif'}"]
    for python in ("", str(tmp_path / "gone")):
        done = qgis.run(*words, SR_GEO_PYTHON=python)
        assert done.returncode == 1
        assert "Set up" in done.stdout + done.stderr
    assert not (tmp_path / "out.tif").exists()


def test_qgis_gains_no_heavy_module(qgis: Qgis, tmp_path: Path) -> None:
    """A second plugin keeps writing down which modules QGIS has."""
    watcher = qgis.profile / "profiles" / "default" / "python" / "plugins" / "watcher"
    watcher.mkdir()
    (watcher / "metadata.txt").write_text(
        "[general]\nname=watcher\nqgisMinimumVersion=3.0\ndescription=w\nversion=1\nauthor=w\nemail=w\nhasProcessingProvider=yes\n"
    )
    (watcher / "__init__.py").write_text(WATCHER)
    ini = qgis.profile / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    note = str(tmp_path / "modules.txt")
    ini.write_text("[PythonPlugins]\nwatcher=true\n")
    assert qgis.run("list", NOTE=note).returncode == 0
    before = set(Path(note).read_text().split())
    ini.write_text("[PythonPlugins]\nwatcher=true\nsr_geo_plugin=true\n")
    qgis.results("srgeo:enhanceraster", f"INPUT={FARM}", "PSF=2", f"OUTPUT={tmp_path / 'farm.tif'}", NOTE=note)
    after = set(Path(note).read_text().split())
    assert "sr_geo_plugin.worker" in after
    assert {name.split(".")[0] for name in after - before} & set(HEAVY.split()) == set()


def test_the_models_are_checked(qgis: Qgis, tmp_path: Path) -> None:
    found = qgis.results("srgeo:checkmodels", f"REPORT={tmp_path / 'check.html'}")
    assert found["USABLE"] >= 2  # type: ignore[operator]
    assert found["FAULTS"] == 0
    assert "satellite-rgbn-x4" in (tmp_path / "check.html").read_text(encoding="utf-8")
