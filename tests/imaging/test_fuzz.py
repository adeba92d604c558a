"""Damaged and hostile headers: an error with a name, or a picture; never a crash, a traceback or half a file."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from sr_geo.errors import InputError, PictureWarning
from sr_geo.imaging.enlarge import Interpolator
from sr_geo.imaging.opening import Picture, open_picture
from sr_geo.imaging.photo import save_enlarged
from sr_geo.imaging.tiff import TiffWriter

EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def _packed(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    data = io.BytesIO()
    if kind == "TIFF16":
        writer = TiffWriter(data, (20, 24, 3), "uint16")
        writer.rows(pixels.astype(np.uint16) * 257)
        writer.finish()
        return data.getvalue()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "A maker", 6
    exif.get_ifd(0x8769)[0x9003] = "2026:11:23 10:00:00"
    more = {} if kind in ("BMP", "GIF", "PPM") else {"exif": exif, "icc_profile": b"profile" * 20}
    Image.fromarray(pixels).save(data, kind, **more)
    return data.getvalue()


SEEDS = {kind: _packed(kind) for kind in ("PNG", "JPEG", "TIFF", "TIFF16", "WEBP", "BMP", "GIF", "PPM")}


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> bytes:
    content = bytearray(SEEDS[kind])
    # TIFF has its directory at the end, or behind the pixels; the others begin with what matters.
    top = len(content) - 1 if kind.startswith("TIFF") else min(len(content) - 1, 400)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, top))
        match draw(st.sampled_from(("byte", "number", "cut", "insert"))):
            case "byte":
                content[min(place, len(content) - 1)] = draw(st.integers(0, 255))
            case "number":
                size, order = draw(st.sampled_from((2, 4))), draw(st.sampled_from(("little", "big")))
                value = draw(st.sampled_from(EXTREMES)) & (256**size - 1)
                content[place : place + size] = value.to_bytes(size, order)
            case "cut":
                del content[place : place + draw(st.integers(1, 64))]
            case "insert":
                content[place:place] = draw(st.binary(min_size=1, max_size=16))
        if not content:
            return b""
    return bytes(content)


def enlarge(source: Path, output: Path) -> Picture | str:
    """The picture, or what was said of it. Any other error is one too many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PictureWarning)
        try:
            picture = open_picture(source, megapixels=0.01)
            save_enlarged(picture, output, Interpolator(), made_by="", remark="")
        except InputError as error:
            return str(error)
    return picture


def check(folder: Path, content: bytes) -> None:
    source, output = folder / "in", folder / "out.png"
    source.write_bytes(content)
    output.unlink(missing_ok=True)
    end = enlarge(source, output)
    if isinstance(end, str):
        assert end.startswith(f"{source}: ")
        assert "\n" not in end
        assert not output.exists()
    else:
        with Image.open(output) as image:
            assert image.size == (4 * end.width, 4 * end.height)
    assert {path.name for path in folder.iterdir()} <= {"in", "out.png"}


@pytest.mark.parametrize("kind", sorted(SEEDS))
def test_the_seeds_are_sound(tmp_path: Path, kind: str) -> None:
    check(tmp_path, SEEDS[kind])
    assert (tmp_path / "out.png").exists()


@pytest.mark.parametrize("kind", sorted(SEEDS))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_end_in_an_error_or_a_picture(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    check(tmp_path, data.draw(damaged(kind)))
