import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.env import get_gdal_config

from sr_geo.errors import OptionError, OutputError
from sr_geo.grid import TilePlan, Window, finer
from sr_geo.radiometry import Encoding
from sr_geo.raster.verify import check_blocks
from sr_geo.raster.write import CACHE, BandLabel, Look, block_cache, check_compression, creation_profile, pieces_of, write_image

ROTATED = Affine.translation(700000.0, 7200000.0) @ Affine.rotation(20.0) @ Affine.scale(30.0, -30.0)
UTM = CRS.from_epsg(32613)


def look(**changes: Any) -> Look:  # noqa: ANN401
    values: dict[str, Any] = {
        "bands": (BandLabel("Blue", "reflectance", "blue", Encoding(2.75e-5, -0.2)), BandLabel("NIR", "", "undefined", None)),
        "dtype": "uint16",
        "nodata": 0,
        "crs": UTM,
        "transform": Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4600000.0),
        "scale": 4,
        "tags": {"SR_GEO_MODEL": "tiny", "AREA_OR_POINT": "Area"},
    }
    return Look(**(values | changes))


def picture(height: int, width: int, dtype: str = "uint16", bands: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    low = 0 if dtype.startswith("u") else -100
    return (rng.random((bands, 4 * height, 4 * width)) * 200 + low).astype(dtype)


def pieces(image: np.ndarray, tile: int, valid: np.ndarray | None = None) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    for window in TilePlan(image.shape[1] // 4, image.shape[2] // 4, tile):
        inside = window.scaled(4).slices()
        mask = np.ones(window.scaled(4).shape, bool) if valid is None else valid[inside]
        yield window, image[(slice(None), *inside)], mask


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 255), ("uint8", None), ("int8", -128), ("uint16", 0), ("int16", -9999), ("uint32", 0), ("int32", -1),
        ("float32", float("nan")), ("float32", -9999.0), ("float64", -1e300), ("int64", None),
    ],
)  # fmt: skip
def test_what_was_written_is_read(tmp_path: Path, dtype: str, nodata: float | None, cog: bool) -> None:
    path = tmp_path / "out.tif"
    image = picture(30, 21, dtype)
    chosen = look(dtype=dtype, nodata=nodata, cog=cog)
    write_image(path, chosen, Window(0, 0, 30, 21), pieces(image, 8), masked=False)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), image)
        assert dataset.dtypes == (dtype, dtype)
        np.testing.assert_array_equal(dataset.nodata, nodata)
        assert dataset.crs == UTM
        assert dataset.transform == finer(chosen.transform, 4)
        assert dataset.descriptions == ("Blue", "NIR")
        assert dataset.units == ("reflectance", None)
        assert dataset.colorinterp == (ColorInterp.blue, ColorInterp.undefined)
        assert dataset.scales == (2.75e-5, 1.0)
        assert dataset.offsets == (-0.2, 0.0)
        assert dataset.tags()["SR_GEO_MODEL"] == "tiny"
        assert dataset.block_shapes[0] == (512, 512)
    assert os.listdir(tmp_path) == ["out.tif"]  # noqa: PTH208


@pytest.mark.parametrize("transform", [ROTATED, Affine(10.0, 0.0, 5e5, 0.0, 10.0, 4e6)])
@pytest.mark.parametrize("crs", [UTM, None])
def test_a_window_lies_where_it_lay(tmp_path: Path, transform: Affine, crs: CRS | None) -> None:
    path = tmp_path / "out.tif"
    image = picture(20, 24)
    window = Window(3, 5, 11, 9)
    write_image(path, look(transform=transform, crs=crs), window, pieces(image, 8), masked=False)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), image[:, 12:56, 20:56])
        for corner in ((0, 0), (44, 36)):
            ground = transform @ (5 + corner[1] / 4, 3 + corner[0] / 4)
            assert dataset.transform @ (corner[1], corner[0]) == pytest.approx(ground, rel=1e-12)
        assert dataset.crs == crs


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("nodata", [7, None, float("nan"), -1e300])
def test_what_no_tile_covers_is_nodata(tmp_path: Path, dtype: str, nodata: float | None) -> None:
    path = tmp_path / "out.tif"
    image = picture(16, 16, dtype) + 8
    write_image(path, look(nodata=nodata, dtype=dtype), Window(0, 0, 16, 16), list(pieces(image, 8))[:3].__iter__(), masked=nodata is None)
    with rasterio.open(path) as dataset:
        assert (dataset.read()[:, :32] == image[:, :32]).all()
        if nodata is None or nodata == 7:
            assert (dataset.read_masks(1)[32:, 32:] == 0).all()
        assert (dataset.read_masks(1)[:32] == 255).all()


