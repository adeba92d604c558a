"""Pictures that can only be decoded whole, kept while they fit a budget of memory."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_geo.grid import Window
from sr_geo.radiometry import Float, Mask
from sr_geo.train.samples.imagery import Patch, draw_window, lay_windows, turn
from sr_geo.train.samples.sections import Turns

BUDGET = 512 * 2**20
"""Bytes of decoded pictures that a process keeps."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture as it is stored."""

    pixels: NDArray[Any]
    """``(C, H, W)``."""
    low: float
    """Stored value that stands for 0."""
    high: float
    """Stored value that stands for 1; below `low` where the picture is stored as a negative."""
    valid: Mask | None = None
    """``(H, W)``, or None where everything is valid."""


class Shelf:
    """The pictures used last, up to a number of bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: OrderedDict[tuple[Path, int], Decoded] = OrderedDict()
        self._bytes = 0

    def take(self, path: Path, frame: int, decode: Callable[[Path, int], Decoded]) -> Decoded:
        """The picture, decoded now unless it is still held."""
        key = (path, frame)
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        picture = decode(path, frame)
        self._held[key] = picture
        self._bytes += picture.pixels.nbytes
        while self._bytes > self._budget and len(self._held) > 1:
            _, old = self._held.popitem(last=False)
            self._bytes -= old.pixels.nbytes
        return picture


_SHELF = Shelf(BUDGET)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a folder, or one frame of a DICOM file, 0…1."""

    path: Path
    frame: int
    height: int
    width: int
    order: tuple[int, ...] | None
    """For each band of the model its index in an RGB picture; None for gray."""
    decode: Callable[[Path, int], Decoded]
    turns: Turns
    reduced: tuple[float, float] = (1.0, 1.0)
    """Range of factors by which the picture is made smaller."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @property
    def area(self) -> int:
        """Pixels of the picture."""
        return self.height * self.width

    def read(self, window: Window) -> Float | None:
        """The bands of the model ``(C, h, w)``, 0…1; None where a pixel holds no data."""
        picture = _SHELF.take(self.path, self.frame, self.decode)
        rows, columns = window.slices()
        if picture.valid is not None and not picture.valid[rows, columns].all():
            return None
        x = picture.pixels[:, rows, columns].astype(np.float32)
        x = (x - np.float32(picture.low)) / np.float32(picture.high - picture.low)
        if self.order is not None:
            return x.repeat(len(self.order), axis=0) if len(x) == 1 else x[list(self.order)]
        return x if len(x) == 1 else np.tensordot(LUMA, x, 1)[None]

    def draw(self, size: int, rng: np.random.Generator) -> Patch | None:
        """A window anywhere, made smaller and turned."""
        low, high = self.reduced
        high = max(low, min(high, min(self.height, self.width) / size))
        factor = math.exp(rng.uniform(math.log(low), math.log(high))) if high > 1.0 else 1.0
        side = min(round(size * factor), self.height, self.width)
        x = self.read(draw_window(Window(0, 0, self.height, self.width), side, rng))
        return None if x is None else turn(Patch(resized(x, size, size)), self.turns, rng)

    def held_out(self, size: int, multiple: int) -> Iterator[Patch]:
        """All windows without a hole."""
        factor = self.reduced[1]
        height, width = int(self.height / factor), int(self.width / factor)
        for window in lay_windows(Window(0, 0, height, width), size, multiple):
            edges = (round(place * factor) for place in (window.row, window.column, window.height, window.width))
            x = self.read(Window(*edges).intersection(Window(0, 0, self.height, self.width)))
            if x is not None:
                yield Patch(resized(x, window.height, window.width))


def resized(x: Float, height: int, width: int) -> Float:
    """``(C, H, W)``, 0…1, at another size by Lanczos' kernel, which averages where it makes smaller."""
    if x.shape[1:] == (height, width):
        return x
    planes = [Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.LANCZOS) for plane in x]
    out: Float = np.clip(np.stack([np.asarray(plane) for plane in planes]), 0.0, 1.0)
    return out


LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in gray (Rec. 601), where a gray model learns from colour pictures."""

_RGB = ("red", "green", "blue")


def band_order(bands: tuple[str, ...]) -> tuple[int, ...] | None:
    """For each band of the model its index in an RGB picture, None for a gray model.

    Raises:
        ValueError: the bands are neither gray nor among red, green and blue.
    """
    if bands == ("gray",):
        return None
    if not set(bands) <= set(_RGB):
        raise ValueError(f"bands {list(bands)}: pictures have [gray] or [red, green, blue]")
    return tuple(_RGB.index(band) for band in bands)
