"""Agreement of an enhanced picture with the truth: PSNR, SSIM, spectral angle, ERGAS, RMSE, bias. Pure numbers, no I/O.

Pictures are ``(C, H, W)`` in any unit. Pixels that are not finite, or not valid, are left out. What is needed of a
picture is a handful of sums, so a raster is measured window by window: add the `Moments` and the `Structure` of its
windows and ask the total.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.consistency import Sensor, seen
from sr_geo.radiometry import Encoding, Float, Mask

Array = NDArray[Any]
Sums = NDArray[np.float64]
Counts = NDArray[np.int64]

SSIM_RADIUS = 5
"""Pixels on each side of a pixel that its structural similarity looks at (Gaussian of 1.5 pixels, 11 × 11 taps)."""


@dataclass(frozen=True, slots=True)
class PerBand:
    """A measure for each band and for all pixels of all bands together; NaN where nothing was compared."""

    bands: tuple[float, ...]
    together: float


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over compared pixels, one value a band unless said otherwise. The sum of two is that of both sets of pixels."""

    count: Counts
    reference: Sums
    error: Sums
    """Of enhanced − reference."""
    squared: Sums
    absolute: Sums
    angle: float
    """Spectral angles in degrees, between physical values, of `angles` pixels that are valid in every band and not black in either."""
    angles: int

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count,
            self.reference + other.reference,
            self.error + other.error,
            self.squared + other.squared,
            self.absolute + other.absolute,
            self.angle + other.angle,
            self.angles + other.angles,
        )

    @property
    def mse(self) -> PerBand:
        """Mean squared error."""
        return _mean(self.squared, self.count)

    @property
    def rmse(self) -> PerBand:
        """Root of the mean squared error, in the unit of the pictures."""
        return PerBand(tuple(math.sqrt(value) for value in self.mse.bands), math.sqrt(self.mse.together))

    @property
    def mae(self) -> PerBand:
        """Mean absolute error, in the unit of the pictures."""
        return _mean(self.absolute, self.count)

    @property
    def bias(self) -> PerBand:
        """Mean of enhanced − reference: positive where the enhanced picture is too bright."""
        return _mean(self.error, self.count)

    @property
    def sam(self) -> float:
        """Mean spectral angle between the two pictures, degrees; NaN where no pixel had one."""
        return self.angle / self.angles if self.angles else math.nan

    def psnr(self, data_range: float) -> PerBand:
        """Peak signal-to-noise ratio, dB: ``10·log10(data_range² / mse)``; infinite where the pictures are equal."""
        if not data_range > 0.0:
            raise ValueError(f"data range {data_range}: expected more than 0")
        mse = self.mse
        return PerBand(tuple(_decibel(data_range, value) for value in mse.bands), _decibel(data_range, mse.together))

    def ergas(self, scale: int, encodings: Sequence[Encoding] | None = None) -> float:
        """Relative error of the synthesis (Wald, 2000): ``100 / scale · √ mean_b (rmse_b / mean_b)²``; 0 is perfect.

        Where the pictures were stored values, `encodings` tells each band's: the mean is counted from the physical zero then.
        """
        zeros = [encoding.offset / encoding.scale for encoding in encodings or (Encoding(),) * len(self.count)]
        mean = np.array(_mean(self.reference, self.count).bands) + zeros
        if not np.all(np.abs(mean) > 0.0):
            return math.nan
        return float(100.0 / scale * np.sqrt(np.mean((np.array(self.rmse.bands) / mean) ** 2)))


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Sum and number of the structural similarities of pixels, one value a band. Adds up like `Moments`."""

    total: Sums
    count: Counts
    ssim: PerBand = field(init=False)
    """Mean structural similarity; together is the mean over bands, as is usual."""

    def __post_init__(self) -> None:
        bands = _mean(self.total, self.count).bands
        object.__setattr__(self, "ssim", PerBand(bands, float(np.mean(bands))))

    def __add__(self, other: "Structure") -> "Structure":
        return Structure(self.total + other.total, self.count + other.count)


def moments(
    reference: Array, enhanced: Array, *, valid: Mask | None = None, border: int = 0, encodings: Sequence[Encoding] | None = None
) -> Moments:
    """Sums over the pixels of two pictures.

    Args:
        reference: ``(C, H, W)``, the truth.
        enhanced: same shape and unit.
        valid: ``(C, H, W)`` or ``(H, W)``, true where both pictures hold a value; all of it where None.
        border: pixels left out on every side.
        encodings: of each band, where the pictures are stored values: spectral angles are between physical ones.

    Raises:
        ValueError: the shapes differ, or the border leaves nothing.
    """
    truth, other, usable = prepare(reference, enhanced, valid, border)
    error = np.where(usable, other - truth, 0.0)
    truth_inside = np.where(usable, truth, 0.0)
    whole = usable.all(axis=0)
    angles = _angles(_decoded(truth[:, whole], encodings), _decoded(other[:, whole], encodings))
    return Moments(
        count=usable.sum(axis=(1, 2), dtype=np.int64),
        reference=truth_inside.sum(axis=(1, 2)),
        error=error.sum(axis=(1, 2)),
        squared=np.square(error).sum(axis=(1, 2)),
        absolute=np.abs(error).sum(axis=(1, 2)),
        angle=float(angles.sum()),
        angles=angles.size,
    )


def structure(reference: Array, enhanced: Array, *, data_range: float, valid: Mask | None = None, border: int = 0) -> Structure:
    """Structural similarity (Wang et al., 2004) of the pixels whose 11 × 11 neighbourhood is inside and valid.

    Gaussian weights of 1.5 pixels, K₁ = 0.01, K₂ = 0.03, population variances: the settings of the paper. Arguments as
    in `moments`; `border` counts before the neighbourhood is taken off, so that the outermost `border + SSIM_RADIUS`
    pixels have no value of their own.
    """
    if not data_range > 0.0:
        raise ValueError(f"data range {data_range}: expected more than 0")
    truth, other, usable = prepare(reference, enhanced, valid, border)
    total, count = np.zeros(len(truth)), np.zeros(len(truth), np.int64)
    if min(truth.shape[1:]) > 2 * SSIM_RADIUS:
        for band, (x, y, inside) in enumerate(zip(truth, other, usable, strict=True)):
            whole = whole_around(inside, SSIM_RADIUS)
            if whole.any():
                luminance, contrast = similarity_parts(np.where(inside, x, 0.0), np.where(inside, y, 0.0), data_range)
                total[band], count[band] = (luminance * contrast)[whole].sum(dtype=np.float64), whole.sum()
    return Structure(total, count)


def psnr(reference: Array, enhanced: Array, *, data_range: float, valid: Mask | None = None, border: int = 0) -> PerBand:
    """Peak signal-to-noise ratio in dB; *together* is of the mean squared error over all bands. Arguments as in `moments`."""
    return moments(reference, enhanced, valid=valid, border=border).psnr(data_range)


def ssim(reference: Array, enhanced: Array, *, data_range: float, valid: Mask | None = None, border: int = 0) -> PerBand:
    """Mean structural similarity, −1…1. Arguments as in `structure`."""
    return structure(reference, enhanced, data_range=data_range, valid=valid, border=border).ssim


def drift(enhanced: Float, measured: Float, sensors: Sequence[Sensor], *, valid: Mask | None = None) -> Moments:
    """How the enhanced picture, seen through the sensor again, differs from what the sensor measured (Wald's consistency).

    Args:
        enhanced: ``(C, scale·h, scale·w)``, finite.
        measured: ``(C, h, w)`` in the same unit.
        sensors: one for each band, all of one scale.
        valid: ``(C, h, w)`` or ``(h, w)`` of `measured`.

    Returns:
        `Moments` of seen − measured over the coarse pixels whose light comes from valid pixels inside the picture.
    """
    _, height, width = measured.shape
    usable = np.isfinite(measured) if valid is None else np.isfinite(measured) & valid
    reach = max(sensor.reach for sensor in sensors)
    if min(height, width) <= 2 * reach:
        raise ValueError(f"{height} × {width} measured pixels: a sensor that gathers light from {reach} pixels around needs more")
    inner = np.s_[reach : height - reach, reach : width - reach]
    again = np.empty((len(sensors), height - 2 * reach, width - 2 * reach), np.float32)
    for band, sensor in enumerate(sensors):
        spare = (reach - sensor.reach) * sensor.scale
        fine = enhanced[band, spare : enhanced.shape[1] - spare, spare : enhanced.shape[2] - spare]
        again[band] = seen(fine, sensor)
    whole = np.stack([whole_around(plane, reach) for plane in usable])
    return moments(measured[:, inner[0], inner[1]], again, valid=whole)


def prepare(reference: Array, enhanced: Array, valid: Mask | None, border: int) -> tuple[Sums, Sums, Mask]:
    """Two pictures and where both hold a value, ``(C, H, W)`` each, without the border.

    Raises:
        ValueError: the shapes differ, or the border leaves nothing.
    """
    if reference.ndim != 3 or reference.shape != enhanced.shape:
        raise ValueError(f"reference {reference.shape}, enhanced {enhanced.shape}: expected two (bands, rows, columns) of one shape")
    _, height, width = reference.shape
    if border < 0 or 2 * border >= min(height, width):
        raise ValueError(f"a border of {border} pixels leaves nothing of {height} × {width}")
    inside = np.s_[:, border : height - border, border : width - border]
    truth, other = reference[inside].astype(np.float64), enhanced[inside].astype(np.float64)
    usable: Mask = np.isfinite(truth) & np.isfinite(other)
    if valid is not None:
        usable &= np.broadcast_to(valid, reference.shape)[inside]
    return truth, other, usable


def _mean(total: Sums, count: Counts) -> PerBand:
    bands = tuple(float(t / n) if n else math.nan for t, n in zip(total, count, strict=True))
    pixels = int(count.sum())
    return PerBand(bands, float(total.sum() / pixels) if pixels else math.nan)


def _decibel(data_range: float, mse: float) -> float:
    return math.inf if mse == 0.0 else 10.0 * math.log10(data_range**2 / mse)


def _decoded(pixels: Sums, encodings: Sequence[Encoding] | None) -> Sums:
    """Physical values of ``(C, N)`` stored ones, in double precision."""
    if encodings is None:
        return pixels
    decoded: Sums = pixels * np.array([[one.scale] for one in encodings]) + np.array([[one.offset] for one in encodings])
    return decoded


def _angles(x: Sums, y: Sums) -> Sums:
    """Angles in degrees between the columns of two ``(C, N)``; columns of length zero have none."""
    length_x, length_y = np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0)
    some = (length_x > 0.0) & (length_y > 0.0)
    unit_x, unit_y = x[:, some] / length_x[some], y[:, some] / length_y[some]
    # The half-angle form is exact for small angles, where the arc cosine loses half of the digits.
    half = np.arctan2(np.linalg.norm(unit_x - unit_y, axis=0), np.linalg.norm(unit_x + unit_y, axis=0))
    angle: Sums = np.degrees(2.0 * half)
    return angle


def whole_around(inside: Mask, radius: int) -> Mask:
    """Where the neighbourhood of `radius` pixels is all true; the outer `radius` pixels are left away."""
    height, width = inside.shape
    shape = (height - 2 * radius, width - 2 * radius)
    if inside.all():
        return np.ones(shape, np.bool_)
    # Counts of false pixels by summed areas: independent of the radius.
    area = np.pad((~inside).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    side = 2 * radius + 1
    bad = area[side:, side:] - area[:-side, side:] - area[side:, :-side] + area[:-side, :-side]
    whole: Mask = bad == 0
    return whole


def similarity_parts(x: Sums, y: Sums, data_range: float) -> tuple[Float, Float]:
    """Structural similarity of each pixel in two factors, that of brightness and that of contrast and structure.

    ``(h, w)`` → ``(h − 2·SSIM_RADIUS, w − 2·SSIM_RADIUS)`` twice.
    """
    from scipy.ndimage import correlate1d

    taps = np.exp(-0.5 * (np.arange(-SSIM_RADIUS, SSIM_RADIUS + 1) / 1.5) ** 2)
    taps /= taps.sum()
    # In units of the data range and around zero, single precision is enough for the variances and twice as fast.
    middle = x.mean()
    u, v = ((x - middle) / data_range).astype(np.float32), ((y - middle) / data_range).astype(np.float32)
    planes = np.stack([u, v, u * u, v * v, u * v])
    smooth = correlate1d(correlate1d(planes, taps, axis=1), taps, axis=2)
    mu, mv, uu, vv, uv = smooth[:, SSIM_RADIUS:-SSIM_RADIUS, SSIM_RADIUS:-SSIM_RADIUS]
    variance = (uu - mu * mu) + (vv - mv * mv)
    covariance = uv - mu * mv
    bright_x, bright_y = mu + np.float32(middle / data_range), mv + np.float32(middle / data_range)
    c1, c2 = np.float32(0.01**2), np.float32(0.03**2)
    luminance: Float = (2.0 * bright_x * bright_y + c1) / (bright_x * bright_x + bright_y * bright_y + c1)
    contrast: Float = (2.0 * covariance + c2) / (variance + c2)
    return luminance, contrast
