"""Set up makes a real environment, offline, from a small package that stands for SR Geo; and what happens when it does not get that far."""

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from sr_geo_plugin import environment, installer
from sr_geo_plugin.environment import Maker, Plan, Step, find_runtime, host_pythons, install_plan, private_environment
from sr_geo_plugin.worker import Cancelled, WorkerError, ignore_line, ignore_progress, never_cancelled, run

CLI = """import json, sys


def main():
    print(json.dumps({"checks": [{"name": "python", "state": "ok", "detail": "fine", "remedy": ""}], "words": sys.argv[1:]}))


if __name__ == "__main__":
    main()
"""


def small_wheel(folder: Path) -> Path:
    """A package called sr-geo that has only a command line."""
    files = {
        "sr_geo/__init__.py": '__version__ = "9.9.0"\n',
        "sr_geo/cli.py": CLI,
        "sr_geo-9.9.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: sr-geo\nVersion: 9.9.0\n",
        "sr_geo-9.9.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text.encode())}\n"
    path = folder / "sr_geo-9.9.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, "sr_geo-9.9.0.dist-info/RECORD": record + "sr_geo-9.9.0.dist-info/RECORD,,\n"}.items():
            archive.writestr(name, text)
    return path


@pytest.fixture(scope="session")
def maker() -> Maker:
    found = next((maker for maker in host_pythons() if maker.kind == "venv"), None)
    if found is None:
        pytest.skip("no Python here can make environments")
    return found


def test_from_nothing_to_a_worker_and_back(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")  # nothing answers there
    plan = install_plan(maker, small_wheel(tmp_path), offline=tmp_path)
    said: list[str] = []
    shares: list[float] = []
    installer.install(plan, progress=lambda share, _: shares.append(share), cancelled=never_cancelled, log=said.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert installer.log_file().read_text(encoding="utf-8").splitlines() == said
    runtime = find_runtime(None)
    assert runtime is not None
    assert runtime.version == "9.9.0"
    assert run(runtime, ["models", "list"])["words"] == ["models", "list"]
    installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)
    assert find_runtime(None) == runtime, "repaired"
    installer.remove(private_environment())
    assert find_runtime(None) is None


def step(tmp_path: Path, body: str, what: str) -> Step:
    program = tmp_path / f"{what}.sh"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Step((str(program),), what)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("make", "Choose another Python"),
        ("install", r"Installing failed: ERROR: no network\. Check the connection and the proxy"),
        ("check", "does not work here"),
    ],
)
def test_a_step_that_fails_leaves_nothing_half_made(tmp_path: Path, what: str, words: str) -> None:
    made = private_environment()
    steps = (step(tmp_path, f'mkdir -p "{made}"', "replace"), step(tmp_path, "echo 'ERROR: no network' >&2; exit 1", what))
    with pytest.raises(WorkerError, match=words) as caught:
        installer.install(Plan(made, steps, 1, 1), progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)
    assert "ERROR: no network" in caught.value.log
    assert not made.exists()
    assert "no network" in installer.log_file().read_text(encoding="utf-8")


REFUSED = "broken by 'ProxyError('Cannot connect to proxy.', NewConnectionError('… [Errno 111] Connection refused'))': /simple/affine/"
TUNNEL = "ProxyError('Cannot connect to proxy.', OSError('Tunnel connection failed: 407 Proxy Authentication Required'))"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (REFUSED, "The proxy does not answer, or does not let the packages through: correct the field Proxy"),
        (TUNNEL, "wants a name and a password"),
        ("pip._vendor.requests.exceptions.InvalidSchema: Missing dependencies for SOCKS support.", "pip cannot use a SOCKS proxy"),
        ("  Downloading affine-3.0.1-py3-none-any.whl (407 kB)", "Installing failed: ERROR: No matching distribution found for affine"),
    ],
)
def test_a_proxy_in_the_way_is_named(tmp_path: Path, said: str, words: str) -> None:
    """pip itself ends as if there were no such package."""
    body = f'cat <<"END"\n{said}\nERROR: No matching distribution found for affine>=3.0\nEND\nexit 1'
    plan = Plan(private_environment(), (step(tmp_path, body, "install"),), 1, 1)
    with pytest.raises(WorkerError, match=words):
        installer.install(plan, proxy="http://proxy:3128", progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)


CERTIFICATE = "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: no local issuer'))"
UV_CERTIFICATE = """error: Failed to fetch: https://pypi.org/simple/affine/
  cause: client error (Connect)
  cause: invalid peer certificate: UnknownIssuer

hint: Consider enabling use of system TLS certificates with the `--system-certs` command-line flag"""


@pytest.mark.parametrize("said", [f"{CERTIFICATE}\nERROR: No matching distribution found for affine>=3.0", UV_CERTIFICATE])
def test_a_certificate_that_is_not_trusted_is_named(tmp_path: Path, said: str) -> None:
    plan = Plan(private_environment(), (step(tmp_path, f'cat <<"END"\n{said}\nEND\nexit 1', "install"),), 1, 1)
    with pytest.raises(WorkerError, match=r"a certificate that is not trusted: .* choose uv under Made with, or choose a folder of wheels"):
        installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)


