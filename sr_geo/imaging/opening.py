"""Opening pictures: what they hold is checked before their pixels are unpacked, and every refusal has a name."""

import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from sr_geo.errors import InputError, PictureWarning
from sr_geo.grid import Window
from sr_geo.imaging import unpacking
from sr_geo.imaging.about import About, read_about
from sr_geo.imaging.unpacking import DRIVERS, Clear, Pixels, Unpacked, forget, unpack
from sr_geo.radiometry import Float, Mask, fill_invalid

MEGAPIXELS = 500.0
"""Pixels, in millions, beyond which a picture is refused unless the user says otherwise: a few bytes can claim any size."""

_FILL = 64
"""Pixels around a window that colours are taken from for what is transparent: more than any network's halo, so that tiles agree."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".pnm", ".jp2"})
"""Of files that are taken from a folder."""

_FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000")
"""No format that runs a program, holds vectors or draws text."""

_PLACED = frozenset({33550, 33922, 34264})
"""Tags of GeoTIFF that say where a picture lies."""

_PLAIN = {"1": "L", "L": "L", "LA": "LA", "La": "LA", "P": "RGB", "PA": "RGBA", "RGB": "RGB", "RGBX": "RGB", "RGBA": "RGBA", "RGBa": "RGBA"}
"""What the pictures of each of Pillow's modes are unpacked to; a transparent colour adds an A."""

_REFUSED = {
    "CMYK": "CMYK without a colour profile: ink has no colours of its own; convert it to RGB in the program that made it",
    "LAB": "CIE Lab colours: convert it to RGB first",
    "F": "floating-point values: these are measurements, not a picture; see `sr-geo enhance`",
    "I": "whole numbers of more than 16 bits, or a PGM of more than 8: store it as 16-bit PNG or TIFF; measurements: see `sr-geo enhance`",
}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture, unpacked and upright."""

    path: Path
    pixels: Pixels
    """``(H, W, C)``: gray or red, green, blue, and opacity last where `alpha`; in memory or in a temporary file."""
    alpha: bool
    about: About
    mapped: mmap.mmap | None = None
    """The temporary file, where the pixels lie in one."""

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels.shape[1])

    @property
    def bands(self) -> int:
        """Of colour: 1 or 3."""
        return int(self.pixels.shape[2]) - self.alpha

    @property
    def top(self) -> int:
        """The value of white: 255 or 65535."""
        return int(np.iinfo(self.pixels.dtype).max)

    def read(self, window: Window) -> Float:
        """Colour of a window inside, ``(C, h, w)`` in 0…1; what is fully transparent has the colour of the nearest pixel that is not.

        Without that, colours that nobody was meant to see would shine through at the edges of what is transparent.
        """
        if not self.alpha:
            return self._part(window, slice(0, self.bands))
        wide = window.padded(_FILL).intersection(Window(0, 0, self.height, self.width))
        seen: Mask = self.opacity(wide) > 0
        values = self._part(wide, slice(0, self.bands))
        if seen.any() and not seen.all():
            values = fill_invalid(values, seen)
        return values[(slice(None), *window.relative_to(wide).slices())]

    def opacity(self, window: Window) -> Float:
        """Opacity of a window inside, ``(h, w)`` in 0…1."""
        plane: Float = self._part(window, slice(self.bands, None))[0]
        return plane

    def forget(self) -> None:
        """Give the memory back that pixels which were read from the temporary file took."""
        forget(self.mapped)

    def _part(self, window: Window, bands: slice) -> Float:
        part = self.pixels[(*window.slices(), bands)]
        values: Float = part.transpose(2, 0, 1).astype(np.float32)
        values /= np.float32(self.top)
        return values


def open_picture(path: Path, *, megapixels: float = MEGAPIXELS) -> Picture:
    """Open a PNG, JPEG, TIFF, WebP, BMP, GIF, PPM or JPEG 2000 file.

    Args:
        path: of the file.
        megapixels: largest size that is unpacked, in millions of pixels.

    Raises:
        InputError: it is missing, damaged, too large, or of a kind that is refused.
    """
    with _header(path) as image:
        width, height = image.size
        if width * height > megapixels * 1e6:
            raise InputError(
                f"{path}: {width} × {height} pixels are more than the limit of {megapixels:g} megapixels, which keeps files that lie "
                "about their size from filling the memory; raise it by --max-megapixels if you trust the file"
            )
        pages = getattr(image, "n_frames", 1)
        if pages > 1 and image.format != "MPO":  # cameras hide previews and depth in further pictures of an MPO
            kind = f"{image.format} with {pages} pages" if image.format == "TIFF" else f"animated {image.format} with {pages} pictures"
            raise InputError(f"{path}: {kind}; take one out and give that")
        if image.format == "TIFF" and _PLACED & set(getattr(image, "tag_v2", {})):
            warnings.warn(PictureWarning(f"{path}: its place on the ground is not kept; `sr-geo enhance` keeps it"), stacklevel=2)
        driver = DRIVERS.get(image.format or "")
        about, orientation = read_about(image, str(path))
        large = width * height > unpacking.IN_MEMORY and image.mode not in _REFUSED
        if driver is not None and (large or _bits(image) == 16):
            made = unpack(path, driver, clear=_clear(image), premultiplied=_premultiplied(image))
        else:
            made, profile = _by_pillow(image, path)
            about = replace(about, profile=profile)
            if image.format == "TIFF":  # Pillow turns these itself, and these only
                orientation = 1
    return Picture(path, _upright(made.pixels, orientation), made.alpha, about, made.mapped)


@contextmanager
def _header(path: Path) -> Iterator[Image.Image]:
    """The picture with its pixels still packed; what goes wrong in the context is said in one line."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit is checked, with words of our own
    try:
        Image.init()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged metadata: told by the warnings of `read_about`
            with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
                yield image
    except (InputError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the name") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: {_unknown(path)}") from error
    except OSError as error:
        raise InputError(f"{path}: {'cannot be read' if error.strerror else 'damaged'} ({_words(error)})") from error
    except Exception as error:  # Pillow's readers raise what their parts raise: SyntaxError, struct.error, IndexError …
        raise InputError(f"{path}: damaged ({_words(error)}); copy or download it again") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _unknown(path: Path) -> str:
    try:
        if path.stat().st_size == 0:
            return "the file is empty (0 bytes): copy or download it again"
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return _named(start) or "not a picture that is known here, or a damaged one: expected PNG, JPEG, TIFF, WebP, BMP, GIF, PPM or JPEG 2000"


