"""What is installed, what works, what is missing, and the command that mends it."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Literal

from sr_geo import __version__
from sr_geo.errors import SrGeoError

State = Literal["ok", "warn", "missing"]

_RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-rocm")
"""Distributions that all install the module `onnxruntime`; two of them overwrite each other's files."""

_INSTALL_CUDA = 'pip install "onnxruntime-gpu[cuda,cudnn]"'
"""The extras bring NVIDIA's libraries as packages."""

_DRIVERS = {
    "GTiff": "GeoTIFF input and output",
    "COG": "--cog",
    "JP2OpenJPEG": "JPEG 2000 input, which Sentinel-2 products need",
}

_POLLUTION = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH")
"""Variables by which another GDAL or PROJ on the machine (QGIS, Conda, OSGeo4W) reaches into this one."""

_ASTANA = (69.0, 51.0)
"""Longitude and latitude on the central meridian of UTM zone 42 N, where the easting is 500 000 m by definition."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the diagnosis."""

    name: str
    state: State
    """``missing``: rasters cannot be enhanced; ``warn``: they can, but something is in the way or an optional part is not there."""
    detail: str
    remedy: str = ""
    """Commands or one sentence, a line each; empty where the state is ``ok``."""


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> list[str]:
    return metadata.requires("sr-geo") or []


def _gdal_version() -> str:
    import rasterio

    return str(rasterio.__gdal_version__)


def _drivers() -> frozenset[str]:
    import rasterio

    with rasterio.Env() as env:
        return frozenset(env.drivers())


def _eastings() -> dict[str, float]:
    import pyproj
    import rasterio.warp

    longitude, latitude = _ASTANA
    east, _ = rasterio.warp.transform("EPSG:4326", "EPSG:32642", [longitude], [latitude])
    other, _ = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32642", always_xy=True).transform(longitude, latitude)
    return {"rasterio": float(east[0]), "pyproj": float(other)}


def _providers() -> tuple[str, ...]:
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())


def _cuda_provider() -> str:
    from sr_geo.models import catalog

    return catalog.load_model(next(iter(catalog.entries())), device="cuda").provider


def _models() -> dict[str, str]:
    """Shipped models by name, with what is wrong with each ("" for nothing)."""
    from sr_geo.models import catalog

    faults = {}
    for name in catalog.entries():
        try:
            catalog.load_model(name, device="cpu", threads=1)
        except SrGeoError as error:
            faults[name] = str(error)
        else:
            faults[name] = ""
    return faults


def _lpips() -> bool:
    from sr_geo.quality.lpips import is_available

    return is_available()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The questions that a diagnosis asks of the machine; tests answer them themselves."""

    python: tuple[int, int] = field(default_factory=lambda: sys.version_info[:2])
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    installed: Callable[[str], str | None] = _installed
    """Version of a distribution; None where it is not installed."""
    requirements: Callable[[], list[str]] = _requirements
    """The requirements of sr-geo, extras included, as its metadata has them."""
    gdal_version: Callable[[], str] = _gdal_version
    drivers: Callable[[], frozenset[str]] = _drivers
    eastings: Callable[[], Mapping[str, float]] = _eastings
    """Easting (m) of a point on the central meridian, by library."""
    providers: Callable[[], tuple[str, ...]] = _providers
    nvidia: Callable[[], bool] = lambda: shutil.which("nvidia-smi") is not None
    """Whether the machine has NVIDIA's driver."""
    cuda_provider: Callable[[], str] = _cuda_provider
    """Where a model runs that was asked to run on CUDA."""
    models: Callable[[], Mapping[str, str]] = _models
    lpips: Callable[[], bool] = _lpips
    """Whether the weights of LPIPS are there."""


def diagnose(surroundings: Surroundings | None = None) -> list[Check]:
    """Everything that decides whether SR Geo works here, most basic first; never raises.

    Args:
        surroundings: what to look at; default: this machine.
    """
    around = surroundings or Surroundings()
    checks: list[Callable[[Surroundings], list[Check]]] = [
        _check_python,
        _check_packages,
        _check_runtime,
        _check_gpu,
        _check_drivers,
        _check_proj,
        _check_environment,
        _check_models,
        _check_extras,
        _check_lpips,
    ]
    return [check for group in checks for check in group(around)]


def _check_python(around: Surroundings) -> list[Check]:
    text = ".".join(map(str, around.python))
    if around.python < (3, 10):
        python = Check("python", "warn", f"{text} is older than 3.10", "make an environment with Python 3.10 or later")
    else:
        python = Check("python", "ok", f"{text} on {platform.system()} {platform.machine()}")
    return [python, Check("sr-geo", "ok", __version__)]


def _check_packages(around: Surroundings) -> list[Check]:
    checks = []
    for name in ("numpy", "rasterio", "geopandas"):
        version = around.installed(name)
        if version is None:
            checks.append(Check(name, "missing", "not installed", f"pip install {name}"))
        else:
            checks.append(Check(name, "ok", version))
    try:
        gdal = Check("gdal", "ok", f"{around.gdal_version()} (inside rasterio)")
    except Exception as error:  # a library that does not load may raise anything
        gdal = Check("gdal", "missing", f"rasterio does not load: {_first_line(error)}", "pip install --force-reinstall rasterio")
    return [*checks, gdal]


