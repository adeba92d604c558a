import errno
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import OutputError
from sr_geo.grid import TilePlan
from sr_geo.raster.spool import Layout, Spool
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


def reopened(folder: Path) -> Spool:
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
    other = reopened(folder)
    assert set(other.done) == {2}
    same(other.get(2), tile(2))
    other.close()


@pytest.mark.parametrize("rest", [b"3", b"3 1", b"3 1 12345", b"\0\0\0\0", b"3 1 12345 9\n", b"x y z\n", b"99 1 5\n", b"3 7 5\n"])
def test_a_journal_cut_in_its_last_line_goes_on(folder: Path, spool: Spool, rest: bytes) -> None:
    spool.put(0, tile(0))
    journal = folder / "journal.txt"
    journal.write_bytes(journal.read_bytes() + rest)
    again = reopened(folder)
    assert set(again.done) == {0}
    again.put(3, tile(3))
    again.put(5, tile(5))
    again.close()
    last = reopened(folder)
    for index in (0, 3, 5):
        same(last.get(index), tile(index))
    last.close()


def test_damage_is_noticed(folder: Path, spool: Spool) -> None:
    spool.put(0, tile(0))
    spool.put(1, tile(1))
    with (folder / "tiles.bin").open("r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(OutputError, match="tile 0 is damaged"):
        spool.get(0)
    same(spool.get(1), tile(1))
    with (folder / "tiles.bin").open("r+b") as file:
        file.truncate(LAYOUT.slot + 5)
    with pytest.raises(OutputError, match="tile 1 is damaged"):
        spool.get(1)


def test_a_run_with_other_options_is_not_continued(folder: Path, spool: Spool) -> None:
    spool.put(0, tile(0))
    with pytest.raises(OutputError, match="other input or options"):
        Spool(folder, LAYOUT, IDENTITY | {"model": "xyz"}, resume=True)
    same(spool.get(0), tile(0))


def test_without_resume_the_tiles_are_dropped(folder: Path, spool: Spool) -> None:
    spool.put(0, tile(0))
    again = Spool(folder, LAYOUT, IDENTITY, resume=False)
    assert not again.done
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
    again = reopened(folder)
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
