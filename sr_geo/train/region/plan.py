"""From what a folder holds to what a run should do: the model to start from, the patch, the length, what is held out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_geo.errors import TrainingDataError
from sr_geo.models.card import Card
from sr_geo.models.catalog import entries
from sr_geo.models.session import open_model
from sr_geo.train.region.strips import SCALE, Use, hold_out, is_seen, overlap, rest_of, trained
from sr_geo.train.region.survey import Found, Refused

PATCHES = (48, 40, 32, 24, 20, 16)
"""Sides of a low-resolution sample that are tried, largest first."""
BATCH = 6
CHECKED = 6
"""Most rasters that validation looks at."""
PASSES = 30
"""How often training comes past every pixel, within the limits of `STEPS`."""
STEPS = (600, 8000)


@dataclass(frozen=True, slots=True)
class Plan:
    """A run on somebody's own rasters."""

    start: Card
    """Of the shipped model that it starts from."""
    uses: tuple[Use, ...]
    left_out: tuple[Refused, ...]
    patch: int
    iterations: int
    same_ground: int
    """Rasters that show ground which another one shows, too."""
    flattering: bool
    """Whether what is held out is seen on another raster all the same."""

    @property
    def area(self) -> float:
        """Million pixels that hold data."""
        return sum(use.found.area for use in self.uses)


def make_plan(folder: Path, found: Sequence[Found], refused: Sequence[Refused] = ()) -> Plan:
    """Choose all that a recipe needs.

    Args:
        folder: of the rasters.
        found: as `survey_folder` returns them.
        refused: likewise.

    Raises:
        TrainingDataError: nothing in the folder can be learnt from.
    """
    found, twins = _without_twins(found)
    left_out = [*refused, *twins]
    start = choose_start(found)
    if start is None:
        raise TrainingDataError(f"{folder}: {_nothing(found, left_out)}")
    usable = []
    for raster in found:
        if {"blue", "green", "red"} & set(start.bands) <= set(raster.bands):
            usable.append(raster)
        else:
            has, takes = ", ".join(raster.bands), ", ".join(start.bands)
            left_out.append(Refused(raster.name, f"lacks bands: has {has}; {start.name} takes {takes}"))
    patch = choose_patch(usable)
    if patch is None:
        least = PATCHES[-1] * SCALE
        raise TrainingDataError(f"{folder}: no raster has {least} rows and columns beside a strip to hold out; larger ones are needed")
    small = [raster for raster in usable if not _fits(raster, patch)]
    left_out += [Refused(raster.name, f"too small: {_size(raster)} pixels, samples take {patch * SCALE}") for raster in small]
    uses = hold_out(folder, [raster for raster in usable if raster not in small], side=patch * SCALE, most=CHECKED)
    if not any(use.held_out for use in uses):
        raise TrainingDataError(f"{folder}: no raster has a strip without holes to hold out; give one with more rows, or fewer holes")
    steps = PASSES * sum(use.found.area for use in uses) * 1e6 / (BATCH * (patch * SCALE) ** 2)
    iterations = min(max(round(steps / 100) * 100, STEPS[0]), STEPS[1])
    return Plan(start, tuple(uses), tuple(left_out), patch, iterations, _same_ground(uses), any(is_seen(use, uses) for use in uses))


def choose_start(found: Sequence[Found]) -> Card | None:
    """The shipped satellite model with the most bands that at least half of the imagery has; None where there is none."""
    cards = [open_model(entry.path, device="cpu", threads=1).card for entry in entries().values()]
    best: Card | None = None
    for card in cards:
        fitting = sum(raster.area for raster in found if set(card.bands) <= set(raster.bands))
        colours = sum(raster.area for raster in found if {"blue", "green", "red"} <= set(raster.bands))
        enough = fitting > 0.0 and fitting >= 0.5 * colours
        if card.domain == "satellite" and card.leaning == "fidelity" and enough and (best is None or len(card.bands) > len(best.bands)):
            best = card
    return best


def choose_patch(rasters: Sequence[Found]) -> int | None:
    """The largest side of a sample for which at most a fifth of the imagery is too small; None where all is."""
    room = {patch: sum(raster.area for raster in rasters if _fits(raster, patch)) for patch in PATCHES}
    most = room[PATCHES[-1]]
    return next((patch for patch in PATCHES if room[patch] >= 0.8 * most and room[patch] > 0.0), None)


def network_of(card: Card) -> dict[str, object]:
    """Sections `model` and `degradation` of the recipe that a shipped model was trained by."""
    recipe = json.loads(card.recipe)
    return {"model": recipe["model"], "degradation": {"kind": "sensor", **recipe["degradation"]}}


def _fits(raster: Found, patch: int) -> bool:
    side = patch * SCALE
    return raster.grid.width >= side and rest_of(raster.grid.height) >= side


def _size(raster: Found) -> str:
    return f"{raster.grid.width} × {raster.grid.height}"


def _without_twins(rasters: Sequence[Found]) -> tuple[list[Found], list[Refused]]:
    first: dict[str, Found] = {}
    twins = []
    for raster in rasters:
        if first.setdefault(raster.fingerprint, raster) is not raster:
            twins.append(Refused(raster.name, f"the same pixels as {first[raster.fingerprint].name}"))
    return list(first.values()), twins


def _same_ground(uses: Sequence[Use]) -> int:
    def shared(one: Use, other: Use) -> bool:
        if one.found.grid == other.found.grid:
            return True
        return overlap(one.found.grid, trained(one), other.found.grid, trained(other))

    return sum(any(other is not use and shared(use, other) for other in uses) for use in uses)


def _nothing(found: Sequence[Found], refused: Sequence[Refused]) -> str:
    if found:
        bands = "; ".join(f"{raster.name} has {', '.join(raster.bands)}" for raster in found[:3])
        return f"no raster has blue, green and red ({bands}); if it has, say which they are: --bands r=3,g=2,b=1,nir=4"
    if refused:
        return f"nothing in it can be used: {refused[0].name}: {refused[0].reason}"
    return "no rasters in it (.tif, .jp2, .vrt, .img, Sentinel-2 .SAFE and Landsat folders are looked for)"