def _check_runtime(around: Surroundings) -> list[Check]:
    found = {name: version for name in _RUNTIMES if (version := around.installed(name)) is not None}
    listed = ", ".join(f"{name} {version}" for name, version in found.items())
    if not found:
        return [Check("onnxruntime", "missing", "not installed", "pip install onnxruntime")]
    if len(found) > 1:
        other = next(name for name in found if name != "onnxruntime")
        install = _INSTALL_CUDA if "onnxruntime-gpu" in found else f"pip install {other}"
        detail = f"{listed} are installed together and overwrite each other's files"
        return [Check("onnxruntime", "warn", detail, f"pip uninstall -y {' '.join(found)}\n{install}")]
    try:
        providers = ", ".join(name.removesuffix("ExecutionProvider") for name in around.providers())
    except Exception as error:  # a library that does not load may raise anything
        remedy = f"pip install --force-reinstall {next(iter(found))}"
        return [Check("onnxruntime", "missing", f"{listed} does not load: {_first_line(error)}", remedy)]
    return [Check("onnxruntime", "ok", f"{listed} with {providers}")]


def _check_gpu(around: Surroundings) -> list[Check]:
    try:
        cuda, nvidia = "CUDAExecutionProvider" in around.providers(), around.nvidia()
    except Exception:  # told by the check of onnxruntime
        return []
    if cuda and nvidia:
        return [_check_cuda(around)]
    if cuda:
        return [Check("gpu", "warn", "ONNX Runtime for CUDA, but no NVIDIA driver: networks run on the CPU", "install NVIDIA's driver")]
    if nvidia:
        remedy = f"pip uninstall -y onnxruntime\n{_INSTALL_CUDA}"
        return [Check("gpu", "warn", "an NVIDIA driver, but no ONNX Runtime for CUDA: networks run on the CPU", remedy)]
    return [Check("gpu", "ok", "no NVIDIA driver: networks run on the CPU")]


def _check_cuda(around: Surroundings) -> Check:
    try:
        provider = around.cuda_provider()
    except Exception as error:  # CUDA's libraries fail in their own ways
        return Check("gpu", "warn", f"CUDA does not start: {_first_line(error)}", _INSTALL_CUDA)
    if provider != "CUDAExecutionProvider":
        return Check("gpu", "warn", "CUDA's libraries do not load: networks run on the CPU", _INSTALL_CUDA)
    return Check("gpu", "ok", "a model runs on CUDA")


def _check_drivers(around: Surroundings) -> list[Check]:
    try:
        there = around.drivers()
    except Exception:  # told by the check of gdal
        return []
    remedy = "pip install --force-reinstall --only-binary rasterio rasterio"
    return [
        Check(f"driver {name}", "ok", purpose) if name in there else Check(f"driver {name}", "missing", f"needed for {purpose}", remedy)
        for name, purpose in _DRIVERS.items()
    ]


def _check_proj(around: Surroundings) -> list[Check]:
    remedy = "unset PROJ_DATA and PROJ_LIB, or pip install --force-reinstall rasterio pyproj"
    try:
        eastings = around.eastings()
    except Exception as error:  # rasterio and pyproj have a class each, and a missing library a third
        return [Check("proj", "missing", f"coordinates cannot be transformed: {_first_line(error)}", remedy)]
    wrong = {name: east for name, east in eastings.items() if not abs(east - 500_000.0) < 0.001}
    if wrong:
        found = ", ".join(f"{name} {east:.3f} m" for name, east in wrong.items())
        return [Check("proj", "warn", f"easting of the central meridian of UTM 42 N: {found}, expected 500000.000 m", remedy)]
    return [Check("proj", "ok", f"databases readable: {', '.join(eastings)}")]


def _check_environment(around: Surroundings) -> list[Check]:
    found = {name: around.environ[name] for name in _POLLUTION if around.environ.get(name)}
    if not found:
        return [Check("environment", "ok", f"none of {', '.join(_POLLUTION)} is set")]
    listed = ", ".join(f"{name}={value}" for name, value in found.items())
    return [Check("environment", "warn", f"{listed}: files of another installation may be read", f"unset {' '.join(found)}")]


def _check_models(around: Surroundings) -> list[Check]:
    remedy = "pip install --force-reinstall --no-deps .   (in the folder of SR Geo)"
    try:
        faults = around.models()
    except Exception as error:  # whatever keeps the catalogue from opening is the finding
        return [Check("models", "missing", f"the catalogue cannot be read: {_first_line(error)}", remedy)]
    if not faults:
        return [Check("models", "missing", "the package carries no model", remedy)]
    return [
        Check(f"model {name}", "missing", fault, remedy) if fault else Check(f"model {name}", "ok", "whole, and its sha256 is right")
        for name, fault in faults.items()
    ]


EXTRAS = {
    "train": "sr-geo train and export",
    "medical": "DICOM",
    "plates": "finding and reading of number plates",
    "faces": "finding of faces in photos",
    "identify": "sr-geo identify",
    "eval": "plots of the benchmarks",
}
"""What each extra is for."""


def _check_extras(around: Surroundings) -> list[Check]:
    try:
        requirements = around.requirements()
    except metadata.PackageNotFoundError:
        return [Check("extras", "warn", "sr-geo runs from a folder and is not installed", "pip install .")]
    checks = []
    for extra, purpose in EXTRAS.items():
        needed = [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in requirements if re.search(rf"""extra == ['"]{extra}['"]""", text)]
        absent = [name for name in needed if around.installed(name) is None]
        if absent:
            remedy = f'pip install ".[{extra}]"   (in the folder of SR Geo)'
            checks.append(Check(f"extra {extra}", "warn", f"no {purpose}: {', '.join(absent)} not installed", remedy))
        elif needed:
            checks.append(Check(f"extra {extra}", "ok", purpose))
    return checks


def _check_lpips(around: Surroundings) -> list[Check]:
    from sr_geo.quality.lpips import INSTALL

    if around.lpips():
        return [Check("extra lpips", "ok", "its weights are there")]
    missing = "no LPIPS in sr-geo evaluate, no patches in sr-geo identify: its weights are not installed"
    return [Check("extra lpips", "warn", missing, INSTALL)]


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__
