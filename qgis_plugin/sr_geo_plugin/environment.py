# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where SR Geo itself is installed: a Python of its own, outside QGIS and its profile. Nothing here imports qgis.

QGIS brings libraries (GDAL, PROJ, GEOS) that clash with those in Python packages, so SR Geo never runs inside QGIS.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess  # nosec B404 - the worker is a program of its own; no shell is ever used
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OLDEST_PYTHON = (3, 10)
"""What SR Geo needs."""
OLDEST_TOOLKIT = (0, 1)
"""First release with the JSON lists that this plugin reads."""
_SECONDS_TO_ANSWER = 60
"""The first start of a Python on a cold disk, with a virus scanner looking on, takes long."""

_HOSTILE = (
    "PYTHON", "PROJ_", "GDAL_", "OGR_", "CPL_", "QT_", "QGIS_", "GRASS_", "CONDA_", "DYLD_", "PIP_TARGET", "PIP_PREFIX", "PIP_USER",
)  # fmt: skip
_HOSTILE_NAMES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "OSGEO4W_ROOT", "GISBASE", "__PYVENV_LAUNCHER__")
"""Variables by which QGIS, or what started it, would reach into another Python."""


@dataclass(frozen=True)
class Runtime:
    """A Python that has SR Geo."""

    python: Path
    version: str
    """Of SR Geo."""
    parts: tuple[str, ...] = ()
    """What is installed besides: ``gpu``, ``train``."""


@dataclass(frozen=True)
class Host:
    """The machine, as far as it decides where things are."""

    system: str
    """``Linux``, ``Darwin`` or ``Windows``."""
    environ: Mapping[str, str]
    home: str

    @staticmethod
    def here() -> Host:
        """This machine."""
        return Host(platform.system(), os.environ, str(Path.home()))


def data_folder(host: Host | None = None) -> Path:
    """The plugin's private folder: per user, outside the QGIS profile, so that it outlives both profile and plugin updates."""
    host = host or Host.here()
    named = host.environ.get("SR_GEO_QGIS_DATA")
    if named:
        return Path(named)
    if host.system == "Windows":
        return Path(host.environ.get("LOCALAPPDATA") or f"{host.home}/AppData/Local") / "sr-geo" / "qgis"
    if host.system == "Darwin":
        return Path(host.home) / "Library" / "Application Support" / "sr-geo" / "qgis"
    return Path(host.environ.get("XDG_DATA_HOME") or f"{host.home}/.local/share") / "sr-geo" / "qgis"


def private_environment(host: Host | None = None) -> Path:
    """Folder of the environment that Set up makes."""
    return data_folder(host) / "environment"


def python_in(environment: Path, system: str | None = None) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if (system or platform.system()) == "Windows" else "bin/python")


def clean_environ(base: Mapping[str, str], system: str | None = None) -> dict[str, str]:
    """`base` without what would lead another Python to QGIS's libraries; on Windows without QGIS's folders on PATH either."""
    kept = {name: value for name, value in base.items() if name.upper() not in _HOSTILE_NAMES and not name.upper().startswith(_HOSTILE)}
    if (system or platform.system()) == "Windows":
        roots = [base[name].lower() for name in ("OSGEO4W_ROOT", "QGIS_PREFIX_PATH") if base.get(name)]
        for name in [name for name in kept if name.upper() == "PATH"]:
            folders = kept[name].split(";")
            ours = [folder for folder in folders if not any(_below(folder.lower(), root) for root in roots)]
            kept[name] = ";".join(ours)
    kept["PYTHONUTF8"] = "1"  # names of files and fields in any script, also on Windows
    return kept


def _below(folder: str, root: str) -> bool:
    folder, root = folder.replace("/", "\\").rstrip("\\"), root.replace("/", "\\").rstrip("\\")
    return folder == root or folder.startswith(root + "\\")


def find_runtime(chosen: str | None) -> Runtime | None:
    """The Python to work with: the chosen one, or else the private environment; None where SR Geo is in neither.

    The answer is remembered until the interpreter or its packages change, a "no" for some seconds; `forget_runtimes` drops all of it.

    Args:
        chosen: an interpreter, or the folder of a virtual environment; empty: none was chosen.
    """
    if chosen:
        path = Path(chosen)
        return _runtime(python_in(path) if path.is_dir() else path)
    return _runtime(python_in(private_environment()))


def forget_runtimes() -> None:
    """Ask again next time: something was installed or removed."""
    _known.clear()
    _refused.clear()


