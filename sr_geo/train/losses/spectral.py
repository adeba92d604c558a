"""Spectral angle: whether a pixel keeps its colour over all bands."""

import torch
from torch import Tensor

MARGIN = 1e-6
"""The angle's derivative has no bound at a cosine of one. An angle of zero therefore counts as 0.0014."""
DARK = 1e-4
"""Squared length, in the unit of the samples, below which a spectrum fades to no colour: black has none, and no direction to learn."""


def spectral_angle(sr: Tensor, hr: Tensor) -> Tensor:
    """Mean angle between the spectra of pixels, radians, of ``(N, C, H, W)`` twice (Kruse et al. 1993)."""
    length = torch.linalg.vector_norm(sr, dim=1) * torch.linalg.vector_norm(hr, dim=1)
    cosine = ((sr * hr).sum(1) + DARK) / (length + DARK)
    return torch.acos(cosine.clamp(-1.0 + MARGIN, 1.0 - MARGIN)).mean()
