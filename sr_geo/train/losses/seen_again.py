"""Consistency with the measurement: what the sensor sees of the result is its input."""

import math

from torch import Tensor
from torch.nn import functional as F

from sr_geo.train.degradations.sensor import see


def consistency_loss(sr: Tensor, lr: Tensor, sigma: Tensor, *, scale: int) -> Tensor:
    """Mean |difference| of the result seen again from the input, of ``(N, C, s·h, s·w)`` and ``(N, C, h, w)``.

    Pixels at the border, whose light came from outside the patch, do not count, but for the middle of a patch that is all border.

    Args:
        sr: what the generator makes.
        lr: its input.
        sigma: ``(N, C)`` blur of the sensor in pixels of `sr`.
        scale: pixels of `sr` per pixel of `lr`.
    """
    off = min(math.ceil(3.0 * float(sigma.max()) / scale), (min(lr.shape[2:]) - 1) // 2)
    inside = (..., slice(off, -off or None), slice(off, -off or None))
    return F.l1_loss(see(sr, sigma, scale=scale)[inside], lr[inside])
