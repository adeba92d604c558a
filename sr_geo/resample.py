"""Upsampling by an integer factor with pixel corners kept. Pure numbers, no I/O.

All functions use up a margin of the input instead of inventing what lies outside, so that tiles equal the whole.
"""

import numpy as np

from sr_geo.radiometry import Float


def bilinear(coarse: Float, scale: int) -> Float:
    """``(h, w)`` → ``(scale·(h − 2), scale·(w − 2))``: between pixel centres; the outer pixel is used up."""
    height, width = _left_over(coarse, 1)
    phased = np.empty((coarse.shape[0], width, scale), np.float32)
    _between(coarse[:, :-2], coarse[:, 1:-1], coarse[:, 2:], phased.transpose(2, 0, 1))
    wide = phased.reshape(coarse.shape[0], width * scale)
    out = np.empty((height, scale, width * scale), np.float32)
    _between(wide[:-2], wide[1:-1], wide[2:], out.transpose(1, 0, 2))
    return out.reshape(height * scale, width * scale)


def cubic(coarse: Float, scale: int) -> Float:
    """``(h, w)`` → ``(scale·(h − 4), scale·(w − 4))``: Keys' cubic convolution, a = −0.5, as in GDAL; two pixels used up."""
    height, width = _left_over(coarse, 2)
    phased = np.empty((coarse.shape[0], width, scale), np.float32)
    _convolved([coarse[:, tap : tap + width] for tap in range(5)], phased.transpose(2, 0, 1))
    wide = phased.reshape(coarse.shape[0], width * scale)
    out = np.empty((height, scale, width * scale), np.float32)
    _convolved([wide[tap : tap + height] for tap in range(5)], out.transpose(1, 0, 2))
    return out.reshape(height * scale, width * scale)


def nearest(coarse: Float, scale: int) -> Float:
    """``(h, w)`` → ``(scale·h, scale·w)``: every pixel repeated."""
    return coarse.repeat(scale, axis=0).repeat(scale, axis=1)


def phases(scale: int) -> Float:
    """Places of fine pixel centres in a coarse pixel, from its centre, in coarse pixels: −0.375, −0.125, … for four."""
    return (np.arange(scale, dtype=np.float32) + np.float32(0.5)) / np.float32(scale) - np.float32(0.5)


def _between(before: Float, centre: Float, after: Float, out: Float) -> None:
    """Fill ``out[phase]`` with the line through `centre` and the neighbour on the phase's side."""
    lower, upper = before - centre, after - centre
    for phase, offset in enumerate(phases(len(out))):
        np.multiply(lower if offset < 0 else upper, abs(offset), out=out[phase])
        out[phase] += centre


def _convolved(taps: list[Float], out: Float) -> None:
    """Fill ``out[phase]`` with the cubic through five neighbours, of which the middle one is the pixel itself."""
    for phase, offset in enumerate(phases(len(out))):
        out[phase] = 0.0
        for tap, plane in enumerate(taps):
            weight = _keys(abs(float(offset) - (tap - 2)))
            if weight:
                out[phase] += np.float32(weight) * plane


def _left_over(coarse: Float, margin: int) -> tuple[int, int]:
    height, width = coarse.shape[0] - 2 * margin, coarse.shape[1] - 2 * margin
    if height < 0 or width < 0:
        raise ValueError(f"{coarse.shape[0]} × {coarse.shape[1]} pixels: the margin alone is {margin} on every side")
    return height, width


def _keys(distance: float) -> float:
    if distance <= 1.0:
        return 1.5 * distance**3 - 2.5 * distance**2 + 1.0
    if distance < 2.0:
        return -0.5 * distance**3 + 2.5 * distance**2 - 4.0 * distance + 2.0
    return 0.0
