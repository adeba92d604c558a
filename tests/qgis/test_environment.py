"""Finding and making the Python that SR Geo runs in, on three systems."""

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sr_geo_plugin import environment
from sr_geo_plugin.environment import Host, Maker, clean_environ, data_folder, examine, find_runtime, hide_password, install_plan, python_in
from sr_geo_plugin.interpreters import candidates

LINUX = Host("Linux", {"PATH": "/usr/bin:/opt/py/bin"}, "/persons/ana")
MAC = Host("Darwin", {"PATH": "/Applications/QGIS.app/Contents/MacOS/bin:/usr/bin"}, "/persons/ana")
WINDOWS = Host("Windows", {"LOCALAPPDATA": r"C:\Data\Local", "ProgramFiles": r"C:\Program Files", "PATH": r"C:\Tools"}, r"C:\Data")


@pytest.fixture(autouse=True)
def forget() -> None:
    environment.forget_runtimes()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (LINUX, "/persons/ana/.local/share/sr-geo/qgis"),
        (Host("Linux", {"XDG_DATA_HOME": "/data"}, "/persons/ana"), "/data/sr-geo/qgis"),
        (MAC, "/persons/ana/Library/Application Support/sr-geo/qgis"),
        (WINDOWS, r"C:\Data\Local/sr-geo/qgis"),
        (Host("Windows", {}, r"C:\Data"), r"C:\Data/AppData/Local/sr-geo/qgis"),
        (Host("Linux", {"SR_GEO_QGIS_DATA": "/elsewhere"}, "/persons/ana"), "/elsewhere"),
    ],
)
def test_where_the_private_folder_is(host: Host, expected: str) -> None:
    assert data_folder(host) == Path(expected)


@pytest.mark.parametrize(("system", "expected"), [("Linux", "bin/python"), ("Darwin", "bin/python"), ("Windows", "Scripts/python.exe")])
def test_where_the_interpreter_of_an_environment_is(system: str, expected: str) -> None:
    assert python_in(Path("env"), system) == Path("env") / expected


def listed(host: Host, files: list[str], *, prefix: str, registered: "list[str] | None" = None) -> list[str]:
    def find(pattern: str) -> list[str]:
        return [name for name in files if fnmatch.fnmatchcase(name, pattern)]

    return [str(path) for path in candidates(host, prefix, find, registered or [])]


def test_interpreters_of_linux() -> None:
    files = ["/usr/bin/python3.9", "/usr/bin/python3.11", "/opt/py/bin/python3.13", "/persons/ana/.local/bin/uv", "/usr/bin/python3"]
    files += ["/persons/ana/.pyenv/versions/3.10.4/bin/python3", "/persons/ana/.pyenv/versions/3.9.4/bin/python3"]
    assert listed(LINUX, files, prefix="/usr") == [
        "/usr/bin/python3.11",
        "/opt/py/bin/python3.13",
        "/persons/ana/.pyenv/versions/3.10.4/bin/python3",
        "/persons/ana/.pyenv/versions/3.9.4/bin/python3",
        "/persons/ana/.local/bin/uv",
        "/usr/bin/python3",
    ]


def test_interpreters_of_macos_are_not_those_of_the_qgis_bundle_nor_apples_stub() -> None:
    bundle = "/Applications/QGIS.app/Contents/MacOS"
    files = [f"{bundle}/bin/python3.12", "/usr/bin/python3.12", "/opt/homebrew/bin/python3.12", "/opt/homebrew/bin/uv"]
    files += [f"/Library/Frameworks/Python.framework/Versions/3.{minor}/bin/python3" for minor in (9, 13, 11)]
    found = listed(MAC, files, prefix=bundle)
    assert found[0] == "/opt/homebrew/bin/python3.12"
    assert found[1:4] == [f"/Library/Frameworks/Python.framework/Versions/3.{minor}/bin/python3" for minor in (13, 11, 9)]
    assert "/usr/bin/python3.12" not in found
    assert found[-1] == f"{bundle}/bin/python3.12", "QGIS's own comes last"


