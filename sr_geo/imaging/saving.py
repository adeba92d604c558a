"""Writing pictures, by the ending of the name: PNG and TIFF strip by strip, JPEG and WebP at once. Whole, or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sr_geo.errors import OutputError
from sr_geo.imaging.about import About
from sr_geo.imaging.png import PngWriter
from sr_geo.imaging.tiff import TiffWriter
from sr_geo.imaging.unpacking import Pixels

if TYPE_CHECKING:
    from PIL import Image

_AT_ONCE = {".jpg": ("JPEG", 65_500), ".jpeg": ("JPEG", 65_500), ".webp": ("WEBP", 16_383)}
"""Formats that are packed from memory, with the longest side that they can hold."""

SUFFIXES = (".png", ".tif", ".tiff", *_AT_ONCE)
"""Of files that can be written."""

_MOST = 600_000_000
"""Pixels of a result that is packed from memory, where each takes four bytes."""

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Bands → Pillow's name for them."""


class Rows(Protocol):
    """Takes the rows of a picture from top to bottom."""

    def rows(self, strip: Pixels) -> None:
        """The next rows, ``(h, width, bands)``; h is a multiple of 16 but at the end of the picture."""

    def finish(self) -> None:
        """After the last row."""


@dataclass(frozen=True, slots=True)
class Saving:
    """A picture to be written.

    Args:
        path: of the file; its ending says the format.
        shape: (height, width, bands).
        dtype: ``uint8`` or ``uint16``.
        alpha: whether the last band is opacity.
    """

    path: Path
    shape: tuple[int, int, int]
    dtype: str
    alpha: bool

    def check(self) -> None:
        """Refuse what the format cannot hold, before any work is done.

        Raises:
            OutputError: with the formats that can.
        """
        check_format(self.path)
        suffix = self.path.suffix.lower()
        if suffix not in _AT_ONCE:
            return
        name, side = _AT_ONCE[suffix]
        height, width, _ = self.shape
        what = None
        if self.dtype != "uint8":
            what = "the picture has 16 bits"
        elif self.alpha and name == "JPEG":
            what = "the picture has transparent parts"
        elif max(height, width) > side or height * width > _MOST:
            what = f"the result has {width} × {height} pixels"
        if what is not None:
            raise OutputError(f"{self.path}: {what}, which {name} cannot hold here; choose a name that ends in .png or .tif")

    @contextmanager
    def open(self, about: About, *, scale: int, software: str, remark: str) -> Iterator[Rows]:
        """What takes the rows; the file appears when the context ends without an error.

        Args:
            about: of the input.
            scale: how many times finer the result is.
            software: what made it.
            remark: what must be said of it.

        Raises:
            OutputError: it cannot be written.
        """
        from sr_geo.files import whole_file

        dots = about.finer(scale)
        height, width, _ = self.shape
        exif = about.exif_bytes(height=height, width=width, software=f"{software}. {remark}", dots=dots)
        with whole_file(self.path) as draft:
            suffix = self.path.suffix.lower()
            if suffix in _AT_ONCE:
                kept = _AtOnce(draft, self.shape, _AT_ONCE[suffix][0], about.profile, exif, dots)
                yield kept
                kept.finish()
                return
            with draft.open("wb") as file:
                bare = exif.removeprefix(b"Exif\0\0")
                writer: Rows
                if suffix == ".png":
                    said = f"{software}. {remark}"
                    writer = PngWriter(file, self.shape, self.dtype, profile=about.profile, exif=bare, dots=dots, remark=said)
                else:
                    writer = TiffWriter(file, self.shape, self.dtype, profile=about.profile, exif=bare, dots=dots)
                yield writer
                writer.finish()


def check_format(path: Path) -> None:
    """Refuse a name whose ending is none of ours.

    Raises:
        OutputError: with the endings.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{path}: the ending says how to write it, expected {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


@dataclass(slots=True)
class _AtOnce:
    """Keeps the rows until all are there; Pillow packs them."""

    path: Path
    shape: tuple[int, int, int]
    format: str
    profile: bytes | None
    exif: bytes
    dots: tuple[float, float] | None
    _image: "Image.Image" = field(init=False)
    _next: int = 0

    def __post_init__(self) -> None:
        from PIL import Image

        height, width, bands = self.shape
        self._image = Image.new(_MODES[bands], (width, height))

    def rows(self, strip: Pixels) -> None:
        """Keep the next rows."""
        from PIL import Image

        self._image.paste(Image.fromarray(strip[:, :, 0] if self.shape[2] == 1 else strip), (0, self._next))
        self._next += len(strip)

    def finish(self) -> None:
        """Write the file."""
        more: dict[str, Any] = {} if self.dots is None else {"dpi": tuple(round(value) for value in self.dots)}
        if self.profile is not None:
            more["icc_profile"] = self.profile
        # Colours at full resolution and little loss: the result is finer than what was measured, and must not be spoilt again.
        how = {"quality": 95, "subsampling": 0} if self.format == "JPEG" else {"quality": 95, "method": 4}
        self._image.save(self.path, format=self.format, exif=self.exif, **how, **more)
