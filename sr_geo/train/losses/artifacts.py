"""Locally discriminative learning: L1 where a GAN invents, and nowhere else."""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 7
"""Side of the surroundings that a pixel is compared with."""
ROOT = 0.2
"""Exponent that tells textures (large residuals everywhere) from artefacts in one patch."""


def artifact_loss(sr: Tensor, hr: Tensor, average: Tensor) -> Tensor:
    """L1 weighted by `artifact_map`; scalar, of ``(N, C, H, W)`` three times."""
    weight = artifact_map(sr, hr, average)
    return F.l1_loss(weight * sr, weight * hr)


@torch.no_grad()
def artifact_map(sr: Tensor, hr: Tensor, average: Tensor) -> Tensor:
    """How much of an artefact each pixel is, ``(N, 1, H, W)``, from 0 (Liang, Zeng, Zhang 2022, https://arxiv.org/abs/2203.09195).

    Args:
        sr: what the generator makes.
        hr: the true picture.
        average: what the averaged weights make: they are steadier, so where they are nearer to the truth the
            generator is in an artefact, and where they are not it has found a texture.
    """
    residual = (hr - sr).abs().sum(1, keepdim=True)
    steadier = (hr - average).abs().sum(1, keepdim=True)
    patch = residual.var(dim=(1, 2, 3), keepdim=True) ** ROOT
    local = _local_variance(residual)
    return torch.where(residual < steadier, torch.zeros_like(local), patch * local)


def _local_variance(x: Tensor) -> Tensor:
    padded = F.pad(x, (WINDOW // 2,) * 4, mode="reflect")
    count = WINDOW * WINDOW
    mean = F.avg_pool2d(padded, WINDOW, stride=1)
    square = F.avg_pool2d(padded.square(), WINDOW, stride=1)
    return (square - mean.square()).clamp_min(0.0) * (count / (count - 1))