def _named(start: bytes) -> str | None:
    """What a file is by its first bytes, and what to do with it, where it is no picture for here."""
    if start[128:] == b"DICM":
        return "a DICOM file; use --domain medical"
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf", b"avi"):
        return "a HEIC or AVIF picture; convert it to JPEG or PNG first"
    if start[4:8] == b"ftyp" or start[:4] == b"\x1aE\xdf\xa3" or (start[:4], start[8:12]) == (b"RIFF", b"AVI "):
        return "a video; take its frames out, with ffmpeg, and give the folder"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "a TIFF that holds no picture of gray or colours, or a damaged one; rasters with other bands: `sr-geo enhance`"
    return None


def _bits(image: Image.Image) -> int:
    """Bits of a value in the file; Pillow cuts colours of 16 bits down to 8 when it unpacks them."""
    if image.mode.startswith("I;16"):
        return 16
    if image.format == "TIFF":
        stated = getattr(image, "tag_v2", {}).get(258, (8,))
        values = stated if isinstance(stated, tuple) else (stated,)
        return 16 if 16 in values and image.mode not in _REFUSED else 8
    tiles: list[Any] = getattr(image, "tile", [])
    raw = str(tiles[0][3]) if tiles and len(tiles[0]) > 3 else ""
    return 16 if ";16" in raw or (image.format == "PNG" and image.mode == "I") else 8


def _clear(image: Image.Image) -> Clear:
    """The one value or colour that is transparent, as the file has it."""
    found = image.info.get("transparency")
    if isinstance(found, int):
        return found // 255 if image.mode == "1" else found
    return found if isinstance(found, tuple) else None  # opacity of each colour of a palette: GDAL has it in the palette


def _premultiplied(image: Image.Image) -> bool:
    """Whether a TIFF says that its colours were multiplied by its opacity; Pillow undoes that by itself, GDAL does not."""
    return image.format == "TIFF" and 1 in getattr(image, "tag_v2", {}).get(338, ())


def _by_pillow(image: Image.Image, path: Path) -> tuple[Unpacked, bytes | None]:
    """The pixels, and the colour profile that goes with them."""
    profile = image.info.get("icc_profile") or None
    if image.mode == "CMYK" and profile is not None:
        image, profile = _from_inks(image, profile, path)
    mode = _PLAIN.get(image.mode) or ("RGB" if image.mode == "YCbCr" else None)
    if mode is None:
        raise InputError(f"{path}: {_REFUSED.get(image.mode, f'pixels of the kind {image.mode}; convert it to RGB first')}")
    if "transparency" in image.info and mode in ("L", "RGB"):
        mode = f"{mode}A"
    if image.mode == "P" and "transparency" not in image.info and image.palette is not None and image.palette.mode == "RGBA":
        mode = "RGBA"
    unpacked = image.convert("RGBA").convert(mode) if mode == "LA" and image.mode == "L" else image.convert(mode)
    pixels = np.asarray(unpacked)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return Unpacked(pixels, mode.endswith("A")), profile


def _from_inks(image: Image.Image, profile: bytes, path: Path) -> tuple[Image.Image, bytes]:
    """A CMYK picture in sRGB, by its own profile."""
    import io

    from PIL import ImageCms

    screen = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        converted = ImageCms.profileToProfile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), screen, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        raise InputError(f"{path}: CMYK with a colour profile that cannot be used ({_words(error)}); convert it to RGB first") from error
    assert converted is not None  # only when it works in place
    return converted, screen.tobytes()


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """The picture as it is to be seen, by its EXIF orientation (1 to 8)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text[:160] or type(error).__name__
