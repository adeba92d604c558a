"""Losses pixel by pixel."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-3
"""Where Charbonnier's loss bends from square to straight, in the unit of the samples."""


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of ``sqrt(d² + ε²)``: L1 without its corner (Charbonnier et al. 1994)."""
    return torch.sqrt((sr - hr).square() + EPSILON**2).mean()


PIXEL_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": F.l1_loss, "l2": F.mse_loss, "charbonnier": charbonnier}
"""By the name that a recipe uses: of ``(N, C, H, W)`` twice, a scalar."""
