"""Sentinel-2 and Landsat products, built small in the layout of real ones."""

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import InputError, OptionError
from sr_geo.grid import Window
from sr_geo.raster.planning import measure_blurs
from sr_geo.raster.scene import Scene
from tests.raster.products import S2_BANDS, SIZE, make_landsat, make_safe, pixels, write_jp2, zip_folder

MINUS_1000 = dict.fromkeys(range(13), -1000)
WHOLE = Window(0, 0, SIZE, SIZE)


@pytest.fixture(scope="module")
def safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_safe(tmp_path_factory.mktemp("safe"), "2A", offsets=MINUS_1000)


@pytest.fixture(scope="module")
def safe_l1c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Offsets that differ show that each band gets its own.
    return make_safe(tmp_path_factory.mktemp("safe"), "1C", offsets={i: -1000 - i for i in range(13)}, satellite="D")


@pytest.fixture
def broken(safe: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(safe, tmp_path / safe.name))


def s2_pixels(band: str, metres: int) -> np.ndarray:
    return pixels(metres, S2_BANDS.index(band))


def test_safe_opens_the_four_bands_of_10_m_in_order(safe: Path) -> None:
    with Scene.open(safe) as scene:
        assert [band.role for band in scene.bands] == ["blue", "green", "red", "nir"]
        assert [band.description for band in scene.bands] == ["B02", "B03", "B04", "B08"]
        assert [band.color for band in scene.bands] == ["blue", "green", "red", "undefined"]
        assert [band.metres for band in scene.bands] == [None] * 4
        assert (scene.height, scene.width, scene.dtype, scene.sensor) == (SIZE, SIZE, "uint16", "sentinel-2")
        assert scene.transform.a == 10
        assert scene.crs == "EPSG:32632"
        assert scene.name == safe.stem
        assert scene.tags["PROCESSING_BASELINE"] == "05.09"
        values, valid = scene.read(WHOLE, range(4))
    for i, band in enumerate(("B02", "B03", "B04", "B08")):
        np.testing.assert_array_equal(values[i], s2_pixels(band, 10))
    assert not valid[:, 0, 0].any()
    assert valid.sum() == valid.size - 4


def test_reflectance_is_dn_plus_offset_over_quantification(safe: Path, safe_l1c: Path, tmp_path: Path) -> None:
    for product, offset_of in (
        (safe, lambda i: -1000),
        (safe_l1c, lambda i: -1000 - i),
        (make_safe(tmp_path, baseline="02.14"), lambda i: 0),
    ):
        with Scene.open(product) as scene:
            values, _ = scene.read(WHOLE, range(4))
            for band, stored in zip(scene.bands, values, strict=True):
                expected = (stored.astype(np.float64) + offset_of(S2_BANDS.index(band.description))) / 10000
                np.testing.assert_allclose(band.encoding.decode(stored), expected, atol=1e-6)
                np.testing.assert_allclose(band.encoding.encode(band.encoding.decode(stored)), stored, atol=1e-2)
                assert band.encoding.nodata == 0


@pytest.mark.parametrize("satellite", list("ABCD"))
def test_every_satellite_of_the_mission(tmp_path: Path, satellite: str) -> None:
    with Scene.open(make_safe(tmp_path, "1C", satellite=satellite, size=12)) as scene:
        assert scene.sensor == "sentinel-2"
        assert scene.tags["SPACECRAFT_NAME"] == f"Sentinel-2{satellite}"


