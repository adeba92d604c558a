"""Landsat Collection 2 products: band files, rescaling and names from the MTL file, level 1 and level 2."""

import re
from collections.abc import Mapping, Sequence

from sr_geo.errors import InputError
from sr_geo.radiometry import Encoding
from sr_geo.raster.product import Calibration, Members, Product, ProductBand, locate_file, number, wanted_roles
from sr_geo.raster.roles import BAND_ROLES, checked_role, sensor_of

DEFAULT_ROLES = ("blue", "green", "red", "nir")
METADATA = re.compile(r"[^/]*_MTL\.txt", re.IGNORECASE)
_BAND_FILE = re.compile(r"(.+?)_(SR_|ST_)?B\d{1,2}(?:_VCID_\d)?\.TIF", re.IGNORECASE)
_TAGS = (
    ("PRODUCT_CONTENTS", "LANDSAT_PRODUCT_ID"),
    ("PRODUCT_CONTENTS", "PROCESSING_LEVEL"),
    ("PRODUCT_CONTENTS", "COLLECTION_NUMBER"),
    ("IMAGE_ATTRIBUTES", "SPACECRAFT_ID"),
    ("IMAGE_ATTRIBUTES", "SENSOR_ID"),
    ("IMAGE_ATTRIBUTES", "DATE_ACQUIRED"),
    ("IMAGE_ATTRIBUTES", "SUN_ELEVATION"),
)

Groups = Mapping[str, Mapping[str, str]]


def find_landsat(members: Members) -> Members | None:
    """Members of the one Landsat product in a folder or archive, seen from its top; None where there is no MTL file.

    Raises:
        InputError: where there are several.
    """
    found = [name for name in members.names if METADATA.fullmatch(name.rpartition("/")[2])]
    if len(found) > 1:
        raise InputError(f"{members.path}: holds {len(found)} Landsat products: give one MTL file, such as {members.gdal_path(found[0])}")
    return members.inside(found[0].rpartition("/")[0]) if found else None


def parse_mtl(text: str) -> dict[str, dict[str, str]]:
    """Group → key → value of an MTL file.

    Groups are kept apart, because level 2 files repeat the keys of level 1 with other values. Quotes are removed.
    """
    groups: dict[str, dict[str, str]] = {}
    open_groups: list[str] = []
    for line in text.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            continue
        if key == "GROUP":
            open_groups.append(value)
        elif key == "END_GROUP":
            open_groups = open_groups[:-1]
        elif open_groups:
            groups.setdefault(open_groups[-1], {})[key] = value.strip('"')
    return groups


def read_product(folder: Members, *, extra: Sequence[str] = ()) -> Product:
    """Blue, green, red and near infrared, then the `extra` roles (or names such as "B6"), all at 30 m.

    Level 1 values become top-of-atmosphere reflectance without correction for the sun's elevation, as the product
    defines it (divide by the sine of the tag SUN_ELEVATION for that); level 2 values become surface reflectance.
    Thermal bands become radiance (level 1) or kelvins (level 2). Nodata is 0.

    Raises:
        InputError: for damaged metadata, an absent band, the panchromatic band, or a sensor other than TM, ETM+, OLI.
    """
    metadata = next(name for name in folder.names if METADATA.fullmatch(name))
    source = folder.gdal_path(metadata)
    groups = parse_mtl(folder.read_text(metadata))
    contents, attributes = groups.get("PRODUCT_CONTENTS"), groups.get("IMAGE_ATTRIBUTES")
    if contents is None or attributes is None:
        raise InputError(f"{source}: no groups PRODUCT_CONTENTS and IMAGE_ATTRIBUTES: expected the MTL file of a Collection 2 product")
    sensor = sensor_of(attributes.get("SPACECRAFT_ID", "")) or ""
    instrument = attributes.get("SENSOR_ID", "")
    if sensor not in BAND_ROLES or "MSS" in instrument:
        raise InputError(f"{source}: {attributes.get('SPACECRAFT_ID')} {instrument}: expected TM, ETM+ or OLI of Landsat 4, 5, 7, 8 or 9")
    name = contents.get("LANDSAT_PRODUCT_ID") or metadata[: -len("_MTL.txt")]
    roles = wanted_roles(DEFAULT_ROLES, [_asked_role(text, sensor) for text in extra])
    level2 = contents.get("PROCESSING_LEVEL", "").upper().startswith("L2")
    bands = tuple(_band(folder, groups, sensor=sensor, role=role, level2=level2, source=source) for role in roles)
    tags = {tag: groups[group][tag] for group, tag in _TAGS if tag in groups.get(group, {})}
    return Product(name, sensor, bands, tags, source)


