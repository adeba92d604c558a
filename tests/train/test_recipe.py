"""Recipes are strict, and those that are shipped never touch a test split."""

from pathlib import Path

import pytest

from sr_geo.errors import RecipeError
from sr_geo.train.recipe import Recipe, Source, load_recipe

RECIPES = sorted((Path(__file__).parents[2] / "training" / "recipes").glob("*.yaml"))

# What may be trained or validated on, from the data's own README: rows below 572 of NAIP, rows below 2560 of the North Dakota mosaic,
# all of scene 224077, columns below 1400 of scene 224078. Everything else is test material.
ALLOWED = {"/naip/": (572, None), "agnet_": (2560, None), "LC08_L1TP_224077": (None, None), "LC08_L1TP_224078": (None, 1400)}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_named_like_their_file(path: Path) -> None:
    assert load_recipe(path).name == path.stem


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_no_shipped_recipe_reads_a_test_split(path: Path) -> None:
    recipe = load_recipe(path)
    for source in (*recipe.sources, *recipe.validation):
        for pattern in source.files:
            rows, columns = next(limit for part, limit in ALLOWED.items() if part in pattern)
            assert rows is None or (source.rows is not None and source.rows[1] <= rows)
            assert columns is None or (source.columns is not None and source.columns[1] <= columns)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_training_and_validation_do_not_overlap(path: Path) -> None:
    recipe = load_recipe(path)

    def span(source: Source) -> tuple[int, int]:
        return source.rows or (0, 10**9)

    for held_out in recipe.validation:
        for source in recipe.sources:
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


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(RecipeError, match="YAML"):
        load_recipe(tmp_path / "broken.yaml")
