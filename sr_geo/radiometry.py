"""Stored values ↔ physical values, nodata and rounding. Pure numbers, no I/O."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How one band stores a physical quantity: ``value = stored · scale + offset``."""

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    """Stored value that means "nothing here"; NaN is always nodata in floating-point bands."""

    def __post_init__(self) -> None:
        if not self.scale or not np.isfinite(self.scale) or not np.isfinite(self.offset):
            raise ValueError(f"scale {self.scale}, offset {self.offset}: expected a finite scale other than 0 and a finite offset")

    def decode(self, stored: NDArray[Any]) -> Float:
        """Physical values as float32; what float32 cannot hold (a nodata value of −1.8e308, say) becomes infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            values = stored.astype(np.float32)
            values *= np.float32(self.scale)
            values += np.float32(self.offset)
        return values

    def encode(self, values: Float) -> Float:
        """Stored values as float32, not rounded yet; whole numbers are exact up to 2²⁴."""
        stored: Float = values - np.float32(self.offset)
        stored /= np.float32(self.scale)
        return stored


def default_encoding(dtype: str) -> Encoding:
    """What a band of `dtype` holds when nothing says so: 8 bits as 0…255, integers as reflectance × 10000, floats as they are.

    The satellite networks commute with gain and offset, so a wrong guess changes no enhanced pixel; it changes the
    unit in which reports show values.
    """
    kind = np.dtype(dtype)
    if kind == np.uint8:
        return Encoding(scale=1.0 / 255.0)
    if kind.kind in "iu":
        return Encoding(scale=1e-4)
    return Encoding()


def hole_value(dtype: str, nodata: float | None) -> float:
    """What a pixel without data holds: `nodata` where `dtype` can, else 0, or NaN for floating point.

    Readers never meet a nodata value that the type cannot hold (GDAL ignores one, too), so nothing is lost with it.
    """
    kind = np.dtype(dtype)
    if kind.kind == "f":
        held = nodata is not None and (not np.isfinite(nodata) or abs(nodata) <= float(np.finfo(kind).max))
        return float(nodata) if held and nodata is not None else float("nan")
    limits = np.iinfo(kind)
    held = nodata is not None and limits.min <= nodata <= limits.max and nodata == int(nodata)
    return nodata if held and nodata is not None else 0


def to_stored(values: Float, valid: Mask, *, dtype: str, nodata: float | None) -> NDArray[Any]:
    """Round to `dtype` without wrapping, and keep valid pixels and nodata apart.

    Args:
        values: stored values as float32, any shape; anything goes where `valid` is false.
        valid: same shape.
        dtype: the type of the raster.
        nodata: written where `valid` is false; see `hole_value` for what is where it is None or beyond `dtype`.

    Returns:
        Array of `dtype`. A valid value that would round to `nodata` takes the nearest other value instead, upwards
        where that exists: otherwise a dark pixel would become a hole.
    """
    kind = np.dtype(dtype)
    hole = hole_value(dtype, nodata)
    if kind.kind == "f":
        out = values.astype(kind)
        if nodata is not None and np.isfinite(hole):
            mark = kind.type(hole)
            with np.errstate(over="ignore"):
                above = np.nextafter(mark, kind.type(np.inf))
            out[valid & (out == mark)] = above if np.isfinite(above) else np.nextafter(mark, kind.type(-np.inf))
        out[~valid] = hole
        return out
    limits = np.iinfo(kind)
    # float32 holds every value of 16 bits, float64 of 32; of 64 the last that float64 holds below the limit is taken.
    rounded = np.rint(values if kind.itemsize <= 2 else values.astype(np.float64))
    top = float(limits.max) if kind.itemsize <= 4 else np.nextafter(float(limits.max), 0.0)
    np.clip(rounded, limits.min, top, out=rounded)
    if nodata is not None and hole == nodata:
        clash = rounded == hole
        if clash.any():  # seldom; indexing by a mask costs more than all the rest
            rounded[clash & valid] = hole + 1 if hole < limits.max else hole - 1
    if valid.all():
        return rounded.astype(kind)
    rounded[~valid] = 0
    stored = rounded.astype(kind)
    stored[~valid] = hole
    return stored


@dataclass(frozen=True, slots=True)
class Standard:
    """Level and spread of each band of a scene, in which some networks measure it: the same for all of its tiles."""

    level: tuple[float, ...]
    spread: tuple[float, ...]

    def apply(self, values: Float) -> Float:
        """``(C, h, w)`` less the level, in units of the spread."""
        level, spread = self._planes()
        standard: Float = (values - level) / spread
        return standard

    def undo(self, standard: Float) -> Float:
        """The values themselves."""
        level, spread = self._planes()
        values: Float = standard * spread + level
        return values

    def _planes(self) -> tuple[Float, Float]:
        level, spread = (np.array(figures, np.float32)[:, None, None] for figures in (self.level, self.spread))
        return level, spread


def measure_standard(values: NDArray[Any]) -> Standard:
    """Level and spread of values ``(C, n)``: their median, and half of what the middle 68 % of them span.

    For a normal distribution that is the mean and the standard deviation; clouds or water on a small part of a scene
    hardly move it. Where most values are the same, their standard deviation is taken, and one where all are.
    """
    levels, spreads = [], []
    for band in values:
        low, middle, high = np.percentile(band, (15.87, 50.0, 84.13)) if band.size else (0.0, 0.0, 0.0)
        spread = (high - low) / 2.0 or (float(np.std(band, dtype=np.float64)) if band.size else 0.0)
        levels.append(float(middle))
        spreads.append(float(spread) or 1.0)
    return Standard(tuple(levels), tuple(spreads))


def fill_invalid(values: Float, valid: Mask) -> Float:
    """Replace invalid pixels by the nearest valid one (chessboard distance), so that no network sees an edge there.

    A pixel `d` away from the nearest valid one depends on nothing further than `d`, ties included.

    Args:
        values: ``(h, w)``, or ``(C, h, w)`` with the same holes in all bands.
        valid: ``(h, w)``; where nothing is valid the result is zero.
    """
    from scipy.ndimage import distance_transform_cdt

    if valid.all():
        return values
    if not valid.any():
        return np.zeros_like(values)
    nearest: NDArray[np.int32] = distance_transform_cdt(~valid, metric="chessboard", return_distances=False, return_indices=True)
    filled: Float = values[..., nearest[0], nearest[1]]
    return filled
