"""Rasters read in windows, wherever they lie; nothing is converted beforehand.

GDAL keeps the blocks that it has decoded, up to GDAL_CACHEMAX in each process (5 % of the memory unless set): imagery
that fits is decoded once and then served from memory, and what does not fit costs its reading and no memory.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import TrainingDataError
from sr_geo.grid import Window
from sr_geo.radiometry import Float, Mask, Standard, measure_standard
from sr_geo.train.samples.imagery import Channels, Patch, draw_gains, draw_window, lay_windows, match_bands, restrict, turn
from sr_geo.train.samples.sections import RasterSource, Turns
from sr_geo.train.samples.splits import list_files

if TYPE_CHECKING:
    import rasterio  # at run time only where a raster is opened: machines that train on pictures need no GDAL

SURVEYED = 64
"""Most windows that the statistics of a raster are taken from."""

SURVEY = 256
"""Side of such a window, in pixels."""


@dataclass(frozen=True, slots=True)
class Bands:
    """The bands of one raster, or of several that hold one band each, that a model uses."""

    files: tuple[Path, ...]
    places: tuple[tuple[int, int], ...]
    """For each band that is used, the number of its file and its number in it, both from 0."""
    nodata: float
    """A pixel without data holds this in all bands; or a value that is no number in any."""

    def read(self, window: Window) -> NDArray[Any]:
        """Stored values ``(bands, h, w)``; the window must be inside.

        Raises:
            TrainingDataError: the file is damaged or gone.
        """
        wanted: dict[int, list[int]] = {}
        for file, band in self.places:
            wanted.setdefault(file, []).append(band + 1)
        from rasterio.windows import Window as Part

        where = Part(window.column, window.row, window.width, window.height)
        try:
            datasets = {file: open_dataset(self.files[file], os.getpid()) for file in wanted}
            read = {file: iter(datasets[file].read(indexes=bands, window=where)) for file, bands in wanted.items()}
        except OSError as error:
            raise TrainingDataError(f"{self.files[0]}: cannot be read at {window}: {error}") from error
        return np.stack([next(read[file]) for file, _ in self.places])

    def find_valid(self, planes: NDArray[Any]) -> Mask:
        """Which pixels ``(h, w)`` of planes that `read` returned hold data."""
        valid: Mask = ~np.all(planes == self.nodata, axis=0)
        if planes.dtype.kind == "f":
            valid &= np.isfinite(planes).all(axis=0)
        return valid


@dataclass(frozen=True, slots=True)
class Raster:
    """The part of a raster that a recipe allows, in units of its spread."""

    bands: Bands
    extent: Window
    channels: Channels
    standard: Standard
    """Of each band that is read: what is subtracted (nothing, but for networks that do not commute with an offset), and the
    spread that samples are divided by, so that sources weigh alike in the loss."""
    turns: Turns

    @property
    def files(self) -> tuple[Path, ...]:
        """One file, or one for each band."""
        return self.bands.files

    @property
    def area(self) -> int:
        """Pixels of the part that may be read."""
        return self.extent.height * self.extent.width

    def read(self, window: Window, rng: np.random.Generator | None = None) -> Float | None:
        """The bands of the model ``(C, h, w)`` in units of their spread; None where a pixel holds no data."""
        planes = self.bands.read(window)
        if not self.bands.find_valid(planes).all():
            return None
        return self.standard.apply(planes.astype(np.float32))[self.channels.choose(rng)]

    def draw(self, size: int, rng: np.random.Generator) -> Patch | None:
        """A window anywhere, turned and with random gains."""
        x = self.read(draw_window(self.extent, size, rng), rng)
        return None if x is None else turn(Patch(x * draw_gains(len(x), rng)), self.turns, rng)

    def held_out(self, size: int, multiple: int) -> Iterator[Patch]:
        """All windows without a hole."""
        for window in lay_windows(self.extent, size, multiple):
            x = self.read(window)
            if x is not None:
                yield Patch(x)


def open_rasters(source: RasterSource, root: Path, bands: Sequence[str], *, size: int, standardised: bool = False) -> list[Raster]:
    """Look at every raster of the source and take its statistics; nothing stays in memory.

    Samples are divided by one spread, the mean of the bands' standard deviations; or each band is `standardised` by itself.

    Raises:
        TrainingDataError: a file is missing, damaged, smaller than `size`, holds nothing, or has not the bands that the recipe names.
    """
    paths = list_files(source, root)
    channels = match_bands(source.bands, bands, source=source.name)
    groups = [paths] if source.stack else [[path] for path in paths]
    return [_open(source, tuple(group), channels, size, standardised=standardised) for group in groups]


def _open(source: RasterSource, files: tuple[Path, ...], channels: Channels, size: int, *, standardised: bool) -> Raster:
    owned, first = open_bands(files, roles=len(source.bands), used=channels.known, source=source.name)
    extent = restrict(*first, source.rows, source.columns)
    if min(extent.shape) < size:
        raise TrainingDataError(
            f"source {source.name}: {files[0]} has {extent.height} × {extent.width} pixels to draw from, "
            f"samples take {size} × {size}; lower loop.patch or leave the file out"
        )
    planes = [owned.read(window) for window in survey(extent, SURVEY)]
    values = np.concatenate([plane[:, owned.find_valid(plane)] for plane in planes], axis=1)
    spread = float(np.mean(values.std(axis=1, dtype=np.float64))) if values.size else 0.0
    if not spread > 0.0:
        raise TrainingDataError(f"source {source.name}: {files[0]} has no valid pixel, or all are the same; leave the file out")
    standard = measure_standard(values) if standardised else Standard((0.0,) * len(values), (spread,) * len(values))
    return Raster(owned, extent, channels, standard, source.turns)


def open_bands(files: tuple[Path, ...], *, roles: int, used: Sequence[int], source: str) -> tuple[Bands, tuple[int, int]]:
    """The bands number `used` of files that hold `roles` bands together, and the (height, width) that all files share.

    Raises:
        TrainingDataError: a file cannot be read, or the files have not as many bands as the recipe names or differ in size.
    """
    places: list[tuple[int, int]] = []
    nodata: float | None = None
    shape: tuple[int, int] | None = None
    for number, path in enumerate(files):
        try:
            dataset = open_dataset(path, os.getpid())
        except OSError as error:
            raise TrainingDataError(f"source {source}: {path} cannot be read: {error}") from error
        places += [(number, band) for band in range(dataset.count)]
        nodata = dataset.nodata if nodata is None else nodata
        if shape is not None and dataset.shape != shape:
            raise TrainingDataError(f"source {source}: {path} has {dataset.shape} pixels, {files[0]} {shape}; stacked bands share a grid")
        shape = dataset.shape
    if shape is None or len(places) != roles:
        raise TrainingDataError(f"source {source}: {files[0]} has {len(places)} band(s), the recipe names {roles}")
    # A stored zero is "no data" in every product read here, declared or not.
    return Bands(files, tuple(places[index] for index in used), 0.0 if nodata is None else nodata), shape


def survey(extent: Window, step: int) -> list[Window]:
    """Windows of ``step × step`` that the statistics of a raster are taken from: all of them, or `SURVEYED` evenly over it."""
    rows, columns = (range(first, stop, step) for first, stop in ((extent.row, extent.row_stop), (extent.column, extent.column_stop)))
    windows = [Window(row, column, step, step).intersection(extent) for row in rows for column in columns]
    chosen = np.unique(np.linspace(0, len(windows) - 1, SURVEYED).round().astype(int))
    return [windows[index] for index in chosen]


@lru_cache(maxsize=128)
def open_dataset(path: Path, process: int) -> "rasterio.DatasetReader":
    """The open dataset of this process: handles must not cross a fork, and opening one costs more than reading a window."""
    del process  # part of the key
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # drone frames have no grid and need none here
        return rasterio.open(path)
