"""Quanta are counted: the noise follows from their number, and grows where tissue is dense."""

import numpy as np
import pytest

from sr_geo.train.degradations import XrayDegradation, degrade
from sr_geo.train.degradations.sensor import see


def test_without_noise_it_is_the_sensor_on_the_light() -> None:
    import torch

    hr = np.random.default_rng(0).uniform(0.2, 0.8, (1, 64, 64)).astype(np.float32)
    lr, sigma = degrade(XrayDegradation(quanta=(1e12, 1e12), density=2.0), hr, scale=4, rng=np.random.default_rng(0))
    light = see(torch.from_numpy(np.exp(-2.0 * hr))[None], torch.from_numpy(sigma)[None])[0].numpy()
    np.testing.assert_allclose(lr, -np.log(light) / 2.0, atol=1e-4)


@pytest.mark.parametrize("value", [0.1, 0.5, 0.9])
def test_noise_is_that_of_the_quanta(value: float) -> None:
    quanta, density = 5e4, 2.5
    section = XrayDegradation(sigma=(0.01, 0.01), quanta=(quanta, quanta), density=density)
    lr, _ = degrade(section, np.full((1, 512, 512), value, np.float32), scale=4, rng=np.random.default_rng(0))
    assert lr.mean() == pytest.approx(value, abs=1e-3)
    # Poisson, through the logarithm: the standard deviation is 1/√N over the density.
    assert lr.std() == pytest.approx(1.0 / np.sqrt(quanta * np.exp(-density * value)) / density, rel=0.05)


def test_blur_is_told_and_correlates_the_noise() -> None:
    flat = np.full((1, 256, 256), 0.5, np.float32)
    lr, sigma = degrade(XrayDegradation(sigma=(4.0, 4.0), quanta=(1e4, 1e4)), flat, scale=4, rng=np.random.default_rng(0))
    assert sigma.tolist() == [4.0]
    noise = lr[0] - lr.mean()
    assert (noise[:, 1:] * noise[:, :-1]).mean() > 0.3 * noise.var()


def test_where_no_quantum_arrives_it_is_white() -> None:
    lr, _ = degrade(
        XrayDegradation(quanta=(1.0, 1.0), density=20.0), np.ones((1, 32, 32), np.float32), scale=4, rng=np.random.default_rng(0)
    )
    assert np.isfinite(lr).all()
    assert lr.max() <= 1
