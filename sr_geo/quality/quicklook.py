"""The same ground before and after, and the map of added detail, as pictures for people.

A view is a window of at most about a thousand fine pixels a side, whatever the size of the scene: it is read as
windows, at full resolution, since an overview would show neither the input's pixels nor what became of them.
"""

import io
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from sr_geo.errors import InputError
from sr_geo.grid import Window
from sr_geo.radiometry import Float, Mask

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont
    from rasterio.crs import CRS

Picture = NDArray[np.uint8]
Ring = NDArray[np.float64]

SIDE = 1024
"""Fine pixels that a side of a view has at most."""

NOTHING = (222, 222, 217)
"""Colour of nodata."""

RAMP = ((250, 248, 243), (246, 222, 184), (232, 168, 116), (206, 104, 84), (150, 50, 76), (78, 20, 62))
"""Colours of the detail map from none to much: lightness falls steadily, so it survives printing and colour blindness."""


class Raster(Protocol):
    """What a view needs of a raster; `sr_geo.raster.scene.Scene` has it."""

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""

    @property
    def width(self) -> int:
        """Pixels from left to right."""

    @property
    def transform(self) -> Affine:
        """From (column, row) to ground coordinates."""

    @property
    def crs(self) -> "CRS | None":
        """Reference system of the ground coordinates."""

    @property
    def bands(self) -> Sequence[Any]:
        """Per band, among others, its `role` and `encoding`."""

    def find(self, role: str) -> int | None:
        """0-based band of a role."""

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], Mask]:
        """Stored values ``(C, h, w)`` and which of them are valid."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One window of the input, of the result and of the detail map."""

    before: Picture
    """``(h, w, 3)``, red green blue: the input's own pixels."""
    after: Picture
    """``(scale·h, scale·w, 3)``, with the stretch of `before`."""
    scale: int
    detail: Float | None = None
    """``(scale·h, scale·w)``, NaN where there is nodata."""
    metres: float | None = None
    """Side of a pixel of `after` on the ground, where it is known."""
    outlines: tuple[Ring, ...] = ()
    """Rings of the parcels, ``(n, 2)`` as (x, y) in pixels of `after`; they may leave the picture."""


