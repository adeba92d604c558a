"""The degradations that a recipe can name, told apart by `kind`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sr_geo.train.section import Section


def _ascending(values: tuple[float, float]) -> tuple[float, float]:
    if not 0.0 <= values[0] <= values[1]:
        raise ValueError(f"{list(values)}: expected a range [low, high] with 0 ≤ low ≤ high")
    return values


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class SensorDegradation(Section):
    """A satellite's sensor: blur, mean over the coarse pixel, noise; networks may be told the blur."""

    kind: Literal["sensor"] = "sensor"
    sigma: Range = (1.0, 3.2)
    """Range of the Gaussian blur, standard deviation in high-resolution pixels; then the mean over each coarse pixel."""
    band_jitter: float = Field(default=0.2, ge=0.0)
    """Largest difference of one band's blur from the common one."""
    turned: Share = 0.0
    """Share of the samples seen on a turned grid and resampled by cubic convolution, as georeferenced products are."""
    turned_by: float = 15.0
    """Largest angle of the turned grid, degrees."""
    noise: float = Field(default=0.01, ge=0.0)
    """Largest noise, as a fraction of the source's spread; drawn as the square of a uniform number, so that quiet samples abound."""


class BicubicDegradation(Section):
    """Clean photos: bicubic, antialiased, as MATLAB's imresize; the convention of every benchmark."""

    kind: Literal["bicubic"] = "bicubic"
    levels: int | None = Field(default=255, gt=0)
    """Steps between 0 and 1 that the result is rounded to (255: an 8-bit file); null for no rounding."""


class BlindDegradation(Section):
    """Photos of unknown history: twice blur, resizing, noise and JPEG, as Real-ESRGAN has it; then the final size."""

    kind: Literal["blind"] = "blind"
    blur: Range = (0.2, 3.0)
    """Range of the first blur's standard deviation in pixels; the second's is half of it."""
    resize: Range = (0.15, 1.5)
    """Range of the first resizing; the second goes from twice the lower end to 0.8 of the upper."""
    noise: Range = (1.0, 30.0)
    """Range of the noise's standard deviation in steps of 8 bits; the second goes to 0.8 of the upper end."""
    jpeg: Range = (30.0, 95.0)
    """Range of the JPEG quality."""
    ringing: Share = 0.8
    """Share of the samples with the ringing of a sharpening filter at the end."""


class PlateDegradation(Section):
    """A traffic camera: motion, defocus, coarse pixels, little light, and a compressed stream; or a sharp still made smaller."""

    kind: Literal["plate"] = "plate"
    clean: Share = 0.0
    """Share of the samples that only are reduced, bicubic and antialiased, in steps of 8 bits: sharp stills that somebody made smaller."""
    motion: Range = (0.0, 3.0)
    """Range of the motion while the shutter is open, in pixels of the result."""
    defocus: Range = (0.0, 0.8)
    """Range of the radius of the blur disc, in pixels of the result."""
    noise: Range = (0.5, 12.0)
    """Range of the noise's standard deviation at medium gray in steps of 8 bits; it grows with the root of the light."""
    jpeg: Range = (25.0, 90.0)
    """Range of the JPEG quality."""
    video: Share = 0.5
    """Share of the samples that are compressed as video (H.264's transform, quantiser and deblocking) and not as JPEG."""
    quantiser: Range = (20.0, 38.0)
    """Range of the quantisation parameter of video."""


class XrayDegradation(Section):
    """A detector with larger pixels and fewer quanta: focal spot, shot noise, scintillator, mean over the pixel."""

    kind: Literal["xray"] = "xray"
    clean: Share = 0.0
    """Share of the samples that only are reduced, as in `PlateDegradation`: pictures that somebody made smaller, without a blur to tell."""
    sigma: Range = (0.5, 2.0)
    """Range of the Gaussian blur, standard deviation in high-resolution pixels; networks may be told it."""
    quanta: Range = (2e3, 1e5)
    """Range of the quanta that reach a pixel of the result through what is black in the picture; drawn by ratio."""
    density: float = Field(default=2.5, gt=0.0)
    """Natural logarithm of the attenuation between black and white."""


class NoDegradation(Section):
    """For runs on real pairs alone: low resolution is measured, not made."""

    kind: Literal["none"] = "none"


Degradation = Annotated[
    SensorDegradation | BicubicDegradation | BlindDegradation | PlateDegradation | XrayDegradation | NoDegradation,
    Field(discriminator="kind"),
]
