"""Ragged parcels in pixel coordinates, in memory and as files."""

import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from pyproj import CRS
from shapely.affinity import affine_transform

from sr_geo.grid import Window
from sr_geo.raster.parcels import ParcelCounts, Parcels, read_parcels

UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(10, 0, 512400, 0, -10, 6247200)
SOUTH_UP = Affine(10, 0, 512400, 0, 10, 6245600)
ROTATED = Affine.translation(512400, 6247200) @ Affine.rotation(30) @ Affine.scale(10, -10)
SHAPE = (120, 160)
WHOLE = Window(0, 0, *SHAPE)


def star(x: float, y: float, *, radius: float = 31.3, points: int = 9, seed: int = 0) -> shapely.Polygon:
    """A ragged polygon in pixel coordinates."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, points))
    radii = radius * rng.uniform(0.3, 1, points)
    return shapely.make_valid(shapely.Polygon(np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)])))


def on_ground(shape: shapely.Geometry, transform: Affine) -> shapely.Geometry:
    return affine_transform(shape, transform.to_shapely())


def parcels_of(shapes: list[shapely.Geometry], transform: Affine = NORTH_UP, shape: tuple[int, int] = SHAPE) -> Parcels:
    """Parcels from shapes in pixel coordinates, without a file."""
    ids = tuple(map(str, range(len(shapes))))
    placed = np.array([on_ground(one, transform) for one in shapes], dtype=object)
    table = pd.DataFrame(index=range(len(shapes)))
    return Parcels(placed, placed, ids, ids, table, UTM, transform, shape, ParcelCounts(len(shapes)))


def save(path: Path, shapes: list, *, crs: CRS | str | None = UTM, layer: str | None = None, **columns: list) -> Path:
    """Shapes in pixel coordinates of NORTH_UP, written in `crs`."""
    frame = gpd.GeoDataFrame(columns, geometry=[one if one is None else on_ground(one, NORTH_UP) for one in shapes], crs=UTM)
    frame = frame.set_crs(None, allow_override=True) if crs is None else frame.to_crs(crs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        frame.to_file(path, **({} if layer is None else {"layer": layer}))
    return path


def read(path: Path | str, *, crs: object = UTM, transform: Affine = NORTH_UP, **options: object) -> Parcels:
    return read_parcels(path, raster_crs=crs, raster_transform=transform, raster_shape=SHAPE, **options)


def centres(shape: shapely.Geometry, window: Window) -> np.ndarray:
    """Which pixel centres lie in a shape in pixel coordinates, one by one."""
    x, y = np.meshgrid(np.arange(window.column, window.column_stop) + 0.5, np.arange(window.row, window.row_stop) + 0.5)
    return shapely.contains_xy(shape, x, y)