def read_view(
    before: Raster,
    after: Raster,
    detail: Raster | None = None,
    *,
    bands: Sequence[int] | None = None,
    outlines: Sequence[Any] = (),
    side: int = SIDE,
) -> View:
    """The window about the centre of the parcels, or else of the result.

    Args:
        before: the input.
        after: the result: on the same ground as the input or on a part of it.
        detail: one band on the grid of the result; several are put together as their root mean square.
        bands: 0-based bands of the input for red, green and blue; by role where None.
        outlines: polygons (shapely) in the CRS of the rasters, to be drawn and to choose the window.
        side: fine pixels that a side of the window has at most.

    Raises:
        InputError: the result is not a finer grid over the input.
    """
    to_before = ~before.transform @ after.transform
    scale = round(1.0 / math.sqrt(abs(to_before.determinant)))
    aligned = max(abs(to_before.b), abs(to_before.d), abs(to_before.a * scale - 1), abs(to_before.e * scale - 1)) < 1e-3
    if scale < 1 or not aligned:
        raise InputError("the result is not a finer grid over the input: give the input that the result was made from")
    rings = _rings(outlines, ~before.transform)
    window = _centred(_common(before, after, to_before), rings, max(8, side // scale))
    corner = ~to_before @ (window.column, window.row)
    fine = Window(round(corner[1]), round(corner[0]), window.height * scale, window.width * scale)
    roles = [before.bands[band].role for band in bands] if bands is not None else None
    chosen = list(bands) if bands is not None else _picture_bands(before)
    measured, measured_valid = before.read(window, chosen)
    made, made_valid = after.read(fine, _same_bands(after, roles, chosen) if bands is not None else _picture_bands(after))
    stretch = _stretch(measured, measured_valid)
    shown = tuple(ring * scale - (window.column * scale, window.row * scale) for ring in rings)
    added = None
    if detail is not None:
        planes, valid = detail.read(fine, list(range(len(detail.bands))))
        decoded = np.stack([band.encoding.decode(plane) for band, plane in zip(detail.bands, planes, strict=True)])
        together = np.sqrt(np.mean(decoded.astype(np.float64) ** 2, axis=0))
        added = np.where(valid.all(axis=0), together, np.nan).astype(np.float32)
    return View(
        before=_painted(measured, measured_valid, stretch),
        after=_painted(made, made_valid, stretch),
        scale=scale,
        detail=added,
        metres=_metres(after, fine),
        outlines=tuple(ring for ring in shown if _touches(ring, fine)),
    )


def quicklook(
    before: str | Path,
    after: str | Path,
    detail: str | Path | None = None,
    *,
    bands: Sequence[int] | None = None,
    outlines: Sequence[Any] = (),
    side: int = SIDE,
    unit: str = "reflectance",
) -> "Image":
    """Input, result and detail map side by side, with a bar of length and one of colours. Arguments as for `read_view`."""
    from sr_geo.raster.scene import Scene

    with ExitStack() as stack:
        rasters = [None if path is None else stack.enter_context(Scene.open(str(path))) for path in (before, after, detail)]
        assert rasters[0] is not None
        assert rasters[1] is not None
        view = read_view(rasters[0], rasters[1], rasters[2], bands=bands, outlines=outlines, side=side)
    return compose(view, unit=unit)


def write_quicklook(
    path: str | Path,
    before: str | Path,
    after: str | Path,
    detail: str | Path | None = None,
    *,
    bands: Sequence[int] | None = None,
    outlines: Sequence[Any] = (),
    side: int = SIDE,
    unit: str = "reflectance",
) -> None:
    """Write `quicklook` as a PNG; the file appears when it is whole."""
    target = Path(path)
    image = quicklook(before, after, detail, bands=bands, outlines=outlines, side=side, unit=unit)
    draft = target.with_name(f".{target.name}.part")
    image.save(draft, format="PNG")
    draft.replace(target)


def compose(view: View, *, unit: str = "reflectance", captions: tuple[str, str, str] = ("Input", "Result", "Added detail")) -> "Image":
    """The pictures of a view beside each other on white, with captions and scales.

    Args:
        view: what to show.
        unit: of the detail map.
        captions: above the input, the result and the detail map.
    """
    from PIL import Image, ImageDraw

    height, width = view.after.shape[:2]
    panels = [enlarged(view.before, view.scale), view.after]
    limit = 0.0
    if view.detail is not None:
        limit = top_of(view.detail)
        panels.append(coloured(view.detail, limit))
    margin, gap, head, foot = 28, 20, 44, 60
    zoom = max(1, -(-360 // max(width, 1)))  # tiny scenes: room for the words
    width, height = width * zoom, height * zoom
    size = (2 * margin + len(panels) * width + (len(panels) - 1) * gap, margin + head + height + foot)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for number, (panel, caption) in enumerate(zip(panels, captions, strict=False)):
        left, top = margin + number * (width + gap), margin + head
        canvas.paste(Image.fromarray(enlarged(panel, zoom)), (left, top))
        if number < 2:  # the detail map is a thing of fine lines: more of them would hide it
            _draw_outlines(canvas, (left, top, width, height), [ring * zoom for ring in view.outlines])
        pixel = f"   {unit}" if number == 2 else ""
        if view.metres is not None and number < 2:
            pixel = f"   {_length(view.metres * (view.scale if number == 0 else 1))} pixels"
        line = margin + head - 14
        draw.text((left, line), caption, font=_font(22), fill=(28, 30, 33), anchor="ls")
        draw.text((left + draw.textlength(caption, _font(22)), line), pixel, font=_font(15), fill=(110, 113, 118), anchor="ls")
    below = margin + head + height
    if view.metres is not None:
        _draw_distance(draw, margin, below + 16, view.metres / zoom, width)
    if view.detail is not None:
        _draw_colours(canvas, margin + 2 * (width + gap), below + 14, width, limit=limit)
    return canvas


def coloured(detail: Float, limit: float) -> Picture:
    """The detail map ``(h, w)`` in colours ``(h, w, 3)``, from none at 0 to most at `limit` and beyond."""
    place = np.clip(np.nan_to_num(detail / max(limit, 1e-12)), 0, 1) * (len(RAMP) - 1)
    stops = np.arange(len(RAMP))
    shades = np.stack([np.interp(place, stops, [colour[k] for colour in RAMP]) for k in range(3)], axis=-1)
    shades[~np.isfinite(detail)] = NOTHING
    picture: Picture = np.rint(shades).astype(np.uint8)
    return picture


def legend_colours() -> str:
    """The colours of the detail map as a CSS list, from none to much."""
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in RAMP)


def top_of(detail: Float) -> float:
    """A round number that 98 % of the detail stays below, for the end of the colours."""
    known = detail[np.isfinite(detail)]
    value = float(np.percentile(known, 98)) if known.size else 0.0
    return rounded_up(value) if value > 0 else 1.0


def rounded_up(value: float) -> float:
    """The next of 1, 2, 3, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    step = next((step for step in (1.0, 2.0, 3.0, 5.0) if value / power <= step * (1 + 1e-9)), 10.0)
    return float(f"{step * power:.6g}")


def enlarged(picture: Picture, factor: int) -> Picture:
    """Every pixel as a square of `factor` × `factor`."""
    return np.repeat(np.repeat(picture, factor, axis=0), factor, axis=1)


def as_png(picture: Picture) -> bytes:
    """The picture as PNG."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="PNG")
    return data.getvalue()


def as_jpeg(picture: Picture) -> bytes:
    """The picture as JPEG of high quality, colours at full resolution."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="JPEG", quality=93, subsampling=0, optimize=True)
    return data.getvalue()


def _picture_bands(raster: Raster) -> list[int]:
    """Red, green and blue; false colour where blue is missing; one band as grey."""
    for roles in (("red", "green", "blue"), ("nir", "red", "green")):
        found = [raster.find(role) for role in roles]
        if None not in found:
            return [band for band in found if band is not None]
    count = len(raster.bands)
    return [0, 1, 2] if count >= 3 else [0, 0, 0]


def _same_bands(after: Raster, roles: Sequence[str | None] | None, numbers: Sequence[int]) -> list[int]:
    """The bands of the result that hold what the given bands of the input hold."""
    found = [None if role is None else after.find(role) for role in roles or [None] * len(numbers)]
    return [min(number, len(after.bands) - 1) if band is None else band for band, number in zip(found, numbers, strict=True)]


def _stretch(values: NDArray[Any], valid: Mask) -> list[tuple[float, float]]:
    """The 2nd and 98th percentile of each band's valid values."""
    limits = []
    for band, known in zip(values, valid, strict=True):
        low, high = np.percentile(band[known].astype(np.float64), (2, 98)) if known.any() else (0.0, 1.0)
        limits.append((float(low), float(max(high, low + 1e-9))))
    return limits


def _painted(values: NDArray[Any], valid: Mask, stretch: Sequence[tuple[float, float]]) -> Picture:
    known = np.nan_to_num(values.astype(np.float64))
    shown = [np.clip((band - low) / (high - low), 0, 1) for band, (low, high) in zip(known, stretch, strict=True)]
    picture: Picture = np.rint(np.stack(shown, axis=-1) * 255).astype(np.uint8)
    picture[~valid.all(axis=0)] = NOTHING
    return picture


def _common(before: Raster, after: Raster, to_before: Affine) -> Window:
    """Whole pixels of the input that the result covers."""
    left, top = to_before @ (0, 0)
    right, bottom = to_before @ (after.width, after.height)
    column, row = math.ceil(left - 1e-3), math.ceil(top - 1e-3)
    covered = Window(row, column, max(0, math.floor(bottom + 1e-3) - row), max(0, math.floor(right + 1e-3) - column))
    both = covered.intersection(Window(0, 0, before.height, before.width))
    if both.empty:
        raise InputError("the result shares no pixel with the input: give the input that the result was made from")
    return both


def _centred(area: Window, rings: Sequence[Ring], side: int) -> Window:
    """A window of `side` pixels inside `area`: about all parcels if they fit, else about the one nearest to their centre."""
    height, width = min(side, area.height), min(side, area.width)
    x, y = area.column + area.width / 2, area.row + area.height / 2
    inside = [ring for ring in rings if _touches(ring - (area.column, area.row), Window(0, 0, area.height, area.width))]
    if inside:
        middles = np.array([(ring.min(axis=0) + ring.max(axis=0)) / 2 for ring in inside])
        low, high = np.min([ring.min(axis=0) for ring in inside], axis=0), np.max([ring.max(axis=0) for ring in inside], axis=0)
        centre = (low + high) / 2
        if (high - low).max() > side:
            centre = middles[np.argmin(((middles - np.median(middles, axis=0)) ** 2).sum(axis=1))]
        x, y = centre
    column = min(max(round(x - width / 2), area.column), area.column_stop - width)
    row = min(max(round(y - height / 2), area.row), area.row_stop - height)
    return Window(row, column, height, width)


def _rings(outlines: Sequence[Any], to_pixel: Affine) -> list[Ring]:
    """Outer and inner rings of polygons in pixel coordinates."""
    import shapely

    rings = []
    for polygon in shapely.get_parts(np.asarray(outlines, dtype=object)) if len(outlines) else ():
        for ring in shapely.get_rings(polygon):
            x, y = shapely.get_coordinates(ring).T
            columns, rows = to_pixel @ (x, y)
            rings.append(np.column_stack([columns, rows]))
    return rings


def _touches(ring: Ring, window: Window) -> bool:
    """Whether the ring's bounding box meets a window of that size at (0, 0)."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    return bool(high[0] > 0 and high[1] > 0 and low[0] < window.width and low[1] < window.height)


def _metres(raster: Raster, window: Window) -> float | None:
    """Side of a pixel on the ground in the middle of a window."""
    if raster.crs is None:
        return None
    side = math.sqrt(abs(raster.transform.determinant))
    if raster.crs.is_geographic:
        _, latitude = raster.transform @ (window.column + window.width / 2, window.row + window.height / 2)
        return side * 111_320.0 * math.sqrt(max(math.cos(math.radians(latitude)), 1e-6))
    return side * float(raster.crs.linear_units_factor[1])


def _length(metres: float) -> str:
    return f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:.3g} m"


def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    return ImageFont.load_default(size=size)


def _draw_outlines(canvas: "Image", frame: tuple[int, int, int, int], rings: Sequence[Ring]) -> None:
    from PIL import ImageDraw

    left, top, width, height = frame
    panel = canvas.crop((left, top, left + width, top + height))
    draw = ImageDraw.Draw(panel)
    for ring in rings:
        points = [(float(x), float(y)) for x, y in ring]
        draw.line(points, fill=(0, 0, 0), width=3, joint="curve")
        draw.line(points, fill=(255, 236, 140), width=1, joint="curve")
    canvas.paste(panel, (left, top))


def _draw_distance(draw: "ImageDraw", left: int, top: int, metres: float, width: int) -> None:
    """A bar of a round length, at most a third of the panel."""
    length = rounded_up(metres * width / 7)
    end = left + length / metres
    draw.line([(left, top), (left, top + 8), (end, top + 8), (end, top)], fill=(28, 30, 33), width=2)
    draw.text((end + 10, top + 12), _length(length), font=_font(15), fill=(70, 73, 78), anchor="ls")


def _draw_colours(canvas: "Image", left: int, top: int, width: int, *, limit: float) -> None:
    """The colours of the detail map with their values."""
    from PIL import Image, ImageDraw

    length = min(width, 360)
    ramp = coloured(np.broadcast_to(np.linspace(0, limit, length, dtype=np.float32), (12, length)), limit)
    canvas.paste(Image.fromarray(ramp), (left, top))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((left, top, left + length - 1, top + 11), outline=(170, 172, 176))
    for share, anchor, words in ((0.0, "lt", "0"), (0.5, "mt", f"{limit / 2:g}"), (1.0, "rt", f"{limit:g} or more")):
        draw.text((left + share * length, top + 17), words, font=_font(14), fill=(70, 73, 78), anchor=anchor)
