"""Recipes are strict, stand on each other without surprises, and those that are shipped never touch a test split."""

import csv
import json
from pathlib import Path

import pytest

from sr_geo.errors import RecipeError, TrainingError
from sr_geo.models.catalog import entries
from sr_geo.models.session import open_model
from sr_geo.train.export import sha256_of
from sr_geo.train.recipe import Recipe, dump_recipe, load_recipe, model_of_card, recipe_of_run
from sr_geo.train.samples.sections import FieldSource, ImageSource, PlateSource, RasterSource, Source
from sr_geo.train.samples.splits import find_files, list_files

RESULTS = Path(__file__).parents[2] / "training" / "results" / "runs"
RECIPES = sorted((Path(__file__).parents[2] / "training" / "recipes").glob("*.yaml"))

STAGE_THREE = [path for path in RECIPES if "-esrgan-" in path.stem.removesuffix("-x4") and "full" not in path.stem]

# What may be trained or validated on, from the data's own README: rows below 572 of NAIP, rows below 2560 of the North Dakota mosaic,
# all of scene 224077, columns below 1400 of scene 224078. Everything else is test material.
ALLOWED = {"/naip/": (572, None), "agnet_": (2560, None), "LC08_L1TP_224077": (None, None), "LC08_L1TP_224078": (None, 1400)}
# Tables that split by patient and by person, and the column that tells who it is.
TABLES = {"medical/labels.csv": "patient_id", "faces/labels.csv": "identity"}
# The photos that are collected from packages, all of them for training and validation.
PHOTOS = Path(__file__).parents[2] / "training" / "photos.csv"
# Folders whose every file is test material.
CLOSED = ("benchmark", "plates", "satellite/sentinel2", "satellite/pairs", "medical/dicom")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_named_like_their_file(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    assert recipe.init is None or path.with_name(f"{Path(recipe.init).name}.yaml") in RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_shipped_recipe_reads_a_test_split(path: Path) -> None:
    recipe = load_recipe(path)
    for source in recipe.sources:
        assert_open(source, split="train")
    for source in recipe.validation:
        assert_open(source, split="val")


def assert_open(source: Source, *, split: str) -> None:
    """That a source holds nothing but material for `split`, ``train`` or ``val``."""
    if isinstance(source, FieldSource):
        return  # rendered, from seeds that validation does not use
    if isinstance(source, PlateSource):
        assert source.held_out == (split == "val")
    elif isinstance(source, ImageSource):
        assert source.split == split
        assert source.labels in (*TABLES, "photos/labels.csv")
        assert all(pattern.startswith(f"{Path(source.labels).parent}/") and "test" not in pattern for pattern in source.files)
    else:
        assert isinstance(source, RasterSource), "say here what of this kind is test material"
        for pattern in source.files:
            rows, columns = next(limit for part, limit in ALLOWED.items() if part in pattern)
            assert rows is None or (source.rows is not None and source.rows[1] <= rows)
            assert columns is None or (source.columns is not None and source.columns[1] <= columns)


def test_this_check_refuses_test_material_of_every_kind() -> None:
    common = {"name": "x", "licence": "x"}
    raster = {**common, "files": ("satellite/hr/naip/*.tif",), "bands": ("red",)}
    image = {**common, "files": ("faces/train/*",), "labels": "faces/labels.csv", "split": "train"}
    assert_open(RasterSource(**raster, rows=(0, 520)), split="train")
    assert_open(ImageSource(**image), split="train")
    for source in (
        RasterSource(**raster),
        RasterSource(**raster, rows=(0, 600)),
        ImageSource(**{**image, "split": "test"}),
        ImageSource(**{**image, "split": None, "labels": None}),
        ImageSource(**{**image, "files": ("plates/us_crops/*",)}),
        PlateSource(name="x", held_out=True),
    ):
        with pytest.raises(AssertionError):
            assert_open(source, split="train")
    with pytest.raises(StopIteration):
        assert_open(RasterSource(**{**raster, "files": ("satellite/sentinel2/*.tif",)}), split="train")


def test_no_file_of_a_recipe_has_the_content_of_a_test_file(data_root: Path) -> None:
    closed = [path for folder in CLOSED for path in (data_root / folder).rglob("*") if path.is_file()]
    for table in TABLES:
        with (data_root / table).open(newline="", encoding="utf-8") as stream:
            closed += [data_root / Path(table).parent / row["file"] for row in csv.DictReader(stream) if row["split"] == "test"]
    files: set[Path] = set()
    for recipe in map(load_recipe, RECIPES):
        for source in (*recipe.sources, *recipe.validation):
            if isinstance(source, ImageSource) and source.labels in TABLES:
                files |= set(list_files(source, data_root))
            elif isinstance(source, RasterSource):
                files |= set(find_files(source.files, data_root, source=source.name))
    assert len(files) > 700
    with PHOTOS.open(newline="", encoding="utf-8") as stream:
        photos = {row["sha256"] for row in csv.DictReader(stream)}
    assert not {sha256_of(path) for path in closed} & (photos | {sha256_of(path) for path in files})


def test_photos_may_be_used_and_say_whose_they_are() -> None:
    with PHOTOS.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["split"] for row in rows} == {"train", "val"}
    assert {row["licence"] for row in rows} <= {"CC0 1.0", "CC BY 2.0", "CC BY 4.0", "public domain"}
    assert all(row["author"] and row["package"].partition(":")[0] in {"debian", "npm", "pypi"} for row in rows)
    for column in ("file", "sha256"):
        assert len({row[column] for row in rows}) == len(rows)


