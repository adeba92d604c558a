"""From finished tiles to files: GeoTIFF or COG, under a temporary name until it is whole."""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises; rasterio has no public name for it
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Interleaving
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.shutil import copy as gdal_copy

from sr_geo.errors import OutputError
from sr_geo.grid import Window, finer, shifted
from sr_geo.radiometry import Encoding, Mask, hole_value

BLOCK = 512
"""Side of a block in the file; tiles of a multiple of BLOCK / scale input pixels fill whole blocks."""

CACHE = 48 * 2**20
"""Bytes (rasterio hands GDAL bytes, unlike the variable of the environment) of blocks in memory, of the input and of the output."""

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""What GDAL keeps beside a file called name.tif as name.tif.ovr …; those of a file that is replaced go with it."""


_NOT_WHOLE = "the file was not written whole, the disk may be full; make room and run again"

_SETTINGS = {
    "GDAL_TIFF_INTERNAL_MASK": True,
    "GDAL_PAM_ENABLED": False,
    # Overviews of a COG are made in a file of their own first. To compress that one takes as long as all the rest of the COG.
    "COG_TMP_COMPRESSION": "NONE",
    "SPARSE_OK_OVERVIEW": True,
}


@dataclass(frozen=True, slots=True)
class BandLabel:
    """What a file says of one of its bands."""

    description: str = ""
    unit: str = ""
    color: str = "undefined"
    encoding: Encoding | None = None
    """Written as scale and offset; None where the input did not state it."""


@dataclass(frozen=True, slots=True)
class Look:
    """Everything about an output file but its pixels."""

    bands: tuple[BandLabel, ...]
    dtype: str
    nodata: float | None
    crs: CRS | None
    transform: Affine
    """Of the input raster, whole."""
    scale: int
    tags: Mapping[str, str]
    cog: bool = False


Piece = tuple[Window, NDArray[Any], Mask]
"""Window in input pixels of the whole raster, image ``(C, s·h, s·w)``, valid ``(s·h, s·w)``."""


def write_image(path: Path, look: Look, window: Window, pieces: Iterator[Piece], *, masked: bool) -> None:
    """Write `window` (input pixels) of the enhanced raster from tiles, in their order.

    Args:
        path: where it is to lie once it is whole.
        look: labels, grid and type.
        window: extent of the file; what no piece covers is nodata.
        pieces: tiles; the parts outside `window` are left away.
        masked: write a mask into the file, for rasters without a nodata value that have holes.

    Raises:
        OutputError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    fine = window.scaled(look.scale)
    profile = creation_profile(look, window)
    with whole_file(path) as temporary, rasterio.Env(**_SETTINGS):
        plain = temporary.with_suffix(f".plain{temporary.suffix}") if look.cog else temporary
        written = _Sums()
        try:
            with rasterio.open(plain, "w", **profile) as dataset:
                _label(dataset, look)
                for place, image, valid in pieces:
                    part = place.intersection(window)
                    if part.empty:
                        continue
                    inside = part.relative_to(place).scaled(look.scale).slices()
                    target = rasterio_window(part.relative_to(window).scaled(look.scale))
                    pixels = image[(slice(None), *inside)]
                    dataset.write(pixels, window=target)
                    if masked:
                        dataset.write_mask(valid[inside], window=target)
                    if look.cog:
                        written.add(pixels, valid[inside] if masked else None)
            if look.cog:
                gdal_copy(
                    plain,
                    temporary,
                    driver="COG",
                    COMPRESS="DEFLATE",
                    LEVEL=1,
                    PREDICTOR="YES",
                    BLOCKSIZE=BLOCK,
                    OVERVIEW_RESAMPLING="AVERAGE",
                    BIGTIFF="IF_SAFER",
                    NUM_THREADS="ALL_CPUS",
                )
                written.cover(fine, count=len(look.bands), hole=profile["nodata"], dtype=look.dtype)
                _read_back(temporary, written, masked=masked)
            else:
                _check_blocks(temporary)
        finally:
            if look.cog:
                plain.unlink(missing_ok=True)


def creation_profile(look: Look, window: Window) -> dict[str, Any]:
    """What rasterio needs to create the plain GeoTIFF of `window` (input pixels): the output, or what its COG is copied from.

    The latter lives for seconds, so it is not compressed; blocks that no parcel touches take no room in it.
    """
    fine = window.scaled(look.scale)
    compressed = {
        "compress": "DEFLATE",
        "zlevel": 1,  # with the predictor higher levels take half as long again and save nothing on reflectance
        "predictor": 3 if np.dtype(look.dtype).kind == "f" else 2,
    }
    return {
        "driver": "GTiff",
        "height": fine.height,
        "width": fine.width,
        "count": len(look.bands),
        "dtype": look.dtype,
        "crs": look.crs,
        "transform": finer(shifted(look.transform, window), look.scale),
        "nodata": look.nodata if look.nodata is None or _same(hole_value(look.dtype, look.nodata), look.nodata) else None,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        **({"SPARSE_OK": True} if look.cog else compressed),
        "interleave": "band" if len(look.bands) > 4 else "pixel",
        "num_threads": 1,  # with more of them GDAL keeps to itself that a block could not be written
        "BIGTIFF": "IF_SAFER",
    }


