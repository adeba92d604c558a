"""Finished tiles on disk, each in a place of its own, with a journal of those that are whole.

A run that was stopped, even killed, goes on after its last whole tile; the output is then made from the tiles in
their order, so that it is the same to the last bit however often the run was stopped.
"""

import json
import shutil
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from sr_geo.errors import OutputError
from sr_geo.grid import TilePlan
from sr_geo.raster.tiles import Finished

_FILES = {"tiles.bin", "journal.txt", "run.json"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape of what a tile holds."""

    plan: TilePlan
    bands: int
    scale: int
    dtype: str

    @property
    def slot(self) -> int:
        """Bytes of the largest tile."""
        pixels = min(self.plan.tile, self.plan.height) * min(self.plan.tile, self.plan.width)
        fine = pixels * self.scale**2
        return fine * (self.bands * np.dtype(self.dtype).itemsize + 4) + pixels * self.bands

    def empty(self, index: int) -> Finished:
        """Arrays of the right shapes for tile `index`."""
        height, width = self.plan[index].shape
        fine = (height * self.scale, width * self.scale)
        return Finished(
            np.empty((self.bands, *fine), self.dtype), np.empty((self.bands, height, width), np.bool_), np.empty(fine, np.float32)
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tile lies, and what its bytes must add up to."""

    slot: int
    checksum: int


class Spool:
    """Folder of a run: ``tiles.bin``, ``journal.txt``, ``run.json``. One thread at a time.

    Tiles lie in the order in which they came, so that the file holds no holes for tiles that nobody asked for. A line
    of the journal is the tile's number, its place, and the CRC-32 of its bytes; it is written after them.

    Args:
        folder: made where it is missing.
        layout: shapes of the tiles.
        identity: everything that the tiles depend on; a spool of another identity is refused.
        resume: keep the tiles that are there; otherwise they are dropped.

    Raises:
        OutputError: the folder cannot be made or written, or holds a run with other input or options.
    """

    def __init__(self, folder: Path, layout: Layout, identity: dict[str, Any], *, resume: bool) -> None:
        self.folder, self.layout = folder, layout
        text = json.dumps(identity, sort_keys=True, indent=1)
        description = folder / "run.json"
        try:
            if folder.exists() and resume and description.exists():
                if description.read_text(encoding="utf-8") != text:
                    raise OutputError(
                        f"{folder}: holds a run with other input or options; use the same ones, or leave --resume away to start anew"
                    )
            else:
                if folder.exists():
                    _drop(folder)
                folder.mkdir()
                description.write_text(text, encoding="utf-8")
            self.done, whole = _read_journal(folder / "journal.txt", layout)
            # Unbuffered, so that closing has nothing left to write; os.pwrite would do but is missing on Windows.
            with ExitStack() as stack:
                self._tiles = stack.enter_context(_open(folder / "tiles.bin"))
                self._journal = stack.enter_context(_open(folder / "journal.txt"))
                self._journal.truncate(whole)  # a killed run may leave half a line
                self._journal.seek(whole)
                stack.pop_all()
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"{folder.parent}: cannot be written to ({error.strerror}); choose another folder for the output") from error

    def put(self, index: int, tile: Finished) -> None:
        """Store a tile; afterwards it survives the end of the process."""
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in (tile.image, tile.valid, tile.detail))
        place = _Place(self.done[index].slot if index in self.done else len(self.done), zlib.crc32(content))
        try:
            self._tiles.seek(place.slot * self.layout.slot)
            _write(self._tiles, content)
            _write(self._journal, f"{index} {place.slot} {place.checksum}\n".encode())
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror}); make room, then run again with --resume") from error
        self.done[index] = place

    def get(self, index: int) -> Finished:
        """A stored tile.

        Raises:
            OutputError: its bytes are not those that were stored.
        """
        tile = self.layout.empty(index)
        parts = (tile.image, tile.valid, tile.detail)
        checksum, whole = 0, True
        self._tiles.seek(self.done[index].slot * self.layout.slot)
        for part in parts:
            view = part.reshape(-1).view(np.uint8).data
            whole = whole and _read_into(self._tiles, view)
            checksum = zlib.crc32(view, checksum)
        if not whole or checksum != self.done[index].checksum:
            raise OutputError(f"{self.folder}: tile {index} is damaged; run again without --resume")
        return tile

    def close(self) -> None:
        """Close the files; the folder stays."""
        self._tiles.close()
        self._journal.close()

    def remove(self) -> None:
        """Close and delete."""
        self.close()
        shutil.rmtree(self.folder)


def _read_journal(path: Path, layout: Layout) -> tuple[dict[int, _Place], int]:
    """Tiles that are whole, and the length of the part of the journal that says so."""
    done: dict[int, _Place] = {}
    length = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        words = line.split()
        if not line.endswith(b"\n") or len(words) != 3 or not all(word.isdigit() for word in words):
            break
        index, slot, checksum = (int(word) for word in words)
        if index >= len(layout.plan) or slot > len(done):
            break
        done[index] = _Place(slot, checksum)
        length += len(line)
    return done, length


def _drop(folder: Path) -> None:
    """Delete the folder of an earlier run, and of nothing else."""
    strangers = sorted({path.name for path in folder.iterdir()} - _FILES)
    if strangers:
        raise OutputError(f"{folder}: is in the way and was not made by a run; rename it or choose another name for the output")
    shutil.rmtree(folder)


def _open(path: Path) -> FileIO:
    path.touch()
    return FileIO(path, "r+")


def _write(file: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def _read_into(file: FileIO, view: memoryview) -> bool:
    """Fill `view`; false where the file ends before."""
    while view:
        count = file.readinto(view)
        if not count:
            return False
        view = view[count:]
    return True
