"""One window of the input, of the result and of the detail map, ready to be shown.

A view is at most about a thousand fine pixels a side, whatever the size of the scene: it is read as windows, at full
resolution, since an overview would show neither the input's pixels nor what became of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from sr_geo.errors import InputError
from sr_geo.grid import Window
from sr_geo.quality.colours import Picture, painted, stretch_of
from sr_geo.radiometry import Float, Mask

if TYPE_CHECKING:
    from rasterio.crs import CRS

Ring = NDArray[np.float64]

SIDE = 1024
"""Fine pixels that a side of a view has at most."""


class Raster(Protocol):
    """What a view needs of a raster; `sr_geo.raster.scene.Scene` has it."""

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""

    @property
    def width(self) -> int:
        """Pixels from left to right."""

    @property
    def transform(self) -> Affine:
        """From (column, row) to ground coordinates."""

    @property
    def crs(self) -> "CRS | None":
        """Reference system of the ground coordinates."""

    @property
    def bands(self) -> Sequence[Any]:
        """Per band, among others, its `role` and `encoding`."""

    def find(self, role: str) -> int | None:
        """0-based band of a role."""

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        """Stored values ``(C, h, w)`` and which of them are valid."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One window of the input, of the result and of the detail map."""

    before: Picture
    """``(h, w, 3)``, red green blue: the input's own pixels."""
    after: Picture
    """``(scale·h, scale·w, 3)``, with the stretch of `before`."""
    scale: int
    detail: Float | None = None
    """``(scale·h, scale·w)``, NaN where there is nodata."""
    metres: float | None = None
    """Side of a pixel of `after` on the ground, where it is known."""
    outlines: tuple[Ring, ...] = ()
    """Rings of the parcels, ``(n, 2)`` as (x, y) in pixels of `after`; they may leave the picture."""
    labels: tuple["Label", ...] = ()
    """Names of the parcels that lie in the picture."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name at a place inside its parcel, in pixels of `View.after`."""

    x: float
    y: float
    text: str


