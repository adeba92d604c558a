"""The command line as a user meets it: what is printed, where, and how it ends."""

import contextlib
import hashlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import click
import geopandas as gpd
import numpy as np
import pytest
import rasterio
from rich.console import Console

import sr_geo
from sr_geo import cli
from sr_geo.cli import progress
from sr_geo.cli.ending import judge
from sr_geo.cli.progress import training
from sr_geo.errors import OptionError, OutputError
from sr_geo.models.catalog import entries
from sr_geo.quality.lpips import INSTALL
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


def test_the_measurement_is_missed_by_so_much_of_its_unit(run: Run, quick: list[object], source: Path) -> None:
    """The same in stored values where the file states no scale."""
    told = [run(*quick).out]
    with rasterio.open(source, "r+") as dataset:
        dataset.scales = (2e-3,) * dataset.count
        dataset.units = ("reflectance",) * dataset.count
    told.append(run(*quick, "--overwrite").out)
    plain, stated = (re.findall(r"off the measurement by (\S+) (in stored values|reflectance) on average", text) for text in told)
    assert {unit for _, unit in plain} == {"in stored values"}
    assert {unit for _, unit in stated} == {"reflectance"}
    for (amount, _), (same, _) in zip(plain, stated, strict=True):
        assert float(same) == pytest.approx(2e-3 * float(amount), rel=0.06)  # two digits are told


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
    assert (last["detail_map"], last["report"]) == (None, None)


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