_known: dict[tuple[object, ...], Runtime] = {}
_refused: dict[tuple[object, ...], float] = {}
"""When each was found to have none."""
_SECONDS_REFUSED = 10.0
_QUESTION = """
import importlib.metadata, importlib.util, json, sr_geo
parts = ["train"] if importlib.util.find_spec("torch") else []
try:
    importlib.metadata.version("onnxruntime-gpu")
    parts.append("gpu")
except importlib.metadata.PackageNotFoundError:
    pass
print(json.dumps([sr_geo.__version__, parts]))
"""


def _runtime(python: Path) -> Runtime | None:
    try:
        packages = [*python.parent.parent.glob("lib/python3*/site-packages"), python.parent.parent / "Lib" / "site-packages"]
        key = (str(python), *(path.stat().st_mtime_ns for path in (python, *packages) if path is python or path.exists()))
    except OSError:
        return None
    if key not in _known:
        if time.monotonic() < _refused.get(key, -_SECONDS_REFUSED) + _SECONDS_REFUSED:
            return None
        found = _ask(python, _QUESTION)
        version, parts = found if isinstance(found, list) and len(found) == 2 else ("", [])
        if not isinstance(version, str) or version_numbers(version)[:2] < OLDEST_TOOLKIT:
            _refused[key] = time.monotonic()
            return None
        _known[key] = Runtime(python, version, tuple(parts))
    return _known[key]


