"""A loss against the faint grid that networks leave which make pixels by shuffling channels."""

from torch import Tensor
from torch.nn import functional as F

NEIGHBOURS = 5
"""Input pixels a side over which an error has to repeat to count as a grid."""


def grid_loss(sr: Tensor, hr: Tensor, *, scale: int) -> Tensor:
    """Mean of what the error keeps repeating from one input pixel to the next.

    The error's deviation from its mean over an input pixel, at each of the ``scale²`` places inside it, averaged over `NEIGHBOURS` ×
    `NEIGHBOURS` input pixels. Wrong texture averages out; a pattern that is locked to the input's pixels stays. A discriminator on
    small samples and LPIPS reward fine contrast, and such a pattern is the cheapest.

    Args:
        sr: enhanced samples ``(N, C, s·h, s·w)``, their corner on that of an input pixel.
        hr: true samples of the same shape.
        scale: fine pixels a side of an input pixel.

    Returns:
        A scalar in the unit of the samples.
    """
    error = F.pixel_unshuffle(sr - hr, scale)
    places = error.reshape(len(error), sr.shape[1], scale * scale, *error.shape[2:])
    around = min(NEIGHBOURS, *error.shape[2:])
    return F.avg_pool2d((places - places.mean(2, keepdim=True)).flatten(1, 2), around, stride=1).abs().mean()
