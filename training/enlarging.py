"""Networks as ways to enlarge a picture whole, with what `sr-geo` does after them by default: what several benchmarks compare."""

from collections.abc import Callable

import numpy as np

from sr_geo.consistency import Sensor, make_consistent
from sr_geo.imaging.domains import MANNERS
from sr_geo.imaging.reduction import put_right
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float

SCALE = 4
SIGMA = 1.6
"""Blur of the sensor of satellite imagery."""
AROUND = 8
"""Mirrored input pixels around a picture."""
Method = Callable[[Float], Float]


def mirrored(picture: Float, margin: int) -> Float:
    """With its mirror image around it."""
    return np.pad(picture, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")


def inner(fine: Float, margin: int) -> Float:
    """Without what `mirrored` added."""
    return fine[:, margin : fine.shape[1] - margin, margin : fine.shape[2] - margin]


def run(model: Upscaler, low: Float, sigma: float | None = None) -> Float:
    """The bare network on a picture that brings its surroundings; gray through colour and the other way as `sr-geo image` does it."""
    bands = model.card.bands
    if len(bands) == 1:
        return np.concatenate([model.run(plane[None]) for plane in low])
    order = [("red", "green", "blue").index(band) for band in bands]
    if len(low) == 1:
        mean: Float = model.run(np.repeat(low, 3, axis=0)).mean(axis=0, keepdims=True)
        return mean
    return model.run(low[order], sigma=sigma)[np.argsort(order)]


def peer(model: Upscaler) -> Method:
    """A network of others as it is."""
    return lambda low: inner(run(model, mirrored(low, AROUND)), AROUND * SCALE)


def ours(model: Upscaler, domain: str) -> Method:
    """The shipped network, and what `sr-geo` holds its result to."""
    if domain == "satellite":
        sensor = Sensor(SIGMA, SCALE)
        margin = sensor.halo

        def enlarge(low: Float) -> Float:
            around = mirrored(low, margin)
            fine = run(model, around, SIGMA)
            return np.stack([make_consistent(rough, plane, sensor) for rough, plane in zip(fine, around, strict=True)])

        return enlarge
    optics = MANNERS[domain].optics  # type: ignore[index]  # the rest are domains of pictures
    if optics is None:
        return peer(model)
    margin = max(AROUND, optics.halo)

    def held(low: Float) -> Float:
        around = mirrored(low, margin)
        fine = np.stack([put_right(rough, plane, optics) for rough, plane in zip(run(model, around), around, strict=True)])
        return inner(fine, (margin - optics.halo) * SCALE)

    return held
