"""What `sr-geo train` does: a run from a recipe, and the ONNX file with its card."""

import csv
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from sr_geo.models.card import Quality
from sr_geo.train.checkpoint import export_checkpoint
from sr_geo.train.loop import Progress, train
from sr_geo.train.recipe import load_recipe, recipe_of_run
from sr_geo.train.samples.sections import RasterSource
from sr_geo.train.samples.splits import find_files
from sr_geo.train.together import is_first


def train_and_export(
    recipe_path: Path,
    run: Path | None,
    *,
    data: Path,
    overrides: Sequence[str] = (),
    max_minutes: float | None = None,
    resume: bool = False,
    device: str = "auto",
    devices: int = 1,
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
        device: `auto`, `cpu` or `cuda`.
        devices: how many GPUs, or processes on a CPU, share the work.
        report: called after every step.

    Returns:
        The ONNX file in the folder of the run; the first of several processes writes it.

    Raises:
        RecipeError, TrainingDataError, TrainingError, OptionError: each with what to do.
    """
    recipe = load_recipe(recipe_path, tuple(overrides))
    folder = run or Path("runs") / recipe.name
    train(recipe, data_root=data, run=folder, resume=resume, max_minutes=max_minutes, device=device, devices=devices, report=report)
    path = folder / f"{recipe.name}.onnx"
    if is_first():
        export_run(folder, path)
    return path


def export_run(run: Path, path: Path, *, quality: Sequence[Quality] = ()) -> float:
    """Write the weights of a run as ONNX with a card; the largest difference from PyTorch.

    Raises:
        TrainingError: the folder holds no run, or ONNX Runtime disagrees with PyTorch.
    """
    return export_checkpoint(run, path, quality=quality).difference


def shortfall(run: Path) -> str:
    """One line where a run that started from another model ended below it on its validation; "" where it did not.

    A model that leans to perception gives decibels away by design, so nothing is said of one.

    Args:
        run: folder of the run.
    """
    recipe = recipe_of_run(run)
    if recipe.init is None or recipe.leaning == "perception":
        return ""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    gains = [statistics.fmean(float(value) for name, value in row.items() if name.startswith("gain_db")) for row in rows]
    if len(rows) < 2 or int(rows[0]["step"]) != 0 or gains[-1] >= gains[0]:
        return ""
    return (
        f"{recipe.name}: {gains[-1]:+.2f} dB over bicubic on what was held out, the model that it started from {gains[0]:+.2f} dB; "
        f"use that one ({recipe.init}), train for fewer steps, or give more imagery"
    )


def example_input(run: Path, data: Path) -> str:
    """A raster of the run's imagery that its model can be tried on; of a product its folder, and else a stand-in.

    Args:
        run: folder of the run.
        data: root of the imagery.
    """
    recipe = recipe_of_run(run)
    for source in recipe.sources:
        if isinstance(source, RasterSource) and set(recipe.model.bands) <= set(source.bands):
            file = find_files(source.files, data, source=source.name)[0]
            if not source.stack:
                return str(file)
            product = next((parent for parent in file.parents if parent.suffix.upper() == ".SAFE"), file.parent)
            return str(product)
    return "scene.tif"
