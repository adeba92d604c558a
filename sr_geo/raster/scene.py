"""A raster or satellite product opened for reading: its grid, its bands by role, and windows of their stored values."""

import os
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import rasterio
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from sr_geo.errors import InputError, NoCrsWarning
from sr_geo.grid import Window
from sr_geo.radiometry import Encoding, Mask
from sr_geo.raster import landsat, sentinel2
from sr_geo.raster.plain import (
    kept_tags,
    plain_encoding,
    plain_roles,
    plain_sensor,
    read_item,
    reads_mask,
    refuse_unusable,
    states_encoding,
)
from sr_geo.raster.product import Product, locate
from sr_geo.raster.roles import checked_role, numbered_roles

# `catch_warnings` changes state of the whole process: two threads must not be inside at once.
_OPENING = threading.Lock()


@dataclass(frozen=True, slots=True)
class Band:
    """One band of a scene."""

    role: str | None
    """What it shows ("blue", "nir", "swir1", …, see `sr_geo.raster.roles.ROLES`); None where unknown, and for alpha."""
    description: str
    """Band description as GDAL keeps it; "" if none."""
    encoding: Encoding
    """Stored value → reflectance, and nodata."""
    dtype: str
    """NumPy name of the type in the file."""
    color: str
    """Name of the rasterio ColorInterp: "red", "gray", "alpha", "undefined", …"""
    unit: str
    """Unit of the decoded values; "" if none."""
    metres: float | None
    """Native pixel size in metres where the band was brought to the scene's finer grid, else None."""
    stated: bool = False
    """Whether the file or product states the encoding; otherwise it is the usual one of the type."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Where the pixels of one band lie."""

    path: str
    number: int
    resampled: bool
    masked: bool
    nodata: float | None


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
    _layers: tuple[_Layer, ...]
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

        Warns:
            NoCrsWarning: for a raster without a coordinate reference system.
        """
        given = os.fspath(path)
        product = _find_product(given, extra)
        scene = _open_raster(given, roles or {}, extra) if product is None else _open_product(given, product, roles or {})
        if scene.crs is None:
            message = f"{given}: no coordinate reference system, so the result will have none: set it with gdal_edit.py -a_srs EPSG:…"
            warnings.warn(message, NoCrsWarning, stacklevel=2)
        return scene

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

    def find(self, role: str) -> int | None:
        """0-based band of `role` (or of a short name such as "n"); None where no band is known to be it.

        Raises:
            InputError: for a name that is no role.
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
                raise InputError(
                    f"{path}: rows {window.row} to {window.row_stop - 1}, columns {window.column} to {window.column_stop - 1} cannot be "
                    f"read ({_first_line(error)}): the file may be cut short, copy or download it again"
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
            base = _open_dataset(path)
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


def _read_file(dataset: DatasetReader, layers: Sequence[_Layer], window: Window) -> tuple[NDArray[Any], list[NDArray[np.uint8] | None]]:
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


def _open_dataset(path: str) -> DatasetReader:
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # `NoCrsWarning` says it in our terms
        return rasterio.open(path)


def _open_for_reading(path: str) -> DatasetReader:
    """An open dataset.

    Raises:
        InputError: for what GDAL cannot open; tells a missing, an empty and a strange file apart.
    """
    try:
        return _open_dataset(path)
    except (RasterioIOError, OSError) as error:
        file = Path(path)
        if file.is_dir():
            message = "neither a Sentinel-2 SAFE folder, nor a Landsat folder with its MTL.txt, nor a raster: give a raster file"
        elif file.is_file() and file.stat().st_size == 0:
            message = "the file is empty (0 bytes): copy or download it again"
        elif file.is_file():
            message = f"not a raster that GDAL can open, or a damaged one ({_first_line(error)}): check it with gdalinfo"
        elif path.startswith("/vsi") or "://" in path:
            message = f"cannot be opened ({_first_line(error)}): check the name"
        else:
            message = "no such file or folder: check the name"
        raise InputError(f"{path}: {message}") from error


def _first_line(error: BaseException) -> str:
    # rasterio puts GDAL's own words into the cause and a general sentence into the error.
    cause = error.__cause__ or error
    return str(cause).strip().split("\n")[0] or type(cause).__name__


def _find_product(path: str, extra: Sequence[str]) -> Product | None:
    members = locate(path)
    if members is None:
        return None
    safe = sentinel2.find_safe(members)
    if safe is not None:
        return sentinel2.read_product(safe, extra=extra)
    scene = landsat.find_landsat(members)
    if scene is not None:
        return landsat.read_product(scene, extra=extra)
    if members.path.is_dir():
        return None  # GDAL knows other folders that are rasters
    rasters = [name for name in members.names if name.lower().endswith((".tif", ".tiff", ".jp2", ".vrt", ".img"))]
    hint = f"give the raster in it: {members.gdal_path(rasters[0])}" if rasters else "give a raster or a whole product"
    raise InputError(f"{path}: no Sentinel-2 product (.SAFE) and no Landsat product inside: {hint}")


def _open_raster(path: str, roles: Mapping[str, int], extra: Sequence[str]) -> Scene:
    with _open_for_reading(path) as dataset:
        refuse_unusable(dataset, path)
        item = read_item(path)
        sensor = plain_sensor(dataset, path, item)
        given = numbered_roles(roles, dataset.count)
        calibration = (sentinel2.file_encoding(path) or landsat.file_encoding(path)) if dataset.count == 1 else None
        found = _overridden(plain_roles(dataset, path, item, sensor), given)
        # RGB + NIR files are often written as RGBA; a band that is known to be data is no transparency.
        alpha = [color is ColorInterp.alpha for color in dataset.colorinterp]
        alpha_is_data = any(is_alpha and role is not None for is_alpha, role in zip(alpha, found, strict=True))
        bands = tuple(
            Band(
                role=found[i],
                description=dataset.descriptions[i] or "",
                encoding=calibration or plain_encoding(dataset, i),
                dtype=dataset.dtypes[i],
                color="undefined" if alpha[i] and found[i] is not None else dataset.colorinterp[i].name,
                unit=dataset.units[i] or "",
                metres=None,
                stated=states_encoding(dataset, i),
            )
            for i in range(dataset.count)
        )
        layers = tuple(
            _Layer(path, i + 1, False, reads_mask(dataset, i, alpha_is_data=alpha_is_data), band.encoding.nodata)
            for i, band in enumerate(bands)
        )
        scene = Scene(
            path=path,
            name=path.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition(".")[0] or path,
            sensor=sensor,
            height=dataset.height,
            width=dataset.width,
            transform=dataset.transform,
            crs=dataset.crs,
            dtype=np.result_type(*dataset.dtypes).name,
            bands=bands,
            tags=kept_tags(dataset),
            _layers=layers,
        )
    for role in extra:
        if scene.find(role) is None:
            raise InputError(f"{path}: no band is known to be {role}: say which it is with --bands {role}=NUMBER")
    return scene


def _overridden(found: Sequence[str | None], given: Mapping[int, str]) -> list[str | None]:
    """Roles with those of the user on top; a band loses a role that the user gives to another."""
    return [given.get(i, None if role in given.values() else role) for i, role in enumerate(found)]


def _open_product(path: str, product: Product, roles: Mapping[str, int]) -> Scene:
    given = numbered_roles(roles, len(product.bands))
    found = _overridden([band.role for band in product.bands], given)
    bands, layers = [], []
    grid: tuple[int, int, Affine, CRS | None] | None = None
    for band, role in zip(product.bands, found, strict=True):
        with _open_for_reading(band.path) as dataset:
            refuse_unusable(dataset, band.path)
            own = (dataset.height, dataset.width, dataset.transform, dataset.crs)
            grid = grid or own
            resampled = own != grid
            if resampled and not _nested(own, grid):
                raise InputError(f"{band.path}: {band.name} lies on another grid than {product.bands[0].name}: open it by itself")
            kind = dataset.dtypes[0]
        color = role if role in ("red", "green", "blue") else "undefined"
        bands.append(Band(role, band.name, band.encoding, kind, color, band.unit, band.metres, stated=True))
        layers.append(_Layer(band.path, 1, resampled, False, band.encoding.nodata))
    if grid is None:
        raise InputError(f"{path}: no bands to open")
    return Scene(
        path=path,
        name=product.name,
        sensor=product.sensor,
        height=grid[0],
        width=grid[1],
        transform=grid[2],
        crs=grid[3],
        dtype=np.result_type(*(band.dtype for band in bands)).name,
        bands=tuple(bands),
        tags=dict(product.tags),
        _layers=tuple(layers),
    )


def _nested(coarse: tuple[int, int, Affine, CRS | None], fine: tuple[int, int, Affine, CRS | None]) -> bool:
    """Whether both grids have the same CRS and corner and one coarse pixel is a whole number of fine ones.

    The coarse grid may reach less than one of its pixels beyond: 60 m pixels do not always divide a tile.
    """
    ratio = ~fine[2] @ coarse[2]
    scale = round(ratio.a)
    aligned = scale >= 1 and ratio.almost_equals(Affine.scale(scale), precision=1e-6)
    covers = all(0 <= large * scale - small < scale for large, small in zip(coarse[:2], fine[:2], strict=True))
    return aligned and covers and coarse[3] == fine[3] and fine[3] is not None
