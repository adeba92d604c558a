"""Pictures for the tests of the losses."""

import torch
from torch import Tensor


def soft(side: int, *, bands: int = 3, seed: int = 0, count: int = 1) -> Tensor:
    """Soft pictures that fill 0…1 in every band."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, bands, side // 6, side // 6, generator=generator)
    x = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return (x - low) / (high - low)
