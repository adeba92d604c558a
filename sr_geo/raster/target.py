"""The place of an output: whether it may be written there, and a temporary name until it is whole."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; rasterio has no public name for it
from rasterio.errors import RasterioError

from sr_geo.errors import OutputError

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""What GDAL keeps beside a file called name.tif as name.tif.ovr …; those of a file that is replaced go with it."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place at the end, or is deleted where anything fails.

    Raises:
        OutputError: instead of any error of the file system or GDAL.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except (OSError, RasterioError, CPLE_BaseError) as error:
        if isinstance(error, OutputError):
            raise
        # GDAL's own errors do not say so.
        full = path.parent.is_dir() and shutil.disk_usage(path.parent).free < 1_000_000
        reason = "the disk is full; make room and run again" if full else _reason(error)
        raise OutputError(f"{path}: cannot be written ({reason})") from error
    finally:
        temporary.unlink(missing_ok=True)


def clear_stale(path: Path) -> None:
    """Delete what killed runs left half-written of `path`; for a run that holds the lock of this output."""
    left = re.compile(rf"\.{re.escape(path.stem)}\.\d+(\.plain)?{re.escape(path.suffix)}(\.(msk\.)?ovr\.tmp)?")  # the last ones by GDAL
    for beside in path.parent.iterdir() if path.parent.is_dir() else ():
        if left.fullmatch(beside.name):
            beside.unlink(missing_ok=True)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists or whose folder cannot take it, before any work is done.

    Raises:
        OutputError: with what to do.
    """
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # too long, or with characters that no name can hold
        raise OutputError(f"{path}: cannot be the name of a file ({_reason(error)}); choose another name") from error
    if exists and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or add --overwrite")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, expected the name of a file")
    parent = path.parent
    if not parent.is_dir():
        raise OutputError(f"{parent}: no such folder; create it or choose another one")
    try:
        probe = parent / f".{path.name}.{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{parent}: cannot be written to ({error.strerror}); choose another folder") from error


def check_room(folder: Path, needed: int) -> None:
    """Refuse a run whose result cannot fit, before any work is done.

    Args:
        folder: where it is to lie.
        needed: bytes that are not there yet.

    Raises:
        OutputError: with what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: {_size(needed)} are needed while the run goes on, {_size(free)} are free; make room or choose another disk"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room and run again"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
