"""Runs that are stopped, killed or out of room, and what a run costs in memory."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray

from sr_geo.errors import InputError, OutputError
from sr_geo.models.session import Upscaler
from sr_geo.raster import enhance as enhance_module
from sr_geo.raster.enhance import Result, enhance_parcels, enhance_raster
from sr_geo.raster.options import Options, ParcelOptions, Progress
from sr_geo.raster.spool import Spool
from sr_geo.raster.tiles import Finished
from tests.onnx_models import card, write_model
from tests.raster.products import write_raster
from tests.raster.test_enhance import RGBN, parcels_file, stored

SPOOL = "out.tif.part"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", card())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """With tiles of 16 pixels, twenty of them."""
    return write_raster(tmp_path / "in.tif", stored("uint16", height=60, width=80), descriptions=RGBN, nodata=0)


@pytest.fixture
def options(tiny: Path) -> dict[str, Any]:
    return {"model": tiny, "psf": 2.0, "threads": 1, "device": "cpu", "tile": 16}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def stop_at(number: int, stage: str = "enhance", error: type[BaseException] = KeyboardInterrupt) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if (progress.stage, progress.done) == (stage, number):
            raise error

    return stop


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(("stage", "number"), [("enhance", 7), ("enhance", 19), ("write", 3)])
def test_a_stopped_run_goes_on_and_ends_the_same(tmp_path: Path, source: Path, options: dict[str, Any], stage: str, number: int) -> None:
    told: list[Progress] = []
    with pytest.raises(KeyboardInterrupt):
        enhance_raster(source, tmp_path / "out.tif", Options(**options), progress=stop_at(number, stage))
    assert names(tmp_path) == {"in.tif", SPOOL}
    enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True), progress=told.append)
    assert names(tmp_path) == {"in.tif", "out.tif"}
    computed = [progress.done for progress in told if progress.stage == "enhance"]
    assert len(computed) <= 20 - number + 3
    assert stage == "write" or computed[-1] == 20
    enhance_raster(source, tmp_path / "again.tif", Options(**options))
    assert digest(tmp_path / "out.tif") == digest(tmp_path / "again.tif")


def test_a_run_may_be_stopped_often(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    for number in (3, 9, 15):
        with pytest.raises(KeyboardInterrupt):
            enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True, cog=True), progress=stop_at(number))
        with (tmp_path / SPOOL / "journal.txt").open("a") as journal:
            journal.write("7 12")  # a line that was cut
    enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True, cog=True))
    enhance_raster(source, tmp_path / "again.tif", Options(**options, cog=True))
    assert digest(tmp_path / "out.tif") == digest(tmp_path / "again.tif")


def test_what_a_killed_run_left_is_cleared(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        enhance_raster(source, tmp_path / "out.tif", Options(**options), progress=stop_at(2, "write"))
    (tmp_path / ".out.4711.tif").write_text("half an image")
    (tmp_path / ".out.mine.tif").write_text("mine")
    enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True))
    assert names(tmp_path) == {"in.tif", "out.tif", ".out.mine.tif"}


def test_resume_starts_where_there_is_nothing_to_resume(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True))
    with pytest.raises(OutputError, match="exists already"):
        enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True))
    assert names(tmp_path) == {"in.tif", "out.tif"}


CHANGES: dict[str, dict[str, Any]] = {
    "psf": {"psf": 1.5},
    "consistency": {"consistency": "mean"},
    "tile": {"tile": 32},
    "bands": {"bands": {"red": 1, "green": 2, "blue": 3, "nir": 4}},
    "model": {"model": "other"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_run_with_other_options_is_not_taken_up(tmp_path: Path, source: Path, options: dict[str, Any], change: dict[str, Any]) -> None:
    if "model" in change:
        change = {"model": write_model(tmp_path / "other.onnx", card(name="other"))}
    with pytest.raises(KeyboardInterrupt):
        enhance_raster(source, tmp_path / "out.tif", Options(**options), progress=stop_at(7))
    with pytest.raises(OutputError, match="other input or options"):
        enhance_raster(source, tmp_path / "out.tif", Options(**{**options, **change}, resume=True))
    enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True))  # the first one still can


def test_a_run_on_a_changed_input_is_not_taken_up(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt):
        enhance_raster(source, tmp_path / "out.tif", Options(**options), progress=stop_at(7))
    os.utime(source, (1, 1))
    with pytest.raises(OutputError, match="other input or options"):
        enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True))


def test_a_folder_that_is_no_spool_is_left_alone(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    (tmp_path / SPOOL).mkdir()
    (tmp_path / SPOOL / "thesis.odt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(OutputError, match="in the way"):
            enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=resume))
    assert (tmp_path / SPOOL / "thesis.odt").read_text() == "precious"


def test_split_runs_stopped_while_writing_go_on(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    choice = ParcelOptions(parcels_file(tmp_path / "p.gpkg"), split_by="name")

    def run(folder: str, *, resume: bool = False, progress: Callable[[Progress], None] | None = None) -> Result:
        return enhance_parcels(source, choice, tmp_path / folder, Options(**options, resume=resume), progress=progress)

    with pytest.raises(KeyboardInterrupt):
        run("fields", progress=stop_at(1, "write"))
    result = run("fields", resume=True)
    other = run("again")
    assert [digest(path) for path in result.outputs] == [digest(path) for path in other.outputs]


def test_a_tile_that_cannot_be_read_ends_the_run(tmp_path: Path, source: Path, options: dict[str, Any]) -> None:
    plain = write_raster(tmp_path / "whole.tif", stored("uint16", height=300, width=300), descriptions=RGBN)
    whole = tmp_path / "cog.tif"  # with what describes it at the start
    rasterio.shutil.copy(plain, whole, driver="COG", BLOCKSIZE=128)
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(InputError, match=r"cannot be read .* cut short"):
        enhance_raster(tmp_path / "cut.tif", tmp_path / "out.tif", Options(**options))
    assert names(tmp_path) - {SPOOL} == {"in.tif", "whole.tif", "cog.tif", "cut.tif"}


def test_failures_of_either_thread_are_raised(
    tmp_path: Path, source: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> Finished:
        raise ZeroDivisionError(len(args))

    for name in ("finish", "read_tile"):
        with monkeypatch.context() as patched:
            patched.setattr(f"sr_geo.raster.stream.{name}", fails)
            with pytest.raises(ZeroDivisionError):
                enhance_raster(source, tmp_path / "out.tif", Options(**options))
        assert names(tmp_path) == {"in.tif"}


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_while_the_last_tile_is_stored(
    tmp_path: Path, source: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, presses: int
) -> None:
    """The calling thread only waits then: nobody may close the files under the thread that writes."""
    whole: list[int] = []
    original = Spool.put

    def slow(self: Spool, index: int, tile: Finished) -> None:
        if index == 19:
            for _ in range(presses):
                time.sleep(0.1)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.3)
        original(self, index, tile)
        whole.append(index)

    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is started with it ignored
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Spool, "put", slow)
            with pytest.raises(KeyboardInterrupt):
                enhance_raster(source, tmp_path / "out.tif", Options(**options))
    finally:
        signal.signal(signal.SIGINT, heard)
    assert whole == list(range(20))
    assert len((tmp_path / SPOOL / "journal.txt").read_text().splitlines()) == 20
    told: list[Progress] = []
    enhance_raster(source, tmp_path / "out.tif", Options(**options, resume=True), progress=told.append)
    assert not [progress for progress in told if progress.stage == "enhance"]
    enhance_raster(source, tmp_path / "again.tif", Options(**options))
    assert digest(tmp_path / "out.tif") == digest(tmp_path / "again.tif")


def test_no_network_for_tiles_without_data(tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    values = stored("uint16", height=60, width=80)
    values[:, 30:, :] = 0
    source = write_raster(tmp_path / "in.tif", values, descriptions=RGBN, nodata=0)
    calls: list[tuple[int, ...]] = []
    original = Upscaler.run

    def spy(self: Upscaler, window: NDArray[np.float32], **more: Any) -> NDArray[np.float32]:  # noqa: ANN401
        calls.append(window.shape)
        return original(self, window, **more)

    monkeypatch.setattr(Upscaler, "run", spy)
    result = enhance_raster(source, tmp_path / "out.tif", Options(**options))
    assert (result.tiles, len(calls)) == (20, 10)
    with rasterio.open(tmp_path / "out.tif") as after:
        assert (after.read_masks(1)[:120] != 0).all()
        assert not after.read()[:, 120:].any()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk: Path, source: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    output = small_disk / "out.tif"
    (small_disk / "other").write_bytes(bytes(3_700_000))
    with pytest.raises(OutputError, match=r"needed .* are free"):
        enhance_raster(source, output, Options(**options))
    assert names(small_disk) == {"other"}
    monkeypatch.setattr(enhance_module, "check_room", lambda folder, needed: None)
    with pytest.raises(OutputError, match=r"make room, then run again with --resume"):
        enhance_raster(source, output, Options(**options))
    assert names(small_disk) == {"other", SPOOL}
    (small_disk / "other").unlink()
    enhance_raster(source, output, Options(**options, resume=True))
    enhance_raster(source, source.with_name("again.tif"), Options(**options))
    assert names(small_disk) == {"out.tif"}
    assert digest(output) == digest(source.with_name("again.tif"))


# Other processes


def start(*arguments: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sr_geo.cli", "enhance", *map(str, arguments)]
    # What a shell starts in the background ignores Ctrl-C, and so would all that is started from there.
    heard = None if os.name == "nt" else lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard)  # noqa: PLW1509


def wait_for_tiles(process: "subprocess.Popen[str]", number: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if told["stage"] == "enhance" and told["done"] >= number:
            return
    raise AssertionError(process.communicate())


@pytest.mark.skipif(os.name == "nt", reason="no such signals")
def test_stopped_from_outside(tmp_path: Path, tiny: Path) -> None:
    """By Ctrl-C, by the system and by force, one after the other."""
    source = write_raster(tmp_path / "in.tif", stored("uint8", height=400, width=400), descriptions=RGBN)
    output = tmp_path / "out.tif"
    arguments = [source, output, "--model", tiny, "--psf", "2", "--threads", "1", "--tile", "16", "--progress", "json", "--resume"]
    for number, how, code in ((5, signal.SIGINT, 130), (40, signal.SIGTERM, 130), (80, signal.SIGKILL, -signal.SIGKILL)):
        process = start(*arguments)
        with contextlib.closing(process.stdout), contextlib.closing(process.stderr):  # type: ignore[type-var]
            wait_for_tiles(process, number)
            process.send_signal(how)
            _, errors = process.communicate(timeout=120)  # reads on, or the other side would wait for room in the pipe
            assert process.returncode == code
            assert len(errors.split("\n")[1:-1]) == (code == 130)  # on a line of its own after ^C
        assert names(tmp_path) == {"in.tif", SPOOL}
    _, errors = (process := start(*arguments)).communicate()
    assert (process.returncode, errors) == (0, "")
    assert names(tmp_path) == {"in.tif", "out.tif"}
    enhance_raster(source, tmp_path / "again.tif", Options(model=tiny, psf=2.0, threads=1, tile=16))
    assert digest(output) == digest(tmp_path / "again.tif")


MEASURE = """
import resource, sys
from sr_geo import Options, enhance_raster
enhance_raster(sys.argv[1], sys.argv[2], Options(model=sys.argv[3], psf=2.0, threads=1, tile=64))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in kilobytes on Linux only")
def test_memory_does_not_depend_on_size(tmp_path: Path, tiny: Path) -> None:
    peaks = []
    for size in (900, 1800):
        values: NDArray[np.uint16] = np.random.default_rng(0).integers(1, 6000, (4, 300, 300), dtype=np.uint16)
        source = write_raster(tmp_path / f"{size}.tif", np.tile(values, (1, size // 300, size // 300)), descriptions=RGBN, tiled=True)
        command = [sys.executable, "-c", MEASURE, str(source), str(tmp_path / f"fine_{size}.tif"), str(tiny)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024)
    small, large = peaks
    assert large - small < 80  # MB, where the larger output has 311 MB more
