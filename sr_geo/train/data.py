"""High-resolution windows out of rasters, kept in memory in their stored type and drawn by step number."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from sr_geo.errors import TrainingDataError
from sr_geo.train.recipe import Source

Pixels = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Imagery:
    """One raster of a source in memory."""

    pixels: Pixels
    """``(bands of the file, H, W)`` in the stored type."""
    valid: NDArray[np.bool_] | None
    """``(H, W)``, or None where everything is valid."""
    channels: tuple[int | None, ...]
    """For each band of the model, its index in `pixels`, or None where the source lacks it."""
    spread: float
    """Standard deviation of the valid pixels: samples are divided by it, so that sources weigh alike in the loss."""


@dataclass(frozen=True, slots=True)
class Pool:
    """All imagery of a list of sources with the probability of drawing from each."""

    images: tuple[Imagery, ...]
    probability: NDArray[np.float64]
    files: tuple[Path, ...]


def load_pool(sources: Sequence[Source], root: Path, bands: Sequence[str]) -> Pool:
    """Read all sources.

    Raises:
        TrainingDataError: a pattern matches nothing, or a file has not the bands that the recipe names.
    """
    images: list[Imagery] = []
    shares: list[float] = []
    files: list[Path] = []
    for source in sources:
        paths = [path for pattern in source.files for path in sorted(root.glob(pattern))]
        if not paths:
            raise TrainingDataError(f"source {source.name}: no file matches {list(source.files)} below {root}; set SR_GEO_DATA or --data")
        groups = [paths] if source.stack else [[path] for path in paths]
        loaded = [_load(source, group, bands) for group in groups]
        area = np.array([image.pixels[0].size for image in loaded], dtype=np.float64)
        images += loaded
        shares += list(source.weight * area / area.sum())
        files += paths
    probability = np.array(shares)
    return Pool(tuple(images), probability / probability.sum(), tuple(files))


def _load(source: Source, paths: Sequence[Path], bands: Sequence[str]) -> Imagery:
    planes = []
    nodata: float | None = None
    for path in paths:
        with rasterio.open(path) as dataset:
            rows = source.rows or (0, dataset.height)
            columns = source.columns or (0, dataset.width)
            window = Window.from_slices(rows, columns, height=dataset.height, width=dataset.width)
            planes.append(dataset.read(window=window))
            nodata = dataset.nodata if nodata is None else nodata
    pixels = np.concatenate(planes)
    if len(pixels) != len(source.bands):
        raise TrainingDataError(f"source {source.name}: {paths[0]} has {len(pixels)} band(s), the recipe names {len(source.bands)}")
    roles = {role: index for index, role in enumerate(source.bands) if role != "-"}
    channels = tuple(roles.get(band) for band in bands)
    if all(channel is None for channel in channels):
        raise TrainingDataError(f"source {source.name}: none of the bands {list(bands)} is in it")
    used = [channel for channel in channels if channel is not None]
    # A stored zero is "no data" in every product read here, declared or not.
    empty = np.all(pixels[used] == (0 if nodata is None else nodata), axis=0) | ~np.isfinite(pixels[used]).all(axis=0)
    valid = None if not empty.any() else ~empty
    inside = pixels[used] if valid is None else pixels[used][:, valid]
    spread = float(np.mean([plane.std(dtype=np.float64) for plane in inside]))
    return Imagery(pixels, valid, channels, spread)


def draw(pool: Pool, *, batch: int, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A batch ``(batch, bands, size, size)`` in units of each source's spread, flipped, turned and with random gains.

    A band that a source lacks is a copy of one that it has: still a picture of the same place.
    """
    out = np.empty((batch, len(pool.images[0].channels), size, size), np.float32)
    for sample in out:
        sample[:] = _draw_one(pool, size, rng)
    return out


def _draw_one(pool: Pool, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    while True:
        image = pool.images[rng.choice(len(pool.images), p=pool.probability)]
        _, height, width = image.pixels.shape
        row, column = rng.integers(height - size + 1), rng.integers(width - size + 1)
        where = np.s_[row : row + size, column : column + size]
        if image.valid is None or image.valid[where].all():
            break
    known = [channel for channel in image.channels if channel is not None]
    channels = [int(rng.choice(known)) if channel is None else channel for channel in image.channels]
    x = image.pixels[(slice(None), *where)][channels].astype(np.float32) / np.float32(image.spread)
    x *= rng.uniform(0.7, 1.4) * rng.uniform(0.85, 1.15, (len(channels), 1, 1)).astype(np.float32)
    if rng.random() < 0.5:
        x = x[:, ::-1]
    if rng.random() < 0.5:
        x = x[:, :, ::-1]
    if rng.random() < 0.5:
        x = x.transpose(0, 2, 1)
    return x
