"""The losses that a recipe can name, with their weights; a weight of zero leaves a term out altogether."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from sr_geo.train.section import Section


class PerceptualSection(Section):
    """Distance between the features of a network that was trained for something else."""

    network: str
    """vgg16, vgg19, mobilenetv2, resnet152v2, or `timm:NAME`."""
    weight: float = Field(default=1.0, gt=0.0)
    taps: dict[str, float] | None = None
    """Layers, before their activation, and their weights; by default those of the network's own recipe."""
    distance: Literal["l1", "l2"] = "l1"
    weights: str | Path = "auto"
    """`auto` (what is at hand, see the log for its provenance), `random` (tests only), or a file."""


class DiscriminatorSection(Section):
    """The network that tells true pictures from enhanced ones."""

    family: Literal["vgg", "unet"] = "vgg"
    width: int = Field(default=64, gt=0)


class AdversarialSection(Section):
    """Training against a discriminator."""

    kind: Literal["relativistic", "standard"] = "relativistic"
    """`relativistic`: true pictures more real than the average enhanced one and the other way round (ESRGAN); `standard`: SRGAN."""
    weight: float = Field(default=5e-3, gt=0.0)
    discriminator: DiscriminatorSection = DiscriminatorSection()
    learning_rate: float = Field(default=1e-4, gt=0.0)
    """Of the discriminator."""
    start: int = Field(default=0, ge=0)
    """Steps before which the generator does not yet listen to the discriminator, which learns from the first."""
    ramp: int = Field(default=0, ge=0)
    """Steps from there over which the weight rises to its full value."""

    def weight_at(self, step: int) -> float:
        """Weight of the term for the generator at a step."""
        if step < self.start:
            return 0.0
        return self.weight * min(1.0, (step - self.start + 1) / max(1, self.ramp))


class LossSection(Section):
    """The terms of the generator's loss."""

    pixel: float = Field(default=1.0, ge=0.0)
    pixel_kind: Literal["l1", "charbonnier", "l2"] = "l1"
    ms_ssim: float = Field(default=0.0, ge=0.0)
    spectral_angle: float = Field(default=0.0, ge=0.0)
    consistency: float = Field(default=0.0, ge=0.0)
    """Of what the sensor sees of the result with the input; for degradations that tell their blur."""
    artifacts: float = Field(default=0.0, ge=0.0)
    """L1 where the picture is unlike its surroundings and less true than the averaged weights make it (LDL)."""
    grid: float = Field(default=0.0, ge=0.0)
    """Of errors that repeat with the input's pixels."""
    dists: float = Field(default=0.0, ge=0.0)
    lpips: float = Field(default=0.0, ge=0.0)
    """With VGG16; the measure is that with AlexNet."""
    perceptual: tuple[PerceptualSection, ...] = ()
    adversarial: AdversarialSection | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "LossSection":
        plain = (self.pixel, self.ms_ssim, self.spectral_angle, self.consistency, self.artifacts, self.grid)
        if not any((*plain, self.dists, self.lpips, self.perceptual)) and (self.adversarial is None or self.adversarial.start > 0):
            raise ValueError("no term from the first step on; give pixel or another one a weight above zero")
        return self
