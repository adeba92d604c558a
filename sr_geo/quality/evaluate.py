"""Comparing two rasters: the function behind ``sr-geo evaluate``. Windows are read one at a time, whatever the size."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sr_geo.consistency import Sensor
from sr_geo.errors import EvaluationError, EvaluationWarning, OptionError
from sr_geo.grid import TilePlan, Window
from sr_geo.quality.evaluation import TRUST_LINES, Consistency, Evaluation, Measures, Trust
from sr_geo.quality.looks import JUDGED, SMALLEST, judges_for, look, scenes, whole_parts
from sr_geo.quality.metrics import SSIM_RADIUS, Moments, PerBand, Structure, drift, moments, structure
from sr_geo.quality.multiscale import HALO, STEP, MultiScale, multiscale, nothing
from sr_geo.quality.opensr import OpenSr, opensr
from sr_geo.quality.pairing import Interpolated, Real, Selection, check_same_grid, coarser_by, in_unit_of, open_raster, paired
from sr_geo.radiometry import Mask
from sr_geo.raster.roles import default_sigma

__all__ = ["Consistency", "Evaluation", "Measures", "Trust", "evaluate_rasters"]

_TILE = 1024
_GLANCES = 64
"""Windows that are read to learn the range of the values."""


def evaluate_rasters(
    reference: str | Path,
    enhanced: str | Path,
    *,
    lr: str | Path | None = None,
    psf: float | Sequence[float] | None = None,
    border: int = 0,
    data_range: float | None = None,
    perceptual: bool | None = None,
    with_dists: bool = False,
    each_band: bool = False,
    tile: int = _TILE,
) -> Evaluation:
    """Compare an enhanced raster with the truth on the same grid, and with the raster that it was made from.

    Bands are paired by their roles where both rasters tell them, else by position. Values are compared as the
    reference stores them, whatever the scale and offset of the other raster; of a raster that states none see
    `sr_geo.quality.pairing.in_unit_of`. Spectral angle, ERGAS and the opensr-test figures are of physical values.

    Args:
        reference: the truth.
        enhanced: same size, origin, pixel size and coordinate system.
        lr: the input of the enhancement: the same ground in whole multiples of the pixel size. Adds the consistency,
            the opensr-test figures, and what interpolation alone would reach.
        psf: standard deviation of the sensor's blur in pixels of the enhanced raster, one figure or one a band;
            default: what the tags of the enhanced raster say, else what is usual for the sensor of `lr`.
        border: pixels left out on every side.
        data_range: peak of PSNR and SSIM; default: 255 for 8-bit references, else the 99.5th percentile.
        perceptual: whether to add LPIPS; None: where there is a picture to show (red, green and blue are known, or there is one band)
            and its weights are installed.
        with_dists: whether to add DISTS, which needs PyTorch and takes seconds a scene.
        each_band: whether to add the LPIPS, and the DISTS where that is asked for, of each band as a gray picture.
        tile: pixels a side that are read at a time, rounded up to whole multiples of 16.

    Raises:
        MissingPartError: LPIPS or DISTS is asked for and what it needs is not installed.
        InputError: a raster cannot be read.
        EvaluationError: the rasters do not lie on one grid, or have different bands.
        OptionError: a blur or a data range that cannot be, or `each_band` without a measure.

    Warns:
        EvaluationWarning: nothing was compared, or figures are missing for want of ground without gaps, or a unit had to be guessed.
    """
    if data_range is not None and not 0.0 < data_range < math.inf:
        raise OptionError(f"data range {data_range:g}: expected more than 0")
    with ExitStack() as stack:
        truth, other = open_raster(reference, stack), open_raster(enhanced, stack)
        check_same_grid(truth, other)
        truth, other = paired(truth, other)
        other = in_unit_of(truth, other)
        coarse = None if lr is None else open_raster(lr, stack)
        scale = 4 if coarse is None else coarser_by(coarse, truth)
        if min(truth.height, truth.width) <= 2 * border or border < 0:
            raise EvaluationError(f"border of {border} pixels: nothing is left of {truth.height} × {truth.width}; give a smaller one")
        judges = judges_for(truth, perceptual=perceptual, with_dists=with_dists, each_band=each_band)
        peak, rule = (data_range, "given") if data_range is not None else _range(truth)
        compared = _compare(truth, other, border=border, data_range=peak, tile=tile)
        consistency, trust = None, None
        interpolation: tuple[Measures, ...] = ()
        if coarse is not None:
            kept, coarse = paired(truth, coarse)
            if kept.bands != truth.bands:
                raise EvaluationError(f"{lr}: lacks bands that reference and enhanced raster share; give the raster that was enhanced")
            coarse = in_unit_of(truth, coarse)
            sigmas = _sigmas(psf, truth, other, coarse, scale=scale)
            consistency = _consistency(other, coarse, sigmas, scale=scale, like=truth, tile=tile)
            interpolation = _all_measures(
                truth, _compare(truth, Interpolated(coarse, scale), border=border, data_range=peak, tile=tile), peak
            )
            trust = _judge(coarse, other, truth, scale=scale)
        sums = compared.moments
        if not sums.count.any():
            said = "no pixel holds a value in both, so there are no figures; is one of them empty, or are their nodata values right?"
            warnings.warn(EvaluationWarning(f"{reference} and {enhanced}: {said}"), stacklevel=2)
        elif coarse is not None and trust is None:
            said = f"no {SMALLEST} × {SMALLEST} pixels without a gap, so the opensr-test figures are left out"
            warnings.warn(EvaluationWarning(f"{reference} and {enhanced}: {said}"), stacklevel=2)
        together, *bands = _all_measures(truth, compared, peak)
        looks = look(truth, other, peak, judges, each_band=each_band)
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
            bands=tuple(
                band.model_copy(update={name: found[1 + index] for name, found in looks.items() if each_band})
                for index, band in enumerate(bands)
            ),
            interpolation=interpolation,
            sam=_known(sums.sam),
            ergas=_known(sums.ergas(scale, truth.encodings)),
            ergas_scale=scale,
            lpips=looks["lpips"][0] if "lpips" in looks else None,
            dists=looks["dists"][0] if "dists" in looks else None,
            consistency=consistency,
            trust=trust,
        )


def _range(truth: Selection) -> tuple[float, str]:
    if {truth.scene.bands[band].dtype for band in truth.bands} == {"uint8"}:
        return 255.0, "8 bits"
    found = truth.glance(_GLANCES)
    if not found.size:
        raise EvaluationError(f"{truth.name}: no valid value to take the data range from; is it the right raster, and its nodata value?")
    peak = float(np.percentile(found, 99.5))
    if peak <= 0.0:
        raise EvaluationError(f"{truth.name}: no value above 0 to take the data range from; give it by --data-range")
    return peak, "99.5th percentile of the reference"


@dataclass(frozen=True, slots=True)
class _Compared:
    """Sums over a raster."""

    moments: Moments
    structure: Structure
    multiscale: MultiScale


def _compare(truth: Selection, other: Selection | Interpolated, *, border: int, data_range: float, tile: int) -> _Compared:
    region = Window(border, border, truth.height - 2 * border, truth.width - 2 * border)
    none = np.zeros(len(truth.bands))
    sums = Moments(none.astype(np.int64), none, none, none, none, 0.0, 0)
    similarity, scales = Structure(none, none.astype(np.int64)), nothing(len(truth.bands))
    for window in _tiles(region, -(-tile // STEP) * STEP):
        around = window.padded(HALO).intersection(region)
        x, x_valid = truth.read(around)
        y, y_valid = other.read_like(around, truth.encodings)
        valid = x_valid & y_valid
        near = (slice(None), *window.padded(SSIM_RADIUS).intersection(region).relative_to(around).slices())
        similarity += structure(x[near], y[near], data_range=data_range, valid=valid[near])
        scales += multiscale(x, y, data_range=data_range, valid=valid, core=window.relative_to(around))
        core = (slice(None), *window.relative_to(around).slices())
        sums += moments(x[core], y[core], valid=valid[core], encodings=truth.encodings)
    return _Compared(sums, similarity, scales)


def _tiles(region: Window, tile: int) -> Iterator[Window]:
    for window in TilePlan(region.height, region.width, tile):
        yield Window(region.row + window.row, region.column + window.column, window.height, window.width)


def _sigmas(
    psf: float | Sequence[float] | None, truth: Selection, enhanced: Selection, coarse: Selection, *, scale: int
) -> tuple[float, ...]:
    count = len(truth.bands)
    if psf is None:
        tagged = _tagged(enhanced.scene.tags)
        given = tuple(
            tagged.get(name, default_sigma(coarse.scene.sensor, role, metres=coarse.scene.metres, scale=scale))
            for name, role in zip(enhanced.names, enhanced.roles, strict=True)
        )
    else:
        given = (float(psf),) if isinstance(psf, (int, float)) else tuple(float(value) for value in psf)
    if not all(0.0 <= value < 20.0 for value in given):
        blurs = ", ".join(f"{value:g}" for value in given)
        raise OptionError(f"blur {blurs}: expected 0 up to 20 pixels of the enhanced raster, usually 1 to 3.2 at ×4; give another by --psf")
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
    """The opensr-test figures of scenes spread evenly over the raster; those with gaps count with their whole parts."""
    found: list[OpenSr] = []
    sizes: list[int] = []
    for window in scenes(coarse, side=max(JUDGED // scale, 1), smallest=-(-SMALLEST // scale)):
        (low, low_valid), (sr, sr_valid), (hr, hr_valid) = (
            _reflectance(coarse, window),
            _reflectance(enhanced, window.scaled(scale)),
            _reflectance(truth, window.scaled(scale)),
        )
        fine = (sr_valid & hr_valid).all(axis=0).reshape(window.height, scale, window.width, scale)
        valid: Mask = np.logical_and(low_valid.all(axis=0), fine.all(axis=(1, 3)))
        for part in whole_parts(valid, smallest=-(-SMALLEST // scale)):
            small, large = (slice(None), *part.slices()), (slice(None), *part.scaled(scale).slices())
            found.append(opensr(low[small], sr[large], hr[large]))
            sizes.append(part.height * part.width)
    if not found:
        return None
    names = [name for _, name, _ in TRUST_LINES]
    means = {name: _known(_mean([getattr(scene, name) for scene in found], sizes)) for name in names}
    return Trust(scenes=len(found), **means)


def _mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """Of those that are numbers, each with the weight of its size; NaN where none is."""
    known = [(value, size) for value, size in zip(values, sizes, strict=True) if not math.isnan(value)]
    return sum(value * size for value, size in known) / sum(size for _, size in known) if known else math.nan


def _reflectance(raster: Selection, window: Window) -> tuple[Real, Mask]:
    values, valid = raster.read(window)
    for plane, encoding in zip(values, raster.encodings, strict=True):
        plane[:] = plane * encoding.scale + encoding.offset
    return values, valid


def _all_measures(truth: Selection, compared: _Compared, data_range: float) -> tuple[Measures, ...]:
    """Of all bands together, then of each."""
    each = (_measures(name, compared, data_range, index) for index, name in enumerate(truth.names))
    return _measures("all", compared, data_range, None), *each


def _measures(name: str, compared: _Compared, data_range: float, band: int | None) -> Measures:
    def of(value: PerBand) -> float | None:
        return _known(value.together if band is None else value.bands[band])

    sums = compared.moments
    return Measures(
        name=name,
        psnr=of(sums.psnr(data_range)),
        ssim=of(compared.structure.ssim),
        ms_ssim=of(compared.multiscale.ms_ssim),
        rmse=of(sums.rmse),
        mae=of(sums.mae),
        bias=of(sums.bias),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
