"""Held-out imagery for an export in fewer bits: half of it to find the ranges of the features, half to measure what they cost."""

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sr_geo.errors import TrainingDataError
from sr_geo.radiometry import Float
from sr_geo.train.degradations import BicubicDegradation, Degradation, degrade
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.pool import Pool, open_pool
from sr_geo.train.samples.sections import ImageSource
from sr_geo.train.validate import conditions

COUNT = 32
"""Pieces at most, spread over all files."""
LARGEST = 256
"""Side of a piece in high-resolution pixels."""
SMALLEST = 24
"""Side of a piece in low-resolution pixels below which it is of no use."""


class Piece(NamedTuple):
    """A piece of imagery as a network sees it, and as it should become."""

    lr: Float
    """``(C, h, w)``."""
    hr: Float
    """``(C, s·h, s·w)``, same unit."""
    sigma: Float
    """``(C,)`` blur of `lr` in pixels of `hr`; 0 where none is known."""


def of_recipe(recipe: Recipe, data: Path) -> list[Piece]:
    """Pieces of the validation imagery of a recipe, degraded as it trains.

    Raises:
        TrainingDataError: the imagery is missing.
    """
    scale = recipe.model.scale
    pool = open_pool(recipe.validation, data, recipe.model.bands, size=SMALLEST * scale, scale=scale, units=recipe.units)
    return _cut(pool, conditions(recipe)[0].degradation, scale)


def of_folder(folder: Path, bands: tuple[str, ...], *, scale: int) -> list[Piece]:
    """Pieces of all pictures in a folder and below, made smaller by bicubic interpolation.

    Raises:
        TrainingDataError: there are none.
    """
    source = ImageSource(name=str(folder), licence="", files=("**/*",))
    pool = open_pool((source,), folder, bands, size=SMALLEST * scale, scale=scale)
    return _cut(pool, BicubicDegradation(), scale)


def _cut(pool: Pool, degradation: Degradation, scale: int) -> list[Piece]:
    chosen = pool.imagery[:: -(-len(pool.imagery) // COUNT)]
    pieces: list[Piece] = []
    for imagery in chosen:
        for patch in islice(imagery.held_out(LARGEST, scale), -(-COUNT // len(chosen))):
            if min(patch.hr.shape[1:]) < SMALLEST * scale:
                continue
            hr = np.ascontiguousarray(patch.hr)
            if patch.lr is not None:
                pieces.append(Piece(patch.lr, hr, np.full(len(hr), patch.sigma, np.float32)))
            else:
                lr, sigma = degrade(degradation, hr, scale=scale, rng=np.random.default_rng([8, len(pieces)]))
                pieces.append(Piece(lr, hr, sigma))
    if len(pieces) < 2:
        raise TrainingDataError(
            f"{len(pieces)} piece(s) of {SMALLEST * scale} × {SMALLEST * scale} pixels or more in the imagery; "
            "int8 needs two at least: one to find its range, another to measure what it costs"
        )
    return pieces
