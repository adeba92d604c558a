"""What `sr-geo train` and `sr-geo export` do: a run from a recipe, and the ONNX file with its card."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import load_file

from sr_geo.errors import TrainingError
from sr_geo.models.card import Card, Quality, TrainingData
from sr_geo.train.export import export_onnx
from sr_geo.train.loop import Progress, build, train
from sr_geo.train.nets import Compact
from sr_geo.train.recipe import Recipe, load_recipe


def train_and_export(
    recipe_path: Path,
    run: Path | None,
    *,
    data: Path,
    overrides: Sequence[str] = (),
    max_minutes: float | None = None,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Run a recipe and export what it made.

    Args:
        recipe_path: YAML file.
        run: folder of the run; ``runs/NAME`` where None.
        data: root of the imagery that the recipe names.
        overrides: ``key=value`` changes of the recipe.
        max_minutes: stop in time.
        resume: go on with the run in the folder.
        report: called after every step.

    Returns:
        The ONNX file in the folder of the run.

    Raises:
        RecipeError, TrainingDataError, TrainingError: each with what to do.
    """
    recipe = load_recipe(recipe_path, tuple(overrides))
    folder = run or Path("runs") / recipe.name
    train(recipe, data_root=data, run=folder, resume=resume, max_minutes=max_minutes, report=report)
    path = folder / f"{recipe.name}.onnx"
    export_run(folder, path)
    return path


def export_run(run: Path, path: Path, *, quality: Sequence[Quality] = ()) -> float:
    """Write the weights of a run as ONNX with a card; the largest difference from PyTorch.

    Raises:
        TrainingError: the folder holds no run, or ONNX Runtime disagrees with PyTorch.
    """
    weights, description = run / "weights.safetensors", run / "recipe.json"
    if not weights.exists() or not description.exists():
        raise TrainingError(f"{run}: no weights.safetensors and recipe.json in it; give the folder of a run of `sr-geo train`")
    recipe = Recipe.model_validate_json(description.read_text(encoding="utf-8"))
    commit = json.loads((run / "data.json").read_text(encoding="utf-8"))["commit"]
    net = build(recipe.model)
    net.load_state_dict(load_file(weights))
    return export_onnx(net, card_of(recipe, net, commit=commit, quality=quality), path)


def card_of(recipe: Recipe, net: Compact, *, commit: str, quality: Sequence[Quality] = ()) -> Card:
    """The card of the model that a recipe makes."""
    total = sum(source.weight for source in recipe.sources)
    return Card(
        name=recipe.name,
        title=recipe.title,
        family=recipe.model.family,
        domain=recipe.domain,
        scale=recipe.model.scale,
        bands=recipe.model.bands,
        halo=net.halo,
        exact_halo=True,
        sigma=recipe.degradation.sigma,
        commutes_with_gain_and_offset=True,
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        training=tuple(
            TrainingData(name=source.name, licence=source.licence, share=round(source.weight / total, 4)) for source in recipe.sources
        ),
        recipe=recipe.model_dump_json(),
        commit=commit,
        quality=tuple(quality),
        limits=recipe.limits,
        licence=recipe.licence,
    )