def version_numbers(text: str) -> tuple[int, ...]:
    """``"0.10.1rc1"`` as (0, 10, 1)."""
    numbers = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def _ask(python: Path, code: str) -> object:
    """What a line of Python prints as JSON; None where it does not run."""
    try:
        done = subprocess.run(  # nosec B603 - an interpreter that the user chose, or that belongs to the system
            [str(python), "-c", code],
            env=clean_environ(os.environ),
            cwd=python.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS_TO_ANSWER,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        return json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


@dataclass(frozen=True)
class Maker:
    """A program that can make an environment."""

    program: Path
    kind: str
    """``venv``: a Python; ``uv``."""
    version: str
    """Of Python, or of uv."""


def host_pythons() -> Iterator[Maker]:
    """Programs on this machine that can make an environment, best first: each was asked, and is 3.10 or later."""
    from sr_geo_plugin.interpreters import candidates

    seen: set[Path] = set()
    for program in candidates(Host.here()):
        try:
            real = program.resolve()
        except OSError:
            continue
        if real in seen or not program.is_file():
            continue
        seen.add(real)
        maker = examine(program)
        if maker is not None:
            yield maker


def examine(program: Path) -> Maker | None:
    """What a program is, if it can make an environment."""
    if program.stem == "uv":
        version = _first_line([str(program), "--version"])
        return Maker(program, "uv", version.split()[1]) if version.startswith("uv ") and len(version.split()) > 1 else None
    found = _ask(program, "import ensurepip, json, sys, venv; print(json.dumps(sys.version_info[:3]))")
    if not isinstance(found, list) or tuple(found) < OLDEST_PYTHON:
        return None
    return Maker(program, "venv", ".".join(str(number) for number in found))


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(  # nosec B603 - as above
            command,
            env=clean_environ(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS_TO_ANSWER,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(done.stdout.decode("utf-8", "replace").splitlines()), "")


@dataclass(frozen=True)
class Step:
    """A command of the installation."""

    command: tuple[str, ...]
    what: str
    """``make``, ``install``, ``replace``, ``check``: for what is said while it runs."""


@dataclass(frozen=True)
class Plan:
    """What Set up will do; shown before anything is done."""

    environment: Path
    steps: tuple[Step, ...]
    download_mb: int
    disk_mb: int


SIZES = {"light": (190, 730), "gpu": (1_600, 2_400), "train": (3_100, 5_900)}
"""Megabytes to download and on the disk: of SR Geo itself, and what each part adds. As on Linux, where PyTorch brings CUDA."""
_TRAIN_ELSEWHERE = (220, 900)


def nvidia_driver(host: Host | None = None) -> bool | None:
    """Whether the driver of an NVIDIA graphics card is here, looked for as `sr-geo doctor` does; None where there can be none."""
    host = host or Host.here()
    if host.system == "Darwin":  # neither cards nor packages
        return None
    return shutil.which("nvidia-smi", path=host.environ.get("PATH", "")) is not None


def bundled_wheel() -> Path | None:
    """SR Geo's own package, which comes with the plugin."""
    wheels = sorted((Path(__file__).parent / "wheels").glob("sr_geo-*.whl"))
    return wheels[-1] if wheels else None


def newer_version(runtime: Runtime) -> str:
    """The version of SR Geo that comes with the plugin where the one in the private environment is older, else empty."""
    wheel = bundled_wheel()
    brought = wheel.name.split("-")[1] if wheel is not None else ""
    newer = version_numbers(brought) > version_numbers(runtime.version)
    return brought if newer and private_environment() in runtime.python.parents else ""


def install_plan(
    maker: Maker,
    wheel: Path | str,
    *,
    environment: Path | None = None,
    gpu: bool = False,
    train: bool = False,
    offline: Path | None = None,
    system: str | None = None,
) -> Plan:
    """The commands that make the environment, in order.

    Args:
        maker: of `host_pythons`.
        wheel: SR Geo's package: a file, or a requirement such as ``sr-geo``.
        environment: folder to make; default: the private one. What is there is replaced.
        gpu: for NVIDIA GPUs.
        train: with what training needs.
        offline: folder of wheels to install from, and from nowhere else.
        system: as `platform.system` tells it.
    """
    environment = environment or private_environment()
    python = str(python_in(environment, system))
    extras = ["train"] if train else []
    where = f" @ {wheel.absolute().as_uri()}" if isinstance(wheel, Path) else ""
    requirement = f"sr-geo[{','.join(extras)}]{where}" if extras else str(wheel)
    source = [] if offline is None else ["--no-index", "--find-links", str(offline)]
    if maker.kind == "uv":
        apart = [] if offline is None else ["--offline"]  # otherwise uv fetches a Python where it finds none
        make = [Step((str(maker.program), "venv", "--clear", *apart, "--python", ">=3.10", str(environment)), "make")]
        install = [str(maker.program), "pip", "install", "--python", python, *source]
        remove = [str(maker.program), "pip", "uninstall", "--python", python]
    else:
        make = [Step((str(maker.program), "-m", "venv", "--clear", str(environment)), "make")]
        install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--no-input", "--progress-bar", "off", *source]
        remove = [python, "-m", "pip", "uninstall", "-y"]
    steps = [*make, Step((*install, requirement), "install")]
    if gpu:  # both packages own the same files: the one for GPUs, which the extra `gpu` would bring beside the other, must be written last
        steps.append(Step((*remove, "onnxruntime"), "replace"))
        steps.append(Step((*install, "onnxruntime-gpu[cuda,cudnn]"), "replace"))
    steps.append(Step((python, "-m", "sr_geo.cli", "doctor"), "check"))
    known = SIZES if (system or platform.system()) == "Linux" else SIZES | {"train": _TRAIN_ELSEWHERE}
    sizes = [known[name] for name, wanted in (("light", True), ("gpu", gpu), ("train", train)) if wanted]
    return Plan(environment, tuple(steps), sum(size[0] for size in sizes), sum(size[1] for size in sizes))


def install_environ(base: Mapping[str, str], proxy: str = "", direct: Iterable[str] = (), temporary: Path | None = None) -> dict[str, str]:
    """The variables that the steps run with: the worker's, and the proxy, whose password so stands on no command line.

    Args:
        base: variables of QGIS.
        proxy: ``http://user:password@host:port``; empty: as `base` has it.
        direct: hosts that are asked without the proxy, besides those that `base` names.
        temporary: folder for what is downloaded and unpacked on the way.
    """
    environ = clean_environ(base)
    for name in ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):  # older releases know the second; uv's own list has no proxy's certificate
        environ.setdefault(name, "true")
    if temporary is not None:
        environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    if proxy:
        environ.update(dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), proxy))
        hosts = ",".join(filter(None, (environ.get("no_proxy") or environ.get("NO_PROXY"), *direct)))
        if hosts:
            environ.update(dict.fromkeys(("NO_PROXY", "no_proxy"), hosts))
    return environ


def hide_password(words: Iterable[str]) -> str:
    """A command as it may be shown and kept in a log: without the password of a proxy."""
    shown = []
    for word in words:
        head, at, tail = word.rpartition("@")
        scheme, colon, user = head.partition("://")
        plain = f"{scheme}://{user.partition(':')[0]}:…@{tail}" if at and colon else word
        shown.append(f'"{plain}"' if " " in plain else plain)
    return " ".join(shown)
