"""The plan for somebody's own rasters in words, and as a recipe to be read and changed."""

import glob
import json
import re
from collections.abc import Sequence
from pathlib import Path

from sr_geo.errors import OutputError
from sr_geo.train.region.plan import BATCH, Plan, network_of
from sr_geo.train.region.strips import Use
from sr_geo.train.region.survey import Found

UNSTATED = "not stated"
"""Licence until the user fills it in."""

_NO_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
"""What YAML takes for something else than text."""

_RECIPE = """\
# A model for the rasters in {folder}: a first proposal of `sr-geo train new-region`, made to be read and changed.
#
#     {quick}    a first look
#     {full}    all of it
#
# Files are below the folder that --data names. What every key means: docs/training.md.
name: {name}  # of the model: what --model takes
title: {title}
domain: satellite
licence: {unstated}  # of the trained weights: fill in before you give them to anybody
limits: >-
  Trained on rasters of one region ({region}); not tried anywhere else.
  Detail finer than about half an input pixel is a likely guess, not a measurement.
init: {init}  # the shipped model that training starts from; its bands are matched by role
model: {model}  # as the one that it starts from

# Your rasters are the truth: samples of them are made coarser as a satellite would see them, and the network learns the way back.
sources:
{sources}
  - kind: fields  # drawn flat pieces with clean edges: they keep the network from dreaming on bare ground
    weight: {fields}

# Strips that training never sees, {gap}. `gain_db_…` in metrics.csv is measured on them.
validation:
{validation}

# As the shipped model was trained, so that `sr-geo enhance` may tell it any blur of a satellite (in output pixels).
degradation: {degradation}
loop:
  iterations: {iterations}  # with --max-minutes the learning rate runs down in time, whatever the number here
  batch: {batch}
  patch: {patch}  # side of a coarse sample; {side} pixels of your rasters
  border: 3
  optimiser: muon
  learning_rate: 5.0e-4  # a quarter of what the shipped model was trained by: it knows much already
  body_learning_rate: 1.5e-3
  warmup: 20
  ema: 0.99
  validate_every: {validate_every}
"""


def slug(folder: Path) -> str:
    """A name for a model out of the name of a folder."""
    text = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return text or "my-region"


