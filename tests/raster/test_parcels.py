import os
import sys
import warnings
import zipfile
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import rasterio.warp
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from rasterio.errors import NotGeoreferencedWarning
from shapely.affinity import affine_transform

from sr_geo.errors import ParcelError, ParcelWarning
from sr_geo.grid import TilePlan, Window, finer
from sr_geo.raster.parcels import ParcelCounts, Parcels, file_names, in_pixels, read_parcels

UTM = CRS.from_epsg(32632)
NORTH_UP = Affine(10, 0, 512400, 0, -10, 6247200)
SOUTH_UP = Affine(10, 0, 512400, 0, 10, 6245600)
ROTATED = Affine.translation(512400, 6247200) @ Affine.rotation(30) @ Affine.scale(10, -10)
SHAPE = (120, 160)
WHOLE = Window(0, 0, *SHAPE)

DATA = Path(os.environ.get("SR_GEO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "satellite"
DANISH_PARCELS = DATA / "parcels" / "denmark_2016_fields_epsg32632.gpkg"
DANISH_SCENE = DATA / "sentinel2" / "denmark_20160508_BGR_B2B3B4_uint16_10m.tif"
needs_danish = pytest.mark.skipif(not (DANISH_PARCELS.exists() and DANISH_SCENE.exists()), reason="no Danish parcels: set SR_GEO_DATA")


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


# --- masks, labels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_mask_is_every_pixel_whose_centre_is_inside(transform: Affine, seed: int) -> None:
    shape = star(70.3, 55.7, radius=80, seed=seed)
    mask = parcels_of([shape], transform).mask(WHOLE, transform)
    np.testing.assert_array_equal(mask, centres(shape, WHOLE))


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


# --- tiles, windows, widths -------------------------------------------------------------------------------------------


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


# --- CRS, axis order, buffers -----------------------------------------------------------------------------------------


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


# --- repairs, what is left out ----------------------------------------------------------------------------------------


def test_a_bow_tie_keeps_both_halves(tmp_path: Path) -> None:
    bow = shapely.Polygon([(10, 10), (50, 50), (50, 10), (10, 50)])
    with pytest.warns(ParcelWarning, match=r"1 of 2 features of bow.gpkg had invalid outlines: repaired"):
        parcels = read(save(tmp_path / "bow.gpkg", [bow, shapely.box(70, 70, 80, 80)]))
    assert parcels.counts.repaired == 1
    assert shapely.is_valid(parcels.geometries).all()
    assert shapely.area(in_pixels(parcels.geometries, ~NORTH_UP))[0] == pytest.approx(800, rel=1e-6)


def test_overlapping_parts_of_one_parcel_do_not_cut_a_hole(tmp_path: Path) -> None:
    twice = shapely.MultiPolygon([shapely.box(0, 0, 10, 10), shapely.box(5, 5, 15, 15)])
    with pytest.warns(ParcelWarning, match="repaired"):
        assert read(save(tmp_path / "twice.gpkg", [twice])).mask(WHOLE, NORTH_UP).sum() == 175


def test_lines_points_and_empty_features_are_left_out_and_counted(tmp_path: Path) -> None:
    mixed = shapely.GeometryCollection([shapely.box(60, 60, 70, 70), shapely.Point(5, 5)])
    shapes = [shapely.box(10, 10, 20, 20), shapely.LineString([(0, 0), (9, 9)]), shapely.Point(3, 3), None, mixed]
    with pytest.warns(ParcelWarning) as caught:
        parcels = read(save(tmp_path / "mixed.gpkg", shapes, id=list("abcde")))
    assert [str(one.message) for one in caught] == [
        "2 of 5 features of mixed.gpkg are no polygons: left out",
        "1 of 5 features of mixed.gpkg have no geometry: left out",
    ]
    assert (parcels.ids, parcels.counts) == (("a", "e"), ParcelCounts(5, not_polygons=2, empty=1))
    assert parcels.geometries[1].geom_type == "Polygon"


def test_heights_are_dropped(tmp_path: Path) -> None:
    parcels = read(save(tmp_path / "z.gpkg", [shapely.force_3d(shapely.box(10, 10, 20, 20), 7.0)]))
    assert not shapely.has_z(parcels.geometries).any()


def test_parcels_outside_are_named_and_left_out(tmp_path: Path) -> None:
    boxes = [shapely.box(10, 10, 20, 20), shapely.box(-20, 0, 0, 20), shapely.box(500, 0, 520, 20)]  # the second one only touches
    with pytest.warns(ParcelWarning, match=r"outside the raster and left out: 2 parcels \(b, c\)"):
        parcels = read(save(tmp_path / "far.gpkg", boxes, id=["a", "b", "c"]))
    assert (parcels.ids, parcels.counts.outside, len(parcels)) == (("a",), 2, 1)


def test_a_long_list_of_names_is_cut(tmp_path: Path) -> None:
    boxes = [shapely.box(10, 10, 20, 20), *(shapely.box(500 + 9 * i, 0, 508 + 9 * i, 8) for i in range(8))]
    with pytest.warns(ParcelWarning, match=r"8 parcels \(2, 3, 4, 5, 6 and 3 more\)"):
        read(save(tmp_path / "far.gpkg", boxes))


def test_parcels_that_the_rasters_crs_cannot_show_are_outside(tmp_path: Path) -> None:
    here = gpd.GeoSeries([on_ground(shapely.box(10, 10, 20, 20), NORTH_UP)], crs=UTM).to_crs(4326)[0]
    gpd.GeoDataFrame({"id": ["here", "antipode"]}, geometry=[here, shapely.box(-171, -10, -170, 10)], crs=4326).to_file(
        tmp_path / "world.gpkg"
    )
    with pytest.warns(ParcelWarning, match="antipode"):
        assert read(tmp_path / "world.gpkg").ids == ("here",)


# --- ids, names, columns ----------------------------------------------------------------------------------------------


def test_ids_come_from_id_or_fid_where_they_tell_features_apart(tmp_path: Path) -> None:
    boxes = [shapely.box(10, 10, 20, 20), shapely.box(30, 30, 40, 40)]
    assert read(save(tmp_path / "a.gpkg", boxes, ID=["k1", "k2"])).ids == ("k1", "k2")
    assert read(save(tmp_path / "b.gpkg", boxes, id=["k1", "k1"])).ids == ("1", "2")  # GeoPackage counts from 1
    assert read(save(tmp_path / "c.geojson", boxes, crs="EPSG:4326", fid=[7, 9])).ids == ("7", "9")


def test_split_by_joins_equal_values_and_names_the_missing(tmp_path: Path) -> None:
    boxes = [shapely.box(10 * i, 0, 10 * i + 10, 10) for i in range(5)]
    path = save(
        tmp_path / "crops.gpkg", boxes, crop=["wheat", None, "wheat", "арпа/1", "wheat"], farm=["A", "A", "A", "B", "A"], n=[1, 2, 3, 4, 5]
    )
    parcels = read(path, split_by="crop")
    assert parcels.ids == ("wheat", "no_crop", "арпа/1")
    assert parcels.names == ("wheat", "no_crop", "арпа_1")
    assert parcels.mask(WHOLE, NORTH_UP, only=[0]).sum() == 300
    assert parcels.attributes["farm"].tolist() == ["A", "A", "B"]
    assert parcels.attributes["n"].isna().tolist() == [True, False, False]


def test_whole_numbers_with_gaps_keep_their_form(tmp_path: Path) -> None:
    boxes = [shapely.box(10 * i, 0, 10 * i + 10, 10) for i in range(3)]
    assert read(save(tmp_path / "n.gpkg", boxes, field=[101.0, None, 103.0]), split_by="field").ids == ("101", "no_field", "103")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["a/b", "a\\b", "a:b"], ("a_b", "a_b_2", "a_b_3")),  # collisions after cleaning
        (["Field", "field"], ("Field", "field_2")),  # one file on Windows and macOS
        (["a_2", "a", "A"], ("a_2", "a", "A_3")),  # a suffix that is taken
        (["..", "", "../../etc/passwd", "/"], ("unnamed", "unnamed_2", "etc_passwd", "unnamed_3")),  # no way out of the folder
        (["con", "COM1.tif", "nul"], ("_con", "_COM1.tif", "_nul")),  # devices of Windows
        (["Жер 12", "Græs, 1. år", "田"], ("Жер_12", "Græs,_1._år", "田")),
        (["a\x00b\n", "e\u0301"], ("a_b", "\u00e9")),  # control characters, composed letters
    ],
)
def test_file_names(values: list[str], names: tuple[str, ...]) -> None:
    assert file_names(values) == names


