import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image, ImageCms, ImageOps

from sr_geo.errors import InputError, PictureWarning
from sr_geo.grid import Window
from sr_geo.imaging import unpacking
from sr_geo.imaging.opening import open_picture
from sr_geo.raster.dataset import placed_or_not


def noise(*shape: int, top: int = 256, seed: int = 3) -> Any:  # noqa: ANN401 - pixels
    return np.random.default_rng(seed).integers(0, top, shape, np.uint8 if top == 256 else np.uint16)


def whole(width: int, height: int) -> Window:
    return Window(0, 0, height, width)


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """A PNG's header, and whatever stands for its pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "ppm", "webp", "jp2"])
def test_pixels_come_as_they_are(tmp_path: Path, ending: str) -> None:
    pixels = noise(14, 17, 3)
    path = tmp_path / f"photo.{ending}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if ending == "webp" else {}))
    picture = open_picture(path)
    assert (picture.height, picture.width, picture.bands, picture.alpha) == (14, 17, 3, False)
    np.testing.assert_array_equal(picture.pixels, pixels)
    np.testing.assert_allclose(picture.read(Window(2, 3, 5, 4)), pixels[2:7, 3:7].transpose(2, 0, 1) / 255, atol=1e-6)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_sixteen_bits_stay_sixteen(tmp_path: Path, ending: str, bands: int) -> None:
    pixels = noise(14, 17, bands, top=65536)
    path = tmp_path / f"deep.{ending}"
    more = {} if ending == "png" else {"photometric": "rgb" if bands > 1 else "minisblack"} | ({"alpha": "yes"} if bands == 4 else {})
    kind = {"driver": "PNG" if ending == "png" else "GTiff", "height": 14, "width": 17, "count": bands, "dtype": "uint16"}
    with placed_or_not(), rasterio.open(path, "w", **kind, **more) as out:
        out.write(pixels.transpose(2, 0, 1))
    picture = open_picture(path)
    assert picture.alpha == (bands == 4)
    assert picture.top == 65535
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    image = Image.fromarray(noise(14, 17, 3))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    path = tmp_path / f"turned.{ending}"
    image.save(path, exif=exif, dpi=(100, 200))
    picture = open_picture(path)
    np.testing.assert_array_equal(picture.pixels, expected)
    across, down = picture.about.dots or (0.0, 0.0)
    assert (round(across), round(down)) == ((200, 100) if orientation >= 5 else (100, 200))


@pytest.mark.parametrize(
    ("mode", "bands", "alpha"), [("1", 1, False), ("L", 1, False), ("LA", 1, True), ("P", 3, False), ("RGB", 3, False), ("RGBA", 3, True)]
)
def test_kinds_of_pixels(tmp_path: Path, mode: str, bands: int, alpha: bool) -> None:
    plain = Image.fromarray(noise(14, 17, 4))
    image = plain.convert("RGB").convert(mode) if mode == "P" else plain.convert(mode)
    path = tmp_path / "kind.png"
    image.save(path)
    picture = open_picture(path)
    assert (picture.bands, picture.alpha) == (bands, alpha)
    expected = np.asarray(image.convert("L" if mode == "1" else "RGB" if mode == "P" else mode))
    np.testing.assert_array_equal(picture.pixels, expected.reshape(14, 17, -1))


@pytest.mark.parametrize(("mode", "clear"), [("P", 5), ("L", 77), ("RGB", (10, 20, 30))])
def test_a_transparent_colour_becomes_opacity(tmp_path: Path, mode: str, clear: Any) -> None:  # noqa: ANN401 - as in Pillow
    image = Image.new(mode, (6, 5), clear)
    if mode == "P":
        image.putpalette(list(range(60)))
    image.putpixel((2, 1), 9 if mode in "PL" else (1, 2, 3))
    path = tmp_path / "clear.png"
    image.save(path, transparency=clear)
    picture = open_picture(path)
    assert picture.alpha
    opaque = picture.opacity(whole(6, 5))
    assert opaque[1, 2] == 1.0
    assert opaque.sum() == 1.0


def test_what_is_transparent_takes_the_colour_beside_it(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (200, 100, 50, 255)
    pixels[:, 4:] = (0, 255, 0, 0)  # green that nobody was meant to see
    Image.fromarray(pixels).save(tmp_path / "edge.png")
    values = open_picture(tmp_path / "edge.png").read(whole(8, 8))
    np.testing.assert_allclose(values, np.broadcast_to(np.array([[[200]], [[100]], [[50]]]) / 255, (3, 8, 8)), atol=1e-6)


def test_inks_are_refused_without_a_profile_and_converted_with_one(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    inks.save(tmp_path / "bare.jpg")
    with pytest.raises(InputError, match="CMYK without a colour profile"):
        open_picture(tmp_path / "bare.jpg")
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "odd.png")
    inks.save(tmp_path / "odd.tif", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    with pytest.raises(InputError, match="CMYK with a colour profile that cannot be used"):
        open_picture(tmp_path / "odd.tif")


def inks_profile() -> bytes:
    """The least that a colour profile of inks can be: paper white, black ink black, in between straight."""
    steps = bytes(range(256))
    corners = b"".join(
        bytes([0 if black else 255 - 60 * (cyan + magenta + yellow), 128, 128])
        for cyan in (0, 1) for magenta in (0, 1) for yellow in (0, 1) for black in (0, 1)
    )  # fmt: skip
    identity = struct.pack(">9i", *(65536 * (place % 4 == 0) for place in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + steps * 4 + corners + steps * 3
    table += bytes(-len(table) % 4)
    tags = {
        b"A2B0": table,
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(78) + bytes(1),
        b"cprt": b"text" + bytes(4) + b"none\0" + bytes(3),
    }
    places, body = [], b""
    for name, content in tags.items():
        places.append(name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content)))
        body += content
    listing = struct.pack(">I", len(tags)) + b"".join(places)
    size = 128 + len(listing) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ") + bytes(12) + b"acsp"
    header += bytes(128 - len(header) - 60) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return header + listing + body


def test_inks_with_a_profile_become_colours(tmp_path: Path) -> None:
    inks = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    inks.paste((0, 0, 0, 255), (4, 0, 8, 8))
    inks.save(tmp_path / "inks.tif", icc_profile=inks_profile())
    picture = open_picture(tmp_path / "inks.tif")
    assert picture.bands == 3
    assert picture.pixels[4, 1].min() > 245
    assert picture.pixels[4, 6].max() < 10
    assert picture.about.profile is not None
    assert picture.about.profile != inks_profile()  # it is that of the screen now


def test_lab_floats_and_whole_numbers_of_32_bits_are_refused_by_name(tmp_path: Path) -> None:
    for name, mode in (("lab.tif", "LAB"), ("float.tif", "F"), ("int.tif", "I")):
        Image.new(mode, (8, 8)).save(tmp_path / name)
    with pytest.raises(InputError, match="Lab"):
        open_picture(tmp_path / "lab.tif")
    with pytest.raises(InputError, match="floating-point"):
        open_picture(tmp_path / "float.tif")
    with pytest.raises(InputError, match="more than 16 bits"):
        open_picture(tmp_path / "int.tif")


@pytest.mark.parametrize(("ending", "words"), [("gif", "animated GIF with 3 pictures"), ("png", "animated PNG"), ("tif", "3 pages")])
def test_several_pictures_in_one_file_are_refused(tmp_path: Path, ending: str, words: str) -> None:
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / f"moving.{ending}", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=words):
        open_picture(tmp_path / f"moving.{ending}")


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(60_000, 60_000))
    with pytest.raises(InputError, match=r"60000 × 60000 pixels are more than the limit of 500 megapixels.*--max-megapixels"):
        open_picture(path)
    Image.fromarray(noise(40, 30, 3)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match=r"limit of 0\.001 megapixels"):
        open_picture(tmp_path / "small.png", megapixels=0.001)
    assert open_picture(tmp_path / "small.png", megapixels=0.0012).width == 30


def test_strange_files_are_told_apart(tmp_path: Path) -> None:
    cases = {"none.png": "no such file", "empty.png": "empty", "text.png": "not a picture", "xray.png": "--domain medical"}
    cases |= {"cut.jpg": "damaged", "clip.mp4": "a video; take its frames out", "clip.mkv": "a video", "phone.heic": "HEIC or AVIF"}
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(200))
    (tmp_path / "clip.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(200))
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x20ftypheic" + bytes(200))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "xray.png").write_bytes(bytes(128) + b"DICM" + bytes(64))
    data = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(data, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(data.getvalue()[: len(data.getvalue()) // 2])
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            open_picture(tmp_path / name)


def test_a_damaged_exif_is_left_away_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    Image.fromarray(noise(8, 8, 3)).save(path, exif=exif)
    content = bytearray(path.read_bytes())
    start = content.index(b"Exif\0\0") + 6
    content[start : start + 4] = b"????"
    path.write_bytes(bytes(content))
    with pytest.warns(PictureWarning, match="EXIF is damaged"):
        assert not open_picture(path).about.exif


def test_of_a_raster_with_a_place_on_the_ground_that_is_said(tmp_path: Path) -> None:
    look = {"driver": "GTiff", "height": 8, "width": 9, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(tmp_path / "field.tif", "w", **look, transform=Affine(10, 0, 500_000, 0, -10, 5_600_000), crs="EPSG:32632") as out:
        out.write(noise(3, 8, 9))
    with pytest.warns(PictureWarning, match="sr-geo enhance"):
        assert open_picture(tmp_path / "field.tif").width == 9


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_large_pictures_are_unpacked_into_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    image = Image.fromarray(noise(70, 50, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"large.{ending}"
    image.save(path, exif=exif, **({"subsampling": 0, "quality": 95} if ending == "jpg" else {}))
    small = open_picture(path)
    monkeypatch.setattr(unpacking, "IN_MEMORY", 1000)
    large = open_picture(path)
    base: Any = large.pixels
    while not isinstance(base, np.memmap):
        base = base.base
        assert base is not None
    assert (large.height, large.width) == (50, 70)
    np.testing.assert_allclose(large.pixels.astype(int), small.pixels.astype(int), atol=2 if ending == "jpg" else 0)
