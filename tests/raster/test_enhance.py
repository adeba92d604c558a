"""What a user gets for a raster: place, values, labels, holes; whatever the format, the type and the tiling."""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.env import get_gdal_config
from rasterio.errors import NotGeoreferencedWarning
from rio_cogeo import cog_validate

import sr_geo
from sr_geo.consistency import Sensor, block_mean, seen
from sr_geo.errors import BandError, NoCrsWarning, NoDataWarning, OptionError, OutputError, SrGeoError
from sr_geo.models.catalog import entries
from sr_geo.radiometry import fill_invalid
from sr_geo.raster.enhance import Result, enhance_parcels, enhance_raster
from sr_geo.raster.options import Options, OtherBands, ParcelOptions, Progress
from sr_geo.raster.write import CACHE
from tests.onnx_models import card, write_model
from tests.raster.products import CORNER, make_landsat, make_safe, write_raster, zip_folder

RGBN = ("blue", "green", "red", "nir")
NORTH_UP = CORNER @ Affine.scale(10, -10)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.onnx", card())


@pytest.fixture
def options(tiny: Path) -> dict[str, Any]:
    """A quick network and a stated blur."""
    return {"model": tiny, "psf": 2.0, "threads": 1, "device": "cpu"}


def scene(height: int = 50, width: int = 70, bands: int = 4, seed: int = 0) -> NDArray[np.float64]:
    """Fields of 180 m × 210 m and noise as a sensor of blur 2.0 sees them, reflectance from about 0.02 to 0.5."""
    rng = np.random.default_rng(seed)
    sensor = Sensor(2.0)
    around = 2 * sensor.reach
    fields = rng.uniform(0.03, 0.4, (bands, (height + around) // 18 + 1, (width + around) // 21 + 1)).astype(np.float32)
    fine = fields.repeat(72, axis=1).repeat(84, axis=2)[:, : 4 * (height + around), : 4 * (width + around)]
    return np.stack([seen(plane, sensor) for plane in fine]) + rng.normal(0, 0.0003, (bands, height, width))


def stored(dtype: str, **size: int) -> NDArray[Any]:
    values = scene(**size)
    if dtype == "uint8":
        return (values * 500 + 2).clip(1, 255).astype(dtype)
    if np.dtype(dtype).kind in "iu":
        return (values * 10_000).round().clip(1, 32_000).astype(dtype)
    return values.astype(dtype)


def read(path: Path) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            return dataset.read()


def four(path: Path, values: NDArray[Any], **profile: object) -> Path:
    return write_raster(path, values, descriptions=RGBN, **profile)


def leftovers(folder: Path, *expected: str) -> set[str]:
    return {path.name for path in folder.iterdir()} - set(expected)


# Place


TRANSFORMS = {
    "north-up": NORTH_UP,
    "south-up": CORNER @ Affine.scale(10, 10),
    "rotated": CORNER @ Affine.rotation(30) @ Affine.scale(10, -10),
    "oblong": CORNER @ Affine.scale(10, -15),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("crs", ["EPSG:32642", "EPSG:4326", None])
def test_the_same_ground_is_covered(tmp_path: Path, options: dict[str, Any], transform: Affine, crs: str | None) -> None:
    if crs == "EPSG:4326":
        transform = Affine.translation(71.3, 51.2) @ Affine.scale(1e-5) @ ~CORNER @ transform
    source = four(tmp_path / "in.tif", stored("uint16", height=13, width=21), crs=crs, transform=transform)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoCrsWarning)
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        enhance_raster(source, tmp_path / "out.tif", Options(**options))
        with rasterio.open(source) as before, rasterio.open(tmp_path / "out.tif") as after:
            assert after.crs == before.crs
            assert (after.height, after.width) == (4 * before.height, 4 * before.width)
            assert after.transform.almost_equals(before.transform @ Affine.scale(1 / 4), precision=1e-12)
            for x, y in ((0, 0), (before.width, 0), (0, before.height), (before.width, before.height)):
                assert np.allclose(after.transform @ (4 * x, 4 * y), before.transform @ (x, y), rtol=1e-15, atol=0)
    assert leftovers(tmp_path, "in.tif", "out.tif") == set()


def test_no_crs_is_told(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", stored("uint8", height=9, width=9), crs=None, transform=Affine.identity())
    with pytest.warns(NoCrsWarning, match="no coordinate reference system"):
        enhance_raster(source, tmp_path / "out.tif", Options(**options))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 5), (2, 17)])
def test_rasters_smaller_than_the_halo(tmp_path: Path, options: dict[str, Any], shape: tuple[int, int]) -> None:
    values = stored("uint16", height=shape[0], width=shape[1])
    enhance_raster(four(tmp_path / "in.tif", values), tmp_path / "out.tif", Options(**options))
    after = read(tmp_path / "out.tif")
    assert after.shape == (4, 4 * shape[0], 4 * shape[1])
    assert abs(after.mean() - values.mean()) < 0.05 * values.mean()


