"""Plain rasters: geometry, windows, validity, encodings, roles and everything that is refused."""

import json
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from sr_geo.errors import InputError, NoCrsWarning, OptionError
from sr_geo.grid import Window
from sr_geo.radiometry import Encoding, default_encoding
from sr_geo.raster.options import OtherBands
from sr_geo.raster.planning import Blur, plan_bands
from sr_geo.raster.scene import Scene
from tests.onnx_models import card
from tests.raster.products import CORNER, make_safe, stack_vrt, write_raster


def random_bands(*shape: int, dtype: str = "uint16", seed: int = 0) -> NDArray[np.generic]:
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def roles(path: Path, **options: object) -> list[str | None]:
    with Scene.open(path, **options) as scene:  # type: ignore[arg-type]
        return [band.role for band in scene.bands]


# Windows: the mirror image


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """7 × 5 pixels, three bands, 0 is nodata."""
    return write_raster(tmp_path_factory.mktemp("scene") / "tiny.tif", random_bands(3, 7, 5) % 9, nodata=0)


@settings(max_examples=150, deadline=None)
@given(
    row=st.integers(-40, 40),
    column=st.integers(-40, 40),
    size=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    bands=st.lists(st.integers(0, 2), max_size=4),
)
def test_a_window_anywhere_is_the_padded_whole(tiny: Path, row: int, column: int, size: tuple[int, int], bands: list[int]) -> None:
    height, width = size
    with rasterio.open(tiny) as dataset:
        whole = dataset.read()
    with Scene.open(tiny) as scene:
        values, valid = scene.read(Window(row, column, height, width), bands)
    padded = np.pad(whole, ((0, 0), (80, 80), (80, 80)), mode="symmetric")
    expected = padded[bands, row + 80 : row + 80 + height, column + 80 : column + 80 + width]
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(valid, expected != 0)
    assert values.dtype == whole.dtype
    assert valid.dtype == np.bool_


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(-30, 130), column=st.integers(-30, 130), height=st.integers(1, 50), width=st.integers(1, 50))
def test_so_it_is_for_resampled_bands_of_a_product(product: Path, row: int, column: int, height: int, width: int) -> None:
    with Scene.open(product, extra=["swir1"]) as scene:
        whole, mask = scene.read(Window(0, 0, scene.height, scene.width), [3, 4])
        values, valid = scene.clone().read(Window(row, column, height, width), [3, 4])
    inside = (slice(None), slice(row + 60, row + 60 + height), slice(column + 60, column + 60 + width))
    np.testing.assert_array_equal(values, np.pad(whole, ((0, 0), (60, 60), (60, 60)), mode="symmetric")[inside])
    np.testing.assert_array_equal(valid, np.pad(mask, ((0, 0), (60, 60), (60, 60)), mode="symmetric")[inside])


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_safe(tmp_path_factory.mktemp("safe"))


