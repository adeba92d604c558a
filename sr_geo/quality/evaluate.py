"""Comparing two rasters: the function behind ``sr-geo evaluate``. Windows are read one at a time, whatever the size."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from sr_geo.consistency import Sensor
from sr_geo.errors import EvaluationError
from sr_geo.grid import TilePlan, Window
from sr_geo.quality.lpips import is_available, lpips
from sr_geo.quality.metrics import SSIM_RADIUS, Moments, PerBand, Structure, drift, moments, structure
from sr_geo.quality.opensr import OpenSr, opensr
from sr_geo.radiometry import Encoding, Mask
from sr_geo.raster.roles import default_sigma
from sr_geo.raster.scene import Scene

Real = NDArray[np.float64]

_TILE = 1024
_JUDGED = 512
"""Side in fine pixels of the scenes that the opensr-test protocol is applied to, as in its own data sets."""
_MOST_JUDGED = 64
_SAME = 0.01
"""Pixels by which two grids may differ and still be one."""
_GLANCES = 64
_GLANCE = 128
"""Windows, and pixels a side, that are read to learn the range of the values."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measures(_Part):
    """Agreement of a band, or of all; None where nothing was compared, or where equal pictures have no finite PSNR."""

    name: str
    psnr: float | None
    """dB."""
    ssim: float | None
    rmse: float | None
    mae: float | None
    bias: float | None
    """Enhanced − reference."""


class Consistency(_Part):
    """The enhanced raster seen through the sensor again, against the raster that it was made from."""

    psf: tuple[float, ...]
    """Standard deviation of the blur of each band, pixels of the enhanced raster."""
    mean_absolute: float | None
    per_band: tuple[float | None, ...]
    bias: float | None


class Trust(_Part):
    """The opensr-test figures, means over fully valid scenes of up to 512 × 512 pixels; None where a figure could not be found."""

    scenes: int
    reflectance: float | None
    spectral: float | None
    spatial: float | None
    synthesis: float | None
    improvement: float | None
    omission: float | None
    hallucination: float | None


class Evaluation(_Part):
    """How an enhanced raster compares with a reference on the same grid.

    Figures other than PSNR, SSIM, angles and the opensr-test ones are in the stored values of the reference.
    """

    reference: str
    enhanced: str
    lr: str | None
    height: int
    width: int
    border: int
    """Pixels left out on every side."""
    compared: float = Field(ge=0.0, le=1.0)
    """Share of values inside the border that are valid in both rasters."""
    data_range: float
    data_range_rule: str
    together: Measures
    bands: tuple[Measures, ...]
    sam: float | None
    """Mean spectral angle, degrees."""
    ergas: float | None
    ergas_scale: int
    """Ratio of pixel sizes that ERGAS was computed with."""
    lpips: float | None = None
    """Perceptual distance of red, green and blue, over the data range; mean over scenes of up to 512 × 512 pixels."""
    consistency: Consistency | None = None
    trust: Trust | None = None

    def rows(self) -> list[tuple[str, ...]]:
        """A table as text: the header, then one row a measure: its name with the unit, all bands together, each band."""
        columns = (self.together, *self.bands)
        table: list[tuple[str, ...]] = [("", "all", *(band.name for band in self.bands))]
        equal = all(column.rmse == 0.0 for column in columns)
        for label, attribute, form in _LINES:
            values = [getattr(column, attribute) for column in columns]
            blank = "∞" if attribute == "psnr" and equal else "–"
            table.append((label, *(blank if value is None else format(value, form) for value in values)))
        single: list[tuple[str, float | None, str]] = [
            ("spectral angle, °", self.sam, ".3f"),
            (f"ERGAS (×{self.ergas_scale})", self.ergas, ".3f"),
        ]
        if self.lpips is not None:
            single.append(("LPIPS ↓", self.lpips, ".4f"))
        if self.consistency is not None:
            each = (self.consistency.mean_absolute, *self.consistency.per_band)
            table.append(("seen again, mean |Δ|", *("–" if value is None else format(value, ".4g") for value in each)))
        if self.trust is not None:
            single += [(label, getattr(self.trust, name), form) for label, name, form in _TRUST_LINES]
        blanks = ("",) * len(self.bands)
        table += [(label, "–" if value is None else format(value, form), *blanks) for label, value, form in single]
        return table


