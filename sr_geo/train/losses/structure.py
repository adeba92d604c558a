"""Structural similarity as a loss: MS-SSIM by torchmetrics."""

from torch import Tensor

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales of MS-SSIM, fine to coarse (Wang, Simoncelli, Bovik 2003, sect. 3.2)."""
WINDOW = 11
"""Side of its Gaussian window, of standard deviation 1.5."""


def ms_ssim_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """One less the multi-scale SSIM of ``(N, C, H, W)`` twice, any unit.

    The dynamic range is that of each true sample and band, without a gradient: satellites have no fixed one. Patches too small for
    five scales take as many as they hold, with weights that sum to one again.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as ms_ssim

    low = hr.detach().amin(dim=(2, 3), keepdim=True)
    span = (hr.detach().amax(dim=(2, 3), keepdim=True) - low).clamp_min(1e-3)
    scales = 1
    while scales < len(WEIGHTS) and min(hr.shape[2:]) >= WINDOW * 2**scales + WINDOW:
        scales += 1
    total = sum(WEIGHTS[:scales])
    betas = tuple(weight / total for weight in WEIGHTS[:scales])
    value = ms_ssim((sr - low) / span, (hr - low) / span, kernel_size=WINDOW, data_range=1.0, betas=betas, normalize="relu")
    assert isinstance(value, Tensor)
    return 1.0 - value