def test_interpreters_of_windows() -> None:
    inside = r"C:\Program Files\QGIS 3.40\apps\Python312"
    files = [r"C:\Data\Local\Programs\Python\Python39\python.exe", r"C:\Data\Local\Programs\Python\Python313\python.exe"]
    files += [rf"{inside}\python.exe", r"C:\Program Files\Python311\python.exe", r"C:\Data\.local\bin\uv.exe", r"C:\Tools\python.exe"]
    assert listed(WINDOWS, files, prefix=inside, registered=[r"D:\Python310\python.exe", r"D:\Python312\python.exe"]) == [
        r"D:\Python312\python.exe",
        r"D:\Python310\python.exe",
        r"C:\Data\Local\Programs\Python\Python313\python.exe",
        r"C:\Data\Local\Programs\Python\Python39\python.exe",
        r"C:\Program Files\Python311\python.exe",
        r"C:\Data\.local\bin\uv.exe",
        r"C:\Tools\python.exe",
        rf"{inside}\python.exe",
    ]


def test_the_shop_of_windows_is_not_opened() -> None:
    host = Host("Windows", {"PATH": r"C:\Data\Local\Microsoft\WindowsApps;C:\Tools"}, r"C:\Data")
    files = [r"C:\Data\Local\Microsoft\WindowsApps\python.exe", r"C:\Tools\python.exe"]
    assert listed(host, files, prefix="Q:") == [r"C:\Tools\python.exe"]


def test_what_another_python_must_not_see() -> None:
    names = ["PYTHONPATH", "PYTHONHOME", "PROJ_LIB", "PROJ_DATA", "GDAL_DATA", "GDAL_DRIVER_PATH", "LD_LIBRARY_PATH", "QT_PLUGIN_PATH"]
    names += [
        "QT_QPA_PLATFORM",
        "DYLD_LIBRARY_PATH",
        "__PYVENV_LAUNCHER__",
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "OSGEO4W_ROOT",
        "QGIS_PREFIX_PATH",
    ]
    kept = {
        "HOME": "/persons/ana",
        "PATH": "/usr/bin",
        "HTTPS_PROXY": "http://proxy:8080",
        "LANG": "kk_KZ.UTF-8",
        "SR_GEO_MODELS": "/models",
    }
    assert clean_environ({**dict.fromkeys(names, "/x"), **kept}, "Linux") == {**kept, "PYTHONUTF8": "1"}


def test_on_windows_the_folders_of_qgis_leave_the_path() -> None:
    base = {"Path": r"C:\OSGeo4W\bin;C:\osgeo4w\apps\qgis\bin;C:\OSGeo4W2\bin;C:\Windows", "OSGEO4W_ROOT": "C:\\OSGeo4W\\"}
    assert clean_environ(base, "Windows") == {"Path": r"C:\OSGeo4W2\bin;C:\Windows", "PYTHONUTF8": "1"}


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert find_runtime(None) is None
    assert find_runtime(str(tmp_path / "python")) is None
    assert find_runtime(str(tmp_path)) is None