_LINES = (
    ("PSNR, dB", "psnr", ".2f"),
    ("SSIM", "ssim", ".4f"),
    ("RMSE", "rmse", ".4g"),
    ("mean |Δ|", "mae", ".4g"),
    ("bias", "bias", "+.4g"),
)
_TRUST_LINES = (
    ("opensr reflectance ↓", "reflectance", ".5f"),
    ("opensr spectral ↓, °", "spectral", ".3f"),
    ("opensr spatial ↓, input pixels", "spatial", ".3f"),
    ("opensr synthesis ↑", "synthesis", ".5f"),
    ("opensr improvement ↑", "improvement", ".3f"),
    ("opensr omission ↓", "omission", ".3f"),
    ("opensr hallucination ↓", "hallucination", ".3f"),
)


def evaluate_rasters(
    reference: str | Path,
    enhanced: str | Path,
    *,
    lr: str | Path | None = None,
    psf: float | Sequence[float] | None = None,
    border: int = 0,
    data_range: float | None = None,
    perceptual: bool | None = None,
    tile: int = _TILE,
) -> Evaluation:
    """Compare an enhanced raster with the truth on the same grid, and with the raster that it was made from.

    Bands are paired by their roles where both rasters tell them, else by position. Values are compared as the
    reference stores them, whatever the scale and offset of the other raster.

    Args:
        reference: the truth.
        enhanced: same size, origin, pixel size and coordinate system.
        lr: the input of the enhancement: the same ground in whole multiples of the pixel size. Adds the consistency
            and the opensr-test figures.
        psf: standard deviation of the sensor's blur in pixels of the enhanced raster, one figure or one a band;
            default: what the tags of the enhanced raster say, else what is usual for the sensor of `lr`.
        border: pixels left out on every side.
        data_range: peak of PSNR and SSIM; default: 255 for 8-bit references, else the 99.5th percentile.
        perceptual: whether to add LPIPS; None: where red, green and blue are known and its weights are installed.
        tile: pixels a side that are read at a time.

    Raises:
        MissingPartError: LPIPS is asked for and its weights are not installed.
        InputError: a raster cannot be read.
        EvaluationError: the rasters do not lie on one grid, or have different bands.
    """
    with ExitStack() as stack:
        truth, other = _open(reference, stack), _open(enhanced, stack)
        _check_same_grid(truth, other)
        truth, other = _paired(truth, other)
        coarse = None if lr is None else _open(lr, stack)
        scale = 4 if coarse is None else _coarser(coarse, truth)
        if min(truth.height, truth.width) <= 2 * border or border < 0:
            raise EvaluationError(f"border of {border} pixels: nothing is left of {truth.height} × {truth.width}; give a smaller one")
        peak, rule = (data_range, "given") if data_range is not None else _range(truth)
        sums, similarity = _compare(truth, other, border=border, data_range=peak, tile=tile)
        consistency, trust = None, None
        if coarse is not None:
            kept, coarse = _paired(truth, coarse)
            if kept.bands != truth.bands:
                raise EvaluationError(f"{lr}: lacks bands that reference and enhanced raster share; give the raster that was enhanced")
            sigmas = _sigmas(psf, truth, other, coarse)
            consistency = _consistency(other, coarse, sigmas, scale=scale, like=truth, tile=tile)
            trust = _judge(coarse, other, truth, scale=scale)
        inside = (truth.height - 2 * border) * (truth.width - 2 * border) * len(truth.bands)
        return Evaluation(
            reference=str(reference),
            enhanced=str(enhanced),
            lr=None if lr is None else str(lr),
            height=truth.height,
            width=truth.width,
            border=border,
            compared=float(sums.count.sum()) / inside,
            data_range=peak,
            data_range_rule=rule,
            together=_measures("all", sums, similarity, peak, None),
            bands=tuple(_measures(name, sums, similarity, peak, index) for index, name in enumerate(truth.names)),
            sam=_known(sums.sam),
            ergas=_known(sums.ergas(scale)),
            ergas_scale=scale,
            lpips=_lpips(truth, other, peak, perceptual),
            consistency=consistency,
            trust=trust,
        )


