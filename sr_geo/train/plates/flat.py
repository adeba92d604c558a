"""A plate as it leaves the press, seen from the front."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sr_geo.radiometry import Float
from sr_geo.train.plates.fonts import Face, glyph
from sr_geo.train.plates.layouts import Box, Colour, Disc, Layout, Line, Token, Words

CORNER = 8.0
"""Radius of a plate's corners in millimetres."""


@dataclass(frozen=True, slots=True)
class FlatPlate:
    """The colours of a plate and what stands out of it."""

    colour: Float
    """``(h, w, 3)``, 0…1."""
    relief: Float
    """``(h, w)``, 0…1: where the metal is pressed up, under the characters and the rim."""
    cover: Float
    """``(h, w)``, 0…1: where the plate is."""


def write_text(layout: Layout, rng: np.random.Generator) -> list[list[str]]:
    """A random text: for each line, what each of its tokens says, dashes and spaces included."""
    return [[_fill(str(rng.choice(token.patterns)), layout.alphabet, rng) for token in line.tokens] for line in layout.lines]


def read_text(written: list[list[str]]) -> str:
    """The text of a plate as one word of capitals and digits."""
    said = "".join(word for words in written for word in words)
    return "".join(character for character in said if character.isalnum())


def _fill(pattern: str, alphabet: str, rng: np.random.Generator) -> str:
    """A pattern that holds `0` or `A` beside nothing but these, dashes and spaces is filled at random; others are said as they are."""
    if not set(pattern) <= set("0A- "):
        return pattern
    drawn = "".join(str(rng.integers(10)) if c == "0" else alphabet[rng.integers(len(alphabet))] if c == "A" else c for c in pattern)
    return drawn if set(drawn) - set("0- ") or "0" not in pattern else _fill(pattern, alphabet, rng)


def draw_flat(layout: Layout, written: list[list[str]], *, scale: float, face: Face, stretch: float) -> FlatPlate:
    """Draw a plate.

    Args:
        layout: what it looks like.
        written: from `write_text`.
        scale: pixels per millimetre.
        face: of the characters.
        stretch: of the characters' width, beside the layout's own.
    """
    width, height = (round(side * scale) for side in layout.size)
    ramp = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    top, bottom = (np.array(colour, np.float32) / np.float32(255.0) for colour in layout.paper)
    colour: Float = np.broadcast_to(top + (bottom - top) * ramp, (height, width, 3)).astype(np.float32)
    cover = _rounded((height, width), (0.0, 0.0, layout.size[0], layout.size[1]), CORNER, scale)
    relief = np.zeros((height, width), np.float32)
    if layout.rim is not None:
        whole = (2.0, 2.0, layout.size[0] - 2.0, layout.size[1] - 2.0)
        within = (5.0, 5.0, layout.size[0] - 5.0, layout.size[1] - 5.0)
        relief += _rounded((height, width), whole, CORNER, scale) - _rounded((height, width), within, CORNER - 3.0, scale)
        _paint(colour, relief, layout.rim)
    for mark in layout.marks:
        if isinstance(mark, Words):
            _paint(colour, _spell(mark, (height, width), scale), mark.colour)
        else:
            _paint_shape(colour, mark, scale)
    for line, words in zip(layout.lines, written, strict=True):
        ink = _set_line(line, words, (height, width), scale=scale, face=face, stretch=stretch * layout.stretch)
        _paint(colour, ink, layout.ink)
        relief = np.maximum(relief, ink)
    return FlatPlate(colour, relief, cover)


def _set_line(line: Line, words: list[str], shape: tuple[int, int], *, scale: float, face: Face, stretch: float) -> Float:
    """Coverage of a line's characters, centred between its ends; closer together where they would not fit."""
    length = sum(token.gap + token.pitch * len(word) for token, word in zip(line.tokens, words, strict=True))
    squeeze = min(1.0, (line.right - line.left) / length)
    x = (line.left + line.right - squeeze * length) / 2.0
    ink = np.zeros(shape, np.float32)
    for token, word in zip(line.tokens, words, strict=True):
        x += token.gap * squeeze
        for character in word:
            middle = x + 0.5 * token.pitch * squeeze
            _stamp(
                ink,
                character,
                middle=middle,
                baseline=line.baseline,
                token=token,
                scale=scale,
                face=face,
                stretch=stretch * squeeze,
                widest=0.9 * token.pitch * squeeze,
            )
            x += token.pitch * squeeze
    return ink


