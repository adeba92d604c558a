from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from pyproj import CRS

from sr_geo.errors import ParcelError, ParcelWarning
from sr_geo.grid import finer
from sr_geo.raster.parcels import read_parcels
from tests.raster.fields import NORTH_UP, ROTATED, SHAPE, UTM, WHOLE, on_ground, read, save, star


@pytest.mark.parametrize("epsg", [4326, 31467, 3857, 25833, 4258])  # 31467 states northing first, 4326 latitude first
@pytest.mark.parametrize("transform", [NORTH_UP, ROTATED], ids=["north-up", "rotated"])
def test_the_crs_of_the_layer_does_not_change_the_mask(tmp_path: Path, epsg: int, transform: Affine) -> None:
    shapes = [star(40, 40, seed=5), star(95, 60, seed=6)]
    here = read(save(tmp_path / "utm.gpkg", shapes), transform=transform)
    there = read(save(tmp_path / "other.gpkg", shapes, crs=CRS.from_epsg(epsg)), transform=transform)
    grid, fine = finer(transform, 4), WHOLE.scaled(4)
    assert here.mask(fine, grid).any()
    assert np.mean(here.mask(fine, grid) != there.mask(fine, grid)) < 1e-5


def test_long_edges_stay_where_the_layer_draws_them(tmp_path: Path) -> None:
    # The 56th parallel over 1.2° bends by more than 400 m against its chord in UTM.
    west, east = 9.0, 10.2
    field = gpd.GeoDataFrame(geometry=[shapely.box(west, 55.9, east, 56.0)], crs=4326)
    field.to_file(tmp_path / "belt.gpkg")
    transform = Affine(100, 0, 495000, 0, -100, 6220000)
    parcels = read_parcels(tmp_path / "belt.gpkg", raster_crs=UTM, raster_transform=transform, raster_shape=(400, 900))
    for longitude in np.linspace(west + 0.01, east - 0.01, 7):
        (x,), (y,) = rasterio.warp.transform("EPSG:4326", "EPSG:32632", [longitude], [56.0])
        assert shapely.distance(parcels.geometries[0].boundary, shapely.Point(x, y)) < 0.1
    assert shapely.get_num_coordinates(parcels.geometries[0]) < 5000


@pytest.mark.parametrize("epsg", [4326, 3857, 2263, 32633])  # degrees, stretched metres, feet far away, the next zone
@pytest.mark.parametrize("metres", [20.0, -20.0])
def test_a_buffer_is_in_metres_on_the_ground_in_any_crs(tmp_path: Path, epsg: int, metres: float) -> None:
    # 2263 is New York in US feet; the others lie in Denmark.
    origin = Affine(10, 0, 584000, 0, -10, 4508000) if epsg == 2263 else NORTH_UP
    utm = CRS.from_epsg(32618 if epsg == 2263 else 32632)
    square = on_ground(shapely.box(20, 20, 70, 60), origin)
    gpd.GeoDataFrame(geometry=[square], crs=utm).to_file(tmp_path / "square.gpkg")
    left, lower, right, upper = gpd.GeoSeries([on_ground(shapely.box(0, 0, 160, 120), origin)], crs=utm).to_crs(epsg).total_bounds
    transform = Affine((right - left) / 160, 0, left, 0, (lower - upper) / 120, upper)
    parcels = read_parcels(
        tmp_path / "square.gpkg", raster_crs=f"EPSG:{epsg}", raster_transform=transform, raster_shape=SHAPE, buffer_m=metres
    )
    grown = gpd.GeoSeries(parcels.geometries, crs=epsg).to_crs(utm).area[0] - square.area
    expected = square.buffer(metres, quad_segs=16).area - square.area
    assert grown == pytest.approx(expected, rel=0.01)
    same_core = gpd.GeoSeries(parcels.cores, crs=epsg).to_crs(utm).area[0]
    assert same_core == pytest.approx(square.area if metres > 0 else square.area + expected, rel=0.001)


def test_a_buffer_does_not_care_about_zone_borders(tmp_path: Path) -> None:
    fields = [shapely.box(11.9, 56.0, 11.92, 56.01), shapely.box(12.1, 56.0, 12.12, 56.01)]
    gpd.GeoDataFrame(geometry=fields, crs=4326).to_file(tmp_path / "two.gpkg")
    transform = Affine(1e-3, 0, 11.5, 0, -1e-3, 56.5)
    plain, grown = (
        read_parcels(tmp_path / "two.gpkg", raster_crs=4326, raster_transform=transform, raster_shape=(1000, 1000), buffer_m=metres)
        for metres in (0.0, 100.0)
    )
    growth = [
        gpd.GeoSeries([after, before], crs=4326).to_crs(zone).area
        for after, before, zone in zip(grown.geometries, plain.geometries, (32632, 32633), strict=True)
    ]
    assert np.isclose(growth[0][0] - growth[0][1], growth[1][0] - growth[1][1], rtol=2e-3)


def test_parcels_that_a_buffer_eats_are_named(tmp_path: Path) -> None:
    path = save(tmp_path / "fields.gpkg", [shapely.box(10, 10, 12, 60), shapely.box(30, 30, 60, 60)], id=["strip", "square"])
    with pytest.warns(ParcelWarning, match=r"buffer of -20 m leaves nothing of 1 parcel \(strip\)"):
        parcels = read(path, buffer_m=-20)
    assert (parcels.ids, parcels.counts.vanished) == (("square",), 1)
    with pytest.warns(ParcelWarning), pytest.raises(ParcelError, match="nothing of any parcel"):
        read(path, buffer_m=-500)


def test_a_plane_without_crs(tmp_path: Path) -> None:
    path = save(tmp_path / "plane.gpkg", [shapely.box(10, 10, 20, 20)], crs=None)
    parcels = read(path, crs=None, buffer_m=10)
    assert parcels.crs is None
    assert shapely.area(parcels.geometries[0]) == pytest.approx(shapely.box(0, 0, 100, 100).buffer(10, quad_segs=16).area)
    assert read(path, crs=rasterio.crs.CRS()).mask(WHOLE, NORTH_UP).sum() == 100