@dataclass(frozen=True, slots=True)
class _Raster:
    """Some bands of a scene, in an order."""

    scene: Scene
    bands: tuple[int, ...]
    """Counted from 0."""

    @property
    def name(self) -> str:
        return self.scene.path

    @property
    def height(self) -> int:
        return self.scene.height

    @property
    def width(self) -> int:
        return self.scene.width

    @property
    def roles(self) -> tuple[str | None, ...]:
        return tuple(self.scene.bands[band].role for band in self.bands)

    @property
    def names(self) -> tuple[str, ...]:
        described = ((band, self.scene.bands[band]) for band in self.bands)
        return tuple(known.role or known.description or f"band {band + 1}" for band, known in described)

    @property
    def encodings(self) -> tuple[Encoding, ...]:
        return tuple(self.scene.bands[band].encoding for band in self.bands)

    def read(self, window: Window) -> tuple[Real, Mask]:
        """Stored values and validity of a window inside the raster, both ``(C, h, w)``."""
        values, valid = self.scene.read(window, self.bands)
        return values.astype(np.float64), valid

    def read_like(self, window: Window, encodings: tuple[Encoding, ...]) -> tuple[Real, Mask]:
        """As `read`, in the stored values of another raster."""
        values, valid = self.read(window)
        for plane, own, wanted in zip(values, self.encodings, encodings, strict=True):
            if (own.scale, own.offset) != (wanted.scale, wanted.offset):
                plane[:] = (plane * own.scale + own.offset - wanted.offset) / wanted.scale
        return values, valid


def _open(path: str | Path, stack: ExitStack) -> _Raster:
    scene = stack.enter_context(Scene.open(path))
    return _Raster(scene, tuple(index for index, band in enumerate(scene.bands) if band.color != "alpha"))


def _check_same_grid(truth: _Raster, other: _Raster) -> None:
    names = f"{truth.name} and {other.name}"
    one, two = _pixel_sizes(truth.scene.transform), _pixel_sizes(other.scene.transform)
    if truth.scene.crs != other.scene.crs:
        systems = f"{truth.scene.crs} and {other.scene.crs}"
        raise EvaluationError(f"{names}: coordinate systems {systems}; expected one: reproject the reference")
    if any(abs(a - b) * max(truth.height, truth.width) > _SAME * a for a, b in zip(one, two, strict=True)):
        relation = "finer" if one[0] < two[0] else "coarser"
        raise EvaluationError(
            f"{names}: the reference is {relation} (pixels of {one[0]:g} and {two[0]:g}); "
            "expected one grid: resample the reference to the enhanced raster's"
        )
    columns, rows = _offset(truth.scene.transform, other.scene.transform)
    if max(abs(columns), abs(rows)) > _SAME:
        raise EvaluationError(
            f"{names}: the enhanced raster starts {rows:.2f} rows and {columns:.2f} columns off; expected one corner: cut both to it"
        )
    if (truth.height, truth.width) != (other.height, other.width):
        sizes = f"{truth.height} × {truth.width} and {other.height} × {other.width} pixels"
        raise EvaluationError(f"{names}: {sizes}; expected the same extent: cut both to it")


def _coarser(coarse: _Raster, fine: _Raster) -> int:
    """Fine pixels per coarse pixel."""
    scale = round(fine.width / coarse.width)
    shift = _offset(fine.scene.transform, coarse.scene.transform)
    fits = scale >= 2 and (fine.height, fine.width) == (scale * coarse.height, scale * coarse.width)
    if not fits or max(abs(value) for value in shift) > _SAME * scale or coarse.scene.crs != fine.scene.crs:
        raise EvaluationError(
            f"{coarse.name}: {coarse.height} × {coarse.width} pixels are not the input of {fine.height} × {fine.width}; "
            "expected the same ground in whole multiples of the pixel size: give the raster that was enhanced"
        )
    return scale


def _pixel_sizes(transform: Affine) -> tuple[float, float]:
    return math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e)


