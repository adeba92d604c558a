import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import OutputError
from sr_geo.grid import TilePlan
from sr_geo.raster.spool import Layout, Spool, claimed_outputs, plain_name
from sr_geo.raster.tiles import Finished

LAYOUT = Layout(TilePlan(11, 7, 4), bands=2, scale=4, dtype="uint16")
IDENTITY = {"model": "abc", "tile": 4}


def tile(index: int, layout: Layout = LAYOUT) -> Finished:
    rng = np.random.default_rng(index)
    empty = layout.empty(index)
    detail = rng.random(empty.detail.shape).astype(np.float32)
    detail[0] = np.nan
    image = rng.integers(0, 60000, empty.image.shape).astype(layout.dtype)
    return Finished(image, rng.random(empty.valid.shape) < 0.5, detail)


def same(one: Finished, other: Finished) -> None:
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.valid, other.valid)
    np.testing.assert_array_equal(one.detail, other.detail)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out.tif.part"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, LAYOUT, IDENTITY, resume=False)
    yield spool
    spool.close()


def reopened(folder: Path, before: Spool | None = None) -> Spool:
    """As the next run finds it; `before` ends as if it were killed: what it wrote has reached the disk, nothing is tidied up."""
    if before is not None:
        before.close()
    return Spool(folder, LAYOUT, IDENTITY, resume=True)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_tiles_come_back_whatever_the_order(folder: Path, dtype: str) -> None:
    layout = Layout(LAYOUT.plan, 3, 4, dtype)
    spool = Spool(folder, layout, IDENTITY, resume=False)
    order = [5, 0, 3, 1, 4, 2]  # those of the lower and right edge are smaller
    for index in order:
        spool.put(index, tile(index, layout))
    for index in range(6):
        same(spool.get(index), tile(index, layout))
    assert sorted(spool.done) == list(range(6))
    spool.remove()
    assert not folder.exists()


def test_the_last_put_counts(spool: Spool) -> None:
    spool.put(1, tile(0))
    spool.put(0, tile(0))
    spool.put(1, tile(1))
    same(spool.get(1), tile(1))
    same(spool.get(0), tile(0))


def test_tiles_survive_without_closing(folder: Path, spool: Spool) -> None:
    spool.put(2, tile(2))
    other = reopened(folder, spool)
    assert set(other.done) == {2}
    same(other.get(2), tile(2))
    other.close()


@pytest.mark.parametrize("rest", [b"3", b"3 1", b"3 1 12345", b"\0\0\0\0", b"3 1 12345 9\n", b"x y z\n", b"99 1 5\n", b"3 7 5\n"])
def test_a_journal_cut_in_its_last_line_goes_on(folder: Path, spool: Spool, rest: bytes) -> None:
    spool.put(0, tile(0))
    journal = folder / "journal.txt"
    journal.write_bytes(journal.read_bytes() + rest)
    again = reopened(folder, spool)
    assert set(again.done) == {0}
    again.put(3, tile(3))
    again.put(5, tile(5))
    again.close()
    last = reopened(folder)
    for index in (0, 3, 5):
        same(last.get(index), tile(index))
    last.close()


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def test_damage_is_noticed(folder: Path, spool: Spool) -> None:
    spool.put(0, tile(0))
    spool.put(1, tile(1))
    flip(folder / "tiles.bin", 100)
    with pytest.raises(OutputError, match="tile 0 is damaged; run again with --resume"):
        spool.get(0)
    same(spool.get(1), tile(1))
    with (folder / "tiles.bin").open("r+b") as file:
        file.truncate(LAYOUT.slot + 5)
    with pytest.raises(OutputError, match="tile 1 is damaged"):
        spool.get(1)


def test_damaged_tiles_are_left_to_be_computed_again(folder: Path, spool: Spool) -> None:
    for index in (4, 2, 0):
        spool.put(index, tile(index))
    flip(folder / "tiles.bin", LAYOUT.slot + 100)  # the second, number 2
    again = reopened(folder, spool)
    assert set(again.done) == {4, 0}
    for index in (3, 2, 1):
        again.put(index, tile(index))
    last = reopened(folder, again)
    assert set(last.done) == {0, 1, 2, 3, 4}
    for index in last.done:
        same(last.get(index), tile(index))
    last.close()