def test_threads_read_the_same_through_clones(tiny: Path) -> None:
    with Scene.open(tiny) as scene:
        expected = scene.read(Window(-2, -2, 11, 9), [0, 1, 2])[0]
        found: list[NDArray[np.generic]] = []

        def work() -> None:
            with scene.clone() as own:
                found.extend(own.read(Window(-2, -2, 11, 9), [0, 1, 2])[0] for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 80
    assert all(np.array_equal(values, expected) for values in found)


def test_a_closed_scene_does_not_read_but_its_clone_does(tiny: Path) -> None:
    with Scene.open(tiny) as scene:
        pass
    with pytest.raises(ValueError, match="closed"):
        scene.read(Window(0, 0, 1, 1), [0])
    with scene.clone() as again:
        assert again.read(Window(0, 0, 1, 1), [0])[0].shape == (1, 1, 1)
    with Scene.open(tiny) as scene, pytest.raises(ValueError, match="expected 0 to 2"):
        scene.read(Window(0, 0, 1, 1), [3])


# Geometry


@pytest.mark.parametrize(
    "transform",
    [
        CORNER @ Affine.scale(10, -10),
        CORNER @ Affine.rotation(30) @ Affine.scale(10, -10),
        CORNER @ Affine.scale(10, 10),  # south up
        CORNER @ Affine.scale(-10, -10),
        CORNER @ Affine.shear(10, 5) @ Affine.scale(10, -20),
    ],
    ids=["north up", "rotated", "south up", "mirrored", "sheared"],
)
def test_geometry_is_the_files(tmp_path: Path, transform: Affine) -> None:
    values = random_bands(2, 4, 6)
    path = write_raster(tmp_path / "a.tif", values, transform=transform)
    with Scene.open(path) as scene:
        assert scene.transform.almost_equals(transform, precision=1e-6)
        assert (scene.height, scene.width, scene.crs, scene.name, scene.path) == (4, 6, "EPSG:32632", "a", str(path))
        np.testing.assert_array_equal(scene.read(Window(0, 0, 4, 6), [1, 0])[0], values[::-1])


def test_no_crs_is_warned_of(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(1, 3, 3), crs=None)
    with pytest.warns(NoCrsWarning, match="no coordinate reference system"), Scene.open(path) as scene:
        assert scene.crs is None
    bare = write_raster(tmp_path / "b.png", random_bands(3, 3, 3, dtype="uint8"), driver="PNG", crs=None, transform=None)
    with pytest.warns(NoCrsWarning) as caught, Scene.open(bare) as scene:
        assert scene.read(Window(0, 0, 3, 3), [0])[1].all()
    assert len(caught) == 1


# Types, encodings, validity


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"])
def test_every_type_survives(tmp_path: Path, dtype: str) -> None:
    values = (random_bands(2, 5, 5) // 2).astype(dtype)
    with Scene.open(write_raster(tmp_path / "a.tif", values)) as scene:
        found, valid = scene.read(Window(0, 0, 5, 5), [0, 1])
        assert scene.dtype == scene.bands[0].dtype == dtype
        assert scene.bands[0].encoding == default_encoding(dtype)
    assert found.dtype == dtype
    assert valid.all()
    np.testing.assert_array_equal(found, values)


def test_mixed_types_are_promoted(tmp_path: Path) -> None:
    low = write_raster(tmp_path / "low.tif", random_bands(1, 4, 4, dtype="uint8"))
    high = write_raster(tmp_path / "high.tif", random_bands(1, 4, 4, dtype="int16") - 100)
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource><SourceFilename relativeToVRT="1">{file.name}</SourceFilename>'
        f"<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i, (kind, file) in enumerate((("Byte", low), ("Int16", high)), 1)
    )
    vrt = tmp_path / "both.vrt"
    vrt.write_text(
        f'<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:32632</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>{bands}</VRTDataset>'
    )
    with Scene.open(vrt) as scene:
        values, _ = scene.read(Window(0, 0, 4, 4), [0, 1])
        assert [band.dtype for band in scene.bands] == ["uint8", "int16"]
        assert scene.dtype == values.dtype == "int16"
    np.testing.assert_array_equal(values[1], random_bands(1, 4, 4, dtype="int16")[0] - 100)


def test_scale_offset_unit_and_description_are_the_datasets(tmp_path: Path) -> None:
    path = write_raster(
        tmp_path / "a.tif",
        random_bands(2, 4, 4),
        descriptions=["red", "nir"],
        nodata=7,
        tags={"ACQUIRED": "2020", "OVR_RESAMPLING_ALG": "x"},
    )
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets, dataset.units = (2.75e-5, 1.0), (-0.2, 0.0), ("1", "K")
    with Scene.open(path) as scene:
        assert scene.bands[0].encoding == Encoding(2.75e-5, -0.2, 7.0)
        assert scene.bands[1].encoding == Encoding(1e-4, 0.0, 7.0)
        assert [band.stated for band in scene.bands] == [True, False]
        assert [(band.description, band.unit) for band in scene.bands] == [("red", "1"), ("nir", "K")]
        assert scene.tags == {"ACQUIRED": "2020", "AREA_OR_POINT": "Area"}


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint16", 0.0), ("int16", -9999.0), ("float32", -9999.0), ("float32", float("nan")), ("float32", -3.4028234663852886e38)],
)
def test_nodata_and_nan_are_not_valid(tmp_path: Path, dtype: str, nodata: float) -> None:
    values = random_bands(2, 4, 4, dtype=dtype) + np.array(1, dtype)
    values[0, 1, 2] = nodata
    if dtype == "float32":
        values[1, 3, 3], values[1, 0, 0] = np.nan, np.inf
    with Scene.open(write_raster(tmp_path / "a.tif", values, nodata=nodata)) as scene:
        _, valid = scene.read(Window(0, 0, 4, 4), [0, 1])
        stated = scene.bands[0].encoding.nodata
    expected = np.ones((2, 4, 4), bool)
    expected[0, 1, 2] = False
    if dtype == "float32":
        expected[1, 3, 3] = expected[1, 0, 0] = False
    np.testing.assert_array_equal(valid, expected)
    assert stated is not None
    assert stated == pytest.approx(nodata, nan_ok=True)


