"""The worker: progress, words, failures, and an end that leaves nothing running."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sr_geo_plugin.environment import Runtime, clean_environ
from sr_geo_plugin.worker import _LAUNCH, Cancelled, Steps, WorkerError, execute, no_leftovers, run, work_folder
from tests.qgis.conftest import SAMPLE


def fake(tmp_path: Path, body: str) -> Runtime:
    """A runtime whose `sr-geo` is these lines of Python; its arguments are in `words`."""
    package = tmp_path / "fake" / "sr_geo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    code = "import json, os, signal, subprocess, sys, time\n\ndef main():\n    words = sys.argv[1:]\n"
    (package / "cli.py").write_text(code + "".join(f"    {line}\n" for line in body.splitlines()))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{package.parent}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return Runtime(python, "9.9")


def test_progress_result_and_words(tmp_path: Path) -> None:
    body = """print(json.dumps({"stage": "enhance", "done": 1, "total": 2, "seconds_left": 3.2}), flush=True)
print("plain words", flush=True)
print(json.dumps({"stage": "write", "done": 1, "total": 1}), flush=True)
print("warning: three parcels lie outside", file=sys.stderr, flush=True)
print(json.dumps({"stage": "done", "words": words}))"""
    seen: list[tuple[float, str]] = []
    said: list[str] = []
    result = run(
        fake(tmp_path, body), ["enhance", "поле [1].tif"], progress=lambda share, text: seen.append((share, text)), log=said.append
    )
    assert result == {"stage": "done", "words": ["enhance", "поле [1].tif"]}
    assert [share for share, _ in seen] == [0.45, 1.0]
    assert seen[0][1] == "Enhancing: tile 1 of 2, about 0:03 left"
    assert sorted(said) == ["plain words", "warning: three parcels lie outside"]


def test_the_toolkits_own_line_is_the_message(tmp_path: Path) -> None:
    runtime = fake(
        tmp_path, "print('Traceback', file=sys.stderr)\nprint('error: a.tif: no such file; choose another', file=sys.stderr)\nsys.exit(1)"
    )
    with pytest.raises(WorkerError) as caught:
        run(runtime, ["enhance"])
    assert str(caught.value) == "a.tif: no such file; choose another"
    assert caught.value.log.splitlines() == ["Traceback", "error: a.tif: no such file; choose another"]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.part: full; make room, then run again with --resume", "a.part: full; make room, then run again"),
        ("killed; finished tiles are kept: run again with --resume to go on", "killed"),
        ("tile 3 is damaged; run again with --resume, which computes it anew", "tile 3 is damaged; run again"),
        (
            "a.tif: say which with --bands r=3",
            "a.tif: say which with --bands r=3 (in QGIS: “More options” in the panel, “Advanced parameters” in the toolbox)",
        ),
    ],
)
def test_advice_is_for_the_window_not_for_the_command_line(tmp_path: Path, said: str, shown: str) -> None:
    with pytest.raises(WorkerError) as caught:
        run(fake(tmp_path, f"print({'error: ' + said!r}, file=sys.stderr)\nsys.exit(1)"), ["enhance"])
    assert str(caught.value) == shown


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed (code -11)"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "stopped by another program"),
        ("sys.exit(3)", "code 3 and said nothing"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import no_such_package", "'no_such_package': a package of the worker is gone; open SR Geo, Set up…, and repair it"),
    ],
)
def test_other_ends(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(WorkerError, match=message.replace("(", r"\(").replace(")", r"\)")):
        run(fake(tmp_path, body), [])


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="repair it in Set up"):
        run(Runtime(tmp_path / "nothing", "1"), [])


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


def test_cancel_ends_the_worker_and_its_children(tmp_path: Path) -> None:
    body = """child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(40)"])
print(child.pid, flush=True)
time.sleep(40)"""
    said: list[str] = []
    started = time.monotonic()
    with pytest.raises(Cancelled):
        run(fake(tmp_path, body), [], log=said.append, cancelled=lambda: bool(said))
    assert gone(int(said[0]))
    assert time.monotonic() - started < 20


def test_a_worker_that_does_not_listen_is_ended_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sr_geo_plugin.worker._PATIENCE", 0.5)
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(os.getpid(), flush=True)\ntime.sleep(40)"
    said: list[str] = []
    with pytest.raises(Cancelled):
        run(fake(tmp_path, body), [], log=said.append, cancelled=lambda: bool(said))
    assert gone(int(said[0]))


def test_children_that_do_not_listen_end_with_a_worker_that_does(tmp_path: Path) -> None:
    child = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(40)"
    body = f"subprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(40)"
    said: list[str] = []
    with pytest.raises(Cancelled):
        run(fake(tmp_path, body), [], log=said.append, cancelled=lambda: bool(said))
    assert gone(int(said[0]))


WINDOWS = """
import signal, sys, types
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests were started in the background, but not on Windows
class Msvcrt(types.ModuleType):
    get_osfhandle = staticmethod(lambda number: 1000 + number)
class Winapi(types.ModuleType):
    closed = False
    @classmethod
    def PeekNamedPipe(cls, handle, size):
        assert (handle, size) == (1000, 0)
        if cls.closed:
            raise BrokenPipeError
sys.modules.update(msvcrt=Msvcrt("msvcrt"), _winapi=Winapi("_winapi"))
import os
def read(*words):
    raise AssertionError("a read that waits keeps numpy from being loaded on Windows")
os.name, os.read = "nt", read
"""

PATIENT = """
import sys, time

def main():
    try:
        type(sys.modules["_winapi"]).closed = True
        for _ in range(200):
            time.sleep(0.05)
    except KeyboardInterrupt:
        sys.exit(42)
