"""The command line as a user meets it: what is printed, where, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import rasterio

import sr_geo
from sr_geo import cli
from sr_geo.models.catalog import entries
from tests.onnx_models import card, write_model
from tests.raster.products import write_raster
from tests.raster.test_enhance import RGBN, parcels_file, stored


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The only line on stderr."""
        (line,) = self.err.splitlines()
        return line


class Run(Protocol):
    def __call__(self, *arguments: object) -> Ended: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`sr-geo …` in this process."""

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["sr-geo", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 0
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    before = signal.getsignal(signal.SIGTERM)
    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", card())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "in.tif", stored("uint16", height=60, width=80), descriptions=RGBN, nodata=0)


@pytest.fixture
def quick(source: Path, tiny: Path) -> list[object]:
    """`enhance` of the small raster, with a quick network; OUTPUT is out.tif beside it."""
    return ["enhance", source, source.with_name("out.tif"), "--model", tiny, "--psf", "2", "--threads", "1", "--device", "cpu"]


def test_what_is_said_at_the_end(run: Run, quick: list[object], tmp_path: Path) -> None:
    ended = run(*quick)
    assert (ended.code, ended.err) == (0, "")
    first, second, *bands = ended.out.splitlines()
    assert first == str(tmp_path / "out.tif")
    assert second.startswith("  tiny, 1 tile(s), ")
    assert bands[0].startswith("  blue: network, blur 2.00 output pixels (given), off the measurement by ")


def test_names_with_brackets_and_colons(run: Run, tiny: Path, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in [red] [bold].tif", stored("uint8", height=9, width=9), descriptions=RGBN)
    output = tmp_path / "поле [bold]:boom:[].tif"
    ended = run("enhance", source, output, "--model", tiny, "--psf", 2)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == str(output)
    assert run("enhance", source, output, "--model", tiny).error.startswith(f"error: {output}: exists already")


def test_progress_for_programs(run: Run, quick: list[object], tmp_path: Path) -> None:
    ended = run(*quick, "--tile", 16, "--progress", "json", "--parcels", parcels_file(tmp_path / "p.gpkg"))
    assert (ended.code, ended.err) == (0, "")
    *steps, last = [json.loads(line) for line in ended.out.splitlines()]
    order = [step["stage"] for step in steps]
    assert sorted(set(order), key=order.index) == ["enhance", "measure", "write"]
    for stage in set(order):
        own = [step for step in steps if step["stage"] == stage]
        assert [step["done"] for step in own] == list(range(1, own[-1]["total"] + 1))
    assert last["stage"] == "done"
    assert last["outputs"] == [str(tmp_path / "out.tif")]


def test_silence(run: Run, quick: list[object]) -> None:
    assert run(*quick, "--progress", "none") == Ended(0, "", "")


def test_all_outputs(run: Run, quick: list[object], tmp_path: Path) -> None:
    pytest.importorskip("sr_geo.quality.summary")
    more = [
        "--parcels",
        parcels_file(tmp_path / "p.gpkg"),
        "--detail-map",
        tmp_path / "detail.tif",
        "--report",
        tmp_path / "r.html",
        "--cog",
    ]
    ended = run(*quick, *more, "--parcels-as", "box", "--buffer-m", 20)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-2:] == [str(tmp_path / "detail.tif"), str(tmp_path / "r.html")]
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "p.gpkg", "out.tif", "detail.tif", "r.html"}
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "tiny" in page
    assert "б/2" not in page or "name" in page
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert run(*quick, *more).code == 1
    new = [str(tmp_path / "new.tif") if part == tmp_path / "out.tif" else part for part in quick]
    assert "exists already" in run(*new, "--report", tmp_path / "r.html").error
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_a_report_alone_leaves_no_detail_map(run: Run, quick: list[object], tmp_path: Path) -> None:
    assert run(*quick, "--report", tmp_path / "r.html").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.tif", "r.html"}


@pytest.mark.parametrize("name", ["in.tif", "out.tif", "p.gpkg", "detail.tif"])
def test_a_report_takes_no_other_files_place(run: Run, quick: list[object], tmp_path: Path, name: str) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg")
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    more = ["--parcels", parcels, "--detail-map", tmp_path / "detail.tif", "--overwrite"]
    ended = run(*quick, *more, "--report", tmp_path / name)
    assert (ended.code, ended.error) == (1, f"error: {tmp_path / name}: is another file of this run; choose another name for the report")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_no_crs_is_a_warning(run: Run, tiny: Path, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in.tif", stored("uint8", height=20, width=20), descriptions=RGBN, crs=None)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        ended = run("enhance", source, tmp_path / "out.tif", "--model", tiny, "--psf", 2, "--report", tmp_path / "r.html")
    assert ended.code == 0
    assert ended.error.startswith(f"warning: {source}: no coordinate reference system")


def test_nothing_but_nodata_is_a_warning(run: Run, tiny: Path, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in.tif", np.zeros((4, 30, 30), np.uint8), descriptions=RGBN, nodata=0)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        ended = run("enhance", source, tmp_path / "out.tif", "--model", tiny, "--report", tmp_path / "r.html")
    assert ended.code == 0
    assert ended.error.startswith(f"warning: {source}: no valid pixel")


def test_help_names_every_command(run: Run) -> None:
    text = run("--help").out
    for command in ("demo", "enhance", "models", "evaluate", "train", "doctor"):
        assert command in text
    assert "Examples" in run("enhance", "--help").out
    assert run("--version").out == f"sr-geo, version {sr_geo.__version__}\n"


def test_models(run: Run) -> None:
    listed = run("models", "list")
    assert listed.code == 0
    for name, entry in entries().items():
        assert name in listed.out
        assert entry.sha256 in run("models", "info", name).out
        assert json.loads(run("models", "export-card", name).out)["name"] == name
        assert run("models", "verify", name).out.startswith(f"{name}: sha256 ")
    assert len(run("models", "verify").out.splitlines()) == len(entries())


def test_a_card_of_ones_own(run: Run, tiny: Path) -> None:
    assert "for tests" in run("models", "info", tiny).out


def test_demo(run: Run, tmp_path: Path) -> None:
    if not set(entries()) & {"satellite-rgb-x4"}:
        pytest.skip("satellite-rgb-x4 is not part of this build")
    ended = run("demo", tmp_path / "demo")
    assert (ended.code, ended.err) == (0, "")
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "itaipu_fields.tif",
        "itaipu_detail.tif",
        "report.html",
        "quicklook.png",
    }


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently there")
def test_a_reader_that_leaves(quick: list[object]) -> None:
    """`sr-geo … --progress json | head -1`."""
    command = [sys.executable, "-m", "sr_geo.cli", *map(str, quick), "--tile", "16", "--progress", "json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait() != 0
    assert errors == ""