def test_nodata_that_the_type_cannot_hold_is_none(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(1, 4, 4))
    vrt = tmp_path / "a.vrt"
    vrt.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="4"><SRS>EPSG:32632</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        '<VRTRasterBand dataType="UInt16" band="1"><NoDataValue>-9999.5</NoDataValue>'
        f'<SimpleSource><SourceFilename relativeToVRT="1">{path.name}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
        "</VRTRasterBand></VRTDataset>"
    )
    with Scene.open(vrt) as scene:
        assert scene.bands[0].encoding.nodata is None
        assert scene.read(Window(0, 0, 4, 4), [0])[1].all()


@pytest.mark.parametrize("internal", [True, False])
def test_masks_count_beside_nodata(tmp_path: Path, internal: bool) -> None:
    values = random_bands(3, 8, 8) + np.uint16(1)
    values[1, 0, 0] = 0
    mask = np.full((8, 8), 255, np.uint8)
    mask[4:, :3] = 0
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        write_raster(path, values, nodata=0)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(mask)
    assert (tmp_path / "a.tif.msk").exists() is not internal
    with Scene.open(path) as scene:
        _, valid = scene.read(Window(-2, -2, 12, 12), [0, 1, 2])
    expected = np.repeat((mask > 0)[None], 3, axis=0)
    expected[1, 0, 0] = False
    np.testing.assert_array_equal(valid, np.pad(expected, ((0, 0), (2, 2), (2, 2)), mode="symmetric"))


def test_alpha_masks_and_has_no_role(tmp_path: Path) -> None:
    values = random_bands(4, 5, 5, dtype="uint8")
    values[3] = 255
    values[3, 2, 2] = 0
    path = write_raster(tmp_path / "a.tif", values, photometric="RGB", alpha="yes")
    with Scene.open(path) as scene:
        assert [(band.role, band.color) for band in scene.bands] == [("red", "red"), ("green", "green"), ("blue", "blue"), (None, "alpha")]
        _, valid = scene.read(Window(0, 0, 5, 5), [0, 3])
        np.testing.assert_array_equal(valid[0], values[3] > 0)
        assert valid[1].all()


@pytest.mark.parametrize("how", ["description", "user"])
def test_near_infrared_written_as_alpha_is_data(tmp_path: Path, how: str) -> None:
    values = random_bands(4, 5, 5, dtype="uint8")
    values[3, 2, 2] = 0
    descriptions = ["red", "green", "blue", "nir"] if how == "description" else []
    path = write_raster(tmp_path / "a.tif", values, photometric="RGB", alpha="yes", descriptions=descriptions)
    with Scene.open(path, roles={"nir": 4} if how == "user" else None) as scene:
        assert [(band.role, band.color) for band in scene.bands][3] == ("nir", "undefined")
        assert scene.read(Window(0, 0, 5, 5), [0, 3])[1].all()


