"""Arrays as colours and colours as files: the stretch of pictures, the ramp of the detail map, round ends of scales."""

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sr_geo.radiometry import Float, Mask

Picture = NDArray[np.uint8]

NOTHING = (222, 222, 217)
"""Colour of nodata."""

RAMP = ((250, 248, 243), (246, 222, 184), (232, 168, 116), (206, 104, 84), (150, 50, 76), (78, 20, 62))
"""Colours of the detail map from none to much: lightness falls steadily, so it survives printing and colour blindness."""


def stretch_of(values: Float, valid: Mask) -> list[tuple[float, float]]:
    """Black and full of each band: from the 1st percentile of its valid values to the 96th, or further; a small cloud darkens nothing.

    No band gets less than 0.6 of the widest one's range. Stretched each to its own limits, bands of little contrast
    (blue over fields) would be overdrawn and colours false.
    """
    known = [band[good] for band, good in zip(values, valid, strict=True)]
    limits = [np.percentile(band, (1, 96)) if band.size else np.array([0.0, 1.0]) for band in known]
    widest = max(float(high - low) for low, high in limits)
    return [(float(low), float(low + max(high - low, 0.6 * widest, 1e-9))) for low, high in limits]


def painted(values: Float, valid: Mask, stretch: Sequence[tuple[float, float]]) -> Picture:
    """Values ``(3, h, w)`` as a picture ``(h, w, 3)``: the limits of `stretch` become black and full."""
    known = np.nan_to_num(values.astype(np.float64))
    shown = [np.clip((band - low) / (high - low), 0, 1) for band, (low, high) in zip(known, stretch, strict=True)]
    picture: Picture = np.rint(np.stack(shown, axis=-1) * 255).astype(np.uint8)
    picture[~valid.all(axis=0)] = NOTHING
    return picture


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