def test_old_names_of_offset_and_quantification(broken: Path) -> None:
    metadata = broken / "MTD_MSIL2A.xml"
    text = (
        metadata.read_text()
        .replace("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
        .replace('unit="none">10000', 'unit="none">1000')
    )
    metadata.write_text(text)
    with Scene.open(broken) as scene:
        assert scene.bands[0].encoding.scale == pytest.approx(1e-3)


def test_zip_equals_folder(safe: Path, tmp_path: Path) -> None:
    archive = zip_folder(safe, tmp_path / "download.zip")
    names = [str(archive), f"/vsizip/{archive}", f"/vsizip/{archive}/{safe.name}", f"/vsizip/{archive}/{safe.name}/MTD_MSIL2A.xml"]
    with Scene.open(safe, extra=["swir1"]) as folder:
        expected = folder.read(Window(-3, 100, 40, 40), range(5))
        for name in [*names, str(safe / "MTD_MSIL2A.xml"), str(safe.parent)]:
            with Scene.open(name, extra=["swir1"]) as scene:
                assert (scene.bands, scene.tags, scene.name, scene.transform) == (folder.bands, folder.tags, folder.name, folder.transform)
                found = scene.read(Window(-3, 100, 40, 40), range(5))
                np.testing.assert_array_equal(found[0], expected[0])
                np.testing.assert_array_equal(found[1], expected[1])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["download.zip"]
    with Scene.open(safe / "manifest.safe") as scene:
        assert scene.name == safe.stem


@pytest.mark.parametrize("which", ["safe", "safe_l1c"])
def test_coarser_bands_come_on_the_10_m_grid(which: str, request: pytest.FixtureRequest) -> None:
    product = request.getfixturevalue(which)
    with Scene.open(product, extra=["rededge1", "B8A", "swir2", "nir"]) as scene:
        assert [band.role for band in scene.bands] == ["blue", "green", "red", "nir", "rededge1", "nir08", "swir2"]
        assert [band.metres for band in scene.bands] == [None] * 4 + [20.0] * 3
        values, valid = scene.read(WHOLE, [scene.find("rededge1") or 0])
        coarse = s2_pixels("B05", 20)
        # The nodata pixel stays nodata and is not smeared into its neighbours.
        expected = np.ones((SIZE, SIZE), bool)
        expected[:2, :2] = False
        np.testing.assert_array_equal(valid[0], expected)
        assert values[0][valid[0]].min() > 0
        # Cubic convolution half a fine pixel off each centre keeps the mean of noise and its place.
        means = values[0].reshape(60, 2, 60, 2).astype(float).mean((1, 3))
        assert np.corrcoef(means[2:-2, 2:-2].ravel(), coarse[2:-2, 2:-2].ravel())[0, 1] > 0.95
        # Windows do not change pixels.
        part, _ = scene.read(Window(31, 47, 20, 33), [4])
        np.testing.assert_array_equal(part[0], values[0][31:51, 47:80])


def test_a_ramp_is_resampled_to_its_own_plane(safe: Path, tmp_path: Path) -> None:
    product = Path(shutil.copytree(safe, tmp_path / safe.name))
    ramp = (np.add.outer(np.arange(60), np.arange(60)) * 40 + 1000).astype(np.uint16)
    (file,) = product.glob("GRANULE/*/IMG_DATA/R20m/*_B11_20m.jp2")
    write_jp2(file, ramp, 20)
    with Scene.open(product, extra=["swir1"]) as scene:
        values, _ = scene.read(WHOLE, [4])
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    exact = ((row + 0.5) / 2 - 0.5 + (column + 0.5) / 2 - 0.5) * 40 + 1000
    np.testing.assert_allclose(values[0][6:-6, 6:-6], exact[6:-6, 6:-6], atol=1)


def test_level_1c_has_a_60_m_band_on_its_grid_too(safe_l1c: Path) -> None:
    with Scene.open(safe_l1c, extra=["cirrus"]) as scene:
        assert scene.bands[4].metres == 60.0
        assert scene.bands[4].encoding.offset == pytest.approx(-0.101)
        assert scene.read(WHOLE, [4])[0].shape == (1, SIZE, SIZE)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda safe: (safe / "MTD_MSIL2A.xml").unlink(), "no MTD_MSIL1C.xml or MTD_MSIL2A.xml"),
        (lambda safe: (safe / "MTD_MSIL2A.xml").write_text("<a><b></a>"), "not well-formed XML"),
        (lambda safe: (safe / "MTD_MSIL2A.xml").write_bytes(b"\xff\xfe<\x00a\x00/\x00>\x00"), "not UTF-8"),
        (
            lambda safe: (safe / "MTD_MSIL2A.xml").write_text('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'),
            "document type",
        ),
        (lambda safe: (safe / "MTD_MSIL2A.xml").write_text("<a/>"), "BOA_QUANTIFICATION_VALUE is missing"),
        (lambda safe: next(safe.glob("GRANULE/*/IMG_DATA/R10m/*_B08_10m.jp2")).unlink(), "nir band B08 is not in IMG_DATA"),
        (lambda safe: shutil.rmtree(next(safe.glob("GRANULE/*/IMG_DATA/R10m"))), "B08 is not in IMG_DATA|at 20 m only"),
        (lambda safe: next(safe.glob("GRANULE/*/IMG_DATA/R10m/*_B03_10m.jp2")).write_bytes(b""), "empty"),
        (lambda safe: shutil.copytree(next(safe.glob("GRANULE/*")), safe / "GRANULE" / "L2A_T33UNE_A1_2"), "2 granules"),
    ],
)
def test_a_damaged_safe_says_what_is_wrong(broken: Path, harm: Callable[[Path], object], words: str) -> None:
    harm(broken)
    with pytest.raises(InputError, match=words):
        Scene.open(broken)


