"""Field parcels on a raster's grid: which tiles, windows and pixels they cover.

Pixel coordinates are (x, y) = (column, row) of the input raster, the corner of its first pixel being (0, 0).
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from sr_geo.errors import ParcelError, ParcelWarning
from sr_geo.grid import TilePlan, Window
from sr_geo.radiometry import Mask
from sr_geo.raster.shapes import RasterGrid, Shapes, buffered, burnt, in_pixels, moved_by, overlapping, reprojected

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ParcelCounts", "Parcels", "in_pixels", "read_parcels"]


@dataclass(frozen=True, slots=True)
class ParcelCounts:
    """What became of the features of the layer."""

    features: int
    not_polygons: int = 0
    empty: int = 0
    repaired: int = 0
    vanished: int = 0
    """Parcels of which a negative buffer left nothing."""
    outside: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Parcels:
    """Parcels in the CRS of a raster, at least one, each sharing some area with it."""

    geometries: Shapes
    """Polygons and multipolygons, buffered: what is computed, masked and written."""
    cores: Shapes
    """The parcels that statistics are about: the same, without a positive buffer, so that neighbours do not overlap."""
    ids: tuple[str, ...]
    """Values of `split_by`, otherwise of the column `id` or `fid` where these are unique, otherwise feature numbers."""
    names: tuple[str, ...]
    """The ids as file names: unique even where case does not count, without separators, in Unicode."""
    attributes: "pd.DataFrame"
    """The other columns of the layer, one row a parcel; empty where features joined by `split_by` differ."""
    crs: CRS | None
    transform: Affine
    """Geotransform of the input raster."""
    shape: tuple[int, int]
    """(height, width) of the input raster."""
    counts: ParcelCounts
    _pixels: Shapes = field(init=False, repr=False)
    _tree: shapely.STRtree = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pixels = in_pixels(self.geometries, ~self.transform)
        object.__setattr__(self, "_pixels", pixels)
        object.__setattr__(self, "_tree", shapely.STRtree(pixels))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def pixel(self) -> float:
        """Shorter side of an input pixel, in units of the CRS."""
        return RasterGrid(self.crs, self.transform, self.shape).pixel(self.crs)

    def windows(self) -> list[Window]:
        """For each parcel the smallest window of input pixels that holds it, cut to the raster."""
        raster = Window(0, 0, *self.shape)
        return [_bounding_window(bounds).intersection(raster) for bounds in shapely.bounds(self._pixels)]

    def extent(self) -> Window:
        """The smallest window of input pixels that holds all parcels, cut to the raster."""
        return _bounding_window(shapely.total_bounds(self._pixels)).intersection(Window(0, 0, *self.shape))

    def tiles(self, plan: TilePlan, *, only: Iterable[int] | None = None) -> list[int]:
        """Numbers of the tiles of `plan` that share some area with a parcel, ascending.

        Args:
            plan: tiles of the input raster.
            only: indices of the parcels that count; all where None.

        Raises:
            ValueError: `plan` is of a raster of another size.
        """
        if (plan.height, plan.width) != self.shape:
            raise ValueError(f"a plan of {plan.height} × {plan.width} pixels for parcels on a raster of {self.shape[0]} × {self.shape[1]}")
        edges = np.array([(tile.column, tile.row, tile.column_stop, tile.row_stop) for tile in plan], dtype=np.float64)
        boxes = shapely.box(*edges.T)
        tile, parcel = self._tree.query(boxes, predicate="intersects")
        if only is not None:
            wanted = np.isin(parcel, np.fromiter(only, dtype=np.intp))
            tile, parcel = tile[wanted], parcel[wanted]
        shared = shapely.relate_pattern(self._pixels[parcel], boxes[tile], "T********")
        return [int(index) for index in np.unique(tile[shared])]

    def mask(self, window: Window, transform: Affine, *, only: Iterable[int] | None = None, all_touched: bool = False) -> Mask:
        """Pixels of `window` whose centre lies in a parcel, bool ``(height, width)``.

        Args:
            window: rows and columns of the grid of `transform`; may reach outside the raster.
            transform: geotransform of the whole grid (not of the window), such as `finer(raster_transform, 4)`.
            only: indices of the parcels that count; all where None.
            all_touched: take every pixel that a parcel touches, not only those whose centre it holds.
        """
        chosen = self._near(window, transform)
        if only is not None:
            chosen = np.intersect1d(chosen, np.fromiter(only, dtype=np.intp))
        return burnt(self.geometries[chosen], np.ones(len(chosen), dtype=np.int32), window, transform, all_touched=all_touched) > 0

    def labels(self, window: Window, transform: Affine) -> NDArray[np.int32]:
        """Parcel of each pixel of `window` by its centre: index + 1, or 0 for none, int32 ``(height, width)``.

        Positive buffers do not count here. Where parcels overlap, the smaller one has the pixel.

        Args:
            window: rows and columns of the grid of `transform`; may reach outside the raster.
            transform: geotransform of the whole grid (not of the window).
        """
        chosen = self._near(window, transform)
        chosen = chosen[np.argsort(-shapely.area(self.cores[chosen]), kind="stable")]  # the last one burnt stays
        return burnt(self.cores[chosen], (chosen + 1).astype(np.int32), window, transform, all_touched=False)

    def widths(self) -> NDArray[np.float64]:
        """Diameter of the largest circle inside each parcel, in input pixels.

        Unlike 2 · area / perimeter it does not call a compact parcel with a ragged border narrow.
        """
        circles = shapely.maximum_inscribed_circle(in_pixels(self.cores, ~self.transform), tolerance=0.02)
        widths: NDArray[np.float64] = np.nan_to_num(2 * shapely.length(circles))
        return widths

    def _near(self, window: Window, transform: Affine) -> NDArray[np.intp]:
        corners = np.array([shapely.box(window.column, window.row, window.column_stop, window.row_stop)])
        (area,) = moved_by(corners, ~self.transform @ transform)
        indices: NDArray[np.intp] = np.sort(self._tree.query(area, predicate="intersects"))
        return indices


def read_parcels(
    path: str | Path,
    *,
    raster_crs: object,
    raster_transform: Affine,
    raster_shape: tuple[int, int],
    layer: str | None = None,
    where: str | None = None,
    split_by: str | None = None,
    buffer_m: float = 0.0,
) -> Parcels:
    """Parcels of a vector file, repaired, in the raster's CRS, without those outside the raster.

    Edges are straight in the layer's own CRS: long ones get vertices about every raster pixel before they are reprojected.
    Where neither the layer nor the raster has a CRS, both are taken to lie in one plane whose unit is the metre.

    Args:
        path: any vector file that GDAL reads, also zipped, or GeoParquet where pyarrow is installed.
        raster_crs: whatever pyproj takes for a CRS, also rasterio's, or None.
        raster_transform: geotransform of the raster; may be rotated or south-up.
        raster_shape: (height, width) of the raster.
        layer: name of the layer; may be left out where there is one layer with polygons.
        where: filter in SQL (OGR's dialect), such as ``"crop = 'wheat'"``.
        split_by: column whose values name the parcels; features of equal value become one parcel.
        buffer_m: metres to grow every parcel (shrink where negative), measured on the ground whatever the CRS.

    Raises:
        ParcelError: the file, layer, column or filter does not exist, a CRS is missing, or no parcel lies on the raster.

    Warns:
        ParcelWarning: features were left out or repaired.
    """
    # With pandas and geopandas, a fifth of the start of a run without parcels.
    from sr_geo.raster.features import file_names, joined, polygons
    from sr_geo.raster.layer import read_table

    title = Path(path).name
    target = CRS.from_user_input(raster_crs).to_2d() if raster_crs else None  # rasterio's empty CRS is false
    grid = RasterGrid(target, raster_transform, raster_shape)
    table, unread = read_table(path, layer, where, grid)
    source = _common_plane(table.crs, target, title)
    shapes, table, counts = polygons(table, title, unread)
    shapes, ids, attributes = joined(shapes, table, split_by, title)
    shapes = reprojected(shapes, source, grid)
    grown = buffered(shapes, buffer_m, grid)
    cores = grown if buffer_m < 0 else shapes
    vanished = shapely.is_empty(grown)
    inside = ~vanished & overlapping(grown, grid)
    _complain(f"{title}: a buffer of {buffer_m:g} m leaves nothing of", ids, vanished)
    if vanished.all():
        raise ParcelError(f"{title}: a buffer of {buffer_m:g} m leaves nothing of any parcel; expected one that leaves some area")
    if not inside.any():
        raise ParcelError(_all_outside(grown[~vanished], grid, title))
    _complain(f"{title}: outside the raster and left out:", ids, ~inside & ~vanished)
    outside = unread + int(np.count_nonzero(~inside & ~vanished))
    kept = np.flatnonzero(inside)
    names = file_names(ids)
    return Parcels(
        geometries=grown[kept],
        cores=cores[kept],
        ids=tuple(ids[index] for index in kept),
        names=tuple(names[index] for index in kept),
        attributes=attributes.iloc[kept].reset_index(drop=True),
        crs=target,
        transform=raster_transform,
        shape=raster_shape,
        counts=ParcelCounts(**counts, vanished=int(vanished.sum()), outside=outside),
    )


def _common_plane(source: CRS | None, target: CRS | None, title: str) -> CRS | None:
    """CRS of the layer, after a check that layer and raster can be brought together."""
    if source is None and target is not None:
        raise ParcelError(
            f"{title} has no coordinate reference system, the raster has {target.name}: "
            f"set the layer's, for example with `ogr2ogr -a_srs EPSG:4326 with_crs.gpkg {title}`"
        )
    if source is not None and target is None:
        raise ParcelError(
            f"the raster has no coordinate reference system, {title} has {source.name}: "
            "set the raster's, for example with `gdal_edit.py -a_srs EPSG:32642 raster.tif`"
        )
    if source is None or target is None:
        return None
    try:
        Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise ParcelError(
            f"{title} is in {source.name}, the raster in {target.name}, and there is no way from one to the other: "
            "give both a coordinate reference system on Earth"
        ) from error
    return source.to_2d()


def _all_outside(shapes: Shapes, grid: RasterGrid, title: str) -> str:
    known = shapes[~shapely.is_empty(shapes)]
    plane = "without CRS" if grid.crs is None else f"in {grid.crs.name}"
    where = _extent(shapely.total_bounds(known)) if len(known) else "where that CRS does not reach"
    return (
        f"{title}: all {len(shapes)} parcels lie outside the raster: parcels {where}, raster {_extent(shapely.total_bounds(grid.outline))} "
        f"({plane}): take the raster of this place, or check the layer's coordinate reference system"
    )


def _extent(bounds: NDArray[np.float64]) -> str:
    left, lower, right, upper = (f"{value:.10g}" if abs(value) < 1000 else f"{value:.0f}" for value in bounds)
    return f"x {left}…{right} y {lower}…{upper}"


def _bounding_window(bounds: NDArray[np.float64]) -> Window:
    left, upper = np.floor(bounds[:2]).astype(int).tolist()
    right, lower = np.ceil(bounds[2:]).astype(int).tolist()
    return Window(upper, left, lower - upper, right - left)


def _complain(message: str, ids: Sequence[str], chosen: Mask) -> None:
    """Warn about the chosen parcels by name, where there are any."""
    names = [name for name, listed in zip(ids, chosen, strict=True) if listed]
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        count = f"{len(names)} {'parcels' if len(names) > 1 else 'parcel'}"
        warnings.warn(f"{message} {count} ({', '.join(names[:5])}{more})", ParcelWarning, stacklevel=3)
