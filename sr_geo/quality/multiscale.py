"""MS-SSIM (Wang, Simoncelli and Bovik, 2003): structural similarity at five resolutions, window by window. Pure numbers, no I/O.

Contrast and structure are compared at all five, brightness at the coarsest one only. The next coarser picture is the mean over
2 × 2 pixels; where one of the four holds no value, it holds none either.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.grid import Window
from sr_geo.quality.metrics import SSIM_RADIUS, Array, Counts, PerBand, Sums, prepare, similarity_parts, whole_around
from sr_geo.radiometry import Mask

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five resolutions, fine to coarse (sect. 3.2 of the paper)."""
STEP = 2 ** (len(WEIGHTS) - 1)
"""Pixels of the picture per pixel of the coarsest one; windows that are to be added start and end at multiples of it."""
HALO = SSIM_RADIUS * STEP
"""Pixels around a window that its figures depend on."""
SMALLEST = (2 * SSIM_RADIUS + 1) * STEP
"""Side in pixels below which a picture has no MS-SSIM."""


@dataclass(frozen=True, slots=True, eq=False)
class MultiScale:
    """Sums of the similarities of pixels at each resolution. The sum of two is that of both sets of pixels."""

    total: Sums
    """``(5, C)``: contrast and structure, at the coarsest resolution times brightness."""
    count: Counts
    """``(5, C)``."""

    def __add__(self, other: "MultiScale") -> "MultiScale":
        return MultiScale(self.total + other.total, self.count + other.count)

    @property
    def ms_ssim(self) -> PerBand:
        """Product over the resolutions of the mean similarity to the power of its weight; 0 where a mean is negative.

        NaN where a resolution has no pixel to compare; together is the mean over bands, as for SSIM.
        """
        bands = []
        for total, count in zip(self.total.T, self.count.T, strict=True):
            if not count.all():
                bands.append(math.nan)
                continue
            bands.append(float(np.prod(np.maximum(total / count, 0.0) ** np.array(WEIGHTS))))
        return PerBand(tuple(bands), float(np.mean(bands)))


def nothing(bands: int) -> MultiScale:
    """Of no pixels."""
    return MultiScale(np.zeros((len(WEIGHTS), bands)), np.zeros((len(WEIGHTS), bands), np.int64))


def multiscale(
    reference: Array, enhanced: Array, *, data_range: float, valid: Mask | None = None, border: int = 0, core: Window | None = None
) -> MultiScale:
    """Similarities of the pixels of two pictures whose 11 × 11 neighbourhood, at each resolution, is inside and valid.

    Args:
        reference: ``(C, H, W)``, the truth.
        enhanced: same shape and unit.
        data_range: peak.
        valid: ``(C, H, W)`` or ``(H, W)``, true where both pictures hold a value.
        border: pixels left out on every side.
        core: of what the border leaves, the window whose pixels count, for pictures that are read piece by piece; it starts at a
            multiple of `STEP`, and ends at one or at the end of the picture.

    Raises:
        ValueError: the shapes differ, the border leaves nothing, or the data range is not above 0.
    """
    if not data_range > 0.0:
        raise ValueError(f"data range {data_range}: expected more than 0")
    x, y, inside = prepare(reference, enhanced, valid, border)
    x, y = np.where(inside, x, 0.0), np.where(inside, y, 0.0)
    counted = Window(0, 0, *x.shape[1:]) if core is None else core
    found = nothing(len(x))
    for level in range(len(WEIGHTS)):
        if level:
            x, y, inside = halved(x), halved(y), _all_of_four(inside)
        if min(x.shape[1:]) <= 2 * SSIM_RADIUS:
            break
        rows, columns = (
            slice(max((start >> level) - SSIM_RADIUS, 0), max((stop >> level) - SSIM_RADIUS, 0))
            for start, stop in ((counted.row, counted.row_stop), (counted.column, counted.column_stop))
        )
        for band, (one, other, known) in enumerate(zip(x, y, inside, strict=True)):
            whole = whole_around(known, SSIM_RADIUS)[rows, columns]
            if not whole.any():
                continue
            luminance, contrast = similarity_parts(one, other, data_range)
            similarity = contrast if level < len(WEIGHTS) - 1 else luminance * contrast
            found.total[level, band] = similarity[rows, columns][whole].sum(dtype=np.float64)
            found.count[level, band] = whole.sum()
    return found


def ms_ssim(reference: Array, enhanced: Array, *, data_range: float, valid: Mask | None = None, border: int = 0) -> PerBand:
    """MS-SSIM, 0…1; NaN for pictures below `SMALLEST` pixels. Arguments as in `multiscale`."""
    return multiscale(reference, enhanced, data_range=data_range, valid=valid, border=border).ms_ssim


def halved(x: NDArray[Any]) -> NDArray[Any]:
    """Means over 2 × 2 pixels of ``(C, H, W)``; an odd row or column at the end is left out."""
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    even = x[:, :height, :width]
    mean: NDArray[Any] = 0.25 * (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2])
    return mean


def _all_of_four(inside: Mask) -> Mask:
    height, width = inside.shape[1] // 2 * 2, inside.shape[2] // 2 * 2
    even = inside[:, :height, :width]
    return even[:, ::2, ::2] & even[:, 1::2, ::2] & even[:, ::2, 1::2] & even[:, 1::2, 1::2]
