"""The one-page report of a run: self-contained HTML with a before/after slider, spectra, parcels and what not to believe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeGuard

from sr_geo.files import whole_file
from sr_geo.quality.charts import Shown, Spectra
from sr_geo.quality.view import View
from sr_geo.quality.wording import band_name, digits_for, duration, fixed, length, listed, significant

MOST_PARCELS = 1000
"""Rows that the parcel table has at most, the largest parcels: a longer page is of no use to a reader."""

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
    def attributes(self) -> Mapping[str, Any]:
        """Columns of the layer; a text called "name" or the like is shown."""

    @property
    def valid_share(self) -> float:
        """Share of the parcel that has data, 0…1."""

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
    unit: str = ""
    """Of the three figures; "" where it is the report's."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportData:
    """All that the page says."""

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
    """Of the values of most bands: a unit where the input states one, else how they come from stored values."""
    detail_unit: str = "reflectance"
    """Of the detail map; "" where its bands differ."""
    stated: bool = True
    """Whether the input states how its values are to be read; if not, NDVI may be off by an unknown offset."""
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
    """Write the report as one HTML file that needs no other; it appears when it is whole.

    Raises:
        OutputError: it cannot be written.
    """
    page = render_report(report)
    with whole_file(Path(path)) as draft:
        draft.write_text(page, encoding="utf-8")


def render_report(report: ReportData) -> str:
    """The report as HTML. All text is escaped: a parcel may be called ``<script>``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sr_geo", "quality"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(fixed=fixed, significant=significant, duration=duration, length=length, band_name=band_name, listed=listed)
    rows = _largest(report.parcels)
    template = environment.get_template("report.html.j2")
    return template.render(
        report=report,
        shown=None if report.view is None else Shown.of(report.view, report.detail_unit),
        spectra=Spectra.of([(band.role, band.before, band.after) for band in report.bands if band.unit in ("", report.unit)]),
        digits=digits_for(value for band in report.bands for value in (band.before, band.after)),
        agreement=agreement(report.bands),
        change=largest_change(report.parcels),
        doubtful=doubtful(report.parcels),
        rows=rows,
        titles=[title_of(row) for row in rows],
        roles=_roles(rows),
        units={band.role: band.unit for band in report.bands if band.unit not in ("", report.unit)},
        row_digits=digits_for(value for row in rows for means in (row.means_before, row.means_after) for value in means.values()),
        detail_digits=digits_for([row.detail for row in rows], figures=2),
        most_detail=max((row.detail for row in rows if _is_number(row.detail)), default=0.0),
        has_ndvi=any(row.ndvi_before is not None or row.ndvi_after is not None for row in rows),
        has_detail=any(row.detail is not None for row in rows),
    )


def agreement(bands: Sequence[BandFacts]) -> float | None:
    """Mean |Δ| to the measurement as per cent of the band's mean, averaged over the bands that have one."""
    shares = [
        100 * band.drift / abs(band.before) for band in bands if band.drift is not None and band.before is not None and band.before != 0
    ]
    return sum(shares) / len(shares) if shares else None


def largest_change(rows: Sequence[ParcelRow]) -> tuple[float, str] | None:
    """The largest change of a parcel's mean in any band, in per cent of the mean before, and whose it is.

    Narrow parcels are left aside: their means before are mixed with the neighbours', and should change.
    """
    changes = [
        (100 * abs(after - before) / abs(before), row.name)
        for row in rows
        for role, before in row.means_before.items()
        if not row.narrow and before and _is_number(after := row.means_after.get(role))
    ]
    return max(changes, default=None)


def doubtful(rows: Sequence[ParcelRow]) -> list[str]:
    """Names of at most three parcels with more than twice the usual added detail, most first."""
    known = sorted((row for row in rows if _is_number(row.detail)), key=lambda row: -(row.detail or 0.0))
    usual = (known[len(known) // 2].detail or 0.0) if known else 0.0
    return [row.name for row in known[:3] if (row.detail or 0.0) > 2 * usual]


def title_of(row: ParcelRow) -> str:
    """The parcel's id, and beside it what the layer calls it."""
    for key, value in row.attributes.items():
        if key.casefold() in {"name", "field_name", "label", "title"} and isinstance(value, str) and value.strip() not in ("", row.name):
            return f"{row.name} · {value.strip()}"
    return row.name


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _largest(rows: Sequence[ParcelRow]) -> list[ParcelRow]:
    """At most `MOST_PARCELS` rows in their own order."""
    if len(rows) <= MOST_PARCELS:
        return list(rows)
    kept = sorted(range(len(rows)), key=lambda number: -rows[number].area_ha)[:MOST_PARCELS]
    return [rows[number] for number in sorted(kept)]


def _roles(rows: Sequence[ParcelRow]) -> list[str]:
    """Bands of the table in the order in which they are first met."""
    return list(dict.fromkeys(role for row in rows for means in (row.means_before, row.means_after) for role in means))
