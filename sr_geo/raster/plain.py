"""What a plain raster says of its bands: roles, encodings and masks, from the file and from a STAC Item beside it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from sr_geo.errors import InputError
from sr_geo.radiometry import Encoding, default_encoding
from sr_geo.raster.roles import band_number, canonical, role_of_number, roles_of, sensor_of, sensor_of_tags, without_rivals

_LARGEST_ITEM = 4 * 2**20  # bytes

# Tags that describe the file's pixels or layout and are wrong for anything derived from it.
_DROPPED_TAGS = re.compile(r"STATISTICS_.*|OVR_RESAMPLING_ALG|LAYOUT|COLOR_.*|SOURCE_COLOR_SPACE|HISTOGRAM.*", re.IGNORECASE)

_COLOR_ROLES = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "nir": "nir",
    "coastal": "coastal",
    "pan": "pan",
}


def refuse_unusable(dataset: DatasetReader, path: str) -> None:
    """Raise where a raster cannot be enhanced as it is.

    Raises:
        InputError: no bands, complex or unknown types, a colour table, or a position by GCPs, RPCs or geolocation arrays only.
    """
    if dataset.count == 0:
        inner = dataset.subdatasets
        hint = f"give one of its {len(inner)} subdatasets, such as {inner[0]}" if inner else "expected a raster with at least one band"
        raise InputError(f"{path}: holds no bands itself: {hint}")
    strange = [kind for kind in dataset.dtypes if kind.startswith("complex") or np.dtype(kind).kind not in "iuf"]
    if strange:
        raise InputError(f"{path}: bands of type {strange[0]}, expected integers or real numbers: extract amplitude or phase first")
    if ColorInterp.palette in dataset.colorinterp:
        raise InputError(f"{path}: holds indices into a colour table, not values: expand it first with gdal_translate -expand rgb")
    if dataset.transform.is_identity:
        for located, how in (
            (bool(dataset.gcps[0]), "ground control points"),
            (dataset.rpcs is not None, "rational polynomials (RPC)"),
            (bool(dataset.tags(ns="GEOLOCATION")), "geolocation arrays"),
        ):
            if located:
                raise InputError(f"{path}: located by {how} only, expected a geotransform: warp it first: gdalwarp {path} warped.tif")
    if dataset.transform.is_degenerate:
        raise InputError(f"{path}: its geotransform has pixels without area: mend it with gdal_edit.py -a_ullr")


def plain_encoding(dataset: DatasetReader, index: int) -> Encoding:
    """Encoding of band `index` (0-based): the dataset's scale and offset, else the usual one of its type; with its nodata."""
    kind = dataset.dtypes[index]
    nodata = storable(dataset.nodatavals[index], kind)
    if states_encoding(dataset, index):
        return Encoding(float(dataset.scales[index]), float(dataset.offsets[index]), nodata)
    usual = default_encoding(kind)
    return Encoding(usual.scale, usual.offset, nodata)


def states_encoding(dataset: DatasetReader, index: int) -> bool:
    """Whether the dataset gives band `index` (0-based) a scale and offset that can be used and do something."""
    scale, offset = dataset.scales[index], dataset.offsets[index]
    return bool(scale and np.isfinite(scale) and np.isfinite(offset) and (scale, offset) != (1.0, 0.0))


def storable(nodata: float | None, dtype: str) -> float | None:
    """`nodata` as a pixel of `dtype` holds it; None where no pixel can (−9999 in unsigned integers)."""
    kind = np.dtype(dtype)
    if nodata is None:
        return None
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return float(kind.type(nodata))
    limits = np.iinfo(kind)
    return float(nodata) if float(nodata).is_integer() and limits.min <= nodata <= limits.max else None


def reads_mask(dataset: DatasetReader, index: int, *, alpha_is_data: bool) -> bool:
    """Whether validity of band `index` comes from a mask or alpha band; otherwise nodata, known already, tells it all."""
    flags = dataset.mask_flag_enums[index]
    if MaskFlags.alpha in flags:
        return not alpha_is_data
    return MaskFlags.per_dataset in flags or not (MaskFlags.all_valid in flags or MaskFlags.nodata in flags)


def kept_tags(dataset: DatasetReader) -> dict[str, str]:
    """Dataset tags that stay true of a raster made from this one."""
    return {key: value for key, value in dataset.tags().items() if not _DROPPED_TAGS.fullmatch(key)}


def plain_sensor(dataset: DatasetReader, path: str, item: Mapping[str, Any]) -> str | None:
    """Sensor named by the dataset's tags, the STAC Item or the file's name, in this order."""
    properties = item.get("properties")
    texts = {str(key): str(value) for key, value in properties.items()} if isinstance(properties, dict) else {}
    return sensor_of_tags(dataset.tags()) or sensor_of_tags(texts) or sensor_of(_file_name(path))


