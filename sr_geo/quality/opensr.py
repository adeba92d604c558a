"""The opensr-test protocol: is the added detail right, missing, or invented? Pure numbers, no I/O, no PyTorch.

Written anew after the formulas of opensr-test 1.3.3 (Aybar et al., 2024) with its defaults, aggregated per pixel.
Consistency of SR with LR: *reflectance*, *spectral*, *spatial*. Detail beyond LR: *synthesis*. Its correctness
against HR: *improvement*, *omission*, *hallucination*.

Read them together. A constant bias does not show in the correctness, and neither does a shift: histograms and
positions are matched first; they show in *reflectance* and *spatial*. The scale of *improvement* ends at
1 / (1 + 2·e⁻⁴) = 0.965, not at 1. A flat pixel, where LR and HR agree exactly, has no correctness and is left out.

Differences from the original: scenes need not be square, the border is cut at whole LR pixels, and sub-pixel shifts
are undone in floating point, where OpenCV rounds them to 1/32 pixel.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Real = NDArray[np.float64]

Norm = Literal["softmin", "percent"]

_GAMMA = 0.05
_TEMPERATURE = 0.25
_FARTHEST = 5.0
"""Translations beyond this many pixels are failures of the search."""
_UPSAMPLE = 50
"""Translations are found to one of this many parts of a pixel."""


@dataclass(frozen=True, slots=True)
class OpenSr:
    """The seven figures of the protocol, means over the pixels of a scene."""

    reflectance: float
    """Mean |LR − SR↓| in the unit of the pictures; lower is better."""
    spectral: float
    """Mean spectral angle between LR and SR↓, degrees; lower is better."""
    spatial: float
    """Translation between LR and SR↓, LR pixels; NaN where none was found; lower is better."""
    synthesis: float
    """Mean |LR↑ − SR| after matching SR to HR: how much was added, right or wrong."""
    improvement: float
    omission: float
    hallucination: float


def opensr(lr: Array, sr: Array, hr: Array, *, border: int = 16, norm: Norm = "softmin") -> OpenSr:
    """Judge a super-resolved picture.

    Args:
        lr: ``(C, h, w)`` reflectance, what the sensor measured; the first three bands find the translation.
        sr: ``(C, s·h, s·w)`` reflectance, the enhanced picture.
        hr: same shape, the truth.
        border: HR pixels left out on every side, rounded down to whole LR pixels: all three are cut to the same ground.
        norm: mean soft membership of the pixels, or shares of pixels by their class.

    Raises:
        ValueError: the shapes do not belong together.
    """
    scale = _scale(lr, sr, hr)
    margin = border // scale
    low = _inner(lr, margin).astype(np.float64)
    enhanced, truth = (_inner(image, margin * scale).astype(np.float64) for image in (sr, hr))
    low_up = _resample(low, enhanced.shape[1:])
    enhanced_down = _resample(enhanced, low.shape[1:])
    harmonised = harmonise(enhanced, truth)
    improvement, omission, hallucination = correctness(low_up, harmonised, truth, norm=norm)
    return OpenSr(
        reflectance=float(np.nanmean(np.abs(low - enhanced_down))),
        spectral=float(np.nanmean(_angle(low, enhanced_down))),
        spatial=float(np.hypot(*translation(low[:3].mean(0), enhanced_down[:3].mean(0)))),
        synthesis=float(np.nanmean(np.abs(low_up - harmonised))),
        improvement=improvement,
        omission=omission,
        hallucination=hallucination,
    )


def correctness(low: Real, enhanced: Real, truth: Real, *, norm: Norm = "softmin") -> tuple[float, float, float]:
    """Improvement, omission and hallucination of pictures on one grid, all ``(C, H, W)``.

    A pixel counts where any two of the three differ more than LR and HR do in three quarters of all pixels. With
    distances in units of the one between LR and HR, SR is an improvement near HR, an omission near LR, and a
    hallucination far from both.
    """
    d_ref, d_im, d_om = _distance(low, truth), _distance(enhanced, truth), _distance(enhanced, low)
    rank = max(int(0.75 * d_ref.size), 1) - 1
    threshold = np.partition(d_ref, rank, axis=None)[rank]
    counted = (d_ref > threshold) | (d_im > threshold) | (d_om > threshold)
    if not counted.any():
        return math.nan, math.nan, math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        im, om = d_im[counted] / d_ref[counted], d_om[counted] / d_ref[counted]
        beyond = 1.0 - np.exp(-_GAMMA * (im + om - 1.0))
        far = np.stack([im + om * beyond, om + im * beyond, np.exp(-_GAMMA * im * om)])
        near = np.exp(-far / _TEMPERATURE)
        member = near / near.sum(axis=0)
    if norm == "percent":
        found = member[:, ~np.isnan(member).any(axis=0)].argmax(axis=0)
        shares = np.bincount(found, minlength=3) / counted.sum()
    else:
        shares = np.nanmean(member, axis=1)
    return float(shares[0]), float(shares[1]), float(shares[2])


def harmonise(enhanced: Real, truth: Real) -> Real:
    """The enhanced picture with the truth's histogram in each band, moved onto it; both ``(C, H, W)``."""
    from scipy.ndimage import shift

    matched = np.stack([match_histogram(x, y) for x, y in zip(enhanced, truth, strict=True)])
    move = translation(truth.mean(0), matched.mean(0))
    if math.isnan(move[0]) or move == (0.0, 0.0):
        return matched
    return np.stack([shift(plane, move, order=1, mode="nearest") for plane in matched])