def test_a_run_with_other_options_is_not_continued(folder: Path, spool: Spool) -> None:
    spool.put(0, tile(0))
    spool.close()
    with pytest.raises(OutputError, match="other input or options"):
        Spool(folder, LAYOUT, IDENTITY | {"model": "xyz"}, resume=True)
    again = reopened(folder)
    same(again.get(0), tile(0))
    again.close()


def test_without_resume_the_tiles_are_dropped(folder: Path, spool: Spool) -> None:
    spool.put(0, tile(0))
    spool.claim(folder.with_name("out.tif"))
    spool.close()
    again = Spool(folder, LAYOUT, IDENTITY, resume=False)
    assert not again.done
    assert not claimed_outputs(folder)
    again.close()


def test_resuming_what_never_began_begins(folder: Path) -> None:
    spool = reopened(folder)
    assert not spool.done
    spool.close()


def test_a_folder_of_somebody_else_is_left_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine", encoding="utf-8")
    for resume in (False, True):
        with pytest.raises(OutputError, match="in the way"):
            Spool(folder, LAYOUT, IDENTITY, resume=resume)
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "mine"


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written to"):
        Spool(tmp_path / "file", LAYOUT, IDENTITY, resume=False)
    with pytest.raises(OutputError, match="cannot be written to"):
        Spool(tmp_path / "missing" / "out.part", LAYOUT, IDENTITY, resume=False)


def test_a_full_disk_stops_the_run_but_keeps_what_is_there(folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    spool.put(0, tile(0))

    def full(file: object, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sr_geo.raster.spool._write", full)
        with pytest.raises(OutputError, match="make room, then run again with --resume"):
            spool.put(1, tile(1))
    assert set(spool.done) == {0}
    again = reopened(folder, spool)
    assert set(again.done) == {0}
    again.close()


def test_only_tiles_that_came_take_room(folder: Path) -> None:
    layout = Layout(TilePlan(400, 400, 4), 2, 4, "uint16")
    spool = Spool(folder, layout, IDENTITY, resume=False)
    spool.put(9999, tile(9999, layout))
    assert (folder / "tiles.bin").stat().st_size <= layout.slot
    spool.close()


def test_a_tile_larger_than_the_raster_needs_no_more_than_it() -> None:
    assert Layout(TilePlan(3, 5, 1000), 1, 2, "uint8").slot == 4 * 15 * (1 + 4) + 15


def test_outputs_that_were_begun_are_remembered(folder: Path, spool: Spool) -> None:
    names = [folder.with_name(name) for name in ("out.tif", "поле\n\"2\".tif")]
    assert claimed_outputs(folder) == frozenset()
    for path in names:
        spool.claim(path)
    with (folder / "outputs.txt").open("a", encoding="utf-8") as file:
        file.write('"/half/a li')
    assert claimed_outputs(folder) == {plain_name(path) for path in names}
    assert plain_name(folder / ".." / "out.tif") in claimed_outputs(folder)


def test_one_run_at_a_time(folder: Path, spool: Spool) -> None:
    spool.put(0, tile(0))
    for resume in (False, True):
        with pytest.raises(OutputError, match="another run is writing this output"):
            Spool(folder, LAYOUT, IDENTITY, resume=resume)
    same(spool.get(0), tile(0))
    spool.remove()
    assert not folder.exists()
    Spool(folder, LAYOUT, IDENTITY, resume=False).close()


HOLD = """
import sys, time
from pathlib import Path
from sr_geo.raster.lock import take_lock
held = take_lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_the_lock_of_a_dead_process_does_not_count(folder: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder / "lock")], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another run"):
            Spool(folder, LAYOUT, IDENTITY, resume=False)
        process.kill()
    Spool(folder, LAYOUT, IDENTITY, resume=False).close()


def test_a_description_cut_short_is_no_obstacle(folder: Path, spool: Spool) -> None:
    """Killed before the first tile: there is nothing to lose."""
    spool.close()
    (folder / "run.json").write_text("{", encoding="utf-8")
    again = reopened(folder)
    again.put(0, tile(0))
    last = reopened(folder, again)
    assert set(last.done) == {0}
    last.close()
