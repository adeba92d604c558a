"""Rendered plates as a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import TrainingDataError
from sr_geo.radiometry import Float
from sr_geo.train.plates import RenderedPlate, render_plate
from sr_geo.train.samples.decoded import LUMA, band_order
from sr_geo.train.samples.imagery import Patch
from sr_geo.train.samples.sections import PlateSource

MARGIN = 32
"""Pixels by which a plate that is kept is larger than a sample, so that samples of it differ."""


@dataclass(frozen=True, slots=True)
class Plates:
    """Scenes with plates, without end."""

    countries: tuple[str, ...]
    width: tuple[float, float]
    count: int
    held_out_texts: bool
    order: tuple[int, ...] | None
    size: int
    kept: int = 0
    stacked: int = 1

    @property
    def files(self) -> tuple[Path, ...]:
        """None: everything is drawn."""
        return ()

    @property
    def area(self) -> int:
        """Pixels of the plates of a validation."""
        return self.count * self.size**2

    def draw(self, size: int, rng: np.random.Generator) -> Patch | None:
        """A new plate, or a window of one that is kept; mirrored or turned it would be none any more."""
        if self.kept:
            stored, text = _keep(self, size + MARGIN, int(rng.integers(self.kept)))
            row, column = (int(place) for place in rng.integers(MARGIN + 1, size=2))
            window = stored[:, row : row + size, column : column + size]
            return Patch(window.astype(np.float32) / np.float32(255.0), text=text)
        picture, text = self.render(size, rng)
        return Patch(picture, text=text)

    def render(self, size: int, rng: np.random.Generator) -> tuple[Float, str]:
        """A square picture ``(C, size, size)`` of new plates, each in a scene of its own above the next one's; their texts."""
        edges = [size * part // self.stacked for part in range(self.stacked + 1)]
        plates = [self._render_one((bottom - top, size), rng) for top, bottom in pairwise(edges)]
        return self.in_bands(np.concatenate([plate.picture for plate in plates], axis=1)), " ".join(plate.text for plate in plates)

    def _render_one(self, size: tuple[int, int], rng: np.random.Generator) -> RenderedPlate:
        return render_plate(rng, size=size, width=float(rng.uniform(*self.width)), countries=self.countries, held_out=self.held_out_texts)

    def in_bands(self, x: Float) -> Float:
        """Red, green and blue as the bands of the model."""
        return np.tensordot(LUMA, x, 1)[None] if self.order is None else x[list(self.order)]

    def held_out(self, size: int, multiple: int) -> Iterator[Patch]:
        """The first `count` plates of a fixed seed, whole in the picture: twice as wide as high."""
        width = max(size // multiple * multiple, 2 * multiple)
        height = width // 2 // multiple * multiple
        for number in range(self.count):
            rng = np.random.default_rng([721, number])
            across = float(rng.uniform(0.55, 0.85)) * width
            plate = render_plate(
                rng, size=(height, width), width=across, countries=self.countries, held_out=self.held_out_texts, centred=True
            )
            yield Patch(self.in_bands(plate.picture), text=plate.text)


@cache
def _keep(plates: Plates, size: int, number: int) -> tuple[NDArray[np.uint8], str]:
    """Picture `number` in 8 bits and its text; the same one in all processes."""
    picture, text = plates.render(size, np.random.default_rng([722, number]))
    return np.rint(picture * 255.0).astype(np.uint8), text


def open_plates(source: PlateSource, bands: Sequence[str], *, size: int) -> Plates:
    """Check that the model's bands are those of a picture.

    Raises:
        TrainingDataError: they are not.
        MissingPartError: the fonts are not installed.
    """
    try:
        order = band_order(tuple(bands))
    except ValueError as error:
        raise TrainingDataError(f"source {source.name}: {error}") from error
    plates = Plates(source.countries, source.width, source.count, source.held_out, order, size, source.kept, source.stacked)
    plates.render(32, np.random.default_rng(0))  # asks for every part that it needs, now rather than in a worker
    return plates
