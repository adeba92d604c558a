"""Field parcels on a raster's grid: read any vector layer, and say which tiles, windows and pixels the parcels cover.

Coordinates are (x, y) = (easting, northing) = (longitude, latitude) everywhere, whatever order a CRS's authority states.
Pixel coordinates are (x, y) = (column, row) of the input raster, the corner of its first pixel being (0, 0).
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyogrio.errors
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from sr_geo.errors import ParcelError, ParcelWarning
from sr_geo.grid import TilePlan, Window
from sr_geo.radiometry import Mask

Shapes = NDArray[np.object_]
"""One-dimensional array of shapely geometries."""

SNAP = 2.0**16
"""Pixel coordinates are rounded to 1 / SNAP pixel: exact in binary, so that every tile cuts a parcel at the same place."""

LARGE_LAYER = 50_000
"""Layers with more features are read through a bounding box about the raster."""


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
    attributes: pd.DataFrame
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
        return _Grid(self.crs, self.transform, self.shape).pixel(self.crs)

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
        return _burn(self.geometries[chosen], np.ones(len(chosen), dtype=np.int32), window, transform, all_touched=all_touched) > 0

    def labels(self, window: Window, transform: Affine) -> NDArray[np.int32]:
        """Parcel of each pixel of `window` by its centre: index + 1, or 0 for none, int32 ``(height, width)``.

        Positive buffers do not count here. Where parcels overlap, the smaller one has the pixel.

        Args:
            window: rows and columns of the grid of `transform`; may reach outside the raster.
            transform: geotransform of the whole grid (not of the window).
        """
        chosen = self._near(window, transform)
        chosen = chosen[np.argsort(-shapely.area(self.cores[chosen]), kind="stable")]  # the last one burnt stays
        return _burn(self.cores[chosen], (chosen + 1).astype(np.int32), window, transform, all_touched=False)

    def widths(self) -> NDArray[np.float64]:
        """Diameter of the largest circle inside each parcel, in input pixels.

        Unlike 2 · area / perimeter it does not call a compact parcel with a ragged border narrow.
        """
        circles = shapely.maximum_inscribed_circle(in_pixels(self.cores, ~self.transform), tolerance=0.02)
        widths: NDArray[np.float64] = np.nan_to_num(2 * shapely.length(circles))
        return widths

    def _near(self, window: Window, transform: Affine) -> NDArray[np.intp]:
        corners = np.array([shapely.box(window.column, window.row, window.column_stop, window.row_stop)])
        (area,) = _affine(corners, ~self.transform @ transform)
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
    title = Path(path).name
    target = CRS.from_user_input(raster_crs).to_2d() if raster_crs else None  # rasterio's empty CRS is false
    grid = _Grid(target, raster_transform, raster_shape)
    table, unread = _read_table(path, layer, where, grid)
    source = _common_plane(table.crs, target, title)
    shapes, table, counts = _polygons(table, title, unread)
    shapes, ids, attributes = _joined(shapes, table, split_by, title)
    shapes = _reprojected(shapes, source, grid)
    grown = _buffered(shapes, buffer_m, grid)
    cores = grown if buffer_m < 0 else shapes
    vanished = shapely.is_empty(grown)
    inside = ~vanished & _overlap(grown, grid)
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


def file_names(values: Sequence[str]) -> tuple[str, ...]:
    """One file name (without extension) for each value: safe on every system, unique even where case does not count.

    Separators, reserved and control characters become ``_``; letters of any script stay. A name that is taken gets
    ``_2``, ``_3``, ….
    """
    taken: set[str] = set()
    names = []
    for value in values:
        plain = unicodedata.normalize("NFC", value)
        plain = "".join("_" if unicodedata.category(letter)[0] == "C" else letter for letter in plain)
        plain = re.sub(r'[<>:"/\\|?*\s]+', "_", plain).strip("._ ")
        plain = plain.encode()[:120].decode(errors="ignore") or "unnamed"  # file systems allow 255 bytes in all
        if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", plain):
            plain = f"_{plain}"  # Windows keeps these for devices
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return tuple(names)


def in_pixels(shapes: Shapes, to_pixels: Affine) -> Shapes:
    """The shapes in pixel coordinates, rounded to 1 / SNAP pixel and valid; slivers below that become empty."""
    return _valid(_affine(shapes, to_pixels, snap=True))


@dataclass(frozen=True, slots=True)
class _Grid:
    """The raster that the parcels are laid on."""

    crs: CRS | None
    transform: Affine
    shape: tuple[int, int]

    @property
    def outline(self) -> Shapes:
        """The raster's border in its CRS, with vertices every 1 / 16 side: one polygon."""
        box = np.array([shapely.box(0, 0, self.shape[1], self.shape[0])])
        return _affine(shapely.segmentize(box, max(self.shape) / 16), self.transform)

    def pixel(self, crs: CRS | None) -> float:
        """Length of the shorter side of the middle pixel, in units of `crs`; infinite where that CRS does not reach."""
        row, column = self.shape[0] // 2, self.shape[1] // 2
        corners = shapely.points([(column, row), (column + 1, row), (column, row + 1)])
        points = converted(_affine(corners, self.transform), self.crs, crs)
        sides = shapely.distance(points[0], points[1:])
        return float(np.min(np.where(np.isfinite(sides) & (sides > 0), sides, np.inf)))


