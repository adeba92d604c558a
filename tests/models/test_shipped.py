"""What every shipped model must do on ground that imagery never shows: perfectly flat pieces with clean edges."""

import numpy as np
import pytest

from sr_geo.consistency import Sensor, seen
from sr_geo.models.catalog import entries, load_model
from sr_geo.radiometry import Float

SATELLITE = [name for name in entries() if name.startswith("satellite-")]
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
    away = np.ones(truth.shape, bool)  # more than seven input pixels from every edge
    for axis in (1, 2):
        steps = np.abs(np.diff(truth, axis=axis, prepend=truth.take([0], axis=axis))) > 0
        for shift in range(-28, 29):
            away &= ~np.roll(steps, shift, axis=axis)
    assert away.mean() > 0.05
    assert error[away].max() < 0.01 * np.ptp(truth)
    assert result.min() > truth.min() - 0.15 * np.ptp(truth)
    assert result.max() < truth.max() + 0.15 * np.ptp(truth)
