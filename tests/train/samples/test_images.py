"""Pictures of every depth arrive as 0…1, only those of the split, and what is no picture is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_geo.errors import TrainingDataError
from sr_geo.grid import Window
from sr_geo.train.samples.decoded import LUMA, Decoded, Shelf
from sr_geo.train.samples.images import decode_image, open_images
from sr_geo.train.samples.sections import ImageSource
from tests.train.samples.rasters import write_raster

RGB = ("red", "green", "blue")


def source(*files: str, **more: object) -> ImageSource:
    return ImageSource.model_validate({"name": "s", "kind": "images", "files": files or ["*"], "licence": "CC0", **more})


def colours(side: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side + 8, 3)).astype(np.uint8)


def test_eight_bits_are_over_255_and_sixteen_over_65535(tmp_path: Path) -> None:
    pixels = colours()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    deep = pixels.astype(np.uint16) * 257 + 1
    deep[deep > 60000] = 60000
    write_raster(tmp_path / "b.tif", deep.transpose(2, 0, 1), photometric="RGB")
    Image.fromarray(deep[..., 0]).save(tmp_path / "c.png")
    (a, b, c), skipped = open_images(source(), tmp_path, RGB, size=16)
    assert not skipped
    everything = Window(0, 0, 40, 48)
    np.testing.assert_allclose(a.read(everything), pixels.transpose(2, 0, 1) / 255, atol=1e-6)
    np.testing.assert_allclose(b.read(everything), deep.transpose(2, 0, 1) / 65535, atol=1e-6)
    np.testing.assert_allclose(c.read(everything), np.stack([deep[..., 0] / 65535] * 3), atol=1e-6)


def test_sixteen_bit_colour_keeps_its_depth_in_png(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (3, 40, 40)).astype(np.uint16)
    write_raster(tmp_path / "a.tif", deep)
    import rasterio

    with rasterio.open(tmp_path / "a.tif") as dataset:
        from rasterio.shutil import copy

        copy(dataset, tmp_path / "a.png", driver="PNG", WORLDFILE="NO")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png", 0).pixels, deep)


def test_gray_from_colour_is_luma_and_colour_from_gray_three_copies(tmp_path: Path) -> None:
    pixels = colours()
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "gray.png")
    window = Window(2, 3, 16, 20)
    ((picture,), _) = open_images(source("colour.png"), tmp_path, ("gray",), size=16)
    np.testing.assert_allclose(picture.read(window)[0], pixels[2:18, 3:23] @ LUMA / 255, atol=1e-6)
    ((picture,), _) = open_images(source("gray.png"), tmp_path, ("blue", "red"), size=16)
    read = picture.read(window)
    assert read.shape == (2, 16, 20)
    np.testing.assert_array_equal(read[0], read[1])


def test_bands_come_in_the_order_of_the_model(tmp_path: Path) -> None:
    pixels = colours()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ((picture,), _) = open_images(source(), tmp_path, ("blue", "green", "red"), size=16)
    np.testing.assert_allclose(picture.read(Window(0, 0, 8, 8))[0], pixels[:8, :8, 2] / 255, atol=1e-6)


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "1", "CMYK"])
def test_every_mode_of_a_picture_is_read(tmp_path: Path, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.fromarray(colours()).convert(mode).save(tmp_path / f"a.{suffix}")
    decoded = decode_image(tmp_path / f"a.{suffix}", 0)
    assert decoded.pixels.shape == (1 if mode in {"LA", "1"} else 3, 40, 48)
    assert decoded.pixels.dtype == np.uint8


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # taken with the camera on its side
    Image.fromarray(colours()).save(tmp_path / "a.png", exif=exif)
    assert decode_image(tmp_path / "a.png", 0).pixels.shape == (3, 48, 40)


def test_what_is_no_picture_is_left_out_with_the_reason(tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "good.png")
    Image.fromarray(colours(12)).save(tmp_path / "small.png")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:500])
    write_raster(tmp_path / "signed.tif", np.zeros((1, 40, 40), np.int16))
    pictures, skipped = open_images(source(), tmp_path, RGB, size=16)
    assert [picture.path.name for picture in pictures] == ["good.png"]
    reasons = {left.path.name: left.reason for left in skipped}
    assert set(reasons) == {"small.png", "notes.txt", "cut.png", "signed.tif"}
    assert "12 × 20" in reasons["small.png"]
    assert "int16" in reasons["signed.tif"]
    with pytest.raises(TrainingDataError, match=r"none of 1 file\(s\) can be used; .*notes.txt"):
        open_images(source("notes.txt"), tmp_path, RGB, size=16)


def test_pictures_have_no_infrared(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"\[gray\] or \[red, green, blue\]"):
        open_images(source(), tmp_path, ("red", "nir"), size=16)


def test_the_shelf_holds_its_budget_and_the_newest(tmp_path: Path) -> None:
    shelf, decoded = Shelf(2500), []

    def decode(path: Path, frame: int) -> Decoded:
        decoded.append(frame)
        return Decoded(np.zeros((1, 10, 100), np.uint8), 0.0, 255.0)

    for frame in (0, 1, 0, 2, 0, 1):
        shelf.take(tmp_path, frame, decode)
    assert decoded == [0, 1, 2, 1]


def test_a_reduced_picture_shows_more_of_the_same_in_as_many_pixels(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:96, 0:128]
    Image.fromarray(np.stack([rows * 2, columns * 2, rows * 0 + 77], -1).astype(np.uint8)).save(tmp_path / "a.png")
    ((picture,), _) = open_images(source(reduced=[1, 4]), tmp_path, RGB, size=32)
    patches = [picture.draw(32, np.random.default_rng(seed)) for seed in range(40)]
    # A ramp of two levels a pixel spans 2 · 31 levels at full size, 3 times as much where all of the height is in a sample.
    spans = [np.ptp(patch.hr[:2], axis=(1, 2)) * 255 / 62 for patch in patches if patch is not None]
    assert len(spans) == 40
    assert min(min(span) for span in spans) >= 0.95
    assert 2.5 < max(max(span) for span in spans) < 3.1
    assert all(abs(patch.hr[2].mean() * 255 - 77) < 0.01 for patch in patches if patch is not None)
    ((whole,), _) = open_images(source(reduced=[3, 3]), tmp_path, RGB, size=32)
    (piece,) = whole.held_out(512, 4)
    assert piece.hr.shape == (3, 32, 40)  # 128 / 3 = 42 columns, of which 40 fill input pixels
    np.testing.assert_allclose(piece.hr[0, 1:-1, 5] * 255, (np.arange(32) * 3 + 1)[1:-1] * 2, atol=0.3)


def test_pictures_too_small_to_be_reduced_so_far_are_left_out(tmp_path: Path) -> None:
    Image.fromarray(colours(40)).save(tmp_path / "a.png")
    Image.fromarray(colours(70)).save(tmp_path / "b.png")
    pictures, skipped = open_images(source(reduced=[2, 8]), tmp_path, RGB, size=32)
    assert [picture.path.name for picture in pictures] == ["b.png"]
    assert "samples take 64 × 64" in skipped[0].reason
    drawn = pictures[0].draw(32, np.random.default_rng(0))
    assert drawn is not None
    assert drawn.hr.shape == (3, 32, 32)
    with pytest.raises(ValueError, match="1 ≤ low ≤ high"):
        source(reduced=[0.5, 2])
