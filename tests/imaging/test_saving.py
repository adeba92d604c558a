from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from sr_geo.errors import OutputError
from sr_geo.imaging import tiff
from sr_geo.imaging.about import About
from sr_geo.imaging.opening import open_picture
from sr_geo.imaging.saving import Saving
from sr_geo.imaging.unpacking import Pixels
from sr_geo.raster.dataset import placed_or_not

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CAMERA = {0x829A: IFDRational(1, 250), 0x9003: "2026:11:23 10:00:00"}
PLACE = {1: "N", 2: tuple(IFDRational(halves, 2) for halves in (100, 61, 0))}
ABOUT = About({0x010F: "A maker", 0x8298: "© somebody", 0x8769: CAMERA, 0x8825: PLACE}, PROFILE, (100.0, 200.0))


def smooth(height: int, width: int, bands: int, dtype: str) -> Pixels:
    top = np.iinfo(dtype).max
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [0.5 + 0.5 * np.sin(rows / (5.0 + band) + columns / (9.0 - band)) for band in range(bands)]
    pixels: Pixels = np.rint(np.stack(planes, -1) * top).astype(dtype)
    return pixels


def save(path: Path, pixels: Pixels, about: About = ABOUT) -> None:
    saving = Saving(path, pixels.shape, str(pixels.dtype), alpha=pixels.shape[2] in (2, 4))
    saving.check()
    with saving.open(about, scale=4, software="SR Geo test", remark="No evidence.") as writer:
        for first in range(0, len(pixels), 32):
            writer.rows(pixels[first : first + 32])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_gdal_reads_what_was_written(tmp_path: Path, ending: str, bands: int, dtype: str) -> None:
    pixels = smooth(75, 41, bands, dtype)
    path = tmp_path / f"out.{ending}"
    save(path, pixels)
    with placed_or_not(), rasterio.open(path) as dataset:
        assert dataset.dtypes[0] == dtype
        assert (dataset.colorinterp[-1].name == "alpha") == (bands in (2, 4))
        np.testing.assert_array_equal(dataset.read().transpose(1, 2, 0), pixels)


@pytest.mark.parametrize("big", [False, True])
def test_pillow_reads_the_tiff_too(tmp_path: Path, big: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_CLASSIC", 0 if big else 10**9)
    pixels = smooth(50, 33, 3, "uint8")
    save(tmp_path / "out.tif", pixels)
    assert (tmp_path / "out.tif").read_bytes()[2] == (43 if big else 42)
    with Image.open(tmp_path / "out.tif") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("ending", ["png", "tif", "jpg", "webp"])
def test_what_the_picture_says_of_itself_is_kept(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out.{ending}"
    save(path, smooth(64, 48, 3, "uint8"))
    with Image.open(path) as image:
        image.load()
        exif, info = image.getexif(), image.info
    assert exif[0x010F] == "A maker"
    assert "no evidence" in exif[0x0131].lower()
    assert exif.get(0x0112, 1) == 1
    camera, place = exif.get_ifd(0x8769), exif.get_ifd(0x8825)
    assert float(camera[0x829A]) == pytest.approx(1 / 250)
    assert (camera[0xA002], camera[0xA003]) == (48, 64)
    assert [float(part) for part in place[2]] == [50.0, 30.5, 0.0]
    assert info["icc_profile"] == PROFILE
    if ending != "webp":  # has no resolution of its own
        assert [round(float(value)) for value in info["dpi"]] == [400, 800]


def test_what_was_written_can_be_opened_again(tmp_path: Path) -> None:
    pixels = smooth(40, 30, 4, "uint16")
    save(tmp_path / "once.tif", pixels)
    picture = open_picture(tmp_path / "once.tif")
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.alpha
    assert picture.about.exif[0x8769][0x9003] == "2026:11:23 10:00:00"


def test_jpeg_keeps_colours_sharp(tmp_path: Path) -> None:
    pixels = smooth(64, 48, 3, "uint8")
    save(tmp_path / "out.jpg", pixels)
    with Image.open(tmp_path / "out.jpg") as image:
        assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 1.5


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "words"),
    [
        ("out.jpg", (8, 8, 4), "uint8", "transparent"),
        ("out.jpg", (8, 8, 3), "uint16", "16 bits"),
        ("out.webp", (8, 8, 3), "uint16", "16 bits"),
        ("out.jpg", (80_000, 80_000, 3), "uint8", "80000 × 80000"),
        ("out.webp", (20_000, 10, 3), "uint8", "10 × 20000"),
        ("out.gif", (8, 8, 3), "uint8", r"expected \.png"),
        ("out", (8, 8, 3), "uint8", r"expected \.png"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, name: str, shape: tuple[int, int, int], dtype: str, words: str) -> None:
    with pytest.raises(OutputError, match=words):
        Saving(tmp_path / name, shape, dtype, alpha=shape[2] == 4).check()


@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_nothing_is_left_when_a_run_fails(tmp_path: Path, ending: str) -> None:
    def fail() -> None:
        with Saving(tmp_path / f"out.{ending}", (64, 8, 3), "uint8", alpha=False).open(ABOUT, scale=4, software="", remark="") as writer:
            writer.rows(np.zeros((32, 8, 3), np.uint8))
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail()
    assert not list(tmp_path.iterdir())


def test_exif_that_cannot_be_written_is_left_away(tmp_path: Path) -> None:
    odd: dict[int, Any] = {0x010F: object()}
    with pytest.warns(UserWarning, match="EXIF"):
        save(tmp_path / "out.png", smooth(16, 16, 3, "uint8"), About(odd, None, None))
    with Image.open(tmp_path / "out.png") as image:
        assert 0x010F not in image.getexif()
