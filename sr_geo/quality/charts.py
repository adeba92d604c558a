"""The figures of the report in the form that the page embeds: pictures as data, curves as coordinates."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sr_geo.quality.colours import Picture, as_jpeg, as_png, coloured, legend_colours, rounded_up, top_of
from sr_geo.quality.view import Label, View
from sr_geo.quality.wording import fixed, length, significant

LOSSLESS = 900_000
"""Bytes up to which a picture is embedded as PNG; a larger one becomes a JPEG of high quality."""


def embedded(picture: Picture) -> str:
    """The picture as a data URI."""
    data, kind = as_png(picture), "png"
    if len(data) > LOSSLESS:
        data, kind = as_jpeg(picture), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class Shown:
    """The view in the form that the page embeds."""

    before: str
    after: str
    detail: str | None
    width: int
    height: int
    metres: float | None
    outlines: tuple[str, ...]
    """Points of each ring as SVG wants them."""
    labels: tuple[Label, ...]
    bar: tuple[float, str] | None
    """Share of the width that a bar of a round length takes, and the length in words."""
    limit: str
    half: str
    unit: str
    """Of the limits; "" where it is not known."""
    colours: str
    """The colours of the detail map as CSS."""
    median: str
    high: str
    strong: str
    """Per cent of the pixels beyond half of the scale."""

    @staticmethod
    def of(view: View, unit: str) -> "Shown":
        """Pictures, scales and outlines of a view, whose detail map is in `unit`."""
        height, width = view.after.shape[:2]
        limit, known = 1.0, np.zeros(1, np.float32)
        if view.detail is not None and np.isfinite(view.detail).any():
            limit, known = top_of(view.detail), view.detail[np.isfinite(view.detail)].ravel()
        bar = None
        if view.metres is not None:
            metres = rounded_up(view.metres * width / 7)
            bar = (metres / view.metres / width, length(metres))
        rings = tuple(" ".join(f"{x:.1f},{y:.1f}" for x, y in ring) for ring in view.outlines)
        return Shown(
            before=embedded(view.before),
            after=embedded(view.after),
            detail=None if view.detail is None else embedded(coloured(view.detail, limit)),
            width=width,
            height=height,
            metres=view.metres,
            outlines=rings,
            labels=view.labels,
            bar=bar,
            limit=f"{limit:g}",
            unit=unit,
            half=f"{limit / 2:g}",
            colours=legend_colours(),
            median=significant(float(np.median(known))),
            high=significant(float(np.percentile(known, 95))),
            strong=significant(100 * float((known > limit / 2).mean()), 2),
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """One band in the chart of spectra."""

    x: float
    before: float
    after: float
    role: str


@dataclass(frozen=True, slots=True)
class Spectra:
    """Positions in the chart of spectra, in its own units."""

    width: int
    height: int
    marks: tuple[Mark, ...]
    lines: tuple[tuple[float, str], ...]
    """Height and value of the lines across."""

    @staticmethod
    def of(bands: Sequence[tuple[str, float | None, float | None]]) -> "Spectra | None":
        """The chart of some bands, as (role, mean before, mean after) in one unit; None where no band has both."""
        known = [
            (role, before, after)
            for role, before, after in bands
            if before is not None and after is not None and math.isfinite(before) and math.isfinite(after)
        ]
        if not known:
            return None
        width, height, left, right, top, bottom = 640, 280, 64, 28, 16, 36
        low = min(0.0, *(min(before, after) for _, before, after in known))
        high = max(0.0, *(max(before, after) for _, before, after in known))
        step = rounded_up(max(high - low, 1e-9) / 4.5)
        first, last = math.floor(low / step), max(math.ceil(high / step - 1e-9), 1)

        def place(value: float) -> float:
            return round(height - bottom - (value / step - first) / (last - first) * (height - top - bottom), 1)

        pitch = (width - left - right) / len(known)
        marks = (
            Mark(round(left + (number + 0.5) * pitch, 1), place(before), place(after), role)
            for number, (role, before, after) in enumerate(known)
        )
        decimals = max(0, -math.floor(math.log10(step)))
        lines = tuple((place(number * step), fixed(number * step, decimals)) for number in range(first, last + 1))
        return Spectra(width, height, tuple(marks), lines)
