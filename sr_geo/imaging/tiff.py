"""TIFF written strip by strip: of any size (BigTIFF from 4 GB on), 8 or 16 bits, with profile, EXIF and resolution."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_STRIP = 16
"""Rows of a strip; every part of `rows` but the last is a multiple of it."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value of each TIFF type."""

_WORDS = {5: 4, 10: 4}
"""Bytes that are turned together where that is not the whole value: a rational is two numbers."""

_SHORT, _LONG, _RATIONAL, _UNDEFINED, _LONG8 = 3, 4, 5, 7, 16
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825

_CLASSIC = 3_900_000_000
"""Bytes of pixels that a TIFF with addresses of 32 bits takes for sure."""

_Entry = tuple[int, int, bytes]
"""Type, number of values, the values."""


@dataclass(slots=True)
class TiffWriter:
    """Writes one TIFF; `finish` after the last row.

    Args:
        file: to write to; can be moved in.
        shape: (height, width, bands) with bands 1 to 4: gray or colours, opacity last.
        dtype: ``uint8`` or ``uint16``.
        profile: ICC profile.
        exif: TIFF structure whose tags go into the file's own directory.
        dots: per inch, across and down.
        big: addresses of 64 bits; None decides by the size.
    """

    file: BinaryIO
    shape: tuple[int, int, int]
    dtype: str
    profile: bytes | None = None
    exif: bytes | None = None
    dots: tuple[float, float] | None = None
    big: bool | None = None
    _places: list[int] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        height, width, bands = self.shape
        if self.big is None:
            self.big = height * width * bands * np.dtype(self.dtype).itemsize > _CLASSIC
        self.file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if self.big else struct.pack("<2sHI", b"II", 42, 0))

    def rows(self, part: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Write the next rows, ``(h, width, bands)``; h is a multiple of 16 but at the end of the picture."""
        for first in range(0, len(part), _STRIP):
            strip = part[first : first + _STRIP]
            change = strip.copy()
            np.subtract(strip[:, 1:], strip[:, :-1], out=change[:, 1:])
            packed = zlib.compress(change.astype(change.dtype.newbyteorder("<")).tobytes(), 6)
            self._places.append(self.file.tell())
            self._counts.append(len(packed))
            self.file.write(packed)

    def finish(self) -> None:
        """Write the directory."""
        place = self._directory(self._tags(), self._sub_directories())
        self.file.seek(8 if self.big else 4)
        self.file.write(self._address(place))

    def _tags(self) -> dict[int, _Entry]:
        height, width, bands = self.shape
        bits = 8 * np.dtype(self.dtype).itemsize
        wide = _LONG8 if self.big else _LONG
        tags = {tag: entry for tag, entry in read_directory(self.exif or b"").items() if tag not in (_EXIF_IFD, _GPS_IFD, 0x0112)}
        tags |= {
            256: _numbers(_LONG, width),
            257: _numbers(_LONG, height),
            258: _numbers(_SHORT, *[bits] * bands),
            259: _numbers(_SHORT, 8),  # Deflate
            262: _numbers(_SHORT, 1 if bands < 3 else 2),
            273: _numbers(wide, *self._places),
            277: _numbers(_SHORT, bands),
            278: _numbers(_LONG, _STRIP),
            279: _numbers(wide, *self._counts),
            284: _numbers(_SHORT, 1),
            317: _numbers(_SHORT, 2),  # differences of neighbours
        }
        if bands in (2, 4):
            tags[338] = _numbers(_SHORT, 2)  # opacity that the colours were not multiplied by
        if self.dots is not None:
            tags |= {282 + axis: _numbers(_RATIONAL, round(value * 1000), 1000) for axis, value in enumerate(self.dots)}
            tags[296] = _numbers(_SHORT, 2)
        if self.profile is not None:
            tags[34675] = (_UNDEFINED, len(self.profile), self.profile)
        return tags

    def _sub_directories(self) -> dict[int, dict[int, _Entry]]:
        """The camera's tags and those of the place."""
        exif = self.exif or b""
        main = read_directory(exif)
        found = {}
        for tag in (_EXIF_IFD, _GPS_IFD):
            if tag in main:
                found[tag] = read_directory(exif, at=int.from_bytes(main[tag][2][:4], "little"))
        return {tag: entries for tag, entries in found.items() if entries}

    def _directory(self, tags: dict[int, _Entry], inside: Mapping[int, dict[int, _Entry]]) -> int:
        """Write a directory after those inside it; its place."""
        for tag, entries in inside.items():
            place = self._directory(entries, {})
            tags[tag] = _numbers(_LONG8 if self.big else _LONG, place)
        room = 8 if self.big else 4
        rows = []
        for tag, (kind, count, data) in sorted(tags.items()):
            kept = data.ljust(room, b"\0") if len(data) <= room else self._address(self._append(data))
            rows.append(struct.pack("<HHQ" if self.big else "<HHI", tag, kind, count) + kept)
        head = struct.pack("<Q" if self.big else "<H", len(rows))
        return self._append(head + b"".join(rows) + self._address(0))

    def _append(self, data: bytes) -> int:
        """Write at the end, on an even place; that place."""
        if self.file.seek(0, 2) % 2:
            self.file.write(b"\0")
        place = self.file.tell()
        self.file.write(data)
        return place

    def _address(self, place: int) -> bytes:
        return place.to_bytes(8 if self.big else 4, "little")


def read_directory(structure: bytes, *, at: int | None = None) -> dict[int, _Entry]:
    """The tags of a directory in a TIFF structure, values little-endian: the first directory, or the one at that place."""
    tags: dict[int, _Entry] = {}
    if len(structure) < 8:
        return tags
    order = ">" if structure[:2] == b"MM" else "<"
    place = struct.unpack_from(f"{order}I", structure, 4)[0] if at is None else at
    (count,) = struct.unpack_from(f"{order}H", structure, place)
    for number in range(count):
        start = place + 2 + 12 * number
        tag, kind, values = struct.unpack_from(f"{order}HHI", structure, start)
        size = _SIZES[kind] * values
        first = start + 8 if size <= 4 else struct.unpack_from(f"{order}I", structure, start + 8)[0]
        words = np.frombuffer(structure[first : first + size], f"{order}u{_WORDS.get(kind, _SIZES[kind])}")
        tags[tag] = (kind, values, words.astype(words.dtype.newbyteorder("<")).tobytes())
    return tags


def _numbers(kind: int, *values: Any) -> _Entry:  # noqa: ANN401 - whole numbers
    """An entry of whole numbers, or one rational from two."""
    code = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _LONG8: "Q"}[kind]
    return kind, 1 if kind == _RATIONAL else len(values), struct.pack(f"<{len(values)}{code}", *values)
