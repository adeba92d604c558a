"""Polygons between ground and pixels: reprojected, buffered, repaired, burnt. Geometry only, no files.

Coordinates are (x, y) = (easting, northing) = (longitude, latitude) everywhere, whatever order a CRS's authority states.
Pixel coordinates are (x, y) = (column, row), the corner of the first pixel being (0, 0).
"""

from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from sr_geo.grid import Window
from sr_geo.radiometry import Mask
from sr_geo.raster.dataset import placed_or_not

Shapes = NDArray[np.object_]
"""One-dimensional array of shapely geometries."""

SNAP = 2.0**16
"""Pixel coordinates are rounded to 1 / SNAP pixel: exact in binary, so that every tile cuts a parcel at the same place."""


@dataclass(frozen=True, slots=True)
class RasterGrid:
    """The raster that the parcels are laid on."""

    crs: CRS | None
    transform: Affine
    shape: tuple[int, int]

    @property
    def outline(self) -> Shapes:
        """The raster's border in its CRS, with vertices every 1 / 16 side: one polygon."""
        box = np.array([shapely.box(0, 0, self.shape[1], self.shape[0])])
        return moved_by(shapely.segmentize(box, max(self.shape) / 16), self.transform)

    def pixel(self, crs: CRS | None) -> float:
        """Length of the shorter side of the middle pixel, in units of `crs`; infinite where that CRS does not reach."""
        row, column = self.shape[0] // 2, self.shape[1] // 2
        corners = shapely.points([(column, row), (column + 1, row), (column, row + 1)])
        points = converted(moved_by(corners, self.transform), self.crs, crs)
        sides = shapely.distance(points[0], points[1:])
        return float(np.min(np.where(np.isfinite(sides) & (sides > 0), sides, np.inf)))


def in_pixels(shapes: Shapes, to_pixels: Affine) -> Shapes:
    """The shapes in pixel coordinates, rounded to 1 / SNAP pixel and valid; slivers below that become empty."""
    return valid_polygons(moved_by(shapes, to_pixels, snap=True))


def on_earth(crs: CRS | None) -> bool:
    """Whether coordinates have a longitude and a latitude; without, lengths are taken to be metres in a plane."""
    return crs is not None and not crs.is_engineering


def valid_polygons(shapes: Shapes) -> Shapes:
    """Polygonal parts of the shapes; outlines that cross themselves enclose what any of their loops encloses."""
    out = np.array(shapes, dtype=object)
    known = ~shapely.is_missing(out)
    mend = known & ~shapely.is_valid(out)
    out[mend] = shapely.make_valid(out[mend], method="structure", keep_collapsed=False)
    mixed = known & (shapely.get_type_id(out) == 7)
    for index in np.flatnonzero(mixed):
        parts = shapely.get_parts(out[index])
        out[index] = shapely.union_all(parts[np.isin(shapely.get_type_id(parts), (3, 6))])
    return out


def converted(shapes: Shapes, source: CRS | None, target: CRS | None) -> Shapes:
    """The shapes in another CRS, vertex by vertex; infinite coordinates where there is no counterpart."""
    if source is None or target is None or source.equals(target, ignore_axis_order=True):
        return shapes
    transformer = Transformer.from_crs(source, target, always_xy=True)
    moved: Shapes = shapely.transform(shapes, transformer.transform, interleaved=False)
    return moved


def densified(shapes: Shapes, step: float) -> Shapes:
    """With vertices every `step`, but not much more than 2000 a shape: a straight edge of 1/2000 of a country bends by millimetres."""
    steps = np.maximum(shapely.length(shapes) / 2000, step)
    dense: Shapes = shapely.segmentize(shapes, np.where(np.isfinite(steps) & (steps > 0), steps, 1e300))
    return dense


def reprojected(shapes: Shapes, source: CRS | None, grid: RasterGrid) -> Shapes:
    """The shapes in the raster's CRS, valid; empty where that CRS does not reach."""
    if source is None or grid.crs is None or source.equals(grid.crs, ignore_axis_order=True):
        return shapes
    moved = converted(densified(shapes, grid.pixel(source)), source, grid.crs)
    moved[~np.isfinite(shapely.bounds(moved)).all(axis=1)] = shapely.Polygon()
    return valid_polygons(moved)


def buffered(shapes: Shapes, metres: float, grid: RasterGrid) -> Shapes:
    """The shapes grown by `metres` on the ground.

    Each is buffered in the azimuthal equidistant projection about the middle of its one-degree cell, where lengths are
    right to 1 : 10⁴ within 150 km, at any latitude and across the borders of UTM zones.
    """
    if metres == 0:
        return shapes
    if not on_earth(grid.crs):
        return valid_polygons(shapely.buffer(shapes, metres, quad_segs=16))
    ends = converted(shapely.point_on_surface(shapes), grid.crs, CRS.from_epsg(4326))
    cells = np.floor(shapely.get_coordinates(ends)) + 0.5
    known = ~shapely.is_empty(shapes)
    out = shapes.copy()
    for longitude, latitude in np.unique(cells, axis=0):
        local = CRS.from_dict({"proj": "aeqd", "lon_0": longitude, "lat_0": latitude, "datum": "WGS84", "units": "m"})
        here = np.flatnonzero(known)[(cells == (longitude, latitude)).all(axis=1)]
        there = converted(densified(shapes[here], grid.pixel(grid.crs)), grid.crs, local)
        grown = densified(shapely.buffer(there, metres, quad_segs=16), grid.pixel(local))
        out[here] = converted(grown, local, grid.crs)
    return valid_polygons(out)


def overlapping(shapes: Shapes, grid: RasterGrid) -> Mask:
    """Whether each shape shares some area with the raster."""
    raster = shapely.box(0, 0, grid.shape[1], grid.shape[0])
    inside: Mask = shapely.relate_pattern(in_pixels(shapes, ~grid.transform), raster, "T********")
    return inside


def moved_by(shapes: Shapes, matrix: Affine, *, snap: bool = False) -> Shapes:
    """The shapes under an affine map; with `snap` on multiples of 1 / SNAP."""

    def move(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        column, row = matrix.a * x + matrix.b * y + matrix.c, matrix.d * x + matrix.e * y + matrix.f
        return (np.rint(column * SNAP) / SNAP, np.rint(row * SNAP) / SNAP) if snap else (column, row)

    moved: Shapes = shapely.transform(shapes, move, interleaved=False)
    return moved


def burnt(shapes: Shapes, values: NDArray[np.int32], window: Window, transform: Affine, *, all_touched: bool) -> NDArray[np.int32]:
    """Values of the shapes on the pixels of `window`, 0 elsewhere; the last shape wins.

    GDAL gets pixel coordinates, so that rotated and south-up grids are nothing special and windows agree to the last pixel.
    """
    from rasterio.features import rasterize

    placed = moved_by(shapes, ~transform, snap=True)
    placed = moved_by(placed, Affine.translation(-window.column, -window.row))
    pairs = [(shape, int(value)) for shape, value in zip(placed, values, strict=True) if not shape.is_empty]
    if not pairs or window.empty:
        return np.zeros(window.shape, dtype=np.int32)
    with placed_or_not():
        values_of_pixels: NDArray[np.int32] = rasterize(pairs, out_shape=window.shape, fill=0, dtype="int32", all_touched=all_touched)
    return values_of_pixels
