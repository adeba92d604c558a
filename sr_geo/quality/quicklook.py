"""Input, result and detail map side by side in one picture, with scales."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sr_geo.files import whole_file
from sr_geo.quality.colours import coloured, enlarged, rounded_up, top_of
from sr_geo.quality.view import SIDE, Ring, View, read_view

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont


def quicklook(
    before: str | Path,
    after: str | Path,
    detail: str | Path | None = None,
    *,
    bands: Sequence[int] | None = None,
    outlines: Sequence[Any] = (),
    side: int = SIDE,
    unit: str = "",
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
    unit: str = "",
) -> None:
    """Write `quicklook` as a PNG; the file appears when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    image = quicklook(before, after, detail, bands=bands, outlines=outlines, side=side, unit=unit)
    with whole_file(Path(path)) as draft:
        image.save(draft, format="PNG")


def compose(view: View, *, unit: str = "", captions: tuple[str, str, str] = ("Input", "Result", "Added detail")) -> "Image":
    """The pictures of a view beside each other on white, with captions and scales.

    Args:
        view: what to show.
        unit: of the detail map; "" where it is not known.
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
