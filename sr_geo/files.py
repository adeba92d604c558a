"""Files that appear when they are whole: a temporary name until then, and what killed runs left under such names."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sr_geo.errors import OutputError


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
    except Exception as error:
        if isinstance(error, OutputError) or not _of_files(error):
            raise
        # GDAL's own errors do not say so.
        full = path.parent.is_dir() and shutil.disk_usage(path.parent).free < 1_000_000
        reason = "the disk is full; make room and run again" if full else reason_of(error)
        raise OutputError(f"{path}: cannot be written ({reason})") from error
    finally:
        with suppress(OSError):  # must not hide what went wrong before
            temporary.unlink(missing_ok=True)


def clear_stale(path: Path) -> None:
    """Delete what killed runs left half-written of `path`; for a run that holds the lock of this output."""
    left = re.compile(rf"\.{re.escape(path.stem)}\.\d+(\.plain)?{re.escape(path.suffix)}(\.(msk\.)?ovr\.tmp)?")  # the last ones by GDAL
    for beside in path.parent.iterdir() if path.parent.is_dir() else ():
        if left.fullmatch(beside.name):
            beside.unlink(missing_ok=True)


def reason_of(error: Exception) -> str:
    """What went wrong with a file, in a few words."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room and run again"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__


def _of_files(error: Exception) -> bool:
    """Whether the file system or GDAL raised it."""
    if isinstance(error, OSError):
        return True
    from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; rasterio has no public name for it
    from rasterio.errors import RasterioError

    return isinstance(error, (RasterioError, CPLE_BaseError))
