"""Numbers, lengths, times and names of bands as readers like them."""

import math
from collections.abc import Iterable, Sequence

from sr_geo.raster.roles import ROLES

NONE = "–"
"""Shown where there is no value."""


def fixed(value: float | None, digits: int = 0) -> str:
    """The number with so many decimals, thousands apart and a true minus; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "−")
    return text.removeprefix("−") if not text.strip("−0.") else text


def significant(value: float | None, figures: int = 2) -> str:
    """The number with so many significant figures, without an exponent."""
    if value is None or not math.isfinite(value):
        return NONE
    if abs(value) < 1e-7:
        return "0" if value == 0 else "< 0.0000001"
    return fixed(value, max(0, figures - 1 - math.floor(math.log10(abs(value)))))


def digits_for(values: Iterable[float | None], *, figures: int = 4) -> int:
    """Decimals, at most six, that show the largest of the values with so many significant figures."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=1.0)
    return min(max(figures - 1 - math.floor(math.log10(largest)), 0), 6) if largest > 0 else figures


def duration(seconds: float) -> str:
    """``9.4 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def length(metres: float) -> str:
    """``2.5 m``, ``0.3 m`` or ``1.2 km``."""
    return f"{metres / 1000:.3g}\u00a0km" if metres >= 1000 else f"{metres:.3g}\u00a0m"


def band_name(role: str) -> str:
    """How a reader calls a role: ``NIR``, ``Red edge 2``, ``SWIR 1``; other names as they are."""
    word, number = role.rstrip("0123456789"), role[len(role.rstrip("0123456789")) :]
    names = {"nir": "NIR", "swir": "SWIR", "rededge": "Red edge", "watervapour": "Water vapour", "pan": "Panchromatic"}
    known = names.get(word) or (word.capitalize() if word in ROLES else None)
    return role if known is None else f"{known} {number}".strip()


def listed(names: Sequence[str]) -> str:
    """``A``, ``A and B`` or ``A, B and C``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
