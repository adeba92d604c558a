"""What a picture says of itself besides its pixels: EXIF, colour profile, resolution. Kept, cleaned, scaled."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from sr_geo.errors import PictureWarning

_ORIENTATION, _SOFTWARE, _EXIF_IFD, _GPS_IFD = 0x0112, 0x0131, 0x8769, 0x8825
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128

_KEPT = frozenset({0x010D, 0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298})
"""Of the main directory: name, description, make, model, date, artist, computer, rating, copyright. The rest is about the
layout of the old file, or private to some program."""

_DROPPED = frozenset({0x927C, 0xA002, 0xA003, 0xA005, 0x9102, 0x9214, 0xA20E, 0xA20F, 0xA210, 0xA214})
"""Of the camera's directory: its maker's note, which holds previews and breaks when it is moved, the old size and a pointer; and what
counts in pixels of the old picture or speaks of its file: bits a pixel, the subject's place, pixels a centimetre of the sensor, from
which programs for measuring would take a lens for one of another length."""

_TOP = 10**6
"""Dots per inch beyond which a resolution is a mistake."""


@dataclass(frozen=True, slots=True)
class About:
    """What is kept of a picture besides its pixels."""

    exif: Mapping[int, Any]
    """Tags of the main directory that are kept; those of the camera and of the place under 0x8769 and 0x8825."""
    profile: bytes | None
    """Its ICC colour profile."""
    dots: tuple[float, float] | None
    """Dots per inch across and down, upright."""

    def exif_bytes(self, *, height: int, width: int, software: str, dots: tuple[float, float] | None) -> bytes:
        """EXIF of the result, upright and without a preview: a TIFF structure after six bytes that say so."""
        exif = Image.Exif()
        for tag, value in self.exif.items():
            exif[tag] = value
        camera = dict(self.exif.get(_EXIF_IFD, {}))
        exif[_EXIF_IFD] = camera | {0xA002: width, 0xA003: height}
        exif[_SOFTWARE] = software
        exif[_ORIENTATION] = 1
        if dots is not None:
            exif[_X_RESOLUTION], exif[_Y_RESOLUTION], exif[_RESOLUTION_UNIT] = (*map(_rational, dots), 2)
        try:
            return exif.tobytes()
        except Exception:  # values of the wrong type: Pillow raises what struct, int or bytes raise
            warnings.warn(PictureWarning("EXIF with values that cannot be written is left away"), stacklevel=2)
            return About({}, None, None).exif_bytes(height=height, width=width, software=software, dots=dots)

    def finer(self, scale: int) -> tuple[float, float] | None:
        """Dots per inch of the result: the picture stays as large on paper."""
        return None if self.dots is None else (self.dots[0] * scale, self.dots[1] * scale)


def read_about(image: Image.Image, name: str) -> tuple[About, int]:
    """What a picture says of itself, and its EXIF orientation (1 to 8; 1 where it says none).

    Args:
        image: open.
        name: of the picture, for the warning.
    """
    exif: dict[int, Any] = {}
    orientation = 1
    try:
        found = _exif(image)
        value = found.get(_ORIENTATION, 1)
        orientation = value if isinstance(value, int) and 1 <= value <= 8 else 1
        exif = {tag: found[tag] for tag in found if tag in _KEPT}
        for directory in (_EXIF_IFD, _GPS_IFD):
            if inside := {tag: entry for tag, entry in found.get_ifd(directory).items() if tag not in _DROPPED}:
                exif[directory] = inside
    except Exception:  # a damaged EXIF makes Pillow raise whatever its parts raise
        warnings.warn(PictureWarning(f"{name}: its EXIF is damaged and left away"), stacklevel=2)
    profile = image.info.get("icc_profile")
    return About(exif, profile if isinstance(profile, bytes) and profile else None, _dots(image, orientation)), orientation


def _exif(image: Image.Image) -> Image.Exif:
    """EXIF as it is in the file; raises anything where that is damaged."""
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return Image.Exif()  # Pillow would unpack the whole picture to look behind it
    found = image.getexif()
    if not found and len(image.info.get("exif", b"")) > 20:
        raise ValueError("no tags in a structure that is not empty")
    return found


def _dots(image: Image.Image, orientation: int) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0.0 < across < _TOP and 0.0 < down < _TOP):
        return None
    return (down, across) if orientation >= 5 else (across, down)


def _rational(value: float) -> IFDRational:
    return IFDRational(Fraction(value).limit_denominator(1000))
