"""Comparing two rasters: the function behind ``sr-geo evaluate``. Windows are read one at a time, whatever the size."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from sr_geo.consistency import Sensor
from sr_geo.errors import EvaluationError
from sr_geo.grid import TilePlan, Window
from sr_geo.quality.evaluation import TRUST_LINES, Consistency, Evaluation, Measures, Trust
from sr_geo.quality.lpips import is_available, lpips
from sr_geo.quality.metrics import SSIM_RADIUS, Moments, PerBand, Structure, drift, moments, structure
from sr_geo.quality.opensr import OpenSr, opensr
from sr_geo.quality.pairing import Interpolated, Real, Selection, check_same_grid, coarser_by, open_raster, paired
from sr_geo.raster.roles import default_sigma

__all__ = ["Consistency", "Evaluation", "Measures", "Trust", "evaluate_rasters"]

_TILE = 1024
_JUDGED = 512
"""Side in fine pixels of the scenes that the opensr-test protocol is applied to, as in its own data sets."""
_MOST_JUDGED = 64
_GLANCES = 64
_GLANCE = 128
"""Windows, and pixels a side, that are read to learn the range of the values."""


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
        lr: the input of the enhancement: the same ground in whole multiples of the pixel size. Adds the consistency,
            the opensr-test figures, and what interpolation alone would reach.
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
        truth, other = open_raster(reference, stack), open_raster(enhanced, stack)
        check_same_grid(truth, other)
        truth, other = paired(truth, other)
        coarse = None if lr is None else open_raster(lr, stack)
        scale = 4 if coarse is None else coarser_by(coarse, truth)
        if min(truth.height, truth.width) <= 2 * border or border < 0:
            raise EvaluationError(f"border of {border} pixels: nothing is left of {truth.height} × {truth.width}; give a smaller one")
        peak, rule = (data_range, "given") if data_range is not None else _range(truth)
        sums, similarity = _compare(truth, other, border=border, data_range=peak, tile=tile)
        consistency, trust = None, None
        interpolation: tuple[Measures, ...] = ()
        if coarse is not None:
            kept, coarse = paired(truth, coarse)
            if kept.bands != truth.bands:
                raise EvaluationError(f"{lr}: lacks bands that reference and enhanced raster share; give the raster that was enhanced")
            sigmas = _sigmas(psf, truth, other, coarse)
            consistency = _consistency(other, coarse, sigmas, scale=scale, like=truth, tile=tile)
            interpolation = _all_measures(
                truth, *_compare(truth, Interpolated(coarse, scale), border=border, data_range=peak, tile=tile), peak
            )
            trust = _judge(coarse, other, truth, scale=scale)
        together, *bands = _all_measures(truth, sums, similarity, peak)
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
            together=together,
            bands=tuple(bands),
            interpolation=interpolation,
            sam=_known(sums.sam),
            ergas=_known(sums.ergas(scale)),
            ergas_scale=scale,
            lpips=_lpips(truth, other, peak, perceptual),
            consistency=consistency,
            trust=trust,
        )


def _range(truth: Selection) -> tuple[float, str]:
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


def _compare(truth: Selection, other: Selection | Interpolated, *, border: int, data_range: float, tile: int) -> tuple[Moments, Structure]:
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


def _sigmas(psf: float | Sequence[float] | None, truth: Selection, enhanced: Selection, coarse: Selection) -> tuple[float, ...]:
    count = len(truth.bands)
    if psf is None:
        tagged = _tagged(enhanced.scene.tags)
        return tuple(
            tagged.get(name, default_sigma(coarse.scene.sensor, role, metres=coarse.scene.metres))
            for name, role in zip(enhanced.names, enhanced.roles, strict=True)
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


def _consistency(
    fine: Selection, coarse: Selection, sigmas: tuple[float, ...], *, scale: int, like: Selection, tile: int
) -> Consistency | None:
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


def _judge(coarse: Selection, enhanced: Selection, truth: Selection, *, scale: int) -> Trust | None:
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
    names = [name for _, name, _ in TRUST_LINES]
    means = {name: _known(_mean([getattr(scene, name) for scene in found])) for name in names}
    return Trust(scenes=len(found), **means)


def _lpips(truth: Selection, enhanced: Selection, data_range: float, perceptual: bool | None) -> float | None:
    shown = [truth.roles.index(role) for role in ("red", "green", "blue") if role in truth.roles]
    if perceptual is False or (perceptual is None and not (len(shown) == 3 and is_available())):
        return None
    if len(shown) < 3:
        raise EvaluationError(f"{truth.name}: LPIPS needs red, green and blue, known are {', '.join(truth.names)}; describe the bands")
    red_green_blue = [Selection(raster.scene, tuple(raster.bands[i] for i in shown)) for raster in (truth, enhanced)]
    found: list[float] = []
    for window in _scenes(truth, side=_JUDGED, smallest=64):
        (x, x_valid), (y, y_valid) = (raster.read_like(window, red_green_blue[0].encodings) for raster in red_green_blue)
        if x_valid.all() and y_valid.all():
            a, b = (np.clip(picture / data_range, 0.0, 1.0).astype(np.float32) for picture in (x, y))
            found.append(lpips(a, b))
    return _mean(found) if found else None


def _scenes(raster: Selection, *, side: int, smallest: int) -> list[Window]:
    """At most `_MOST_JUDGED` windows spread evenly; those at the edge that are smaller than `smallest` are left out."""
    scenes = [window for window in TilePlan(raster.height, raster.width, side) if min(window.shape) >= smallest]
    return scenes[:: max(1, -(-len(scenes) // _MOST_JUDGED))]


def _mean(values: Sequence[float]) -> float:
    """Of those that are numbers; NaN where none is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _reflectance(raster: Selection, window: Window) -> tuple[Real, bool]:
    values, valid = raster.read(window)
    for plane, encoding in zip(values, raster.encodings, strict=True):
        plane[:] = plane * encoding.scale + encoding.offset
    return values, bool(valid.all())


def _all_measures(truth: Selection, sums: Moments, similarity: Structure, data_range: float) -> tuple[Measures, ...]:
    """Of all bands together, then of each."""
    each = (_measures(name, sums, similarity, data_range, index) for index, name in enumerate(truth.names))
    return _measures("all", sums, similarity, data_range, None), *each


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
