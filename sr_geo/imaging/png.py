"""PNG written strip by strip: of any size, 8 or 16 bits, with profile, EXIF, resolution and a remark."""

import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""Bands → the PNG's word for gray, gray with opacity, colours, colours with opacity."""

_INCH = 0.0254

_BLOCK = 2_000_000
"""Bytes that are filtered at a time: what that needs besides is about twenty times as much."""


@dataclass(slots=True)
class PngWriter:
    """Writes one PNG; `finish` after the last row.

    Args:
        file: to write to.
        shape: (height, width, bands) with bands 1 to 4: gray or colours, opacity last.
        dtype: ``uint8`` or ``uint16``.
        profile: ICC profile.
        exif: TIFF structure.
        dots: per inch, across and down.
        remark: what the file says of itself, Latin-1.
    """

    file: BinaryIO
    shape: tuple[int, int, int]
    dtype: str
    profile: bytes | None = None
    exif: bytes | None = None
    dots: tuple[float, float] | None = None
    remark: str = ""
    _packer: "zlib._Compress" = field(init=False)
    _above: NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        height, width, bands = self.shape
        depth = np.dtype(self.dtype).itemsize
        self._packer = zlib.compressobj(6)
        self._above = np.zeros(width * bands * depth, np.uint8)
        self.file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * depth, _COLOUR_TYPES[bands], 0, 0, 0))
        if self.profile is not None:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(self.profile))
        if self.dots is not None:
            across, down = (min(round(value / _INCH), 2**31 - 1) for value in self.dots)
            self._chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
        if self.remark:
            self._chunk(b"tEXt", b"Comment\0" + self.remark.encode("latin-1", "replace"))
        if self.exif is not None:
            self._chunk(b"eXIf", self.exif)

    def rows(self, strip: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Write the next rows, ``(h, width, bands)``."""
        step = self.shape[2] * strip.dtype.itemsize
        count = max(1, _BLOCK // (self.shape[1] * step))
        for first in range(0, len(strip), count):
            part = strip[first : first + count]
            plain = np.ascontiguousarray(part.astype(part.dtype.newbyteorder(">"))).reshape(len(part), -1).view(np.uint8)
            if packed := self._packer.compress(self._filtered(plain, step).tobytes()):
                self._chunk(b"IDAT", packed)

    def finish(self) -> None:
        """Write what is left."""
        self._chunk(b"IDAT", self._packer.flush())
        self._chunk(b"IEND", b"")

    def _filtered(self, plain: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
        """Each row as the difference to what it is easily told from: left, above, or the nearest of three (Paeth)."""
        above = np.concatenate([self._above[None], plain[:-1]])
        self._above = plain[-1].copy()
        left, corner = (np.pad(rows, ((0, 0), (step, 0)))[:, :-step] for rows in (plain, above))
        candidates = [plain - left, plain - above, plain - _nearest(left, above, corner)]
        costs = [np.abs(candidate.view(np.int8).astype(np.int16)).sum(axis=1) for candidate in candidates]
        best = np.argmin(costs, axis=0)
        out = np.empty((len(plain), plain.shape[1] + 1), np.uint8)
        for number, (kind, candidate) in enumerate(zip((1, 2, 4), candidates, strict=True)):
            rows = best == number
            out[rows, 0] = kind
            out[rows, 1:] = candidate[rows]
        return out

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self.file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def _nearest(left: NDArray[np.uint8], above: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Which of three neighbours is nearest to left + above − corner; the first of them where two are."""
    a, b, c = (values.astype(np.int16) for values in (left, above, corner))
    to_left, to_above, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    by_above = np.where(to_above <= to_corner, above, corner)
    return np.where((to_left <= to_above) & (to_left <= to_corner), left, by_above)