def plain_roles(dataset: DatasetReader, path: str, item: Mapping[str, Any], sensor: str | None) -> list[str | None]:
    """One role or None per band.

    Taken from band descriptions and tags first, then from STAC, from dataset tags that list bands, and from colour
    interpretation; for a raster of one band also from its name ("…_B04.tif"). Nothing is guessed from the order.
    """
    metres = _pixel_metres(dataset)
    described = roles_of([_band_text(dataset, i) for i in range(dataset.count)], sensor=sensor, metres=metres)
    sources = [
        described,
        _stac_roles(stac_bands(item, _file_name(path), dataset.count), sensor, metres, dataset.count),
        _tag_roles(dataset, sensor, metres),
    ]
    if not any(role for roles in sources for role in roles):
        sources.append(_name_role(path, sensor) if dataset.count == 1 else [None] * dataset.count)
        sources.append([_COLOR_ROLES.get(color.name) for color in dataset.colorinterp])
    merged = [next((roles[i] for roles in sources if roles[i] is not None), None) for i in range(dataset.count)]
    return without_rivals(merged)


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _pixel_metres(dataset: DatasetReader) -> float | None:
    """Side of a pixel in metres, from its area; None without a projected CRS (degrees would be too rough a clue)."""
    if dataset.crs is None or not dataset.crs.is_projected:
        return None
    return float(abs(dataset.transform.determinant) ** 0.5 * dataset.crs.linear_units_factor[1])


def _band_text(dataset: DatasetReader, index: int) -> str:
    """Description of a band, or what its tags say instead."""
    description: str | None = dataset.descriptions[index]
    if description:
        return description
    tags = {key.lower(): value for key, value in dataset.tags(index + 1).items()}
    for key in ("common_name", "eo:common_name", "band_name", "bandname", "name", "description", "long_name"):
        if tags.get(key):
            return str(tags[key])
    wavelength = dataset.tags(index + 1, ns="IMAGERY").get("CENTRAL_WAVELENGTH_UM")
    return f"{wavelength} um" if wavelength else ""


def _tag_roles(dataset: DatasetReader, sensor: str | None, metres: float | None) -> list[str | None]:
    """Roles from a dataset tag that lists the bands: ``eo:bands`` as JSON, or names with commas between."""
    nothing: list[str | None] = [None] * dataset.count
    for key, value in dataset.tags().items():
        if key.lower() == "eo" and value.startswith("bands="):
            value = value.removeprefix("bands=")  # noqa: PLW2901  GDAL splits "eo:bands=…" at the colon
        elif key.lower() not in ("eo:bands", "eo_bands", "bands", "band_names", "band_order"):
            continue
        try:
            bands = json.loads(value) if len(value) <= _LARGEST_ITEM else None
        except ValueError:
            bands = [name.strip() for name in re.split(r"[,;]", value)]
        if isinstance(bands, list) and len(bands) == dataset.count:
            if all(isinstance(name, str) for name in bands):
                return roles_of(bands, sensor=sensor, metres=metres)
            return _stac_roles(bands, sensor, metres, dataset.count)
    return nothing


def _name_role(path: str, sensor: str | None) -> list[str | None]:
    """Role of the only band of a product's band file, such as T32TQM_…_B04_10m.jp2; the sensor must be known."""
    found = band_number(_file_name(path).rpartition(".")[0].upper())
    return [role_of_number(found, sensor) if found and sensor else None]


def read_item(path: str) -> Mapping[str, Any]:
    """The STAC Item beside a raster (`scene.json` or `scene.tif.json` for `scene.tif`); empty where there is none that can be used."""
    if path.startswith("<"):
        return {}  # a VRT given as text
    raster = Path(path)
    for beside in (raster.with_name(f"{raster.name}.json"), raster.with_suffix(".json")) if raster.name else ():
        if beside == raster or not beside.is_file() or beside.stat().st_size > _LARGEST_ITEM:
            continue
        try:
            item = json.loads(beside.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # some other program's file: a sidecar is only ever a hint
        if isinstance(item, dict) and item.get("type") == "Feature" and "stac_version" in item:
            return item
    return {}


def stac_bands(item: Mapping[str, Any], file_name: str, count: int) -> Sequence[Any]:
    """The `count` band entries that a STAC Item has for the raster called `file_name`; empty where it has not."""
    assets = item.get("assets")
    entries = [asset for asset in assets.values() if isinstance(asset, dict)] if isinstance(assets, dict) else []
    named = [asset for asset in entries if _file_name(str(asset.get("href", ""))) == file_name]
    rasters = [asset for asset in entries if len(_listed(asset)) == count]
    fitting = named[:1] or (rasters if len(rasters) == 1 else [])
    chosen = _listed(fitting[0]) if fitting else []
    return chosen if len(chosen) == count else []


def _listed(asset: Mapping[str, Any]) -> list[Any]:
    for key in ("bands", "eo:bands"):
        bands = asset.get(key)
        if isinstance(bands, list) and bands:
            return bands
    return []


def _stac_roles(bands: Sequence[Any], sensor: str | None, metres: float | None, count: int) -> list[str | None]:
    """Roles of STAC band entries: the common name, made exact by the name ("B06" of three "rededge")."""
    if len(bands) != count:
        return [None] * count
    entries = [band if isinstance(band, dict) else {} for band in bands]
    common = [str(entry.get("eo:common_name") or entry.get("common_name") or "") for entry in entries]
    names = [str(entry.get("name") or "") for entry in entries]
    joined = [word if canonical(name) else f"{name} {word}".strip() for name, word in zip(names, common, strict=True)]
    return roles_of(joined, sensor=sensor, metres=metres)
