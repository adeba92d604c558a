"""`rrdbnet`: the generator of ESRGAN, residual-in-residual dense blocks without batch normalisation.

Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks" (2018). At 23 blocks of 64 features
that grow by 32 it is the published network, weight for weight: names and shapes are those of the state dicts of ESRGAN's
successors (``conv_first``, ``body.N.rdbK.convI``, ``conv_body``, ``conv_up1``, ``conv_up2``, ``conv_hr``, ``conv_last``).
Fewer blocks or features make the light variants.

Scale 2 leaves the second upsampling out, as ESRGAN's first release does. Real-ESRGAN instead folds 2 × 2 input pixels
into channels and enlarges by 4: a quarter of the work, but the result then depends on whether a tile begins at an even
pixel, so tiles would not make up the whole. Its ×2 weights are therefore not taken.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.train.nets.generator import Generator

SLOPE = 0.2
"""Of the leaky ReLU."""
RESIDUAL = 0.2
"""Factor on the output of each residual branch: keeps deep stacks stable at the start (ESRGAN, sect. 3.1)."""


class DenseBlock(nn.Module):
    """x + 0.2·f(x), where each of five convolutions sees the outputs of all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(width + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(width + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, padding=1)
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            _start_small(conv)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, F.leaky_relu(conv(seen), SLOPE, inplace=True)), dim=1)
        y: Tensor = self.conv5(seen)
        return y * RESIDUAL + x


class ResidualInResidual(nn.Module):
    """x + 0.2·(three dense blocks in a row)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(width, growth)
        self.rdb2 = DenseBlock(width, growth)
        self.rdb3 = DenseBlock(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return y * RESIDUAL + x


class RRDBNet(Generator):
    """ESRGAN's generator. It does not commute with gain and offset: feed it the range that it was trained on, such as 0…1.

    Args:
        bands: number of bands in and out.
        width: feature channels.
        blocks: residual-in-residual blocks of fifteen convolutions each.
        growth: channels that each convolution of a dense block adds.
        scale: 2 or 4.
    """

    band_inputs = ("conv_first.weight",)
    band_outputs = ("conv_last.weight", "conv_last.bias")

    def __init__(self, bands: int, *, width: int = 64, blocks: int = 23, growth: int = 32, scale: int = 4) -> None:
        super().__init__(bands, scale=scale)
        if scale not in (2, 4):
            raise ValueError(f"scale={scale}: rrdbnet enlarges by 2 or 4")
        self.blocks, self.growth = blocks, growth
        # Defined in the order in which ncnn files hold them, which `sr_geo.train.foreign` relies on.
        self.conv_first = nn.Conv2d(bands, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualInResidual(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_up2 = nn.Conv2d(width, width, 3, padding=1) if scale == 4 else None
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, bands, 3, padding=1)

    @property
    def halo(self) -> int:
        """15 per block, one each for the first and the last convolution at low resolution, two for those that are finer.

        At scale 4 an output pixel needs 3 more on each side for the last three convolutions; halved, plus one, halved
        again, that reaches into the second low-resolution pixel. At scale 2, 3 halved once reaches as far.
        """
        return 15 * self.blocks + 4

    def forward(self, lr: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Upscale; see `Generator.forward`."""
        first = self.conv_first(lr)
        y = first + self.conv_body(self.body(first))
        for conv in (self.conv_up1, self.conv_up2):
            if conv is not None:
                y = F.leaky_relu(conv(F.interpolate(y, scale_factor=2, mode="nearest")), SLOPE, inplace=True)
        sr: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(y), SLOPE, inplace=True))
        return sr


def _start_small(conv: nn.Conv2d) -> None:
    """A tenth of He's initial weights, as published: each dense block then starts near the identity."""
    nn.init.kaiming_normal_(conv.weight)
    with torch.no_grad():
        conv.weight *= 0.1
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
