"""Pixels of deep and of large pictures, unpacked by GDAL block by block: Pillow cuts colours to 8 bits, and unpacks all at once."""

import mmap
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import InputError

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

DRIVERS = {"PNG": "PNG", "JPEG": "JPEG", "MPO": "JPEG", "TIFF": "GTiff", "WEBP": "WEBP", "BMP": "BMP", "JPEG2000": "JP2OpenJPEG"}
"""Pillow's name of a format → GDAL's."""

IN_MEMORY = 64_000_000
"""Pixels up to which a picture is unpacked in memory; a larger one is unpacked into a temporary file."""

_BLOCK = 4_000_000
"""Pixels that are unpacked at a time."""

_CACHE = 48 * 2**20
"""Bytes of unpacked blocks that GDAL keeps at least (rasterio hands it bytes, unlike the variable of the environment)."""

_SETTINGS = {"GDAL_PAM_ENABLED": False, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
"""No file beside the picture is read or written."""

Clear = int | tuple[int, ...] | None
"""The value or colour of a picture that stands for "nothing here"; None: there is none."""

Turn = Callable[[NDArray[Any]], NDArray[Any]]
"""Values of the file ``(bands, h, w)`` as pixels ``(h, w, C)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Unpacked:
    """Pixels of a file, as they lie in it."""

    pixels: Pixels
    """``(H, W, C)``: gray or red, green, blue, and opacity last where `alpha`; 8 or 16 bits, white is the largest number."""
    alpha: bool
    mapped: mmap.mmap | None = None
    """The temporary file where they lie; None: in memory."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the numbers of a file become."""

    bands: int
    """Of the pixels, opacity among them."""
    alpha: bool
    dtype: str
    turn: Turn


def unpack(path: Path, driver: str, *, clear: Clear = None, premultiplied: bool = False) -> Unpacked:
    """The pixels of a file of 1 to 16 bits: gray, in colour, or numbers of a palette.

    Args:
        path: of the file.
        driver: of GDAL, from `DRIVERS`.
        clear: what is transparent, as the file has it.
        premultiplied: whether its colours were multiplied by its opacity.

    Raises:
        InputError: its bands are others, it is damaged, or there is no room for it.
    """
    import rasterio
    from rasterio.errors import RasterioError
    from rasterio.windows import Window

    from sr_geo.raster.dataset import placed_or_not

    try:
        with placed_or_not(), rasterio.Env(**_SETTINGS), rasterio.open(path, driver=driver) as dataset:
            layout = _layout(path, dataset, clear, premultiplied=premultiplied)
            pixels, mapped = _room((dataset.height, dataset.width, layout.bands), layout.dtype, path)
            step = max(1, _BLOCK // dataset.width)
            row = max(height for height, _ in dataset.block_shapes) * dataset.width * dataset.count * np.dtype(dataset.dtypes[0]).itemsize
            with _block_cache(row):
                for first in range(0, dataset.height, step):
                    rows = min(step, dataset.height - first)
                    pixels[first : first + rows] = layout.turn(dataset.read(window=Window(0, first, dataset.width, rows)))
                    forget(mapped)
    except RasterioError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:160]
        raise InputError(f"{path}: cannot be unpacked ({reason}); copy it again, or store it as plain TIFF") from error
    return Unpacked(pixels, layout.alpha, mapped)


@contextmanager
def _block_cache(row: int) -> Iterator[None]:
    """Hold GDAL's cache to a row of the file's blocks, `row` bytes; without a limit it takes a twentieth of the machine's memory."""
    import rasterio
    from rasterio.env import get_gdal_config, set_gdal_config

    before = get_gdal_config("GDAL_CACHEMAX")
    try:
        with rasterio.Env(GDAL_CACHEMAX=min(max(_CACHE, row + row // 4), 2**31 - 1)):
            yield
    finally:
        set_gdal_config("GDAL_CACHEMAX", before)  # leaving rasterio's environment inside another one does not


def forget(mapped: mmap.mmap | None) -> None:
    """Give the memory back that pages of a temporary file took; they stay in the file and are read again when they are asked for."""
    if mapped is not None and hasattr(mapped, "madvise"):  # Windows has it not, and drops them by itself
        mapped.madvise(mmap.MADV_DONTNEED)


def _layout(path: Path, dataset: "DatasetReader", clear: Clear, *, premultiplied: bool) -> _Layout:
    """How the file's numbers become pixels."""
    from rasterio.enums import ColorInterp

    kinds, structure = dataset.colorinterp, dataset.tags(1, ns="IMAGE_STRUCTURE")
    if set(dataset.dtypes) not in ({"uint8"}, {"uint16"}):
        raise _refused(path, dataset)
    deep = dataset.dtypes[0] == "uint16"
    bits = int(structure.get("NBITS", 16 if deep else 8))
    inverted = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
    if kinds == (ColorInterp.palette,) and not deep:
        return _palette(dataset.colormap(1), clear)
    alpha = kinds[-1] is ColorInterp.alpha
    colours = kinds[:-1] if alpha else kinds
    # GDAL takes white-is-zero for a palette that it does not call so.
    gray = colours in ((ColorInterp.gray,), (ColorInterp.undefined,)) if inverted else colours == (ColorInterp.gray,)
    if not gray and colours != (ColorInterp.red, ColorInterp.green, ColorInterp.blue):
        raise _refused(path, dataset)
    dtype = "uint16" if deep else "uint8"
    turn = _plain(bits, dtype, clear, inverted=inverted, premultiplied=premultiplied and alpha)
    return _Layout(len(kinds) + (clear is not None), alpha or clear is not None, dtype, turn)


def _refused(path: Path, dataset: "DatasetReader") -> InputError:
    what = ", ".join(kind.name for kind in dataset.colorinterp)
    return InputError(f"{path}: bands {what} of type {dataset.dtypes[0]}; expected gray, or red, green and blue, of 1 to 16 bits")


def _palette(table: dict[int, tuple[int, ...]], clear: Clear) -> _Layout:
    """Numbers of colours as those colours; as gray where all are gray."""
    colours = np.zeros((256, 4), np.uint8)
    for number, colour in table.items():
        colours[number] = colour
    if isinstance(clear, int):
        colours[clear, 3] = 0
    listed = colours[list(table)]
    gray = bool((listed[:, :1] == listed[:, :3]).all())
    alpha = bool((listed[:, 3] < 255).any())
    taken = colours[:, ([0] if gray else [0, 1, 2]) + ([3] if alpha else [])]
    return _Layout(taken.shape[1], alpha, "uint8", lambda values: taken[values[0]])


def _plain(bits: int, dtype: str, clear: Clear, *, inverted: bool, premultiplied: bool) -> Turn:
    """Numbers of `bits` bits as pixels whose white is the largest number of their type."""
    top, most = np.iinfo(dtype).max, 2**bits - 1
    key = None if clear is None else np.atleast_1d(clear)

    def turn(values: NDArray[Any]) -> NDArray[Any]:
        pixels = values.transpose(1, 2, 0)
        opaque = None if key is None else (pixels != key).any(axis=2, keepdims=True)
        if most != top:
            pixels = ((pixels.astype(np.uint32) * top + most // 2) // most).astype(dtype)
        if inverted:
            pixels = np.concatenate([top - pixels[..., :1], pixels[..., 1:]], axis=2)
        if premultiplied:
            pixels = _divided(pixels, top)
        return pixels if opaque is None else np.concatenate([pixels, (opaque * top).astype(dtype)], axis=2)

    return turn


def _divided(pixels: NDArray[Any], top: int) -> NDArray[Any]:
    """Colours as they are, from colours multiplied by their opacity."""
    opacity = pixels[..., -1:].astype(np.uint64)
    colours = (pixels[..., :-1].astype(np.uint64) * top + opacity // 2) // np.maximum(opacity, 1)
    return np.concatenate([np.minimum(colours, top).astype(pixels.dtype), pixels[..., -1:]], axis=2)


def _room(shape: tuple[int, int, int], dtype: str, path: Path) -> tuple[Pixels, mmap.mmap | None]:
    """Space for the pixels: in memory, or in a temporary file that vanishes with the array."""
    if shape[0] * shape[1] <= IN_MEMORY:
        return np.empty(shape, dtype), None
    size, folder = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize, gettempdir()
    full = InputError(
        f"{path}: {size / 1e9:.1f} GB are needed in {folder} to unpack it, {shutil.disk_usage(folder).free / 1e9:.1f} GB are free; "
        "make room, or name another folder by the environment variable TMPDIR"
    )
    if size > shutil.disk_usage(folder).free:
        raise full
    with TemporaryFile(prefix="sr-geo-") as file:
        if hasattr(os, "posix_fallocate"):  # a disk that is full later on would end this process when a page is written
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError:
                raise full from None
        room: Pixels = np.memmap(file, dtype, mode="w+", shape=shape)
    mapped: Any = room.base  # whatever numpy's type stubs say of it
    return room, mapped
