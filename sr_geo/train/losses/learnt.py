"""Distances that were learnt from what people say of pictures: DISTS and LPIPS, both on VGG16, with weights that are at hand offline."""

from abc import ABC, abstractmethod
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


class LearntDistance(nn.Module, ABC):
    """A distance between the maps of VGG16's five blocks, weighted channel by channel; 0 for equal pictures.

    VGG16 as in `load_backbone`, in the precision of the run; its maps are compared in float32. The weights of its channels
    are those that torchmetrics carries. Bands become pictures as in `PerceptualTerm`. No weights appear in `parameters()`
    or `state_dict()`.

    Args:
        bands: roles of the bands.
        units: of the samples.
        source: of the weights of VGG16.
    """

    weights_file: str
    """Of the channels, below ``torchmetrics/functional/image``."""

    def __init__(self, bands: Sequence[str], *, units: Units, source: str = "auto") -> None:
        super().__init__()
        self.triples, self.units = band_triples(bands), units
        backbone, self.provenance = load_backbone("vgg16", source)
        assert isinstance(backbone, StagedBackbone)
        self.__dict__["_backbone"] = backbone
        with resources.as_file(resources.files("torchmetrics") / "functional/image" / self.weights_file) as path:
            learnt = torch.load(path, map_location="cpu", weights_only=True)
        for name, value in self.constants(learnt).items():
            self.register_buffer(name, value.detach().float(), persistent=False)

    @staticmethod
    @abstractmethod
    def constants(learnt: dict[str, Tensor]) -> dict[str, Tensor]:
        """The term's buffers, from the file of weights."""

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """A map as the next block takes it, half as wide."""

    @abstractmethod
    def distance(self, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        """Of each picture ``(N,)``, from the pictures themselves and the last activated map of each block."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Mean distance over the pictures of ``(N, C, H, W)`` twice; no gradient flows to `hr`."""
        half = torch.is_autocast_enabled(sr.device.type)
        with torch.autocast(sr.device.type, enabled=False):
            like = as_pictures(hr.detach().float(), self.triples)
            pictures = to_picture_range(as_pictures(sr.float(), self.triples), like, self.units)
            with torch.no_grad():
                theirs = self._maps(to_picture_range(like, like, self.units), half=half)
            return self.distance(self._maps(pictures, half=half), theirs).mean()

    def of_pictures(self, a: Float, b: Float) -> float:
        """The distance of two pictures ``(C, H, W)`` in the unit of the samples, as a measure."""
        with torch.no_grad():
            x, y = (torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None] for picture in (a, b))
            return float(self(x, y))

    def _maps(self, pictures: Tensor, *, half: bool) -> list[Tensor]:
        """The pictures, then the last map of each block as float32; `half`: convolutions in the precision of autocast."""
        backbone: StagedBackbone = self.__dict__["_backbone"].to(pictures.device)
        x, maps, block = backbone.preprocessing(pictures), [pictures], "block1"
        for tap in backbone.taps:
            if not tap.startswith(block):
                maps.append(x.float())
                block = tap.partition("_")[0]
                x = self.pool(maps[-1])
            with torch.autocast(pictures.device.type, enabled=half):
                x = F.relu(backbone.layers[tap](x))
        return [*maps, x.float()]


class DistsTerm(LearntDistance):
    """Deep image structure and texture similarity (Ding et al. 2020, https://arxiv.org/abs/2004.07728).

    Texture that is alike but lies elsewhere costs little.
    """

    weights_file = "dists_models/weights.pt"

    @staticmethod
    def constants(learnt: dict[str, Tensor]) -> dict[str, Tensor]:
        hann = torch.tensor([0.25, 0.5, 0.25])  # no aliasing, unlike maximum pooling
        total = learnt["alpha"].sum() + learnt["beta"].sum()
        return {
            "kernel": (hann[:, None] * hann)[None, None],
            "alpha": learnt["alpha"].flatten() / total,
            "beta": learnt["beta"].flatten() / total,
        }

    def pool(self, x: Tensor) -> Tensor:
        kernel = self.get_buffer("kernel").expand(x.shape[1], 1, 3, 3)
        return (F.conv2d(x.square(), kernel, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()

    def distance(self, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        alpha, beta = (torch.split(self.get_buffer(name), [x.shape[1] for x in ours]) for name in ("alpha", "beta"))
        similar = torch.zeros(len(ours[0]), device=ours[0].device)
        for x, y, a, b in zip(ours, theirs, alpha, beta, strict=True):
            mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
            var_x, var_y = x.var((2, 3), correction=0), y.var((2, 3), correction=0)
            both = (x * y).mean((2, 3)) - mean_x * mean_y
            texture = (2.0 * mean_x * mean_y + 1e-6) / (mean_x**2 + mean_y**2 + 1e-6)
            structure = (2.0 * both + 1e-6) / (var_x + var_y + 1e-6)
            similar = similar + (a * texture).sum(1) + (b * structure).sum(1)
        return 1.0 - similar


class LpipsTerm(LearntDistance):
    """LPIPS 0.1 with VGG16 (Zhang et al. 2018, https://arxiv.org/abs/1801.03924), its weights "lin" of torchmetrics.

    As a measure this project takes LPIPS with AlexNet (`sr_geo.quality.lpips`), which no loss uses.
    """

    weights_file = "lpips_models/vgg.pth"

    @staticmethod
    def constants(learnt: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"heads": torch.cat([learnt[f"lin{block}.model.1.weight"].flatten() for block in range(5)])}

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2)

    def distance(self, ours: list[Tensor], theirs: list[Tensor]) -> Tensor:
        heads = torch.split(self.get_buffer("heads"), [x.shape[1] for x in ours[1:]])
        apart = [(_unit(x) - _unit(y)).square().mean((2, 3)) @ head for x, y, head in zip(ours[1:], theirs[1:], heads, strict=True)]
        return torch.stack(apart).sum(0)


def _unit(x: Tensor) -> Tensor:
    """Each place's channels at length one; the root's argument is kept from zero, where it has no slope."""
    return x / (x.square().sum(1, keepdim=True) + 1e-8).sqrt()
