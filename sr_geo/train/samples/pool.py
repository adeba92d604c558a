"""All sources of a run, opened, with the probability of drawing from each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import TrainingDataError
from sr_geo.train.perceptual import Units
from sr_geo.train.samples.dicom import open_dicom
from sr_geo.train.samples.fields import Fields
from sr_geo.train.samples.imagery import Imagery, Patch, Skipped
from sr_geo.train.samples.images import open_images
from sr_geo.train.samples.pairs import open_pairs
from sr_geo.train.samples.plates import open_plates
from sr_geo.train.samples.rasters import open_rasters
from sr_geo.train.samples.sections import DicomSource, FieldSource, ImageSource, PairSource, PlateSource, Source

ATTEMPTS = 2000
"""Places that are tried for one sample before the imagery is taken to be all holes."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Imagery and the share of the samples that each piece gives."""

    imagery: tuple[Imagery, ...]
    probability: NDArray[np.float64]
    skipped: tuple[Skipped, ...]
    """Files that match a pattern and cannot be used."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that samples come from, each once."""
        return tuple(dict.fromkeys(path for imagery in self.imagery for path in imagery.files))

    def draw(self, size: int, rng: np.random.Generator) -> Patch:
        """One sample ``(C, size, size)`` without a hole.

        Raises:
            TrainingDataError: no such place is found.
        """
        for _ in range(ATTEMPTS):
            patch = self.imagery[rng.choice(len(self.imagery), p=self.probability)].draw(size, rng)
            if patch is not None:
                return patch
        raise TrainingDataError(
            f"no window of {size} × {size} pixels without nodata in {ATTEMPTS} tries; lower loop.patch or clean the imagery"
        )


def open_pool(
    sources: Sequence[Source],
    root: Path,
    bands: Sequence[str],
    *,
    size: int,
    scale: int,
    standardised: bool = False,
    units: Units = "spread",
) -> Pool:
    """Open all sources.

    Args:
        sources: of any kind.
        root: folder that the patterns are below.
        bands: roles of the bands of the model.
        size: side of a sample in high-resolution pixels; for validation, the smallest piece that is of use.
        scale: high-resolution pixels per low-resolution pixel.
        standardised: whether rasters are given without the level of each band, in units of its own spread.
        units: of what is drawn as rendered fields: those of the imagery beside them.

    Raises:
        TrainingDataError: imagery is missing or does not fit the recipe.
    """
    imagery: list[Imagery] = []
    shares: list[float] = []
    skipped: list[Skipped] = []
    for source in sources:
        opened, left_out = _open(source, root, bands, size, scale, standardised=standardised, units=units)
        area = sum(one.area for one in opened)
        imagery += opened
        shares += [source.weight * one.area / area for one in opened]
        skipped += left_out
    probability = np.array(shares)
    return Pool(tuple(imagery), probability / probability.sum(), tuple(skipped))


def _open(
    source: Source, root: Path, bands: Sequence[str], size: int, scale: int, *, standardised: bool, units: Units
) -> tuple[Sequence[Imagery], Sequence[Skipped]]:
    if isinstance(source, ImageSource):
        return open_images(source, root, bands, size=size)
    if isinstance(source, DicomSource):
        return open_dicom(source, root, bands, size=size)
    if isinstance(source, PairSource):
        return open_pairs(source, root, bands, size=size, scale=scale, standardised=standardised), []
    if isinstance(source, FieldSource):
        return [Fields(len(bands), source.count, units)], []
    if isinstance(source, PlateSource):
        return [open_plates(source, bands, size=size)], []
    return open_rasters(source, root, bands, size=size, standardised=standardised), []
