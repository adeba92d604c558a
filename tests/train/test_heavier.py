"""What the catalogue says of models that are not shipped is what their commands make."""

import hashlib
from pathlib import Path

import pytest

from sr_geo.models.catalog import entries
from sr_geo.models.heavier import PACKAGED, RECIPES, heavier
from sr_geo.train.recipe import load_recipe
from sr_geo.train.start import build


def test_names_are_free_and_commands_are_theirs() -> None:
    names = [one.name for one in heavier()]
    assert len(set(names)) == len(names) == len(PACKAGED) + len(RECIPES)
    assert not entries().keys() & set(names)
    assert all(one.name in one.command for one in heavier())


def test_a_command_makes_first_what_its_recipe_starts_from(repository: Path) -> None:
    for one in heavier():
        recipes = [word for word in one.command.split() if word.endswith(".yaml")]
        made = [f"runs/{Path(path).stem}" for path in recipes]
        for number, path in enumerate(recipes):
            init = load_recipe(repository / path).init
            assert init is None or init in made[:number], f"{one.name}: {path} starts from {init}"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_the_one_that_the_catalogue_means(name: str, repository: Path) -> None:
    recipe, known = load_recipe(repository / "training" / "recipes" / f"{name}.yaml"), RECIPES[name]
    assert recipe.name == name
    assert recipe.model.bands == known.bands
    assert sum(value.numel() for value in build(recipe.model, sees_blur=recipe.blur is not None).parameters()) == known.parameters
    written = recipe.model_dump_json(indent=2) + "\n"  # as the run folder has it
    assert hashlib.sha256(written.encode()).hexdigest() == known.sha256, "the recipe has changed: state its sha256 in models/heavier.py"
