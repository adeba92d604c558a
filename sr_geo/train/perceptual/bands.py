"""Bands of any number as pictures of three colours, and their values as the 0…1 that perceptual networks know."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Units = Literal["spread", "unit"]
"""`spread`: samples in units of their source's standard deviation, any offset (satellites); `unit`: 0…1."""

WAVELENGTH_ORDER = (
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "watervapour", "cirrus",
    "swir1", "swir2", "thermal1", "thermal2",
)  # fmt: skip
"""Roles from short waves to long."""

NATURAL_MEAN = 0.449
"""Mean of ImageNet's pictures over their colours, 0…1."""
NATURAL_STD = 0.226
"""Their standard deviation."""
SMALLEST_STD = 0.1
"""In units of the source's spread: a flatter sample is not stretched further, it would be noise."""


def band_triples(bands: Sequence[str]) -> tuple[tuple[int, int, int], ...]:
    """Triples of band indices, as red, green and blue of one picture each, that together show every band.

    * One band is a grey picture: ``(0, 0, 0)``.
    * Red, green and blue make the first picture, where all three are there.
    * The others follow three by three, from short waves to long (in the given order where a role is unknown), the longest
      as red: the usual false colours. An incomplete picture is filled up with red and green (then blue, then its own last band).

    So rgbn is natural colour and colour infrared: ``(red, green, blue), (nir, red, green)``.

    Args:
        bands: role of each band, e.g. ``("blue", "green", "red", "nir")``; unknown names are allowed.
    """
    where = {role: index for index, role in reversed(list(enumerate(bands)))}
    if len(bands) == 1:
        return ((0, 0, 0),)
    triples: list[tuple[int, int, int]] = []
    rest = list(range(len(bands)))
    if {"red", "green", "blue"} <= where.keys():
        triples.append((where["red"], where["green"], where["blue"]))
        rest = [index for index in rest if index not in triples[0]]
    known = all(bands[index] in WAVELENGTH_ORDER for index in rest)
    if known:
        rest.sort(key=lambda index: WAVELENGTH_ORDER.index(bands[index]))
    for start in range(0, len(rest), 3):
        triple = rest[start : start + 3]
        if known:
            triple.reverse()
        fill = [where[role] for role in ("red", "green", "blue") if role in where and where[role] not in triple]
        red, green, blue = (triple + fill + triple[-1:] * 2)[:3]
        triples.append((red, green, blue))
    return tuple(triples)


def as_pictures(x: Tensor, triples: Sequence[tuple[int, int, int]]) -> Tensor:
    """``(N, C, H, W)`` → ``(N·T, 3, H, W)``: the T pictures of a sample stand one after the other."""
    n, _, height, width = x.shape
    index = torch.tensor(triples, device=x.device).reshape(-1)
    return x[:, index].reshape(n * len(triples), 3, height, width)


def to_picture_range(x: Tensor, like: Tensor, units: Units) -> Tensor:
    """Pictures in the range of photographs, by a map that `like` alone decides.

    For `unit` nothing changes. For `spread` each picture takes the mean and the standard deviation of ImageNet's
    photographs, over its three bands together (so that one band stays brighter than another), as measured on `like`:
    enhanced and true pictures of one place go through the same straight line, which has no clamp and no gradient of its own.

    Args:
        x: ``(N, 3, H, W)``.
        like: the true pictures, same shape.
        units: of both.
    """
    if units == "unit":
        return x
    with torch.no_grad():
        std, mean = torch.std_mean(like, dim=(1, 2, 3), keepdim=True)
        gain = NATURAL_STD / std.clamp_min(SMALLEST_STD)
    return (x - mean) * gain + NATURAL_MEAN