# Roles


def test_what_says_nothing_stays_unknown(tmp_path: Path) -> None:
    for count in (3, 4):
        path = write_raster(tmp_path / f"{count}.tif", random_bands(count, 3, 3), photometric="MINISBLACK")
        assert roles(path) == [None] * count
        with Scene.open(path) as scene:
            assert scene.find("red") is None
            assert scene.sensor is None


def test_photographic_interpretation_is_red_green_blue(tmp_path: Path) -> None:
    assert roles(write_raster(tmp_path / "a.tif", random_bands(3, 3, 3, dtype="uint8"), photometric="RGB")) == ["red", "green", "blue"]
    # A description contradicts: colour interpretation is only how to show it.
    path = write_raster(tmp_path / "b.tif", random_bands(3, 3, 3, dtype="uint8"), photometric="RGB", descriptions=["nir", "red", "green"])
    assert roles(path) == ["nir", "red", "green"]


def test_the_users_roles_win(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(4, 3, 3), descriptions=["red", "green", "blue", "nir"])
    assert roles(path, roles={"b": 1, "r": 3}) == ["blue", "green", "red", "nir"]
    assert roles(path, roles={"r": 4}) == [None, "green", "blue", "red"]
    with Scene.open(path, roles={"n": 4}) as scene:
        assert (scene.find("nir"), scene.find("n"), scene.find("swir1")) == (3, 3, None)
        with pytest.raises(OptionError, match="did you mean"):
            scene.find("gren")


@pytest.mark.parametrize(("spacecraft", "expected"), [("LANDSAT_8", ["green", "red", "nir"]), ("LANDSAT_5", ["red", "nir", "swir1"])])
def test_a_sensor_tag_gives_numbers_their_meaning(tmp_path: Path, spacecraft: str, expected: list[str]) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(3, 3, 3), descriptions=["B3", "B4", "B5"], tags={"SPACECRAFT_ID": spacecraft})
    assert roles(path) == expected
    with Scene.open(path) as scene:
        assert scene.sensor == spacecraft.lower().replace("_", "-")


def test_band_names_that_one_sensor_has_tell_it(tmp_path: Path) -> None:
    """Their default blur differs."""
    for names, sensor in ((["B1", "B8", "B8A", "B12"], "sentinel-2"), (["B02", "B03", "B04"], None)):
        path = write_raster(tmp_path / "a.tif", random_bands(len(names), 3, 3), descriptions=names, transform=CORNER @ Affine.scale(7))
        with Scene.open(path) as scene:
            assert scene.sensor == sensor


def test_band_files_of_products_by_their_name(tmp_path: Path) -> None:
    for name, role in (
        ("T32UNE_20230625T061631_B08_10m.tif", "nir"),
        ("LC08_L1TP_224077_20200518_20200518_01_RT_B3.TIF", "green"),
        ("LT05_X_B3.tif", "red"),
        ("farm_B3.tif", None),
    ):
        assert roles(write_raster(tmp_path / name, random_bands(1, 3, 3))) == [role]


def test_tags_of_bands_and_dataset(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(2, 3, 3))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, common_name="swir16")
        dataset.update_tags(2, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.665")
    assert roles(path) == ["swir1", "red"]
    bands = json.dumps([{"name": "B05", "common_name": "rededge"}, {"name": "B08", "common_name": "nir"}])
    tagged = {"eo:bands": bands, "PLATFORM": "sentinel-2b"}
    assert roles(write_raster(tmp_path / "b.tif", random_bands(2, 3, 3), tags=tagged)) == ["rededge1", "nir"]
    assert roles(write_raster(tmp_path / "c.tif", random_bands(3, 3, 3), tags={"BAND_NAMES": "nir, red, green"})) == ["nir", "red", "green"]


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
@pytest.mark.parametrize("sidecar", ["a.json", "a.tif.json"])
def test_a_stac_item_beside_the_raster(tmp_path: Path, version: str, sidecar: str) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(3, 3, 3))
    names = [("blue", "B2"), ("red", "B4"), ("nir08", "B5")]
    key, field = ("eo:bands", "common_name") if version == "1.0.0" else ("bands", "eo:common_name")
    item = {
        "type": "Feature",
        "stac_version": version,
        "properties": {"platform": "landsat-9"},
        "assets": {"data": {"href": "./a.tif", key: [{"name": name, field: common} for common, name in names]}, "thumb": {"href": "x.png"}},
    }
    (tmp_path / sidecar).write_text(json.dumps(item))
    with Scene.open(path) as scene:
        assert [band.role for band in scene.bands] == ["blue", "red", "nir"]
        assert scene.sensor == "landsat-9"
    for other in ("{", '{"type": "FeatureCollection"}', "[1]", '{"type": "Feature", "stac_version": "1.0.0", "assets": [1]}'):
        (tmp_path / sidecar).write_text(other)
        assert roles(path) == [None] * 3


