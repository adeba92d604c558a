"""A test chart that is computed, and what a network gains on it: whether a model still does what its card says, without imagery.

A hash tells that a file is the one that was shipped, not that it does here what it did where it was measured: another ONNX Runtime,
another processor. And a model of one's own has no hash that anybody else knows. So the card keeps one figure that can be had anywhere.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sr_geo import resample
from sr_geo.consistency import Sensor, seen
from sr_geo.errors import ModelError
from sr_geo.imaging.reduction import Bicubic, reduced
from sr_geo.models.card import Card, Quality
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float

TEST_SET = "computed test chart"
METRIC = "PSNR gain over bicubic, dB"
TOLERANCE = {"fp32": 0.005, "fp16": 0.01, "int8": 0.05}
"""Decibels by which a figure may differ from the card's: other processors round otherwise, integers most of all. One figure
does not tell every harm: noise of a tenth of the weights' own spread, on all layers, moves it beyond that in most of the shipped
models, noise of a fifth in all. Whether a file is the shipped one its hash tells."""

SIZE = 256
"""Side of the chart in fine pixels."""
SIGMA = 1.6
"""Blur that networks are tried at which are told it, in fine pixels."""
_FINER = 4
"""Places at which each pixel of the chart is computed, in each direction."""
_BORDER = 8
"""Fine pixels on each side that do not count."""
_TONES = ((1.0, 0.0), (0.8, 0.1), (-0.7, 0.85), (0.6, 0.3), (-0.9, 0.95), (0.5, 0.2))
"""Gain and offset of the chart in each band, so that bands differ; two of them are negatives."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A model that was tried."""

    gain: float
    """PSNR over that of cubic interpolation, dB."""
    stated: float | None
    """What its card says; None where it says nothing."""


def draw_chart(bands: int) -> Float:
    """``(bands, SIZE, SIZE)``, 0…1: spokes, bars that get finer, discs, fields with slanted borders."""
    luminance = _luminance()
    tones = [_TONES[band % len(_TONES)] for band in range(bands)]
    return np.stack([gain * luminance + offset for gain, offset in tones]).astype(np.float32)


@lru_cache(maxsize=1)
def _luminance() -> Float:
    count = SIZE * _FINER
    v, u = (np.mgrid[0:count, 0:count] + 0.5) / count
    # Lower part: fields between slanted borders, in tones that only look random.
    along, across = 5.0 * (u + 0.23 * v), 6.0 * (v - 0.31 * u)
    picture = 0.5 + 0.32 * np.sin(12.9 * np.floor(along) + 78.2 * np.floor(across))
    # Upper left: spokes that run together in the middle.
    x, y = u - 0.25, v - 0.25
    spokes = 0.5 + 0.4 * np.sign(np.sin(22.0 * np.arctan2(y, x)))
    picture = np.where(np.hypot(x, y) < 0.22, spokes, picture)
    # Upper right: bars from 20 pixels down to 4, turned a little so that no grid fits them.
    t = (u - 0.52 + 0.08 * v) / 0.46
    bars = 0.5 + 0.36 * np.sign(np.sin(2.0 * np.pi * (6.0 * t + 9.0 * t * t)))
    picture = np.where((u > 0.53) & (u < 0.97) & (v > 0.04) & (v < 0.46), bars, picture)
    # Across the middle: discs and thin lines.
    for number in range(9):
        inside = np.hypot(u - (0.08 + 0.105 * number), v - 0.53) < 0.036 - 0.0033 * number
        picture = np.where(inside, 0.08 if number % 2 else 0.94, picture)
        thin = np.abs((v - 0.62) - 0.35 * (u - 0.1 * number - 0.1)) < 0.0012 + 0.0008 * (number % 4)
        picture = np.where(thin & (v > 0.62), 0.9 if number % 3 else 0.12, picture)
    out: Float = picture.reshape(SIZE, _FINER, SIZE, _FINER).mean((1, 3)).astype(np.float32)
    return out


def condition_of(card: Card) -> str:
    """How the chart is made small for a network."""
    return "bicubic reduction" if card.sigma is None else f"sigma {SIGMA}"


def gain_on_chart(upscaler: Upscaler) -> float:
    """PSNR of a network's result less that of cubic interpolation, dB, on the chart made small as the card's `condition_of` says."""
    card = upscaler.card
    fine = draw_chart(len(card.bands))
    size = SIZE // card.scale * card.scale
    fine = fine[:, :size, :size]
    if card.sigma is None:
        optics = Bicubic(card.scale)
        small = np.stack([reduced(_mirrored(plane, optics.reach * card.scale), optics) for plane in fine])
        made = upscaler(small)
    else:
        sensor = Sensor(SIGMA, card.scale)
        small = np.stack([seen(_mirrored(plane, sensor.reach * card.scale), sensor) for plane in fine])
        made = upscaler(small, sigma=SIGMA)
    around = np.pad(small, ((0, 0), (2, 2), (2, 2)), mode="symmetric")
    plain = np.stack([resample.cubic(plane, card.scale) for plane in around])
    inner = slice(_BORDER, size - _BORDER)
    errors = [float(np.square(picture[:, inner, inner] - fine[:, inner, inner], dtype=np.float64).mean()) for picture in (plain, made)]
    return float(10.0 * np.log10(errors[0] / max(errors[1], 1e-12)))


def _mirrored(plane: Float, margin: int) -> Float:
    return np.pad(plane, margin, mode="symmetric")


def figure_of(upscaler: Upscaler) -> Quality:
    """What a network gains on the chart, for its card."""
    return Quality(test_set=TEST_SET, condition=condition_of(upscaler.card), metric=METRIC, value=round(gain_on_chart(upscaler), 3))


def check(upscaler: Upscaler) -> Checked:
    """Try a model on the chart and hold the result against its card.

    Raises:
        ModelError: it does not do what its card says.
    """
    card = upscaler.card
    stated = next((figure.value for figure in card.quality if figure.test_set == TEST_SET and figure.metric == METRIC), None)
    gain = gain_on_chart(upscaler)
    if stated is not None and not abs(gain - stated) <= TOLERANCE[card.precision]:
        raise ModelError(
            f"model {card.name}: gains {gain:+.3f} dB over bicubic on the {TEST_SET}, its card says {stated:+.3f} dB; its weights "
            "are not those that were measured, or ONNX Runtime computes wrongly here: install the model again, then see `sr-geo doctor`"
        )
    return Checked(gain, stated)
