"""A raster or satellite product opened for reading: its grid, its bands by role, and windows of their stored values."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from sr_geo.errors import InputError, NoCrsWarning
from sr_geo.grid import Window
from sr_geo.radiometry import Mask
from sr_geo.raster.bands import Band, Domains, Grid, Layer
from sr_geo.raster.dataset import first_line, open_dataset
from sr_geo.raster.opening import read_contents
from sr_geo.raster.roles import checked_role
from sr_geo.raster.sources import files_of

__all__ = ["Band", "Scene"]


@dataclass(eq=False, slots=True, kw_only=True)
class Scene:
    """Bands on one grid, read by window. A context manager.

    Use one scene per thread: `clone` gives another thread its own at no cost.
    """

    path: str
    name: str
    sensor: str | None
    """"sentinel-2", "landsat-8", … or None."""
    height: int
    width: int
    transform: Affine
    crs: CRS | None
    dtype: str
    """Common stored type of all bands; NumPy's promotion where they differ."""
    bands: tuple[Band, ...]
    tags: dict[str, str]
    """Dataset tags that stay true of a raster made from this one."""
    _layers: tuple[Layer, ...]
    domains: Domains = field(default_factory=dict)
    """Tags in named domains that stay true of a raster made from this one."""
    _described_by: tuple[str, ...] = ()
    """GDAL names of the metadata files that were read beside the pixels."""
    _open: dict[tuple[str, bool], tuple[DatasetReader, DatasetReader]] = field(default_factory=dict)
    _closed: bool = False

    @staticmethod
    def open(path: str | os.PathLike[str], *, roles: Mapping[str, int] | None = None, extra: Sequence[str] = ()) -> "Scene":
        """A scene from anything that GDAL opens, a Sentinel-2 SAFE folder or zip, or a Landsat Collection 2 folder or tar.

        Args:
            path: file, folder, archive or GDAL name (``/vsizip/…``). Archives are read in place.
            roles: role → band number from 1, as the user states it ("r", "g", "b", "n" are short names); overrides what
                the file says.
            extra: roles wanted beyond the default ones of a product (blue, green, red, nir): coarser bands of
                Sentinel-2 are brought to the 10 m grid by cubic convolution. A plain raster opens whole anyway and
                must have them.

        Raises:
            InputError: for anything that cannot be read or lacks what is asked for.
            OptionError: for roles that do not exist, and bands that the raster does not have.

        Warns:
            NoCrsWarning: for a raster without a coordinate reference system.
        """
        given = os.fspath(path)
        contents = read_contents(given, roles or {}, extra)
        grid = contents.grid
        scene = Scene(
            path=given,
            name=contents.name,
            sensor=contents.sensor,
            height=grid.height,
            width=grid.width,
            transform=grid.transform,
            crs=grid.crs,
            dtype=contents.dtype,
            bands=contents.bands,
            tags=contents.tags,
            domains=contents.domains,
            _layers=contents.layers,
            _described_by=contents.described_by,
        )
        if scene.crs is None:
            message = f"{given}: no coordinate reference system, so the result will have none: set it with gdal_edit.py -a_srs EPSG:…"
            warnings.warn(message, NoCrsWarning, stacklevel=2)
        return scene

    @property
    def metres(self) -> float | None:
        """Side of a pixel in metres; None without a projected CRS."""
        return Grid(self.height, self.width, self.transform, self.crs).metres

    def clone(self) -> "Scene":
        """The same scene for another thread; files are opened when first read."""
        return replace(self, _open={}, _closed=False)

    def close(self) -> None:
        """Close all files; reading afterwards is an error."""
        for base, view in self._open.values():
            if view is not base:
                view.close()
            base.close()
        self._open.clear()
        self._closed = True

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def files(self) -> tuple[Path, ...]:
        """Every file on disk that the scene is read from, resolved, each once.

        Members of a product and its metadata, the sources of a VRT at any depth, sidecars; for what lies in an archive
        the archive itself. Empty for what is nowhere on disk, such as a raster in memory or on the web.
        """
        return files_of((layer.path for layer in self._layers), described_by=self._described_by)

    def find(self, role: str) -> int | None:
        """0-based band of `role` (or of a short name such as "n"); None where no band is known to be it.

        Raises:
            OptionError: for a name that is no role.
        """
        wanted = checked_role(role)
        return next((i for i, band in enumerate(self.bands) if band.role == wanted), None)

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        """Stored values and validity of a window, which may reach outside.

        Outside lies the mirror image about the outer border of the edge pixels (``numpy.pad`` mode "symmetric"), of
        values and validity alike. Nodata, masked pixels, NaN and infinities are not valid.

        Args:
            window: rows and columns of the scene.
            bands: 0-based, in any order.

        Returns:
            ``(C, h, w)`` of the scene's `dtype`, and ``(C, h, w)`` bool, true where valid.

        Raises:
            InputError: if a file cannot be read there.
            ValueError: for a band that does not exist, or a closed scene.
        """
        if self._closed:
            raise ValueError(f"{self.path}: the scene is closed: open it again")
        if any(not 0 <= band < len(self.bands) for band in bands):
            raise ValueError(f"bands {list(bands)} of a scene with {len(self.bands)}: expected 0 to {len(self.bands) - 1}")
        rows, columns = _mirrored(window.row, window.height, self.height), _mirrored(window.column, window.width, self.width)
        if window.empty or not bands:
            shape = (len(bands), *window.shape)
            return np.empty(shape, self.dtype), np.empty(shape, np.bool_)
        inside = Window(int(rows.min()), int(columns.min()), int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1)
        values, valid = self._read_inside(inside, bands)
        if inside == window:
            return values, valid
        index = (slice(None), (rows - inside.row)[:, None], (columns - inside.column)[None, :])
        return values[index], valid[index]

    def _read_inside(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        # One call per file reads all its bands at once; a VRT may hold several types, which rasterio reads apart.
        files: dict[tuple[str, bool, str], list[int]] = {}
        for position, band in enumerate(bands):
            layer = self._layers[band]
            files.setdefault((layer.path, layer.resampled, self.bands[band].dtype), []).append(position)
        values = np.empty((len(bands), *window.shape), self.dtype)
        valid = np.empty(values.shape, np.bool_)
        for (path, resampled, dtype), positions in files.items():
            layers = [self._layers[bands[position]] for position in positions]
            try:
                stored, masks = _read_file(self._dataset(path, resampled), layers, window)
            except (RasterioError, OSError) as error:
                words = first_line(error)
                remedy = "put back what it refers to" if "No such file" in words else "the file may be cut short, copy or download it again"
                raise InputError(
                    f"{path}: rows {window.row} to {window.row_stop - 1}, columns {window.column} to {window.column_stop - 1} cannot be "
                    f"read ({words}): {remedy}"
                ) from error
            if len(files) == 1 and dtype == self.dtype:
                values = stored  # as nearly always: no copy
            else:
                values[positions] = stored
            for position, layer, pixels, mask in zip(positions, layers, stored, masks, strict=True):
                _judge(pixels, layer.nodata, out=valid[position])
                if mask is not None:
                    valid[position] &= mask != 0
        return values, valid

    def _dataset(self, path: str, resampled: bool) -> DatasetReader:
        key = (path, resampled)
        if key not in self._open:
            base = open_dataset(path)
            self._open[key] = (base, self._on_grid(base) if resampled else base)
        return self._open[key][1]

    def _on_grid(self, base: DatasetReader) -> WarpedVRT:
        # GDAL's tolerance of 1/8 pixel would make pixels depend on the window they are read with (rasterio fails with 0).
        return WarpedVRT(
            base,
            crs=self.crs,
            transform=self.transform,
            height=self.height,
            width=self.width,
            resampling=Resampling.cubic,
            tolerance=1e-6,
            src_nodata=0,
            nodata=0,
        )


def _mirrored(start: int, length: int, size: int) -> NDArray[np.intp]:
    """Indices inside ``0…size−1`` for ``start…start+length−1``, mirrored at both borders as often as needed."""
    turned = np.arange(start, start + length, dtype=np.intp) % (2 * size)
    mirrored: NDArray[np.intp] = np.where(turned < size, turned, 2 * size - 1 - turned)
    return mirrored


def _read_file(dataset: DatasetReader, layers: Sequence[Layer], window: Window) -> tuple[NDArray[Any], list[NDArray[np.uint8] | None]]:
    """Pixels of the bands of one file, in one call, and their masks where these say more than nodata does."""
    part = rasterio.windows.Window(window.column, window.row, window.width, window.height)
    stored: NDArray[Any] = dataset.read([layer.number for layer in layers], window=part)
    masks: list[NDArray[np.uint8] | None] = []
    common: NDArray[np.uint8] | None = None
    for layer in layers:
        if layer.masked and (common is None or MaskFlags.per_dataset not in dataset.mask_flag_enums[layer.number - 1]):
            common = dataset.read_masks(layer.number, window=part)
        masks.append(common if layer.masked else None)
    return stored, masks


def _judge(pixels: NDArray[Any], nodata: float | None, *, out: Mask) -> None:
    """Write into `out` which pixels are neither nodata nor NaN nor infinite."""
    if nodata is None or np.isnan(nodata):
        out.fill(True)
    else:
        np.not_equal(pixels, pixels.dtype.type(nodata), out=out)
    if pixels.dtype.kind == "f":
        out &= np.isfinite(pixels)
