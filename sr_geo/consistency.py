"""The sensor as a linear operator: seeing a picture again, and putting it right with what was measured.

Also the smooth picture that the measurement alone supports. Pure numbers, no I/O.

The sensor blurs the fine picture with a Gaussian of standard deviation σ (fine pixels) and averages over each coarse
pixel. Both steps act on rows and columns separately, so that everything here is a product of one-dimensional filters
with finite support: a result depends on its neighbourhood only, and tiles with enough halo equal the whole.

*Back-projection* (Irani and Peleg, 1991) repeats "add the upsampled difference between what was measured and what
would be measured of the picture". Summed up, its steps are one filter on the difference, so we design that filter
directly: the symmetric filter of `RESTORE` taps on each side whose cascade with "upsample, then see again" is
closest to doing nothing.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sr_geo.radiometry import Float
from sr_geo.resample import bilinear, nearest

RESTORE = 4
"""Coarse pixels on each side of a pixel that its correction looks at."""

DAMPING = 0.05
"""Price of amplification in the restoration filter. Frequencies that the sensor hardly passes hold noise, not picture."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """Point spread function of one band: Gaussian blur, then the mean over ``scale × scale`` fine pixels."""

    sigma: float
    """Standard deviation of the Gaussian in fine pixels."""
    scale: int = 4

    def __post_init__(self) -> None:
        if not 0.0 <= self.sigma < 20.0 or self.scale < 2:
            raise ValueError(f"sigma {self.sigma}, scale {self.scale}: expected 0 ≤ sigma < 20 fine pixels and a scale of 2 or more")

    @property
    def reach(self) -> int:
        """Coarse pixels beyond its own that a coarse pixel gathers light from (four standard deviations)."""
        return math.ceil(4.0 * self.sigma / self.scale)

    @property
    def halo(self) -> int:
        """Coarse pixels around a window that `make_consistent` needs for the window to be exact."""
        return self.reach + RESTORE + 1


def seen(fine: Float, sensor: Sensor) -> Float:
    """What the sensor measures of a fine picture, where its whole support is inside.

    Args:
        fine: ``(scale·h, scale·w)``, any unit.
        sensor: the band's point spread function.

    Returns:
        ``(h − 2·reach, w − 2·reach)``: the outer `reach` coarse pixels are left away.
    """
    return _filtered(fine, _see_kernel(sensor), sensor.scale)


def restore(coarse: Float, sensor: Sensor) -> Float:
    """The filter that makes up for "upsample, then see again"; ``(h, w)`` → ``(h − 2·RESTORE, w − 2·RESTORE)``."""
    return _filtered(coarse, _restore_kernel(sensor), 1)


def make_consistent(fine: Float, measured: Float, sensor: Sensor) -> Float:
    """The picture put right so that, seen again, it gives what was measured.

    Args:
        fine: ``(scale·h, scale·w)``, a band of the enhanced picture.
        measured: ``(h, w)``, the same band as the sensor gave it, in the same unit.
        sensor: the band's point spread function.

    Returns:
        ``(scale·(h − 2·halo), scale·(w − 2·halo))`` with ``halo = sensor.halo``.
    """
    difference = seen(fine, sensor)
    np.subtract(_inner(measured, sensor.reach), difference, out=difference)
    result = bilinear(restore(difference, sensor), sensor.scale)
    result += _inner(fine, sensor.halo * sensor.scale)
    return result


def supported(measured: Float, sensor: Sensor) -> Float:
    """The smooth picture that the measurement alone supports; ``(h, w)`` → ``(scale·(h − 2·RESTORE − 2), …)``.

    An enhanced picture that is consistent equals this plus detail that the sensor cannot see: the detail that the
    network added. Where that difference is large, the picture rests on what was learnt elsewhere.
    """
    return bilinear(restore(measured, sensor), sensor.scale)


def block_mean(fine: Float, scale: int) -> Float:
    """Mean over each ``scale × scale`` block, ``(scale·h, scale·w)`` → ``(h, w)``."""
    height, width = fine.shape
    blocks = fine.reshape(height // scale, scale, width // scale, scale)
    mean: Float = blocks.mean(axis=(1, 3), dtype=np.float32)
    return mean


def make_block_consistent(fine: Float, measured: Float, scale: int) -> Float:
    """The picture with every block's mean moved onto the measured pixel; same shapes as `make_consistent`, no halo."""
    shift = measured - block_mean(fine, scale)
    return fine + nearest(shift, scale)


