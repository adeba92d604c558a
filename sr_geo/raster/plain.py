"""What a plain raster says of its bands: roles, marks, encodings and masks, from the file and from a STAC Item beside it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import unescape

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from sr_geo.errors import InputError
from sr_geo.radiometry import Encoding, default_encoding
from sr_geo.raster import stac
from sr_geo.raster.bands import Domains, Grid
from sr_geo.raster.marks import name_says_marks, says_marks
from sr_geo.raster.roles import (
    band_number,
    canonical,
    role_of_number,
    roles_of,
    sensor_of,
    sensor_of_numbers,
    sensor_of_tags,
    without_rivals,
)

# Tags that describe the file's pixels or layout and are wrong for anything derived from it.
_DROPPED_TAGS = re.compile(r"STATISTICS_.*|SR_GEO_ROLE|OVR_RESAMPLING_ALG|LAYOUT|COLOR_.*|SOURCE_COLOR_SPACE|HISTOGRAM.*", re.IGNORECASE)

ROLE_TAG = "SR_GEO_ROLE"
"""Band tag of results: what the band was known to be."""

# Domains that tell how the file is laid out or located, or that repeat its header: none of it holds for a raster of finer pixels.
# A colour profile cannot be written as a tag.
_DROPPED_DOMAINS = re.compile(
    r"IMAGE_STRUCTURE|(DERIVED_)?SUBDATASETS|RPC|GEOLOCATION|COLOR_PROFILE|TILING_SCHEME|ENVI|(new_)?vrt_sources|rio_.*|(xml|json):.*",
    re.IGNORECASE,
)

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
    if all(color is ColorInterp.palette for color in dataset.colorinterp):
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


def plain_encoding(dataset: DatasetReader, index: int, *, marks: bool = False) -> Encoding:
    """Encoding of band `index` (0-based): the dataset's scale and offset, else the usual one of its type; with its nodata.

    Where the band holds `marks` and states nothing, values are what they are.
    """
    kind = dataset.dtypes[index]
    nodata = storable(dataset.nodatavals[index], kind)
    if states_encoding(dataset, index):
        return Encoding(float(dataset.scales[index]), float(dataset.offsets[index]), nodata)
    usual = Encoding() if marks else default_encoding(kind)
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
    return _kept(dataset.tags())


def kept_domains(dataset: DatasetReader) -> Domains:
    """Tags of the dataset in named domains that stay true of a raster made from this one."""
    named = (name for name in dataset.tag_namespaces() if not _DROPPED_DOMAINS.fullmatch(name))
    return {name: kept for name in named if (kept := _kept(dataset.tags(ns=name)))}


def kept_band_domains(dataset: DatasetReader, number: int) -> Domains:
    """Tags of band `number` (from 1) that stay true of a band made from it."""
    named = (name for name in dataset.tag_namespaces(number) if not _DROPPED_DOMAINS.fullmatch(name))
    domains = {"": _kept(dataset.tags(number)), **{name: _kept(dataset.tags(number, ns=name)) for name in named}}
    return {name: kept for name, kept in domains.items() if kept}


def _kept(tags: Mapping[str, str]) -> dict[str, str]:
    # rasterio takes the two last names for its own arguments.
    return {key: value for key, value in tags.items() if not _DROPPED_TAGS.fullmatch(key) and key not in ("bidx", "ns")}


@dataclass(frozen=True, slots=True)
class Told:
    """What the file and its sidecars say of the bands."""

    sensor: str | None
    roles: tuple[str | None, ...]
    """For each band."""
    marks: tuple[bool, ...]
    """For each band: whether it holds classes, bits, a mask or the like, which must not be mixed."""


def read_bands(dataset: DatasetReader, path: str, item: Mapping[str, Any]) -> Told:
    """Sensor, roles and marks.

    The sensor is named by the dataset's tags, the STAC Item or file names, in this order, or else known by band numbers that only
    one sensor has. Roles are taken from band
    descriptions and tags first, then from STAC, from dataset tags that list bands, and from colour interpretation;
    for single bands also from the names of their files ("…_B04.tif"), a VRT's sources among them. Nothing is guessed
    from the order.

    Args:
        dataset: open.
        path: how it was named.
        item: STAC Item beside it; empty if none.
    """
    count = dataset.count
    own = _file_name(path)
    names = _single_names(dataset, own)
    sensor = sensor_of_tags(dataset.tags()) or sensor_of_tags(stac.properties_of(item)) or sensor_of(own) or _common_sensor(names)
    metres = Grid(dataset.height, dataset.width, dataset.transform, dataset.crs).metres
    key, asset = stac.find_asset(item, own, count)
    texts = [[_band_text(dataset, i) for i in range(count)], stac.asset_bands(asset, count), _tag_names(dataset)]
    said: list[list[str | None]] = [roles_of(source, sensor=sensor, metres=metres) for source in texts]
    said.insert(1, [canonical(dataset.tags(number).get(ROLE_TAG, "")) for number in dataset.indexes])
    if not any(role for roles in said for role in roles):
        said.append([_name_role(name, sensor) for name in names])
        said.append([_COLOR_ROLES.get(color.name) for color in dataset.colorinterp])
    merged = [next((roles[i] for roles in said if roles[i] is not None), None) for i in range(count)]
    by_asset = stac.asset_marks(key, asset, count)
    marks = tuple(
        _is_thematic(dataset, i)
        or any(says_marks(source[i]) for source in texts)
        or (merged[i] is None and (by_asset[i] or name_says_marks(names[i]) or any(says_marks(source[i], likely=True) for source in texts)))
        for i in range(count)
    )
    roles = without_rivals([None if mark else role for role, mark in zip(merged, marks, strict=True)])
    sensor = sensor or next((found for source in texts if (found := sensor_of_numbers(source, metres))), None)
    return Told(sensor, tuple(roles), marks)


def _is_thematic(dataset: DatasetReader, index: int) -> bool:
    """Whether the file itself says that a band holds classes: by a colour table or by its layer type."""
    return dataset.colorinterp[index] is ColorInterp.palette or dataset.tags(index + 1).get("LAYER_TYPE", "").lower() == "thematic"


def _single_names(dataset: DatasetReader, own: str) -> list[str]:
    """For each band the name of the file that holds just this band, as far as one can tell, else ""."""
    if dataset.count == 1 and dataset.driver != "VRT":
        return [own]
    names = []
    for number in dataset.indexes if dataset.driver == "VRT" else ():
        sources = "".join(dataset.tags(number, ns="vrt_sources").values())
        files, bands = re.findall(r"<SourceFilename[^>]*>([^<]+)<", sources), re.findall(r"<SourceBand>([^<]+)<", sources)
        names.append(unescape(_file_name(files[0])) if len(files) == 1 and bands in ([], ["1"]) else "")
    if dataset.count == 1 and not (names[0] and (band_number(names[0]) or name_says_marks(names[0]))):
        return [own]
    # A file that gives several bands holds more than one, so that its name tells of none.
    return [name if names.count(name) == 1 else "" for name in names] or [""] * dataset.count


def _common_sensor(names: Sequence[str]) -> str | None:
    sensors = {sensor for name in names if (sensor := sensor_of(name)) is not None}
    return sensors.pop() if len(sensors) == 1 else None


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


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


def _tag_names(dataset: DatasetReader) -> list[str]:
    """Names from a dataset tag that lists the bands: ``eo:bands`` as JSON, or words with commas between; "" for all if none does."""
    for key, value in dataset.tags().items():
        if key.lower() == "eo" and value.startswith("bands="):
            value = value.removeprefix("bands=")  # noqa: PLW2901  GDAL splits "eo:bands=…" at the colon
        elif key.lower() not in ("eo:bands", "eo_bands", "bands", "band_names", "band_order"):
            continue
        try:
            bands = json.loads(value) if len(value) <= stac.LARGEST else None
        except (ValueError, RecursionError):
            bands = [name.strip() for name in re.split(r"[,;]", value)]
        if isinstance(bands, list) and len(bands) == dataset.count:
            return [str(name) for name in bands] if all(isinstance(name, str) for name in bands) else stac.band_names(bands, dataset.count)
    return [""] * dataset.count


def _name_role(name: str, sensor: str | None) -> str | None:
    """Role of a product's band file, such as T32TQM_…_B04_10m.jp2; the sensor must be known."""
    found = None if name_says_marks(name) else band_number(name.rpartition(".")[0].upper())
    sensor = sensor or sensor_of(name)
    return role_of_number(found, sensor) if found and sensor else None