def test_a_stac_band_may_have_its_common_name_as_name(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(2, 3, 3))
    item = {"type": "Feature", "stac_version": "1.1.0", "assets": {"data": {"href": "a.tif", "bands": [{"name": "red"}, {"name": "nir"}]}}}
    (tmp_path / "a.json").write_text(json.dumps(item))
    assert roles(path) == ["red", "nir"]


def test_a_stack_of_band_files_tells_by_their_names(tmp_path: Path) -> None:
    tile = "T32UNE_20230625T061631"
    sources = [f"{tile}_B04_10m.tif", f"{tile}_B08_10m.tif", f"{tile}_SCL_20m.tif"]
    for source in sources:
        write_raster(tmp_path / source, random_bands(1, 4, 4))
    with Scene.open(stack_vrt(tmp_path / "stack.vrt", sources, size=4)) as scene:
        assert [(band.role, band.marks) for band in scene.bands] == [("red", False), ("nir", False), (None, True)]
        assert scene.sensor == "sentinel-2"
    # One file that gives both bands holds more than its name tells.
    with Scene.open(stack_vrt(tmp_path / "twice.vrt", sources[2:] * 2, size=4)) as scene:
        assert [(band.role, band.marks) for band in scene.bands] == [(None, False)] * 2
    for name, source in (("any.vrt", sources[0]), (f"{tile}_B04_10m.vrt", write_raster(tmp_path / "x.tif", random_bands(1, 4, 4)).name)):
        assert roles(stack_vrt(tmp_path / name, [source], size=4)) == ["red"]


# Marks


def marks(path: Path, **options: object) -> list[bool]:
    with Scene.open(path, **options) as scene:  # type: ignore[arg-type]
        return [band.marks for band in scene.bands]


def test_bands_of_marks_are_told_apart(tmp_path: Path) -> None:
    names = ["B01 coastal aerosol", "red", "SCL", "QA60", "dataMask", "MSK_CLDPRB", "clear", "NDVI"]
    path = write_raster(tmp_path / "a.tif", random_bands(8, 3, 3), descriptions=names)
    assert marks(path) == [False, False, True, True, True, True, True, False]
    with Scene.open(path) as scene:
        assert [band.encoding.scale for band in scene.bands[1:4]] == [1e-4, 1.0, 1.0]
    assert marks(path, roles={"nir": 3}) == [False, False, False, True, True, True, True, False]


@pytest.mark.parametrize("other_bands", ["guided", "cubic", "drop"])
def test_marks_are_repeated_whatever_is_done_to_other_bands(tmp_path: Path, other_bands: OtherBands) -> None:
    names = ["blue", "green", "red", "nir", "Scene classification map", "QA60", "CLP", "SR_QA_AEROSOL"]
    with Scene.open(write_raster(tmp_path / "a.tif", random_bands(8, 3, 3), descriptions=names)) as scene:
        planning = plan_bands(scene, card(), [Blur(1.6, "given")] * 8, other_bands=other_bands, consistency="psf")
    assert [band.way for band in planning.bands] == ["network"] * 4 + ["nearest"] * 4


