"""Finished tiles on disk, each in a place of its own, with a journal of those that are whole.

A run that was stopped, even killed, goes on after its last whole tile; the output is then made from the tiles in
their order, so that it is the same to the last bit however often the run was stopped.
"""

import json
import os
import shutil
import threading
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import OutputError
from sr_geo.grid import TilePlan
from sr_geo.raster.lock import take_lock
from sr_geo.raster.tiles import Finished

_LOCK = "lock"
_OUTPUTS = "outputs.txt"
_CONTENT = ("run.json", _OUTPUTS, "journal.txt", "tiles.bin")


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape of what a tile holds."""

    plan: TilePlan
    bands: int
    scale: int
    dtype: str
    detail: bool = True
    """Whether tiles hold the added detail."""

    @property
    def slot(self) -> int:
        """Bytes of the largest tile."""
        pixels = min(self.plan.tile, self.plan.height) * min(self.plan.tile, self.plan.width)
        fine = pixels * self.scale**2
        return fine * (self.bands * np.dtype(self.dtype).itemsize + 4 * self.detail) + pixels * self.bands

    def empty(self, index: int) -> Finished:
        """Arrays of the right shapes for tile `index`."""
        height, width = self.plan[index].shape
        fine = (height * self.scale, width * self.scale)
        return Finished(
            np.empty((self.bands, *fine), self.dtype),
            np.empty((self.bands, height, width), np.bool_),
            np.empty(fine if self.detail else (0, 0), np.float32),
        )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tile lies, and what its bytes must add up to."""

    slot: int
    checksum: int


class Spool:
    """Folder of a run: ``tiles.bin``, ``journal.txt``, ``run.json``, ``outputs.txt``, ``lock``. One run at a time.

    Tiles lie in the order in which they came, so that the file holds no holes for tiles that nobody asked for. A line
    of the journal is the tile's number, its place, and the CRC-32 of its bytes; it is written after them.

    Args:
        folder: made where it is missing.
        layout: shapes of the tiles.
        identity: everything that the tiles depend on; a spool of another identity is refused.
        resume: keep the tiles that are there and whole; otherwise they are dropped.

    Raises:
        OutputError: the folder cannot be made or written, another run is using it, or it holds a run with other input or options.
    """

    def __init__(self, folder: Path, layout: Layout, identity: dict[str, Any], *, resume: bool) -> None:
        self.folder, self.layout = folder, layout
        self.done: dict[int, _Place] = {}
        self._slots = 0
        self._came = threading.Condition()  # one thread writes or reads at a time
        new = not folder.exists()
        text = json.dumps(identity, sort_keys=True, indent=1)
        try:
            with ExitStack() as stack:
                _refuse_strangers(folder)
                self._lock = stack.enter_context(take_lock(folder / _LOCK))
                found, length = self._found(text) if resume else ({}, 0)
                if not found:
                    length = 0
                    for name in _CONTENT:
                        (folder / name).unlink(missing_ok=True)
                    (folder / "run.json").write_text(text, encoding="utf-8")
                # Unbuffered, so that closing has nothing left to write; os.pwrite would do but is missing on Windows.
                self._tiles = stack.enter_context(_open(folder / "tiles.bin"))
                self._journal = stack.enter_context(_open(folder / "journal.txt"))
                self._journal.truncate(length)  # a killed run may leave half a line
                self._journal.seek(length)
                self._slots = _slots_of(found)
                # A tile may be damaged by a disk that was full or a machine that lost power; it is computed again.
                self.done = {index: place for index, place in found.items() if self._read(index, place)[1]}
                stack.pop_all()
        except BlockingIOError as error:
            raise OutputError(f"{folder}: another run is writing this output; wait until it ends, or choose another name") from error
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            if new:
                shutil.rmtree(folder, ignore_errors=True)
            raise OutputError(f"{folder.parent}: cannot be written to ({error.strerror}); choose another folder for the output") from error

    def _found(self, text: str) -> tuple[dict[int, _Place], int]:
        """Tiles of an earlier run of the same identity, and the length of its journal."""
        found, length = _read_journal(self.folder / "journal.txt", self.layout)
        description = self.folder / "run.json"
        if found and not (description.exists() and description.read_text(encoding="utf-8") == text):
            raise OutputError(
                f"{self.folder}: holds a run with other input or options; use the same ones, or leave --resume away to start anew"
            )
        return found, length

    def put(self, index: int, tile: Finished) -> None:
        """Store a tile; afterwards it survives the end of the process."""
        with self._came:
            self._put(index, tile)
            self._came.notify_all()

    def wait(self, index: int, seconds: float) -> bool:
        """Whether tile `index` is there, or comes within so many seconds."""
        with self._came:
            return self._came.wait_for(lambda: index in self.done, seconds)

    def _put(self, index: int, tile: Finished) -> None:
        slot = self.done[index].slot if index in self.done else self._slots
        checksum = 0
        try:
            self._tiles.seek(slot * self.layout.slot)
            for part in (tile.image, tile.valid, tile.detail):
                view = _bytes_of(np.ascontiguousarray(part))
                checksum = zlib.crc32(view, checksum)
                _write(self._tiles, view)
            place = _Place(slot, checksum)
            _write(self._journal, f"{index} {place.slot} {place.checksum}\n".encode())
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror}); make room, then run again with --resume") from error
        self.done[index] = place
        self._slots = max(self._slots, slot + 1)

    def get(self, index: int) -> Finished:
        """A stored tile.

        Raises:
            OutputError: its bytes are not those that were stored.
        """
        with self._came:
            tile, whole = self._read(index, self.done[index])
        if not whole:
            raise OutputError(f"{self.folder}: tile {index} is damaged; run again with --resume, which computes it anew")
        return tile

    def claim(self, output: Path) -> None:
        """Note that this run begins to write `output`: the run that goes on with this one may replace it."""
        try:
            with (self.folder / _OUTPUTS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(plain_name(output)) + "\n")
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror}); make room, then run again with --resume") from error

    def close(self) -> None:
        """Close the files; the folder stays."""
        self._tiles.close()
        self._journal.close()
        self._lock.close()

    def remove(self) -> None:
        """Close and delete."""
        self._tiles.close()
        self._journal.close()
        for name in _CONTENT:
            (self.folder / name).unlink(missing_ok=True)
        if os.name == "nt":
            self._lock.close()  # Windows deletes no open file; elsewhere nobody must take the lock before it is gone
        shutil.rmtree(self.folder, ignore_errors=True)  # an empty folder that stays does no harm
        self._lock.close()

    def _read(self, index: int, place: _Place) -> tuple[Finished, bool]:
        """What lies at `place`, and whether it is what was stored."""
        tile = self.layout.empty(index)
        checksum, whole = 0, True
        self._tiles.seek(place.slot * self.layout.slot)
        for part in (tile.image, tile.valid, tile.detail):
            view = _bytes_of(part)
            whole = whole and _read_into(self._tiles, view)
            checksum = zlib.crc32(view, checksum)
        return tile, whole and checksum == place.checksum


