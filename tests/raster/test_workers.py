import threading
from pathlib import Path

import pytest

from sr_geo.errors import OutputError
from sr_geo.grid import TilePlan
from sr_geo.raster.ahead import Ahead
from sr_geo.raster.options import Progress
from sr_geo.raster.spool import Layout, Spool
from sr_geo.raster.workers import Stopped, Workers
from tests.raster.test_spool import tile


def test_the_first_failure_stops_all_and_is_raised() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with Workers() as workers:
        waiting = workers.start(lambda: workers.stop.wait(60))
        workers.start(fails)
        assert waiting.wait(60)
        with pytest.raises(ZeroDivisionError):
            workers.check()


def test_leaving_waits_for_the_threads() -> None:
    done: list[int] = []
    go = threading.Event()
    with Workers() as workers:
        workers.start(lambda: (workers.stop.wait(60), go.wait(60), done.append(1)))
        threading.Timer(0.1, go.set).start()
    assert done == [1]
    workers.check()


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "out.tif.part", Layout(TilePlan(11, 7, 4), 2, 4, "uint16"), {}, resume=False)


def test_tiles_are_written_in_order_as_they_come(spool: Spool) -> None:
    written: list[int] = []
    told: list[Progress] = []
    spool.put(3, tile(3))
    with Workers() as workers:
        ahead = Ahead(spool, [0, 1, 3], workers)
        ahead.start(written.extend)
        for index in (1, 0):
            assert written == []
            spool.put(index, tile(index))
        ahead.finish(told.append)
        workers.check()
    assert written == [0, 1, 3]
    assert [(progress.stage, progress.done, progress.total) for progress in told] == [("write", number, 3) for number in (1, 2, 3)]
    spool.remove()


def test_what_is_never_finished_is_stopped_before_its_end(spool: Spool) -> None:
    ended: list[str] = []
    taken = threading.Event()

    def write(indices: object) -> None:
        try:
            for index in indices:  # type: ignore[attr-defined]
                if index == 1:
                    taken.set()
        except Stopped:
            ended.append("stopped")
            raise
        ended.append("whole")

    for index in (0, 1):
        spool.put(index, tile(index))
    with Workers() as workers:
        Ahead(spool, [0, 1], workers).start(write)
        assert taken.wait(60)
    assert ended == ["stopped"]
    spool.remove()


def test_what_fails_while_writing_is_raised_by_who_waits(spool: Spool) -> None:
    def write(indices: object) -> None:
        raise OutputError("the disk is full")

    with Workers() as workers:
        ahead = Ahead(spool, [0, 1], workers)
        ahead.start(write)
        with pytest.raises(OutputError, match="the disk is full"):
            ahead.finish(lambda progress: None)
    spool.remove()
