"""Detail for bands that no network was trained on, borrowed from those that one was. Pure numbers, no I/O.

Where two bands rise and fall together in the input, the detail of one is a fair guess at that of the other, in
proportion to how steeply they do. This is local regression, as in the guided filter (He, Sun and Tang, 2010), used as
detail injection in pan-sharpening. The sensor consistency that follows ties the result to what was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from sr_geo.radiometry import Float
from sr_geo.resample import bilinear

RADIUS = 4
"""Input pixels on each side of the window of the local regression."""

MARGIN = RADIUS + 1
"""Input pixels that `guided` uses up on every side: the regression's window and the bilinear interpolation."""


@dataclass(frozen=True, slots=True)
class Guide:
    """A band with a network, as `guided` needs it; made once for all bands that borrow from it."""

    deviation: Float
    """``(h, w)``, from the local mean."""
    variance: Float
    detail: Float
    """What the network added to the band's bilinear upsampling, ``(scale·(h − 2·MARGIN), scale·(w − 2·MARGIN))``."""


def guide(band: Float, detail: Float) -> Guide:
    """The band ``(h, w)`` and its detail as a guide."""
    return Guide(*_spread(band), detail)


def guided(band: Float, guides: Sequence[Guide], *, scale: int) -> Float:
    """The band upsampled bilinearly, plus the guides' detail as far as the band goes with them.

    Args:
        band: ``(h, w)``, the band without a network, in any unit.
        guides: of the same window.
        scale: fine pixels per coarse pixel.

    Returns:
        ``(scale·(h − 2·MARGIN), scale·(w − 2·MARGIN))`` in the unit of `band`.
    """
    out = bilinear(_cut(band, MARGIN - 1), scale)
    deviation, variance = _spread(band)
    slopes, weights = zip(*(_regression(deviation, variance, other) for other in guides), strict=True)
    total = np.maximum(np.sum(weights, axis=0), np.float32(1e-12))
    for slope, weight, other in zip(slopes, weights, guides, strict=True):
        share = bilinear(_cut(slope * weight / total, RADIUS), scale)
        share *= other.detail
        out += share
    return out


def _spread(band: Float) -> tuple[Float, Float]:
    """Deviation from the local mean, and its variance, no less than what rounding leaves of a constant band.

    Deviations first: products of raw values would lose all digits to the mean in float32.
    """
    mean = _mean(band)
    deviation = band - mean
    floor = np.square(np.float32(1e-6) * mean) + np.float32(1e-30)
    return deviation, _mean(np.square(deviation)) + floor


def _regression(deviation: Float, variance: Float, other: Guide) -> tuple[Float, Float]:
    """Slope of a band over a guide in the window around each pixel, and the fourth power of their correlation."""
    covariance = _mean(deviation * other.deviation)
    slope = covariance / other.variance
    return slope, np.square(slope * (covariance / variance))


def _mean(plane: Float) -> Float:
    mean: Float = uniform_filter(plane, 2 * (RADIUS // 2) + 1, mode="nearest")
    return mean


def _cut(plane: Float, margin: int) -> Float:
    return plane[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]