def _offset(one: Affine, two: Affine) -> tuple[float, float]:
    """Columns and rows of the corner of `two` on the grid of `one`."""
    column, row = ~one @ (two.c, two.f)
    return float(column), float(row)


def _paired(truth: _Raster, other: _Raster) -> tuple[_Raster, _Raster]:
    """The bands that both have, in the order of the reference."""
    one, two = truth.roles, other.roles
    distinct = None not in one + two and len(set(one)) == len(one) and len(set(two)) == len(two)
    common = [role for role in one if role in two] if distinct else []
    if common:
        return (
            _Raster(truth.scene, tuple(truth.bands[one.index(role)] for role in common)),
            _Raster(other.scene, tuple(other.bands[two.index(role)] for role in common)),
        )
    if len(one) != len(two):
        raise EvaluationError(
            f"{truth.name} has {len(one)} band(s), {other.name} {len(two)}; expected as many, or known roles: describe or select the bands"
        )
    return truth, other


def _range(truth: _Raster) -> tuple[float, str]:
    if {truth.scene.bands[band].dtype for band in truth.bands} == {"uint8"}:
        return 255.0, "8 bits"
    plan = TilePlan(truth.height, truth.width, _GLANCE)
    seen: list[Real] = []
    for index in range(0, len(plan), max(1, -(-len(plan) // _GLANCES))):
        values, valid = truth.read(plan[index])
        seen.append(values[valid])
    found = np.concatenate(seen)
    peak = float(np.percentile(found, 99.5)) if found.size else 0.0
    if peak <= 0.0:
        raise EvaluationError(f"{truth.name}: no valid value above 0 to take the data range from; is it the right raster?")
    return peak, "99.5th percentile of the reference"


def _compare(truth: _Raster, other: _Raster, *, border: int, data_range: float, tile: int) -> tuple[Moments, Structure]:
    region = Window(border, border, truth.height - 2 * border, truth.width - 2 * border)
    none = np.zeros(len(truth.bands))
    sums = Moments(none.astype(np.int64), none, none, none, none, 0.0, 0)
    similarity = Structure(none, none.astype(np.int64))
    for window in _tiles(region, tile):
        around = window.padded(SSIM_RADIUS).intersection(region)
        x, x_valid = truth.read(around)
        y, y_valid = other.read_like(around, truth.encodings)
        valid = x_valid & y_valid
        similarity += structure(x, y, data_range=data_range, valid=valid)
        core = (slice(None), *window.relative_to(around).slices())
        sums += moments(x[core], y[core], valid=valid[core])
    return sums, similarity


def _tiles(region: Window, tile: int) -> Iterator[Window]:
    for window in TilePlan(region.height, region.width, tile):
        yield Window(region.row + window.row, region.column + window.column, window.height, window.width)


def _sigmas(psf: float | Sequence[float] | None, truth: _Raster, enhanced: _Raster, coarse: _Raster) -> tuple[float, ...]:
    count = len(truth.bands)
    if psf is None:
        tagged = _tagged(enhanced.scene.tags)
        return tuple(
            tagged.get(name, default_sigma(coarse.scene.sensor, role)) for name, role in zip(enhanced.names, enhanced.roles, strict=True)
        )
    given = (float(psf),) if isinstance(psf, (int, float)) else tuple(float(value) for value in psf)
    if len(given) not in {1, count}:
        raise EvaluationError(f"{len(given)} blurs for {count} bands; give one, or one for each band")
    return given * count if len(given) == 1 else given


def _tagged(tags: Mapping[str, str]) -> dict[str, float]:
    """The blur of each band as `sr-geo enhance` noted it; empty for rasters of other origin."""
    try:
        noted: dict[str, str] = json.loads(tags.get("SR_GEO_PSF", "{}"))
        return {name: float(text.split()[0]) for name, text in noted.items()}
    except (ValueError, AttributeError, IndexError):
        return {}


def _consistency(fine: _Raster, coarse: _Raster, sigmas: tuple[float, ...], *, scale: int, like: _Raster, tile: int) -> Consistency | None:
    sensors = [Sensor(sigma, scale) for sigma in sigmas]
    reach = max(sensor.reach for sensor in sensors)
    whole = Window(0, 0, coarse.height, coarse.width)
    total: Moments | None = None
    for window in TilePlan(coarse.height, coarse.width, max(tile // scale, 2 * reach + 1)):
        around = window.padded(reach).intersection(whole)
        if min(around.shape) <= 2 * reach:
            continue
        measured, valid = coarse.read_like(around, like.encodings)
        picture, known = fine.read_like(around.scaled(scale), like.encodings)
        blocks = known.reshape(len(known), around.height, scale, around.width, scale).all(axis=(2, 4))
        picture[~known] = 0.0
        part = drift(picture.astype(np.float32), measured.astype(np.float32), sensors, valid=valid & blocks)
        total = part if total is None else total + part
    if total is None or not total.count.any():
        return None
    return Consistency(
        psf=sigmas,
        mean_absolute=_known(total.mae.together),
        per_band=tuple(_known(value) for value in total.mae.bands),
        bias=_known(total.bias.together),
    )


def _judge(coarse: _Raster, enhanced: _Raster, truth: _Raster, *, scale: int) -> Trust | None:
    """The opensr-test figures of scenes spread evenly over the raster."""
    found: list[OpenSr] = []
    for window in _scenes(coarse, side=max(_JUDGED // scale, 1), smallest=-(-64 // scale)):
        (low, low_valid), (sr, sr_valid), (hr, hr_valid) = (
            _reflectance(coarse, window),
            _reflectance(enhanced, window.scaled(scale)),
            _reflectance(truth, window.scaled(scale)),
        )
        if low_valid and sr_valid and hr_valid:
            found.append(opensr(low, sr, hr))
    if not found:
        return None
    names = [name for _, name, _ in _TRUST_LINES]
    means = {name: _known(_mean([getattr(scene, name) for scene in found])) for name in names}
    return Trust(scenes=len(found), **means)


def _lpips(truth: _Raster, enhanced: _Raster, data_range: float, perceptual: bool | None) -> float | None:
    shown = [truth.roles.index(role) for role in ("red", "green", "blue") if role in truth.roles]
    if perceptual is False or (perceptual is None and not (len(shown) == 3 and is_available())):
        return None
    if len(shown) < 3:
        raise EvaluationError(f"{truth.name}: LPIPS needs red, green and blue, known are {', '.join(truth.names)}; describe the bands")
    red_green_blue = [_Raster(raster.scene, tuple(raster.bands[i] for i in shown)) for raster in (truth, enhanced)]
    found: list[float] = []
    for window in _scenes(truth, side=_JUDGED, smallest=64):
        (x, x_valid), (y, y_valid) = (raster.read_like(window, red_green_blue[0].encodings) for raster in red_green_blue)
        if x_valid.all() and y_valid.all():
            a, b = (np.clip(picture / data_range, 0.0, 1.0).astype(np.float32) for picture in (x, y))
            found.append(lpips(a, b))
    return _mean(found) if found else None


def _scenes(raster: _Raster, *, side: int, smallest: int) -> list[Window]:
    """At most `_MOST_JUDGED` windows spread evenly; those at the edge that are smaller than `smallest` are left out."""
    scenes = [window for window in TilePlan(raster.height, raster.width, side) if min(window.shape) >= smallest]
    return scenes[:: max(1, -(-len(scenes) // _MOST_JUDGED))]


def _mean(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _reflectance(raster: _Raster, window: Window) -> tuple[Real, bool]:
    values, valid = raster.read(window)
    for plane, encoding in zip(values, raster.encodings, strict=True):
        plane[:] = plane * encoding.scale + encoding.offset
    return values, bool(valid.all())


def _measures(name: str, sums: Moments, similarity: Structure, data_range: float, band: int | None) -> Measures:
    def of(value: PerBand) -> float | None:
        return _known(value.together if band is None else value.bands[band])

    return Measures(
        name=name,
        psnr=of(sums.psnr(data_range)),
        ssim=of(similarity.ssim),
        rmse=of(sums.rmse),
        mae=of(sums.mae),
        bias=of(sums.bias),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
