"""Networks, built by the names that recipes use: `build_generator`, `build_discriminator`."""

from torch import nn

from sr_geo.errors import RecipeError
from sr_geo.train.nets.compact import Compact
from sr_geo.train.nets.discriminators import UNetDiscriminator, VggDiscriminator
from sr_geo.train.nets.generator import Generator
from sr_geo.train.nets.rrdbnet import RRDBNet
from sr_geo.train.nets.srresnet import SRResNet

GENERATORS = ("compact", "rrdbnet", "srresnet")
DISCRIMINATORS = ("vgg", "unet")

__all__ = [
    "DISCRIMINATORS",
    "GENERATORS",
    "Compact",
    "Generator",
    "RRDBNet",
    "SRResNet",
    "UNetDiscriminator",
    "VggDiscriminator",
    "build_discriminator",
    "build_generator",
]


def build_generator(
    family: str,
    *,
    bands: int,
    scale: int,
    width: int,
    blocks: int,
    growth: int | None = None,
    sees_blur: bool = True,
) -> Generator:
    """A fresh generator.

    Args:
        family: one of `GENERATORS`.
        bands: number of bands in and out.
        scale: integer upscaling factor.
        width: feature channels.
        blocks: residual blocks.
        growth: channels that a dense block's convolutions add, for rrdbnet only; None: half the width, as in the paper.
        sees_blur: whether the network takes the blur of the sensor; for compact only, the others never do.

    Raises:
        RecipeError: no such family, or it cannot be built so.
    """
    if growth is not None and family in ("compact", "srresnet"):
        raise RecipeError(f"growth={growth}: {family} has no dense blocks; leave growth out or take rrdbnet")
    try:
        if family == "compact":
            return Compact(bands, width=width, blocks=blocks, scale=scale, sees_blur=sees_blur)
        if family == "rrdbnet":
            return RRDBNet(bands, width=width, blocks=blocks, growth=max(1, width // 2) if growth is None else growth, scale=scale)
        if family == "srresnet":
            return SRResNet(bands, width=width, blocks=blocks, scale=scale)
    except ValueError as error:
        raise RecipeError(f"model: {error}") from error
    raise RecipeError(f"family {family!r}: expected one of {', '.join(GENERATORS)}")


def build_discriminator(family: str, *, bands: int, size: int, width: int = 64) -> nn.Module:
    """A fresh discriminator: ``forward`` gives logits ``(N, 1)`` (vgg) or ``(N, 1, H, W)`` (unet).

    Args:
        family: one of `DISCRIMINATORS`.
        bands: number of bands.
        size: side of the high-resolution patches in pixels; unet takes any.
        width: feature maps of the first convolution.

    Raises:
        RecipeError: no such family, or it cannot be built so.
    """
    try:
        if family == "vgg":
            return VggDiscriminator(bands, size=size, width=width)
        if family == "unet":
            return UNetDiscriminator(bands, width=width)
    except ValueError as error:
        raise RecipeError(f"discriminator: {error}") from error
    raise RecipeError(f"discriminator {family!r}: expected one of {', '.join(DISCRIMINATORS)}")
