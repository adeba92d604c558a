"""Whether a closed file holds what was written into it: GDAL does not tell of everything that fails."""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Interleaving
from rasterio.errors import RasterioError

from sr_geo.grid import Window
from sr_geo.radiometry import Mask

_NOT_WHOLE = "the file was not written whole, the disk may be full; make room and run again"


@dataclass(slots=True)
class Sums:
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
        one = Sums()
        one.add(np.full((1, 1, 1), hole or 0, dtype), None)
        self.pixels += left
        self.bits = (self.bits + left * one.bits) % 2**64


def read_back(path: Path, written: Sums, *, masked: bool) -> None:
    """Compare the closed file with what was written: GDAL's threads, which make a COG, only log what fails.

    Raises:
        OSError: the file is not whole.
    """
    found = Sums()
    try:
        with rasterio.open(path) as dataset:
            for _, block in dataset.block_windows(1):
                found.add(dataset.read(window=block), dataset.read_masks(1, window=block) if masked else None)
    except RasterioError as error:
        raise OSError(errno.EIO, _NOT_WHOLE) from error
    if found != written:
        raise OSError(errno.EIO, _NOT_WHOLE)


def check_blocks(path: Path) -> None:
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