def test_the_mask_of_a_band_does_not_rival_it(tmp_path: Path) -> None:
    names = ["B04", "QA_B04", "B08", "B08_mask"]
    path = write_raster(tmp_path / "a.tif", random_bands(4, 3, 3), descriptions=names, tags={"PLATFORM": "sentinel-2a"})
    assert roles(path) == ["red", None, "nir", None]
    assert marks(path) == [False, True, False, True]
    names = ["Band 1", "Band 2", "mask"]
    counted = write_raster(tmp_path / "b.tif", random_bands(3, 3, 3), descriptions=names, tags={"PLATFORM": "landsat-8"})
    assert roles(counted) == [None] * 3


def test_marks_by_tags_and_file_names(tmp_path: Path) -> None:
    assert marks(write_raster(tmp_path / "a.tif", random_bands(3, 3, 3), tags={"BAND_NAMES": "red, nir, QA_PIXEL"})) == [False, False, True]
    path = write_raster(tmp_path / "b.tif", random_bands(2, 3, 3))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, common_name="red")
        dataset.update_tags(2, LAYER_TYPE="thematic")
    assert marks(path) == [False, True]
    for name, expected in (("LC08_X_QA_PIXEL.TIF", True), ("T32UNE_20230625T061631_SCL_20m.tif", True), ("LC08_X_B4.TIF", False)):
        assert marks(write_raster(tmp_path / name, random_bands(1, 3, 3))) == [expected]
    # The name of a file says nothing of one band among several.
    assert marks(write_raster(tmp_path / "red_nir_and_SCL.tif", random_bands(3, 3, 3))) == [False] * 3
    # A description is nearer than the name.
    assert marks(write_raster(tmp_path / "field_mask.tif", random_bands(1, 3, 3), descriptions=["red"])) == [False]


@pytest.mark.parametrize(
    ("key", "asset", "expected"),
    [
        ("scl", {"roles": ["data", "reflectance"]}, True),
        ("qa_pixel", {}, True),
        ("clouds", {"roles": ["cloud"]}, True),
        ("crops", {"classification:classes": [{"value": 1, "description": "wheat"}]}, True),
        ("crops", {"bands": [{"name": "x", "classification:bitfields": [{"offset": 0}]}]}, True),
        ("data", {"bands": [{"name": "QA"}]}, True),
        ("red", {"roles": ["data"]}, False),
        ("cloudless", {}, False),
        ("scl", {"bands": [{"name": "B04", "eo:common_name": "red"}]}, False),
    ],
)
def test_marks_by_the_asset_of_a_stac_item(tmp_path: Path, key: str, asset: dict[str, object], expected: bool) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(1, 3, 3))
    item = {"type": "Feature", "stac_version": "1.0.0", "assets": {key: {"href": "https://x/a.tif", **asset}}}
    (tmp_path / "a.json").write_text(json.dumps(item))
    assert marks(path) == [expected]
    # Of an Item without this file, nothing is sure.
    item["assets"] = {key: {"href": "https://x/other.tif", **asset}}
    (tmp_path / "a.json").write_text(json.dumps(item))
    if "bands" not in asset:
        assert marks(path) == [False]


def test_a_band_with_a_colour_table_among_others(tmp_path: Path) -> None:
    names = [write_raster(tmp_path / f"{name}.tif", random_bands(1, 4, 4)).name for name in ("red", "crops")]
    vrt = stack_vrt(tmp_path / "stack.vrt", names, size=4)
    table = '<ColorInterp>Palette</ColorInterp><ColorTable><Entry c1="0" c2="9" c3="0" c4="255"/></ColorTable>'
    first, second = vrt.read_text().split('band="2">')
    vrt.write_text(f'{first}band="2">{table}{second}')
    with Scene.open(vrt) as scene:
        assert [(band.marks, band.color) for band in scene.bands] == [(False, "undefined"), (True, "undefined")]


# What is refused


