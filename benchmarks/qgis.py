"""Time of the QGIS plugin: a run over parcels on 1000 × 1000 pixels, and the panel's preview.

    python benchmarks/qgis.py                    three rounds of each; needs QGIS (on Debian: apt-get install qgis python3-qgis)
    python benchmarks/qgis.py --rounds 1 --only preview

The parcel run is `qgis_process run srgeo:enhanceparcels` in a fresh profile that has the zip of the plugin: four bands of 16 bits, 100
square fields of 70 × 70 pixels, blur measured, table written. Its seconds go from the start of the program to its end. The preview is
what the panel does after a click, without drawing its two pictures, on the Landsat sample, in QGIS's own Python; each round has a place
of its own.

Prints seconds on the wall and of the processors (QGIS and the worker together). The rasters are made from the sample data.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from shapely.geometry import box

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "sample_data"
SIDE, FIELDS, FIELD = 1000, 10, 70
PREVIEW = """
import json, os, sys, tempfile
from pathlib import Path
from qgis.core import QgsApplication, QgsPointXY, QgsRasterLayer
application = QgsApplication([], True)
application.initQgis()
from sr_geo_plugin import settings
from sr_geo_plugin.panel import jobs
from sr_geo_plugin.panel.task import BackgroundTask
layer = QgsRasterLayer(sys.argv[1], "image")
task = BackgroundTask("", lambda _: None, done=lambda _: None, failed=lambda _: None)
settings.runtime()  # the panel has asked when it is opened
before = os.times()
middle = layer.extent().center()
place = QgsPointXY(middle.x() + 30 * int(sys.argv[2]), middle.y())
with tempfile.TemporaryDirectory() as folder:
    made = jobs.preview(task, jobs.worker(), layer, jobs.Choice(), centre=place, folder=Path(folder))
after = os.times()
print(json.dumps([made.seconds, sum(after[:4]) - sum(before[:4])]))
del layer, task
application.exitQgis()
"""


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("parcels", "preview"))
    parser.add_argument("--qgis-python", default="/usr/bin/python3", help="the Python that has QGIS; default: /usr/bin/python3")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("QGIS_", "PYTHON"))}
        environ |= {"QT_QPA_PLATFORM": "offscreen", "SR_GEO_PYTHON": sys.executable, "SR_GEO_QGIS_DATA": str(folder / "data")}
        (folder / "runtime").mkdir(mode=0o700)
        environ |= {"XDG_RUNTIME_DIR": str(folder / "runtime"), "QGIS_CUSTOM_CONFIG_PATH": str(folder / "profile")}
        if options.only != "preview":
            make_inputs(folder)
            install_plugin(folder)
            for _ in range(options.rounds):
                print("parcel run: {:.1f} s, processors {:.1f} s".format(*parcel_run(folder, environ)), flush=True)
        if options.only != "parcels":
            path = os.pathsep.join([str(ROOT / "qgis_plugin"), "/usr/share/qgis/python"])
            for number in range(options.rounds):
                command = [options.qgis_python, "-c", PREVIEW, str(SAMPLE / "itaipu_landsat8.tif"), str(number)]
                done = subprocess.run(command, env={**environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                print("preview: {:.1f} s, processors {:.1f} s".format(*json.loads(done.stdout.splitlines()[-1])), flush=True)


def make_inputs(folder: Path) -> None:
    """The Landsat sample mirrored to 1000 × 1000 pixels, with a fourth band that stands for near infrared, and the fields."""
    with rasterio.open(SAMPLE / "itaipu_landsat8.tif") as source:
        data, look, names, scales = source.read(), source.profile, source.descriptions, source.scales
    data = np.pad(data, [(0, 0), (0, SIDE - data.shape[1]), (0, SIDE - data.shape[2])], mode="symmetric")
    near = (data[1].astype(np.uint32) * 3 // 2).clip(0, 65535).astype(np.uint16)
    look.update(height=SIDE, width=SIDE, count=4, tiled=True, blockxsize=256, blockysize=256)
    with rasterio.open(folder / "scene.tif", "w", **look) as out:
        out.write(np.concatenate([data, near[None]]))
        out.descriptions = (*names, "nir")
        out.scales = (*scales, scales[0])
    place, step = look["transform"], SIDE // FIELDS
    fields = []
    for number in range(FIELDS * FIELDS):
        row, column = step * (number // FIELDS) + 15, step * (number % FIELDS) + 15
        fields.append(box(*(place * (column, row + FIELD)), *(place * (column + FIELD, row))))
    geopandas.GeoDataFrame({"name": list(map(str, range(len(fields))))}, geometry=fields, crs=look["crs"]).to_file(folder / "fields.gpkg")


def install_plugin(folder: Path) -> None:
    """The zip of `make plugin` in a fresh profile."""
    subprocess.run([sys.executable, str(ROOT / "qgis_plugin" / "make_plugin.py"), str(folder)], check=True, stdout=subprocess.DEVNULL)
    profile = folder / "profile" / "profiles" / "default"
    with zipfile.ZipFile(next(folder.glob("sr_geo_plugin-*.zip"))) as archive:
        archive.extractall(profile / "python" / "plugins")
    (profile / "QGIS").mkdir()
    (profile / "QGIS" / "QGIS3.ini").write_text("[PythonPlugins]\nsr_geo_plugin=true\n")


def parcel_run(folder: Path, environ: dict[str, str]) -> tuple[float, float]:
    """Seconds on the wall and of the processors."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        raise SystemExit("qgis_process is not installed (on Debian and Ubuntu: apt-get install qgis)")
    words = [f"{key}={folder / name}" for key, name in (("INPUT", "scene.tif"), ("PARCELS", "fields.gpkg"), ("OUTPUT", "fine.tif"))]
    words.append(f"TABLE={folder / 'table.gpkg'}")
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([program, "run", "srgeo:enhanceparcels", "--", *words], env=environ, capture_output=True, text=True, check=False)
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not (folder / "fine.tif").exists():
        raise SystemExit(done.stdout + done.stderr)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
