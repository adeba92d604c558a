"""`compact`: a plain residual 3×3 network that commutes with gain and offset.

Plain 3×3 convolutions at low resolution and one PixelShuffle tail are what CPUs run fastest (channel
counts are multiples of 16 because the blocked convolution kernels of ONNX Runtime work in such blocks).

Two things differ from the usual network of this shape:

* **Equivariance.** No layer has a bias, the kernels of the first convolution sum to zero, and the point spread
  function enters as a *factor* on features. So for any gain ``a > 0`` and any offset ``b`` per band,
  ``net(a·x + b) = a·net(x) + b`` (to rounding). Digital numbers, reflectance, 8 bits or 16, an atmospheric offset
  removed or not: the picture added is the same, and no per-image normalisation is needed to get there.
* **The blur is an input.** ``sigma`` tells, per band, how soft the sensor is; one set of weights serves all.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.train.nets.generator import Generator

SIGMA_RANGE = (1.0, 3.2)
"""Standard deviations (output pixels) over which the network is trained; features see this scaled to −1…1."""


class ZeroSumConv(nn.Conv2d):
    """3×3 convolution without biases whose kernels sum to zero over space, so that a constant band gives exactly nothing."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(dim=(2, 3), keepdim=True)
        y: Tensor = self._conv_forward(x, weight, None)
        return y


class SigmaGate(nn.Module):
    """Factors ``(N, width, 1, 1)`` from the blur of each band: multiplicative, so that gains pass through."""

    def __init__(self, bands: int, width: int, gates: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(bands, 32)
        self.out = nn.Linear(32, width * gates)
        self.gates = gates
        nn.init.zeros_(self.out.weight)
        nn.init.ones_(self.out.bias)

    def forward(self, sigma: Tensor) -> tuple[Tensor, ...]:
        low, high = SIGMA_RANGE
        scaled = (sigma - low) * (2.0 / (high - low)) - 1.0
        factors: Tensor = self.out(torch.tanh(self.hidden(scaled)))
        return tuple(factors[:, :, None, None].chunk(self.gates, dim=1))


class Block(nn.Module):
    """x + conv(act(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.leaky_relu(self.conv1(x), 0.1))
        return x + y


class Compact(Generator):
    """Residual ×``scale`` network: bilinear upsampling plus a learnt, zero-mean-input residual.

    Args:
        bands: number of bands in and out.
        width: feature channels, a multiple of 16.
        blocks: residual blocks of two convolutions each.
        scale: integer upscaling factor.
        sees_blur: whether the sensor's blur is an input. Photos have none to state: there the factors are left out.
    """

    band_inputs = ("head.weight", "gate.hidden.weight")
    band_outputs = ("tail.weight",)
    commutes = True

    def __init__(self, bands: int, *, width: int = 48, blocks: int = 8, scale: int = 4, sees_blur: bool = True) -> None:
        super().__init__(bands, scale=scale)
        if width % 16:
            raise ValueError(f"width={width}: expected a multiple of 16, e.g. {max(16, width // 16 * 16)}")
        self.width, self.blocks = width, blocks
        self.takes_sigma = sees_blur
        self.head = ZeroSumConv(bands, width, 3, padding=1, bias=False)
        # Sharp and soft sensors need other steps: a factor a channel after the first convolution, before each block and before the last.
        self.gate = SigmaGate(bands, width, gates=blocks + 2) if sees_blur else None
        self.body = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, bands * scale**2, 3, padding=1, bias=False)
        for module in self.body.modules():
            if isinstance(module, nn.Conv2d):
                # Small residual branches keep the first steps close to the skip (ESRGAN, sect. 3.1).
                nn.init.kaiming_normal_(module.weight, a=0.1)
                with torch.no_grad():
                    module.weight *= 0.3
        nn.init.zeros_(self.tail.weight)

    def deepened(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See `Generator.deepened`: added blocks come last, and their second convolution starts at zero (Net2Net, Chen et al. 2016)."""
        known = sum(name.endswith(".conv2.weight") for name in weights)
        if not 0 < known < self.blocks:
            return weights
        own, grown = self.state_dict(), dict(weights)
        for number in range(known, self.blocks):
            first, second = f"body.{number}.conv1.weight", f"body.{number}.conv2.weight"
            grown[first], grown[second] = own[first], torch.zeros_like(own[second])
        if self.gate is not None and "gate.out.weight" in weights:
            rows = self.width * (known + 1)  # factors after the first convolution and before each block; those before the last follow
            for name, neutral in (("gate.out.weight", 0.0), ("gate.out.bias", 1.0)):
                added = torch.full_like(weights[name][: self.width], neutral).repeat(self.blocks - known, *[1] * (weights[name].ndim - 1))
                grown[name] = torch.cat([weights[name][:rows], added, weights[name][rows:]])
        return grown

    @property
    def halo(self) -> int:
        """Input pixels around a window that can influence its output: one per 3×3 convolution in sequence."""
        return 2 * self.blocks + 2

    def forward(self, lr: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Upscale; see `Generator.forward`.

        Raises:
            ValueError: `sigma` is missing though the network takes it.
        """
        factors: tuple[Tensor | float, ...] = (1.0,) * (self.blocks + 2)
        if self.gate is not None:
            if sigma is None:
                raise ValueError("sigma is missing: this network was built to take the sensor's blur of each band")
            factors = self.gate(sigma)
        first, *each, last = factors
        head = self.head(lr) * first
        y = head
        for block, factor in zip(self.body, each, strict=True):
            y = block(y * factor)
        residual = F.pixel_shuffle(self.tail((y + head) * last), self.scale)
        return residual + F.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