def _stamp(
    ink: Float,
    character: str,
    *,
    middle: float,
    baseline: float,
    token: Token,
    scale: float,
    face: Face,
    stretch: float,
    widest: float,
) -> None:
    """One character, its capitals `token.height` high, its width at most `widest` millimetres."""
    if character == " ":
        return
    drawn = glyph(character, face)
    wide = drawn.shape[1] * 1.5 / drawn.shape[0] * token.height * stretch
    wide = min(wide, widest)
    _paste(
        ink,
        drawn,
        left=(middle - wide / 2.0) * scale,
        top=(baseline - 1.25 * token.height) * scale,
        width=wide * scale,
        height=1.5 * token.height * scale,
    )


def _spell(words: Words, shape: tuple[int, int], scale: float) -> Float:
    ink = np.zeros(shape, np.float32)
    glyphs = [glyph(character, Face("BarlowCondensed", "SemiBold", words.slanted)) for character in words.text]
    unit = 1.5 * words.height / glyphs[0].shape[0]
    space = 0.14 * words.height
    x = words.x - (sum(drawn.shape[1] * unit for drawn in glyphs) + space * (len(glyphs) - 1)) / 2.0
    for drawn in glyphs:
        top, width = words.baseline - 1.25 * words.height, drawn.shape[1] * unit
        _paste(ink, drawn, left=x * scale, top=top * scale, width=width * scale, height=1.5 * words.height * scale)
        x += width + space
    return ink


def _paste(ink: Float, drawn: Float, *, left: float, top: float, width: float, height: float) -> None:
    """Bring `drawn` to ``height × width`` pixels, to the hundredth of a pixel, and lay it on `ink`."""
    first_column, first_row = int(np.floor(left)), int(np.floor(top))
    columns, rows = int(np.ceil(left + width)) - first_column, int(np.ceil(top + height)) - first_row
    x, y = drawn.shape[1] / width, drawn.shape[0] / height
    box = ((first_column - left) * x, (first_row - top) * y, (first_column + columns - left) * x, (first_row + rows - top) * y)
    margin = 8
    padded = np.pad(drawn, max(margin, int(np.ceil(max(x, y)))))
    shift = (padded.shape[0] - drawn.shape[0]) // 2
    moved = tuple(side + shift for side in box)
    small = np.asarray(Image.fromarray(padded).resize((columns, rows), Image.Resampling.BILINEAR, box=moved))
    top_cut, left_cut = max(0, -first_row), max(0, -first_column)
    target = ink[first_row + top_cut : first_row + rows, first_column + left_cut : first_column + columns]
    np.maximum(target, small[top_cut : top_cut + target.shape[0], left_cut : left_cut + target.shape[1]], out=target)


def _paint_shape(colour: Float, mark: Box | Disc, scale: float) -> None:
    """Fill a shape, touching no more than its own pixels."""
    if isinstance(mark, Disc):
        box, radius = (mark.x - mark.radius, mark.y - mark.radius, mark.x + mark.radius, mark.y + mark.radius), mark.radius
    else:
        box, radius = (mark.left, mark.top, mark.right, mark.bottom), mark.radius
    left, top = (max(0, int(side * scale) - 1) for side in box[:2])
    right, bottom = (int(side * scale) + 2 for side in box[2:])
    part = colour[top:bottom, left:right]
    moved = (box[0] - left / scale, box[1] - top / scale, box[2] - left / scale, box[3] - top / scale)
    _paint(part, _rounded((part.shape[0], part.shape[1]), moved, radius, scale), mark.colour)


def _rounded(shape: tuple[int, int], box: tuple[float, float, float, float], radius: float, scale: float) -> Float:
    """Coverage ``(h, w)`` of a rectangle in millimetres (left, top, right, bottom) with round corners."""
    left, top, right, bottom = (side * scale for side in box)
    radius = min(radius * scale, (right - left) / 2.0, (bottom - top) / 2.0)
    y, x = np.ogrid[0.5 : shape[0], 0.5 : shape[1]]
    beside = np.abs(x - (left + right) / 2.0) - ((right - left) / 2.0 - radius)
    above = np.abs(y - (top + bottom) / 2.0) - ((bottom - top) / 2.0 - radius)
    distance = np.hypot(np.maximum(beside, 0.0), np.maximum(above, 0.0)) + np.minimum(np.maximum(beside, above), 0.0) - radius
    cover: Float = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    return cover


def _paint(colour: Float, cover: Float, with_colour: Colour) -> None:
    colour += cover[..., None] * (np.array(with_colour, np.float32) / np.float32(255.0) - colour)
