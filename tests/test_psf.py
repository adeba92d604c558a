"""Blur estimation on rendered rectangles, whose blur is known exactly."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from sr_geo.grid import Window
from sr_geo.psf import MIN_EDGES, Edges, estimate_sigma, find_edges, sample_windows, sigma_of_edges
from sr_geo.radiometry import Float, Mask

CELL = 40
DATA = Path(os.environ.get("SR_GEO_DATA", Path(__file__).parents[2] / "shared" / "data"))


def rectangles(sigma: float, *, cells: int = 4, noise: float = 0.0, texture: float = 0.0, seed: int = 0) -> Float:
    """Turned squares of height ±1 on a plain, seen by a Gaussian of `sigma` quarter pixels and a square pixel.

    The blur of a rectangle is a product of two one-dimensional ones, so nothing but the mean over the pixel (6 × 6 nodes) is
    approximate.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros((cells * CELL, cells * CELL))
    nodes = (np.arange(CELL * 6) + 0.5) / 6 - CELL / 2
    y, x = nodes[:, None], nodes[None, :]
    for row in range(cells):
        for column in range(cells):
            angle, (down, right) = rng.uniform(5, 85), rng.uniform(-1, 1, 2)
            cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            along, across = cosine * (x - right) + sine * (y - down), cosine * (y - down) - sine * (x - right)
            inside = [ndtr((d + 10.0) / (sigma / 4)) - ndtr((d - 10.0) / (sigma / 4)) for d in (along, across)]
            square = (inside[0] * inside[1]).reshape(CELL, 6, CELL, 6).mean(axis=(1, 3))
            out[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = square * rng.choice([-1.0, 1.0])
    pattern = gaussian_filter(rng.standard_normal(out.shape), 1.5)
    out += noise * rng.standard_normal(out.shape) + texture * pattern / pattern.std()
    return out.astype(np.float32)


def everywhere(band: Float) -> Mask:
    return np.ones(band.shape, bool)


@pytest.fixture(scope="module")
def scene() -> Float:
    return rectangles(1.8, noise=0.02)


# Identities


@pytest.mark.parametrize(("gain", "offset"), [(1000.0, 0.0), (0.01, 5.0), (-3.0, 7.0)])
def test_gain_and_offset_change_nothing(scene: Float, gain: float, offset: float) -> None:
    before, after = (estimate_sigma(band, everywhere(scene)) for band in (scene, scene * np.float32(gain) + np.float32(offset)))
    assert after.sigma == pytest.approx(before.sigma, abs=0.01)


@pytest.mark.parametrize("turn", [np.transpose, np.flipud, np.fliplr, np.rot90], ids=["transpose", "up", "left", "rotate"])
def test_turning_and_mirroring_change_nothing(scene: Float, turn: object) -> None:
    turned = np.ascontiguousarray(turn(scene))  # type: ignore[operator]
    before, after = estimate_sigma(scene, everywhere(scene)), estimate_sigma(turned, everywhere(turned))
    assert after.sigma == pytest.approx(before.sigma, abs=0.01)
    assert abs(after.edges - before.edges) <= 2


def test_edges_of_windows_pool(scene: Float) -> None:
    edges = find_edges(scene, everywhere(scene))
    half = len(edges) // 2
    parts = [Edges(edges.width[part], edges.error[part]) for part in (slice(half, None), slice(0, half))]
    whole, pooled = sigma_of_edges([edges]), sigma_of_edges(parts)
    assert whole.edges == pooled.edges == len(edges)
    assert whole.sigma == pytest.approx(pooled.sigma, abs=1e-9)


def test_sigma_is_in_output_pixels(scene: Float) -> None:
    edges = find_edges(scene, everywhere(scene))
    four, two = sigma_of_edges([edges]), sigma_of_edges([edges], scale=2)
    assert four.sigma is not None
    assert two.sigma == pytest.approx(four.sigma / 2)


def test_what_lies_in_invalid_pixels_changes_nothing(scene: Float) -> None:
    valid = everywhere(scene)
    valid[30:75, 50:120] = False
    holes = [np.where(valid, scene, np.float32(value)) for value in (0.0, -9999.0, np.nan)]
    first, second, third = (estimate_sigma(band, valid) for band in holes)
    assert first == second == third
    assert first.sigma == pytest.approx(1.8, abs=0.2)


# The blur that was rendered


@pytest.mark.parametrize("sigma", [1.0, 1.4, 2.0, 2.6, 3.2])
@pytest.mark.parametrize(("noise", "texture"), [(0.0, 0.0), (0.05, 0.0), (0.01, 0.04)], ids=["clean", "noise", "texture"])
def test_finds_the_rendered_blur(sigma: float, noise: float, texture: float) -> None:
    band = rectangles(sigma, noise=noise, texture=texture, seed=round(10 * sigma))
    estimate = estimate_sigma(band, everywhere(band))
    assert estimate.edges >= MIN_EDGES
    assert estimate.sigma == pytest.approx(sigma, abs=0.2)


def test_soft_edges_among_sharp_ones_hardly_matter() -> None:
    band = np.hstack([rectangles(1.6, noise=0.02, seed=1), rectangles(4.0, noise=0.02, seed=2)])
    assert estimate_sigma(band, everywhere(band)).sigma == pytest.approx(1.6, abs=0.2)


# No edges, no estimate


def test_without_edges_there_is_no_estimate() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:160, :160]
    bands = {
        "noise": rng.standard_normal((160, 160)),
        "smooth noise": gaussian_filter(rng.standard_normal((160, 160)), 3.0),
        "constant": np.full((160, 160), 0.3),
        "ramp": 0.01 * x + 0.02 * y,
        "waves": np.sin(x / 15) + np.cos(y / 20),
        "blur far outside the range": rectangles(9.0),
        "too small": rng.standard_normal((8, 160)),
    }
    for name, values in bands.items():
        band = values.astype(np.float32)
        estimate = estimate_sigma(band, everywhere(band))
        assert estimate.sigma is None, name
        assert math.isnan(estimate.spread)
        assert estimate.edges < MIN_EDGES


