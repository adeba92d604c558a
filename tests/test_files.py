"""Files appear when they are whole, and whatever goes wrong ends as an error of the project."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from sr_geo.errors import InputError, OutputError
from sr_geo.files import clear_stale, whole_file
from sr_geo.imaging.page import write_page
from sr_geo.quality.evaluation import Evaluation, Measures, write_json
from sr_geo.quality.report import ReportData, write_report
from tests.imaging.test_page import page


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old", encoding="utf-8")
    with whole_file(path) as draft:
        assert (draft.parent, draft.suffix) == (tmp_path, ".txt")
        draft.write_text("new", encoding="utf-8")
        assert path.read_text("utf-8") == "old"
    assert path.read_text("utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, r"out\.txt: cannot be written \(the disk is full; make room"),
        (PermissionError(errno.EACCES, "Permission denied"), OutputError, r"out\.txt: cannot be written \(Permission denied\)"),
        (OutputError("other.txt: exists already"), OutputError, "^other"),
        (InputError("in.tif: no raster"), InputError, "^in"),
        (KeyboardInterrupt("now"), KeyboardInterrupt, "now"),
    ],
)
def test_what_fails_leaves_the_old_file_and_no_draft(tmp_path: Path, raised: Exception, expected: type[Exception], message: str) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old", encoding="utf-8")

    def write() -> None:
        with whole_file(path) as draft:
            draft.write_text("ne", encoding="utf-8")
            raise raised

    with pytest.raises(expected, match=message):
        write()
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_of_gdal_are_errors_of_the_output(tmp_path: Path) -> None:
    from rasterio._err import CPLE_AppDefinedError

    with pytest.raises(OutputError, match=r"cannot be written \(.*block too large\)"), whole_file(tmp_path / "out.tif"):
        raise CPLE_AppDefinedError(3, 1, "block too large")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(OutputError, match="cannot be written"), whole_file(tmp_path / "folder" / "out.txt") as draft:
        draft.touch()


def test_only_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    stale = {".out.4711.tif", ".out.4711.plain.tif", ".out.1.tif", ".out.4711.tif.ovr.tmp", ".out.4711.tif.msk.ovr.tmp"}
    kept = {"out.tif", ".out.tif", ".out.mine.tif", ".out.5.4711.tif", ".out.4711.tiff", ".outs.4711.tif", "out.4711.tif"}
    for name in stale | kept:
        (tmp_path / name).touch()
    clear_stale(tmp_path / "out.tif")
    assert {path.name for path in tmp_path.iterdir()} == kept
    clear_stale(tmp_path / "missing" / "out.tif")


FIGURES = Evaluation(
    reference="t.tif",
    enhanced="e.tif",
    lr=None,
    height=8,
    width=8,
    border=0,
    compared=1.0,
    data_range=255.0,
    data_range_rule="8 bits",
    together=Measures(name="all", psnr=30.0, ssim=0.9, rmse=1.0, mae=1.0, bias=0.0),
    bands=(),
    sam=None,
    ergas=None,
    ergas_scale=4,
)
REPORT = ReportData("in.tif", "out.tif", "tiny", "00", (), tiles=1, seconds=1.0, created="now", version="0")


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda path: write_json(path, FIGURES), id="figures"),
        pytest.param(lambda path: write_report(path, REPORT), id="report"),
        pytest.param(lambda path: write_page(path, page(shots=[])), id="page"),
    ],
)
def test_every_side_file_says_what_stopped_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]) -> None:
    def full(path: Path, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"out\.html: cannot be written \(the disk is full"):
        write(tmp_path / "out.html")
    assert not list(tmp_path.iterdir())
