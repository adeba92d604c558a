"""One layer of a vector file as a table: which layer, which features, and what to say where that cannot be told."""

from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyogrio
import pyogrio.errors
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from sr_geo.errors import ParcelError
from sr_geo.raster.shapes import RasterGrid, converted

LARGE_LAYER = 50_000
"""Layers with more features are read through a bounding box about the raster."""


def read_table(path: str | Path, layer: str | None, where: str | None, grid: RasterGrid) -> tuple[gpd.GeoDataFrame, int]:
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
    if not isinstance(table, gpd.GeoDataFrame):  # a plain table may have a column called geometry
        hint = ": GDAL reads outlines from a column called WKT" if title.lower().endswith(".csv") else ""
        raise ParcelError(f"{title}: layer {name!r} is a table without geometry; expected polygons{hint}")
    if where is not None and not len(table):
        place = "in the layer" if box is None else "near the raster"
        raise ParcelError(f"{title}: no feature {place} meets the filter {where!r}; check the condition, or leave it away to take all")
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
        raise ParcelError(f"{title} has no layer {wanted!r}{nearest_name(wanted, names)}")
    types = {str(name): kind or "" for name, kind in layers}
    polygons = [name for name, kind in types.items() if "Polygon" in kind or "Surface" in kind]
    unclear = [name for name, kind in types.items() if kind == "Unknown" or "Collection" in kind]
    for candidates in (polygons, unclear, names):
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            break
    raise ParcelError(f"{title} has {len(names)} layers: {', '.join(names)}; expected one with polygons: name it with --layer")


def nearest_name(wanted: str, names: Sequence[str]) -> str:
    """The end of a message about a name that does not exist."""
    close = get_close_matches(wanted, names, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of: {', '.join(names) or 'none there'}"


def _box_about(about: dict[str, Any], grid: RasterGrid) -> tuple[float, float, float, float] | None:
    """What to read of a large layer, in its CRS: the raster's extent grown by its own size; None for all."""
    if about["features"] <= LARGE_LAYER or not about["crs"] or grid.crs is None:
        return None
    left, lower, right, upper = shapely.total_bounds(converted(grid.outline, grid.crs, CRS.from_user_input(about["crs"])))
    if not np.isfinite([left, lower, right, upper]).all():
        return None
    return 2 * left - right, 2 * lower - upper, 2 * right - left, 2 * upper - lower


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
