"""Blur kernels and their application."""

import math

import numpy as np
from numpy.typing import NDArray

from sr_geo.radiometry import Float

RADIUS = 10
"""Of the kernels of photos, in pixels."""


def gaussian(sigma: tuple[float, float], angle: float, *, shape: float = 1.0, plateau: bool = False) -> Float:
    """Gaussian with standard deviations `sigma` along axes turned by `angle`, ``(2·RADIUS + 1)²``, summing to one.

    With `shape` other than one the generalised Gaussian exp(−½ r^(2·shape)), or 1/(1 + r^(2·shape)) for a `plateau`.
    """
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1].astype(np.float64)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    radius = ((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2) ** shape
    return _normalised(1.0 / (1.0 + radius) if plateau else np.exp(-0.5 * radius))


def low_pass(cutoff: float) -> Float:
    """The round ideal low-pass of `cutoff` radians per pixel: it rings as over-sharpened and recompressed pictures do."""
    from scipy.special import j1

    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1].astype(np.float64)
    radius = np.hypot(y, x)
    radius[RADIUS, RADIUS] = 1.0
    kernel = cutoff * j1(cutoff * radius) / (2.0 * math.pi * radius)
    kernel[RADIUS, RADIUS] = cutoff**2 / (4.0 * math.pi)
    return _normalised(kernel)


def line(length: float, angle: float) -> Float:
    """Motion over `length` pixels at constant speed in direction `angle`: a line one pixel wide."""
    radius = math.ceil(length / 2.0) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    for along in np.linspace(-length / 2.0, length / 2.0, max(2, math.ceil(4.0 * length))):
        x, y = radius + along * math.cos(angle), radius + along * math.sin(angle)
        column, row = int(x), int(y)
        for step_y, step_x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            kernel[row + step_y, column + step_x] += (1.0 - abs(x - column - step_x)) * (1.0 - abs(y - row - step_y))
    return _normalised(kernel)


def disc(radius: float) -> Float:
    """A point out of focus: an even disc with a soft edge one pixel wide."""
    reach = math.ceil(radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    return _normalised(np.clip(radius + 0.5 - np.hypot(y, x), 0.0, 1.0))


def blur(picture: Float, kernel: Float) -> Float:
    """Each plane of ``(C, H, W)`` convolved with ``(k, k)``, k odd; mirrored at the edges."""
    from scipy.signal import fftconvolve

    margin = len(kernel) // 2
    padded = np.pad(picture, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    out: Float = fftconvolve(padded, kernel[None], mode="valid", axes=(1, 2)).astype(np.float32)
    return out


def _normalised(kernel: NDArray[np.float64]) -> Float:
    out: Float = (kernel / kernel.sum()).astype(np.float32)
    return out