def test_without_valid_pixels_there_is_no_estimate(scene: Float) -> None:
    assert estimate_sigma(scene, ~everywhere(scene)).edges == 0


def test_edges_along_the_pixel_axes_do_not_count() -> None:
    band = np.kron(np.random.default_rng(4).uniform(0, 1, (8, 8)), np.ones((20, 20))).astype(np.float32)
    assert estimate_sigma(band, everywhere(band)).sigma is None


# A real scene


def test_a_blurred_real_band_gives_about_that_blur() -> None:
    path = DATA / "satellite" / "landsat" / "LC08_L1TP_224077_20200518_20200518_01_RT_B4.TIF"
    if not path.exists():
        pytest.skip(f"needs {path.name}; set SR_GEO_DATA")
    import rasterio

    with rasterio.open(path) as dataset:
        truth = gaussian_filter(dataset.read(1)[:800, :800].astype(np.float32), 2.0)
    band = truth.reshape(200, 4, 200, 4).mean(axis=(1, 3))
    assert estimate_sigma(band, everywhere(band)).sigma == pytest.approx(2.0, abs=0.4)


# Windows


@pytest.mark.parametrize(("height", "width", "count"), [(100, 80, 1), (1536, 1536, 1), (1537, 1536, 3), (10980, 10980, 9)])
def test_windows_lie_inside_and_apart(height: int, width: int, count: int) -> None:
    windows = sample_windows(height, width)
    assert len(windows) == count
    assert windows == sample_windows(height, width)
    for window in windows:
        assert window.intersection(Window(0, 0, height, width)) == window
        assert all(other == window or window.intersection(other).empty for other in windows)