def file_calibration(path: str) -> Calibration | None:
    """Calibration of one band file that lies beside its MTL file, opened by itself; None for any other file."""
    named = _BAND_FILE.fullmatch(path.replace("\\", "/").rpartition("/")[2])
    found = locate_file(path) if named else None
    if named is None or found is None:
        return None
    folder, file = found
    metadata = f"{named.group(1)}_MTL.txt"
    if metadata not in folder.names:
        return None
    groups, source = parse_mtl(folder.read_text(metadata)), folder.gdal_path(metadata)
    listed = groups.get("PRODUCT_CONTENTS", {}).items()
    key = next((key.removeprefix("FILE_NAME_BAND_") for key, name in listed if name == file and key.startswith("FILE_NAME_BAND_")), None)
    if key is None:
        return None
    level2 = named.group(2) is not None
    thermal = key.startswith("ST_") or (not level2 and f"REFLECTANCE_MULT_BAND_{key}" not in groups.get("LEVEL1_RADIOMETRIC_RESCALING", {}))
    encoding, unit = _calibration(groups, key, thermal=thermal, level2=level2, source=source)
    return Calibration(encoding, unit, source)


def _asked_role(text: str, sensor: str) -> str:
    numbered = re.fullmatch(r"(?:SR_|ST_)?B(?:AND_)?0?(\d{1,2})", text.upper())
    return BAND_ROLES[sensor].get(numbered.group(1), text) if numbered else checked_role(text)


def _band(folder: Members, groups: Groups, *, sensor: str, role: str, level2: bool, source: str) -> ProductBand:
    if role == "pan":
        raise InputError(f"{source}: the panchromatic band has a 15 m grid of its own: open its file by itself")
    identity = next((identity for identity, named in BAND_ROLES[sensor].items() if named == role), None)
    if identity is None:
        raise InputError(f"{source}: {sensor} has no {role} band: it has {', '.join(BAND_ROLES[sensor].values())}")
    thermal = role.startswith("thermal")
    contents = groups["PRODUCT_CONTENTS"]
    key = f"ST_B{identity}" if thermal and level2 else identity
    # ETM+ has its thermal band twice, with low and with high gain.
    key = key if f"FILE_NAME_BAND_{key}" in contents else f"{key}_VCID_1"
    file = contents.get(f"FILE_NAME_BAND_{key}")
    if file is None:
        raise InputError(f"{source}: lists no file for {role} (band {identity}): the product does not hold that band")
    if file not in folder.names:
        raise InputError(f"{folder.gdal_path(file)}: {role} band listed in the MTL file is not there: download the whole product")
    encoding, unit = _calibration(groups, key, thermal=thermal, level2=level2, source=source)
    prefix = "" if thermal and level2 else "SR_B" if level2 else "B"
    return ProductBand(folder.gdal_path(file), role, f"{prefix}{key}", encoding, unit=unit)


def _calibration(groups: Groups, key: str, *, thermal: bool, level2: bool, source: str) -> tuple[Encoding, str]:
    """Encoding of the band that the MTL file calls `key`, and the unit of decoded values."""
    if thermal and level2:
        group, quantity, unit = "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS", "TEMPERATURE", "K"
    elif thermal:
        group, quantity, unit = "LEVEL1_RADIOMETRIC_RESCALING", "RADIANCE", "W/(m2 sr um)"
    else:
        group = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS" if level2 else "LEVEL1_RADIOMETRIC_RESCALING"
        quantity, unit = "REFLECTANCE", ""
    values = groups.get(group, {})
    multiplier, addend = f"{quantity}_MULT_BAND_{key}", f"{quantity}_ADD_BAND_{key}"
    scale = number(values.get(multiplier), f"{multiplier} of {group}", source)
    offset = number(values.get(addend), f"{addend} of {group}", source)
    if not scale > 0:
        raise InputError(f"{source}: {multiplier} of {group} is {scale:g}, expected a positive number")
    return Encoding(scale, offset, 0.0), unit
