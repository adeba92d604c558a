"""Discriminators: networks that tell real from made, as logits (no sigmoid at the end).

`VggDiscriminator` gives one logit a picture and is SRGAN's figure 4, layer for layer. `UNetDiscriminator` gives one a
pixel and is that of Real-ESRGAN: it says *where* a picture looks made, and is what the long trainings hold stable.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
"""Of the leaky ReLU, in both."""
VGG_LAYERS = ((1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2))
"""Feature maps, as multiples of the width (64 in the figure), and stride of each 3×3 convolution."""


class VggDiscriminator(nn.Module):
    """SRGAN's discriminator: eight 3×3 convolutions, batch normalisation after all but the first, dense 1024, dense 1.

    Args:
        bands: number of bands.
        width: feature maps of the first convolution; 64 in the figure.
        size: side of the pictures in pixels, at least 17. The first dense layer depends on it.
    """

    def __init__(self, bands: int, *, size: int, width: int = 64) -> None:
        super().__init__()
        if size <= 16:
            # A single pixel would be left, which batch normalisation cannot take from a batch of one.
            raise ValueError(f"size={size}: the vgg discriminator needs patches of more than 16 pixels; enlarge the patch or take unet")
        self.size = size
        layers: list[nn.Module] = []
        channels = bands
        for multiple, stride in VGG_LAYERS:
            first = not layers
            layers.append(nn.Conv2d(channels, multiple * width, 3, stride=stride, padding=1, bias=first))
            channels = multiple * width
            if not first:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.LeakyReLU(SLOPE, inplace=True))
        self.features = nn.Sequential(*layers)
        left = math.ceil(size / 16)
        self.classifier = nn.Sequential(nn.Linear(channels * left**2, 1024), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(1024, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, 1)`` of ``(N, bands, size, size)``: large where a picture looks real.

        Raises:
            ValueError: the pictures have another size.
        """
        if x.shape[-2:] != (self.size, self.size):
            raise ValueError(f"pictures of {x.shape[-2]} × {x.shape[-1]} px: this discriminator was built for {self.size} × {self.size}")
        logits: Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return logits


class UNetDiscriminator(nn.Module):
    """Real-ESRGAN's discriminator: a U-Net three levels deep, spectrally normalised but for its first and last convolution.

    Args:
        bands: number of bands.
        width: feature maps at full resolution; doubled at each level below.
    """

    def __init__(self, bands: int, *, width: int = 64) -> None:
        super().__init__()

        def normed(channels: int, out: int, kernel: int, stride: int) -> nn.Module:
            conv: nn.Module = spectral_norm(nn.Conv2d(channels, out, kernel, stride=stride, padding=1, bias=False))
            return conv

        self.conv0 = nn.Conv2d(bands, width, 3, padding=1)
        self.conv1 = normed(width, 2 * width, 4, 2)
        self.conv2 = normed(2 * width, 4 * width, 4, 2)
        self.conv3 = normed(4 * width, 8 * width, 4, 2)
        self.conv4 = normed(8 * width, 4 * width, 3, 1)
        self.conv5 = normed(4 * width, 2 * width, 3, 1)
        self.conv6 = normed(2 * width, width, 3, 1)
        self.conv7 = normed(width, width, 3, 1)
        self.conv8 = normed(width, width, 3, 1)
        self.conv9 = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, 1, H, W)`` of ``(N, bands, H, W)``, H and W at least 8: large where a pixel looks real."""
        skips = [F.leaky_relu(self.conv0(x), SLOPE, inplace=True)]
        for conv in (self.conv1, self.conv2, self.conv3):
            skips.append(F.leaky_relu(conv(skips[-1]), SLOPE, inplace=True))
        y = skips.pop()
        for conv in (self.conv4, self.conv5, self.conv6):
            skip = skips.pop()
            # To the size of the skip, not by 2: sides that are no multiple of 8 lose a row on the way down.
            y = F.interpolate(y, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            y = F.leaky_relu(conv(y), SLOPE, inplace=True) + skip
        for conv in (self.conv7, self.conv8):
            y = F.leaky_relu(conv(y), SLOPE, inplace=True)
        logits: Tensor = self.conv9(y)
        return logits
