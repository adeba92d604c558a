from pathlib import Path

import pytest

from sr_geo.errors import OutputError
from sr_geo.raster.target import check_room, check_target, clear_stale


def test_targets_are_checked_before_the_work(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    check_target(path, overwrite=False)
    assert not any(tmp_path.iterdir())
    path.touch()
    with pytest.raises(OutputError, match="--overwrite"):
        check_target(path, overwrite=False)
    check_target(path, overwrite=True)
    with pytest.raises(OutputError, match="is a folder"):
        check_target(tmp_path, overwrite=True)
    with pytest.raises(OutputError, match="no such folder"):
        check_target(tmp_path / "missing" / "out.tif", overwrite=False)


def test_room_is_checked_before_the_work(tmp_path: Path) -> None:
    check_room(tmp_path, 1)
    with pytest.raises(OutputError, match=r"1000000000.0 GB are needed while the run goes on, [\d.]+ [GM]B are free"):
        check_room(tmp_path, 10**18)


def test_only_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    stale = {".out.4711.tif", ".out.4711.plain.tif", ".out.1.tif", ".out.4711.tif.ovr.tmp", ".out.4711.tif.msk.ovr.tmp"}
    kept = {"out.tif", ".out.tif", ".out.mine.tif", ".out.5.4711.tif", ".out.4711.tiff", ".outs.4711.tif", "out.4711.tif"}
    for name in stale | kept:
        (tmp_path / name).touch()
    clear_stale(tmp_path / "out.tif")
    assert {path.name for path in tmp_path.iterdir()} == kept
    clear_stale(tmp_path / "missing" / "out.tif")
