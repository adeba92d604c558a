"""The one-page report of a run: self-contained HTML with a before/after slider, spectra, parcels and what not to believe."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from sr_geo.quality.quicklook import Picture, View, as_jpeg, as_png, coloured, legend_colours, rounded_up, top_of
from sr_geo.raster.roles import ROLES

MOST_PARCELS = 1000
"""Rows that the parcel table has at most, the largest parcels: a longer page is of no use to a reader."""

LOSSLESS = 900_000
"""Bytes up to which a picture is embedded as PNG; a larger one becomes a JPEG of high quality."""

NONE = "–"
"""Shown where there is no value."""

Means = Mapping[str, float | None]


class ParcelRow(Protocol):
    """What the table shows of a parcel; `sr_geo.raster.zonal.ParcelRow` has it. None where nothing could be measured."""

    @property
    def name(self) -> str:
        """Name or id."""

    @property
    def area_ha(self) -> float:
        """Hectares."""

    @property
    def pixels_before(self) -> float:
        """Valid input pixels inside."""

    @property
    def means_before(self) -> Means:
        """Role → mean in the input."""

    @property
    def means_after(self) -> Means:
        """Role → mean in the result."""

    @property
    def ndvi_before(self) -> float | None:
        """Mean NDVI in the input."""

    @property
    def ndvi_after(self) -> float | None:
        """Mean NDVI in the result."""

    @property
    def detail(self) -> float | None:
        """Mean added detail."""

    @property
    def narrow(self) -> bool:
        """Whether it is too narrow to hold an input pixel without a neighbour's light."""


@dataclass(frozen=True, slots=True)
class BandFacts:
    """What happened to one band over the whole run."""

    role: str
    """Role, or a name for a band of unknown role."""
    treatment: str = "network"
    """``network``, ``guided``, ``cubic``, …"""
    before: float | None = None
    """Mean of the input's valid pixels."""
    after: float | None = None
    """Mean of the result's valid pixels."""
    sigma: float | None = None
    """Blur of the sensor that was assumed, in pixels of the result."""
    sigma_from: str = ""
    """Where `sigma` comes from: ``given``, ``sensor default``, ``estimated from the scene``, …"""
    drift: float | None = None
    """Mean |Δ| between the input and the result seen through the sensor again."""
    drift_before: float | None = None
    """The same before the result was made consistent."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """All that the page says. Values of bands are in `unit`, those of the detail map in `detail_unit`."""

    input_name: str
    output_name: str
    model: str
    """Name of the model, with a word on its leaning if it has one."""
    model_sha256: str
    bands: Sequence[BandFacts]
    tiles: int
    seconds: float
    created: str
    """Date and time, as text."""
    version: str
    """Of SR Geo."""
    view: View | None = None
    """Pictures of a window; None where there is nothing to show."""
    scale: int = 4
    input_metres: float | None = None
    """Side of an input pixel on the ground."""
    unit: str = "reflectance"
    detail_unit: str = "reflectance"
    consistent: bool = True
    """Whether the result was held to the measurement."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Option → value, as text."""
    parcels: Sequence[ParcelRow] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Further facts: commit, training data, licence of the weights, credit for the imagery, …"""
    limits: Sequence[str] = ()
    """Limits of this model or run, beside those that hold for every report."""
    warnings: Sequence[str] = ()


def write_report(path: str | Path, report: ReportData) -> None:
    """Write the report as one HTML file that needs no other; it appears when it is whole."""
    target = Path(path)
    draft = target.with_name(f".{target.name}.part")
    draft.write_text(render_report(report), encoding="utf-8")
    draft.replace(target)


def render_report(report: ReportData) -> str:
    """The report as HTML. All text is escaped: a parcel may be called ``<script>``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sr_geo", "quality"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(fixed=fixed, significant=significant, duration=duration, length=length, band_name=band_name)
    rows = _largest(report.parcels)
    template = environment.get_template("report.html.j2")
    return template.render(
        report=report,
        shown=None if report.view is None else _Shown.of(report.view, report.detail_unit),
        spectra=_Spectra.of(report.bands),
        digits=digits_for(value for band in report.bands for value in (band.before, band.after)),
        rows=rows,
        roles=_roles(rows),
        row_digits=digits_for(value for row in rows for means in (row.means_before, row.means_after) for value in means.values()),
        has_ndvi=any(row.ndvi_before is not None or row.ndvi_after is not None for row in rows),
        has_detail=any(row.detail is not None for row in rows),
    )


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


