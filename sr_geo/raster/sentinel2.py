"""Sentinel-2 products: SAFE folders and zips of level 1C and 2A, their bands, offsets and names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from sr_geo.errors import InputError
from sr_geo.radiometry import Encoding
from sr_geo.raster.product import Calibration, Members, Product, ProductBand, element_text, locate_file, number, parse_xml, wanted_roles
from sr_geo.raster.roles import BAND_ROLES, SENTINEL2, checked_role

DEFAULT_ROLES = ("blue", "green", "red", "nir")
GRID_METRES = 10

# Position = band_id of the metadata.
BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_NATIVE_METRES = dict(zip(BANDS, (60, 10, 10, 10, 20, 20, 20, 10, 20, 60, 60, 20, 20), strict=True))
_BAND_OF_ROLE = {role: f"B{number:0>2}" for number, role in BAND_ROLES[SENTINEL2].items()}

# The second form is that of products before December 2016.
METADATA = re.compile(r"(?:MTD_MSIL(1C|2A)|S2[A-D]_(?:OPER|USER)_MTD_SAFL(1C|2A)_\w+)\.xml")
_IMAGE = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R(\d\d)m/)?[^/]*_(B\d[\dA])(?:_\d\dm)?\.jp2")
_TAGS = (
    "PRODUCT_URI",
    "PROCESSING_LEVEL",
    "PROCESSING_BASELINE",
    "PRODUCT_START_TIME",
    "GENERATION_TIME",
    "SPACECRAFT_NAME",
    "SENSING_ORBIT_NUMBER",
)


def find_safe(members: Members) -> Members | None:
    """Members of the one SAFE product in a folder or archive, seen from its top; None where there is none.

    Raises:
        InputError: where there are several, or one without its metadata.
    """
    tops = sorted({name.rpartition("/")[0] for name in members.names if METADATA.fullmatch(name.rpartition("/")[2])})
    if len(tops) > 1:
        raise InputError(f"{members.path}: holds {len(tops)} Sentinel-2 products: give one of them, such as {members.gdal_path(tops[0])}")
    if tops:
        return members.inside(tops[0])
    named = members.path.name.removesuffix(".zip").upper().endswith(".SAFE") or any(".SAFE/" in name for name in members.names)
    if named or any(_IMAGE.search(name) for name in members.names):
        raise InputError(f"{members.path}: no MTD_MSIL1C.xml or MTD_MSIL2A.xml, which tells scale and offsets: download the whole product")
    return None


def read_product(safe: Members, *, extra: Sequence[str] = ()) -> Product:
    """Bands B02, B03, B04, B08 and those of the `extra` roles (or names such as "B05"), on the 10 m grid.

    Reflectance is ``(stored + offset) / quantification`` with the offsets of the metadata (−1000 from processing
    baseline 04.00 on, absent before) and 0 as nodata.

    Args:
        safe: as returned by `find_safe`.
        extra: roles or band names beyond the default ones.

    Raises:
        InputError: for damaged metadata, an absent band, or several granules.
    """
    metadata = next(name for name in safe.names if METADATA.fullmatch(name))
    source = safe.gdal_path(metadata)
    root = parse_xml(safe.read_text(metadata), source)
    level = _level(metadata)
    images = _finest_images(safe, level)
    encodings = _encodings(root, level, source)
    title = element_text(root, "PRODUCT_URI", "PRODUCT_URI_1C", "PRODUCT_URI_2A") or safe.vsi.rpartition("/")[2]
    name = title.removesuffix(".zip").removesuffix(".SAFE")
    bands = []
    for role in wanted_roles(DEFAULT_ROLES, [_asked_role(text) for text in extra]):
        band = _BAND_OF_ROLE.get(role)
        if band is None:
            raise InputError(f"{name}: Sentinel-2 has no {role} band: it has {', '.join(_BAND_OF_ROLE)}")
        if band not in images:
            there = ", ".join(sorted(images)) or "no band"
            raise InputError(f"{name}: {role} band {band} is not in IMG_DATA, only {there}: {_remedy(band, level)}")
        metres, path = images[band]
        if role in DEFAULT_ROLES and metres != GRID_METRES:
            raise InputError(f"{name}: {band} is there at {metres} m only: add the 10 m folder (R10m) of the product")
        native = _NATIVE_METRES[band]
        if band not in encodings:
            raise InputError(f"{source}: gives other bands an offset, but none to {band}: download the product again")
        bands.append(ProductBand(safe.gdal_path(path), role, band, encodings[band], None if native == GRID_METRES else float(native)))
    tags = {tag: text for tag in _TAGS if (text := element_text(root, tag))}
    return Product(name, SENTINEL2, tuple(bands), tags, source)


def file_calibration(path: str) -> Calibration | None:
    """Encoding of one band file inside a SAFE folder or its zip, opened by itself; None for any other file.

    Raises:
        InputError: where the metadata of that folder is damaged.
    """
    found = locate_file(path) if _IMAGE.search(Path(path).absolute().as_posix()) else None
    match = _IMAGE.fullmatch(found[1]) if found else None
    if found is None or match is None:
        return None
    safe = found[0]
    metadata = next((name for name in safe.names if METADATA.fullmatch(name)), None)
    if metadata is None:
        return None
    source = safe.gdal_path(metadata)
    encodings = _encodings(parse_xml(safe.read_text(metadata), source), _level(metadata), source)
    return Calibration(encodings[match.group(3)], "", source) if match.group(3) in encodings else None


def _level(metadata: str) -> str:
    """By the name of the metadata file, "1C" or "2A"."""
    match = METADATA.fullmatch(metadata)
    return (match.group(1) or match.group(2)) if match else ""


def _asked_role(text: str) -> str:
    numbered = re.fullmatch(r"[Bb](?:and)?0?(\d{1,2}|8[Aa])", text)
    return BAND_ROLES[SENTINEL2].get(numbered.group(1).upper(), text) if numbered else checked_role(text)


def _remedy(band: str, level: str) -> str:
    return "level 2A has no cirrus band, use level 1C" if band == "B10" and level == "2A" else "download the whole product"


def _finest_images(safe: Members, level: str) -> dict[str, tuple[int, str]]:
    """Band → (pixel size in metres, member), the finest of each."""
    found: dict[str, tuple[int, str]] = {}
    granules = set()
    for name in safe.names:
        match = _IMAGE.fullmatch(name)
        if match is None or (match.group(2) is None) != (level == "1C"):
            continue
        granule, folder, band = match.groups()
        granules.add(granule)
        metres = int(folder) if folder else _NATIVE_METRES.get(band, GRID_METRES)
        found[band] = min(found.get(band, (metres, name)), (metres, name))
    if len(granules) > 1:
        raise InputError(f"{safe.vsi}: holds {len(granules)} granules (a product from before 2017): give one granule's band files as a VRT")
    return found


def _encodings(root: ElementTree.Element, level: str, source: str) -> Mapping[str, Encoding]:
    if level == "1C":
        quantification, offset_tag = number(element_text(root, "QUANTIFICATION_VALUE"), "QUANTIFICATION_VALUE", source), "RADIO_ADD_OFFSET"
    else:
        text = element_text(root, "BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")
        quantification, offset_tag = number(text, "BOA_QUANTIFICATION_VALUE", source), "BOA_ADD_OFFSET"
    if not quantification > 0:
        raise InputError(f"{source}: quantification value {quantification:g}, expected a positive number")
    ids = _band_ids(root)
    offsets = {ids.get(element.get("band_id", "")): number(element.text, offset_tag, source) for element in root.iter(offset_tag)}
    if not offsets:  # before processing baseline 04.00
        return dict.fromkeys(BANDS, Encoding(1.0 / quantification, 0.0, 0.0))
    return {band: Encoding(1.0 / quantification, offsets[band] / quantification, 0.0) for band in BANDS if band in offsets}


def _band_ids(root: ElementTree.Element) -> dict[str, str]:
    """band_id → band, as the product lists them, else in the usual order."""
    ids = {str(index): band for index, band in enumerate(BANDS)}
    for element in root.iter("Spectral_Information"):
        physical, identity = element.get("physicalBand", ""), element.get("bandId")
        if identity is not None and re.fullmatch(r"B(\d{1,2}|8A)", physical):
            ids[identity] = f"B{physical[1:]:0>2}"
    return ids
