"""What a STAC Item beside a raster says of its bands. A sidecar is a hint: whatever does not fit is passed over."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sr_geo.raster.marks import STAC_ROLES, says_marks
from sr_geo.raster.roles import canonical

LARGEST = 4 * 2**20
"""Bytes of a description that is still read."""


def find_item(path: str) -> tuple[str, Mapping[str, Any]]:
    """File name and content of the STAC Item beside a raster (`scene.tif.json` or `scene.json` for `scene.tif`); empty if none is."""
    if path.startswith("<"):
        return "", {}  # a VRT given as text
    raster = Path(path)
    for beside in (raster.with_name(f"{raster.name}.json"), raster.with_suffix(".json")) if raster.name else ():
        try:
            if beside == raster or not beside.is_file() or beside.stat().st_size > LARGEST:
                continue
            item = json.loads(beside.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue  # some other program's file
        if isinstance(item, dict) and item.get("type") == "Feature" and "stac_version" in item:
            return str(beside), item
    return "", {}


def properties_of(item: Mapping[str, Any]) -> dict[str, str]:
    """The Item's properties as text."""
    properties = item.get("properties")
    return {str(key): str(value) for key, value in properties.items()} if isinstance(properties, dict) else {}


def find_asset(item: Mapping[str, Any], file_name: str, count: int) -> tuple[str, Mapping[str, Any]]:
    """Key and content of the asset that is `file_name`, or else "" and the only one with `count` bands; both empty if there is none."""
    assets = item.get("assets")
    entries = [(str(key), asset) for key, asset in assets.items() if isinstance(asset, dict)] if isinstance(assets, dict) else []
    named = [entry for entry in entries if str(entry[1].get("href", "")).replace("\\", "/").rpartition("/")[2] == file_name]
    fitting = [entry for entry in entries if len(_listed(entry[1])) == count]
    if named:
        return named[0]
    return ("", fitting[0][1]) if len(fitting) == 1 else ("", {})


def band_names(bands: Sequence[Any], count: int) -> list[str]:
    """Common name of each band entry, made exact by its name ("B06 rededge"); "" for all where there are not `count` entries."""
    if len(bands) != count:
        return [""] * count
    entries = [band if isinstance(band, dict) else {} for band in bands]
    common = [str(entry.get("eo:common_name") or entry.get("common_name") or "") for entry in entries]
    names = [str(entry.get("name") or "") for entry in entries]
    return [word if word and canonical(name) else f"{name} {word}".strip() for name, word in zip(names, common, strict=True)]


def asset_bands(asset: Mapping[str, Any], count: int) -> list[str]:
    """The same of the bands that an asset lists."""
    return band_names(_listed(asset), count)


def asset_marks(key: str, asset: Mapping[str, Any], count: int) -> list[bool]:
    """Whether the asset, or its entry for a band, says that the band holds classes, bits or a mask; `key` is as `find_asset` gives it."""
    roles = asset.get("roles")
    told = {str(role).lower() for role in roles} if isinstance(roles, list) else set()
    whole = bool(key) and (says_marks(key) or bool(told & STAC_ROLES) or _classified(asset))
    bands = _listed(asset)
    if len(bands) != count:
        return [whole] * count
    return [whole or (isinstance(band, dict) and _classified(band)) for band in bands]


def _classified(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("classification:classes") or entry.get("classification:bitfields"))


def _listed(asset: Mapping[str, Any]) -> list[Any]:
    for key in ("bands", "eo:bands"):
        bands = asset.get(key)
        if isinstance(bands, list) and bands:
            return bands
    return []
