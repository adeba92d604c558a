"""From a folder of rasters to a recipe that runs, and a model that is found by its name."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from affine import Affine
from click.testing import CliRunner, Result

from sr_geo.cli import cli
from sr_geo.errors import OutputError, TrainingDataError
from sr_geo.grid import Window
from sr_geo.models import catalog
from sr_geo.models.session import open_model
from sr_geo.train.command import shortfall, train_and_export
from sr_geo.train.recipe import Recipe, load_recipe
from sr_geo.train.region import explain, make_plan, survey_folder, write_recipe
from sr_geo.train.region.plan import choose_patch, choose_start
from sr_geo.train.region.strips import gap_of, is_seen, overlap, rest_of, strip_of, trained
from sr_geo.train.region.survey import Found
from sr_geo.train.region.writing import recipe_text, slug
from sr_geo.train.samples.pool import open_pool
from tests.raster.products import CORNER, make_landsat, make_safe, write_raster, zip_folder

RGB = ("blue", "green", "red")
RGBN = (*RGB, "nir")


def ground(bands: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Blocks of 16 × 16 pixels, uint16, no zero."""
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(500, 3000, (bands, -(-height // 16), -(-width // 16))).repeat(16, axis=1).repeat(16, axis=2)
    values = blocks[:, :height, :width] + rng.normal(0, 20, (bands, height, width))
    return values.astype(np.uint16)


def found_in(folder: Path) -> dict[str, Found]:
    return {raster.name: raster for raster in survey_folder(folder)[0]}


def test_the_numbers_of_rows_add_up() -> None:
    for height in (120, 384, 1000, 10980):
        assert rest_of(height) + strip_of(height) + gap_of(height) == height
        assert strip_of(height) % 4 == gap_of(height) % 4 == 0
        assert 32 <= strip_of(height) <= 512


def test_everything_that_can_be_learnt_from_is_found(tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", ground(4, 200, 220), descriptions=RGBN, nodata=0)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    write_raster(tmp_path / "deep" / "er" / "b [1].tif", ground(5, 100, 90)[:5].astype(np.float32), descriptions=("x", *RGBN))
    safe, landsat = make_safe(tmp_path), make_landsat(tmp_path / "deep")
    for number, role in ((2, "blue"), (3, "green"), (4, "red")):
        write_raster(tmp_path / f"LC08_L1TP_1_B{number}.TIF", ground(1, 90, 100, number), descriptions=[role])
    found = found_in(tmp_path)
    metadata = next(landsat.glob("*_MTL.txt")).relative_to(tmp_path).as_posix()
    assert set(found) == {"a.tif", "deep/er/b [1].tif", safe.name, metadata, "LC08_L1TP_1_B*.TIF"}
    assert found["a.tif"].bands == RGBN
    assert (found["a.tif"].grid.height, found["a.tif"].grid.metres, found["a.tif"].dtype) == (200, 10.0, "uint16")
    assert found["deep/er/b [1].tif"].bands == ("-", *RGBN)
    for name in (safe.name, metadata):
        assert found[name].bands == RGBN
        assert len(found[name].files) == 4
    assert found["LC08_L1TP_1_B*.TIF"].bands == RGB
    assert all((tmp_path / file).is_file() for raster in found.values() for file in raster.files)


def test_training_starts_from_a_model_that_is_true_to_the_values_whatever_else_fits(tmp_path: Path) -> None:
    write_raster(tmp_path / "a.tif", ground(3, 200, 220), descriptions=RGB, nodata=0)
    fitting = [open_model(entry.path).card for entry in catalog.entries().values() if entry.name.startswith("satellite-rgb-")]
    assert {card.leaning for card in fitting} == {"fidelity", "perception"}
    start = choose_start(survey_folder(tmp_path)[0])
    assert start is not None
    assert (start.name, start.leaning) == ("satellite-rgb-x4", "fidelity")


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    write_raster(tmp_path / "nameless.tif", ground(4, 90, 90))
    write_raster(tmp_path / "empty.tif", np.zeros((3, 90, 90), np.uint16), descriptions=RGB)
    write_raster(tmp_path / "flat.tif", np.full((3, 90, 90), 7, np.uint16), descriptions=RGB)
    alpha = np.tile(np.uint16([0, 255]), (1, 90, 45))
    pixels = np.concatenate([ground(3, 90, 90), alpha])
    write_raster(tmp_path / "masked.tif", pixels, descriptions=(*RGB, ""), photometric="RGB", alpha="YES")
    (tmp_path / "broken.tif").write_text("no raster")
    zip_folder(make_safe(tmp_path / "s"), tmp_path / "packed.zip")
    shutil.rmtree(tmp_path / "s")
    found, refused = survey_folder(tmp_path)
    said = {one.name: one.reason for one in refused}
    assert not found
    assert set(said) == {"nameless.tif", "empty.tif", "flat.tif", "masked.tif", "broken.tif", "packed.zip"}
    assert "--bands r=3,g=2,b=1,nir=4" in said["nameless.tif"]
    assert said["empty.tif"] == "it holds no data"
    assert said["flat.tif"] == "all its pixels are the same"
    assert "write them as nodata first" in said["masked.tif"]
    assert "unpack it" in said["packed.zip"]
    assert survey_folder(tmp_path, roles={"blue": 3, "green": 2, "red": 1, "nir": 4})[0][0].bands == ("red", "green", "blue", "nir")
    usable, refused = survey_folder(tmp_path, roles={"nir": 7})  # others may have so many bands
    assert not usable
    assert "give numbers from 1 to" in {one.name: one.reason for one in refused}["nameless.tif"]


def test_share_of_data(tmp_path: Path) -> None:
    pixels = ground(4, 160, 160)
    pixels[:, :40] = 0
    write_raster(tmp_path / "a.tif", pixels, descriptions=RGBN, nodata=0)
    (raster,) = survey_folder(tmp_path)[0]
    assert raster.valid == 0.75
    assert raster.area == pytest.approx(0.75 * 0.0256)


def test_what_is_held_out_is_never_trained_on(tmp_path: Path) -> None:
    pixels = ground(4, 300, 260)
    pixels[:, 240:, :200] = 0  # nothing to look at below
    write_raster(tmp_path / "a.tif", pixels, descriptions=RGBN, nodata=0)
    plan = make_plan(tmp_path, *survey_folder(tmp_path))
    (use,) = plan.uses
    assert use.held_out == Window(0, 0, strip_of(300), 260)
    assert use.rows == (strip_of(300) + gap_of(300), 300)
    write_recipe(plan, tmp_path, tmp_path / "r.yaml")
    recipe = load_recipe(tmp_path / "r.yaml")
    (trained_on, _), (checked,) = (
        open_pool(sources, tmp_path, recipe.model.bands, size=size, scale=4).imagery
        for sources, size in ((recipe.sources, 4 * recipe.loop.patch), (recipe.validation, 32))
    )
    assert trained_on.extent.intersection(checked.extent).empty  # type: ignore[attr-defined]
    assert list(checked.held_out(512, 4))


def test_dates_of_one_place_hold_out_the_same_strip(tmp_path: Path) -> None:
    for number in range(3):
        write_raster(tmp_path / f"{number}.tif", ground(4, 200, 200, number), descriptions=RGBN)
    shutil.copy(tmp_path / "0.tif", tmp_path / "copy.tif")
    plan = make_plan(tmp_path, *survey_folder(tmp_path))
    assert {(use.rows, use.held_out) for use in plan.uses} == {((0, rest_of(200)), Window(200 - strip_of(200), 0, strip_of(200), 200))}
    assert [(one.name, one.reason) for one in plan.left_out] == [("copy.tif", "the same pixels as 0.tif")]
    assert plan.same_ground == 3
    assert any("3 of them share ground" in line for line in explain(plan))
    assert not plan.flattering


def test_a_strip_that_another_raster_trains_on_is_given_up(tmp_path: Path) -> None:
    write_raster(tmp_path / "large.tif", ground(4, 300, 300), descriptions=RGBN)
    lower = CORNER @ Affine.translation(0, -2500) @ Affine.scale(10, -10)
    write_raster(tmp_path / "small.tif", ground(4, 200, 200, 1), descriptions=RGBN, transform=lower)
    plan = make_plan(tmp_path, *survey_folder(tmp_path))
    uses = {use.found.name: use for use in plan.uses}
    assert uses["large.tif"].held_out is None
    assert uses["large.tif"].rows == (0, 300)
    assert uses["small.tif"].held_out is not None
    assert not any(is_seen(use, plan.uses) for use in plan.uses)
    both = [use.found.grid for use in plan.uses]
    assert overlap(both[0], trained(uses["large.tif"]), both[1], trained(uses["small.tif"]))


def test_the_patch_follows_what_there_is(tmp_path: Path) -> None:
    def raster(name: str, side: int) -> Found:
        write_raster(tmp_path / name, ground(4, side, side), descriptions=RGBN)
        return found_in(tmp_path)[name]

    farm, scene, scrap = raster("farm.tif", 120), raster("scene.tif", 400), raster("scrap.tif", 80)
    assert choose_patch([farm]) == 20
    assert choose_patch([scene]) == 48
    assert choose_patch([farm, scene]) == 48
    assert choose_patch([scrap]) is None
    plan = make_plan(tmp_path, [farm, scene, scrap])
    assert [one.name for one in plan.left_out] == ["farm.tif", "scrap.tif"]


@pytest.mark.parametrize(
    ("bands", "start"), [(RGB, "satellite-rgb-x4"), (RGBN, "satellite-rgbn-x4"), ((*RGBN, "swir1"), "satellite-rgbn-x4")]
)
def test_the_shipped_model_that_fits_is_the_start(tmp_path: Path, bands: tuple[str, ...], start: str) -> None:
    write_raster(tmp_path / "a.tif", ground(len(bands), 160, 160), descriptions=bands)
    assert make_plan(tmp_path, *survey_folder(tmp_path)).start.name == start


@pytest.mark.parametrize(
    ("bands", "side", "message"),
    [(("red", "nir"), 160, "no raster has blue, green and red"), (RGB, 80, "larger ones are needed"), (None, 0, "no rasters in it")],
)
def test_a_folder_that_does_not_do(tmp_path: Path, bands: tuple[str, ...] | None, side: int, message: str) -> None:
    if bands:
        write_raster(tmp_path / "a.tif", ground(len(bands), side, side), descriptions=bands)
    with pytest.raises(TrainingDataError, match=message):
        make_plan(tmp_path, *survey_folder(tmp_path))
    with pytest.raises(TrainingDataError, match="no such folder"):
        survey_folder(tmp_path / "none")


def test_names_of_any_kind_make_a_valid_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "Поля: 2026 #1 [a]"
    folder.mkdir()
    write_raster(folder / 'my "best" [1]*: #.tif', ground(4, 160, 160), descriptions=RGBN)
    make_safe(folder)
    plan = make_plan(folder, *survey_folder(folder))
    write_recipe(plan, folder, tmp_path / "r.yaml")
    recipe = load_recipe(tmp_path / "r.yaml")
    assert recipe.name == "2026-1-a-x4"
    pool = open_pool(recipe.sources, folder, recipe.model.bands, size=4 * recipe.loop.patch, scale=4)
    assert {path.name for path in pool.files} >= {'my "best" [1]*: #.tif'}
    assert slug(tmp_path / "поле") == "my-region"
    with pytest.raises(OutputError, match="exists already"):
        write_recipe(plan, folder, tmp_path / "r.yaml")
    text = recipe_text(plan, folder, tmp_path / "r.yaml")
    assert {source["licence"] for source in yaml.safe_load(text)["sources"] if source["kind"] == "rasters"} == {"not stated"}


@pytest.fixture
def shelf(recipe: Recipe, imagery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped model of a few weights, and a folder for own models, which is returned."""
    named = recipe.model_copy(update={"name": "satellite-rgb-x4", "loop": recipe.loop.model_copy(update={"iterations": 1})})
    (tmp_path / "tiny.yaml").write_text(named.model_dump_json(), encoding="utf-8")
    path = train_and_export(tmp_path / "tiny.yaml", tmp_path / "shipped", data=imagery)
    index = {"satellite-rgb-x4": hashlib.sha256(path.read_bytes()).hexdigest()}
    (tmp_path / "shipped" / "index.json").write_text(json.dumps(index), encoding="utf-8")
    monkeypatch.setattr(catalog, "_WEIGHTS", tmp_path / "shipped")
    monkeypatch.setenv("SR_GEO_MODELS", str(tmp_path / "mine"))
    return tmp_path / "mine"


def called(*words: object) -> Result:
    """`sr-geo …`, which must work."""
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result


def test_from_a_folder_to_a_model_with_a_name(shelf: Path, imagery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = called("train", "new-region", imagery, "-o", "own.yaml", "--bands", "b=1,g=2,r=3").output
    assert "blue green red" in said
    assert f"sr-geo train own.yaml --data {imagery} --max-minutes 8" in said
    smaller = ("--set", "loop.iterations=2", "--set", "loop.batch=1", "--set", "loop.workers=0")
    ended = called("train", "own.yaml", "--data", imagery, "--run", "run", *smaller)
    name = load_recipe(Path("own.yaml")).name
    assert f"sr-geo enhance {imagery / 'fields.tif'} fields_x4.tif --model run/{name}.onnx" in ended.output
    assert str(shelf) in ended.output
    rows = Path("run/metrics.csv").read_text().splitlines()
    assert rows[1].startswith("0,") and ",," in rows[1], "what training started from comes first"  # noqa: PT018
    assert rows[-1].startswith("2,")
    assert "model satellite-rgb-x4" in Path("run/data.json").read_text()
    card = open_model(shelf / f"{name}.onnx", device="cpu", threads=1).card
    assert card.training[0].licence == "not stated"
    assert "yours" in called("models", "list").output
    called("train", "own.yaml", "--data", imagery, "--run", "again", *smaller, "--no-install", "--progress", "none")
    from_own = ("--set", f"init={name}", "--set", "name=second-x4")
    third = called("train", "own.yaml", "--data", imagery, "--run", "third", *smaller, *from_own, "--progress", "json")
    assert json.loads(third.output.splitlines()[-1]) == {
        "stage": "done",
        "model": "third/second-x4.onnx",
        "installed": str(shelf / "second-x4.onnx"),
    }


@pytest.mark.parametrize(
    ("changes", "last", "said"),
    [
        ({"init": "satellite-rgb-x4"}, 2.4, True),
        ({"init": "satellite-rgb-x4"}, 2.5, False),
        ({"init": "satellite-rgb-x4", "leaning": "perception"}, 2.4, False),
        ({}, 2.4, False),
    ],
)
def test_a_model_below_the_one_it_started_from_is_told(
    recipe: Recipe, tmp_path: Path, changes: dict[str, str], last: float, *, said: bool
) -> None:
    (tmp_path / "recipe.json").write_text(recipe.model_copy(update=changes).model_dump_json(), encoding="utf-8")
    head = "step,seconds,loss,gain_db_sigma_1.2,gain_db_sigma_2.0"
    rows = [head, "0,0.0,,2.0,3.0", "5,1.0,0.1,9.0,9.0", f"9,2.0,0.1,{last - 0.5},{last + 0.5}"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    words = shortfall(tmp_path)
    assert bool(words) is said
    assert not said or ("+2.40 dB" in words and "+2.50 dB" in words and "satellite-rgb-x4" in words)