def claimed_outputs(folder: Path) -> frozenset[str]:
    """Names (as of `plain_name`) of the files that the run whose tiles lie in `folder` began to write."""
    try:
        lines = (folder / _OUTPUTS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return frozenset(name for line in lines if (name := _unquoted(line)) is not None)


def plain_name(path: Path) -> str:
    """One and the same name for a file however its folder is written; a link by its own name, since it is what gets replaced."""
    return str(path.parent.resolve() / path.name)


def _unquoted(line: str) -> str | None:
    try:
        return str(json.loads(line))
    except ValueError:
        return None  # half a line of a killed run


def _slots_of(places: dict[int, _Place]) -> int:
    return 1 + max((place.slot for place in places.values()), default=-1)


def _read_journal(path: Path, layout: Layout) -> tuple[dict[int, _Place], int]:
    """Tiles that are whole, and the length of the part of the journal that says so."""
    done: dict[int, _Place] = {}
    length = slots = 0
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        words = line.split()
        if not line.endswith(b"\n") or len(words) != 3 or not all(word.isdigit() for word in words):
            break
        index, slot, checksum = (int(word) for word in words)
        if index >= len(layout.plan) or slot > slots:
            break
        done[index] = _Place(slot, checksum)
        slots = max(slots, slot + 1)
        length += len(line)
    return done, length


def _refuse_strangers(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier run."""
    if folder.exists() and any(path.name not in (*_CONTENT, _LOCK) for path in folder.iterdir()):
        raise OutputError(f"{folder}: is in the way and was not made by a run; rename it or choose another name for the output")


def _open(path: Path) -> FileIO:
    path.touch()
    return FileIO(path, "r+")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """The memory of a contiguous array, not a copy."""
    return array.reshape(-1).view(np.uint8).data


def _write(file: FileIO, content: bytes | memoryview) -> None:
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