def read_view(
    before: Raster,
    after: Raster,
    detail: Raster | None = None,
    *,
    bands: Sequence[int] | None = None,
    outlines: Sequence[Any] = (),
    names: Sequence[str] = (),
    side: int = SIDE,
) -> View:
    """The window about the centre of the parcels, or else of the result.

    Args:
        before: the input.
        after: the result: on the same ground as the input or on a part of it.
        detail: one band on the grid of the result; several are put together as their root mean square.
        bands: 0-based bands of the input for red, green and blue; by role where None.
        outlines: polygons (shapely) in the CRS of the rasters, to be drawn and to choose the window.
        names: of the outlines, to be written on them; none or one for each.
        side: fine pixels that a side of the window has at most.

    Raises:
        InputError: the result is not a finer grid over the input.
    """
    to_before = ~before.transform @ after.transform
    scale = round(1.0 / math.sqrt(abs(to_before.determinant)))
    aligned = max(abs(to_before.b), abs(to_before.d), abs(to_before.a * scale - 1), abs(to_before.e * scale - 1)) < 1e-3
    if scale < 1 or not aligned:
        raise InputError("the result is not a finer grid over the input: give the input that the result was made from")
    rings = _rings(outlines, ~before.transform)
    window = _centred(_common(before, after, to_before), rings, max(8, side // scale))
    corner = ~to_before @ (window.column, window.row)
    fine = Window(round(corner[1]), round(corner[0]), window.height * scale, window.width * scale)
    roles = [before.bands[band].role for band in bands] if bands is not None else None
    chosen = list(bands) if bands is not None else _picture_bands(before)
    measured, measured_valid = before.read(window, chosen)
    shown_bands = _same_bands(after, roles, chosen) if bands is not None else _picture_bands(after)
    made, made_valid = after.read(fine, shown_bands)
    measured, made = _decoded(before, chosen, measured), _decoded(after, shown_bands, made)
    stretch = stretch_of(measured, measured_valid)
    shown = tuple(ring * scale - (window.column * scale, window.row * scale) for ring in rings)
    added = None
    if detail is not None:
        planes, valid = detail.read(fine, list(range(len(detail.bands))))
        together = np.sqrt(np.mean(_decoded(detail, range(len(planes)), planes).astype(np.float64) ** 2, axis=0))
        added = np.where(valid.all(axis=0), together, np.nan).astype(np.float32)
    return View(
        before=painted(measured, measured_valid, stretch),
        after=painted(made, made_valid, stretch),
        scale=scale,
        detail=added,
        metres=_metres(after, fine),
        outlines=tuple(ring for ring in shown if _touches(ring, fine)),
        labels=_labels(outlines, names, ~after.transform, fine),
    )


def _decoded(raster: Raster, bands: Sequence[int], stored: NDArray[Any]) -> Float:
    return np.stack([raster.bands[band].encoding.decode(plane) for band, plane in zip(bands, stored, strict=True)])


def _picture_bands(raster: Raster) -> list[int]:
    """Red, green and blue; false colour where blue is missing; one band as grey."""
    for roles in (("red", "green", "blue"), ("nir", "red", "green")):
        found = [raster.find(role) for role in roles]
        if None not in found:
            return [band for band in found if band is not None]
    count = len(raster.bands)
    return [0, 1, 2] if count >= 3 else [0, 0, 0]


def _same_bands(after: Raster, roles: Sequence[str | None] | None, numbers: Sequence[int]) -> list[int]:
    """The bands of the result that hold what the given bands of the input hold."""
    found = [None if role is None else after.find(role) for role in roles or [None] * len(numbers)]
    return [min(number, len(after.bands) - 1) if band is None else band for band, number in zip(found, numbers, strict=True)]


def _common(before: Raster, after: Raster, to_before: Affine) -> Window:
    """Whole pixels of the input that the result covers."""
    left, top = to_before @ (0, 0)
    right, bottom = to_before @ (after.width, after.height)
    column, row = math.ceil(left - 1e-3), math.ceil(top - 1e-3)
    covered = Window(row, column, max(0, math.floor(bottom + 1e-3) - row), max(0, math.floor(right + 1e-3) - column))
    both = covered.intersection(Window(0, 0, before.height, before.width))
    if both.empty:
        raise InputError("the result shares no pixel with the input: give the input that the result was made from")
    return both


def _centred(area: Window, rings: Sequence[Ring], side: int) -> Window:
    """A window of `side` pixels inside `area`: about all parcels if they fit, else about the one nearest to their centre."""
    height, width = min(side, area.height), min(side, area.width)
    x, y = area.column + area.width / 2, area.row + area.height / 2
    inside = [ring for ring in rings if _touches(ring - (area.column, area.row), Window(0, 0, area.height, area.width))]
    if inside:
        middles = np.array([(ring.min(axis=0) + ring.max(axis=0)) / 2 for ring in inside])
        low, high = np.min([ring.min(axis=0) for ring in inside], axis=0), np.max([ring.max(axis=0) for ring in inside], axis=0)
        centre = (low + high) / 2
        if (high - low).max() > side:
            centre = middles[np.argmin(((middles - np.median(middles, axis=0)) ** 2).sum(axis=1))]
        x, y = centre
    column = min(max(round(x - width / 2), area.column), area.column_stop - width)
    row = min(max(round(y - height / 2), area.row), area.row_stop - height)
    return Window(row, column, height, width)


def _rings(outlines: Sequence[Any], to_pixel: Affine) -> list[Ring]:
    """Outer and inner rings of polygons in pixel coordinates."""
    import shapely

    rings = []
    for polygon in shapely.get_parts(np.asarray(outlines, dtype=object)) if len(outlines) else ():
        for ring in shapely.get_rings(polygon):
            x, y = shapely.get_coordinates(ring).T
            columns, rows = to_pixel @ (x, y)
            rings.append(np.column_stack([columns, rows]))
    return rings


def _labels(outlines: Sequence[Any], names: Sequence[str], to_pixel: Affine, window: Window) -> tuple[Label, ...]:
    """Names at places well inside their parcels, of those whose place lies in the window."""
    import shapely

    labels = []
    for polygon, name in zip(outlines, names, strict=True) if names else ():
        place = shapely.get_point(shapely.maximum_inscribed_circle(polygon, tolerance=math.sqrt(polygon.area) / 50), 0)
        column, row = to_pixel @ (place.x, place.y)
        x, y = float(column - window.column), float(row - window.row)
        if 0 < x < window.width and 0 < y < window.height:
            labels.append(Label(x, y, name))
    return tuple(labels)


def _touches(ring: Ring, window: Window) -> bool:
    """Whether the ring's bounding box meets a window of that size at (0, 0)."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    return bool(high[0] > 0 and high[1] > 0 and low[0] < window.width and low[1] < window.height)


def _metres(raster: Raster, window: Window) -> float | None:
    """Side of a pixel on the ground in the middle of a window."""
    if raster.crs is None:
        return None
    side = math.sqrt(abs(raster.transform.determinant))
    if raster.crs.is_geographic:
        _, latitude = raster.transform @ (window.column + window.width / 2, window.row + window.height / 2)
        return side * 111_320.0 * math.sqrt(max(math.cos(math.radians(latitude)), 1e-6))
    return side * float(raster.crs.linear_units_factor[1])
