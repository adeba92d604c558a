"""Pictures for the page: a window before and after, small enough to look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sr_geo.grid import Window
from sr_geo.imaging.enlarge import Enlarger, Interpolator
from sr_geo.imaging.opening import Picture
from sr_geo.quality.colours import Picture as Colours
from sr_geo.radiometry import Float

SIDE = 256
"""Input pixels that a side of a window has at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One window, before and after."""

    name: str
    before: Colours
    """``(h, w, 3)``: the input's own pixels."""
    after: Colours
    """``(scale·h, scale·w, 3)``."""
    words: tuple[str, ...] = ()
    """Sentences about it."""


def central(height: int, width: int, *, row: float | None = None, column: float | None = None) -> Window:
    """The window of at most `SIDE` pixels about a place; about the centre where none is given."""
    sizes = (min(height, SIDE), min(width, SIDE))
    first_row, first_column = (
        int(np.clip(round((size / 2 if place is None else place) - side / 2), 0, size - side))
        for place, size, side in ((row, height, sizes[0]), (column, width, sizes[1]))
    )
    return Window(first_row, first_column, *sizes)


def photo_shot(picture: Picture, maker: Enlarger | Interpolator, window: Window, name: str) -> Shot:
    """A window of a picture that is enlarged with nothing else done to it."""
    fine = maker.part(picture.read, window, picture.height, picture.width)
    words = () if window.shape == (picture.height, picture.width) else (part_of(window, picture),)
    return Shot(name, shown(picture.read(window)), shown(fine), words)


def overview(picture: Picture, longest: int) -> tuple[Colours, int]:
    """The whole picture in means over squares, so that its longer side has fewer than twice `longest` pixels; and the squares' side."""
    side = max(1, max(picture.height, picture.width) // longest)
    height, width = picture.height // side, picture.width // side
    small = np.empty((height, width, 3), np.uint8)
    for row in range(height):
        values = picture.read(Window(row * side, 0, side, width * side))
        small[row] = shown(values.reshape(len(values), side, width, side).mean(axis=(1, 3), dtype=np.float32)[:, None])[0]
        if row % 256 == 255:
            picture.forget()
    return small, side


def part_of(window: Window, picture: Picture) -> str:
    """Which part of a picture a window is, in words."""
    return f"{window.width} × {window.height} of its {picture.width} × {picture.height} pixels."


def shown(values: Float) -> Colours:
    """Gray or colours ``(C, h, w)`` in 0…1 as a picture ``(h, w, 3)`` of 8 bits."""
    levels = np.rint(np.clip(np.nan_to_num(values), 0.0, 1.0) * np.float32(255)).astype(np.uint8).transpose(1, 2, 0)
    return as_colours(levels)


def as_colours(picture: NDArray[np.uint8]) -> Colours:
    """Gray ``(h, w)`` or ``(h, w, 1)``, or colours ``(h, w, 3)``, as colours."""
    planes = picture[:, :, None] if picture.ndim == 2 else picture
    colours: Colours = np.ascontiguousarray(planes.repeat(3, axis=2) if planes.shape[2] == 1 else planes)
    return colours