@pytest.mark.parametrize("ending", ["csv", "gpkg"])
def test_a_parcel_table(run: Run, quick: list[object], tmp_path: Path, ending: str) -> None:
    table = tmp_path / f"t.{ending}"
    ended = run(*quick, "--parcels", parcels_file(tmp_path / "p.gpkg"), "--parcel-table", table, "--progress", "json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out.splitlines()[-1])["parcel_table"] == str(table)
    rows = gpd.read_file(table)
    assert len(rows) == len(gpd.read_file(tmp_path / "p.gpkg"))
    assert {"area_ha", "red_before", "red_after", "ndvi_after"} <= set(rows.columns)
    if ending == "gpkg":
        with rasterio.open(tmp_path / "out.tif") as made:
            assert rows.crs == made.crs


@pytest.mark.parametrize("name", ["out.csv", "p.gpkg", "t.xlsx"])
def test_a_parcel_table_takes_no_other_files_place(run: Run, quick: list[object], tmp_path: Path, name: str) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg")
    (tmp_path / "out.csv").write_text("mine", encoding="utf-8")
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    ended = run(*quick, "--parcels", parcels, "--parcel-table", tmp_path / name)
    assert ended.code == (2 if name == "t.xlsx" else 1)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_a_parcel_table_needs_parcels(run: Run, quick: list[object], tmp_path: Path) -> None:
    ended = run(*quick, "--parcel-table", tmp_path / "t.csv")
    assert (ended.code, "need --parcels" in ended.error) == (2, True)


@pytest.mark.parametrize("name", ["in.tif", "out.tif", "p.gpkg", "detail.tif"])
def test_a_report_takes_no_other_files_place(run: Run, quick: list[object], tmp_path: Path, name: str) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg")
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    more = ["--parcels", parcels, "--detail-map", tmp_path / "detail.tif", "--overwrite"]
    ended = run(*quick, *more, "--report", tmp_path / name)
    assert (ended.code, ended.error) == (2, f"error: {tmp_path / name}: is another file of this run; choose another name for the report")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_no_crs_is_a_warning(run: Run, tiny: Path, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in.tif", stored("uint8", height=20, width=20), descriptions=RGBN, crs=None)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        options = ("--model", tiny, "--psf", 2, "--report", tmp_path / "r.html", "--consistency", "off")
        ended = run("enhance", source, tmp_path / "out.tif", *options)
    assert ended.code == 0
    assert ended.error.startswith(f"warning: {source}: no coordinate reference system")


def test_a_blur_beyond_the_model_is_a_warning(run: Run, source: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        ended = run("enhance", source, tmp_path / "out.tif", "--model", "satellite-rgbn-x4", "--psf", 9, "--consistency", "off")
    assert ended.code == 0
    assert ended.error.startswith(f"warning: {source}: blur of ")
    assert "1 to 3.2" in ended.error


def test_nothing_but_nodata_is_a_warning(run: Run, tiny: Path, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "in.tif", np.zeros((4, 30, 30), np.uint8), descriptions=RGBN, nodata=0)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        ended = run("enhance", source, tmp_path / "out.tif", "--model", tiny, "--report", tmp_path / "r.html")
    assert ended.code == 0
    assert ended.error.startswith(f"warning: {source}: no valid pixel")


def commands(group: click.Group = cli.cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands with the words that call them."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_whole(run: Run, path: tuple[str, ...]) -> None:
    ended = run(*path, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert not [line for line in ended.out.splitlines()[1:] if line.endswith("...")], "a summary is too long for one line"
    assert "\b" not in ended.out
    assert "\\b" not in ended.out
    for option in (parameter for parameter in COMMANDS[path].params if isinstance(parameter, click.Option)):
        assert option.help
        assert option.opts[0] in ended.out


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if command.epilog], ids=" ".join)
def test_examples_of_the_help_are_real(path: tuple[str, ...]) -> None:
    examples = [line.strip() for line in (COMMANDS[path].epilog or "").splitlines() if line.startswith("  sr-geo ")]
    for example in examples:
        check_command(example.split("   ")[0])


def check_command(text: str) -> None:
    """Fail if `sr-geo …` names a command or an option that there is not, or gives values that it does not take."""
    program, *words = shlex.split(text, comments=True)
    assert program == "sr-geo", text
    command: click.Command = cli.cli
    while isinstance(command, click.Group):
        assert words, f"{text}: no command"
        if words[0].startswith("-"):
            break
        count = 2 if " ".join(words[:2]) in command.commands else 1  # `train new-region` beside `train`
        name, words = " ".join(words[:count]), words[count:]
        assert name in command.commands, f"{text}: no such command"
        command = command.commands[name]
    with contextlib.suppress(click.exceptions.Exit):
        command.make_context("sr-geo", words)  # raises what a user would meet


def test_help_of_the_whole(run: Run) -> None:
    commands = {"demo", "doctor", "enhance", "evaluate", "export", "identify", "image", "models", "train", "train new-region"}
    assert commands == set(cli.cli.commands)
    sections = [line for line in run("enhance", "--help").out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert sections == ["Parcels:", "Model and bands:", "Outputs:", "Running:"]
    assert run("--version").out == f"sr-geo, version {sr_geo.__version__}\n"


def test_debug_may_stand_anywhere(run: Run, source: Path, tmp_path: Path) -> None:
    for words in (("--debug", "enhance", source, tmp_path), ("enhance", source, tmp_path, "--debug")):
        ended = run(*words)
        assert ended.code == 1
        assert ended.err.startswith("Traceback")
        assert ended.err.splitlines()[-1].startswith(f"error: {tmp_path}: ")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (OptionError("tile 1: expected 16 or more"), 2, "tile 1: expected 16 or more"),
        (OutputError("a.tif: exists\nalready"), 1, "a.tif: exists already"),
        (FileNotFoundError(2, "No such file", "a.tif"), 1, "[Errno 2] No such file: 'a.tif'"),
        (ModuleNotFoundError(name="pyogrio"), 1, "the package pyogrio is not installed; `sr-geo doctor` names the command that adds it"),
        (ZeroDivisionError(), 1, "ZeroDivisionError: no further word (unexpected: run again with --debug and report it)"),
        (click.UsageError("what?"), 2, "what? (see `sr-geo --help`)"),
    ],
)
def test_how_errors_end(error: Exception, code: int, line: str) -> None:
    assert judge(error) == (code, line)


def test_figures_are_not_overwritten_unasked(run: Run, source: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    first = run("evaluate", source, source, "--json", figures)
    assert first.code == 0
    assert first.err in ("", f"LPIPS is left out, its weights are not installed: {INSTALL}\n")
    assert first.out.splitlines()[-1] == str(figures)
    assert json.loads(figures.read_text(encoding="utf-8"))["compared"] <= 1
    figures.write_text("mine", encoding="utf-8")
    again = run("evaluate", source, source, "--json", figures)
    assert (again.code, again.out) == (1, "")
    assert again.error == f"error: {figures}: exists already; choose another name or add --overwrite"
    assert figures.read_text(encoding="utf-8") == "mine"
    assert run("evaluate", source, source, "--json", figures, "--overwrite").code == 0
    assert run("evaluate", source, source, "--json", source, "--overwrite").code == 2


@pytest.mark.parametrize("how", ["auto", "json", "none"])
def test_progress_of_a_training_run(capsys: pytest.CaptureFixture[str], how: str) -> None:
    with training(how) as show:
        show(SimpleNamespace(step=0, iterations=2, loss=float("nan"), gain_db=1.25, seconds_left=float("nan")))
        show(SimpleNamespace(step=1, iterations=2, loss=0.5, gain_db=None, seconds_left=1.0))
        show(SimpleNamespace(step=2, iterations=2, loss=0.25, gain_db=1.5, seconds_left=0.0))
    captured = capsys.readouterr()
    if how == "json":
        lines = [json.loads(line) for line in captured.out.splitlines()]
        assert [(line["done"], line["total"], line["gain_db"]) for line in lines] == [(0, 2, 1.25), (1, 2, None), (2, 2, 1.5)]
        assert lines[0]["loss"] is None
        assert captured.err == ""
    else:
        said = "step 0 of 2: +1.25 dB over bicubic\nstep 2 of 2: loss 0.2500, +1.50 dB over bicubic\n" if how == "auto" else ""
        assert (captured.out, captured.err) == ("", said)


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr(progress, "ERR", console)
    with progress.enhancing("auto") as show:
        for stage in ("enhance", "measure", "one to come"):
            show(SimpleNamespace(stage=stage, done=1, total=4, seconds_left=61.0))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Enhancing" in text
    assert "1:01 left" in text


def test_models(run: Run) -> None:
    listed = run("models", "list")
    assert listed.code == 0
    for name, entry in entries().items():
        assert name in listed.out
        assert entry.sha256 in run("models", "info", name).out
        assert json.loads(run("models", "export-card", name).out)["name"] == name
        assert run("models", "verify", name).out.startswith(f"{name}: sha256 ")
    assert len(run("models", "verify").out.splitlines()) == len(entries())
    told = json.loads(run("models", "list", "--json").out)
    assert {row["name"] for row in told["models"]} >= entries().keys()
    for one in told["heavier"]:  # can be copied from the terminal: on one line
        assert one["command"] in [line.strip() for line in listed.out.splitlines()]


def test_a_model_that_is_not_shipped_says_what_makes_it(run: Run, tmp_path: Path) -> None:
    result = run("image", tmp_path / "a.png", tmp_path / "b.png", "--domain", "photo", "--model", "realsr-df2k")
    assert result.code == 1
    assert "`sr-geo export realsr-df2k realsr-df2k.onnx` makes it" in result.err


def test_damaged_models_spoil_no_others(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write_model(tmp_path / "a-x4.onnx", card(name="a-x4"))
    index = {"a-x4": hashlib.sha256(whole.read_bytes()).hexdigest(), "b-x4": "0" * 64, "c-x4": "1" * 64}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    write_model(tmp_path / "c-x4.onnx", card(name="c-x4"))
    monkeypatch.setattr("sr_geo.models.catalog._WEIGHTS", tmp_path)
    monkeypatch.setenv("SR_GEO_MODELS", str(tmp_path / "mine"))
    listed = run("models", "list")
    assert listed.code == 1
    assert "missing" in listed.out
    assert listed.out.count("cannot be used") == 2
    verified = run("models", "verify")
    assert verified.code == 1
    assert verified.out.startswith("a-x4: sha256 ")
    assert "b-x4.onnx: the model cannot be read" in verified.err
    assert "c-x4.onnx: sha256 is" in verified.err
    assert verified.err.splitlines()[-1] == "error: 2 of 3 models are not as they should be: b-x4, c-x4"


def test_a_card_says_how_it_leans_and_what_made_it(run: Run, tmp_path: Path) -> None:
    path = write_model(tmp_path / "p.onnx", card(name="p-x4", leaning="perception", commit=""))
    shown = run("models", "info", path).out
    assert "leaning    to perception: to look at, not to measure in" in shown
    assert "commit not known" in shown
    assert "leaning    to fidelity" in run("models", "info", write_model(tmp_path / "f.onnx", card(name="f-x4"))).out


def test_a_model_of_ones_own(run: Run, quick: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    monkeypatch.setenv("SR_GEO_MODELS", str(mine))
    path = write_model(tmp_path / "x.onnx", card(name="my-x4", title="Fields of [Altai]"))
    assert run("models", "install", path) == Ended(0, f"{mine / 'my-x4.onnx'}: use it by --model my-x4\n", "")
    (line,) = [line for line in run("models", "list").out.splitlines() if "my-x4" in line]
    assert "yours" in line
    quick[quick.index("--model") + 1] = "my-x4"
    assert run(*quick).out.splitlines()[1].startswith("  my-x4, ")
    (mine / "broken.onnx").write_text("no model")
    write_model(mine / f"{next(iter(entries()))}.onnx", card())
    listed = run("models", "list")
    assert listed.code == 0
    assert "broken" in listed.out
    assert listed.error.endswith("has the name of a shipped model and is not used; rename it")


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
    for path in (tmp_path / "demo").iterdir():
        assert str(path) in ended.out
    with rasterio.open(tmp_path / "demo" / "itaipu_fields.tif") as result:
        known = (result.dataset_mask() > 0).mean()
        assert result.res == (7.5, 7.5)
    assert 0.05 < known < 0.6, "only the fields are enhanced"


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
