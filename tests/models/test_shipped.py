"""What every shipped model must do: keep flat ground flat, which imagery never shows, and leave no grid of the input's pixels."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from skimage import data

from sr_geo.consistency import Sensor, seen
from sr_geo.imaging.reduction import Bicubic, reduced
from sr_geo.models.catalog import entries, load_model
from sr_geo.radiometry import Float

SATELLITE = [name for name in entries() if name.startswith("satellite-")]
PICTURES = [name for name in entries() if not name.startswith("satellite-")]
FIELD = 30
"""Side of a field in input pixels: its middle is far from all edges, yet within reach of the network."""


def flat_fields(bands: int, sigma: float, *, noise: float, seed: int) -> tuple[Float, Float]:
    """Input ``(bands, 96, 96)`` as the sensor sees it, and the truth on the fine grid, 0.03 to 0.4."""
    rng = np.random.default_rng(seed)
    sensor = Sensor(sigma)
    size = 96 + 2 * sensor.reach
    values = rng.uniform(0.03, 0.4, (bands, size // FIELD + 1, size // FIELD + 1)).astype(np.float32)
    fine = values.repeat(4 * FIELD, axis=1).repeat(4 * FIELD, axis=2)[:, : 4 * size, : 4 * size]
    coarse = np.stack([seen(plane, sensor) for plane in fine])
    coarse += rng.normal(0.0, noise, coarse.shape).astype(np.float32)
    edge = 4 * sensor.reach
    return coarse, fine[:, edge:-edge, edge:-edge]


def far_from_edges(truth: Float, distance: int) -> NDArray[np.bool_]:
    """Where all within so many fine pixels along rows and columns is the same."""
    away = np.ones(truth.shape, bool)
    for axis in (1, 2):
        steps = np.abs(np.diff(truth, axis=axis, prepend=truth.take([0], axis=axis))) > 0
        for shift in range(-distance, distance + 1):
            away &= ~np.roll(steps, shift, axis=axis)
    return away


@pytest.mark.parametrize("noise", [0.0, 3e-4])
@pytest.mark.parametrize("sigma", [1.2, 2.0, 2.8])
@pytest.mark.parametrize("name", SATELLITE)
def test_flat_ground_stays_flat(name: str, sigma: float, noise: float) -> None:
    model = load_model(name, threads=1)
    coarse, truth = flat_fields(len(model.card.bands), sigma, noise=noise, seed=5)
    halo = model.card.halo
    result = model.run(coarse, sigma=sigma)[:, 4 * halo : -4 * halo, 4 * halo : -4 * halo]
    truth = truth[:, 4 * halo : -4 * halo, 4 * halo : -4 * halo]
    error = np.abs(result - truth)
    away = far_from_edges(truth, 28)
    assert away.mean() > 0.05
    assert error[away].max() < 0.01 * np.ptp(truth)
    assert result.min() > truth.min() - 0.15 * np.ptp(truth)
    assert result.max() < truth.max() + 0.15 * np.ptp(truth)


@pytest.mark.parametrize("name", PICTURES)
def test_flat_parts_of_pictures_stay_flat(name: str) -> None:
    """Squares of random pure colours: bolder than photos, as drawings and letters are. Bytes round what goes on between them."""
    model = load_model(name, threads=1)
    allowed = 0.2 if model.card.precision == "int8" else 0.03 if model.card.leaning == "fidelity" else 0.06
    rng = np.random.default_rng(5)
    tones = rng.uniform(0.05, 0.95, (len(model.card.bands), 6, 6)).astype(np.float32)
    whole = tones.repeat(4 * FIELD, axis=1).repeat(4 * FIELD, axis=2)
    optics = Bicubic()
    coarse = np.stack([reduced(plane, optics) for plane in whole])
    edge = 4 * optics.reach
    truth = whole[:, edge:-edge, edge:-edge]
    result = model.run(np.rint(coarse * 255.0).clip(0.0, 255.0).astype(np.float32) / np.float32(255.0))
    inner = np.s_[:, 4 * model.card.halo : -4 * model.card.halo, 4 * model.card.halo : -4 * model.card.halo]
    error, away = np.abs(result - truth)[inner], far_from_edges(truth, 28)[inner]
    assert away.mean() > 0.05
    assert error[away].max() < allowed * np.ptp(truth)


def grid_power(fine: Float) -> float:
    """Power at a half of the sampling frequency, along rows or columns, over that of the frequencies around it; 1 where nothing repeats."""
    side = 128
    taper = np.hanning(side)[:, None] * np.hanning(side)
    power = np.zeros((side, side))
    for plane in fine:
        for row in range(0, plane.shape[0] - side + 1, side // 2):
            for column in range(0, plane.shape[1] - side + 1, side // 2):
                piece = plane[row : row + side, column : column + side]
                power += np.abs(np.fft.fft2((piece - piece.mean()) * taper)) ** 2
    half = side // 2
    found = []
    for turned in (power, power.T):
        line = turned[4 : half - 3].sum(axis=0)  # without what changes along the other side slowly: roads and borders
        found.append(line[half - 1 : half + 2].mean() / line[[half - 7, half - 6, half - 5, half + 5, half + 6, half + 7]].mean())
    return max(found)


@pytest.mark.parametrize("name", entries())
def test_no_grid_of_the_inputs_pixels_stays_in_the_result(name: str, repository: Path) -> None:
    model = load_model(name, threads=1)
    with rasterio.open(repository / "sample_data" / "itaipu_landsat8.tif") as raster:
        values = raster.read().astype(np.float32)[:, :96, :96]
    colours = (values - values.min()) / np.ptp(values)
    bands = {1: colours.mean(axis=0, keepdims=True), 3: colours[:3], 4: colours[[0, 1, 2, 1]]}[len(model.card.bands)]
    sigma = 1.6 if model.card.sigma is not None else None
    assert grid_power(model.run(bands, sigma=sigma)) < 2.0


@pytest.mark.parametrize("name", PICTURES)
def test_no_grid_stays_in_a_photograph(name: str) -> None:
    # A model whose landscape passed had left one on X-rays, and leaves it here.
    model = load_model(name, threads=1)
    photograph = data.camera()[:320, :320].reshape(160, 2, 160, 2).mean(axis=(1, 3)).astype(np.float32) / np.float32(255.0)
    assert grid_power(model.run(np.repeat(photograph[None], len(model.card.bands), axis=0))) < 2.0