def write_recipe(plan: Plan, folder: Path, path: Path, *, overwrite: bool = False) -> None:
    """Write the plan as YAML with comments.

    Raises:
        OutputError: the file exists already, or cannot be written.
    """
    if path.exists() and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or add --overwrite")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(recipe_text(plan, folder, path), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def recipe_text(plan: Plan, folder: Path, path: Path) -> str:
    """The recipe; `path` is where it will lie."""
    network = network_of(plan.start)
    weights = [use.found.area for use in plan.uses]
    model = {key: value for key, value in _mapping(network["model"]).items() if value is not None}
    quick, full = (f"sr-geo train {path} --data {folder}{more}" for more in (" --max-minutes 8", ""))
    return _RECIPE.format(
        folder=folder,
        region=slug(folder),
        quick=quick,
        full=full.ljust(len(quick)),
        name=f"{slug(folder)}-x4",
        title=_text(f"Satellite imagery of {slug(folder)}, {len(plan.start.bands)} bands, ×4"),
        unstated=UNSTATED,
        init=plan.start.name,
        model=_flow(model),
        sources="\n".join(_source(use) for use in plan.uses),
        fields=_number(sum(weights) / 4.0),
        gap="though another raster shows their ground: figures will flatter" if plan.flattering else "a little away from what it sees",
        validation="\n".join(_held_out(use) for use in plan.uses if use.held_out is not None),
        degradation=_flow(_mapping(network["degradation"])),
        iterations=plan.iterations,
        batch=BATCH,
        patch=plan.patch,
        side=plan.patch * 4,
        validate_every=max(plan.iterations // 8, 25),
    )


def _source(use: Use) -> str:
    rows = [] if use.rows == (0, use.found.grid.height) else [f"    rows: [{use.rows[0]}, {use.rows[1]}]  # the others are held out"]
    weight = f"    weight: {_number(use.found.area)}  # million pixels: sources are drawn in proportion"
    return "\n".join([*_lines(use.found), *rows, weight])


def _held_out(use: Use) -> str:
    strip = use.held_out
    assert strip is not None
    columns = [] if strip.width == use.found.grid.width else [f"    columns: [{strip.column}, {strip.column_stop}]"]
    return "\n".join([*_lines(use.found, "held out"), f"    rows: [{strip.row}, {strip.row_stop}]", *columns])


def _lines(raster: Found, note: str = "") -> list[str]:
    metres = f", {raster.grid.metres:g} m" if raster.grid.metres else ""
    several = len(raster.files) > 1
    return [
        "  - kind: rasters",
        f"    name: {_text(f'{raster.name}{metres}' + (f', {note}' if note else ''))}",
        f"    files: {_flow([glob.escape(file) for file in raster.files])}",
        f"    bands: [{', '.join(_text(role) if role == '-' else role for role in raster.bands)}]",
        *(["    stack: true  # one file for each band"] if several else []),
        f"    licence: {UNSTATED}  # of this imagery: fill in, it goes into the card of the model",
    ]


def explain(plan: Plan) -> list[str]:
    """What was found and whether it is enough, in plain words."""
    count, area = len(plan.uses), plan.area
    metres = sorted({round(use.found.grid.metres, 2) for use in plan.uses if use.found.grid.metres})
    lines = [f"{_several(count, 'raster')} with {_million(area)} of data can be learnt from.", _enough(area)]
    if plan.same_ground > 1:
        lines.append(
            f"{plan.same_ground} of them share ground: other dates of a place teach less than other places. "
            "Rasters on the same grid hold out the same strip."
        )
    if plan.flattering:
        lines.append("The strip that is held out is seen on another raster, too: the figures of validation will flatter.")
    lines.append(_scale_words(metres))
    if any(use.found.dtype == "uint8" for use in plan.uses):
        lines.append("8 bits: if colours were stretched for display, the model learns that stretch, too. Better take reflectances.")
    if any(use.found.grid.crs is None for use in plan.uses):
        lines.append("Rasters without a coordinate reference system: whether they share ground cannot be told.")
    lines.append(f"Training starts from {plan.start.name} ({', '.join(plan.start.bands)}) and takes {plan.iterations} steps.")
    return lines


def _enough(area: float) -> str:
    if area < 1.0:
        return "That is little: enough to try the steps, hardly to beat the shipped model. A region wants some ten million pixels."
    if area < 10.0:
        return "That is enough for a first model. More places, crops and seasons would help more than longer training."
    return "That is enough for a model of one region and sensor."


def _scale_words(metres: Sequence[float]) -> str:
    if not metres:
        return "The model learns to make pixels of this size out of ones four times as large."
    if metres[-1] > 1.5 * metres[0]:
        sizes = ", ".join(f"{size:g}" for size in metres)
        return f"Pixels of {sizes} m are learnt side by side; leave out what is far from the size that you want to get."
    size = metres[0]
    return (
        f"The model learns to make {size:g} m out of {4 * size:g} m. Making {size / 4:g} m out of {size:g} m, it is right as far "
        "as the ground looks alike at both scales."
    )


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _million(area: float) -> str:
    return f"{area:.2g} million pixels" if area < 10.0 else f"{area:.0f} million pixels"


def _number(value: float) -> str:
    return f"{max(value, 1e-6):.3g}" if value < 1000.0 else f"{value:.0f}"


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


def _text(value: str) -> str:
    """A string as YAML takes it, whatever is in it."""
    return json.dumps(value, ensure_ascii=False)


def _flow(value: object) -> str:
    """JSON is YAML; without quotes where a bare word does."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]*", value) and value not in _NO_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
