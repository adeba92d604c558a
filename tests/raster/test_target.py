from pathlib import Path

import pytest

from sr_geo.errors import OutputError
from sr_geo.raster.target import check_room, check_target


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