def digits_for(values: Iterable[float | None]) -> int:
    """Decimals that show the largest of the values with four significant figures, none from 1000 on."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=1.0)
    return min(max(3 - math.floor(math.log10(largest)), 0), 6) if largest > 0 else 4


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


def _largest(rows: Sequence[ParcelRow]) -> list[ParcelRow]:
    """At most `MOST_PARCELS` rows in their own order."""
    if len(rows) <= MOST_PARCELS:
        return list(rows)
    kept = sorted(range(len(rows)), key=lambda number: -rows[number].area_ha)[:MOST_PARCELS]
    return [rows[number] for number in sorted(kept)]


def _roles(rows: Sequence[ParcelRow]) -> list[str]:
    """Bands of the table in the order in which they are first met."""
    return list(dict.fromkeys(role for row in rows for means in (row.means_before, row.means_after) for role in means))


def _embedded(picture: Picture) -> str:
    """The picture as a data URI."""
    data, kind = as_png(picture), "png"
    if len(data) > LOSSLESS:
        data, kind = as_jpeg(picture), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


@dataclass(frozen=True, slots=True)
class _Shown:
    """The view in the form that the page embeds."""

    before: str
    after: str
    detail: str | None
    width: int
    height: int
    metres: float | None
    outlines: tuple[str, ...]
    """Points of each ring as SVG wants them."""
    bar: tuple[float, str] | None
    """Share of the width that a bar of a round length takes, and the length in words."""
    limit: str
    half: str
    colours: str
    """The colours of the detail map as CSS."""
    median: str
    high: str
    strong: str
    """Per cent of the pixels beyond half of the scale."""

    @staticmethod
    def of(view: View, unit: str) -> "_Shown":
        height, width = view.after.shape[:2]
        limit, known = 1.0, np.zeros(1, np.float32)
        if view.detail is not None and np.isfinite(view.detail).any():
            limit, known = top_of(view.detail), view.detail[np.isfinite(view.detail)].ravel()
        bar = None
        if view.metres is not None:
            metres = rounded_up(view.metres * width / 9)
            bar = (metres / view.metres / width, length(metres))
        rings = tuple(" ".join(f"{x:.1f},{y:.1f}" for x, y in ring) for ring in view.outlines)
        return _Shown(
            before=_embedded(view.before),
            after=_embedded(view.after),
            detail=None if view.detail is None else _embedded(coloured(view.detail, limit)),
            width=width,
            height=height,
            metres=view.metres,
            outlines=rings,
            bar=bar,
            limit=f"{limit:g} {unit}".strip(),
            half=f"{limit / 2:g}",
            colours=legend_colours(),
            median=significant(float(np.median(known))),
            high=significant(float(np.percentile(known, 95))),
            strong=significant(100 * float((known > limit / 2).mean()), 2),
        )


@dataclass(frozen=True, slots=True)
class _Mark:
    """One band in the chart of spectra."""

    x: float
    before: float
    after: float
    role: str


@dataclass(frozen=True, slots=True)
class _Spectra:
    """Positions in the chart of spectra, in its own units."""

    width: int
    height: int
    marks: tuple[_Mark, ...]
    lines: tuple[tuple[float, str], ...]
    """Height and value of the lines across."""

    @staticmethod
    def of(bands: Sequence[BandFacts]) -> "_Spectra | None":
        known = [
            (band.role, band.before, band.after)
            for band in bands
            if band.before is not None and band.after is not None and math.isfinite(band.before) and math.isfinite(band.after)
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
            _Mark(round(left + (number + 0.5) * pitch, 1), place(before), place(after), role)
            for number, (role, before, after) in enumerate(known)
        )
        decimals = max(0, -math.floor(math.log10(step)))
        lines = tuple((place(number * step), fixed(number * step, decimals)) for number in range(first, last + 1))
        return _Spectra(width, height, tuple(marks), lines)