OLD_UV = """  × No solution found when resolving dependencies:
  ╰─▶ Because affine was not found in the provided package locations and you require affine, we can conclude that your requirements are
      unsatisfiable."""
NEW_UV = """error: No solution found when resolving dependencies
  cause: Because affine was not found in the provided package locations and you require affine, your requirements are unsatisfiable."""


@pytest.mark.parametrize("said", [OLD_UV, NEW_UV])
def test_what_uv_says_is_missing_is_named(tmp_path: Path, said: str) -> None:
    failing = step(tmp_path, f'cat <<"END"\n{said}\nEND\nexit 1', "install")
    plan = Plan(private_environment(), (Step((*failing.command, "--no-index"), "install"),), 1, 1)
    with pytest.raises(WorkerError, match=r"The folder of wheels is not enough: Because affine was not found [^.]*\. Fill it"):
        installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)


def test_what_the_folder_of_wheels_lacks_is_named(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    plan = install_plan(maker, "sr-geo", offline=tmp_path / "wheels")
    with pytest.raises(WorkerError, match=r"The folder of wheels is not enough: .*sr-geo"):
        installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)
    assert not private_environment().exists()


def test_what_the_check_found_missing_is_told(tmp_path: Path) -> None:
    said = "echo 'ok       python   3.12'; echo 'missing  rasterio not installed'; echo 'warn     gpu      none'; exit 1"
    plan = Plan(private_environment(), (step(tmp_path, said, "check"),), 1, 1)
    with pytest.raises(WorkerError, match=r"does not work here: missing  rasterio not installed\. The log"):
        installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)


def test_cancel_takes_away_what_is_half_made(tmp_path: Path) -> None:
    made = private_environment()
    said: list[str] = []
    plan = Plan(made, (step(tmp_path, f'mkdir -p "{made}"; echo begun; sleep 60', "make"),), 1, 1)
    with pytest.raises(Cancelled):
        installer.install(plan, progress=ignore_progress, cancelled=lambda: "begun" in said, log=said.append)
    assert not made.exists()


@pytest.mark.parametrize("broken_off_before", [False, True])
def test_a_repair_that_fails_takes_nothing_away(tmp_path: Path, *, broken_off_before: bool) -> None:
    made = private_environment()
    made.mkdir(parents=True)
    (made / "works").touch()
    if broken_off_before:  # QGIS was ended in mid installation
        made.rename(made.with_name("environment-before"))
        made.mkdir()
        (made / "half").touch()
    plan = Plan(made, (step(tmp_path, f'test ! -e "{made}" && mkdir "{made}" && exit 1', "make"),), 1, 1)
    with pytest.raises(WorkerError):
        installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)
    assert [path.name for path in made.iterdir()] == ["works"]
    good = Plan(made, (step(tmp_path, f'mkdir "{made}" && touch "{made}/new"', "make"),), 1, 1)
    installer.install(good, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)
    assert [path.name for path in made.iterdir()] == ["new"]
    assert sorted(path.name for path in made.parent.iterdir()) == ["environment", "setup.log"]
    installer.remove(made)
    assert not made.exists()


def test_nothing_is_left_of_what_was_fetched(tmp_path: Path) -> None:
    """pip does not clear its temporary folders where it is stopped: hundreds of megabytes."""
    said: list[str] = []
    body = 'touch "$TMPDIR/wheel"; echo "$TMPDIR"; test -f "$TMPDIR/wheel" && echo begun; sleep 60'
    plan = Plan(private_environment(), (step(tmp_path, body, "install"),), 1, 1)
    with pytest.raises(Cancelled):
        installer.install(plan, progress=ignore_progress, cancelled=lambda: "begun" in said, log=said.append)
    folder = Path(said[said.index("begun") - 1])
    assert folder.parent == private_environment().parent
    assert [path.name for path in folder.parent.iterdir()] == ["setup.log"]


def test_a_full_disk_is_told_before_anything_is_done(tmp_path: Path) -> None:
    plan = Plan(private_environment(), (step(tmp_path, "exit 0", "make"),), 1, 10**12)
    with pytest.raises(WorkerError, match="make room first"):
        installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SR_GEO_QGIS_DATA", str(tmp_path / "file"))
    plan = Plan(environment.private_environment(), (), 1, 1)
    with pytest.raises(WorkerError, match="SR_GEO_QGIS_DATA"):
        installer.install(plan, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)


def test_passwords_are_not_in_the_log(tmp_path: Path) -> None:
    proxy = "http://ana:secret@127.0.0.1:9"
    quiet = step(tmp_path, "exit 0", "install")
    plan = Plan(private_environment(), (Step((*quiet.command, "--proxy", proxy), "install"),), 1, 1)
    installer.install(plan, proxy=proxy, progress=ignore_progress, cancelled=never_cancelled, log=ignore_line)
    assert "secret" not in installer.log_file().read_text(encoding="utf-8")


def test_the_package_is_the_one_in_the_plugin_or_the_checkout() -> None:
    found = installer.package()
    assert found.suffix == ".whl" or (found / "pyproject.toml").is_file()
    assert found.is_absolute()
