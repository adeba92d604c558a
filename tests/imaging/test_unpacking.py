"""Deep and large pictures look as small ones do, whatever their numbers are."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.env import get_gdal_config

from sr_geo.errors import InputError
from sr_geo.grid import Window
from sr_geo.imaging import unpacking
from sr_geo.imaging.opening import Picture, open_picture
from sr_geo.raster.dataset import placed_or_not

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (40, 50, 3), np.uint8)
GRAY = COLOURS[..., 0]
CLEAR = tuple(int(value) for value in COLOURS[3, 3])


def tiff(path: Path, values: Any, **more: object) -> None:  # noqa: ANN401 - numbers
    bands = values[None] if values.ndim == 2 else values.transpose(2, 0, 1)
    look = {"driver": "GTiff", "height": bands.shape[1], "width": bands.shape[2], "count": len(bands), "dtype": bands.dtype}
    with placed_or_not(), rasterio.open(path, "w", **look, **more) as out:
        out.write(bands)


def large(path: Path, monkeypatch: pytest.MonkeyPatch) -> Picture:
    with monkeypatch.context() as patch:
        patch.setattr(unpacking, "IN_MEMORY", 10)
        return open_picture(path)


BILEVEL = Image.fromarray(GRAY > 128)
PALETTE = Image.fromarray(COLOURS).quantize(60)
MULTIPLIED = np.dstack([COLOURS // 2, np.full(GRAY.shape, 128, np.uint8)])

KINDS: dict[str, Callable[[Path], None]] = {
    "bilevel.png": BILEVEL.save,
    "bilevel.tif": BILEVEL.save,
    "fax.tif": lambda path: BILEVEL.save(path, compression="group4"),
    "four-bits.tif": lambda path: tiff(path, GRAY // 16, nbits=4),
    "white-is-zero.tif": lambda path: tiff(path, GRAY, photometric="MINISWHITE"),
    "palette.png": PALETTE.save,
    "palette.tif": PALETTE.save,
    "clear-palette.png": lambda path: PALETTE.save(path, transparency=7),
    "clear-gray.png": lambda path: Image.fromarray(GRAY).save(path, transparency=int(GRAY[3, 3])),
    "clear-bilevel.png": lambda path: BILEVEL.save(path, transparency=0),
    "clear-colour.png": lambda path: Image.fromarray(COLOURS).save(path, transparency=CLEAR),
    "multiplied.tif": lambda path: tiff(path, MULTIPLIED, photometric="RGB", alpha="PREMULTIPLIED"),
}
"""One file of each kind, by a program that is known to write it right."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_picture_is_what_a_small_one_is(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    KINDS[kind](tmp_path / kind)
    small, fine = open_picture(tmp_path / kind), large(tmp_path / kind, monkeypatch)
    assert fine.mapped is not None
    assert (fine.alpha, fine.bands) == (small.alpha, small.bands)
    seen = slice(None) if not small.alpha else small.pixels[..., -1] > 0  # under what is transparent any colour may lie
    np.testing.assert_allclose(fine.pixels[seen].astype(int), small.pixels[seen].astype(int), atol=1 if "multiplied" in kind else 0)
    if small.alpha:
        np.testing.assert_array_equal(fine.pixels[..., -1], small.pixels[..., -1])


@pytest.mark.parametrize(("ending", "bits"), [("tif", 12), ("jp2", 10), ("jp2", 12), ("jp2", 15)])
def test_white_is_white_whatever_the_bits(tmp_path: Path, ending: str, bits: int) -> None:
    """A scanner's or an archive's 12 bits fill the 16 of the result; as they are they would be almost black."""
    top = 2**bits - 1
    values = RNG.integers(0, top + 1, (30, 20)).astype(np.uint16)
    values[0, :2] = 0, top
    tiff(tmp_path / "in.tif", values, nbits=bits)
    if ending == "jp2":
        from rasterio import shutil

        shutil.copy(tmp_path / "in.tif", tmp_path / "in.jp2", driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES", NBITS=bits)
    picture = open_picture(tmp_path / f"in.{ending}")
    assert picture.top == 65535
    np.testing.assert_allclose(picture.read(Window(0, 0, 30, 20))[0], values / top, atol=1e-5)


def test_deep_colours_that_were_multiplied_by_opacity_are_divided(tmp_path: Path) -> None:
    opacity = np.full(GRAY.shape, 0x8000, np.uint16)
    opacity[:5] = 0
    multiplied = (COLOURS.astype(np.uint64) * 257 * opacity[..., None] // 65535).astype(np.uint16)
    tiff(tmp_path / "in.tif", np.dstack([multiplied, opacity]), photometric="RGB", alpha="PREMULTIPLIED")
    picture = open_picture(tmp_path / "in.tif")
    np.testing.assert_allclose(picture.pixels[5:, :, :3] / 257, COLOURS[5:], atol=0.02)
    assert not picture.pixels[:5, :, :3].any()


def test_a_deep_transparent_colour_becomes_opacity(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + np.full((8, 3), 1000 * (row + 1), ">u2").tobytes() for row in range(8))
    head, clear = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0), struct.pack(">3H", 3000, 3000, 3000)
    chunks = ((b"IHDR", head), (b"tRNS", clear), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    (tmp_path / "in.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    picture = open_picture(tmp_path / "in.png")
    assert picture.alpha
    assert (picture.pixels[..., 3] == 0).all(axis=1).tolist() == [False, False, True, False, False, False, False, False]


def test_large_inks_are_refused_as_small_ones_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL would turn them to some colours or other by itself."""
    Image.fromarray(COLOURS).convert("CMYK").save(tmp_path / "inks.jpg")
    with pytest.raises(InputError, match="CMYK without a colour profile"):
        large(tmp_path / "inks.jpg", monkeypatch)


def test_without_room_on_the_disk_that_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "in.png")
    monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 5999})())
    with pytest.raises(InputError, match=r"are needed in .* to unpack it.*TMPDIR"):
        large(tmp_path / "in.png", monkeypatch)


def test_what_was_let_go_of_is_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "in.png")
    picture = large(tmp_path / "in.png", monkeypatch)
    picture.forget()
    np.testing.assert_array_equal(picture.pixels, COLOURS)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_unpacking_keeps_few_blocks(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """GDAL would keep a twentieth of the machine's memory of them."""
    Image.fromarray(COLOURS).save(tmp_path / f"in.{ending}")
    kept: list[int] = []
    monkeypatch.setattr(unpacking, "forget", lambda mapped: kept.append(get_gdal_config("GDAL_CACHEMAX")))
    monkeypatch.setattr(unpacking, "_BLOCK", 1000)
    before = get_gdal_config("GDAL_CACHEMAX")
    large(tmp_path / f"in.{ending}", monkeypatch)
    assert kept == [48 * 2**20] * 2
    assert get_gdal_config("GDAL_CACHEMAX") == before
