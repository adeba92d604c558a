"""The files of sample_data are what their README says, and the script makes them again."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import geopandas
import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from sr_geo.consistency import Sensor, seen

FOLDER = Path(__file__).resolve().parent.parent / "sample_data"
LANDSAT = "satellite/landsat/LC08_L1TP_224078_20200518_20200518_01_RT.TIF"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample_data", FOLDER / "make_sample_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pixels(name: str) -> np.ndarray:
    with rasterio.open(FOLDER / name) as raster:
        return raster.read()


def test_is_small_enough_for_a_repository() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) <= 4 * 2**20


@pytest.mark.parametrize(
    ("name", "shape", "metres", "epsg", "bands", "nodata"),
    [
        ("itaipu_landsat8.tif", (384, 384), 30.0, 32621, ("blue", "green", "red"), None),
        ("rendered_farm.tif", (120, 120), 10.0, 32642, ("blue", "green", "red", "nir"), 0),
        ("rendered_farm_truth.tif", (480, 480), 2.5, 32642, ("blue", "green", "red", "nir"), 0),
    ],
)
def test_raster_is_as_described(
    *, name: str, shape: tuple[int, int], metres: float, epsg: int, bands: tuple[str, ...], nodata: int | None
) -> None:
    with rasterio.open(FOLDER / name) as raster:
        assert raster.shape == shape
        assert (raster.transform.a, raster.transform.e) == (metres, -metres)
        assert raster.crs.to_epsg() == epsg
        assert raster.descriptions == bands
        assert raster.nodata == nodata
        assert set(raster.dtypes) == {"uint16"}
        assert raster.profile["tiled"]
        assert raster.compression.name == "deflate"


@pytest.mark.parametrize(
    ("raster", "parcels", "count"),
    [("itaipu_landsat8.tif", "itaipu_parcels.gpkg", 40), ("rendered_farm.tif", "rendered_farm_parcels.geojson", 17)],
)
def test_parcels_lie_on_the_raster(raster: str, parcels: str, count: int) -> None:
    table = geopandas.read_file(FOLDER / parcels)
    with rasterio.open(FOLDER / raster) as scene:
        ground = table.to_crs(scene.crs)
        assert ground.within(box(*scene.bounds)).all()
    assert len(table) == count
    assert table.crs.to_epsg() == 4326
    assert table.is_valid.all()
    assert table["name"].is_unique
    assert table["name"].str.isalpha().all()
    assert table["field_id"].tolist() == list(range(1, count + 1))


def test_parcels_do_not_overlap() -> None:
    for parcels, crs in (("itaipu_parcels.gpkg", 32621), ("rendered_farm_parcels.geojson", 32642)):
        ground = geopandas.read_file(FOLDER / parcels).to_crs(crs)
        assert ground.area.sum() - ground.union_all().area < 0.001 * ground.area.sum(), parcels


def test_landsat_bands_are_in_the_order_of_their_names() -> None:
    blue, green, red = pixels("itaipu_landsat8.tif").mean(axis=(1, 2))  # haze: the shorter the wave, the brighter
    assert blue > green > red


def test_landsat_crop_is_the_scene_unchanged(script: ModuleType, data_root: Path) -> None:
    window = script.LANDSAT_WINDOW
    assert window.col_off >= 1400, "the columns before were trained on"
    with rasterio.open(data_root / LANDSAT) as scene, rasterio.open(FOLDER / "itaipu_landsat8.tif") as crop:
        assert np.array_equal(scene.read(window=window), crop.read())
        assert scene.transform @ (window.col_off, window.row_off) == crop.transform @ (0, 0)


def test_sensor_makes_the_farm_of_its_truth() -> None:
    low, truth = pixels("rendered_farm.tif"), pixels("rendered_farm_truth.tif")
    sensor = Sensor(2.0)
    inner = slice(sensor.reach, -sensor.reach)
    for band, fine in zip(low, truth, strict=True):
        again = seen(fine.astype(np.float32), sensor)
        clear = seen((fine > 0).astype(np.float32), sensor) > 0.9999  # no light from beyond the swath
        error = (again - band[inner, inner])[clear]
        assert clear.sum() > 9000
        assert abs(error.mean()) < 0.5
        assert error.std() == pytest.approx(8.0, abs=0.5)  # the noise, in stored values
        assert np.abs(error).max() < 45


def test_nodata_of_truth_and_farm_agree() -> None:
    low, truth = pixels("rendered_farm.tif") == 0, pixels("rendered_farm_truth.tif") == 0
    assert np.array_equal(np.repeat(np.repeat(low, 4, axis=1), 4, axis=2), truth)
    assert 0.05 < low.mean() < 0.2
    assert (low.any(axis=0) == low.all(axis=0)).all()


def test_cloud_is_brighter_than_one() -> None:
    assert pixels("rendered_farm.tif").max() > 10_500


def test_script_draws_the_same_farm(script: ModuleType, tmp_path: Path) -> None:
    script.write_farm(tmp_path)
    for name in ("rendered_farm.tif", "rendered_farm_truth.tif"):
        with rasterio.open(tmp_path / name) as again, rasterio.open(FOLDER / name) as kept:
            assert again.profile == kept.profile
            assert again.descriptions == kept.descriptions
            difference = np.abs(again.read().astype(int) - kept.read().astype(int))
        # Another platform may round a sine or cut a border differently, here and there.
        assert np.mean(difference > 1) < 1e-3, name
    parcels = [json.loads((folder / "rendered_farm_parcels.geojson").read_text("utf-8")) for folder in (tmp_path, FOLDER)]
    for one, other in zip(parcels[0]["features"], parcels[1]["features"], strict=True):
        assert one["properties"] == other["properties"]
        assert np.allclose(one["geometry"]["coordinates"], other["geometry"]["coordinates"], atol=1e-6)