def match_histogram(plane: Real, template: Real) -> Real:
    """`plane` with each value replaced by the one of equal rank in `template`."""
    _, inverse, counts = np.unique(plane, return_inverse=True, return_counts=True)
    values, template_counts = np.unique(template, return_counts=True)
    rank = np.cumsum(counts) / plane.size
    matched: Real = np.interp(rank, np.cumsum(template_counts) / template.size, values)[inverse].reshape(plane.shape)
    return matched


def translation(reference: Real, moving: Real) -> tuple[float, float]:
    """Rows and columns to move `moving` by so that it lies on `reference`, by phase correlation; NaN beyond 5 pixels.

    The peak of the whitened cross-correlation, first to a pixel, then to 1/50 pixel with a Fourier transform of its
    surroundings (Guizar-Sicairos et al., 2008).
    """
    if not (np.isfinite(reference).all() and np.isfinite(moving).all()):
        return math.nan, math.nan
    product = np.fft.fft2(reference) * np.fft.fft2(moving).conj()
    product /= np.maximum(np.abs(product), 100.0 * np.finfo(np.float64).eps)
    peak = np.array(np.unravel_index(np.argmax(np.abs(np.fft.ifft2(product))), product.shape), np.float64)
    size = np.array(product.shape)
    peak[peak > size // 2] -= size[peak > size // 2]
    half = int(0.75 * _UPSAMPLE)
    offsets = np.arange(-half, half + 1) / _UPSAMPLE
    rows, columns = peak[0] + offsets, peak[1] + offsets
    across_rows = np.exp(2j * np.pi * np.outer(rows, np.fft.fftfreq(size[0])))
    across_columns = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(size[1]), columns))
    fine = np.abs(across_rows @ product @ across_columns)
    row, column = np.unravel_index(np.argmax(fine), fine.shape)
    found = float(rows[row]), float(columns[column])
    return found if math.hypot(*found) <= _FARTHEST else (math.nan, math.nan)


def _scale(lr: Array, sr: Array, hr: Array) -> int:
    scale = int(hr.shape[-1] // lr.shape[-1])
    if scale < 1 or sr.shape != hr.shape or hr.shape != (len(lr), scale * lr.shape[1], scale * lr.shape[2]):
        raise ValueError(f"LR {lr.shape}, SR {sr.shape}, HR {hr.shape}: expected (C, h, w) and twice (C, s·h, s·w) with a whole s")
    return scale


def _inner(image: Array, margin: int) -> Array:
    if 2 * margin >= min(image.shape[1:]):
        raise ValueError(f"a border of {margin} pixels leaves nothing of {image.shape[1]} × {image.shape[2]}")
    return image[:, margin : image.shape[1] - margin, margin : image.shape[2] - margin]


def _resample(image: Real, shape: tuple[int, ...]) -> Real:
    """Bilinear to `shape` rows and columns with pixel corners kept; the triangle widens when it shrinks (antialiasing)."""
    return _triangle(image.shape[1], shape[0]) @ image @ _triangle(image.shape[2], shape[1]).T


def _triangle(size: int, wanted: int) -> Real:
    """Matrix ``(wanted, size)`` of bilinear resampling; weights beyond the edge go to those inside."""
    ratio = size / wanted
    centre = (np.arange(wanted) + 0.5) * ratio - 0.5
    weight = np.maximum(0.0, 1.0 - np.abs(np.arange(size) - centre[:, None]) / max(ratio, 1.0))
    matrix: Real = weight / weight.sum(axis=1, keepdims=True)
    return matrix


def _distance(x: Real, y: Real) -> Real:
    """Normalised difference of each pixel of two ``(C, H, W)``, ``(H, W)``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(x - y) / np.abs(x + y + 1e-8)
        return np.asarray(ratio.mean(axis=0), np.float64)


def _angle(x: Real, y: Real) -> Real:
    """Spectral angle of each pixel of two ``(C, H, W)``, degrees ``(H, W)``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (x * y).sum(axis=0) / (np.linalg.norm(x, axis=0) * np.linalg.norm(y, axis=0))
        return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))), np.float64)
