from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sr_geo.doctor import EXTRAS, Check, Surroundings, diagnose
from sr_geo.quality.lpips import INSTALL

VERSIONS = {
    "numpy": "2.3.0",
    "rasterio": "1.4.4",
    "geopandas": "1.1.0",
    "onnxruntime": "1.24.0",
    "torch": "2.9.0",
    "matplotlib": "3.9.0",
}
REQUIREMENTS = ["numpy>=1.26", "torch>=2.9; extra == 'train'", 'matplotlib>=3.8; extra == "eval"']

HEALTHY = Surroundings(
    python=(3, 11),
    environ={},
    installed=VERSIONS.get,
    requirements=lambda: REQUIREMENTS,
    gdal_version=lambda: "3.10.3",
    drivers=lambda: frozenset({"GTiff", "COG", "JP2OpenJPEG"}),
    eastings=lambda: {"rasterio": 500_000.0, "pyproj": 500_000.0},
    providers=lambda: ("CPUExecutionProvider",),
    nvidia=lambda: False,
    cuda_provider=lambda: "CUDAExecutionProvider",
    models=lambda: {"satellite-rgbn-x4": ""},
    lpips=lambda: True,
)


def with_versions(**versions: str | None) -> Callable[[str], str | None]:
    return {**VERSIONS, **{name.replace("_", "-"): version for name, version in versions.items()}}.get


def failing(error: Exception) -> Callable[[], NoReturn]:
    def fail() -> NoReturn:
        raise error

    return fail


def find(name: str, **changes: Any) -> Check:  # noqa: ANN401 (fields of Surroundings)
    found = [check for check in diagnose(replace(HEALTHY, **changes)) if check.name == name]
    assert len(found) == 1, found
    return found[0]


def test_a_healthy_machine_has_nothing_to_mend() -> None:
    checks = diagnose(HEALTHY)
    assert {check.state for check in checks} == {"ok"}
    assert not any(check.remedy for check in checks)


def test_this_machine_is_described_without_raising() -> None:
    checks = diagnose()
    names = [check.name for check in checks]
    assert len(set(names)) == len(names)
    assert all(bool(check.remedy) == (check.state != "ok") for check in checks)
    assert all("\n" not in check.detail for check in checks)
    for name in ("python", "gdal", "onnxruntime", "driver GTiff", "driver COG", "driver JP2OpenJPEG", "proj"):
        assert [check.state for check in checks if check.name == name] == ["ok"], name


@pytest.mark.parametrize(
    ("name", "changes", "state", "remedy"),
    [
        ("python", {"python": (3, 9)}, "warn", "3.10"),
        # packages that are not there, or do not load
        ("geopandas", {"installed": with_versions(geopandas=None)}, "missing", "pip install geopandas"),
        ("gdal", {"gdal_version": failing(ImportError("libgdal.so: cannot open"))}, "missing", "pip install --force-reinstall rasterio"),
        ("onnxruntime", {"installed": with_versions(onnxruntime=None)}, "missing", "pip install onnxruntime"),
        ("onnxruntime", {"providers": failing(ImportError("DLL load failed"))}, "missing", "pip install --force-reinstall onnxruntime"),
        # GPU
        ("gpu", {"nvidia": lambda: True}, "warn", 'pip uninstall -y onnxruntime\npip install "onnxruntime-gpu[cuda,cudnn]"'),
        ("gpu", {"providers": lambda: ("CUDAExecutionProvider",)}, "warn", "driver"),
        # GDAL and PROJ
        ("driver JP2OpenJPEG", {"drivers": lambda: frozenset({"GTiff", "COG"})}, "missing", "rasterio"),
        ("proj", {"eastings": lambda: {"rasterio": 500_000.0, "pyproj": 499_990.0}}, "warn", "PROJ_DATA"),
        ("proj", {"eastings": lambda: {"rasterio": float("inf"), "pyproj": 500_000.0}}, "warn", "PROJ_DATA"),
        ("proj", {"eastings": failing(RuntimeError("proj.db not found"))}, "missing", "PROJ_DATA"),
        ("environment", {"environ": {"PROJ_LIB": "C:/OSGeo4W/share/proj"}}, "warn", "unset PROJ_LIB"),
        # models
        ("model satellite-rgbn-x4", {"models": lambda: {"satellite-rgbn-x4": "sha256 is wrong"}}, "missing", "pip install"),
        ("models", {"models": dict}, "missing", "pip install"),
        ("models", {"models": failing(FileNotFoundError("index.json"))}, "missing", "pip install"),
        # extras
        ("extra train", {"installed": with_versions(torch=None)}, "warn", 'pip install ".[train]"   (in the folder of SR Geo)'),
        ("extras", {"requirements": failing(metadata.PackageNotFoundError("sr-geo"))}, "warn", "pip install ."),
    ],
)
def test_each_trouble_is_named_with_its_remedy(name: str, changes: dict[str, Any], state: str, remedy: str) -> None:
    check = find(name, **changes)
    assert check.state == state
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("other", "install"),
    [("onnxruntime-gpu", 'pip install "onnxruntime-gpu[cuda,cudnn]"'), ("onnxruntime-directml", "pip install onnxruntime-directml")],
)
def test_two_onnx_runtimes_are_mended_by_two_commands(other: str, install: str) -> None:
    check = find("onnxruntime", installed=with_versions(**{other: "1.23.0"}))
    assert check.state == "warn"
    assert check.remedy.splitlines() == [f"pip uninstall -y onnxruntime {other}", install]
    assert "1.24.0" in check.detail
    assert "1.23.0" in check.detail


def test_the_gpu_build_alone_is_no_clash() -> None:
    versions = with_versions(onnxruntime=None, onnxruntime_gpu="1.23.0")
    assert find("onnxruntime", installed=versions).state == "ok"


@pytest.mark.parametrize(
    ("cuda_provider", "state"),
    [
        (lambda: "CUDAExecutionProvider", "ok"),
        # ONNX Runtime falls back without an error where CUDA's libraries are missing
        (lambda: "CPUExecutionProvider", "warn"),
        (failing(RuntimeError("CUDA failure 35")), "warn"),
    ],
)
def test_cuda_counts_only_when_a_model_runs_on_it(cuda_provider: Callable[[], str], state: str) -> None:
    providers = ("CUDAExecutionProvider", "CPUExecutionProvider")
    check = find("gpu", providers=lambda: providers, nvidia=lambda: True, cuda_provider=cuda_provider)
    assert check.state == state


def test_a_library_that_does_not_load_is_told_once() -> None:
    broken = failing(ImportError("no"))
    names = [check.name for check in diagnose(replace(HEALTHY, providers=broken, drivers=broken, gdal_version=broken))]
    assert "gpu" not in names
    assert not any(name.startswith("driver") for name in names)


def test_every_extra_for_users_is_looked_for(repository: Path) -> None:
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    extras = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"dev", "plugin", "gpu"}  # of the GPU there is a check of its own


def test_the_weights_of_lpips_are_looked_for() -> None:
    found = find("extra lpips", lpips=lambda: False)
    assert (found.state, found.remedy) == ("warn", INSTALL)
