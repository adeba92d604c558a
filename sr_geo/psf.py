"""The blur of a band, measured on straight edges in the band itself. Pure numbers, no I/O.

The sensor is a Gaussian of standard deviation σ (in *output* pixels) followed by the mean over one input pixel. Across a
step between two flat plateaus it draws a curve of one unknown width. `find_edges` fits that curve to small discs of
pixels around candidate edges and keeps the fits that can be trusted; `sigma_of_edges` turns their widths into one σ,
knowing that an edge on the ground is never sharper than the sensor and often softer. docs/psf.md tells how well this
works, and where it does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, radians, sin

import numpy as np
from numpy.typing import NDArray

from sr_geo.grid import Window
from sr_geo.radiometry import Float, Mask

Double = NDArray[np.float64]
Index = NDArray[np.intp]

MIN_EDGES = 12
"""Fewer good edges give no estimate."""
MAX_CANDIDATES = 1500
"""Most edges that are fitted in one window, the strongest first: bounds the time."""
RADIUS = 4
"""Radius in input pixels of the disc that one edge is fitted to."""

# A candidate is a local maximum of the gradient whose neighbourhood has one direction.
_GRADIENT_SIGMA = 0.8
_TENSOR_SIGMA = 1.8
_MIN_COHERENCE = 0.7
_MARGIN = 8  # pixels to the next invalid one, so that a border of nodata turns no direction

# A good edge: gates chosen on training imagery by training/calibrate_psf.py. Lengths in input pixels.
_MAX_RESIDUAL = 0.15  # of the step's height
_MAX_ERROR = 0.12  # standard error of the width
_MAX_CURVATURE = 0.12  # 1 / radius of the arc
_MAX_OFFSET = 1.2  # from the centre of the disc
_MIN_SLANT = sin(radians(3.0))  # along a pixel axis all pixels sample the same phase
_WIDTHS = (0.06, 1.4)

# Texture is no white noise and neighbouring edges are not independent, so the fit thinks its errors smaller than they are.
_ERROR_FACTOR = 1.5
_ERROR_FLOOR = 0.02
_OUTLIERS = 0.05
_SPREAD_FACTOR = 2.5
_SPREAD_FLOOR = 0.05  # input pixels; what differs from source to source however many edges there are


@dataclass(frozen=True, slots=True)
class Edges:
    """Good edges of one window of a band.

    Attributes:
        width: ``(n,)``, standard deviation of the Gaussian part of each edge, in input pixels.
        error: ``(n,)``, its standard error by the residual of the fit, in input pixels.
    """

    width: Double
    error: Double

    def __len__(self) -> int:
        return len(self.width)


@dataclass(frozen=True, slots=True)
class SigmaEstimate:
    """The blur of a band.

    Attributes:
        sigma: in output pixels; None where fewer than `MIN_EDGES` good edges were found.
        spread: standard uncertainty in output pixels; NaN where `sigma` is None.
        edges: good edges used.
    """

    sigma: float | None
    spread: float
    edges: int


def estimate_sigma(band: Float, valid: Mask, *, scale: int = 4) -> SigmaEstimate:
    """Gaussian blur of one band of one window; the same for any gain and offset, and for the picture turned or mirrored.

    Args:
        band: ``(h, w)``, any unit. About 1500 × 1500 pixels take a second.
        valid: ``(h, w)``.
        scale: output pixels per input pixel.
    """
    return sigma_of_edges([find_edges(band, valid)], scale=scale)


def sigma_of_edges(edges: Sequence[Edges], *, scale: int = 4) -> SigmaEstimate:
    """Most plausible blur behind the edges of one or several windows of a band.

    Each measured width is modelled as σ plus what the ground adds (exponential: never negative) plus the error of the fit
    (normal); one in twenty may be anything. The answer is the mean over all σ and ground softnesses, weighted by likelihood.
    """
    width = np.concatenate([np.empty(0), *(each.width for each in edges)])
    error = np.concatenate([np.empty(0), *(each.error for each in edges)])
    if len(width) < MIN_EDGES:
        return SigmaEstimate(sigma=None, spread=nan, edges=len(width))
    sigma = np.arange(0.1, 1.3, 0.0125)
    likelihood = _log_likelihood(width, np.maximum(_ERROR_FACTOR * error, _ERROR_FLOOR), sigma)
    weight = np.exp(likelihood - likelihood.max()).sum(axis=1)
    weight /= weight.sum()
    mean = float(weight @ sigma)
    spread = float(np.hypot(_SPREAD_FACTOR * np.sqrt(weight @ (sigma - mean) ** 2), _SPREAD_FLOOR))
    return SigmaEstimate(sigma=scale * mean, spread=scale * spread, edges=len(width))


def _log_likelihood(width: Double, error: Double, sigma: Double) -> Double:
    """``(σ, softness of the ground)`` → log-likelihood of all widths: an exponentially modified normal distribution."""
    from scipy.special import log_ndtr

    softness = np.array([0.004, 0.03, 0.08, 0.16, 0.3, 0.6])
    anything = np.log(_OUTLIERS / (_WIDTHS[1] - _WIDTHS[0]))
    total = np.zeros((len(sigma), len(softness)))
    for start in range(0, len(width), 256):  # bounds the memory
        excess = width[start : start + 256, None, None] - sigma[:, None]
        noise = error[start : start + 256, None, None]
        edge = noise**2 / (2 * softness**2) - excess / softness + log_ndtr(excess / noise - noise / softness) - np.log(softness)
        total += np.logaddexp(np.log1p(-_OUTLIERS) + edge, anything).sum(axis=0)
    return total


def find_edges(band: Float, valid: Mask) -> Edges:
    """Straight, isolated, slanted steps in ``(h, w)`` and how wide each is; invalid pixels take no part."""
    valid = valid & np.isfinite(band)
    nothing = Edges(np.empty(0), np.empty(0))
    if min(band.shape) <= 2 * RADIUS or not valid.any():
        return nothing
    values = np.where(valid, band, band[valid].mean(dtype=np.float64)).astype(np.float64)
    deviation = float(values.std())
    if deviation <= 1e-6 * float(np.abs(values).max()):  # constant but for rounding
        return nothing
    values = (values - values.mean()) / deviation
    row, column, direction = _candidates(values.astype(np.float32), valid)
    if len(row) == 0:
        return nothing
    return _fit(values, row, column, direction)


def _candidates(values: Float, valid: Mask) -> tuple[Index, Index, Double]:
    """Row, column and direction of the gradient (radians from the column axis) where a straight edge may be."""
    from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

    down = gaussian_filter(values, _GRADIENT_SIGMA, order=(1, 0))
    across = gaussian_filter(values, _GRADIENT_SIGMA, order=(0, 1))
    power = across * across + down * down
    difference = gaussian_filter(across * across - down * down, _TENSOR_SIGMA, truncate=3.0)
    product = 2 * gaussian_filter(across * down, _TENSOR_SIGMA, truncate=3.0)
    energy = gaussian_filter(power, _TENSOR_SIGMA, truncate=3.0)
    inside = minimum_filter(valid, size=2 * _MARGIN + 1)
    inside[:RADIUS] = inside[-RADIUS:] = inside[:, :RADIUS] = inside[:, -RADIUS:] = False
    straight = np.hypot(difference, product) > _MIN_COHERENCE * energy
    row, column = np.nonzero(inside & straight & (power > 0) & (power >= maximum_filter(power, size=5)))
    strongest = np.argsort(-power[row, column], kind="stable")[:MAX_CANDIDATES]
    row, column = row[strongest], column[strongest]
    return row, column, 0.5 * np.arctan2(product[row, column], difference[row, column]).astype(np.float64)


# Parameters of one edge, in this order: value of the darker plateau, height of the step, direction of the gradient, distance
# of the edge from the centre of the disc, log width, curvature.
_LOWER = np.array([-9.0, 0.0, -99.0, -3.0, np.log(0.05), -0.2])
_UPPER = np.array([9.0, 20.0, 99.0, 3.0, np.log(1.6), 0.2])


def _fit(values: Double, row: Index, column: Index, direction: Double) -> Edges:
    """Least-squares step in the disc around each candidate (Levenberg and Marquardt), the good ones returned."""
    steps = np.arange(-RADIUS, RADIUS + 1)
    dy, dx = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
    disc = dx * dx + dy * dy <= (RADIUS + 0.25) ** 2
    dy, dx = dy[disc], dx[disc]
    pixels = values[row[:, None] + dy, column[:, None] + dx]
    pixels = pixels - pixels.mean(axis=1, keepdims=True)
    pixels /= np.maximum(pixels.std(axis=1, keepdims=True), 1e-12)
    towards = np.cos(direction)[:, None] * dx + np.sin(direction)[:, None] * dy
    direction = np.where((pixels * towards).sum(axis=1) < 0, direction + np.pi, direction)

    count = len(pixels)
    start = (np.full(count, -1.0), np.full(count, 2.0), direction, np.zeros(count), np.full(count, np.log(0.5)), np.zeros(count))
    guess = np.stack(start, axis=1)
    model, slope = _step_seen(guess, dx, dy)
    cost = ((pixels - model) ** 2).sum(axis=1)
    damping = np.full(count, 1e-2)
    identity = np.eye(6)
    for iteration in range(12):
        normal = slope.swapaxes(1, 2) @ slope
        pull = slope.swapaxes(1, 2) @ (pixels - model)[:, :, None]
        move = np.linalg.solve(normal + identity * (normal * damping[:, None, None] + 1e-9), pull)[:, :, 0]
        tried = np.clip(guess + np.clip(move, -0.7, 0.7), _LOWER, _UPPER)
        tried_model, tried_slope = _step_seen(tried, dx, dy)
        tried_cost = ((pixels - tried_model) ** 2).sum(axis=1)
        better = tried_cost <= cost
        guess[better], model[better], slope[better], cost[better] = (
            tried[better],
            tried_model[better],
            tried_slope[better],
            tried_cost[better],
        )
        damping = np.where(better, damping * 0.2, damping * 8)
        if iteration == 4:  # most candidates are no steps: go on with those that may become good
            hopeful = np.sqrt(cost / (len(dx) - 6)) < 2 * _MAX_RESIDUAL * np.maximum(guess[:, 1], 1e-9)
            pixels, guess, model, slope, cost, damping = (each[hopeful] for each in (pixels, guess, model, slope, cost, damping))
    return _good(guess, slope, cost / (len(dx) - 6))


def _good(guess: Double, slope: Double, variance: Double) -> Edges:
    """The edges whose fit passes all gates."""
    height, direction, offset, curvature = guess[:, 1], guess[:, 2], guess[:, 3], guess[:, 5]
    width = np.exp(guess[:, 4])
    covariance = np.linalg.inv(slope.swapaxes(1, 2) @ slope + 1e-9 * np.eye(6))
    error = width * np.sqrt(np.maximum(covariance[:, 4, 4], 0.0) * variance)
    good = (
        (np.sqrt(variance) < _MAX_RESIDUAL * height)
        & (error < _MAX_ERROR)
        & (np.abs(curvature) < _MAX_CURVATURE)
        & (np.abs(offset) < _MAX_OFFSET)
        & (np.minimum(np.abs(np.sin(direction)), np.abs(np.cos(direction))) > _MIN_SLANT)
        & (width > _WIDTHS[0])
        & (width < _WIDTHS[1])
    )
    return Edges(width[good], error[good])


def _step_seen(guess: Double, dx: NDArray[np.int_], dy: NDArray[np.int_]) -> tuple[Double, Double]:
    """``(n, pixels)`` values of a step seen by a Gaussian and a square pixel, and their ``(n, pixels, 6)`` derivatives.

    Seen at an angle a square pixel is a box of width ``long`` = max(|cos|, |sin|) and one of width ``short`` = min(|cos|, |sin|).
    The long box is integrated exactly (the integral of Φ(x / σ) is x Φ(x / σ) + σ φ(x / σ)), the short one at two nodes.
    """
    from scipy.special import ndtr

    base, height, direction, offset, log_width, curvature = guess.T[:, :, None]
    cosine, sine, sigma = np.cos(direction), np.sin(direction), np.exp(log_width)
    normal, tangent = dx * cosine + dy * sine, dy * cosine - dx * sine
    distance = normal - offset - 0.5 * curvature * tangent * tangent
    long = np.maximum(np.abs(cosine), np.abs(sine))
    node = np.minimum(np.abs(cosine), np.abs(sine)) / np.sqrt(12.0)
    value, by_distance, by_sigma = np.zeros_like(distance), np.zeros_like(distance), np.zeros_like(distance)
    for at in (-node, node):
        for end in (-0.5, 0.5):
            x = distance + at + end * long
            below = ndtr(x / sigma)
            density = np.exp(-0.5 * (x / sigma) ** 2) / np.sqrt(2 * np.pi)
            value += end / long * (x * below + sigma * density)
            by_distance += end / long * below
            by_sigma += end / long * density
    by_distance *= height
    derivatives = (
        np.ones_like(value),
        value,
        by_distance * (tangent + curvature * tangent * normal),
        -by_distance,
        height * by_sigma * sigma,
        -by_distance * 0.5 * tangent * tangent,
    )
    return base + height * value, np.stack(derivatives, axis=-1)


def sample_windows(height: int, width: int, *, size: int = 512, per_side: int = 3) -> tuple[Window, ...]:
    """Windows of a scene to look for edges in, the same on every run.

    A scene of at most ``size · per_side`` pixels a side is one window; along a longer side `per_side` windows of `size` pixels
    lie evenly, the first and the last half a gap from the border, where scenes have their nodata.
    """

    def cuts(length: int) -> list[tuple[int, int]]:
        if length <= size * per_side:
            return [(0, length)]
        gap = (length - size * per_side) / per_side
        return [(round((number + 0.5) * gap + number * size), size) for number in range(per_side)]

    return tuple(Window(row, column, h, w) for row, h in cuts(height) for column, w in cuts(width))