@given(st.lists(st.text(max_size=200), max_size=12))
def test_file_names_are_unique_and_safe(values: list[str]) -> None:
    names = file_names(values)
    assert len({name.casefold() for name in names}) == len(values)
    for name in names:
        assert name
        assert len(name.encode()) < 140
        assert not set(name) & set('<>:"/\\|?*\0\n')
        assert name.strip(". ") == name


# --- files, layers, errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["gpkg", "shp", "geojson", "fgb", "gml"])
def test_formats(tmp_path: Path, ending: str) -> None:
    square = shapely.box(10, 10, 20, 20)
    path = save(tmp_path / f"fields.{ending}", [square], crs="EPSG:4326" if ending == "geojson" else UTM, crop=["wheat"])
    parcels = read(path)
    assert parcels.mask(WHOLE, NORTH_UP).sum() == 100
    assert parcels.attributes["crop"].tolist() == ["wheat"]


def test_zipped_shapefile(tmp_path: Path) -> None:
    save(tmp_path / "fields.shp", [shapely.box(10, 10, 20, 20)])
    with zipfile.ZipFile(tmp_path / "fields.zip", "w") as archive:
        for part in tmp_path.glob("fields.*"):
            if part.suffix != ".zip":
                archive.write(part, part.name)
    assert len(read(tmp_path / "fields.zip")) == 1
    assert len(read(f"/vsizip/{tmp_path / 'fields.zip'}/fields.shp")) == 1