def test_pixel_is_point_keeps_its_corner(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", stored("uint8", height=9, width=9), tags={"AREA_OR_POINT": "Point"})
    enhance_raster(source, tmp_path / "out.tif", Options(**options))
    with rasterio.open(source) as before, rasterio.open(tmp_path / "out.tif") as after:
        assert before.tags()["AREA_OR_POINT"] == after.tags()["AREA_OR_POINT"] == "Point"
        assert after.bounds == before.bounds


# Values and labels


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("uint16", 65535), ("int16", -9999), ("float32", None), ("float64", -1.0)])
def test_type_labels_and_units_are_kept(tmp_path: Path, options: dict[str, Any], dtype: str, nodata: float | None) -> None:
    source = four(tmp_path / "in.tif", stored(dtype, height=20, width=24), nodata=nodata, tags={"OPERATOR": "Алия"})
    scales, offsets = (2.75e-5, 2.75e-5, 2.75e-5, 1e-4), (-0.2, -0.2, -0.2, 0.0)
    with rasterio.open(source, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
        dataset.units = ["reflectance"] * 4
        dataset.scales, dataset.offsets = scales, offsets
    result = enhance_raster(source, tmp_path / "out.tif", Options(**options))
    with rasterio.open(tmp_path / "out.tif") as after:
        assert set(after.dtypes) == {dtype}
        assert after.descriptions == RGBN
        assert after.units == ("reflectance",) * 4
        assert [color.name for color in after.colorinterp] == ["blue", "green", "red", "undefined"]
        assert (after.scales, after.offsets, after.nodata) == (scales, offsets, nodata)
        tags = after.tags()
    assert tags["OPERATOR"] == "Алия"
    assert (tags["SR_GEO_MODEL"], tags["SR_GEO_MODEL_SHA256"]) == ("tiny", result.model_sha256)
    assert (tags["SR_GEO_VERSION"], tags["SR_GEO_SCALE"], tags["SR_GEO_CONSISTENCY"]) == (sr_geo.__version__, "4", "psf")
    assert set(json.loads(tags["SR_GEO_BANDS"]).values()) == {"network"}
    assert json.loads(tags["SR_GEO_PSF"])["red"].startswith("2.000 (given)")


def test_a_plain_file_gets_no_labels_but_its_roles(tmp_path: Path, options: dict[str, Any]) -> None:
    source = write_raster(tmp_path / "in.tif", stored("uint16", height=9, width=9))
    enhance_raster(source, tmp_path / "out.tif", Options(**options, bands={"b": 1, "g": 2, "r": 3, "n": 4}))
    with rasterio.open(source) as before, rasterio.open(tmp_path / "out.tif") as after:
        for trait in ("scales", "offsets", "nodata", "units", "colorinterp", "dtypes"):
            assert getattr(after, trait) == getattr(before, trait), trait
        assert after.descriptions == RGBN


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_the_sensor_would_measure_the_input_again(tmp_path: Path, dtype: str) -> None:
    values = stored(dtype, height=60, width=76)
    enhance_raster(four(tmp_path / "in.tif", values), tmp_path / "out.tif", Options(psf=2.0, threads=1, tile=32))
    sensor = Sensor(2.0)
    inside = slice(sensor.reach, -sensor.reach)
    for before, after in zip(values.astype(np.float32), read(tmp_path / "out.tif").astype(np.float32), strict=True):
        difference = np.abs(seen(after, sensor) - before[inside, inside]).mean()
        assert difference <= (0.5 if dtype == "uint8" else 0.002 * np.ptp(before))


def test_block_means_are_the_input_where_asked(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stored("float32", height=40, width=44)
    enhance_raster(four(tmp_path / "in.tif", values), tmp_path / "out.tif", Options(**options, consistency="mean", tile=16))
    for before, after in zip(values, read(tmp_path / "out.tif"), strict=True):
        np.testing.assert_allclose(block_mean(after, 4), before, atol=2e-6)


def test_without_consistency_the_drift_is_told(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", stored("float32", height=40, width=44))
    tied = enhance_raster(source, tmp_path / "tied.tif", Options(**options))
    free = enhance_raster(source, tmp_path / "free.tif", Options(**options, consistency="off"))
    for with_it, without in zip(tied.checks, free.checks, strict=True):
        assert with_it.drift is not None
        assert without.drift is not None
        assert with_it.drift < 0.5 * without.drift


def test_clouds_stay_bright(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stored("uint16", height=40, width=40)
    values[:, 10:30, 10:30] = 18_000
    enhance_raster(four(tmp_path / "in.tif", values), tmp_path / "out.tif", Options(**options))
    cloud = read(tmp_path / "out.tif")[:, 64:96, 64:96]
    assert abs(cloud.astype(float) - 18_000).max() < 200


@pytest.mark.skipif("satellite-rgbn-x4" not in entries(), reason="the model is not part of this build")
def test_the_shipped_network_does_not_care_for_units(tmp_path: Path) -> None:
    values = stored("float32", height=34, width=38)
    gain, offset = np.float32(27.5), np.array([3, -2, 5, 1], np.float32)[:, None, None]
    options = Options(model="satellite-rgbn-x4", psf=2.0, threads=1)
    enhance_raster(four(tmp_path / "a.tif", values), tmp_path / "fine_a.tif", options)
    enhance_raster(four(tmp_path / "b.tif", values * gain + offset), tmp_path / "fine_b.tif", options)
    a, b = read(tmp_path / "fine_a.tif"), read(tmp_path / "fine_b.tif")
    np.testing.assert_allclose((b - offset) / gain, a, atol=2e-4 * np.ptp(values))


@pytest.mark.filterwarnings("ignore::sr_geo.errors.ModelWarning")
@pytest.mark.parametrize("name", sorted(entries()))
def test_every_shipped_satellite_model_runs(tmp_path: Path, name: str) -> None:
    if not name.startswith("satellite-"):
        pytest.skip("not for rasters")
    values = stored("uint16", height=30, width=30)
    result = enhance_raster(four(tmp_path / "in.tif", values), tmp_path / "out.tif", Options(model=name, psf=2.0, threads=1, tile=16))
    assert result.model == name
    assert all(check.drift is None or check.drift < 0.002 * np.ptp(scene()) for check in result.checks)
    assert abs(read(tmp_path / "out.tif").mean() - values.mean()) < 0.02 * values.mean()


# Tiling


@pytest.mark.parametrize("holes", [False, True])
def test_tiles_equal_the_whole(tmp_path: Path, options: dict[str, Any], holes: bool) -> None:
    values = np.concatenate([stored("float32", height=75, width=90), scene(75, 90, 2, seed=5).astype(np.float32)])
    if holes:
        values[:, 20:37, 28:55] = -1
        values[2, 60:, 70:] = -1
    source = write_raster(tmp_path / "in.tif", values, descriptions=[*RGBN, "swir1", "swir2"], nodata=-1)
    results = []
    for name, tile, threads in (("whole", 128, 1), ("16", 16, 2), ("32", 32, 1), ("64", 64, 2)):
        run = Options(**{**options, "threads": threads}, tile=tile)
        enhance_raster(source, tmp_path / f"{name}.tif", run, detail_map=tmp_path / f"{name}_detail.tif")
        results.append((read(tmp_path / f"{name}.tif"), read(tmp_path / f"{name}_detail.tif")))
    for image, detail in results[1:]:
        np.testing.assert_allclose(image, results[0][0], atol=1e-5 * np.ptp(values))
        np.testing.assert_allclose(detail, results[0][1], atol=1e-5 * np.ptp(values))


def test_tiles_equal_the_whole_for_integers(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", stored("uint8", height=75, width=90))
    for tile in (16, 100):
        enhance_raster(source, tmp_path / f"{tile}.tif", Options(**options, tile=tile))
    a, b = (read(tmp_path / f"{tile}.tif").astype(int) for tile in (16, 100))
    assert np.abs(a - b).max() <= 1
    assert (a != b).mean() < 1e-3


# Holes


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("int16", -9999), ("uint16", 65535), ("float32", -9999.0), ("float32", np.nan)]
)
def test_blocks_are_nodata_where_pixels_were(tmp_path: Path, options: dict[str, Any], dtype: str, nodata: float) -> None:
    values = stored(dtype, height=40, width=44)
    hole = np.random.default_rng(1).random((40, 44)) < 0.1
    hole[10:20, 10:25] = True
    values[:, hole] = nodata
    enhance_raster(four(tmp_path / "in.tif", values, nodata=nodata), tmp_path / "out.tif", Options(**options, tile=16))
    with rasterio.open(tmp_path / "out.tif") as after:
        for band in range(1, 5):
            np.testing.assert_array_equal(after.read_masks(band) == 0, hole.repeat(4, axis=0).repeat(4, axis=1))


def test_holes_are_not_smeared(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stored("float32", height=40, width=44)
    valid = np.ones((40, 44), np.bool_)
    valid[10:20, 10:25] = False
    filled = np.stack([fill_invalid(plane, valid) for plane in values])
    holed = np.where(valid, values, np.float32(-9999))
    enhance_raster(four(tmp_path / "filled.tif", filled), tmp_path / "a.tif", Options(**options))
    enhance_raster(four(tmp_path / "holed.tif", holed, nodata=-9999), tmp_path / "b.tif", Options(**options))
    fine = valid.repeat(4, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(read(tmp_path / "b.tif")[:, fine], read(tmp_path / "a.tif")[:, fine])


def test_dark_pixels_do_not_become_holes(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stored("uint16", height=40, width=40)
    values[:, 10:30, 10:30] = 1
    values[:, 14:18, 14:18] = 30_000  # undershoots beside
    enhance_raster(four(tmp_path / "in.tif", values, nodata=0), tmp_path / "out.tif", Options(**options))
    assert read(tmp_path / "out.tif").min() >= 1


def test_a_mask_stays_a_mask(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", stored("uint16", height=20, width=24))
    mask = np.full((20, 24), 255, np.uint8)
    mask[5:9, 7:12] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(source, "r+") as dataset:
        dataset.write_mask(mask)
    for cog in (False, True):
        enhance_raster(source, tmp_path / "out.tif", Options(**options, cog=cog, overwrite=True))
        with rasterio.open(tmp_path / "out.tif") as after:
            assert after.nodata is None
            np.testing.assert_array_equal(after.dataset_mask(), mask.repeat(4, axis=0).repeat(4, axis=1))


def test_holes_without_nodata_in_floats(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stored("float32", height=20, width=24)
    values[:, 3:7, 4:9] = np.nan
    enhance_raster(four(tmp_path / "in.tif", values), tmp_path / "out.tif", Options(**options))
    with rasterio.open(tmp_path / "out.tif") as after:
        expected = np.isnan(values[0]).repeat(4, axis=0).repeat(4, axis=1)
        np.testing.assert_array_equal(after.read(1, masked=True).mask, expected)


def test_nodata_may_differ_between_bands(tmp_path: Path, options: dict[str, Any]) -> None:
    """A VRT has a nodata value for each band, a GeoTIFF one for all."""
    bands = stored("uint16", height=20, width=24)
    paths = []
    for number, (role, plane) in enumerate(zip(RGBN, bands, strict=True)):
        plane[number : number + 3, 5:9] = number + 7
        paths.append(write_raster(tmp_path / f"{role}.tif", plane[None], nodata=number + 7))
    files = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{number}"><Description>{role}</Description><NoDataValue>{number + 6}</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand>"
        for number, (role, path) in enumerate(zip(RGBN, paths, strict=True), 1)
    )
    vrt = tmp_path / "in.vrt"
    geo = ", ".join(str(value) for value in NORTH_UP.to_gdal())
    vrt.write_text(
        f'<VRTDataset rasterXSize="24" rasterYSize="20"><SRS>EPSG:32632</SRS><GeoTransform>{geo}</GeoTransform>{files}</VRTDataset>'
    )
    enhance_raster(vrt, tmp_path / "out.tif", Options(**options))
    with rasterio.open(tmp_path / "out.tif") as after:
        for number, plane in enumerate(bands):
            hole = (plane == number + 7).repeat(4, axis=0).repeat(4, axis=1)
            np.testing.assert_array_equal(after.read_masks(number + 1) == 0, hole)


def test_nothing_but_nodata(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", np.zeros((4, 20, 24), np.uint16), nodata=0)
    with pytest.warns(NoDataWarning, match="no valid pixel"):
        enhance_raster(source, tmp_path / "out.tif", Options(**{**options, "psf": "auto"}))
    assert not read(tmp_path / "out.tif").any()


# Bands


def many(path: Path, *, dtype: str = "uint16", extra: Sequence[str] = ("swir1", "scl")) -> Path:
    values = np.concatenate([stored(dtype, height=30, width=34), stored(dtype, height=30, width=34)[: len(extra)]])
    if "scl" in extra:
        values[4 + extra.index("scl")] = np.random.default_rng(0).integers(0, 12, (30, 34))
    return write_raster(path, values, descriptions=[*RGBN, *extra])


@pytest.mark.parametrize(("other", "ways"), [("guided", "guided"), ("cubic", "cubic"), ("drop", None)])
def test_other_bands(tmp_path: Path, options: dict[str, Any], other: OtherBands, ways: str | None) -> None:
    source = many(tmp_path / "in.tif")
    result = enhance_raster(source, tmp_path / "out.tif", Options(**options, other_bands=other))
    expected = {**dict.fromkeys(RGBN, "network"), **({"swir1": ways} if ways else {})}
    with rasterio.open(tmp_path / "out.tif") as after:
        tags = json.loads(after.tags()["SR_GEO_BANDS"])
        assert after.descriptions == (*RGBN, *(["swir1"] if ways else []), "scl")
        classes = after.read(after.count)
        swir = after.read(5).astype(np.float32)
    assert {name: way for name, way in tags.items() if way != "nearest"} == expected
    np.testing.assert_array_equal(classes, read(source)[5].repeat(4, axis=0).repeat(4, axis=1))
    assert len(result.checks) == len(tags)
    if other == "guided":
        sensor = Sensor(2.0)
        inside = slice(sensor.reach, -sensor.reach)
        before = read(source)[4].astype(np.float32)
        assert np.abs(seen(swir, sensor) - before[inside, inside]).mean() <= 0.005 * np.ptp(before)


def test_transparency_is_repeated(tmp_path: Path) -> None:
    model = write_model(tmp_path / "rgb.onnx", card(bands=("blue", "green", "red")))
    values = stored("uint8", height=30, width=34)
    alpha = np.full((30, 34), 255, np.uint8)
    alpha[:10, :12] = 0
    alpha[20:, :] = 128
    values[3] = alpha
    source = write_raster(tmp_path / "in.tif", values, photometric="RGB", alpha="YES")
    enhance_raster(source, tmp_path / "out.tif", Options(model=model, psf=2.0, threads=1))
    with rasterio.open(source) as before, rasterio.open(tmp_path / "out.tif") as after:
        assert after.colorinterp == before.colorinterp
        assert after.colorinterp[3] is ColorInterp.alpha
        np.testing.assert_array_equal(after.read(4), alpha.repeat(4, axis=0).repeat(4, axis=1))
        np.testing.assert_array_equal(after.dataset_mask() == 0, (alpha == 0).repeat(4, axis=0).repeat(4, axis=1))


def test_one_band(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stored("float32", height=30, width=34)[:1]
    result = enhance_raster(write_raster(tmp_path / "in.tif", values), tmp_path / "out.tif", Options(**options))
    after = read(tmp_path / "out.tif")
    assert after.shape == (1, 120, 136)
    assert [band.way for band in result.planning.bands] == ["network"]
    sensor = Sensor(2.0)
    inside = slice(sensor.reach, -sensor.reach)
    assert np.abs(seen(after[0], sensor) - values[0, inside, inside]).mean() <= 0.005 * np.ptp(values)


def test_one_band_by_the_shipped_model(tmp_path: Path) -> None:
    if "satellite-rgb-x4" not in entries():
        pytest.skip("satellite-rgb-x4 is not part of this build")
    result = enhance_raster(write_raster(tmp_path / "in.tif", stored("uint8")[:1]), tmp_path / "out.tif", Options(psf=2.0, threads=1))
    assert result.model == "satellite-rgb-x4"


def test_the_order_of_bands_does_not_matter(tmp_path: Path, options: dict[str, Any]) -> None:
    values = stored("uint16", height=30, width=34)
    order = [2, 0, 3, 1]
    enhance_raster(four(tmp_path / "a.tif", values), tmp_path / "fine_a.tif", Options(**options))
    shuffled = write_raster(tmp_path / "b.tif", values[order])
    enhance_raster(shuffled, tmp_path / "fine_b.tif", Options(**options, bands={"red": 1, "blue": 2, "nir": 3, "green": 4}))
    np.testing.assert_array_equal(read(tmp_path / "fine_b.tif"), read(tmp_path / "fine_a.tif")[order])


def test_bands_that_are_missing(tmp_path: Path, options: dict[str, Any]) -> None:
    source = write_raster(tmp_path / "in.tif", stored("uint16", height=9, width=9)[:3], descriptions=RGBN[:3])
    with pytest.raises(BandError, match=r"needs blue, green, red, nir, there is no nir.*--bands"):
        enhance_raster(source, tmp_path / "out.tif", Options(**options))
    assert leftovers(tmp_path, "in.tif") == set()


# Formats


def as_copy(driver: str, suffix: str, **creation: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        plain = four(folder / "plain.tif", stored("uint16", height=40, width=44))
        rasterio.shutil.copy(plain, folder / f"in{suffix}", driver=driver, **creation)
        return folder / f"in{suffix}"

    return make


FORMATS = {
    "COG": as_copy("COG", ".tif"),
    "VRT": as_copy("VRT", ".vrt"),
    "JP2": as_copy("JP2OpenJPEG", ".jp2", QUALITY="100", REVERSIBLE="YES"),
    "ENVI": as_copy("ENVI", ".bin"),
    "SAFE": make_safe,
    "SAFE zip": lambda folder: zip_folder(make_safe(folder / "safe"), folder / "S2.zip"),
    "Landsat": make_landsat,
}


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
def test_formats(tmp_path: Path, options: dict[str, Any], make: Callable[[Path], Path]) -> None:
    source = make(tmp_path)
    roles = {"b": 1, "g": 2, "r": 3, "n": 4} if source.suffix == ".jp2" else {}
    result = enhance_raster(source, tmp_path / "out.tif", Options(**options, bands=roles))
    assert {band.role for band in result.planning.bands} >= set(RGBN)
    with rasterio.open(tmp_path / "out.tif") as after:
        assert after.crs == "EPSG:32632"
        assert after.transform @ (0, 0) == CORNER @ (0, 0)
        assert np.ptp(after.read(1)) > 0


def test_a_product_keeps_its_reflectance(tmp_path: Path, options: dict[str, Any]) -> None:
    source = make_safe(tmp_path, offsets=dict.fromkeys(range(13), -1000))
    enhance_raster(source, tmp_path / "out.tif", Options(**options, extra_bands=("rededge1", "swir1")))
    with rasterio.open(tmp_path / "out.tif") as after:
        assert set(after.dtypes) == {"uint16"}
        assert after.nodata == 0
        assert np.allclose(after.scales, 1e-4)
        assert np.allclose(after.offsets, -0.1)
        assert after.count == 6
        assert after.descriptions[0] != ""
        assert (after.read(1)[:4, :4] == 0).all()


def test_real_scenes(tmp_path: Path, repository: Path) -> None:
    """The samples through the default model, with their blur measured; by tags alone the result can be told from the input."""
    source = repository / "sample_data" / "rendered_farm.tif"
    result = enhance_raster(source, tmp_path / "out.tif", Options(threads=1))
    for check, band in zip(result.checks, result.planning.bands, strict=True):
        with rasterio.open(source) as before:
            spread = float(np.ptp(before.read(band.index + 1))) * band.encoding.scale
        assert check.drift is not None
        assert check.drift <= 0.002 * spread


# Parcels

SQUARES = {"a": (100, 100, 240, 230), "б/2": (400, 150, 520, 330)}


def parcels_file(path: Path, squares: dict[str, tuple[float, float, float, float]] = SQUARES) -> Path:
    """Squares in metres to the right of and below the corner of the raster."""
    x, y = CORNER @ (0, 0)
    shapes = [shapely.box(x + left, y - lower, x + right, y - upper) for left, upper, right, lower in squares.values()]
    gpd.GeoDataFrame({"name": list(squares)}, geometry=shapes, crs="EPSG:32632").to_file(path)
    return path


@pytest.fixture
def field(tmp_path: Path) -> Path:
    return four(tmp_path / "in.tif", stored("uint16", height=60, width=80), nodata=0)


def inside(squares: dict[str, tuple[float, float, float, float]] = SQUARES) -> NDArray[np.bool_]:
    mask = np.zeros((240, 320), np.bool_)
    for left, upper, right, lower in squares.values():
        mask[int(upper / 2.5) : int(lower / 2.5), int(left / 2.5) : int(right / 2.5)] = True
    return mask


def test_masked_to_parcels(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    enhance_raster(field, tmp_path / "whole.tif", Options(**options))
    result = enhance_parcels(field, parcels_file(tmp_path / "p.gpkg"), tmp_path / "out.tif", Options(**options))
    expected = np.where(inside(), read(tmp_path / "whole.tif"), 0)[:, 40:132, 40:208]
    np.testing.assert_array_equal(read(tmp_path / "out.tif"), expected)
    with rasterio.open(tmp_path / "out.tif") as after:
        assert after.transform == NORTH_UP @ Affine.translation(10, 10) @ Affine.scale(1 / 4)
    assert [row.id for row in result.rows] == ["1", "2"]
    assert [row.pixels_after for row in result.rows] == [56 * 52, 48 * 72]


def test_the_box_about_parcels(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    enhance_raster(field, tmp_path / "whole.tif", Options(**options))
    choice = ParcelOptions(parcels_file(tmp_path / "p.geojson"), shape="box")
    enhance_parcels(field, choice, tmp_path / "out.tif", Options(**options, tile=16), detail_map=tmp_path / "detail.tif")
    whole = read(tmp_path / "whole.tif")[:, 40:132, 40:208].astype(int)
    assert np.abs(read(tmp_path / "out.tif").astype(int) - whole).max() <= 1
    assert np.isfinite(read(tmp_path / "detail.tif")).all()


def test_one_file_for_each_parcel(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    enhance_raster(field, tmp_path / "whole.tif", Options(**options))
    choice = ParcelOptions(parcels_file(tmp_path / "p.gpkg"), split_by="name")
    result = enhance_parcels(field, choice, tmp_path / "fields", Options(**options), detail_map=tmp_path / "detail.tif")
    assert [path.name for path in result.outputs] == ["a.tif", "б_2.tif"]
    whole = read(tmp_path / "whole.tif")
    np.testing.assert_array_equal(read(result.outputs[0]), whole[:, 40:92, 40:96])
    np.testing.assert_array_equal(read(result.outputs[1]), whole[:, 60:132, 160:208])
    assert leftovers(tmp_path / "fields", "a.tif", "б_2.tif") == set()
    with pytest.raises(OutputError, match="exists already"):
        enhance_parcels(field, choice, tmp_path / "fields", Options(**options))
    assert leftovers(tmp_path, "in.tif", "whole.tif", "p.gpkg", "fields", "detail.tif") == set()
    enhance_parcels(field, choice, tmp_path / "fields", Options(**options, overwrite=True))


def test_only_touched_tiles_are_computed(tmp_path: Path, field: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from sr_geo.models.session import Upscaler

    calls: list[tuple[int, ...]] = []
    original = Upscaler.run

    def spy(self: Upscaler, window: NDArray[np.float32], **more: object) -> NDArray[np.float32]:
        calls.append(window.shape)
        return original(self, window, **more)

    monkeypatch.setattr(Upscaler, "run", spy)
    parcels = parcels_file(tmp_path / "p.gpkg", {"one": (170, 170, 300, 300)})  # pixels 17 to 30: tile (1, 1) of 16
    result = enhance_parcels(field, parcels, tmp_path / "out.tif", Options(**options, tile=16))
    assert result.tiles == len(calls) == 1


def test_parcels_half_outside_and_buffered(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg", {"edge": (-50, -50, 100, 100)})
    result = enhance_parcels(field, ParcelOptions(parcels, buffer_m=20), tmp_path / "out.tif", Options(**options))
    with rasterio.open(tmp_path / "out.tif") as after:
        assert (after.height, after.width) == (48, 48)
        assert after.transform == NORTH_UP @ Affine.scale(1 / 4)
        assert after.read_masks(1)[:40, :40].all()
        assert not after.read_masks(1)[47, 47]  # round corners
    assert result.rows[0].pixels_after == 40 * 40


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_parcels_on_a_raster_without_nodata(tmp_path: Path, options: dict[str, Any], dtype: str) -> None:
    source = four(tmp_path / "in.tif", stored(dtype, height=60, width=80))
    for cog in (False, True):
        enhance_parcels(source, parcels_file(tmp_path / "p.gpkg"), tmp_path / "out.tif", Options(**options, cog=cog, overwrite=True))
        with rasterio.open(tmp_path / "out.tif") as after:
            np.testing.assert_array_equal(after.dataset_mask() != 0, inside()[40:132, 40:208])


def test_detail_lies_in_the_parcels(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    parcels = parcels_file(tmp_path / "p.gpkg")
    result = enhance_parcels(field, parcels, tmp_path / "out.tif", Options(**options), detail_map=tmp_path / "d.tif")
    with rasterio.open(tmp_path / "d.tif") as detail, rasterio.open(tmp_path / "out.tif") as after:
        assert (detail.dtypes, detail.transform, detail.shape) == (("float32",), after.transform, after.shape)
        np.testing.assert_array_equal(np.isfinite(detail.read(1)), inside()[40:132, 40:208])
        assert np.nanmin(detail.read(1)) >= 0
    assert result.detail_map == tmp_path / "d.tif"


# Files


@pytest.mark.parametrize("cog", [False, True])
def test_compressed_as_asked(tmp_path: Path, options: dict[str, Any], cog: bool) -> None:
    source = four(tmp_path / "in.tif", stored("uint16"), nodata=0)
    pixels = []
    for compress in ("deflate", "none"):
        chosen = Options(**options, cog=cog, compress=compress, overwrite=True)  # type: ignore[arg-type]
        enhance_raster(source, tmp_path / "out.tif", chosen, detail_map=tmp_path / "detail.tif")
        pixels.append(read(tmp_path / "out.tif"))
        for name in ("out.tif", "detail.tif"):
            with rasterio.open(tmp_path / name) as dataset:
                assert dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none").lower() == compress
    np.testing.assert_array_equal(*pixels)


def test_cloud_optimized(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", stored("uint16", height=160, width=150), nodata=0)
    enhance_raster(source, tmp_path / "plain.tif", Options(**options))
    enhance_raster(source, tmp_path / "cog.tif", Options(**options, cog=True))
    valid, errors, _ = cog_validate(tmp_path / "cog.tif")
    assert valid, errors
    np.testing.assert_array_equal(read(tmp_path / "cog.tif"), read(tmp_path / "plain.tif"))
    with rasterio.open(tmp_path / "plain.tif") as plain, rasterio.open(tmp_path / "cog.tif") as cog:
        for trait in ("scales", "offsets", "nodata", "units", "descriptions", "colorinterp", "dtypes", "transform", "crs"):
            assert getattr(cog, trait) == getattr(plain, trait), trait
        assert plain.tags().items() <= cog.tags().items()


def test_outputs_are_not_overwritten(tmp_path: Path, options: dict[str, Any]) -> None:
    source = four(tmp_path / "in.tif", stored("uint8", height=9, width=9))
    for name in ("out.tif", "out.tif.aux.xml", "detail.tif"):
        (tmp_path / name).write_text("old")
    for output, detail in (("out.tif", None), ("new.tif", "detail.tif")):
        with pytest.raises(OutputError, match=r"exists already.*--overwrite"):
            enhance_raster(source, tmp_path / output, Options(**options), detail_map=detail and tmp_path / detail)
    assert {path.read_text() for path in tmp_path.iterdir() if path != source} == {"old"}
    enhance_raster(source, tmp_path / "out.tif", Options(**options, overwrite=True), detail_map=tmp_path / "detail.tif")
    assert read(tmp_path / "detail.tif").shape == (1, 36, 36)
    assert leftovers(tmp_path, "in.tif", "out.tif", "detail.tif") == set()  # old statistics would be wrong


def test_the_input_is_never_the_output(tmp_path: Path, options: dict[str, Any], tiny: Path) -> None:
    source = four(tmp_path / "in.tif", stored("uint8", height=9, width=9))
    parcels = parcels_file(tmp_path / "p.gpkg", {"one": (0, 0, 50, 50)})
    model = shutil.copy(tiny, tmp_path / "model.onnx")
    (tmp_path / "link.tif").symlink_to(source)
    (tmp_path / "hard.tif").hardlink_to(source)
    kept = {path: path.read_bytes() for path in (source, parcels, model)}
    run = Options(**{**options, "model": model}, overwrite=True)
    for output in ("in.tif", "link.tif", "hard.tif", "p.gpkg", "model.onnx"):
        with pytest.raises(OptionError, match="input itself"):
            enhance_parcels(source, parcels, tmp_path / output, run)
        with pytest.raises(OptionError, match="input itself"):
            enhance_parcels(source, parcels, tmp_path / "new.tif", run, detail_map=tmp_path / output)
    with pytest.raises(OptionError, match="output itself"):
        enhance_raster(source, tmp_path / "new.tif", run, detail_map=tmp_path / "." / "new.tif")
    assert all(path.read_bytes() == content for path, content in kept.items())


def vrt_of(folder: Path, *, depth: int = 1) -> tuple[Path, Path]:
    """A VRT, of a VRT where `depth` is 2, and the file at the end of it."""
    path = part = four(folder / "part.tif", stored("uint8", height=20, width=24))
    for number in range(depth):
        rasterio.shutil.copy(path, folder / f"in{number}.vrt", driver="VRT")
        path = folder / f"in{number}.vrt"
    return path, part


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.rglob(pattern))[0]


def safe_member(folder: Path) -> tuple[Path, Path]:
    return make_safe(folder), first(folder, "*B04_10m.jp2")


def safe_metadata(folder: Path) -> tuple[Path, Path]:
    return make_safe(folder), first(folder, "MTD_MSIL2A.xml")


def landsat_member(folder: Path) -> tuple[Path, Path]:
    return make_landsat(folder), first(folder, "*_B4.TIF")


def masked(folder: Path) -> tuple[Path, Path]:
    source = four(folder / "in.tif", stored("uint8", height=20, width=24))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(source, "r+") as dataset:
        dataset.write_mask(np.full((20, 24), 255, np.uint8))
    return source, folder / "in.tif.msk"


PARTS: dict[str, Callable[[Path], tuple[Path, Path]]] = {
    "VRT": vrt_of,
    "VRT of a VRT": lambda folder: vrt_of(folder, depth=2),
    "SAFE member": safe_member,
    "Landsat member": landsat_member,
    "mask beside": masked,
}


class Stop(Exception):  # noqa: N818 - no failure of the program
    pass


def stop_at(number: int, stage: str = "enhance") -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if (progress.stage, progress.done) == (stage, number):
            raise Stop

    return stop


@pytest.mark.parametrize("make", [*PARTS.values(), safe_metadata], ids=[*PARTS, "SAFE metadata"])
def test_a_run_goes_on_only_with_the_same_files(tmp_path: Path, options: dict[str, Any], make: Callable[[Path], tuple[Path, Path]]) -> None:
    source, part = make(tmp_path)
    with pytest.raises(Stop):
        enhance_raster(source, tmp_path / "out.tif", Options(**options, tile=16), progress=stop_at(2))
    state = part.stat()
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000_000))
    with pytest.raises(OutputError, match="other input or options"):
        enhance_raster(source, tmp_path / "out.tif", Options(**options, tile=16, resume=True))
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    part.with_name(f"{part.name}.aux.xml").write_text("<PAMDataset/>")  # statistics, as viewers write them
    enhance_raster(source, tmp_path / "out.tif", Options(**options, tile=16, resume=True))


LABELS: dict[str, Callable[[Any], None]] = {
    "nodata": lambda dataset: setattr(dataset, "nodata", 7),
    "scale": lambda dataset: setattr(dataset, "scales", (2.0,) * 4),
    "description": lambda dataset: dataset.set_band_description(1, "coastal"),
}


@pytest.mark.parametrize("change", LABELS.values(), ids=LABELS)
def test_a_run_goes_on_only_with_the_same_labels(tmp_path: Path, options: dict[str, Any], change: Callable[[Any], None]) -> None:
    """Also where the time of the file tells nothing."""
    source = four(tmp_path / "in.tif", stored("uint8", height=20, width=24))
    run = Options(**options, tile=16, bands={"b": 1, "g": 2, "r": 3, "n": 4})
    with pytest.raises(Stop):
        enhance_raster(source, tmp_path / "out.tif", run, progress=stop_at(2))
    identity = json.loads((tmp_path / "out.tif.part" / "run.json").read_text())
    with rasterio.open(source, "r+") as dataset:
        change(dataset)
    with pytest.raises(Stop):
        enhance_raster(source, tmp_path / "other.tif", run, progress=stop_at(2))
    other = json.loads((tmp_path / "other.tif.part" / "run.json").read_text())
    assert identity["bands"] != other["bands"]


@pytest.mark.parametrize("make", PARTS.values(), ids=PARTS)
def test_no_part_of_the_input_is_the_output(
    tmp_path: Path, options: dict[str, Any], make: Callable[[Path], tuple[Path, Path]]
) -> None:
    source, part = make(tmp_path)
    target = part.with_suffix("") if part.suffix == ".msk" else part  # whose sidecars go with it
    if target.suffix == ".jp2":
        target = part.with_suffix(".tif")
        part.rename(target)
        part.symlink_to(target)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises((OptionError, OutputError), match=r"(part of the input, which would be lost|input itself); choose another name"):
        enhance_raster(source, target, Options(**options, overwrite=True))
    with pytest.raises((OptionError, OutputError), match=r"(part of the input, which would be lost|input itself); choose another name"):
        enhance_raster(source, tmp_path / "new.tif", Options(**options, overwrite=True), detail_map=target)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == kept


def test_a_sidecar_of_the_output_that_is_the_input(tmp_path: Path, options: dict[str, Any]) -> None:
    """What lies beside an output that is replaced goes with it."""
    source = four(tmp_path / "out.tif.ovr", stored("uint8", height=9, width=9))
    with pytest.raises(OutputError, match=r"out.tif.ovr: is a part of the input"):
        enhance_raster(source, tmp_path / "out.tif", Options(**options))


def test_a_product_keeps_what_is_not_read(tmp_path: Path, options: dict[str, Any]) -> None:
    """Results may lie in its folder, and be replaced."""
    product = make_landsat(tmp_path)
    metadata, other = first(product, "*_MTL.txt"), first(product, "*_B7.TIF")
    for source in (product, metadata):
        with pytest.raises(OutputError, match="part of the product"):
            enhance_raster(source, other, Options(**options, overwrite=True))
        for _ in range(2):
            enhance_raster(source, product / "fine.tif", Options(**options, overwrite=True))
    archive = zip_folder(make_safe(tmp_path / "safe"), tmp_path / "S2.zip")
    (tmp_path / "link.tif").symlink_to(archive)
    with pytest.raises(OptionError, match="input itself"):
        enhance_raster(archive, tmp_path / "link.tif", Options(**options, overwrite=True))
    with pytest.raises(OutputError, match="part of the input"):
        enhance_raster(f"/vsizip/{archive}", tmp_path / "link.tif", Options(**options, overwrite=True))


def test_resuming_replaces_only_what_was_begun(tmp_path: Path, options: dict[str, Any], field: Path) -> None:
    run, again = Options(**options, tile=16), Options(**options, tile=16, resume=True)
    with pytest.raises(Stop):
        enhance_raster(field, tmp_path / "out.tif", run, detail_map=tmp_path / "detail.tif", progress=stop_at(7))
    for name in ("out.tif", "detail.tif", "mine.tif"):
        (tmp_path / name).write_text("mine")
        detail = tmp_path / ("detail.tif" if name == "out.tif" else name)
        with pytest.raises(OutputError, match="exists already"):
            enhance_raster(field, tmp_path / "out.tif", again, detail_map=detail)
        assert (tmp_path / name).read_text() == "mine"
        if name != "mine.tif":
            (tmp_path / name).unlink()
    with pytest.raises(Stop):
        enhance_raster(field, tmp_path / "out.tif", again, detail_map=tmp_path / "detail.tif", progress=stop_at(3, "write"))
    (tmp_path / "out.tif").write_text("as if the stopped run had renamed it")
    enhance_raster(field, tmp_path / "out.tif", again, detail_map=tmp_path / "detail.tif")
    assert leftovers(tmp_path, "in.tif", "out.tif", "detail.tif", "mine.tif") == set()
    assert (tmp_path / "mine.tif").read_text() == "mine"


def test_a_detail_map_is_no_parcel(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    choice = ParcelOptions(parcels_file(tmp_path / "p.gpkg"), split_by="name")
    (tmp_path / "fields").mkdir()
    for name in ("a.tif", "A.tif", "../fields/б_2.tif"):
        with pytest.raises(OptionError, match="is the file of a parcel; choose another name for the detail map"):
            enhance_parcels(field, choice, tmp_path / "fields", Options(**options), detail_map=tmp_path / "fields" / name)
    assert leftovers(tmp_path / "fields") == set()
    enhance_parcels(field, choice, tmp_path / "fields", Options(**options), detail_map=tmp_path / "fields" / "detail.tif")


def test_a_failure_before_the_first_tile_leaves_nothing(
    tmp_path: Path, field: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, needed: int) -> None:
        raise OutputError(f"{folder}: {needed}")

    monkeypatch.setattr("sr_geo.raster.enhance.check_room", full)
    with pytest.raises(OutputError) as raised:
        enhance_raster(field, tmp_path / "out.tif", Options(**options))
    assert "--resume" not in str(raised.value)
    assert leftovers(tmp_path, "in.tif") == set()


def test_room_for_what_is_not_there_yet(
    tmp_path: Path, field: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("sr_geo.raster.enhance.check_room", lambda folder, needed: asked.append(needed))
    pixels = 60 * 80 * 16
    with pytest.raises(Stop):
        enhance_raster(field, tmp_path / "out.tif", Options(**options, tile=20), progress=stop_at(11))
    done = len((tmp_path / "out.tif.part" / "journal.txt").read_text().splitlines())
    enhance_raster(field, tmp_path / "out.tif", Options(**options, tile=20, resume=True))
    spool = pixels * 8 + 60 * 80 * 4
    assert asked == [spool + pixels * 8, spool * (12 - done) // 12 + pixels * 8]
    enhance_raster(field, tmp_path / "out.tif", Options(**options, tile=20, cog=True, overwrite=True), detail_map=tmp_path / "d.tif")
    assert asked[2] == spool + pixels * 4 + pixels * (8 + 4) * 8 // 3


def test_what_a_killed_run_left_half_written_is_cleared(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    left = [".out.4711.tif", ".out.4711.plain.tif", ".detail.4711.tif", ".detail.4711.plain.tif"]
    for name in left:
        (tmp_path / name).write_text("half")
    enhance_raster(field, tmp_path / "out.tif", Options(**options), detail_map=tmp_path / "detail.tif")
    assert leftovers(tmp_path, "in.tif", "out.tif", "detail.tif") == set()


def test_two_runs_do_not_mix(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    messages: list[str] = []

    def second(progress: Progress) -> None:
        if (progress.stage, progress.done) == ("enhance", 5):
            for more in ({"overwrite": True}, {"resume": True}):
                with pytest.raises(OutputError) as raised:
                    enhance_raster(field, tmp_path / "out.tif", Options(**options, tile=16, **more))
                messages.append(str(raised.value))

    enhance_raster(field, tmp_path / "out.tif", Options(**options, tile=16), progress=second)
    assert len(messages) == 2
    assert all("another run is writing this output; wait" in message for message in messages)
    assert leftovers(tmp_path, "in.tif", "out.tif") == set()


def test_damaged_tiles_are_computed_again(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    with pytest.raises(Stop):
        enhance_raster(field, tmp_path / "out.tif", Options(**options, tile=16), progress=stop_at(12))
    tiles = tmp_path / "out.tif.part" / "tiles.bin"
    content = bytearray(tiles.read_bytes())
    content[len(content) // 2] ^= 255
    tiles.write_bytes(content)
    enhance_raster(field, tmp_path / "out.tif", Options(**options, tile=16, resume=True))
    enhance_raster(field, tmp_path / "again.tif", Options(**options, tile=16))
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "again.tif").read_bytes()


def test_the_users_cache_is_given_back(tmp_path: Path, field: Path, options: dict[str, Any]) -> None:
    before = get_gdal_config("GDAL_CACHEMAX")
    seen_inside: list[int] = []
    with rasterio.Env():
        enhance_raster(
            field, tmp_path / "out.tif", Options(**options), progress=lambda _: seen_inside.append(get_gdal_config("GDAL_CACHEMAX"))
        )
        assert get_gdal_config("GDAL_CACHEMAX") == before
    assert set(seen_inside) == {CACHE}


def test_progress(tmp_path: Path, options: dict[str, Any], field: Path) -> None:
    told: list[Progress] = []
    parcels = parcels_file(tmp_path / "p.gpkg")
    enhance_parcels(field, parcels, tmp_path / "out.tif", Options(**options, tile=16), progress=told.append)
    for stage in ("enhance", "measure", "write"):
        steps = [(progress.done, progress.total) for progress in told if progress.stage == stage]
        assert steps == [(number, len(steps)) for number in range(1, len(steps) + 1)]
        assert steps


@pytest.mark.parametrize(
    "wrong",
    [
        {"psf": -1.0},
        {"psf": float("nan")},
        {"psf": 20.0},
        {"psf": "sharp"},
        {"tile": 8},
        {"tile": 1025},
        {"threads": 0},
        {"other_bands": "keep"},
        {"consistency": "none"},
        {"device": "tpu"},
        {"compress": "jpeg"},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=str(next(iter(wrong.values())))):
        Options(**wrong)


@pytest.mark.parametrize("wrong", [{"buffer_m": float("nan")}, {"buffer_m": float("inf")}, {"shape": "round"}])
def test_parcel_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=str(next(iter(wrong.values())))):
        ParcelOptions("p.gpkg", **wrong)


def test_a_network_of_another_scale(tmp_path: Path) -> None:
    model = write_model(tmp_path / "two.onnx", card(scale=2))
    result: Result = enhance_raster(
        four(tmp_path / "in.tif", stored("uint8")), tmp_path / "out.tif", Options(model=model, psf=1.0, threads=1)
    )
    assert result.planning.card.scale == 2
    assert read(tmp_path / "out.tif").shape == (4, 100, 140)


def test_a_model_that_does_not_do_what_its_card_says(tmp_path: Path) -> None:
    model = write_model(tmp_path / "liar.onnx", card(scale=2), text=card(scale=4).model_dump_json())
    with pytest.raises(SrGeoError, match="card"):
        enhance_raster(four(tmp_path / "in.tif", stored("uint8")), tmp_path / "out.tif", Options(model=model, psf=2.0, threads=1))
    assert leftovers(tmp_path, "in.tif", "liar.onnx") == set()
