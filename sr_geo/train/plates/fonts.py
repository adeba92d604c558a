"""The characters: Barlow, drawn after Californian plates and road signs, under the SIL Open Font License."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sr_geo.errors import MissingPartError
from sr_geo.radiometry import Float

FAMILIES = {False: ("fontpkg_barlow_semi_condensed", "BarlowSemiCondensed"), True: ("fontpkg_barlow_condensed", "BarlowCondensed")}
WEIGHTS = ("Regular", "Medium", "SemiBold")

_CAPITALS = 0.7
"""Height of Barlow's capitals and digits, in ems."""

_DRAWN = 96
"""Pixels of an em that glyphs are drawn with before they are brought to size."""


@lru_cache(maxsize=512)
def glyph(character: str, *, narrow: bool, weight: str, slanted: bool = False) -> Float:
    """A character as coverage 0…1, cut to its width; its rows go from above the capitals to below the baseline.

    Capitals stand between the rows ``margin`` and ``height − margin``, with the margin a quarter of their own height.
    """
    font = _font(narrow, weight, slanted)
    capitals = round(_CAPITALS * _DRAWN)
    margin = round(capitals / 4)
    image = Image.new("L", (2 * _DRAWN, capitals + 2 * margin))
    ImageDraw.Draw(image).text((_DRAWN // 2, margin + capitals), character, font=font, fill=255, anchor="ls")
    coverage = np.asarray(image).astype(np.float32) / np.float32(255.0)
    columns = np.flatnonzero(coverage.any(axis=0))
    return coverage[:, columns[0] : columns[-1] + 1] if len(columns) else coverage[:, : round(0.3 * capitals)]


@lru_cache(maxsize=32)
def _font(narrow: bool, weight: str, slanted: bool) -> ImageFont.FreeTypeFont:
    package, family = FAMILIES[narrow]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise MissingPartError(
            f"plates are written with {family}, which is not installed; add it with: pip install {package.replace('_', '-')}"
        )
    style = {("Regular", True): "Italic"}.get((weight, slanted), weight + "Italic" * slanted)
    return ImageFont.truetype(Path(found.origin).parent / "files" / f"{family}-{style}.ttf", _DRAWN)