@pytest.mark.parametrize(("table", "column"), TABLES.items())
def test_no_patient_and_no_person_is_in_two_splits(table: str, column: str, data_root: Path) -> None:
    people: dict[str, set[tuple[str, str]]] = {}
    with (data_root / table).open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            people.setdefault(row["split"], set()).add((row["dataset"], row[column]))
    assert set(people) == {"train", "val", "test"}
    assert not people["train"] & people["val"]
    assert not people["test"] & (people["train"] | people["val"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_training_and_validation_do_not_overlap(path: Path) -> None:
    recipe = load_recipe(path)

    def span(source: RasterSource) -> tuple[int, int]:
        return source.rows or (0, 10**9)

    for held_out in (source for source in recipe.validation if isinstance(source, RasterSource)):
        for source in (source for source in recipe.sources if isinstance(source, RasterSource)):
            if any(Path(a).parent == Path(b).parent for a in held_out.files for b in source.files):
                assert span(source)[1] <= span(held_out)[0] or span(held_out)[1] <= span(source)[0]


def test_unknown_keys_are_errors(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe.model_dump_json().replace('"iterations"', '"iteration"'))
    with pytest.raises(RecipeError, match="loop"):
        load_recipe(path)


def test_overrides_reach_nested_keys(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe.model_dump_json())
    assert load_recipe(path, ("loop.iterations=200", "degradation.noise=0")).loop.iterations == 200
    for bad in ("loop.iterations", "loop.nonsense=3", "name.x=1"):
        with pytest.raises(RecipeError):
            load_recipe(path, (bad,))


def test_a_recipe_stands_on_others_and_later_ones_win(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "all.yaml").write_text(recipe.model_dump_json())
    (tmp_path / "base" / "slow.yaml").write_text("{title: Slow, loop: {iterations: 50, batch: 3}}")
    path = tmp_path / "r.yaml"
    path.write_text("{extends: [base/all.yaml, base/slow.yaml], loop: {batch: 4}, model: {bands: [red]}}")
    stood = load_recipe(path, ("loop.patch=20",))
    assert (stood.name, stood.title, stood.model.bands) == (recipe.name, "Slow", ("red",))
    assert stood.loop == recipe.loop.model_copy(update={"iterations": 50, "batch": 4, "patch": 20})
    assert "extends" not in dump_recipe(stood)
    whole = tmp_path / "whole.yaml"
    whole.write_text(dump_recipe(stood))
    assert load_recipe(whole) == stood


def test_an_odd_extends_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml")
    (tmp_path / "b.yaml").write_text("extends: [a.yaml]")
    with pytest.raises(RecipeError, match=r"extends itself \(a.yaml → b.yaml → a.yaml\)"):
        load_recipe(tmp_path / "a.yaml")
    (tmp_path / "c.yaml").write_text("extends: nowhere.yaml")
    with pytest.raises(RecipeError, match=r"nowhere.yaml: cannot be read"):
        load_recipe(tmp_path / "c.yaml")
    for wrong in ("3", "[3]", "{a: b}"):
        (tmp_path / "d.yaml").write_text(f"extends: {wrong}")
        with pytest.raises(RecipeError, match="extends is"):
            load_recipe(tmp_path / "d.yaml")


def test_both_ways_to_a_shared_base_are_no_cycle(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(recipe.model_dump_json())
    for name in ("left", "right"):
        (tmp_path / f"{name}.yaml").write_text("extends: all.yaml")
    (tmp_path / "both.yaml").write_text("extends: [left.yaml, right.yaml]")
    assert load_recipe(tmp_path / "both.yaml") == recipe


@pytest.mark.parametrize("path", STAGE_THREE, ids=lambda path: path.stem)
def test_stage_three_differs_from_its_control_in_the_perceptual_networks_alone(path: Path) -> None:
    recipe, control = load_recipe(path), load_recipe(path.with_name(f"{path.stem.partition('-')[0]}-esrgan-control-x4.yaml"))
    same = {"name", "title", "losses"}
    assert recipe.model_dump(exclude=same) == control.model_dump(exclude=same)
    assert recipe.losses.model_dump(exclude={"perceptual"}) == control.losses.model_dump(exclude={"perceptual"})
    assert sum(one.weight for one in recipe.losses.perceptual) == sum(one.weight for one in control.losses.perceptual)


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(RecipeError, match="YAML"):
        load_recipe(tmp_path / "broken.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(RecipeError, match="no keys and values"):
        load_recipe(tmp_path / "empty.yaml")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("loop.border=8", "loop: .*patch 16 with a border of 8 on each side leaves nothing"),
        ("loop.seed=-1", "loop.seed: .*greater than or equal to 0"),
        ("losses.pixel=0", "losses: .*no term from the first step on"),
        ("losses={pixel: 0, adversarial: {start: 5}}", "losses: .*no term from the first step on"),
        ("model.bands=[red, red]", "each role may stand once"),
        ("degradation={kind: xray, clean: 0.5}", "degradation.clean: such samples have no blur to tell"),
    ],
)
def test_what_would_fail_hours_later_is_refused_now(change: str, told: str, recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe.model_dump_json())
    with pytest.raises(RecipeError, match=told):
        load_recipe(path, (change,))


def test_an_adversarial_loss_alone_is_enough_from_the_first_step(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe.model_dump_json())
    assert load_recipe(path, ("losses={pixel: 0, adversarial: {}}",)).losses.adversarial is not None


@pytest.mark.parametrize("run", sorted(RESULTS.iterdir()), ids=lambda run: run.name)
def test_recipes_of_the_shipped_runs_are_still_read(run: Path) -> None:
    assert recipe_of_run(run).name == run.name


@pytest.mark.parametrize("name", entries())
def test_networks_of_the_shipped_cards_are_still_known(name: str) -> None:
    card = open_model(entries()[name].path, device="cpu", threads=1).card
    assert model_of_card(card.recipe).bands == card.bands


def test_a_stored_recipe_without_biases_goes_on_and_one_with_them_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    raw = recipe.model_dump(mode="json")
    for biases in (False, True):
        raw["model"]["biases"] = biases
        (tmp_path / "recipe.json").write_text(json.dumps(raw))
        if biases:
            with pytest.raises(TrainingError, match=r"recipe.json: not a recipe of this release: model.biases: no such key"):
                recipe_of_run(tmp_path)
            with pytest.raises(TrainingError, match="none of this release: biases: no such key"):
                model_of_card(json.dumps(raw))
        else:
            assert recipe_of_run(tmp_path) == recipe
            assert model_of_card(json.dumps(raw)) == recipe.model
    (tmp_path / "r.yaml").write_text(json.dumps(raw))
    with pytest.raises(RecipeError, match="no such key"):  # nobody is to write it any more
        load_recipe(tmp_path / "r.yaml")
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(TrainingError, match="cannot be read"):
        recipe_of_run(tmp_path)