"""


def test_on_windows_nobody_waits_in_a_read_of_standard_input(tmp_path: Path) -> None:
    """The launcher looks at the pipe instead, and interrupts the run when its other end is gone; with the modules of Windows played."""
    package = tmp_path / "sr_geo"  # found there: the folder that a program runs in comes first
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text(PATIENT)
    command = [sys.executable, "-c", WINDOWS + _LAUNCH]
    ended = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (42, "")


def test_a_folder_that_cannot_be_removed_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows does not delete what is open."""

    def refuse(path: str, *_: object, **__: object) -> None:
        raise PermissionError(13, "in use", path)

    with monkeypatch.context() as patch:
        with work_folder(tmp_path) as folder:
            (folder / "raster.tif").write_text("")
            patch.setattr(os, "unlink", refuse)
            patch.setattr(os, "rmdir", refuse)
        assert folder.exists()
    with work_folder(tmp_path) as other:
        (other / "raster.tif").write_text("")
    assert not other.exists()


def test_a_grandchild_with_the_pipes_open_holds_nobody_up(tmp_path: Path) -> None:
    body = 'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(40)"])\nprint(json.dumps({"stage": "done"}), flush=True)'
    assert run(fake(tmp_path, body), []) == {"stage": "done"}


def test_the_worker_ends_when_qgis_is_killed(tmp_path: Path) -> None:
    runtime = fake(tmp_path, "print(os.getpid(), flush=True)\ntime.sleep(40)")
    host = f"""
import sys
sys.path[:0] = {[str(SAMPLE.parent / "qgis_plugin")]!r}
from pathlib import Path
from sr_geo_plugin.environment import Runtime
from sr_geo_plugin.worker import run
run(Runtime(Path({str(runtime.python)!r}), "1"), [], log=lambda line: print(line, flush=True))
"""
    process = subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    assert gone(worker)


def test_callbacks_come_in_the_callers_thread(tmp_path: Path) -> None:
    threads: set[threading.Thread] = set()

    def note(*_: object) -> None:
        threads.add(threading.current_thread())

    run(
        fake(tmp_path, "print('one', flush=True)\nprint(json.dumps({'stage': 'write', 'done': 1, 'total': 1}))"),
        [],
        progress=note,
        log=note,
    )
    assert threads == {threading.current_thread()}


def test_what_is_printed_in_other_codes_is_shown_all_the_same(tmp_path: Path) -> None:
    said: list[str] = []
    code = r"import os; os.write(1, b'\xff\xfe bytes\r\n'); os.write(2, b'no line end')"
    ended, lines = execute(
        [sys.executable, "-c", code], environ=clean_environ(os.environ), folder=tmp_path, hear=lambda line, _: said.append(line)
    )
    assert (ended, lines) == (0, ["no line end"])
    assert sorted(said) == ["no line end", "\ufffd\ufffd bytes"]


def test_the_share_only_grows() -> None:
    steps = Steps()
    stages = [
        ("enhance", 1, 2),
        ("write", 1, 4),
        ("enhance", 2, 2),
        ("measure", 1, 1),
        ("write", 4, 4),
        ("unheard of", 1, 2),
        ("train", 0, 0),
    ]
    shares = [steps.share({"stage": stage, "done": done, "total": total})[0] for stage, done, total in stages]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_hostile_surrounding_changes_nothing(toolkit_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROJ_DATA", "PROJ_LIB"):
        monkeypatch.setenv(name, "/usr/share/proj" if Path("/usr/share/proj").is_dir() else str(tmp_path))
    monkeypatch.setenv("GDAL_DATA", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "/usr/lib/python3/dist-packages")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    shares: list[float] = []
    result = run(
        Runtime(toolkit_python, "1"),
        [
            "enhance",
            str(SAMPLE / "rendered_farm.tif"),
            str(tmp_path / "out.tif"),
            "--psf",
            "2",
            "--device",
            "cpu",
            "--threads",
            "1",
            "--progress",
            "json",
        ],
        progress=lambda share, _: shares.append(share),
    )
    assert result["outputs"] == [str(tmp_path / "out.tif")]
    assert shares[-1] == 1.0


def test_cancelling_the_toolkit_leaves_no_output(toolkit_python: Path, tmp_path: Path) -> None:
    words = [
        "enhance",
        str(SAMPLE / "itaipu_landsat8.tif"),
        str(tmp_path / "out.tif"),
        "--tile",
        "16",
        "--threads",
        "1",
        "--progress",
        "json",
    ]
    shares: list[float] = []
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Cancelled):
        run(Runtime(toolkit_python, "1"), words, progress=lambda share, _: shares.append(share), cancelled=lambda: bool(shares))
    assert not (tmp_path / "out.tif").exists()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("error", [Cancelled, WorkerError, KeyboardInterrupt])
def test_a_run_that_was_stopped_leaves_what_was_there_before(tmp_path: Path, error: type[BaseException]) -> None:
    made, untouched, replaced, folder = (tmp_path / name for name in ("made.tif", "untouched.tif", "replaced.tif", "fields"))
    untouched.write_text("old")
    replaced.write_text("old")
    folder.mkdir()
    (tmp_path / "made.tif.part").mkdir()

    def work() -> None:
        with no_leftovers(made, str(untouched), replaced, folder, ""):
            made.write_text("whole")
            (tmp_path / "new").write_text("whole")
            (tmp_path / "new").replace(replaced)
            raise error("stopped")

    with pytest.raises(error):
        work()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fields", "untouched.tif"]


def test_a_run_that_ends_well_keeps_its_files(tmp_path: Path) -> None:
    with no_leftovers(tmp_path / "made.tif"):
        (tmp_path / "made.tif").write_text("whole")
    assert (tmp_path / "made.tif").exists()
