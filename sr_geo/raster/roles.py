"""Which band is which: roles from names, sensors from tags, and the blur of each. Pure text and numbers, no I/O."""

import difflib
import re
from collections.abc import Mapping, Sequence

from sr_geo.errors import OptionError
from sr_geo.raster.marks import says_marks, words_of

SENTINEL2 = "sentinel-2"

ROLES = (
    "coastal",
    "blue",
    "green",
    "yellow",
    "red",
    "rededge1",
    "rededge2",
    "rededge3",
    "nir",
    "nir08",
    "watervapour",
    "cirrus",
    "swir1",
    "swir2",
    "pan",
    "thermal1",
    "thermal2",
)

# Other words for the same thing; STAC common names among them.
_ALIASES = {
    "r": "red",
    "g": "green",
    "b": "blue",
    "n": "nir",
    "aerosol": "coastal",
    "coastalblue": "coastal",
    "coastalaerosol": "coastal",
    "ultrablue": "coastal",
    "rededge": "rededge1",
    "rededge071": "rededge1",
    "rededge075": "rededge2",
    "rededge078": "rededge3",
    "vre1": "rededge1",
    "vre2": "rededge2",
    "vre3": "rededge3",
    "re1": "rededge1",
    "re2": "rededge2",
    "re3": "rededge3",
    "nearinfrared": "nir",
    "infrared": "nir",
    "narrownir": "nir08",
    "nirnarrow": "nir08",
    "nir8a": "nir08",
    "nir2": "nir08",
    "nir09": "watervapour",
    "watervapor": "watervapour",
    "swir16": "swir1",
    "swir22": "swir2",
    "shortwaveinfrared1": "swir1",
    "shortwaveinfrared2": "swir2",
    "panchromatic": "pan",
    "thermal": "thermal1",
    "lwir": "thermal1",
    "lwir11": "thermal1",
    "lwir12": "thermal2",
    "tir1": "thermal1",
    "tir2": "thermal2",
    "thermalinfrared1": "thermal1",
    "thermalinfrared2": "thermal2",
}