def test_missing_empty_and_strange_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        Scene.open(tmp_path / "none.tif")
    with pytest.raises(InputError, match="cannot be opened"):
        Scene.open("/vsizip/none.zip/a.tif")
    (tmp_path / "empty.tif").touch()
    with pytest.raises(InputError, match="empty"):
        Scene.open(tmp_path / "empty.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(InputError, match="not a raster that GDAL can open"):
        Scene.open(tmp_path / "text.tif")
    with pytest.raises(InputError, match="neither a Sentinel-2 SAFE folder"):
        Scene.open(tmp_path)
    (tmp_path / "zero.vrt").write_text('<VRTDataset rasterXSize="0" rasterYSize="0"/>')
    with pytest.raises(InputError, match="not a raster"):
        Scene.open(tmp_path / "zero.vrt")


def test_a_raster_inside_a_zip_and_a_vrt_as_text(tmp_path: Path, tiny: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        out.write(tiny, "folder/tiny.tif")
    text = (
        '<VRTDataset rasterXSize="5" rasterYSize="7"><SRS>EPSG:32632</SRS><GeoTransform>0,1,0,0,0,-1</GeoTransform>'
        f'<VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename>{tiny}</SourceFilename><SourceBand>1</SourceBand>'
        "</SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with Scene.open(tiny) as scene:
        expected = scene.read(Window(0, 0, 7, 5), [0])[0]
    for name in (f"/vsizip/{tmp_path}/a.zip/folder/tiny.tif", f"zip://{tmp_path}/a.zip!folder/tiny.tif", text):
        with Scene.open(name) as scene:
            np.testing.assert_array_equal(scene.read(Window(0, 0, 7, 5), [0])[0], expected)


def test_a_container_of_rasters_names_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a.gpkg"
    for table in ("first", "second"):
        write_raster(path, random_bands(1, 3, 3, dtype="uint8"), driver="GPKG", RASTER_TABLE=table, APPEND_SUBDATASET="YES")
    with pytest.raises(InputError, match="holds no bands itself: give one of its 2 subdatasets, such as GPKG:"):
        Scene.open(path)
    with Scene.open(f"GPKG:{path}:second") as scene:
        assert scene.width == 3


def test_a_truncated_file_says_where(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(2, 300, 200), compress="deflate", tiled=True, blockxsize=64, blockysize=64)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with (
        pytest.raises(InputError, match=r"a\.tif: (rows 0 to 299, columns 0 to 199 cannot be read|not a raster)") as caught,
        Scene.open(path) as scene,
    ):
        scene.read(Window(0, 0, 300, 200), [0, 1])
    assert "\n" not in str(caught.value)


def test_a_vrt_without_its_source_says_which(tmp_path: Path) -> None:
    vrt = stack_vrt(tmp_path / "a.vrt", ["gone.tif"], size=4)
    with Scene.open(vrt) as scene, pytest.raises(InputError, match=r"a\.vrt: rows 0 to 3.*gone\.tif.*put back what it refers to"):
        scene.read(Window(0, 0, 4, 4), [0])


def test_complex_bands(tmp_path: Path) -> None:
    for kind in ("complex64", "complex_int16"):
        path = tmp_path / f"{kind}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", count=1, height=3, width=3, dtype=kind, crs="EPSG:32632", transform=CORNER @ Affine.scale(10, -10)
        ):
            pass
        with pytest.raises(InputError, match="complex"):
            Scene.open(path)


def test_colour_tables(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(1, 3, 3, dtype="uint8"))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255)})
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp == (ColorInterp.palette,)
    with pytest.raises(InputError, match="colour table"):
        Scene.open(path)


