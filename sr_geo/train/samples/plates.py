"""Rendered plates as a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sr_geo.errors import TrainingDataError
from sr_geo.train.plates import render_plate
from sr_geo.train.samples.decoded import LUMA, band_order
from sr_geo.train.samples.imagery import Patch
from sr_geo.train.samples.sections import PlateSource


@dataclass(frozen=True, slots=True)
class Plates:
    """Scenes with one plate each, without end."""

    countries: tuple[str, ...]
    width: tuple[float, float]
    count: int
    held_out_texts: bool
    order: tuple[int, ...] | None
    size: int

    @property
    def files(self) -> tuple[Path, ...]:
        """None: everything is drawn."""
        return ()

    @property
    def area(self) -> int:
        """Pixels of the plates of a validation."""
        return self.count * self.size**2

    def draw(self, size: int, rng: np.random.Generator) -> Patch | None:
        """A new plate; mirrored or turned it would be none any more."""
        plate = render_plate(
            rng, size=(size, size), width=float(rng.uniform(*self.width)), countries=self.countries, held_out=self.held_out_texts
        )
        x = plate.picture
        return Patch(np.tensordot(LUMA, x, 1)[None] if self.order is None else x[list(self.order)], text=plate.text)

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
            x = plate.picture
            yield Patch(np.tensordot(LUMA, x, 1)[None] if self.order is None else x[list(self.order)], text=plate.text)


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
    plates = Plates(source.countries, source.width, source.count, source.held_out, order, size)
    plates.draw(32, np.random.default_rng(0))  # asks for every part that it needs, now rather than in a worker
    return plates