_OLI = dict(
    zip(
        ("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"),
        ("coastal", "blue", "green", "red", "nir", "swir1", "swir2", "pan", "cirrus", "thermal1", "thermal2"),
        strict=True,
    )
)
_TM = dict(zip(("1", "2", "3", "4", "5", "6", "7"), ("blue", "green", "red", "nir", "swir1", "thermal1", "swir2"), strict=True))
_ETM = {**_TM, "8": "pan"}
_MSI = dict(
    zip(
        ("1", "2", "3", "4", "5", "6", "7", "8", "8A", "9", "10", "11", "12"),
        ("coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "watervapour", "cirrus", "swir1", "swir2"),
        strict=True,
    )
)

BAND_ROLES: Mapping[str, Mapping[str, str]] = {
    SENTINEL2: _MSI,
    "landsat-4": _TM,
    "landsat-5": _TM,
    "landsat-7": _ETM,
    "landsat-8": _OLI,
    "landsat-9": _OLI,
}
"""Sensor → band number without leading zero ("4", "8A") → role."""

_SIGMA_LIMITS = (1.0, 3.2)
_UNKNOWN_SIGMA = 1.6

# OLI: 1.32–1.51 measured on edges of three scenes (docs/psf.md), an MTF at Nyquist of 0.32; TIRS has pixels of 100 m, delivered at 30 m.
_OLI_SIGMA = {
    **dict.fromkeys(("coastal", "blue", "green", "red", "nir", "swir1", "swir2", "cirrus"), 1.5),
    **dict.fromkeys(("thermal1", "thermal2"), 3.2),
}
# TM and ETM+: MTF at Nyquist about 0.25–0.3, from a scanning mirror and one resampling more than OLI has.
_TM_SIGMA = {**dict.fromkeys(("blue", "green", "red", "nir", "swir1", "swir2"), 1.7), "thermal1": 3.2}

# Standard deviation of the sensor's blur in output pixels (×4), before the mean over 4 × 4 of them. The whole response at the
# Nyquist frequency is then 0.64·exp(−0.31 σ²), so that a published MTF m gives σ = √(ln(0.64 / m) / 0.31).
DEFAULT_SIGMA: Mapping[str, Mapping[str, float]] = {
    # 10 m bands: measured on edges of two scenes (docs/psf.md), near the nominal MTF of 0.24–0.30, which is σ 1.6–1.8. A blur fitted on
    # real Sentinel-2 / aerial pairs gives 2.7–3.2, but holds the aerial camera's blur, its resampling and misregistration as well.
    # Where the true blur is between the two, a default at the lower end sharpens too little, never too much.
    # 20 and 60 m bands are read on the 10 m grid, where their blur is at least twice as wide: the largest σ the networks know.
    SENTINEL2: {
        "blue": 1.5,
        "green": 1.6,
        "red": 1.7,
        "nir": 1.8,
        **dict.fromkeys(("coastal", "rededge1", "rededge2", "rededge3", "nir08", "watervapour", "cirrus", "swir1", "swir2"), 3.2),
    },
    "landsat-8": _OLI_SIGMA,
    "landsat-9": _OLI_SIGMA,
    "landsat-7": _TM_SIGMA,
    "landsat-5": _TM_SIGMA,
    "landsat-4": _TM_SIGMA,
}


# Pixels of the Sentinel-2 bands that are usually read on the 10 m grid.
_COARSE_METRES = {
    **dict.fromkeys(("rededge1", "rededge2", "rededge3", "nir08", "swir1", "swir2"), 20.0),
    **dict.fromkeys(("coastal", "watervapour", "cirrus"), 60.0),
}


def default_sigma(sensor: str | None, role: str | None, *, metres: float | None = None, scale: int = 4) -> float:
    """Blur σ of one band in output pixels, 1.0…3.2 at ×4; 1.6 (an MTF of 0.29 at Nyquist) where sensor or band is unknown.

    Args:
        sensor: as `sensor_of` names it.
        role: of the band.
        metres: pixel size of the raster where it is known: a 20 m band on a grid of 20 m is as sharp as its pixels.
        scale: output pixels per input pixel; the blur is a property of the sensor, so σ grows in proportion.
    """
    sigma = DEFAULT_SIGMA.get(sensor or "", {}).get(role or "", _UNKNOWN_SIGMA)
    if sensor == SENTINEL2 and metres is not None and metres > 0.97 * _COARSE_METRES.get(role or "", float("inf")):
        sigma = _UNKNOWN_SIGMA
    return min(max(sigma, _SIGMA_LIMITS[0]), _SIGMA_LIMITS[1]) * scale / 4


def canonical(name: str) -> str | None:
    """Role that a single word or common name stands for ("NIR", "r", "swir16", "Red Edge 2"); None where it is no such name."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    return word if word in ROLES else _ALIASES.get(word)


def checked_role(name: str) -> str:
    """`name` as a role.

    Raises:
        OptionError: for an unknown name; the message suggests the nearest.
    """
    role = canonical(name)
    if role is not None:
        return role
    near = difflib.get_close_matches(name.lower(), [*ROLES, *_ALIASES], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(ROLES)}, or r, g, b, n"
    raise OptionError(f"unknown band role {name!r}: {hint}")


def numbered_roles(given: Mapping[str, int], count: int) -> dict[int, str]:
    """0-based band → role, from the user's role → 1-based band.

    Raises:
        OptionError: for an unknown role, a band that the raster of `count` bands lacks, or one named twice.
    """
    found: dict[int, str] = {}
    for name, number in given.items():
        role = checked_role(name)
        if not 1 <= number <= count:
            held = f"the raster has {count} band{'s' * (count != 1)}"
            raise OptionError(f"bands: {name}={number}, but {held}: give numbers from 1 to {count}")
        if number - 1 in found:
            raise OptionError(f"bands: band {number} is given as {found[number - 1]} and as {role}: name each band once")
        if role in found.values():
            raise OptionError(f"bands: {role} is given twice: name each role once")
        found[number - 1] = role
    return found


# Words that say "made from bands", not "a band".
_DERIVED = re.compile(r"\b(nd[vw]i|evi|savi|std|stdev|stddev|sd|var|variance|count|error|ratio|index|angle|azimuth|zenith|green i)\b")
_NUMBERED = re.compile(r"(?:^|[^a-z0-9])(?:s[rt]_)?b(?:and)?[ _-]?(0?[1-9]|1[0-2]|0?8a)(?![a-z0-9.])", re.IGNORECASE)
_WAVELENGTH = re.compile(r"(\d+(?:\.\d+)?) ?(nm|nanomet\w*|um|µm|μm|micromet\w*)\b", re.IGNORECASE)
_SPECTRUM = (
    (430, 453, "coastal"),
    (453, 530, "blue"),
    (530, 600, "green"),
    (625, 690, "red"),
    (697, 715, "rededge1"),
    (730, 750, "rededge2"),
    (773, 793, "rededge3"),
    (800, 900, "nir"),
    (930, 960, "watervapour"),
    (1360, 1390, "cirrus"),
    (1550, 1700, "swir1"),
    (2080, 2350, "swir2"),
)


def band_number(text: str) -> str | None:
    """Band number in a description or file stem as written, upper case ("B04 red" → "04", "SR_B5" → "5"); None where there is none."""
    found = _NUMBERED.findall(text)
    return str(found[0]).upper() if len(found) == 1 else None


def role_of_words(text: str) -> str | None:
    """Role that a description spells out ("Red", "near infrared", "Red edge 2", "B2_blue"), without looking at band numbers."""
    whole = canonical(text)
    if whole is not None:
        return whole
    words = words_of(text)  # "RedEdge1" → "red edge1"
    if _DERIVED.search(words) or says_marks(text):
        return None
    found: set[str] = set()

    def take(match: re.Match[str]) -> str:
        role = canonical(match.group())
        if role is not None:
            found.add(role)
        return " "

    # Longest first: "red edge" is not red, "shortwave infrared" is not near infrared.
    for pattern in (
        r"\b(red ?edge ?(0?7[158]|[123])?|v?re ?[123])\b",
        r"\b(short ?wave ?infrared|swir) ?(1 ?6|2 ?2|1|2)\b",
        r"\b(thermal ?infrared|thermal|tir|lwir) ?(11|12|1|2)?\b",
        r"\b(narrow nir|nir narrow|nir ?0?8a?|nir ?09|nir 2)\b",
        r"\b(mid|middle|far|short ?wave) ?infrared\b",  # which one is not said
        r"\b(near ?infrared|infrared|nir)\b",
        r"\b(coastal ?aerosol|coastal ?blue|coastal|aerosol|ultra ?blue)\b",
        r"\b(water ?vapou?r|cirrus|panchromatic|pan|blue|green|yellow|red)\b",
    ):
        words = re.sub(pattern, take, words)
    return found.pop() if len(found) == 1 else None


def role_of_wavelength(nanometres: float) -> str | None:
    """Role of the band whose centre lies at that wavelength."""
    return next((role for low, high, role in _SPECTRUM if low <= nanometres < high), None)


def role_of_number(number: str, sensor: str) -> str | None:
    """Role of band `number` ("04", "4", "8A") of `sensor`."""
    return BAND_ROLES.get(sensor, {}).get(number.upper().lstrip("0"))


def fitting_tables(numbers: Sequence[str], metres: float | None) -> list[Mapping[str, str]]:
    """Band tables that `numbers`, all of one raster of unknown sensor, can come from.

    Args:
        numbers: as written: two digits ("04") are not the habit of TM and ETM+ products.
        metres: pixel size, or None; a table of that pixel size wins where there is one.
    """
    padded = any(number.startswith("0") for number in numbers)
    tables: list[tuple[Mapping[str, str], tuple[float, ...]]] = [(_MSI, (10, 20)), (_OLI, (30,))]
    if not padded:
        tables.append((_ETM, (28.5, 30)))
    bare = [number.lstrip("0") for number in numbers]
    # A panchromatic band has a grid of its own: a table that finds one among others is the wrong table.
    fitting = [
        (table, sizes)
        for table, sizes in tables
        if all(number in table for number in bare) and (len(bare) == 1 or not any(table[number] == "pan" for number in bare))
    ]
    if metres is not None:
        near = [entry for entry in fitting if any(abs(metres / size - 1) < 0.03 for size in entry[1])]
        fitting = near or fitting
    return [table for table, _ in fitting]


def roles_of(descriptions: Sequence[str], *, sensor: str | None = None, metres: float | None = None) -> list[str | None]:
    """One role or None per description of the bands of one raster.

    Words win over band numbers, band numbers over wavelengths. "B4" alone is red for Sentinel-2 and Landsat 8 and near
    infrared for Landsat 5 and 7: without a known sensor it takes a role only if every sensor that fits all the
    numbers (and the pixel size) agrees. A role that two bands claim is given to neither. Masks and the like have none,
    whichever band they belong to ("QA_B04").
    """
    descriptions = ["" if says_marks(text) else text for text in descriptions]
    numbers = _telling_numbers(descriptions, sensor)
    present = [number for number in numbers if number is not None]
    known = BAND_ROLES.get(sensor or "")
    tables = fitting_tables(present, metres) if known is None else [known]
    roles: list[str | None] = []
    for text, number in zip(descriptions, numbers, strict=True):
        claims = {table.get(number.lstrip("0")) for table in tables} if number is not None else set()
        by_number = claims.pop() if len(claims) == 1 else None
        words = role_of_words(text)
        # A general word ("NIR", "red edge") does not overrule the number that says which of several.
        if by_number is not None and words is not None and by_number.rstrip("0123456789") == words.rstrip("0123456789"):
            words = by_number
        roles.append(words or by_number or _role_in_nanometres(text, sensor))
    if (sensor or "").startswith("landsat"):
        # STAC calls the one near infrared band of OLI "nir08".
        roles = ["nir" if role == "nir08" else role for role in roles]
    return without_rivals(_counted_red_edges(descriptions, roles))


def sensor_of_numbers(descriptions: Sequence[str], metres: float | None) -> str | None:
    """Sensor whose bands alone can have the numbers in the descriptions; None where several fit, or words say otherwise.

    Of Landsat 8 and 9, which have the same bands and the same blur, the first is named.

    Args:
        descriptions: of the bands of one raster of unknown sensor.
        metres: its pixel size, or None.
    """
    pictures = ["" if says_marks(text) else text for text in descriptions]
    numbered = [(number, text) for number, text in zip(_telling_numbers(pictures, None), pictures, strict=True) if number is not None]
    tables = fitting_tables([number for number, _ in numbered], metres) if numbered else []
    if len(tables) != 1:
        return None
    said = ((tables[0][number.lstrip("0")], role_of_words(text)) for number, text in numbered)
    if any(words is not None and role.rstrip("0123456789") != words.rstrip("0123456789") for role, words in said):
        return None
    return next(sensor for sensor, table in BAND_ROLES.items() if table is tables[0])


def _telling_numbers(descriptions: Sequence[str], sensor: str | None) -> list[str | None]:
    """Band numbers, without those that only count the bands of the file ("Band 1", "Band 2", …)."""
    numbers = [band_number(text) for text in descriptions]
    present = [(i, number) for i, number in enumerate(numbers) if number is not None]
    counting = all(number == str(i + 1) for i, number in present)
    named = all(re.fullmatch(r"band[ _-]?\d+", descriptions[i].strip(), re.IGNORECASE) for i, _ in present)
    if counting and len(present) > 1 and (named or sensor not in BAND_ROLES):
        return [None] * len(numbers)
    return numbers


def _role_in_nanometres(text: str, sensor: str | None) -> str | None:
    match = _WAVELENGTH.search(text)
    if match is None:
        return None
    nanometres = float(match.group(1)) * (1.0 if match.group(2).lower().startswith("n") else 1000.0)
    if sensor == SENTINEL2 and 855 <= nanometres < 885:
        return "nir08"
    return role_of_wavelength(nanometres)


def _counted_red_edges(descriptions: Sequence[str], roles: list[str | None]) -> list[str | None]:
    """Several bands called just "red edge" are numbered in the order of the file."""
    plain = [i for i, text in enumerate(descriptions) if re.sub(r"[^a-z0-9]", "", text.lower()) == "rededge"]
    if len(plain) not in (2, 3) or any((role or "").startswith("rededge") for i, role in enumerate(roles) if i not in plain):
        return roles
    return [f"rededge{plain.index(i) + 1}" if i in plain else role for i, role in enumerate(roles)]


def without_rivals(roles: Sequence[str | None]) -> list[str | None]:
    """`roles` with None for every role that stands more than once (a stack of dates, say)."""
    return [role if role is None or roles.count(role) == 1 else None for role in roles]


_SENSOR_NAMES = (
    (re.compile(r"(?<![a-z0-9])(s2[abcd]?|sentinel[-_ ]?2[abcd]?|hls[._]s30)(?![a-z0-9])", re.IGNORECASE), SENTINEL2),
    (re.compile(r"(?<![a-z0-9])t\d\d[a-z]{3}_\d{8}t\d{6}_(b\d[\da]|tci|scl|aot|wvp)(?![a-z0-9])", re.IGNORECASE), SENTINEL2),
    (re.compile(r"(?<![a-z0-9])hls[._]l30(?![a-z0-9])", re.IGNORECASE), "landsat-8"),
)
_LANDSAT_NAME = re.compile(r"(?<![a-z0-9])(?:landsat[-_ ]?|l[cote]?)0?([45789])(?![a-z0-9])", re.IGNORECASE)


def sensor_of(text: str) -> str | None:
    """Sensor named in a tag value or a file name ("Sentinel-2B", "S2A_MSIL1C_…", "LANDSAT_8", "LC09_…"); None where none or several are."""
    found = {sensor for pattern, sensor in _SENSOR_NAMES if pattern.search(text)}
    found |= {f"landsat-{match.group(1)}" for match in _LANDSAT_NAME.finditer(text)}
    return found.pop() if len(found) == 1 else None


_SENSOR_TAGS = (
    "SPACECRAFT_ID",
    "SPACECRAFT_NAME",
    "DATATAKE_1_SPACECRAFT_NAME",
    "SATELLITE",
    "PLATFORM",
    "CONSTELLATION",
    "MISSION",
    "SENSOR",
    "PRODUCT_URI",
)


def sensor_of_tags(tags: Mapping[str, str]) -> str | None:
    """Sensor named by a dataset tag or a STAC property such as SPACECRAFT_ID, satellite or platform; None where none is."""
    upper = {key.upper(): value for key, value in tags.items()}
    return next((sensor for key in _SENSOR_TAGS if (sensor := sensor_of(upper.get(key, "")))), None)
