"""Real pairs: a coarse and a fine raster of the same ground, on grids of which one divides the other."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from sr_geo.errors import TrainingDataError
from sr_geo.grid import Window
from sr_geo.radiometry import Standard, measure_standard
from sr_geo.train.samples.imagery import Channels, Patch, draw_gains, draw_window, lay_windows, match_bands, restrict, turn
from sr_geo.train.samples.rasters import SURVEY, Bands, open_bands, open_dataset, survey
from sr_geo.train.samples.sections import PairSource, Turns
from sr_geo.train.samples.splits import find_files

TOLERANCE = 0.02
"""Fine pixels by which the corners of a pair may disagree: what rounded geotransforms do."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The ground that both rasters cover, in units of the fine raster's spread."""

    fine: Bands
    coarse: Bands
    channels: Channels
    scale: int
    extent: Window
    """In pixels of the coarse raster."""
    offset: tuple[int, int]
    """Row and column of the fine raster at the corner of the coarse one."""
    gain: tuple[float, ...]
    """For each band that both have: fine = gain · coarse + shift, in stored values."""
    shift: tuple[float, ...]
    standard: Standard
    """Of each band that both have, of the fine raster: what is subtracted, and what is divided by."""
    sigma: float
    turns: Turns

    @property
    def files(self) -> tuple[Path, ...]:
        """The fine raster, the coarse one."""
        return (*self.fine.files, *self.coarse.files)

    @property
    def area(self) -> int:
        """Fine pixels that both cover."""
        return self.extent.height * self.extent.width * self.scale**2

    def read(self, window: Window, rng: np.random.Generator | None = None) -> Patch | None:
        """Both rasters over a window of the coarse one; None where either lacks a pixel."""
        coarse, fine = self.coarse.read(window), self.fine.read(_finer(window, self.offset, self.scale))
        if not (self.coarse.find_valid(coarse).all() and self.fine.find_valid(fine).all()):
            return None
        gain, shift = (np.array(values, np.float32)[:, None, None] for values in (self.gain, self.shift))
        measured = coarse.astype(np.float32) * gain + shift
        order = self.channels.choose(rng)
        sharp, soft = (self.standard.apply(planes)[order] for planes in (fine.astype(np.float32), measured))
        return Patch(sharp, soft, self.sigma)

    def draw(self, size: int, rng: np.random.Generator) -> Patch | None:
        """A window on whole coarse pixels, turned and with the same random gains in both."""
        patch = self.read(draw_window(self.extent, size // self.scale, rng), rng)
        if patch is None or patch.lr is None:
            return None
        gains = draw_gains(len(patch.hr), rng)
        return turn(Patch(patch.hr * gains, patch.lr * gains, patch.sigma), self.turns, rng)

    def held_out(self, size: int, multiple: int) -> Iterator[Patch]:
        """All windows without a hole in either raster."""
        for window in lay_windows(self.extent, size // self.scale, max(multiple // self.scale, 1)):
            patch = self.read(window)
            if patch is not None:
                yield patch


def open_pairs(
    source: PairSource, root: Path, bands: Sequence[str], *, size: int, scale: int, standardised: bool = False
) -> list[Pair]:
    """Put each fine raster beside its coarse one; `standardised` as in `open_rasters`.

    Raises:
        TrainingDataError: the numbers of files differ, the grids are not nested, they overlap too little, or a band is missing.
    """
    fine, coarse = (find_files(patterns, root, source=source.name) for patterns in (source.fine, source.coarse))
    if len(fine) != len(coarse):
        raise TrainingDataError(f"source {source.name}: {len(fine)} fine raster(s) for {len(coarse)} coarse one(s); each needs its partner")
    partners = zip(fine, coarse, strict=True)
    return [_open(source, *files, bands, size=size, scale=scale, standardised=standardised) for files in partners]


def _open(source: PairSource, fine: Path, coarse: Path, bands: Sequence[str], *, size: int, scale: int, standardised: bool) -> Pair:
    wanted = [band for band in bands if band in source.fine_bands and band in source.coarse_bands]
    if not wanted:
        raise TrainingDataError(f"source {source.name}: none of the bands {list(bands)} is in both rasters")
    sharp = match_bands(source.fine_bands, wanted, source=source.name).known
    soft = match_bands(source.coarse_bands, wanted, source=source.name).known
    fine_bands, fine_shape = open_bands((fine,), roles=len(source.fine_bands), used=sharp, source=source.name)
    coarse_bands, coarse_shape = open_bands((coarse,), roles=len(source.coarse_bands), used=soft, source=source.name)
    offset = find_offset(fine, coarse, scale)
    extent = _shared(fine_shape, coarse_shape, offset, scale).intersection(restrict(*coarse_shape, source.rows, source.columns))
    if min(extent.shape) * scale < size:
        raise TrainingDataError(
            f"source {source.name}: {fine} and {coarse} share {extent.height} × {extent.width} coarse pixels, "
            f"samples take {size // scale} × {size // scale}"
        )
    gain, shift, standard = _compare(fine_bands, coarse_bands, extent, offset, scale, standardised=standardised)
    if not (standard.spread[0] > 0.0 and np.isfinite(gain).all()):
        raise TrainingDataError(f"source {source.name}: {fine} and {coarse} have no valid pixel in common, or all are the same")
    if source.match == "none":
        gain, shift = np.ones_like(gain), np.zeros_like(shift)
    channels = Channels(tuple(wanted.index(band) if band in wanted else None for band in bands))
    values = tuple(gain.tolist()), tuple(shift.tolist())
    return Pair(fine_bands, coarse_bands, channels, scale, extent, offset, *values, standard, source.sigma, source.turns)


def find_offset(fine: Path, coarse: Path, scale: int) -> tuple[int, int]:
    """Row and column of the fine raster where the coarse one has its corner; negative where the coarse one starts before.

    Raises:
        TrainingDataError: the rasters have different coordinate systems, or the fine grid is not the coarse one divided by `scale`.
    """
    sharp, soft = open_dataset(fine, os.getpid()), open_dataset(coarse, os.getpid())
    if sharp.crs != soft.crs:
        raise TrainingDataError(f"{fine} is in {sharp.crs}, {coarse} in {soft.crs}; bring both to one coordinate system, on nested grids")
    step: Affine = ~sharp.transform @ soft.transform
    row, column = round(step.f), round(step.c)
    # Compared at the far corner of the coarse raster, where a wrong pixel size adds up.
    far = step @ (soft.width, soft.height)
    nested = (column + scale * soft.width, row + scale * soft.height)
    apart = max(abs(step.c - column), abs(step.f - row), *(abs(a - b) for a, b in zip(far, nested, strict=True)))
    if apart > TOLERANCE or abs(step.b) + abs(step.d) > TOLERANCE:
        raise TrainingDataError(
            f"{fine} and {coarse}: grids not nested ×{scale}: a coarse pixel is {step.a:.4g} × {step.e:.4g} fine ones, "
            f"the first at {step.c:.4g}, {step.f:.4g}; resample the fine raster onto the coarse grid divided by {scale} "
            "(gdalwarp -te … -tr …)"
        )
    return row, column


def _shared(fine: tuple[int, int], coarse: tuple[int, int], offset: tuple[int, int], scale: int) -> Window:
    """Coarse pixels that the fine raster covers whole."""
    starts = [max(0, -(start // scale)) for start in offset]
    stops = [min(far, (size - start) // scale) for size, far, start in zip(fine, coarse, offset, strict=True)]
    height, width = (max(stop - start, 0) for start, stop in zip(starts, stops, strict=True))
    return Window(starts[0], starts[1], height, width)


def _compare(
    fine: Bands, coarse: Bands, extent: Window, offset: tuple[int, int], scale: int, *, standardised: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], Standard]:
    """Gain and shift of each band that give the coarse raster the mean and spread of the fine one's pixel means; what samples are in."""
    low, high = [], []
    for window in survey(extent, SURVEY // scale):
        planes, blocks = coarse.read(window), fine.read(_finer(window, offset, scale))
        valid = coarse.find_valid(planes) & fine.find_valid(blocks).reshape(window.height, scale, window.width, scale).all((1, 3))
        low.append(planes[:, valid])
        high.append(blocks.reshape(-1, window.height, scale, window.width, scale).transpose(0, 1, 3, 2, 4)[:, valid])
    measured, pixels = np.concatenate(low, 1).astype(np.float64), np.concatenate(high, 1).astype(np.float64)
    if not measured.size:
        return np.full(len(measured), np.nan), np.full(len(measured), np.nan), Standard((0.0,), (0.0,))
    means = pixels.mean((2, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = means.std(1) / measured.std(1)
        shift = means.mean(1) - gain * measured.mean(1)
    flat = pixels.reshape(len(pixels), -1)
    spread = float(flat.std(1).mean())
    return gain, shift, measure_standard(flat) if standardised and spread else Standard((0.0,) * len(flat), (spread,) * len(flat))


def _finer(window: Window, offset: tuple[int, int], scale: int) -> Window:
    """The fine pixels under a window of coarse ones."""
    fine = window.scaled(scale)
    return Window(fine.row + offset[0], fine.column + offset[1], fine.height, fine.width)
