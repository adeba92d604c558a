import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from sr_geo import resample
from sr_geo.errors import ModelError, OutputError
from sr_geo.imaging import photo, unpacking
from sr_geo.imaging.enlarge import Enlarger, Interpolator
from sr_geo.imaging.opening import Picture, open_picture
from sr_geo.imaging.photo import enlarge_photo, save_enlarged
from sr_geo.imaging.reduction import Bicubic
from sr_geo.imaging.shot import overview

REMARK = "Nobody measured it."


def waves(height: int, width: int, bands: int) -> np.ndarray:  # type: ignore[type-arg]
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [127.5 + 100 * np.sin(rows / (3.0 + band)) * np.cos(columns / (4.0 + band)) for band in range(bands)]
    return np.rint(np.stack(planes, -1)).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_the_file_is_the_networks_result_rounded(tmp_path: Path, enlarger: Enlarger, ending: str) -> None:
    pixels = waves(45, 70, 3)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    done = enlarge_photo(tmp_path / "in.png", tmp_path / f"out.{ending}", replace(enlarger, tile=32), remark=REMARK)
    assert (done.before, done.after, done.tiles) == ((45, 70), (180, 280), 6)
    expected = enlarger(pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    written = open_picture(tmp_path / f"out.{ending}").pixels
    difference = np.abs(written.transpose(2, 0, 1) - np.clip(expected, 0, 1) * 255)
    assert difference.max() < 0.51


def test_the_result_does_not_depend_on_strips(tmp_path: Path, enlarger: Enlarger, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(waves(140, 90, 4)).save(tmp_path / "in.png")
    held = replace(enlarger, optics=Bicubic())
    enlarge_photo(tmp_path / "in.png", tmp_path / "wide.png", held, remark=REMARK)
    monkeypatch.setattr(photo, "_STRIP_BYTES", 1000)
    enlarge_photo(tmp_path / "in.png", tmp_path / "narrow.png", held, remark=REMARK)
    wide, narrow = (open_picture(tmp_path / f"{name}.png").pixels.astype(int) for name in ("wide", "narrow"))
    assert np.abs(wide - narrow).max() <= 1


def test_opacity_is_interpolated_and_hidden_colours_stay_hidden(tmp_path: Path, enlarger: Enlarger) -> None:
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[..., :3] = (200, 100, 50)
    pixels[:, 12:, :3] = (0, 255, 0)  # of pixels that cannot be seen
    pixels[:, :12, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "in.png")
    enlarge_photo(tmp_path / "in.png", tmp_path / "out.png", enlarger, remark=REMARK)
    fine = open_picture(tmp_path / "out.png").pixels
    around = np.pad(pixels[..., 3] / np.float32(255), 2, mode="symmetric").astype(np.float32)
    np.testing.assert_allclose(fine[..., 3], np.clip(resample.cubic(around, 4), 0, 1) * 255, atol=0.51)
    assert np.ptp(fine[..., :3].reshape(-1, 3), axis=0).max() <= 1


def test_sixteen_bits_in_sixteen_bits_out(tmp_path: Path, enlarger: Enlarger) -> None:
    ramp = np.linspace(20_000, 21_000, 40).astype(np.uint16)[None].repeat(32, axis=0)  # four levels of 8 bits
    Image.fromarray(ramp).save(tmp_path / "in.png")
    enlarge_photo(tmp_path / "in.png", tmp_path / "out.tif", enlarger, remark=REMARK)
    fine = open_picture(tmp_path / "out.tif").pixels
    assert fine.dtype == np.uint16
    assert len(np.unique(fine)) > 100


def test_profile_exif_and_resolution_come_along(tmp_path: Path, enlarger: Enlarger) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "A maker", 6
    thumbnail = b"\xff\xd8thumbnail\xff\xd9"
    camera = exif.get_ifd(0x8769)
    camera[0x927C], camera[0x9003] = thumbnail, "2026:11:23 10:00:00"
    camera[0xA20E], camera[0x9214] = IFDRational(4000, 1), (15, 10, 4, 4)  # sensor's pixels a unit, subject's place: of the old pixels
    profile = b"not a real profile, but kept as it is" * 10
    Image.fromarray(waves(20, 30, 3)).save(tmp_path / "in.jpg", exif=exif, icc_profile=profile, dpi=(72, 72), quality=95)
    assert thumbnail in (tmp_path / "in.jpg").read_bytes()
    enlarge_photo(tmp_path / "in.jpg", tmp_path / "out.jpg", enlarger, remark=REMARK)
    content = (tmp_path / "out.jpg").read_bytes()
    assert thumbnail not in content
    assert REMARK.encode() in content
    with Image.open(tmp_path / "out.jpg") as image:
        assert image.size == (80, 120)  # upright
        assert image.info["icc_profile"] == profile
        assert image.getexif()[0x010F] == "A maker"
        assert image.getexif()[0x0112] == 1
        assert set(image.getexif().get_ifd(0x8769)) == {0x9003, 0xA002, 0xA003}
        assert round(image.info["dpi"][0]) == 288


@pytest.mark.slow
def test_memory_does_not_grow_with_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpolated, since what is asked is what happens around the network."""
    monkeypatch.setattr(unpacking, "IN_MEMORY", 10_000)
    monkeypatch.setattr(photo, "_STRIP_BYTES", 500_000)
    peaks = []
    for height in (300, 3000):
        Image.fromarray(waves(height, 300, 3)).save(tmp_path / "in.png")
        picture = open_picture(tmp_path / "in.png")
        tracemalloc.start()
        save_enlarged(picture, tmp_path / f"out{height}.tif", Interpolator(tile=64), made_by="", remark=REMARK)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_refusals_come_before_the_work(tmp_path: Path, enlarger: Enlarger) -> None:
    Image.fromarray(waves(20, 30, 4)).save(tmp_path / "clear.png")
    with pytest.raises(OutputError, match="transparent"):
        enlarge_photo(tmp_path / "clear.png", tmp_path / "out.jpg", enlarger, remark=REMARK)
    assert not (tmp_path / "out.jpg").exists()


def test_a_network_that_breaks_leaves_no_file(tmp_path: Path, enlarger: Enlarger, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(waves(20, 30, 3)).save(tmp_path / "in.png")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory\non the card")

    monkeypatch.setattr(enlarger.upscaler, "run", broken)
    with pytest.raises(ModelError, match="out of memory on the card"):
        enlarge_photo(tmp_path / "in.png", tmp_path / "out.png", enlarger, remark=REMARK)
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_an_overview_is_the_mean_over_squares(tmp_path: Path) -> None:
    pixels = waves(61, 90, 3)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    picture: Picture = open_picture(tmp_path / "in.png")
    small, side = overview(picture, 30)
    assert side == 3
    expected = pixels[:60].reshape(20, 3, 30, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small, expected, atol=0.51)
    assert overview(picture, 1000)[1] == 1
