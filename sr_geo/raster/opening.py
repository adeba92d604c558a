"""From what a user names to the contents of a scene: a product by its metadata, any other raster by what it says itself."""

from collections.abc import Mapping, Sequence

import numpy as np
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from sr_geo.errors import InputError
from sr_geo.raster import landsat, sentinel2
from sr_geo.raster.bands import Band, Contents, Grid, Layer
from sr_geo.raster.dataset import open_checked
from sr_geo.raster.plain import (
    kept_band_domains,
    kept_domains,
    kept_tags,
    plain_encoding,
    read_bands,
    reads_mask,
    refuse_unusable,
    states_encoding,
)
from sr_geo.raster.product import Product, locate
from sr_geo.raster.roles import checked_role, numbered_roles
from sr_geo.raster.stac import find_item


def read_contents(path: str, roles: Mapping[str, int], extra: Sequence[str]) -> Contents:
    """What `path` holds; see `sr_geo.raster.scene.Scene.open` for the arguments.

    Raises:
        InputError: for anything that cannot be read or lacks what is asked for.
        OptionError: for roles that do not exist, and bands that the raster does not have.
    """
    product = _find_product(path, extra)
    return _read_raster(path, roles, extra) if product is None else _read_product(path, product, roles)


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


def _read_raster(path: str, roles: Mapping[str, int], extra: Sequence[str]) -> Contents:
    beside, item = find_item(path)
    with open_checked(path) as dataset:
        refuse_unusable(dataset, path)
        given = numbered_roles(roles, dataset.count)
        calibration = (sentinel2.file_calibration(path) or landsat.file_calibration(path)) if dataset.count == 1 else None
        told = read_bands(dataset, path, item)
        found = _overridden(told.roles, given)
        marks = [told.marks[i] and i not in given for i in range(dataset.count)]
        # RGB + NIR files are often written as RGBA; a band that is known to be data is no transparency.
        alpha = [color is ColorInterp.alpha for color in dataset.colorinterp]
        alpha_is_data = any(is_alpha and role is not None for is_alpha, role in zip(alpha, found, strict=True))
        bands = tuple(
            Band(
                role=found[i],
                description=dataset.descriptions[i] or "",
                encoding=calibration.encoding if calibration else plain_encoding(dataset, i, marks=marks[i]),
                dtype=dataset.dtypes[i],
                color=_color(dataset, i, is_data=found[i] is not None),
                unit=dataset.units[i] or (calibration.unit if calibration else ""),
                metres=None,
                stated=calibration is not None or states_encoding(dataset, i),
                marks=marks[i],
                domains=kept_band_domains(dataset, i + 1),
            )
            for i in range(dataset.count)
        )
        layers = tuple(
            Layer(path, i + 1, False, reads_mask(dataset, i, alpha_is_data=alpha_is_data), band.encoding.nodata)
            for i, band in enumerate(bands)
        )
        contents = Contents(
            name=path.replace("\\", "/").rstrip("/").rpartition("/")[2].rpartition(".")[0] or path,
            sensor=told.sensor,
            grid=_grid(dataset),
            dtype=np.result_type(*dataset.dtypes).name,
            bands=bands,
            layers=layers,
            tags=kept_tags(dataset),
            described_by=tuple(file for file in (beside, calibration.source if calibration else "") if file),
            domains=kept_domains(dataset),
        )
    for role in extra:
        wanted = checked_role(role)
        if all(band.role != wanted for band in bands):
            raise InputError(f"{path}: no band is known to be {role}: say which it is with --bands {role}=NUMBER")
    return contents


def _read_product(path: str, product: Product, roles: Mapping[str, int]) -> Contents:
    given = numbered_roles(roles, len(product.bands))
    found = _overridden([band.role for band in product.bands], given)
    bands, layers = [], []
    grid: Grid | None = None
    for band, role in zip(product.bands, found, strict=True):
        with open_checked(band.path) as dataset:
            refuse_unusable(dataset, band.path)
            own = _grid(dataset)
            grid = grid or own
            if own != grid and not grid.nests(own):
                raise InputError(f"{band.path}: {band.name} lies on another grid than {product.bands[0].name}: open it by itself")
            kind = dataset.dtypes[0]
        color = role if role in ("red", "green", "blue") else "undefined"
        bands.append(Band(role, band.name, band.encoding, kind, color, band.unit, band.metres, stated=True))
        layers.append(Layer(band.path, 1, own != grid, False, band.encoding.nodata))
    if grid is None:
        raise InputError(f"{path}: no bands to open")
    return Contents(
        name=product.name,
        sensor=product.sensor,
        grid=grid,
        dtype=np.result_type(*(band.dtype for band in bands)).name,
        bands=tuple(bands),
        layers=tuple(layers),
        tags=dict(product.tags),
        described_by=(product.metadata,),
    )


def _overridden(found: Sequence[str | None], given: Mapping[int, str]) -> list[str | None]:
    """Roles with those of the user on top; a band loses a role that the user gives to another."""
    return [given.get(i, None if role in given.values() else role) for i, role in enumerate(found)]


def _color(dataset: DatasetReader, index: int, *, is_data: bool) -> str:
    color = dataset.colorinterp[index]
    # An output has no colour table, so none of its bands can hold indices into one.
    lost = color is ColorInterp.palette or (color is ColorInterp.alpha and is_data)
    return "undefined" if lost else str(color.name)


def _grid(dataset: DatasetReader) -> Grid:
    return Grid(dataset.height, dataset.width, dataset.transform, dataset.crs)
