"""Opening a raster with GDAL, and saying in one line why that failed."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from sr_geo.errors import InputError

# `catch_warnings` changes state of the whole process: two threads must not be inside at once.
_SILENCE = threading.Lock()


@contextmanager
def placed_or_not() -> Iterator[None]:
    """Without rasterio's warning of missing georeferencing, which it switches off itself in ways that threads must not do at once."""
    with _SILENCE, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_dataset(path: str) -> DatasetReader:
    """An open dataset, as rasterio gives it, without its warning of missing georeferencing: `NoCrsWarning` says that in our terms."""
    with placed_or_not():
        return rasterio.open(path)


def open_checked(path: str) -> DatasetReader:
    """An open dataset.

    Raises:
        InputError: for what GDAL cannot open; tells a missing, an empty and a strange file apart.
    """
    try:
        return open_dataset(path)
    except (RasterioIOError, OSError) as error:
        file = Path(path)
        if file.is_dir():
            message = "neither a Sentinel-2 SAFE folder, nor a Landsat folder with its MTL.txt, nor a raster: give a raster file"
        elif file.is_file() and file.stat().st_size == 0:
            message = "the file is empty (0 bytes): copy or download it again"
        elif file.is_file():
            message = f"not a raster that GDAL can open, or a damaged one ({first_line(error)}): check it with gdalinfo"
        elif path.startswith("/vsi") or "://" in path:
            message = f"cannot be opened ({first_line(error)}): check the name"
        else:
            message = "no such file or folder: check the name"
        raise InputError(f"{path}: {message}") from error


def first_line(error: BaseException) -> str:
    """What went wrong, in one line; rasterio puts GDAL's own words into the cause and a general sentence into the error."""
    cause = error.__cause__ or error
    return str(cause).strip().split("\n")[0] or type(cause).__name__