@pytest.mark.parametrize("cog", [False, True])
def test_holes_without_nodata_go_into_a_mask(tmp_path: Path, cog: bool) -> None:
    path = tmp_path / "out.tif"
    image = picture(20, 20)
    valid = np.random.default_rng(1).random((80, 80)) < 0.5
    write_image(path, look(nodata=None, cog=cog), Window(0, 0, 20, 20), pieces(image, 7, valid), masked=True)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read_masks(1) > 0, valid)
    assert os.listdir(tmp_path) == ["out.tif"]  # noqa: PTH208


@pytest.mark.parametrize("cog", [False, True])
def test_the_same_pixels_give_the_same_bytes(tmp_path: Path, cog: bool) -> None:
    image = picture(150, 140)
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / name, look(cog=cog), Window(0, 0, 150, 140), pieces(image, 128), masked=False)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_cog_is_valid_and_has_overviews(tmp_path: Path) -> None:
    from rio_cogeo import cog_validate

    path = tmp_path / "out.tif"
    write_image(path, look(cog=True), Window(0, 0, 150, 140), pieces(picture(150, 140), 128), masked=False)
    valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(path) as dataset:
        assert dataset.overviews(1) == [2]


def test_what_a_cog_is_made_from_takes_no_room_where_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parcels far from each other: most of the extent is nodata."""
    sizes: list[int] = []
    copy = rasterio.shutil.copy

    def spy(source: Path, *arguments: Any, **more: Any) -> None:  # noqa: ANN401
        sizes.append(Path(source).stat().st_size)
        copy(source, *arguments, **more)

    monkeypatch.setattr("sr_geo.raster.write.gdal_copy", spy)
    image = picture(128, 128)
    write_image(tmp_path / "out.tif", look(cog=True), Window(0, 0, 1024, 1024), iter([next(pieces(image, 128))]), masked=False)
    assert image.nbytes <= sizes[0] < 1.1 * image.nbytes
    with rasterio.open(tmp_path / "out.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(window=rasterio.windows.Window(0, 0, 512, 512)), image)
        assert not dataset.read(window=rasterio.windows.Window(512, 512, 512, 512)).any()


@pytest.mark.parametrize("cog", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw", "none"])
def test_every_compression_gives_the_pixels_back(tmp_path: Path, compress: str, dtype: str, cog: bool) -> None:
    check_compression(compress)
    path = tmp_path / "out.tif"
    image = picture(30, 21, dtype)
    write_image(path, look(dtype=dtype, compress=compress, cog=cog), Window(0, 0, 30, 21), pieces(image, 8), masked=False)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), image)
        assert dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none").lower() == compress
        assert dataset.tags(ns="IMAGE_STRUCTURE").get("PREDICTOR") == (None if compress == "none" else "3" if dtype == "float32" else "2")


@pytest.mark.parametrize("compress", ["jxl", "jpeg3000"])
def test_a_compression_that_gdal_lacks_is_refused(compress: str) -> None:
    with pytest.raises(OptionError, match=rf"^compress {compress}: the GDAL on this machine cannot write it; choose deflate$"):
        check_compression(compress)


def broken(image: np.ndarray, error: BaseException) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    yield next(pieces(image, 8))
    raise error


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_text("old", encoding="utf-8")
    image = picture(16, 16)
    with pytest.raises(OutputError, match="disk is full"):
        write_image(path, look(), Window(0, 0, 16, 16), broken(image, OSError(errno.ENOSPC, "No space left")), masked=False)
    for cog in (False, True):
        with pytest.raises(KeyboardInterrupt):
            write_image(path, look(cog=cog), Window(0, 0, 16, 16), broken(image, KeyboardInterrupt()), masked=False)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["out.tif"]  # noqa: PTH208


@pytest.fixture(params=[4, 40, 700, 1100, 1500])
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of so many kilobytes."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", tmp_path], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small file system cannot be mounted without root")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a small file system cannot be mounted without root")
@pytest.mark.parametrize(("side", "cog"), [(30, False), (128, False), (128, True)])
def test_a_full_disk_is_noticed_even_while_closing(small_disk: Path, side: int, cog: bool) -> None:
    path = small_disk / "out.tif"
    image = np.random.default_rng(0).integers(1, 65535, (2, 4 * side, 4 * side)).astype("uint16")
    try:
        write_image(path, look(cog=cog), Window(0, 0, side, side), pieces(image, 128), masked=False)
    except OutputError as error:
        assert "full" in str(error)  # noqa: PT017
        assert os.listdir(small_disk) == []  # noqa: PTH208
    else:
        with rasterio.open(path) as dataset:
            np.testing.assert_array_equal(dataset.read(), image)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a small file system cannot be mounted without root")
@pytest.mark.parametrize("freed_at", [1, 5, 8])
@pytest.mark.parametrize("bands", [2, 5])
def test_room_that_comes_back_too_late_is_no_help(tmp_path: Path, freed_at: int, bands: int) -> None:
    """A block is lost while the disk is full, and all that follows fits."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", tmp_path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted without root")
    try:
        image = np.random.default_rng(0).integers(1, 65535, (bands, 1536, 1536)).astype("uint16")
        (tmp_path / "other").write_bytes(bytes(64 * 2**20 - 300_000))

        def freeing() -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
            for number, piece in enumerate(pieces(image, 128)):
                if number == freed_at:
                    (tmp_path / "other").unlink()
                yield piece

        chosen = look(bands=(BandLabel(),) * bands)
        with rasterio.Env(GDAL_CACHEMAX=2**20), pytest.raises(OutputError, match="cannot be written"):
            write_image(tmp_path / "out.tif", chosen, Window(0, 0, 384, 384), freeing(), masked=False)
        assert not (tmp_path / "out.tif").exists()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_file_with_a_block_beyond_its_end_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    write_image(path, look(), Window(0, 0, 150, 140), pieces(picture(150, 140), 128), masked=False)
    check_blocks(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(OSError, match="not written whole"):
        check_blocks(path)


@pytest.mark.parametrize(
    ("dtype", "nodata", "hole"), [("uint8", None, 0), ("uint8", -1, 0), ("uint16", float("nan"), 0), ("int16", -5, -5)]
)
def test_outside_the_parcels_is_nodata(dtype: str, nodata: float | None, hole: int) -> None:
    image = picture(2, 3, dtype) + 1
    valid = np.ones((2, 2, 3), bool)
    valid[1, 0, 0] = False
    keep = np.zeros((8, 12), bool)
    keep[:, :6] = True
    [(_, out, mask)] = pieces_of(iter([(Window(5, 6, 2, 3), image, valid)]), lambda window: keep, nodata=nodata, scale=4)
    assert (out[:, ~keep] == hole).all()
    assert not mask[:4, :4].any()
    np.testing.assert_array_equal(mask[4:], keep[4:])


def test_files_beyond_four_gigabytes(tmp_path: Path) -> None:
    """Nothing but the place of the blocks is written."""
    path = tmp_path / "big.tif"
    window = Window(0, 0, 9000, 9000)
    profile = creation_profile(look(), window)
    assert profile["height"] * profile["width"] * profile["count"] * 2 > 2**32
    pixels = picture(16, 16)
    with rasterio.open(path, "w", SPARSE_OK=True, **profile) as dataset:
        dataset.write(pixels, window=rasterio.windows.Window(35936, 35936, 64, 64))
    assert path.read_bytes()[:4] == b"II+\0"  # BigTIFF
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(window=rasterio.windows.Window(35936, 35936, 64, 64)), pixels)
    assert creation_profile(look(cog=True), window)["BIGTIFF"] == profile["BIGTIFF"]


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_the_cache_holds_a_tile_and_is_given_back(dtype: str) -> None:
    before = get_gdal_config("GDAL_CACHEMAX")
    for around in ({}, {"GDAL_CACHEMAX": 300 * 2**20}):
        with rasterio.Env(**around):
            outside = get_gdal_config("GDAL_CACHEMAX")
            with block_cache(384, scale=4, bands=4, dtype=dtype):
                assert CACHE <= get_gdal_config("GDAL_CACHEMAX") <= 160 * 2**20
            with block_cache(1024, scale=4, bands=4, dtype=dtype), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                assert get_gdal_config("GDAL_CACHEMAX") >= 4 * 4096**2 * np.dtype(dtype).itemsize
            with pytest.raises(KeyError), block_cache(16, scale=4, bands=1, dtype=dtype):
                raise KeyError
            assert get_gdal_config("GDAL_CACHEMAX") == outside
    assert get_gdal_config("GDAL_CACHEMAX") == before
