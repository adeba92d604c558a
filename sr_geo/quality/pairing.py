"""Two rasters that are to be compared: the same bands, one grid, values in one unit."""

import math
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from sr_geo.errors import EvaluationError, EvaluationWarning
from sr_geo.grid import TilePlan, Window
from sr_geo.radiometry import Encoding, Mask, fill_invalid
from sr_geo.raster.scene import Scene
from sr_geo.resample import cubic

Real = NDArray[np.float64]

_SAME = 0.01
"""Pixels by which two grids may differ and still be one."""
_GLANCES = 16
"""Windows that are read to learn what unit the values are in."""
_GLANCE = 128
"""Pixels of their side."""
_FAR = 0.5
"""How far apart typical values may be (`_apart`) before it is said: one is twice the other."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Some bands of a scene, in an order."""

    scene: Scene
    bands: tuple[int, ...]
    """Counted from 0."""
    assumed: tuple[Encoding, ...] | None = None
    """Encodings of the bands in place of the scene's own; see `in_unit_of`."""

    @property
    def name(self) -> str:
        """Path, for messages."""
        return self.scene.path

    @property
    def height(self) -> int:
        """Rows."""
        return self.scene.height

    @property
    def width(self) -> int:
        """Columns."""
        return self.scene.width

    @property
    def roles(self) -> tuple[str | None, ...]:
        """Of the bands; None where unknown."""
        return tuple(self.scene.bands[band].role for band in self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the bands: role, else description, else number."""
        described = ((band, self.scene.bands[band]) for band in self.bands)
        return tuple(known.role or known.description or f"band {band + 1}" for band, known in described)

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        """Of the bands."""
        return self.assumed or tuple(self.scene.bands[band].encoding for band in self.bands)

    def only(self, places: Sequence[int]) -> "Selection":
        """Some of the bands, by their places in `bands`."""
        assumed = None if self.assumed is None else tuple(self.assumed[place] for place in places)
        return Selection(self.scene, tuple(self.bands[place] for place in places), assumed)

    def glance(self, windows: int) -> Real:
        """The valid ones ``(N,)`` of the stored values of some windows, spread over the raster."""
        plan = TilePlan(self.height, self.width, _GLANCE)
        seen: list[Real] = []
        for index in range(0, len(plan), max(1, -(-len(plan) // windows))):
            values, valid = self.read(plan[index])
            seen.append(values[valid])
        return np.concatenate(seen)

    def read(self, window: Window) -> tuple[Real, Mask]:
        """Stored values and validity of a window, both ``(C, h, w)``; outside the raster they are mirrored."""
        values, valid = self.scene.read(window, self.bands)
        return values.astype(np.float64), valid

    def read_like(self, window: Window, encodings: tuple[Encoding, ...]) -> tuple[Real, Mask]:
        """As `read`, in the stored values of another raster."""
        values, valid = self.read(window)
        for plane, own, wanted in zip(values, self.encodings, encodings, strict=True):
            if (own.scale, own.offset) != (wanted.scale, wanted.offset):
                plane[:] = (plane * own.scale + own.offset - wanted.offset) / wanted.scale
        return values, valid


@dataclass(frozen=True, slots=True)
class Interpolated:
    """What cubic convolution alone makes of a coarse raster: the yardstick of an enhancement."""

    coarse: Selection
    scale: int

    def read_like(self, window: Window, encodings: tuple[Encoding, ...]) -> tuple[Real, Mask]:
        """Window of the fine grid ``(C, h, w)`` in the stored values of another raster; valid where the coarse pixel is."""
        scale = self.scale
        row, column = window.row // scale, window.column // scale
        cover = Window(row, column, -(-window.row_stop // scale) - row, -(-window.column_stop // scale) - column)
        values, valid = self.coarse.read_like(cover.padded(2), encodings)
        filled = (fill_invalid(plane, mask) for plane, mask in zip(values.astype(np.float32), valid, strict=True))
        fine = np.stack([cubic(plane, scale) for plane in filled]).astype(np.float64)
        known: Mask = valid[:, 2:-2, 2:-2].repeat(scale, axis=1).repeat(scale, axis=2)
        inside = (slice(None), *window.relative_to(cover.scaled(scale)).slices())
        return fine[inside], known[inside]


def open_raster(path: str | Path, stack: ExitStack) -> Selection:
    """The bands of a raster that hold pictures: no transparency, no classes."""
    scene = stack.enter_context(Scene.open(path))
    return Selection(scene, tuple(index for index, band in enumerate(scene.bands) if band.color != "alpha" and not band.marks))


def check_same_grid(truth: Selection, other: Selection) -> None:
    """Refuse rasters that do not lie on one grid.

    Raises:
        EvaluationError: with what to do.
    """
    names = f"{truth.name} and {other.name}"
    one, two = _pixel_sizes(truth.scene.transform), _pixel_sizes(other.scene.transform)
    if truth.scene.crs != other.scene.crs:
        systems = f"{truth.scene.crs} and {other.scene.crs}"
        raise EvaluationError(f"{names}: coordinate systems {systems}; expected one: reproject the reference")
    if any(abs(a - b) * max(truth.height, truth.width) > _SAME * a for a, b in zip(one, two, strict=True)):
        sizes = f"(pixels of {one[0]:g} and {two[0]:g})"
        if one[0] > two[0]:
            raise EvaluationError(
                f"{names}: the reference is coarser {sizes}; expected finer imagery on the enhanced raster's grid: "
                "the input of the enhancement is no reference, it goes to --lr"
            )
        raise EvaluationError(f"{names}: the reference is finer {sizes}; expected one grid: resample it to the enhanced raster's")
    columns, rows = _offset(truth.scene.transform, other.scene.transform)
    if abs(columns) >= max(truth.width, other.width) or abs(rows) >= max(truth.height, other.height):
        raise EvaluationError(f"{names}: they do not overlap; expected the same ground: give rasters of one place")
    if max(abs(columns), abs(rows)) > _SAME:
        raise EvaluationError(
            f"{names}: the enhanced raster starts {rows:.2f} rows and {columns:.2f} columns off; expected one corner: cut both to it"
        )
    if (truth.height, truth.width) != (other.height, other.width):
        sizes = f"{truth.height} × {truth.width} and {other.height} × {other.width} pixels"
        raise EvaluationError(f"{names}: {sizes}; expected the same extent: cut both to it")


def coarser_by(coarse: Selection, fine: Selection) -> int:
    """Fine pixels per coarse pixel.

    Raises:
        EvaluationError: the rasters do not show the same ground in whole multiples of the pixel size.
    """
    scale = round(fine.width / coarse.width)
    shift = _offset(fine.scene.transform, coarse.scene.transform)
    fits = scale >= 2 and (fine.height, fine.width) == (scale * coarse.height, scale * coarse.width)
    if not fits or max(abs(value) for value in shift) > _SAME * scale or coarse.scene.crs != fine.scene.crs:
        raise EvaluationError(
            f"{coarse.name}: {coarse.height} × {coarse.width} pixels are not the input of {fine.height} × {fine.width}; "
            "expected the same ground in whole multiples of the pixel size: give the raster that was enhanced"
        )
    return scale


def _pixel_sizes(transform: Affine) -> tuple[float, float]:
    return math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)


def _offset(one: Affine, two: Affine) -> tuple[float, float]:
    """Columns and rows of the corner of `two` on the grid of `one`."""
    column, row = ~one @ (two.c, two.f)
    return float(column), float(row)


def paired(truth: Selection, other: Selection) -> tuple[Selection, Selection]:
    """The bands that both have, in the order of the reference.

    Raises:
        EvaluationError: roles do not tell, and the numbers of bands differ.
    """
    one, two = truth.roles, other.roles
    distinct = None not in one + two and len(set(one)) == len(one) and len(set(two)) == len(two)
    common = [role for role in one if role in two] if distinct else []
    if common:
        return (
            truth.only([one.index(role) for role in common]),
            other.only([two.index(role) for role in common]),
        )
    if len(one) != len(two):
        raise EvaluationError(
            f"{truth.name} has {len(one)} band(s), {other.name} {len(two)}; expected as many, or known roles: describe or select the bands"
        )
    return truth, other


def in_unit_of(truth: Selection, other: Selection) -> Selection:
    """`other`, with its values in the unit that they are in.

    Where a raster does not state scale and offset, those that are usual for its type are a guess. Many programs drop them, or write
    whole numbers as floating point. So where the guesses of two paired bands differ, both readings are tried: the guessed
    one, and that `other` is stored as `truth` is. The one by which typical values are nearer is taken.

    Warns:
        EvaluationWarning: a band is taken to be stored as the reference is, or neither reading brings the values near.
    """
    encodings, alike, odd = list(other.encodings), [], []
    pairs = zip(truth.bands, other.bands, truth.encodings, other.encodings, strict=True)
    for place, (band, its, wanted, own) in enumerate(pairs):
        same = (own.scale, own.offset) == (wanted.scale, wanted.offset)
        if same or (truth.scene.bands[band].stated and other.scene.bands[its].stated):
            continue
        stored, values = _typical(truth.only([place])), _typical(other.only([place]))
        if math.isnan(stored) or math.isnan(values):
            continue
        as_guessed = _apart(stored, (values * own.scale + own.offset - wanted.offset) / wanted.scale)
        as_stored = _apart(stored, values)
        if as_stored < as_guessed:
            encodings[place] = replace(own, scale=wanted.scale, offset=wanted.offset)
        if min(as_stored, as_guessed) > _FAR:
            odd.append(other.names[place])
        elif as_stored < as_guessed:
            alike.append(other.names[place])
    if alike:
        said = f"no scale and offset for {', '.join(alike)} is stated; values are taken to be stored as in {truth.name}, which is nearest"
        warnings.warn(EvaluationWarning(f"{other.name}: {said}"), stacklevel=3)
    if odd:
        said = f"values of {', '.join(odd)} are far from those of {truth.name} and no scale is stated; are both in one unit?"
        warnings.warn(EvaluationWarning(f"{other.name}: {said} gdal_edit.py -scale and -offset state it"), stacklevel=3)
    return other if tuple(encodings) == other.encodings else replace(other, assumed=tuple(encodings))


def _typical(band: Selection) -> float:
    """Median of the stored values of a single band, at a glance; NaN where none is valid."""
    found = band.glance(_GLANCES)
    found = found[np.isfinite(found)]
    return float(np.median(found)) if found.size else math.nan


def _apart(one: float, two: float) -> float:
    """0 for equal values, 1 where one is nothing beside the other, more where their signs differ."""
    return abs(one - two) / max(abs(one), abs(two)) if one or two else 0.0
