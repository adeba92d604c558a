"""Compressed pixels before they are decoded: whether they are whole, and the sizes that they state of themselves.

A decoder makes room for these, whatever the header of the file says.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from sr_geo.errors import InputError

_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
"""Second byte of the markers after which a JPEG states its size; F7: JPEG-LS."""

_BARE = frozenset({0x01, *range(0xD0, 0xDA)})
"""Of those without a length."""

_MOST_MARKERS = 1000

_HEAD = 4096
"""Bytes at whose start a JPEG 2000 has its size, also within a file of its own."""


def walk_fragments(path: Path, file: BinaryIO, size: int, length: int, shape: tuple[int, int, int] | None) -> int:
    """Walk over the pieces of compressed pixels to their end mark; the bytes that they take.

    Args:
        path: of the file.
        file: open, at the first piece.
        size: of the file, bytes.
        length: that the element states.
        shape: rows, columns and components of the header; None for a compression that states no size.

    Raises:
        InputError: there is no end, the last piece does not end as a JPEG does (decoders fill up what it lacks, some without a word), or
            one states a larger picture than the header.
    """
    start, tail = file.tell(), b""
    while length == 0xFFFFFFFF:
        head = file.read(8)
        if len(head) < 8:
            break
        group, element, piece = struct.unpack("<HHL", head)
        if (group, element) == (0xFFFE, 0xE0DD):
            if shape is not None and b"\xff\xd9" not in tail:
                break
            return file.tell() - start
        place = file.tell()
        if (group, element) != (0xFFFE, 0xE000) or place + piece > size:
            break
        if shape is not None:
            _check_stated(path, file, piece, shape)
        file.seek(place + max(0, piece - 16))
        tail = file.read(min(piece, 16))
    raise InputError(f"{path}: its compressed pixels have no end; the file is truncated: get it anew")


def _check_stated(path: Path, file: BinaryIO, length: int, shape: tuple[int, int, int]) -> None:
    try:
        stated = stated_size(file, length)
    except ValueError as error:
        raise InputError(f"{path}: holds {error}; the file is damaged: get it anew") from None
    if stated is not None and any(claim > said for claim, said in zip(stated, shape, strict=True)):
        claim, said = (f"{rows} × {columns} pixels of {components} component(s)" for rows, columns, components in (stated, shape))
        raise InputError(f"{path}: compressed pixels that claim {claim}, its header says {said}; the file is damaged: get it anew")


def stated_size(file: BinaryIO, length: int) -> tuple[int, int, int] | None:
    """Rows, columns and components that a piece of compressed pixels states.

    Args:
        file: at the start of the piece; it stands anywhere afterwards.
        length: of the piece, bytes.

    Returns:
        None where the piece starts no picture: it goes on with the one before, or is of another kind.

    Raises:
        ValueError: it starts one and does not say how large it is.
    """
    start = file.tell()
    head = file.read(min(length, _HEAD))
    place = head.find(b"\xff\x4f\xff\x51")
    if place >= 0:
        return _wavelets(head[place + 4 :])
    if not head.startswith(b"\xff\xd8"):
        return None
    place = 2
    for _ in range(_MOST_MARKERS):
        file.seek(start + place)
        marker = file.read(9)
        if len(marker) < 9 or place + 9 > length or marker[0] != 0xFF:
            break
        kind = marker[1]
        if kind == 0xFF:  # may stand before any marker
            place += 1
        elif kind in _BARE:
            place += 2
        elif kind in _FRAMES:
            rows, columns = struct.unpack(">HH", marker[5:9])
            components = file.read(1)
            if rows and columns and components:
                return rows, columns, components[0]
            break
        else:
            place += 2 + int(struct.unpack(">H", marker[2:4])[0])
    raise ValueError("compressed pixels that do not say how large they are")


def _wavelets(segment: bytes) -> tuple[int, int, int]:
    """From the segment SIZ of a JPEG 2000."""
    if len(segment) < 38:
        raise ValueError("compressed pixels that do not say how large they are")
    right, lower, left, upper = struct.unpack(">4I", segment[4:20])
    return lower - upper, right - left, int(struct.unpack(">H", segment[36:38])[0])