def test_what_a_safe_does_not_have(safe: Path) -> None:
    with pytest.raises(InputError, match="level 2A has no cirrus band"):
        Scene.open(safe, extra=["cirrus"])
    with pytest.raises(InputError, match="no thermal1 band"):
        Scene.open(safe, extra=["thermal1"])
    with pytest.raises(OptionError, match="did you mean"):
        Scene.open(safe, extra=["swri1"])


def test_an_offset_list_must_cover_the_bands(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none to B08"):
        Scene.open(make_safe(tmp_path, offsets={1: -1000, 2: -1000, 3: -1000}, size=12))


def test_zips_without_a_product(tmp_path: Path, safe: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("x/scene.tif", b"")
    with pytest.raises(InputError, match=r"no Sentinel-2 product .*give the raster in it: /vsizip/.*a\.zip/x/scene\.tif"):
        Scene.open(archive)
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="not a readable archive"):
        Scene.open(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as out:
        out.writestr(f"{safe.name}/GRANULE/x.txt", b"")
    with pytest.raises(InputError, match=r"no MTD_MSIL1C\.xml"):
        Scene.open(tmp_path / "c.zip")


def test_names_that_leave_the_archive_are_not_seen(tmp_path: Path, safe: Path) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("../MTD_MSIL2A.xml", "/MTD_MSIL2A.xml", "a/../../MTD_MSIL2A.xml"):
            out.writestr(name, (safe / "MTD_MSIL2A.xml").read_bytes())
    with pytest.raises(InputError, match="no Sentinel-2 product"):
        Scene.open(archive)


def test_two_products_in_one_folder_are_ambiguous(safe: Path, safe_l1c: Path, tmp_path: Path) -> None:
    for product in (safe, safe_l1c):
        shutil.copytree(product, tmp_path / product.name)
    with pytest.raises(InputError, match="2 Sentinel-2 products: give one"):
        Scene.open(tmp_path)


@pytest.mark.parametrize(
    ("spacecraft", "numbers"),
    [("LANDSAT_9", (2, 3, 4, 5)), ("LANDSAT_8", (2, 3, 4, 5)), ("LANDSAT_7", (1, 2, 3, 4)), ("LANDSAT_5", (1, 2, 3, 4))],
)
@pytest.mark.parametrize(("level", "rescaling"), [(1, (2e-5, -0.1)), (2, (2.75e-5, -0.2))])
def test_landsat_bands_by_role(
    tmp_path: Path, spacecraft: str, numbers: tuple[int, ...], level: int, rescaling: tuple[float, float]
) -> None:
    with Scene.open(make_landsat(tmp_path, spacecraft=spacecraft, level=level, size=40), extra=["swir2"]) as scene:
        assert scene.sensor == spacecraft.lower().replace("_", "-")
        assert [band.role for band in scene.bands] == ["blue", "green", "red", "nir", "swir2"]
        values, valid = scene.read(Window(0, 0, 40, 40), range(5))
        for i, number in enumerate((*numbers, 7)):
            stored = pixels(10, number, 40)
            np.testing.assert_array_equal(values[i], stored)
            np.testing.assert_allclose(scene.bands[i].encoding.decode(values[i]), stored * rescaling[0] + rescaling[1], atol=1e-6)
        np.testing.assert_array_equal(valid, values != 0)
        assert scene.transform.a == 30


def test_landsat_thermal_bands_have_their_unit(tmp_path: Path) -> None:
    with Scene.open(make_landsat(tmp_path / "2", size=10), extra=["thermal1"]) as scene:
        assert (scene.bands[4].unit, scene.bands[4].description, scene.bands[4].encoding.offset) == ("K", "ST_B10", 149.0)
    with Scene.open(make_landsat(tmp_path / "1", size=10, level=1), extra=["thermal1"]) as scene:
        assert (scene.bands[4].unit, scene.bands[4].encoding.scale) == ("W/(m2 sr um)", 3.342e-4)


def test_landsat_tar_and_mtl_equal_the_folder(tmp_path: Path) -> None:
    folder = make_landsat(tmp_path / "a", size=20)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, file.name)
    (metadata,) = folder.glob("*_MTL.txt")
    with Scene.open(folder) as scene:
        expected = scene.read(Window(-2, 3, 9, 9), range(4))
        for name in (tmp_path / "a.tar", metadata):
            with Scene.open(name) as other:
                assert (other.bands, other.tags, other.name) == (scene.bands, scene.tags, folder.name)
                np.testing.assert_array_equal(other.read(Window(-2, 3, 9, 9), range(4))[0], expected[0])


def test_what_landsat_refuses(tmp_path: Path) -> None:
    folder = make_landsat(tmp_path, size=10)
    with pytest.raises(InputError, match="15 m grid of its own"):
        Scene.open(folder, extra=["pan"])
    with pytest.raises(InputError, match="has no rededge1 band"):
        Scene.open(folder, extra=["rededge1"])
    with pytest.raises(InputError, match="lists no file for cirrus"):
        Scene.open(folder, extra=["cirrus"])
    next(folder.glob("*_SR_B3.TIF")).unlink()
    with pytest.raises(InputError, match="green band listed in the MTL file is not there"):
        Scene.open(folder)
    metadata = next(folder.glob("*_MTL.txt"))
    text = metadata.read_text()
    metadata.write_text(text.replace("REFLECTANCE_MULT_BAND_2 = 2.75e-05", ""))
    with pytest.raises(InputError, match="REFLECTANCE_MULT_BAND_2 of LEVEL2_SURFACE_REFLECTANCE_PARAMETERS is missing"):
        Scene.open(folder)
    metadata.write_text(text.replace("OLI_TIRS", "MSS").replace("LANDSAT_8", "LANDSAT_5"))
    with pytest.raises(InputError, match="expected TM"):
        Scene.open(folder)
    metadata.write_text("GROUP = X\nEND_GROUP = X\nEND\n")
    with pytest.raises(InputError, match="Collection 2"):
        Scene.open(folder)


def test_the_user_may_rename_product_bands(safe: Path) -> None:
    with Scene.open(safe, roles={"r": 4, "nir": 3}) as scene:
        assert [band.role for band in scene.bands] == ["blue", "green", "nir", "red"]


def test_a_band_file_by_itself_keeps_the_products_encoding(safe: Path, tmp_path: Path) -> None:
    (file,) = safe.glob("GRANULE/*/IMG_DATA/R10m/*_B04_10m.jp2")
    with Scene.open(safe) as product, Scene.open(file) as scene:
        assert (scene.sensor, scene.bands[0].role) == ("sentinel-2", "red")
        assert scene.bands[0].encoding == product.bands[2].encoding
        assert scene.bands[0].stated
        assert not scene.read(Window(0, 0, 1, 1), [0])[1].any()
    for level in (1, 2):
        folder = make_landsat(tmp_path, level=level, size=10)
        with Scene.open(folder) as product, Scene.open(next(folder.glob("*_B5.TIF"))) as scene:
            assert (scene.sensor, scene.bands[0].role) == ("landsat-8", "nir")
            assert scene.bands[0].encoding == product.bands[3].encoding
            assert scene.bands[0].stated
    alone = Path(shutil.copy(file, tmp_path / file.name))
    with Scene.open(alone) as scene:
        assert scene.bands[0].encoding.offset == 0
        assert not scene.bands[0].stated


def test_so_does_a_band_file_in_an_archive_or_named_from_inside(safe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = safe.glob("GRANULE/*/IMG_DATA/R20m/*_B05_20m.jp2")
    archive = zip_folder(safe, tmp_path / "download.zip")
    monkeypatch.chdir(file.parent)
    for name in (file.name, f"/vsizip/{archive}/{file.relative_to(safe.parent).as_posix()}"):
        with Scene.open(name) as scene:
            assert (scene.bands[0].role, scene.bands[0].encoding.offset, scene.bands[0].stated) == ("rededge1", -0.1, True)
    folder = make_landsat(tmp_path, level=2, size=10)
    packed = zip_folder(folder, tmp_path / "landsat.zip")
    (band,) = folder.glob("*_SR_B4.TIF")
    with Scene.open(f"/vsizip/{packed}/{folder.name}/{band.name}") as scene:
        assert (scene.bands[0].role, scene.bands[0].encoding.offset, scene.bands[0].stated) == ("red", -0.2, True)


@pytest.mark.parametrize("level", [1, 2])
def test_a_thermal_band_file_by_itself_has_its_unit(tmp_path: Path, level: int) -> None:
    folder = make_landsat(tmp_path, level=level, size=10)
    with Scene.open(folder, extra=["thermal1"]) as product, Scene.open(next(folder.glob("*B10.TIF"))) as scene:
        assert (scene.bands[0].role, scene.bands[0].unit) == ("thermal1", product.bands[4].unit)
        assert scene.bands[0].encoding == product.bands[4].encoding


def test_a_20_m_band_is_blurred_by_its_own_pixels_or_by_the_finer_grid(safe: Path) -> None:
    (file,) = safe.glob("GRANULE/*/IMG_DATA/R20m/*_B05_20m.jp2")
    with Scene.open(file) as alone, Scene.open(safe, extra=["rededge1"]) as product:
        assert (alone.metres, product.metres) == (20.0, 10.0)
        assert (measure_blurs(alone)[0].sigma, measure_blurs(product)[4].sigma) == (1.6, 3.2)


def test_marks_of_products_by_themselves(safe: Path, tmp_path: Path) -> None:
    (granule,) = safe.glob("GRANULE/*")
    for name in ("IMG_DATA/R20m/T32UNE_20230625T061631_SCL_20m.jp2", "QI_DATA/MSK_DETFOO_B02.jp2"):
        file = tmp_path / granule.name / name
        write_jp2(file, pixels(20, 1), 20)
        with Scene.open(file) as scene:
            assert (scene.bands[0].role, scene.bands[0].marks, scene.bands[0].stated) == (None, True, False)


def test_a_tar_made_with_dots(tmp_path: Path) -> None:
    folder = make_landsat(tmp_path / "a", size=10)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(folder, ".")
    with Scene.open(tmp_path / "a.tar") as scene:
        assert scene.read(Window(0, 0, 10, 10), [0])[0].any()


def test_a_truncated_band_of_a_product_says_which_and_where(broken: Path) -> None:
    (file,) = broken.glob("GRANULE/*/IMG_DATA/R10m/*_B04_10m.jp2")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"_B04_10m\.jp2: rows 5 to 14, columns 0 to 19 cannot be read"), Scene.open(broken) as scene:
        scene.read(Window(5, 0, 10, 20), [0, 1, 2])


def test_a_product_from_before_december_2016(safe_l1c: Path, tmp_path: Path) -> None:
    old = tmp_path / "S2A_OPER_PRD_MSIL1C_PDMC_20160905T104813_R002_V20160905T005712_20160905T010424.SAFE"
    images = old / "GRANULE" / "S2A_OPER_MSI_L1C_TL_SGS__20160905T073438_A006291_T53HLA_N02.04" / "IMG_DATA"
    images.mkdir(parents=True)
    for file in safe_l1c.glob("GRANULE/*/IMG_DATA/*.jp2"):
        shutil.copy(file, images / f"S2A_OPER_MSI_L1C_TL_SGS__20160905T073438_A006291_T53HLA_{file.stem[-3:]}.jp2")
    text = (safe_l1c / "MTD_MSIL1C.xml").read_text()
    lists = text[text.index("<Radiometric_Offset_List>") : text.index("<Spectral_Information_List>")]
    (old / "S2A_OPER_MTD_SAFL1C_PDMC_20160905T104813_R002_V20160905T005712_20160905T010424.xml").write_text(text.replace(lists, ""))
    with Scene.open(old) as scene, Scene.open(safe_l1c) as new:
        assert [band.encoding.offset for band in scene.bands] == [0.0] * 4
        np.testing.assert_array_equal(scene.read(WHOLE, range(4))[0], new.read(WHOLE, range(4))[0])
