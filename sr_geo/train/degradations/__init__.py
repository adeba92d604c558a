"""How low-resolution input is made from high-resolution imagery, one way for each domain."""

import numpy as np

from sr_geo.errors import TrainingDataError
from sr_geo.radiometry import Float
from sr_geo.train.degradations.photo import shrink, spoil
from sr_geo.train.degradations.plate import film
from sr_geo.train.degradations.sections import (
    BicubicDegradation,
    BlindDegradation,
    Degradation,
    NoDegradation,
    PlateDegradation,
    SensorDegradation,
    XrayDegradation,
)
from sr_geo.train.degradations.sensor import sense
from sr_geo.train.degradations.xray import expose

__all__ = [
    "BicubicDegradation",
    "BlindDegradation",
    "Degradation",
    "NoDegradation",
    "PlateDegradation",
    "SensorDegradation",
    "XrayDegradation",
    "degrade",
]


def degrade(section: Degradation, hr: Float, *, scale: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Low resolution of one sample and the blur it was made with.

    Args:
        section: of a recipe.
        hr: ``(C, H, W)``, sides divisible by `scale`; 0…1 for everything but the sensor, which takes any unit.
        scale: pixels of `hr` per pixel of the result.
        rng: all chance comes from here.

    Returns:
        ``(C, H // scale, W // scale)`` float32 in the unit of `hr`, and ``(C,)`` the blur in pixels of `hr`, 0 where the
        degradation has none that a network could be told.

    Raises:
        TrainingDataError: the section is `none`, and the sample has no low resolution of its own.
    """
    hr = np.ascontiguousarray(hr, np.float32)
    unknown = np.zeros(len(hr), np.float32)
    if isinstance(section, PlateDegradation | XrayDegradation) and section.clean and rng.random() < section.clean:
        return shrink(hr, scale=scale, levels=255), unknown
    if isinstance(section, SensorDegradation):
        return sense(section, hr, scale=scale, rng=rng)
    if isinstance(section, XrayDegradation):
        return expose(section, hr, scale=scale, rng=rng)
    if isinstance(section, BicubicDegradation):
        return shrink(hr, scale=scale, levels=section.levels), unknown
    if isinstance(section, BlindDegradation):
        return spoil(section, hr, scale=scale, rng=rng), unknown
    if isinstance(section, PlateDegradation):
        return film(section, hr, scale=scale, rng=rng), unknown
    raise TrainingDataError("degradation.kind is none, but a source has no low resolution of its own; give sources of kind pairs only")