def test_a_python_without_sr_geo_is_no_runtime(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    assert find_runtime(str(fake)) is None


@pytest.mark.parametrize(("version", "usable"), [("0.0.9", False), ("0.1.0", True), ("1.2rc1", True), ("unknown", False)])
def test_a_toolkit_must_be_new_enough(tmp_path: Path, version: str, usable: bool) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\necho '{json.dumps([version, ['train']])}'\n")
    fake.chmod(0o755)
    found = find_runtime(str(fake))
    assert (found is not None and (found.version, found.parts) == (version, ("train",))) is usable


def test_what_is_installed_or_removed_later_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while QGIS runs, by pip in a terminal: the interpreter stays the same file then."""
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntest -d '{packages}/sr_geo' && echo '[\"0.1.0\", []]'\n")
    fake.chmod(0o755)
    assert find_runtime(str(fake)) is None
    (packages / "sr_geo").mkdir()
    os.utime(packages, ns=(1, 1))
    assert find_runtime(str(fake)) is not None
    (packages / "sr_geo").rmdir()
    os.utime(packages, ns=(2, 2))
    assert find_runtime(str(fake)) is None
    # where the packages lie cannot be seen, a "no" holds for some seconds only
    (packages / "sr_geo").mkdir()
    os.utime(packages, ns=(2, 2))
    assert find_runtime(str(fake)) is None
    monkeypatch.setattr(environment, "_SECONDS_REFUSED", 0.0)
    assert find_runtime(str(fake)) is not None


def test_the_parts_that_are_installed(toolkit_python: Path) -> None:
    """As the interpreter itself says."""
    code = "import importlib.util as u; print(u.find_spec('torch') is not None)"
    has_torch = subprocess.run([str(toolkit_python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    found = find_runtime(str(toolkit_python))
    assert found is not None
    assert ("train" in found.parts) is (has_torch == "True")


def test_the_chosen_python_is_found(toolkit_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJ_DATA", "/usr/share/proj")
    monkeypatch.setenv("PYTHONPATH", "/usr/lib/python3/dist-packages")
    found = find_runtime(str(toolkit_python))
    assert found is not None
    assert found.python == toolkit_python
    assert find_runtime(str(toolkit_python.parents[1])) == found, "the folder of the environment will do"


def test_the_private_environment_is_found(toolkit_python: Path) -> None:
    python = python_in(environment.private_environment())
    python.parent.mkdir(parents=True)
    python.symlink_to(toolkit_python)
    (python.parents[1] / "pyvenv.cfg").write_text((toolkit_python.parents[1] / "pyvenv.cfg").read_text())
    assert find_runtime("") is None, "a link alone has no packages"
    (python.parents[1] / "lib").symlink_to(toolkit_python.parents[1] / "lib")
    environment.forget_runtimes()
    found = find_runtime("")
    assert found is not None
    assert found.python == python


def test_what_can_make_an_environment(tmp_path: Path) -> None:
    here = examine(Path(sys.executable))
    assert here == Maker(Path(sys.executable), "venv", ".".join(map(str, sys.version_info[:3])))
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'uv 0.8.1 (abc 2026)'\n")
    uv.chmod(0o755)
    assert examine(uv) == Maker(uv, "uv", "0.8.1")
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho '[3, 9, 2]'\n")
    old.chmod(0o755)
    assert examine(old) is None


VENV = Maker(Path("/usr/bin/python3.12"), "venv", "3.12.1")
UV = Maker(Path("/usr/bin/uv"), "uv", "0.8.1")


def test_the_plan_of_a_plain_installation(tmp_path: Path) -> None:
    plan = install_plan(VENV, tmp_path / "sr_geo-0.1.0-py3-none-any.whl", environment=tmp_path / "env", system="Linux")
    python = str(tmp_path / "env/bin/python")
    make, install, check = plan.steps
    assert make.command == ("/usr/bin/python3.12", "-m", "venv", "--clear", str(tmp_path / "env"))
    assert install.command[:3] == (python, "-m", "pip")
    assert install.command[-1] == str(tmp_path / "sr_geo-0.1.0-py3-none-any.whl")
    assert "--no-index" not in install.command
    assert check.command == (python, "-m", "sr_geo.cli", "doctor")
    assert 0 < plan.download_mb < plan.disk_mb


@pytest.mark.parametrize("maker", [VENV, UV])
def test_offline_nothing_is_asked_of_the_net(maker: Maker, tmp_path: Path) -> None:
    plan = install_plan(maker, "sr-geo", environment=tmp_path, offline=tmp_path / "wheels", gpu=True)
    for step in plan.steps:
        if "install" in step.command:
            assert step.command[step.command.index("--find-links") + 1] == str(tmp_path / "wheels")
            assert "--no-index" in step.command
    if maker is UV:  # it would fetch a Python where it finds none
        assert "--offline" in plan.steps[0].command


def test_uv_asks_nothing_of_the_net_to_make_an_environment(tmp_path: Path) -> None:
    """With ``--seed`` it fetches pip, which nothing needs, and which a folder of wheels does not have."""
    assert "--seed" not in install_plan(UV, "sr-geo", environment=tmp_path).steps[0].command


def test_uv_trusts_the_certificates_of_the_system() -> None:
    """As pip does. Its own list lacks that of a proxy which opens connections."""
    names = ("UV_SYSTEM_CERTS", "UV_NATIVE_TLS")  # of today's and of older releases
    environ = environment.install_environ({"PATH": "/usr/bin"})
    assert {environ[name] for name in names} == {"true"}
    assert environment.install_environ(dict.fromkeys(names, "false"))["UV_SYSTEM_CERTS"] == "false", "what the user set stays"


@pytest.mark.parametrize("maker", [VENV, UV])
def test_on_a_gpu_the_right_package_is_written_last(maker: Maker, tmp_path: Path) -> None:
    plan = install_plan(maker, "sr-geo", environment=tmp_path, gpu=True, train=True)
    assert [step.what for step in plan.steps] == ["make", "install", "replace", "replace", "check"]
    assert plan.steps[1].command[-1] == "sr-geo[train]", "the package for GPUs is fetched once"
    wheel = tmp_path / "sr_geo-1-py3-none-any.whl"
    assert install_plan(maker, wheel, environment=tmp_path, train=True).steps[1].command[-1] == f"sr-geo[train] @ {wheel.as_uri()}"
    assert plan.steps[2].command[-1] == "onnxruntime"
    assert plan.steps[3].command[-1] == "onnxruntime-gpu[cuda,cudnn]"
    assert plan.disk_mb > install_plan(maker, "sr-geo", environment=tmp_path).disk_mb


def test_pytorch_is_large_on_linux_only(tmp_path: Path) -> None:
    """There it brings NVIDIA's libraries, wanted or not; measured: 6.2 GB after a download of 3.1 GB."""
    systems = ("Linux", "Windows", "Darwin")
    linux, windows, mac = (install_plan(VENV, "sr-geo", environment=tmp_path, train=True, system=system) for system in systems)
    assert linux.download_mb > 3_100
    assert linux.disk_mb > 6_200
    assert windows.disk_mb == mac.disk_mb < 2_000
    assert install_plan(VENV, "sr-geo", environment=tmp_path, system="Windows").disk_mb < windows.disk_mb


def test_a_proxy_is_used_and_its_password_not_shown() -> None:
    proxy = "http://ana:secret@proxy:3128"
    environ = environment.install_environ({"PATH": "/usr/bin", "PYTHONPATH": "/x"}, proxy)
    assert (environ["HTTPS_PROXY"], "PYTHONPATH" in environ) == (proxy, False)
    assert hide_password(["pip", "--proxy", proxy, "a b"]) == 'pip --proxy http://ana:…@proxy:3128 "a b"'


def test_hosts_that_need_no_proxy_are_asked_without_it() -> None:
    base = {"no_proxy": "localhost"}
    environ = environment.install_environ(base, "http://proxy:3128", ["mirror.example.org"])
    assert (environ["NO_PROXY"], environ["no_proxy"]) == ("localhost,mirror.example.org",) * 2
    assert "NO_PROXY" not in environment.install_environ({}, "http://proxy:3128")
    assert environment.install_environ(base, "", ["mirror.example.org"])["no_proxy"] == "localhost", "nothing is changed without a proxy"


def test_what_is_unpacked_on_the_way_has_a_folder_of_its_own(tmp_path: Path) -> None:
    environ = environment.install_environ({"TMPDIR": "/tmp"}, temporary=tmp_path)
    assert {environ[name] for name in ("TMPDIR", "TEMP", "TMP")} == {str(tmp_path)}


def test_whether_there_is_a_graphics_card(tmp_path: Path) -> None:
    assert environment.nvidia_driver(Host("Linux", {"PATH": str(tmp_path)}, "/persons/ana")) is False
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert environment.nvidia_driver(Host("Linux", {"PATH": str(tmp_path)}, "/persons/ana")) is True
    assert environment.nvidia_driver(MAC) is None


def test_the_plan_for_windows_names_its_interpreter(tmp_path: Path) -> None:
    plan = install_plan(VENV, "sr-geo", environment=tmp_path / "env", system="Windows")
    assert plan.steps[-1].command[0] == str(tmp_path / "env" / "Scripts" / "python.exe")


def test_this_machine_has_an_interpreter() -> None:
    assert os.name == "nt" or next(environment.host_pythons(), None) is not None