def test_gcps_and_rpcs_alone(tmp_path: Path) -> None:
    values = random_bands(1, 10, 10)
    points = [GroundControlPoint(row=r, col=c, x=500000 + 10 * c, y=5900000 - 10 * r) for r, c in ((0, 0), (0, 9), (9, 0), (9, 9))]
    model = RPC(
        height_off=0, height_scale=1, lat_off=53, lat_scale=1, line_off=5, line_scale=5, long_off=9, long_scale=1, samp_off=5, samp_scale=5,
        line_num_coeff=[0.0] * 20, line_den_coeff=[1.0] + [0.0] * 19, samp_num_coeff=[0.0] * 20, samp_den_coeff=[1.0] + [0.0] * 19,
    )  # fmt: skip
    by_points = write_raster(tmp_path / "gcp.tif", values, gcps=points, crs="EPSG:32632", transform=None)
    by_model = write_raster(tmp_path / "rpc.tif", values, rpcs=model, crs=None, transform=None)
    with pytest.raises(InputError, match=r"located by ground control points only.*gdalwarp"):
        Scene.open(by_points)
    with pytest.raises(InputError, match=r"located by rational polynomials .RPC. only.*gdalwarp"):
        Scene.open(by_model)


def test_more_than_there_is(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", random_bands(3, 3, 3), descriptions=["red", "green", "blue"])
    with pytest.raises(OptionError, match="nir=4, but the raster has 3 bands"):
        Scene.open(path, roles={"nir": 4})
    with pytest.raises(OptionError, match="unknown band role 'gren'"):
        Scene.open(path, roles={"gren": 1})
    with pytest.raises(InputError, match=r"no band is known to be nir.*--bands nir=NUMBER"):
        Scene.open(path, extra=["nir"])


# Real rasters


@pytest.fixture
def satellite(data_root: Path) -> Path:
    return data_root / "satellite"


def needed(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"no test imagery: {path.name}")
    return path


def test_spain_has_every_band_of_sentinel2(satellite: Path) -> None:
    with Scene.open(needed(satellite / "sentinel2" / "sen1floods11_spain_7370579_S2_13band.tif")) as scene:
        assert [band.description for band in scene.bands[:2]] == ["B1", "B2"]
        assert [scene.find(role) for role in ("blue", "green", "red", "nir", "nir08", "swir2")] == [1, 2, 3, 7, 8, 12]
        assert (scene.sensor, scene.dtype, scene.crs) == ("sentinel-2", "int16", "EPSG:4326")


def test_denmark_says_nothing_and_needs_the_user(satellite: Path) -> None:
    path = needed(satellite / "sentinel2" / "denmark_20160508_BGR_B2B3B4_uint16_10m.tif")
    assert roles(path) == [None] * 3
    assert roles(path, roles={"b": 1, "g": 2, "r": 3}) == ["blue", "green", "red"]


def test_north_dakota_is_described(satellite: Path) -> None:
    with Scene.open(needed(satellite / "landsat" / "agnet_lc8_northdakota_2015245.tif")) as scene:
        assert [band.role for band in scene.bands] == ["blue", "green", "red", "nir"]
        assert (scene.sensor, scene.bands[0].encoding) == ("landsat-8", Encoding(1e-4, 0.0, 0.0))
        values, valid = scene.read(Window(1500, 3000, 200, 300), [3, 0])
        np.testing.assert_array_equal(valid, values != 0)


def test_landsat7_of_stars_is_read_whole(satellite: Path) -> None:
    with Scene.open(needed(satellite / "landsat" / "stars_L7_ETMs_6band.tif")) as scene:
        assert (scene.sensor, [band.role for band in scene.bands]) == ("landsat-7", [None] * 6)
        with rasterio.open(scene.path) as dataset:
            np.testing.assert_array_equal(scene.read(Window(0, 0, scene.height, scene.width), range(6))[0], dataset.read())


def test_pair_of_landsat_and_naip(satellite: Path) -> None:
    folder = satellite / "pairs"
    assert roles(needed(folder / "lr_landsat8_20150902_BGRN_30m.tif")) == ["blue", "green", "red", "nir"]
    with Scene.open(needed(folder / "hr_naip_20150926_RGBN_5m.tif")) as scene:
        assert [band.role for band in scene.bands] == ["red", "green", "blue", "nir"]
        assert scene.read(Window(0, 0, 99, 99), range(4))[1].all()
