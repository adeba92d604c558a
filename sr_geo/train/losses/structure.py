"""Structural similarity as a loss: MS-SSIM by torchmetrics, and DISTS with weights that are at hand offline."""

from collections.abc import Sequence
from importlib import resources

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.radiometry import Float
from sr_geo.train.perceptual import Units, load_backbone
from sr_geo.train.perceptual.backbone import StagedBackbone
from sr_geo.train.perceptual.bands import as_pictures, band_triples, to_picture_range

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


class DistsTerm(nn.Module):
    """Deep image structure and texture similarity (Ding et al. 2020, https://arxiv.org/abs/2004.07728), 0 for equal pictures.

    VGG16 as in `load_backbone`; the weights of its features are those that torchmetrics carries. Bands become pictures as in
    `PerceptualTerm`. No weights appear in `parameters()` or `state_dict()`.

    Args:
        bands: roles of the bands.
        units: of the samples.
        source: of the weights of VGG16.
    """

    def __init__(self, bands: Sequence[str], *, units: Units, source: str = "auto") -> None:
        super().__init__()
        self.triples, self.units = band_triples(bands), units
        backbone, self.provenance = load_backbone("vgg16", source)
        assert isinstance(backbone, StagedBackbone)
        pool = torch.tensor([0.25, 0.5, 0.25])  # a Hann window: no aliasing, unlike maximum pooling
        file = resources.files("torchmetrics") / "functional/image/dists_models/weights.pt"
        with resources.as_file(file) as path:
            learnt = torch.load(path, map_location="cpu", weights_only=True)
        total = learnt["alpha"].sum() + learnt["beta"].sum()
        self.__dict__["_backbone"] = backbone
        for name, value in (
            ("pool", (pool[:, None] * pool)[None, None]),
            ("alpha", learnt["alpha"].flatten() / total),
            ("beta", learnt["beta"].flatten() / total),
        ):
            self.register_buffer(name, value.detach().float(), persistent=False)

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Mean distance over the pictures of ``(N, C, H, W)`` twice; no gradient flows to `hr`."""
        with torch.autocast(sr.device.type, enabled=False):
            like = as_pictures(hr.detach().float(), self.triples)
            pictures = to_picture_range(as_pictures(sr.float(), self.triples), like, self.units)
            with torch.no_grad():
                theirs = self._stages(to_picture_range(like, like, self.units))
            ours = self._stages(pictures)
            alpha, beta = (torch.split(self.get_buffer(name), [x.shape[1] for x in ours]) for name in ("alpha", "beta"))
            similar = torch.zeros(len(pictures), device=sr.device)
            for x, y, a, b in zip(ours, theirs, alpha, beta, strict=True):
                mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
                var_x, var_y = x.var((2, 3), correction=0), y.var((2, 3), correction=0)
                both = (x * y).mean((2, 3)) - mean_x * mean_y
                texture = (2.0 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
                structure = (2.0 * both + 1e-6) / (var_x + var_y + 1e-6)
                similar = similar + (a * texture).sum(1) + (b * structure).sum(1)
            return 1.0 - similar.mean()

    def of_pictures(self, a: Float, b: Float) -> float:
        """The distance of two pictures ``(C, H, W)`` in the unit of the samples, as a measure."""
        with torch.no_grad():
            x, y = (torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None] for picture in (a, b))
            return float(self(x, y))

    def _stages(self, pictures: Tensor) -> list[Tensor]:
        """The picture itself and the last activated map of each block, with smooth pooling between blocks."""
        backbone: StagedBackbone = self.__dict__["_backbone"].to(pictures.device)
        x, maps, block = backbone.preprocessing(pictures), [pictures], "block1"
        for tap in backbone.taps:
            if not tap.startswith(block):
                maps.append(x)
                block = tap.partition("_")[0]
                kernel = self.get_buffer("pool").expand(x.shape[1], 1, 3, 3)
                x = (F.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()
            x = F.relu(backbone.layers[tap](x))
        return [*maps, x]