def _read_table(path: str | Path, layer: str | None, where: str | None, grid: _Grid) -> tuple[gpd.GeoDataFrame, int]:
    """The layer as a GeoDataFrame indexed by feature number, and how many features far from the raster were not read."""
    title = Path(path).name
    if title.lower().endswith((".parquet", ".geoparquet")):
        return _read_parquet(path, title, where), 0
    name = None
    try:
        name = _layer(pyogrio.list_layers(path), layer, title)
        about = pyogrio.read_info(path, layer=name)
        box = _box_about(about, grid)
        table = pyogrio.read_dataframe(path, layer=name, where=where, bbox=box, fid_as_index=True, on_invalid="fix")
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        if name is not None and where is not None:
            raise ParcelError(f"{title}: the filter {where!r} is no valid SQL condition for layer {name!r} ({_one_line(error)})") from error
        if not Path(path).exists() and "/vsi" not in str(path) and "://" not in str(path):
            raise ParcelError(f"{path}: no such file; expected a vector file with field parcels") from error
        raise ParcelError(f"{title}: not a vector file that GDAL can read ({_one_line(error)}); save the parcels as GeoPackage") from error
    except ValueError as error:
        if isinstance(error, ParcelError) or where is None:
            raise
        raise ParcelError(f"{title}: the filter {where!r} is no valid SQL condition for layer {name!r} ({_one_line(error)})") from error
    if not hasattr(table, "geometry"):
        raise ParcelError(f"{title}: layer {name!r} is a table without geometry; expected polygons")
    if box is None or where is not None:
        return table, 0
    return table, int(about["features"]) - len(table)


def _read_parquet(path: str | Path, title: str, where: str | None) -> gpd.GeoDataFrame:
    if find_spec("pyarrow") is None:
        raise ParcelError(f"{title}: GeoParquet needs the package pyarrow: run `pip install pyarrow`, or save the parcels as GeoPackage")
    if where is not None:
        raise ParcelError(f"{title}: a filter was given, which GeoParquet does not take here: save the parcels as GeoPackage")
    if not Path(path).exists():
        raise ParcelError(f"{path}: no such file; expected a vector file with field parcels")
    try:
        return gpd.read_parquet(path).reset_index(drop=True)
    except ValueError as error:
        raise ParcelError(f"{title}: not a GeoParquet file ({_one_line(error)}); save the parcels as GeoPackage") from error


def _layer(layers: NDArray[np.object_], wanted: str | None, title: str) -> str:
    """Name of the layer to read, out of rows of (name, geometry type or None)."""
    names = [str(name) for name, _ in layers]
    if wanted is not None:
        if wanted in names:
            return wanted
        raise ParcelError(f"{title} has no layer {wanted!r}{_nearest(wanted, names)}")
    types = {str(name): kind or "" for name, kind in layers}
    polygons = [name for name, kind in types.items() if "Polygon" in kind or "Surface" in kind]
    unclear = [name for name, kind in types.items() if kind == "Unknown" or "Collection" in kind]
    for candidates in (polygons, unclear, names):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            break
    raise ParcelError(f"{title} has {len(names)} layers: {', '.join(names)}; expected one with polygons: name it with --layer")


