"""`srresnet`: the generator of SRGAN, without batch normalisation.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network" (2017), in the modified
form that ESRGAN's authors publish as MSRResNet and train SRGAN with. Against the paper's figure: no batch normalisation, no
parametric ReLU, 3×3 convolutions instead of 9×9 at both ends, no convolution at the end of the body, and a bilinear skip from
input to output. Batch normalisation is left out for two reasons: with an adversarial loss it brings blotches (ESRGAN,
sect. 3.1), and it ties the result to the statistics of what the network was trained on. Names and shapes of the weights
are those of the published MSRResNet.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.train.nets.generator import Generator

SLOPE = 0.1
"""Of the leaky ReLU."""


class Block(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(F.relu(self.conv1(x), inplace=True))
        return x + y


class SRResNet(Generator):
    """SRGAN's generator. It does not commute with gain and offset: feed it the range that it was trained on, such as 0…1.

    Args:
        bands: number of bands in and out.
        width: feature channels.
        blocks: residual blocks of two convolutions each.
        scale: 2 or 4.
    """

    band_inputs = ("conv_first.weight",)
    band_outputs = ("conv_last.weight", "conv_last.bias")

    def __init__(self, bands: int, *, width: int = 64, blocks: int = 16, scale: int = 4) -> None:
        super().__init__(bands, scale=scale)
        if scale not in (2, 4):
            raise ValueError(f"scale={scale}: srresnet enlarges by 2 or 4")
        self.blocks = blocks
        self.conv_first = nn.Conv2d(bands, width, 3, padding=1)
        self.body = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.upconv1 = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.upconv2 = nn.Conv2d(width, 4 * width, 3, padding=1) if scale == 4 else None
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, bands, 3, padding=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # A tenth of He's initial weights, as published: the network starts near its bilinear skip.
                nn.init.kaiming_normal_(module.weight)
                with torch.no_grad():
                    module.weight *= 0.1
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def halo(self) -> int:
        """Two per block, one each for the first convolution and the first upsampling, one for those that are finer."""
        return 2 * self.blocks + 3

    def forward(self, lr: Tensor, sigma: Tensor | None = None) -> Tensor:
        """Upscale; see `Generator.forward`."""
        y = self.body(F.leaky_relu(self.conv_first(lr), SLOPE))
        for conv in (self.upconv1, self.upconv2):
            if conv is not None:
                y = F.leaky_relu(F.pixel_shuffle(conv(y), 2), SLOPE, inplace=True)
        residual: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(y), SLOPE, inplace=True))
        return residual + F.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