def test_geoparquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fields.parquet"
    frame = gpd.GeoDataFrame(geometry=[on_ground(shapely.box(10, 10, 20, 20), NORTH_UP)], crs=UTM)
    if find_spec("pyarrow") is not None:
        frame.to_parquet(path)
        assert len(read(path)) == 1
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ParcelError, match="pip install pyarrow"):
        read(path)


def test_the_only_layer_with_polygons_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "farm.gpkg", [shapely.LineString([(0, 0), (9, 9)])], layer="roads")
    save(path, [shapely.box(10, 10, 20, 20)], layer="fields")
    assert len(read(path)) == 1
    save(path, [shapely.box(30, 30, 40, 40), shapely.box(50, 50, 60, 60)], layer="gardens")
    with pytest.raises(ParcelError, match=r"farm.gpkg has 3 layers: roads, fields, gardens; expected .* --layer"):
        read(path)
    assert len(read(path, layer="gardens")) == 2
    with pytest.raises(ParcelError, match=r"has no layer 'feilds'; did you mean 'fields'\?"):
        read(path, layer="feilds")
    with pytest.raises(ParcelError, match="has no layer 'x'; expected one of: roads, fields, gardens"):
        read(path, layer="x")
    with pytest.warns(ParcelWarning), pytest.raises(ParcelError, match="none of 1 features is a polygon"):
        read(path, layer="roads")


def test_a_filter_selects_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    path = save(tmp_path / "crops.gpkg", [shapely.box(10, 10, 20, 20), shapely.box(30, 30, 40, 40)], crop=["wheat", "oats"])
    assert read(path, where="crop = 'oats'").attributes["crop"].tolist() == ["oats"]
    with pytest.raises(ParcelError, match="the filter 'no such thing' is no valid SQL"):
        read(path, where="no such thing")
    with pytest.raises(ParcelError, match="no features"):
        read(path, where="crop = 'rye'")


def test_missing_files_and_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ParcelError, match="no such file"):
        read(tmp_path / "nowhere.gpkg")
    (tmp_path / "note.txt").write_text("no parcels here")
    with pytest.raises(ParcelError, match=r"note.txt: not a vector file .* save the parcels as GeoPackage"):
        read(tmp_path / "note.txt")
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ParcelError, match="without geometry"):
        read(tmp_path / "plain.csv")


def test_an_empty_layer_is_an_error(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[], crs=UTM).to_file(tmp_path / "none.gpkg", geometry_type="Polygon")
    with pytest.raises(ParcelError, match=r"none\.gpkg: no features in the layer"):
        read(tmp_path / "none.gpkg")


def test_a_wrong_field_names_the_nearest(tmp_path: Path) -> None:
    path = save(tmp_path / "f.gpkg", [shapely.box(10, 10, 20, 20)], crop_name=["wheat"])
    with pytest.raises(ParcelError, match=r"has no field 'cropname'; did you mean 'crop_name'\?"):
        read(path, split_by="cropname")


def test_missing_reference_systems_say_how_to_set_them(tmp_path: Path) -> None:
    bare = save(tmp_path / "bare.shp", [shapely.box(10, 10, 20, 20)], crs=None)
    with pytest.raises(ParcelError, match=r"bare.shp has no coordinate reference system, .*`ogr2ogr -a_srs"):
        read(bare)
    with pytest.raises(ParcelError, match=r"the raster has no coordinate reference system, there\.gpkg has WGS 84 / UTM zone 32N"):
        read(save(tmp_path / "there.gpkg", [shapely.box(10, 10, 20, 20)]), crs=None)


def test_all_outside_tells_both_extents(tmp_path: Path) -> None:
    path = save(tmp_path / "far.gpkg", [shapely.box(500, 10, 520, 20), shapely.box(600, 10, 620, 20)], crs="EPSG:4326")
    with pytest.raises(ParcelError) as caught:
        read(path)
    message = str(caught.value)
    assert "all 2 parcels lie outside the raster: parcels x 517400…518600 y 6247000…6247100" in message
    assert "raster x 512400…514000 y 6246000…6247200 (in WGS 84 / UTM zone 32N)" in message
    assert "\n" not in message


def test_large_layers_are_read_about_the_raster_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [shapely.box(10, 10, 20, 20), shapely.box(5000, 0, 5020, 20), shapely.box(9000, 0, 9020, 20)]
    path = save(tmp_path / "many.gpkg", boxes, crs="EPSG:4326")
    monkeypatch.setattr("sr_geo.raster.parcels.LARGE_LAYER", 2)
    parcels = read(path)
    assert (len(parcels), parcels.counts.features, parcels.counts.outside) == (1, 3, 2)


# --- real parcels -----------------------------------------------------------------------------------------------------


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
