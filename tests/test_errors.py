"""What goes wrong ends in one line, with an exit code, and leaves nothing behind."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio.shutil
import shapely

from sr_geo import errors
from sr_geo.models import catalog
from sr_geo.raster import tiles
from tests.onnx_models import card
from tests.raster.products import write_raster
from tests.raster.test_enhance import RGBN, parcels_file, stored
from tests.test_cli import Run, run, tiny

__all__ = ["run", "tiny"]  # fixtures


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "in.tif", stored("uint16", height=60, width=80), descriptions=RGBN, nodata=0)


@pytest.fixture
def fails(run: Run, tmp_path: Path, tiny: Path) -> Callable[..., str]:
    """Run `enhance`; the line that it ends with, without "error: ". Nothing is changed in the folder."""

    def call(source: object, *arguments: object, output: object = None, code: int = 1, model: object = tiny) -> str:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        chosen = [] if model is None else ["--model", model, "--psf", 2]
        ended = run("enhance", source, output or tmp_path / "out.tif", *chosen, "--threads", 1, *arguments)
        assert (ended.code, ended.out) == (code, "")
        assert ended.error.startswith("error: ")
        assert "Traceback" not in ended.err
        assert "unexpected" not in ended.err
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        return ended.error.removeprefix("error: ")

    return call


Fails = Callable[..., str]


# Inputs


def text_file(folder: Path) -> Path:
    (folder / "notes.tif").write_text("not a raster")
    return folder / "notes.tif"


def empty_file(folder: Path) -> Path:
    (folder / "empty.tif").touch()
    return folder / "empty.tif"


def truncated(folder: Path) -> Path:
    """With its header: the error shows up in the middle of the run."""
    plain = write_raster(folder / "plain.tif", stored("uint16", height=200, width=200), descriptions=RGBN)
    rasterio.shutil.copy(plain, folder / "whole.tif", driver="COG", BLOCKSIZE=128)
    (folder / "cut.tif").write_bytes((folder / "whole.tif").read_bytes()[: (folder / "whole.tif").stat().st_size // 2])
    return folder / "cut.tif"


def truncated_before_its_directory(folder: Path) -> Path:
    whole = write_raster(folder / "whole.tif", stored("uint16", height=200, width=200), descriptions=RGBN, blockysize=1)
    (folder / "cut.tif").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return folder / "cut.tif"


def header_only(folder: Path) -> Path:
    whole = write_raster(folder / "whole.tif", stored("uint8", height=30, width=30), descriptions=RGBN)
    (folder / "head.tif").write_bytes(whole.read_bytes()[:6])
    return folder / "head.tif"


def complex_numbers(folder: Path) -> Path:
    return write_raster(folder / "slc.tif", np.ones((1, 9, 9), np.complex64))


def empty_folder(folder: Path) -> Path:
    (folder / "scene").mkdir()
    return folder / "scene"


INPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nowhere.tif", "no such file"),
    "text": (text_file, "not a raster"),
    "empty": (empty_file, "empty"),
    "truncated": (truncated, "cut short"),
    "truncated before its directory": (truncated_before_its_directory, "damaged"),
    "header only": (header_only, "raster"),
    "complex": (complex_numbers, "complex64"),
    "empty folder": (empty_folder, "neither"),
}


@pytest.mark.parametrize(("make", "words"), INPUTS.values(), ids=INPUTS)
def test_inputs(fails: Fails, tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    line = fails(path)
    assert line.startswith(str(path))
    assert words in line


def test_a_name_that_no_file_can_have(fails: Fails) -> None:
    assert "x" * 50 in fails("x" * 5000)


# Bands and options


USAGE: dict[str, tuple[list[object], str]] = {
    "bands without numbers": (["--bands", "red,green"], "expected role=number"),
    "bands from zero": (["--bands", "r=0"], "numbers from 1"),
    "bands with a strange digit": (["--bands", "r=²"], "numbers from 1"),
    "a role twice": (["--bands", "r=1,r=2"], "given twice"),
    "psf": (["--psf", "sharp"], "auto or a number"),
    "negative psf": (["--psf", "-1"], "between 0 and 20"),
    "psf that is no number": (["--psf", "nan"], "between 0 and 20"),
    "tile": (["--tile", "3"], "16<=x<=1024"),
    "threads": (["--threads", "0"], "x>=1"),
    "other bands": (["--other-bands", "keep"], "guided"),
    "unknown option": (["--sharpen"], "--sharpen"),
    "layer without parcels": (["--layer", "fields"], "need --parcels"),
    "where without parcels": (["--where", "a = 1"], "need --parcels"),
    "buffer without parcels": (["--buffer-m", "10"], "need --parcels"),
    "split without parcels": (["--split-by", "id"], "need --parcels"),
    "box without parcels": (["--parcels-as", "box"], "need --parcels"),
    "split into boxes": (["--parcels", "p.gpkg", "--split-by", "id", "--parcels-as", "box"], "--split-by masks"),
    "buffer that is no number": (["--parcels", "p.gpkg", "--buffer-m", "nan"], "finite"),
}


@pytest.mark.parametrize(("arguments", "words"), USAGE.values(), ids=USAGE)
def test_usage(fails: Fails, source: Path, arguments: list[object], words: str) -> None:
    assert words in fails(source, *arguments, code=2)


def test_arguments_that_are_missing(run: Run) -> None:
    ended = run("enhance", "in.tif")
    assert (ended.code, ended.error) == (2, "error: Missing argument 'OUTPUT'. (see `sr-geo enhance --help`)")
    assert run("enhanse").code == 2
    assert run().code == 2


BANDS: dict[str, tuple[str, str]] = {
    "more than there are": ("r=3,g=2,b=1,nir=7", "nir=7, but the raster has 4 bands"),
    "unknown role": ("blu=1", "did you mean 'blue'"),
    "band twice": ("r=1,g=1", "band 1 is given as red and as green"),
    "role by two names": ("r=1,red=2", "red is given twice"),
}


@pytest.mark.parametrize(("bands", "words"), BANDS.values(), ids=BANDS)
def test_bands(fails: Fails, source: Path, bands: str, words: str) -> None:
    assert words in fails(source, "--bands", bands, code=2)


def test_bands_that_nothing_tells(fails: Fails, tmp_path: Path) -> None:
    source = write_raster(tmp_path / "plain.tif", stored("uint16", height=20, width=20), photometric="MINISBLACK")
    assert "--bands r=3,g=2,b=1,nir=4" in fails(source, model=None)


def test_extra_bands_that_are_not_there(fails: Fails, source: Path) -> None:
    assert "swir1" in fails(source, "--extra-bands", "swir1")


# Outputs


def test_outputs_that_exist(fails: Fails, source: Path, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_text("precious")
    assert fails(source) == f"{tmp_path / 'out.tif'}: exists already; choose another name or add --overwrite"
    (tmp_path / "page.html").write_text("precious")
    assert "exists already" in fails(source, "--report", tmp_path / "page.html", output=tmp_path / "new.tif")


def test_the_input_as_output(fails: Fails, source: Path, tmp_path: Path) -> None:
    (tmp_path / "link.tif").symlink_to(source)
    for output in (source, tmp_path / "link.tif"):
        assert "input itself" in fails(source, "--overwrite", output=output, code=2)
    assert "output itself" in fails(source, "--detail-map", tmp_path / "out.tif", code=2)


def test_folders_that_do_not_exist(fails: Fails, source: Path, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "folder"
    for more in ([], ["--overwrite"]):
        assert fails(source, *more, output=missing / "out.tif") == f"{missing}: no such folder; create it or choose another one"
    assert "no such folder" in fails(source, "--detail-map", missing / "detail.tif")
    assert "no such folder" in fails(source, "--report", missing / "page.html")
    parcels = parcels_file(tmp_path / "p.gpkg")
    assert "no such folder" in fails(source, "--parcels", parcels, "--split-by", "name", output=missing / "fields")


def test_outputs_that_are_something_else(fails: Fails, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is a folder" in fails(source, "--overwrite", output=tmp_path)
    assert fails(source, output=source / "out.tif").startswith(f"{source}: no such folder")
    parcels = parcels_file(tmp_path / "p.gpkg")
    (tmp_path / "file").touch()
    assert "this is a file" in fails(source, "--parcels", parcels, "--split-by", "name", output=tmp_path / "file")
    monkeypatch.chdir(tmp_path)
    for output in (".", "/"):
        assert "expected the name of a file" in fails(source, output=output)


def test_names_that_are_no_geotiff(fails: Fails, source: Path, tmp_path: Path) -> None:
    for name in ("out", "out.png", "out.vrt", "out.tif.aux.xml"):
        line = fails(source, output=tmp_path / name, code=2)
        assert line.startswith(f"{tmp_path / name}: GeoTIFF is written, expected a name that ends in .tif")
        assert "GeoTIFF is written" in fails(source, "--detail-map", tmp_path / name, code=2)
    assert "an HTML page is written" in fails(source, "--report", tmp_path / "page.txt", code=2)
    assert "cannot be the name of a file" in fails(source, output=tmp_path / f"{'x' * 300}.tif")


def test_a_folder_of_parcels_is_not_called_like_a_file(fails: Fails, source: Path, tmp_path: Path) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg")
    line = fails(source, "--parcels", parcels, "--split-by", "name", output=tmp_path / "fields.tif", code=2)
    assert "with --split-by the output is a folder" in line
    assert not (tmp_path / "fields.tif").exists()


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that not even root can write into."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted and not mounted.returncode:
        yield folder
        subprocess.run(["umount", folder], check=True)
    elif os.name == "nt" or os.geteuid() == 0:
        pytest.skip("needs the right to mount, or a user who is not root")
    else:
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)


def test_folders_that_cannot_be_written(fails: Fails, source: Path, tmp_path: Path, read_only: Path) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg")
    assert "cannot be written" in fails(source, output=read_only / "out.tif")
    assert "cannot be written" in fails(source, "--detail-map", read_only / "detail.tif")
    assert "cannot be written" in fails(source, "--report", read_only / "page.html")
    assert "cannot be" in fails(source, "--parcels", parcels, "--split-by", "name", output=read_only / "fields")


# Models


def test_unknown_models(fails: Fails, source: Path) -> None:
    assert "did you mean satellite-rgbn-x4?" in fails(source, model="satelite-rgbn-4x")
    assert "no such" in fails(source, model="nowhere.onnx").lower()


def test_a_file_that_is_no_model(fails: Fails, source: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08 not a network")
    assert "not a usable ONNX model" in fails(source, model=tmp_path / "bad.onnx")


def test_a_model_that_is_cut(fails: Fails, source: Path, tmp_path: Path, tiny: Path) -> None:
    content = tiny.read_bytes()
    for share in (0.3, 0.9):
        (tmp_path / "cut.onnx").write_bytes(content[: int(share * len(content))])
        assert "cut.onnx" in fails(source, model=tmp_path / "cut.onnx")


def test_a_shipped_model_that_was_changed(fails: Fails, source: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    shutil.copy(tiny, tmp_path / "weights" / "satellite-rgbn-x4.onnx")
    (tmp_path / "weights" / "index.json").write_text(json.dumps({"satellite-rgbn-x4": "0" * 64}))
    monkeypatch.setattr(catalog, "_WEIGHTS", tmp_path / "weights")
    assert "sha256 is" in fails(source, model="satellite-rgbn-x4")
    assert "install sr-geo again" in fails(source, model="satellite-rgbn-x4")


def test_a_network_without_a_card(fails: Fails, source: Path, tmp_path: Path, tiny: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(tiny))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "bare.onnx"))
    assert "without a card" in fails(source, model=tmp_path / "bare.onnx")
    onnx.helper.set_model_props(model, {"sr_geo_card": card().model_dump_json().replace('"scale":4', '"scale":400')})
    onnx.save(model, str(tmp_path / "odd.onnx"))
    assert "card is not valid: scale" in fails(source, model=tmp_path / "odd.onnx")


# Parcels


def layer(path: Path, *shapes: shapely.Geometry, crs: str | None = "EPSG:32632") -> Path:
    gpd.GeoDataFrame({"name": [str(number) for number in range(len(shapes))]}, geometry=list(shapes), crs=crs).to_file(path)
    return path


PARCELS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "p.gpkg", "no such file"),
    "no vector file": (text_file, "not a vector file"),
    "outside": (lambda folder: layer(folder / "p.gpkg", shapely.box(0, 0, 10, 10)), "outside"),
    "points": (lambda folder: layer(folder / "p.gpkg", shapely.Point(500000, 5900000)), "polygon"),
    "empty": (lambda folder: layer(folder / "p.shp", shapely.Polygon()), "p.shp"),
}


@pytest.mark.parametrize(("make", "words"), PARCELS.values(), ids=PARCELS)
@pytest.mark.filterwarnings("ignore:.*:sr_geo.errors.ParcelWarning")
def test_parcels(fails: Fails, source: Path, tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    assert words in fails(source, "--parcels", make(tmp_path))


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_parcels_without_crs(fails: Fails, source: Path, tmp_path: Path) -> None:
    parcels = layer(tmp_path / "p.gpkg", shapely.box(499990, 5899900, 500200, 5900000), crs=None)
    assert "no coordinate reference system" in fails(source, "--parcels", parcels)


@pytest.mark.filterwarnings("ignore:.*:sr_geo.errors.ParcelWarning")
def test_columns_and_filters(fails: Fails, source: Path, tmp_path: Path) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg")
    assert "nome" in fails(source, "--parcels", parcels, "--split-by", "nome", output=tmp_path / "fields")
    assert "filter" in fails(source, "--parcels", parcels, "--where", "name ==== 3")
    assert "layer" in fails(source, "--parcels", parcels, "--layer", "fields2")
    assert "buffer" in fails(source, "--parcels", parcels, "--buffer-m", "-500")


# Failures in the middle


@pytest.mark.parametrize("kind", [errors.InputError, ZeroDivisionError])
def test_finished_tiles_are_kept_and_that_is_said(
    run: Run, source: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    tmp_path = source.parent
    original = tiles.finish
    calls: list[int] = []

    def fails_later(*arguments: Any) -> tiles.Finished:  # noqa: ANN401
        calls.append(1)
        if len(calls) == 9:
            raise kind("in.tif: broken")
        return original(*arguments)

    command = ["enhance", source, tmp_path / "out.tif", "--model", tiny, "--psf", 2, "--threads", 1, "--tile", 16]
    with monkeypatch.context() as patched:
        patched.setattr("sr_geo.raster.stream.finish", fails_later)
        ended = run(*command)
    assert ended.code == 1
    assert "in.tif: broken" in ended.error
    assert ended.error.count("finished tiles are kept: run again with --resume to go on") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.tif.part"}
    assert run(*command, "--resume").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.tif"}


def test_what_a_killed_run_left_for_its_report_is_cleared(run: Run, source: Path, tmp_path: Path, tiny: Path) -> None:
    (tmp_path / ".page.detail-x1").mkdir()
    (tmp_path / ".page.detail-x1" / "detail.tif").write_text("a large one")
    assert run("enhance", source, tmp_path / "out.tif", "--model", tiny, "--psf", 2, "--report", tmp_path / "page.html").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "out.tif", "page.html"}


# Debugging


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    ended = run("--debug", "enhance", tmp_path / "nowhere.tif", tmp_path / "out.tif")
    assert ended.code == 1
    assert ended.err.startswith("Traceback")
    assert ended.err.splitlines()[-1].startswith("error: ")


def test_what_nobody_thought_of_is_one_line_too(
    run: Run, source: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*arguments: object, **more: object) -> None:
        raise IndexError(f"{len(arguments) + len(more)}\nlines")

    monkeypatch.setattr("sr_geo.raster.enhance.plan_bands", breaks)
    ended = run("enhance", source, tmp_path / "out.tif", "--model", tiny, "--psf", 2)
    assert ended.code == 1
    assert "IndexError" in ended.error
    assert "--debug" in ended.error


def test_every_error_can_be_caught_as_one() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 5
    assert all(issubclass(kind, errors.SrGeoError | UserWarning) for kind in kinds)
