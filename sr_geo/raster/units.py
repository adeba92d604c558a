"""In which unit decoded values are, and how to say so where the file does not. Pure words."""

from collections.abc import Iterable

from sr_geo.raster.bands import Band
from sr_geo.raster.roles import ROLES

_REFLECTIVE = frozenset(role for role in ROLES if not role.startswith("thermal"))


def unit_of(band: Band) -> str:
    """Unit of the band's decoded values, such as "reflectance" or "K"; "" where the file states none: it is never guessed."""
    if not band.stated:
        return ""
    return band.unit or ("reflectance" if band.role in _REFLECTIVE else "")


def common_unit(bands: Iterable[Band]) -> str:
    """The unit that all have; "" where they differ or one has none."""
    units = {unit_of(band) for band in bands}
    return units.pop() if len(units) == 1 else ""


def described_unit(band: Band) -> str:
    """What a reader is told that decoded values are: the unit, or how they come from what the file stores."""
    unit = unit_of(band)
    if unit:
        return unit
    scale, offset = band.encoding.scale, band.encoding.offset
    factor = "" if scale == 1.0 else f" ÷ {1 / scale:g}" if abs(scale) < 1.0 else f" × {scale:g}"
    shift = "" if not offset else f" {'+' if offset > 0 else '−'} {abs(offset):g}"
    return f"stored value{factor}{shift}"
