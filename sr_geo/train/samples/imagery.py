"""What a source is once it is open: something that gives patches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from sr_geo.errors import TrainingDataError
from sr_geo.grid import Window
from sr_geo.radiometry import Float
from sr_geo.train.samples.sections import Turns


@dataclass(frozen=True, slots=True)
class Patch:
    """A piece of imagery in the bands of the model."""

    hr: Float
    """``(C, H, W)``."""
    lr: Float | None = None
    """``(C, h, w)`` where the source has measured it, in the unit of `hr`; None: to be made by a degradation."""
    sigma: float = 0.0
    """Blur of `lr` in pixels of `hr`, 0 where unknown."""
    text: str = ""
    """What is written in the picture, where that is known: capitals A–Z and digits."""


class Imagery(Protocol):
    """One raster, picture or renderer. Safe to pickle; files are opened by the process that reads them."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that it reads."""
        ...

    @property
    def area(self) -> int:
        """Pixels that patches are drawn from: files of one source are drawn in proportion."""
        ...

    def draw(self, size: int, rng: np.random.Generator) -> Patch | None:
        """A random patch, ``(C, size, size)``, as training wants it; None where `rng` hit a place without data."""
        ...

    def held_out(self, size: int, multiple: int) -> Iterator[Patch]:
        """What validation sees, the same every time: everything without a hole, side by side, not turned, no gains.

        Patches are of `size` pixels at most and whole multiples of `multiple` in both directions.
        """
        ...


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that a pattern matched and that is not used."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Channels:
    """Which band of a source feeds which band of the model."""

    indices: tuple[int | None, ...]
    """For each band of the model its index in the source, or None where the source lacks it."""

    @property
    def known(self) -> list[int]:
        """Indices of the bands that the source has, in the order of the model."""
        return [index for index in self.indices if index is not None]

    def choose(self, rng: np.random.Generator | None) -> list[int]:
        """For each band of the model, the number of one of the `known` planes.

        A band that the source lacks is a copy of one that it has, drawn by `rng` (None: the first): still a picture of
        the same place.
        """
        order = {index: position for position, index in enumerate(self.known)}
        return [order[index] if index is not None else 0 if rng is None else int(rng.choice(len(order))) for index in self.indices]


def match_bands(theirs: Sequence[str], ours: Sequence[str], *, source: str) -> Channels:
    """Match the bands of a source to those of the model by role.

    Raises:
        TrainingDataError: they have none in common.
    """
    roles = {role: index for index, role in enumerate(theirs) if role != "-"}
    channels = Channels(tuple(roles.get(band) for band in ours))
    if not channels.known:
        raise TrainingDataError(f"source {source}: none of the bands {list(ours)} is in it")
    return channels


def draw_window(extent: Window, size: int, rng: np.random.Generator) -> Window:
    """A window of ``size × size`` inside `extent`, every place equally likely."""
    row, column = (int(rng.integers(length - size + 1)) for length in (extent.height, extent.width))
    return Window(extent.row + row, extent.column + column, size, size)


def lay_windows(extent: Window, size: int, multiple: int) -> Iterator[Window]:
    """Windows side by side over `extent`, of even size, at most `size` and whole multiples of `multiple`, row by row.

    Only what is left over by that multiple, at the bottom and the right, is not covered.
    """
    steps = []
    for length in (extent.height, extent.width):
        count = -(-length // size)
        step = length // max(count, 1) // multiple * multiple
        steps.append([] if step == 0 else [(index * step, step) for index in range(count)])
    for row, height in steps[0]:
        for column, width in steps[1]:
            yield Window(extent.row + row, extent.column + column, height, width)


def restrict(height: int, width: int, rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> Window:
    """The part of a raster that a recipe allows; bounds beyond the raster end at it."""
    (top, bottom), (left, right) = rows or (0, height), columns or (0, width)
    return Window(top, left, max(bottom - top, 0), max(right - left, 0)).intersection(Window(0, 0, height, width))


def turn(patch: Patch, turns: Turns, rng: np.random.Generator) -> Patch:
    """The patch turned at random as `turns` allows, fine and coarse alike."""
    if turns == "none":
        return patch
    upside_down = turns == "all" and rng.random() < 0.5
    mirrored = rng.random() < 0.5
    transposed = turns == "all" and rng.random() < 0.5

    def turned(x: Float) -> Float:
        x = x[:, ::-1] if upside_down else x
        x = x[:, :, ::-1] if mirrored else x
        return x.transpose(0, 2, 1) if transposed else x

    return replace(patch, hr=turned(patch.hr), lr=None if patch.lr is None else turned(patch.lr))


def draw_gains(bands: int, rng: np.random.Generator) -> Float:
    """Random gains ``(bands, 1, 1)``: one for all bands, and a small one for each."""
    gains: Float = (rng.uniform(0.7, 1.4) * rng.uniform(0.85, 1.15, (bands, 1, 1))).astype(np.float32)
    return gains
