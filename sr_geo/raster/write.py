"""From finished tiles to files: GeoTIFF or COG, under a temporary name until it is whole."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.env import get_gdal_config, set_gdal_config
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.shutil import copy as gdal_copy

from sr_geo.errors import OptionError
from sr_geo.files import whole_file
from sr_geo.grid import Window, finer, shifted
from sr_geo.radiometry import Encoding, Mask, hole_value
from sr_geo.raster.bands import Domains
from sr_geo.raster.verify import Sums, check_blocks, read_back

Compression = Literal["deflate", "zstd", "lzw", "none"]

BLOCK = 512
"""Side of a block in the file; tiles of a multiple of BLOCK / scale input pixels fill whole blocks."""

CACHE = 48 * 2**20
"""Bytes (rasterio hands GDAL bytes, unlike the variable of the environment) of blocks in memory, of the input and of the output."""

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
    domains: Domains = field(default_factory=dict, hash=False)
    """Tags of the band."""


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
    compress: Compression = "deflate"
    cog: bool = False
    domains: Domains = field(default_factory=dict, hash=False)
    """Further tags, in named domains. GDAL copies none of them into a COG."""


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
        written = Sums()
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
                gdal_copy(plain, temporary, driver="COG", **_cog_options(look))
                written.cover(fine, count=len(look.bands), hole=profile["nodata"], dtype=look.dtype)
                read_back(temporary, written, masked=masked)
            else:
                check_blocks(temporary)
        finally:
            if look.cog:
                plain.unlink(missing_ok=True)


def creation_profile(look: Look, window: Window) -> dict[str, Any]:
    """What rasterio needs to create the plain GeoTIFF of `window` (input pixels): the output, or what its COG is copied from.

    The latter lives for seconds, so it is not compressed; blocks that no parcel touches take no room in it.
    """
    fine = window.scaled(look.scale)
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
        **({"SPARSE_OK": True} if look.cog else _packed(look)),
        "interleave": "band",  # takes a fifth less time than pixel by pixel, and up to a fifth less room
        "num_threads": 1,  # with more of them GDAL keeps to itself that a block could not be written
        "BIGTIFF": "IF_SAFER",
    }


def check_compression(compress: str) -> None:
    """Refuse what this GDAL was built without, before any work is done.

    Raises:
        OptionError: with what to do.
    """
    profile = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8", "transform": Affine.scale(2)}
    try:
        with rasterio.MemoryFile() as memory:
            memory.open(**profile, compress=compress).close()
            with memory.open() as dataset:
                found = dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "none").lower()  # GDAL only warns of some
    except RasterioError:
        found = ""
    if found != compress:
        raise OptionError(f"compress {compress}: the GDAL on this machine cannot write it; choose deflate")


def _packed(look: Look) -> dict[str, Any]:
    """How a GeoTIFF is compressed: at the lowest level, since higher ones take longer by half or more and save next to nothing."""
    if look.compress == "none":
        return {}
    level = {"deflate": {"zlevel": 1}, "zstd": {"zstd_level": 1}}.get(look.compress, {})
    return {"compress": look.compress, "predictor": 3 if np.dtype(look.dtype).kind == "f" else 2, **level}


def _cog_options(look: Look) -> dict[str, Any]:
    """How a COG is made; the level is as for `_packed`."""
    packed = {} if look.compress == "none" else {"PREDICTOR": "YES"}
    level = {"LEVEL": 1} if look.compress in ("deflate", "zstd") else {}
    return {
        "COMPRESS": look.compress,
        **packed,
        **level,
        "BLOCKSIZE": BLOCK,
        "OVERVIEW_RESAMPLING": "AVERAGE",
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": "ALL_CPUS",
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


def _same(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))


def rasterio_window(window: Window) -> rasterio.windows.Window:
    """The same window as rasterio's type."""
    return rasterio.windows.Window(window.column, window.row, window.width, window.height)


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
    for domain, tags in look.domains.items():
        dataset.update_tags(ns=domain, **tags)
    for number, band in enumerate(look.bands, 1):
        for domain, tags in band.domains.items():
            dataset.update_tags(number, ns=domain or None, **tags)
    dataset.descriptions = tuple(band.description or None for band in look.bands)
    dataset.units = tuple(band.unit or None for band in look.bands)
    dataset.colorinterp = tuple(ColorInterp[band.color] for band in look.bands)
    if any(band.encoding is not None for band in look.bands):
        dataset.scales = tuple(1.0 if band.encoding is None else band.encoding.scale for band in look.bands)
        dataset.offsets = tuple(0.0 if band.encoding is None else band.encoding.offset for band in look.bands)
