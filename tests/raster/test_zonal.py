import os
import sqlite3
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS
from shapely.affinity import affine_transform

from sr_geo.errors import OptionError, OutputError
from sr_geo.grid import TilePlan, Window, finer
from sr_geo.raster.parcel_table import write_table
from sr_geo.raster.parcels import ParcelCounts, Parcels, read_parcels
from sr_geo.raster.zonal import ParcelStatistics, ZonalSums, hectares

DATA = Path(os.environ.get("SR_GEO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "satellite"
DANISH_PARCELS = DATA / "parcels" / "denmark_2016_fields_epsg32632.gpkg"
DANISH_SCENE = DATA / "sentinel2" / "denmark_20160508_BGR_B2B3B4_uint16_10m.tif"
needs_danish = pytest.mark.skipif(not (DANISH_PARCELS.exists() and DANISH_SCENE.exists()), reason="no Danish parcels: set SR_GEO_DATA")

UTM = CRS.from_epsg(32632)
TRANSFORM = Affine(10, 0, 512400, 0, -10, 6247200)
SHAPE = (24, 32)
ROLES = ("blue", "red", "nir")


def parcels_of(*shapes: shapely.Geometry, crs: CRS | None = UTM, **columns: list) -> Parcels:
    """Parcels from shapes in pixel coordinates."""
    placed = np.array([affine_transform(one, TRANSFORM.to_shapely()) for one in shapes], dtype=object)
    ids = tuple(f"p{index}" for index in range(len(shapes)))
    table = pd.DataFrame(columns, index=range(len(shapes)))
    return Parcels(placed, placed, ids, ids, table, crs, TRANSFORM, SHAPE, ParcelCounts(len(shapes)))


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Reflectances (C, h, w), a few below zero, and what is valid."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(-0.02, 0.6, (3, *SHAPE)).astype(np.float32)
    return values, rng.random(values.shape) > 0.1


def enlarged(array: np.ndarray) -> np.ndarray:
    return array.repeat(4, axis=-2).repeat(4, axis=-1)


FIELDS = (shapely.box(1, 1, 9.3, 20), shapely.Polygon([(9.3, 1), (28, 3), (20, 22), (9.3, 20)]), shapely.box(28, 0, 31, 24))


def collected(parcels: Parcels, tile: int, **options: object) -> ParcelStatistics:
    values, valid = scene()
    statistics = ParcelStatistics(parcels, ROLES)
    for window in TilePlan(*SHAPE, tile):
        coarse, fine = (slice(None), *window.slices()), (slice(None), *window.scaled(4).slices())
        statistics.add(
            window,
            before=values[coarse],
            before_valid=valid[coarse],
            after=enlarged(values)[fine],
            after_valid=enlarged(valid)[fine],
            **{name: array[fine[1:]] for name, array in options.items()},
        )
    return statistics


# --- sums -------------------------------------------------------------------------------------------------------------


@given(tile=st.integers(3, 40), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_any_tiling_gives_the_sums_of_the_whole(tile: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 5, SHAPE).astype(np.int32)
    values, valid = scene(seed)
    whole, tiled = (ZonalSums(5, 3, red=1, nir=2) for _ in range(2))
    whole.add(labels, values, valid)
    for window in TilePlan(*SHAPE, tile):
        part = (slice(None), *window.slices())
        tiled.add(labels[part[1:]], values[part], valid[part])
    np.testing.assert_array_equal(tiled.pixels, whole.pixels)
    np.testing.assert_array_equal(tiled.valid, whole.valid)
    np.testing.assert_allclose(tiled.means(), whole.means(), rtol=1e-12)
    np.testing.assert_allclose(tiled.ndvi(), whole.ndvi(), rtol=1e-9, atol=1e-12)


def test_sums_are_the_plain_statistics_of_each_parcel() -> None:
    labels = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.int32) % 4
    values, valid = scene()
    sums = ZonalSums(4, 3, red=1, nir=2)
    sums.add(labels, values, valid)
    mean, deviation = sums.ndvi()
    for parcel in range(3):
        here = labels == parcel + 1
        for band in range(3):
            assert sums.means()[band, parcel] == pytest.approx(values[band][here & valid[band]].mean(), rel=1e-5)
        red, nir = (np.maximum(values[band].astype(float), 0)[here & valid[1] & valid[2]] for band in (1, 2))
        ndvi = ((nir - red) / np.where(nir + red > 0, nir + red, np.nan))[nir + red > 0]
        assert (mean[parcel], deviation[parcel]) == (pytest.approx(ndvi.mean()), pytest.approx(ndvi.std()))
        assert (sums.pixels[parcel], sums.valid[parcel]) == (here.sum(), (here & valid.all(axis=0)).sum())
    assert np.isnan(sums.means()[:, 3]).all()  # no pixel has the fourth label
    assert np.isnan(mean[3])


def test_values_that_are_not_finite_never_count() -> None:
    sums = ZonalSums(1, 1)
    sums.add(np.ones((1, 4), dtype=np.int32), np.array([[[1, np.nan, np.inf, 3]]], dtype=np.float32), np.ones((1, 4), dtype=bool))
    assert (sums.means()[0, 0], sums.valid[0], sums.pixels[0]) == (2, 2, 4)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 bands"):
        ZonalSums(1, 2).add(np.zeros((4, 4), dtype=np.int32), np.zeros((3, 4, 4), dtype=np.float32), np.ones((4, 4), dtype=bool))


# --- rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [5, 32])
def test_a_result_that_changes_nothing_has_the_inputs_statistics(tile: int) -> None:
    for row in collected(parcels_of(*FIELDS), tile).rows():
        assert row.means_before == pytest.approx(row.means_after, rel=1e-9)
        assert row.ndvi_before == pytest.approx(row.ndvi_after, rel=1e-9)
        assert row.ndvi_std_before == pytest.approx(row.ndvi_std_after, rel=1e-6)
        assert row.pixels_before == row.pixels_after / 16
        assert row.detail is None


def test_before_weights_input_pixels_by_their_share() -> None:
    values = np.zeros((1, *SHAPE), dtype=np.float32)
    values[0, :, 1] = 1.0
    statistics = ParcelStatistics(parcels_of(shapely.box(0, 0, 1.5, 4)), ["red"])  # column 0 whole, column 1 half
    all_valid = np.ones(SHAPE, dtype=bool)
    statistics.add(Window(0, 0, *SHAPE), before=values, before_valid=all_valid, after=enlarged(values), after_valid=enlarged(all_valid))
    (row,) = statistics.rows()
    assert (row.pixels_before, row.pixels_after) == (6.0, 96)
    assert row.means_before["red"] == pytest.approx(1 / 3)
    assert (row.ndvi_before, row.ndvi_std_after) == (None, None)  # no near infrared


def test_rows_tell_area_width_share_and_columns() -> None:
    narrow, half_outside = shapely.box(2, 2, 5, 22), shapely.box(22, 4, 42, 14)
    detail = np.full((96, 128), 0.25, dtype=np.float32)
    rows = collected(parcels_of(narrow, half_outside, crop=["oats", "rye"]), 8, detail=detail).rows()
    assert [row.narrow for row in rows] == [True, False]
    assert [row.width_px for row in rows] == [pytest.approx(3, abs=0.1), pytest.approx(10, abs=0.1)]
    assert [row.attributes for row in rows] == [{"crop": "oats"}, {"crop": "rye"}]
    assert [row.detail for row in rows] == [0.25, 0.25]
    assert rows[1].valid_share == pytest.approx(0.5 * 0.9**3, abs=0.06)
    assert rows[0].area_ha == pytest.approx(0.6, rel=1e-3)
    assert (rows[0].id, rows[0].area_method) == ("p0", "geodesic")


def test_a_parcel_that_no_tile_touched_has_no_numbers() -> None:
    (row,) = ParcelStatistics(parcels_of(FIELDS[0]), ROLES).rows()
    assert (row.pixels_after, row.valid_share, row.ndvi_after, row.means_before["red"]) == (0, 0.0, None, None)


# --- areas ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsg", [4326, 3857, 32633, 3035])  # degrees, metres stretched to 1.8 times, the next zone, equal area
def test_areas_do_not_depend_on_the_crs(epsg: int) -> None:
    ring = shapely.box(0, 0, 300, 200) - shapely.box(50, 50, 100, 100)
    both = shapely.union(ring, shapely.box(400, 0, 500, 100))
    here = parcels_of(both).cores
    there = gpd.GeoSeries(here, crs=UTM).to_crs(epsg).to_numpy()
    (utm,), method = hectares(here, UTM, 100.0)
    (other,), _ = hectares(there, CRS.from_epsg(epsg), 1e-3 if epsg == 4326 else 100.0)
    assert method == "geodesic"
    assert utm == pytest.approx(other, rel=2e-4)
    assert utm == pytest.approx((60000 - 2500 + 10000) / 100, rel=1e-3)  # UTM's scale is 0.9996 here


def test_areas_without_crs_are_planar() -> None:
    areas, method = hectares(np.array([shapely.box(0, 0, 100, 200)]), None, 10.0)
    assert (areas.tolist(), method) == ([2.0], "planar")


# --- tables -----------------------------------------------------------------------------------------------------------


def test_tables_hold_every_row_and_keep_the_layers_columns(tmp_path: Path) -> None:
    parcels = parcels_of(*FIELDS, area_ha=[1.0, 2.0, 3.0], fid=["a", "b", "b"], Crop=["Жер", "rye", None])
    rows = collected(parcels, 32).rows()
    write_table(rows, tmp_path / "t.csv", crs=parcels.crs)
    write_table(rows, tmp_path / "t.gpkg", crs=parcels.crs)
    plain, outlines = pd.read_csv(tmp_path / "t.csv"), gpd.read_file(tmp_path / "t.gpkg")
    assert list(plain.columns) == [name for name in outlines.columns if name != "geometry"]
    assert plain["source_area_ha"].tolist() == [1.0, 2.0, 3.0]
    assert outlines["source_fid"].tolist() == ["a", "b", "b"]
    assert plain["Crop"].tolist()[:2] == ["Жер", "rye"]
    np.testing.assert_allclose(plain["ndvi_after"], [row.ndvi_after for row in rows], rtol=1e-6)
    np.testing.assert_allclose(outlines["nir_before"], [row.means_before["nir"] for row in rows], rtol=1e-6)
    assert outlines.crs == UTM
    assert shapely.equals(outlines.geometry.to_numpy(), parcels.cores).all()
    with sqlite3.connect(tmp_path / "t.gpkg") as base:
        assert base.execute("select table_name from gpkg_contents").fetchall() == [("parcels",)]
    base.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.gpkg"]


@pytest.mark.parametrize("ending", ["csv", "gpkg"])
def test_an_existing_table_stays_unless_told(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_text("mine")
    rows = ParcelStatistics(parcels_of(FIELDS[0]), ROLES).rows()
    with pytest.raises(OutputError, match="exists already; choose another name or add --overwrite"):
        write_table(rows, path, crs=UTM)
    assert path.read_text() == "mine"
    write_table(rows, path, crs=UTM, overwrite=True)
    assert path.stat().st_size > 4


def test_other_endings_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.csv or \.gpkg"):
        write_table([], tmp_path / "t.xlsx", crs=None)
    with pytest.raises(OutputError, match="no such folder"):
        write_table([], tmp_path / "none" / "t.csv", crs=None)


def test_a_table_without_crs(tmp_path: Path) -> None:
    rows = ParcelStatistics(parcels_of(FIELDS[0], crs=None), ROLES).rows()
    write_table(rows, tmp_path / "t.gpkg", crs=None)
    assert gpd.read_file(tmp_path / "t.gpkg")["area_method"].tolist() == ["planar"]


# --- real parcels -----------------------------------------------------------------------------------------------------


@needs_danish
def test_danish_parcels_before_and_after_nearest_are_equal() -> None:
    with rasterio.open(DANISH_SCENE) as source:
        values, crs, transform, shape = source.read().astype(np.float32) * 1e-4, source.crs, source.transform, source.shape
    parcels = read_parcels(DANISH_PARCELS, raster_crs=crs, raster_transform=transform, raster_shape=shape)
    statistics = ParcelStatistics(parcels, ["blue", "green", "red"])
    for window in TilePlan(*shape, 256):
        before = values[(slice(None), *window.slices())]
        valid = np.ones(before.shape, dtype=bool)
        statistics.add(window, before=before, before_valid=valid, after=enlarged(before), after_valid=enlarged(valid))
    rows = statistics.rows()
    for row in rows:
        assert row.means_before == pytest.approx(row.means_after, rel=1e-9)
    measured = [row for row in rows if row.pixels_after]
    assert len(measured) > 270
    assert all(np.isfinite(list(row.means_after.values())).all() for row in measured)
    for row in rows:  # in the middle of a UTM zone the scale is 0.9996
        assert row.area_ha == pytest.approx(row.geometry.area / 1e4 / 0.9996**2, rel=1e-4)
    declared = np.array([[row.area_ha, row.attributes["area_ha"]] for row in rows if row.attributes["area_ha"]])
    assert np.median(declared[:, 0] / declared[:, 1]) == pytest.approx(1, abs=0.005)  # not of all: some are cut at the scene's border
    # Against the mean of the pixels whose coarse label is the parcel's, where that is not a matter of a few pixels.
    labels = parcels.labels(Window(0, 0, *shape), transform)
    large = max(range(len(rows)), key=lambda index: rows[index].pixels_after)
    assert rows[large].means_before["red"] == pytest.approx(values[2][labels == large + 1].mean(), rel=0.01)
    fine = parcels.labels(Window(0, 0, *shape).scaled(4), finer(transform, 4))
    assert sum(row.pixels_after for row in rows) == np.count_nonzero(fine)
