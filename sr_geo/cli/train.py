"""`sr-geo train …`."""

import importlib.util
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from sr_geo.cli.options import BandsType
from sr_geo.cli.progress import progress_option, training
from sr_geo.cli.terminal import ERR, OUT, json_line, one_line, print_table
from sr_geo.errors import MissingPartError, ModelError, SrGeoError, TrainingDataError

if TYPE_CHECKING:
    from sr_geo.models.catalog import Entry
    from sr_geo.train.region import Found, Refused
    from sr_geo.train.region.strips import Use


@click.command(
    epilog="\b\nExamples:\n"
    "  sr-geo train new-region imagery/ -o my-region.yaml        write a recipe for your own rasters\n"
    "  sr-geo train my-region.yaml --data imagery/ --max-minutes 8\n"
    "  sr-geo train training/recipes/satellite-rgbn-x4.yaml --data imagery/\n"
    "  sr-geo train recipe.yaml --set loop.iterations=200        a quick trial\n"
    "  sr-geo train recipe.yaml --resume                         after a stop\n"
    "  sr-geo train recipe.yaml --device cuda --devices 4        on four GPUs"
)
@click.argument("recipe", type=click.Path(path_type=Path), metavar="RECIPE.yaml")
@click.option("--run", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the run; default: runs/NAME.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar="SR_GEO_DATA",
    show_envvar=True,
    default=Path("data"),
    show_default=True,
    help="Root of the training imagery.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe, e.g. loop.iterations=200.")
@click.option("--max-minutes", type=float, metavar="N", help="Stop in time; the learning rate still runs down to zero.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder; `loop` may be changed by --set.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train; auto takes a GPU where PyTorch has one.",
)
@click.option(
    "--devices",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="GPUs, or processes on a CPU, that share the work; the batch is for each of them.",
)
@click.option("--install/--no-install", default=True, show_default=True, help="Put the model among your own, to be used by its name.")
@progress_option
def train(
    recipe: Path,
    *,
    run: Path | None,
    data: Path,
    overrides: tuple[str, ...],
    max_minutes: float | None,
    resume: bool,
    device: str,
    devices: int,
    install: bool,
    progress: str,
) -> None:
    """Train a model from a recipe; needs the extra `train`.

    Writes it as ONNX with its card into the folder of the run, runs/NAME/NAME.onnx, and copies it to where your own models
    are found by name. `sr-geo train new-region DIR` writes a recipe for your own rasters.
    """
    need_training()
    from sr_geo.train.command import shortfall, train_and_export
    from sr_geo.train.together import is_first

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # how processes find each other is nobody's concern
    first = is_first()  # others that Fabric started with this very command line train along and say nothing
    options: dict[str, Any] = {"data": data, "overrides": overrides, "max_minutes": max_minutes, "resume": resume}
    try:
        with training(progress if first else "none") as show:
            path = train_and_export(recipe, run, **options, device=device, devices=devices, report=show)
    except SrGeoError:
        if first:
            raise
        raise click.exceptions.Exit(1) from None
    if not first:
        return
    installed = _install(path) if install else None
    if words := shortfall(path.parent):
        ERR.print(f"warning: {words}")
    if progress == "json":
        json_line({"stage": "done", "model": str(path), "installed": installed and str(installed.path)})
    elif progress == "auto":
        _say_how_to_use(path, data, installed)


def _install(path: Path) -> "Entry | None":
    """The entry among the user's own models; None, with a warning, where it cannot be one: the training is done all the same."""
    from sr_geo.models.catalog import install_model

    try:
        return install_model(path)
    except ModelError as error:
        ERR.print(f"warning: not installed: {one_line(error)}")
        return None