@contextmanager
def block_cache(tile: int, *, scale: int, bands: int, dtype: str) -> Iterator[None]:
    """Hold GDAL's block cache to `CACHE`, or to what the blocks of one tile need; afterwards it is what it was.

    Without a limit GDAL takes a twentieth of the machine's memory. Below the size of a tile it writes blocks half
    filled and appends them to the file again later, which makes the file grow.

    Args:
        tile: side in input pixels.
        scale: fine pixels per input pixel.
        bands: of the output.
        dtype: of the output.
    """
    side = (-(-tile * scale // BLOCK) + 1) * BLOCK
    needed = side**2 * bands * np.dtype(dtype).itemsize
    before = get_gdal_config("GDAL_CACHEMAX")
    try:
        with rasterio.Env(GDAL_CACHEMAX=min(max(CACHE, needed + CACHE // 4), 2**31 - 1)):
            yield
    finally:
        set_gdal_config("GDAL_CACHEMAX", before)  # leaving rasterio's environment inside another one does not


@dataclass(slots=True)
class _Sums:
    """Sums over a file's pixels that do not depend on their order: bits as whole numbers, modulo 2⁶⁴; NaN counts as 0."""

    pixels: int = 0
    bits: int = 0
    valid: int = 0

    def add(self, pixels: NDArray[Any], valid: Mask | None) -> None:
        """Count pixels ``(C, h, w)`` in."""
        whole = np.nan_to_num(pixels, nan=0.0, posinf=None, neginf=None) if pixels.dtype.kind == "f" else pixels
        bits = np.ascontiguousarray(whole).view(f"u{pixels.itemsize}").sum(dtype=np.uint64)
        self.pixels += pixels.size
        self.bits = (self.bits + int(bits)) % 2**64
        self.valid += 0 if valid is None else int(np.count_nonzero(valid))

    def cover(self, window: Window, *, count: int, hole: float | None, dtype: str) -> None:
        """Count in what no piece covered."""
        left = count * window.height * window.width - self.pixels
        one = _Sums()
        one.add(np.full((1, 1, 1), hole or 0, dtype), None)
        self.pixels += left
        self.bits = (self.bits + left * one.bits) % 2**64


def _read_back(path: Path, written: _Sums, *, masked: bool) -> None:
    """Compare the closed file with what was written: GDAL's threads, which make a COG, only log what fails.

    Raises:
        OSError: the file is not whole.
    """
    found = _Sums()
    try:
        with rasterio.open(path) as dataset:
            for _, block in dataset.block_windows(1):
                found.add(dataset.read(window=block), dataset.read_masks(1, window=block) if masked else None)
    except RasterioError as error:
        raise OSError(errno.EIO, _NOT_WHOLE) from error
    if found != written:
        raise OSError(errno.EIO, _NOT_WHOLE)


def _check_blocks(path: Path) -> None:
    """See that all blocks of the closed file lie in it, none over another, and that the last one can be read.

    GDAL tells when a block cannot be written; this is for what fails while the file is being closed.

    Raises:
        OSError: the file is not whole.
    """
    size, before = path.stat().st_size, 0
    try:
        with rasterio.open(path) as dataset:
            bands = dataset.indexes if dataset.interleaving is Interleaving.band else (1,)
            blocks = sorted(
                (*(int(dataset.get_tag_item(f"BLOCK_{what}_{x}_{y}", "TIFF", band) or 0) for what in ("OFFSET", "SIZE")), band, y, x)
                for band in bands
                for (y, x), _ in dataset.block_windows(band)
            )
            for start, length, *_ in blocks:
                if not before <= start < start + length <= size:
                    raise OSError(errno.EIO, _NOT_WHOLE)
                before = start + length
            *_, band, y, x = blocks[-1]
            dataset.read(band, window=dataset.block_window(band, y, x))
    except RasterioError as error:
        raise OSError(errno.EIO, _NOT_WHOLE) from error


def _same(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))


def rasterio_window(window: Window) -> rasterio.windows.Window:
    """The same window as rasterio's type."""
    return rasterio.windows.Window(window.column, window.row, window.width, window.height)


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


def pieces_of(
    tiles: Iterator[tuple[Window, NDArray[Any], Mask]], inside: Callable[[Window], Mask] | None, *, nodata: float | None, scale: int
) -> Iterator[Piece]:
    """Tiles for `write_image`, with what lies outside the parcels turned into nodata.

    Args:
        tiles: window (input pixels), image, and validity ``(C, h, w)`` on the input's grid.
        inside: mask of a window of fine pixels that is to be kept; None keeps all.
        nodata: of the file; 0 (NaN for floats) is written where it is None.
        scale: fine pixels per input pixel.
    """
    for window, image, valid in tiles:
        fine_valid = valid.all(axis=0).repeat(scale, axis=0).repeat(scale, axis=1)
        if inside is None:
            yield window, image, fine_valid
            continue
        keep = inside(window.scaled(scale))
        image[:, ~keep] = hole_value(image.dtype.name, nodata)
        yield window, image, fine_valid & keep


def _label(dataset: DatasetWriter, look: Look) -> None:
    dataset.update_tags(**look.tags)
    dataset.descriptions = tuple(band.description or None for band in look.bands)
    dataset.units = tuple(band.unit or None for band in look.bands)
    dataset.colorinterp = tuple(ColorInterp[band.color] for band in look.bands)
    if any(band.encoding is not None for band in look.bands):
        dataset.scales = tuple(1.0 if band.encoding is None else band.encoding.scale for band in look.bands)
        dataset.offsets = tuple(0.0 if band.encoding is None else band.encoding.offset for band in look.bands)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room and run again"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