def _nearest(wanted: str, names: Sequence[str]) -> str:
    """The end of a message about a name that does not exist."""
    close = get_close_matches(wanted, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of: {', '.join(names) or 'none there'}"


def _box_about(about: dict[str, Any], grid: _Grid) -> tuple[float, float, float, float] | None:
    """What to read of a large layer, in its CRS: the raster's extent grown by its own size; None for all."""
    if about["features"] <= LARGE_LAYER or not about["crs"] or grid.crs is None:
        return None
    left, lower, right, upper = shapely.total_bounds(converted(grid.outline, grid.crs, CRS.from_user_input(about["crs"])))
    if not np.isfinite([left, lower, right, upper]).all():
        return None
    return 2 * left - right, 2 * lower - upper, 2 * right - left, 2 * upper - lower


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


def on_earth(crs: CRS | None) -> bool:
    """Whether coordinates have a longitude and a latitude; without, lengths are taken to be metres in a plane."""
    return crs is not None and not crs.is_engineering


def _polygons(table: gpd.GeoDataFrame, title: str, unread: int) -> tuple[Shapes, gpd.GeoDataFrame, dict[str, int]]:
    """Valid polygons and multipolygons in two dimensions with their rows of the table, and counts of the rest."""
    if not len(table):
        raise ParcelError(f"{title}: no features {'near the raster' if unread else 'in the layer'}; expected at least one field parcel")
    shapes: Shapes = shapely.force_2d(np.asarray(table.geometry.array, dtype=object))
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    polygonal = np.isin(shapely.get_type_id(shapes), (3, 6, 7))
    broken = ~empty & polygonal & ~shapely.is_valid(shapes)
    shapes = _valid(shapes)
    lines = ~empty & (~polygonal | shapely.is_empty(shapes))
    kept = ~empty & ~lines
    if lines.any():
        _warn(f"{np.count_nonzero(lines)} of {len(table)} features of {title} are no polygons: left out")
    if empty.any():
        _warn(f"{np.count_nonzero(empty)} of {len(table)} features of {title} have no geometry: left out")
    if not kept.any():
        raise ParcelError(f"{title}: none of {len(table)} features is a polygon; expected the outlines of field parcels")
    if (broken & kept).any():
        _warn(f"{np.count_nonzero(broken & kept)} of {len(table)} features of {title} had invalid outlines: repaired")
    counts = {
        "features": len(table) + unread,
        "not_polygons": int(lines.sum()),
        "empty": int(empty.sum()),
        "repaired": int((broken & kept).sum()),
    }
    return shapes[kept], table[kept], counts


def _valid(shapes: Shapes) -> Shapes:
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


def _joined(shapes: Shapes, table: gpd.GeoDataFrame, split_by: str | None, title: str) -> tuple[Shapes, tuple[str, ...], pd.DataFrame]:
    """Shapes, ids and attributes, one for each value of `split_by`, or one for each feature where that is None."""
    attributes = pd.DataFrame(table.drop(columns=table.geometry.name))
    if split_by is None:
        return shapes, _identifiers(attributes), attributes.reset_index(drop=True)
    if split_by not in attributes.columns:
        raise ParcelError(f"{title} has no field {split_by!r}{_nearest(split_by, list(map(str, attributes.columns)))}")
    values = _texts(attributes[split_by], missing=f"no_{split_by}")
    groups: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        groups.setdefault(value, []).append(index)
    first = attributes.iloc[[rows[0] for rows in groups.values()]].reset_index(drop=True)
    written = attributes.map(repr).to_numpy()
    same = np.array([[len(set(written[rows, column])) == 1 for column in range(written.shape[1])] for rows in groups.values()])
    united = np.array([shapely.union_all(shapes[rows]) if len(rows) > 1 else shapes[rows[0]] for rows in groups.values()], dtype=object)
    return united, tuple(groups), first.where(same)


def _identifiers(attributes: pd.DataFrame) -> tuple[str, ...]:
    """Values of the column `id` or `fid` where they tell the features apart, otherwise the feature numbers."""
    for wanted in ("id", "fid"):
        for column in attributes.columns:
            values = attributes[column]
            if str(column).lower() == wanted and values.notna().all() and values.astype(str).is_unique:
                return _texts(values, missing="")
    return tuple(str(index) for index in attributes.index)


def _texts(values: pd.Series, *, missing: str) -> tuple[str, ...]:
    """The values as text, whole numbers without a decimal point (a column with gaps comes as floats)."""
    texts = []
    for value in values:
        if pd.isna(value) or not str(value).strip():
            texts.append(missing)
        elif isinstance(value, float) and value.is_integer():
            texts.append(str(int(value)))
        else:
            texts.append(str(value).strip())
    return tuple(texts)


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


def _reprojected(shapes: Shapes, source: CRS | None, grid: _Grid) -> Shapes:
    """The shapes in the raster's CRS, valid; empty where that CRS does not reach."""
    if source is None or grid.crs is None or source.equals(grid.crs, ignore_axis_order=True):
        return shapes
    moved = converted(densified(shapes, grid.pixel(source)), source, grid.crs)
    moved[~np.isfinite(shapely.bounds(moved)).all(axis=1)] = shapely.Polygon()
    return _valid(moved)


def _buffered(shapes: Shapes, metres: float, grid: _Grid) -> Shapes:
    """The shapes grown by `metres` on the ground.

    Each is buffered in the azimuthal equidistant projection about the middle of its one-degree cell, where lengths are
    right to 1 : 10⁴ within 150 km, at any latitude and across the borders of UTM zones.
    """
    if metres == 0:
        return shapes
    if not on_earth(grid.crs):
        return _valid(shapely.buffer(shapes, metres, quad_segs=16))
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
    return _valid(out)


def _overlap(shapes: Shapes, grid: _Grid) -> Mask:
    """Whether each shape shares some area with the raster."""
    raster = shapely.box(0, 0, grid.shape[1], grid.shape[0])
    inside: Mask = shapely.relate_pattern(in_pixels(shapes, ~grid.transform), raster, "T********")
    return inside


def _all_outside(shapes: Shapes, grid: _Grid, title: str) -> str:
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


def _affine(shapes: Shapes, matrix: Affine, *, snap: bool = False) -> Shapes:
    def move(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        column, row = matrix.a * x + matrix.b * y + matrix.c, matrix.d * x + matrix.e * y + matrix.f
        return (np.rint(column * SNAP) / SNAP, np.rint(row * SNAP) / SNAP) if snap else (column, row)

    moved: Shapes = shapely.transform(shapes, move, interleaved=False)
    return moved


def _burn(shapes: Shapes, values: NDArray[np.int32], window: Window, transform: Affine, *, all_touched: bool) -> NDArray[np.int32]:
    """Values of the shapes on the pixels of `window`, 0 elsewhere; the last shape wins.

    GDAL gets pixel coordinates, so that rotated and south-up grids are nothing special and windows agree to the last pixel.
    """
    from rasterio.features import rasterize

    placed = _affine(shapes, ~transform, snap=True)
    placed = _affine(placed, Affine.translation(-window.column, -window.row))
    pairs = [(shape, int(value)) for shape, value in zip(placed, values, strict=True) if not shape.is_empty]
    if not pairs or window.empty:
        return np.zeros(window.shape, dtype=np.int32)
    burnt: NDArray[np.int32] = rasterize(pairs, out_shape=window.shape, fill=0, dtype="int32", all_touched=all_touched)
    return burnt


def _complain(message: str, ids: Sequence[str], chosen: Mask) -> None:
    """Warn about the chosen parcels by name, where there are any."""
    names = [name for name, listed in zip(ids, chosen, strict=True) if listed]
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        _warn(f"{message} {len(names)} {'parcels' if len(names) > 1 else 'parcel'} ({', '.join(names[:5])}{more})")


def _warn(message: str) -> None:
    warnings.warn(message, ParcelWarning, stacklevel=4)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
