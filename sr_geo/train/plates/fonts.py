"""The characters, in four families under the SIL Open Font License.

Barlow is drawn after Californian plates and road signs, Overpass after the signs of American highways; Roboto and Saira have the
straight sides of many other plates. No country's own letters are among them: those are not free.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sr_geo.errors import MissingPartError
from sr_geo.radiometry import Float

WEIGHTS = {"Regular": 400, "Medium": 500, "SemiBold": 600}
"""Of the strokes, with the numbers that variable fonts have for them."""

_VARIABLE = ("Overpass", "RobotoCondensed")
"""Families with all weights in one file."""

_CAPITALS = 67
"""Rows of a capital as it is drawn, before it is brought to size."""


@dataclass(frozen=True, slots=True)
class Face:
    """What characters look like."""

    family: str
    """One of `families`, or `BarlowCondensed`."""
    weight: str
    """One of `WEIGHTS`."""
    slanted: bool = False


def families(*, narrow: bool) -> tuple[str, ...]:
    """Families for the text of a plate; all but Barlow are squeezed where a layout is narrow."""
    return ("BarlowCondensed" if narrow else "BarlowSemiCondensed", "Overpass", "RobotoCondensed", "SairaCondensed")


@lru_cache(maxsize=1024)
def glyph(character: str, face: Face) -> Float:
    """A character as coverage 0…1, cut to its width; its rows go from above the capitals to below the baseline.

    Capitals stand between the rows ``margin`` and ``height − margin``, with the margin a quarter of their own height.
    """
    font = _font(face)
    margin = round(_CAPITALS / 4)
    image = Image.new("L", (3 * _CAPITALS, _CAPITALS + 2 * margin))
    ImageDraw.Draw(image).text((_CAPITALS // 2, margin + _CAPITALS), character, font=font, fill=255, anchor="ls")
    coverage = np.asarray(image).astype(np.float32) / np.float32(255.0)
    columns = np.flatnonzero(coverage.any(axis=0))
    return coverage[:, columns[0] : columns[-1] + 1] if len(columns) else coverage[:, : round(0.3 * _CAPITALS)]


@lru_cache(maxsize=64)
def _font(face: Face) -> ImageFont.FreeTypeFont:
    """The font, as large as its capitals have to be."""
    path = _file(face)

    def sized(pixels: float) -> ImageFont.FreeTypeFont:
        font = ImageFont.truetype(path, pixels)
        if face.family in _VARIABLE:
            font.set_variation_by_axes([WEIGHTS[face.weight]])
        return font

    em = 1000
    capitals = -sized(em).getbbox("H", anchor="ls")[1] / em
    return sized(_CAPITALS / capitals)


def _file(face: Face) -> Path:
    """Of a package of fonts, in which nothing is imported."""
    package = "fontpkg" + "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in face.family)
    found = find_spec(package)
    if found is None or found.origin is None:
        raise MissingPartError(
            f"plates are written with {face.family}, which is not installed; add it with: pip install {package.replace('_', '-')}"
        )
    if face.family in _VARIABLE:
        style = "-Italic[wght]" if face.slanted else "[wght]"
    else:
        style = "-" + {("Regular", True): "Italic"}.get((face.weight, face.slanted), face.weight + "Italic" * face.slanted)
    return Path(found.origin).parent / "files" / f"{face.family}{style}.ttf"