def _say_how_to_use(path: Path, data: Path, installed: "Entry | None") -> None:
    from sr_geo.train.command import example_input

    OUT.print(f"{path}")
    if installed is not None:
        OUT.print(f"  installed as {installed.name} in {installed.path.parent}")
    OUT.print("  use it:")
    source = example_input(path.parent, data)
    OUT.print(f"    sr-geo enhance {shlex.join([source, f'{Path(source).stem}_x4.tif', '--model', str(path)])}")


@click.command(
    "train new-region",
    hidden=True,  # the help of `train` has it
    epilog="\b\nExamples:\n"
    "  sr-geo train new-region imagery/ -o my-region.yaml\n"
    "  sr-geo train new-region imagery/ --bands r=3,g=2,b=1,nir=4      for rasters that do not tell their bands",
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--output", "-o", type=click.Path(path_type=Path), metavar="RECIPE.yaml", help="Where to write; default: the folder's name.")
@click.option("--bands", type=BandsType(), default={}, help="Which band is which in plain rasters, numbers from 1: r=3,g=2,b=1,nir=4.")
@click.option("--overwrite", is_flag=True, help="Replace RECIPE.yaml if it exists.")
def new_region(folder: Path, *, output: Path | None, bands: dict[str, int], overwrite: bool) -> None:
    """Write a recipe for your own rasters.

    Looks at all rasters, Sentinel-2 and Landsat folders below DIR, says what they are and whether they are enough, and
    writes a recipe that starts from a shipped model and holds a strip of your rasters out. Nothing in DIR is changed.
    """
    need_training()
    from sr_geo.raster.target import check_target
    from sr_geo.train.region import explain, make_plan, survey_folder, write_recipe
    from sr_geo.train.region.writing import slug

    recipe = output or Path(f"{slug(folder)}.yaml")
    check_target(recipe, overwrite=overwrite)
    found, refused = survey_folder(folder, roles=bands)
    try:
        plan = make_plan(folder, found, refused)
    except TrainingDataError:
        _show_rasters(found, refused, {})
        raise
    parts = {use.found.name: use for use in plan.uses}
    _show_rasters([raster for raster in found if raster.name in parts], plan.left_out, parts)
    for line in explain(plan):
        OUT.print(line)
    write_recipe(plan, folder, recipe, overwrite=overwrite)
    OUT.print(f"{recipe}")
    OUT.print("  read it, fill in the licences, then:")
    OUT.print(f"    sr-geo train {shlex.join([str(recipe), '--data', str(folder), '--max-minutes', '8'])}")


def _show_rasters(found: Sequence["Found"], refused: Sequence["Refused"], parts: Mapping[str, "Use"]) -> None:
    """A table of what was found; `parts` are by the names of the rasters."""
    if found:
        table = Table("raster", "bands", "pixels", "kind", "data", "learnt rows", "held out", box=None, header_style="bold")
        for raster in found:
            grid, use = raster.grid, parts.get(raster.name)
            crs = grid.crs.to_string() if grid.crs else "no CRS"
            roles = [role for role in raster.bands if role in ("blue", "green", "red", "nir")]
            more = len(raster.bands) - len(roles)
            table.add_row(
                raster.name,
                " ".join([*roles, *([f"+{more}"] if more else [])]),
                f"{grid.width} × {grid.height}",
                ", ".join([f"{grid.metres:g} m"] * bool(grid.metres) + [raster.dtype, crs if len(crs) < 20 else "CRS of its own"]),
                f"{raster.valid:.0%}",
                "none" if use is None else f"{use.rows[0]}–{use.rows[1] - 1}",
                "none" if use is None or use.held_out is None else f"{use.held_out.row}–{use.held_out.row_stop - 1}",
            )
        print_table(table)
    for one in refused:
        OUT.print(f"not used: {one.name}: {one.reason}")


def need_training() -> None:
    """Training needs packages that enhancing does not."""
    missing = [name for name in ("torch", "safetensors", "yaml", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPartError(f"training needs {', '.join(missing)}: run `pip install '.[train]'` in the folder of SR Geo")
