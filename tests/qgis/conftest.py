"""Tests of the QGIS plugin. Those that import QGIS run in an environment that sees it (`make test` makes one), others beside SR Geo."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGIN = REPOSITORY / "qgis_plugin"
SAMPLE = REPOSITORY / "sample_data"

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

WITHOUT_QGIS = (
    "test_environment.py",
    "test_worker.py",
    "test_package.py",
    "test_compat.py",
    "test_i18n.py",
    "test_qgis_process.py",
    "test_desktop.py",
    "test_installer.py",
)
"""What needs no QGIS in its own process."""

INSIDE_QGIS = find_spec("qgis") is not None
if INSIDE_QGIS:
    from osgeo import gdal

    gdal.DontUseExceptions()  # as QGIS leaves it; newer releases of GDAL warn where it was not said
collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if (path.name in WITHOUT_QGIS) is INSIDE_QGIS]
"""Each test runs in one of the two environments of `make test`."""


def pytest_report_header() -> "str | None":
    return f"tests/qgis: left to the environment {'without' if INSIDE_QGIS else 'with'} QGIS: {', '.join(sorted(collect_ignore))}"


@pytest.fixture(scope="session")
def toolkit_python() -> Path:
    """A Python that has SR Geo: the worker's."""
    named = os.environ.get("SR_GEO_TEST_PYTHON")
    if named:
        return Path(named)
    if find_spec("rasterio") and find_spec("sr_geo"):
        return Path(sys.executable)
    beside = REPOSITORY / ".venv" / "bin" / "python"
    if not beside.exists():
        pytest.skip("no Python with SR Geo: set SR_GEO_TEST_PYTHON")
    return beside


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside the test's own folders is read or written."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("SR_GEO_QGIS_DATA", str(folder / "qgis"))
    monkeypatch.setenv("SR_GEO_MODELS", str(folder / "models"))


@pytest.fixture(scope="session")
def plugin_zip(toolkit_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip that `make plugin` writes, made from the files as they are now."""
    folder = tmp_path_factory.mktemp("zip")
    command = [str(toolkit_python), str(PLUGIN / "make_plugin.py"), str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"make plugin: {done.stdout}{done.stderr}")
    (path,) = folder.glob("*.zip")
    return path
