import os
import warnings
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.errors import NotGeoreferencedWarning

from sr_geo.grid import TilePlan, Window, finer
from sr_geo.raster.parcels import read_parcels
from sr_geo.raster.shapes import SNAP
from tests.raster.fields import NORTH_UP, ROTATED, SHAPE, SOUTH_UP, WHOLE, centres, parcels_of, save, star

DATA = Path(os.environ.get("SR_GEO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "satellite"
DANISH_PARCELS = DATA / "parcels" / "denmark_2016_fields_epsg32632.gpkg"
DANISH_SCENE = DATA / "sentinel2" / "denmark_20160508_BGR_B2B3B4_uint16_10m.tif"
needs_danish = pytest.mark.skipif(not (DANISH_PARCELS.exists() and DANISH_SCENE.exists()), reason="no Danish parcels: set SR_GEO_DATA")


# --- masks, labels ---


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_mask_is_every_pixel_whose_centre_is_inside(transform: Affine, seed: int) -> None:
    shape = star(70.3, 55.7, radius=80, seed=seed)
    mask = parcels_of([shape], transform).mask(WHOLE, transform)
    row, column = np.nonzero(mask != centres(shape, WHOLE))
    on_edge = shapely.distance(shapely.boundary(shape), shapely.points(column + 0.5, row + 0.5))
    assert (on_edge < 2 / SNAP).all()  # coordinates are rounded to that


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
def test_windows_of_the_fine_grid_agree_with_the_whole(transform: Affine) -> None:
    parcels = parcels_of([star(40, 40, seed=1), star(100.5, 70.5, seed=2), shapely.box(60, 60, 90, 90)], transform)
    grid, fine = finer(transform, 4), WHOLE.scaled(4)
    mask, labels = parcels.mask(fine, grid), parcels.labels(fine, grid)
    for tile in TilePlan(*fine.shape, 150):
        np.testing.assert_array_equal(parcels.mask(tile, grid), mask[tile.slices()])
        np.testing.assert_array_equal(parcels.labels(tile, grid), labels[tile.slices()])
    np.testing.assert_array_equal(labels > 0, mask)


def test_mask_reaches_outside_the_raster_where_the_window_does() -> None:
    parcels = parcels_of([shapely.box(-5, -5, 5, 5)])
    assert parcels.mask(Window(-10, -10, 20, 20), NORTH_UP).sum() == 100
    assert parcels.mask(Window(-10, -10, 0, 20), NORTH_UP).shape == (0, 20)


def test_mask_and_tiles_of_some_parcels() -> None:
    parcels = parcels_of([shapely.box(0, 0, 10, 10), shapely.box(100, 100, 110, 110)])
    assert parcels.mask(WHOLE, NORTH_UP, only=[1]).sum() == 100
    assert not parcels.mask(WHOLE, NORTH_UP, only=[1])[:50].any()
    assert parcels.tiles(TilePlan(*SHAPE, 40), only=[0]) == [0]
    assert parcels.tiles(TilePlan(*SHAPE, 40), only=[]) == []


@given(
    cuts=st.lists(st.integers(-640, 640), min_size=2, max_size=12, unique=True),
    slope=st.integers(-8, 8),
    transform=st.sampled_from([NORTH_UP, ROTATED]),
)
@settings(max_examples=20, deadline=None)
def test_labels_of_touching_parcels_partition_their_union(cuts: list[int], slope: int, transform: Affine) -> None:
    # Eighths of a pixel: edges that run through pixel centres, where a pixel could be taken twice or not at all.
    ends = sorted(cuts)
    strips = [
        shapely.Polygon([(80 + a / 8 + slope, 20), (80 + b / 8 + slope, 20), (80 + b / 8, 100.5), (80 + a / 8, 100.5)])
        for a, b in pairwise(ends)
    ]
    parcels = parcels_of(strips, transform)
    labels = parcels.labels(WHOLE, transform)
    union = parcels_of(
        [shapely.Polygon([*strips[0].exterior.coords[:1], *strips[-1].exterior.coords[1:3], *strips[0].exterior.coords[3:4]])], transform
    )
    np.testing.assert_array_equal(labels > 0, union.mask(WHOLE, transform))
    alone = sum(parcels.mask(WHOLE, transform, only=[index]).astype(int) for index in range(len(strips)))
    assert np.max(alone) <= 1
    np.testing.assert_array_equal(alone > 0, labels > 0)


def test_the_smaller_of_two_overlapping_parcels_has_the_pixel() -> None:
    labels = parcels_of([shapely.box(20, 20, 30, 30), shapely.box(0, 0, 50, 50)]).labels(WHOLE, NORTH_UP)
    assert np.bincount(labels.ravel())[1:].tolist() == [100, 2400]


# --- tiles, windows, widths ---


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
@given(seed=st.integers(0, 10_000), tile=st.integers(7, 60))
@settings(max_examples=8, deadline=None)
def test_tiles_are_those_whose_mask_is_not_empty(transform: Affine, seed: int, tile: int) -> None:
    shapes = [star(20.7, 30.3, seed=seed), star(120.1, 80.9, radius=60, points=5, seed=seed + 1)]
    parcels = parcels_of(shapes, transform)
    plan = TilePlan(*SHAPE, tile)
    touched = [index for index, window in enumerate(plan) if parcels.mask(window, transform, all_touched=True).any()]
    assert parcels.tiles(plan) == touched


def test_tiles_take_the_shape_not_its_bounding_box() -> None:
    diagonal = shapely.LineString([(1, 1), (119, 119)]).buffer(1)
    parcels = parcels_of([diagonal])
    assert parcels.windows() == [Window(0, 0, 120, 120)]
    assert parcels.tiles(TilePlan(*SHAPE, 40)) == [0, 1, 4, 5, 6, 9, 10]  # the line is two pixels wide, so it clips the corners' neighbours


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
def test_a_parcel_that_ends_on_a_tile_border_is_in_one_tile(transform: Affine) -> None:
    parcels = parcels_of([shapely.box(40, 40, 80, 80)], transform)
    assert parcels.tiles(TilePlan(*SHAPE, 40)) == [5]
    assert parcels.windows() == [Window(40, 40, 40, 40)]


def test_tiles_of_a_plan_for_another_raster_are_refused() -> None:
    with pytest.raises(ValueError, match="120 × 160"):
        parcels_of([shapely.box(0, 0, 9, 9)]).tiles(TilePlan(10, 10, 5))


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
def test_windows_hold_every_touched_pixel_and_no_more(transform: Affine) -> None:
    parcels = parcels_of([star(40, 40, seed=3), star(150, 110, seed=4)], transform)
    for index, window in enumerate(parcels.windows()):
        rows, columns = np.nonzero(parcels.mask(WHOLE, transform, only=[index], all_touched=True))
        assert (window.row, window.column) == (rows.min(), columns.min())
        assert (window.row_stop, window.column_stop) == (rows.max() + 1, columns.max() + 1)
    extent = parcels.extent()
    assert extent.row_stop == max(window.row_stop for window in parcels.windows())
    assert extent.column == min(window.column for window in parcels.windows())


def test_width_is_the_largest_circle_in_input_pixels() -> None:
    strip, ell = shapely.box(0, 0, 3, 90), shapely.union(shapely.box(10, 10, 16, 60), shapely.box(10, 54, 60, 60))
    widths = parcels_of([strip, ell, shapely.Point(100, 60).buffer(10, quad_segs=64)], ROTATED).widths()
    np.testing.assert_allclose(widths, [3, 7.03, 20], atol=0.1)  # the corner of the L holds a little more than its arms


# --- real parcels ---


@needs_danish
def test_danish_parcels_cover_what_was_measured() -> None:
    with rasterio.open(DANISH_SCENE) as scene:
        crs, transform, shape = scene.crs, scene.transform, scene.shape
    parcels = read_parcels(DANISH_PARCELS, raster_crs=crs, raster_transform=transform, raster_shape=shape)
    assert (len(parcels), parcels.counts.repaired) == (276, 0)
    fine = Window(0, 0, *shape).scaled(4)
    mask = parcels.mask(fine, finer(transform, 4))
    assert mask.mean() == pytest.approx(0.78, abs=0.005)
    labels = parcels.labels(fine, finer(transform, 4))
    np.testing.assert_array_equal(labels > 0, mask)
    plan = TilePlan(*shape, 16)
    touched = [index for index, tile in enumerate(plan) if parcels.mask(tile, transform, all_touched=True).any()]
    assert set(parcels.tiles(plan)) <= set(touched)
    assert len(touched) - len(parcels.tiles(plan)) <= 2  # GDAL burns a pixel or two that a parcel only meets at the border
    assert len(parcels.tiles(plan)) < len(plan)


@needs_danish
def test_danish_parcels_in_degrees_are_the_same_parcels(tmp_path: Path) -> None:
    with rasterio.open(DANISH_SCENE) as scene:
        place = {"raster_crs": scene.crs, "raster_transform": scene.transform, "raster_shape": scene.shape}
    gpd.read_file(DANISH_PARCELS).to_crs(4326).to_file(tmp_path / "degrees.gpkg")
    whole, fine = Window(0, 0, *place["raster_shape"]).scaled(4), finer(place["raster_transform"], 4)
    here, there = (read_parcels(path, **place).labels(whole, fine) for path in (DANISH_PARCELS, tmp_path / "degrees.gpkg"))
    assert np.mean(here != there) < 1e-5


def test_no_warning_about_missing_georeference() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotGeoreferencedWarning)
        assert parcels_of([shapely.box(1, 1, 9, 9)]).mask(WHOLE, NORTH_UP).sum() == 64


def test_pyogrio_sees_the_layer_types_that_the_choice_relies_on(tmp_path: Path) -> None:
    path = save(tmp_path / "one.gpkg", [shapely.box(1, 1, 9, 9)])
    assert pyogrio.list_layers(path)[0, 1] == "Polygon"