def _inner(plane: Float, margin: int) -> Float:
    return plane[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]


@lru_cache(maxsize=256)
def _see_kernel(sensor: Sensor) -> Float:
    """``scale·(2·reach + 1)`` taps: Gaussian ∗ box, normalised."""
    radius = sensor.reach * sensor.scale
    if radius == 0:
        return np.full(sensor.scale, 1.0 / sensor.scale, np.float32)
    taps = np.arange(-radius, radius + 1)
    gauss = np.exp(-0.5 * (taps / sensor.sigma) ** 2)
    gauss[np.abs(taps) > 4.0 * sensor.sigma] = 0.0
    full = np.convolve(gauss / gauss.sum(), np.full(sensor.scale, 1.0 / sensor.scale))
    # The window of a coarse pixel starts `radius` before its first fine pixel; the two lengths agree by construction.
    return full.astype(np.float32)


@lru_cache(maxsize=256)
def _restore_kernel(sensor: Sensor) -> Float:
    """Least squares over frequency: min ∫ |1 − G·R|² + DAMPING·|R − 1|² with R the filter and G "upsample, then see"."""
    see_kernel = _see_kernel(sensor).astype(np.float64)
    size = 4 * (sensor.reach + 4) + 1
    impulse = np.zeros((1, size), np.float32)
    impulse[0, size // 2] = 1.0
    up = bilinear(impulse.repeat(3, axis=0), sensor.scale)[0].astype(np.float64)
    again = np.array([up[i : i + len(see_kernel)] @ see_kernel for i in range(0, len(up) - len(see_kernel) + 1, sensor.scale)])
    centre = len(again) // 2
    frequency = np.linspace(0.0, 0.5, 129)
    response = again[centre] + 2.0 * sum(again[centre + k] * np.cos(2.0 * np.pi * frequency * k) for k in range(1, centre + 1))
    basis = np.stack([np.ones_like(frequency), *(2.0 * np.cos(2.0 * np.pi * frequency * k) for k in range(1, RESTORE + 1))], 1)
    # The mean must pass unchanged: the sum of the taps is one, put in as a row of great weight.
    rows = np.concatenate([response[:, None] * basis, math.sqrt(DAMPING) * basis, 1e4 * basis[:1]])
    goal = np.concatenate([np.ones_like(frequency), math.sqrt(DAMPING) * np.ones_like(frequency), [1e4]])
    half = np.linalg.lstsq(rows, goal, rcond=None)[0]
    return np.concatenate([half[:0:-1], half]).astype(np.float32)


_BLOCK = 16
"""Outputs computed by one matrix product: large enough for the library to run at speed, small enough to waste little."""


@lru_cache(maxsize=512)
def _band_matrix(key: bytes, step: int, count: int) -> Float:
    """``(count, step·(count − 1) + taps)``: the kernel once in every row, each `step` further to the right."""
    kernel = np.frombuffer(key, np.float32)
    matrix = np.zeros((count, step * (count - 1) + len(kernel)), np.float32)
    for row in range(count):
        matrix[row, step * row : step * row + len(kernel)] = kernel
    return matrix


def _filtered(plane: Float, kernel: Float, step: int) -> Float:
    """Correlate columns, then rows with `kernel` at every `step`-th place; only places where the kernel is inside."""
    height, width = ((size - len(kernel)) // step + 1 for size in plane.shape)
    if height < 1 or width < 1:
        raise ValueError(f"{plane.shape[0]} × {plane.shape[1]} pixels: the sensor's support alone is {len(kernel)} pixels wide")
    key = kernel.tobytes()
    low = np.empty((height, plane.shape[1]), np.float32)
    for first in range(0, height, _BLOCK):
        matrix = _band_matrix(key, step, min(_BLOCK, height - first))
        np.matmul(matrix, plane[first * step : first * step + matrix.shape[1]], out=low[first : first + len(matrix)])
    out = np.empty((height, width), np.float32)
    for first in range(0, width, _BLOCK):
        matrix = _band_matrix(key, step, min(_BLOCK, width - first))
        out[:, first : first + len(matrix)] = low[:, first * step : first * step + matrix.shape[1]] @ matrix.T
    return out
