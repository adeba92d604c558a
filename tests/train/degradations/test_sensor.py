"""The sensor in PyTorch is the sensor in NumPy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from sr_geo.consistency import Sensor, seen
from sr_geo.train.degradations import SensorDegradation, degrade
from sr_geo.train.degradations.sensor import draw_sigma, psf_kernels, see, see_turned


@pytest.mark.parametrize("sigma", [1.0, 1.6, 2.0, 3.2])
def test_agrees_with_the_sensor_that_rasters_are_checked_with(sigma: float) -> None:
    image = np.random.default_rng(0).normal(size=(96, 128)).astype(np.float32)
    sensor = Sensor(sigma)
    ours = see(torch.from_numpy(image)[None, None], torch.full((1, 1), sigma))[0, 0].numpy()
    reach = sensor.reach
    np.testing.assert_allclose(ours[reach:-reach, reach:-reach], seen(image, sensor), atol=2e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_agrees_with_a_gaussian_filter_and_block_means(scale: int) -> None:
    image = np.random.default_rng(1).normal(size=(64, 64))
    blurred = gaussian_filter(image, 2.0, mode="nearest", truncate=4.0)
    expected = blurred.reshape(64 // scale, scale, 64 // scale, scale).mean((1, 3))
    ours = see(torch.from_numpy(image.astype(np.float32))[None, None], torch.full((1, 1), 2.0), scale=scale)[0, 0].numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_constants_stay_and_every_band_has_its_own_blur() -> None:
    flat = torch.full((2, 3, 32, 32), 5.0)
    sigma = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    torch.testing.assert_close(see(flat, sigma), torch.full((2, 3, 8, 8), 5.0))
    step = torch.zeros(1, 2, 32, 32)
    step[..., 18:] = 1.0
    sharp, soft = see(step, torch.tensor([[1.0, 3.0]]))[0]
    assert sharp[4].diff().max() > soft[4].diff().max()


def test_the_light_of_a_point_is_kept() -> None:
    point = torch.zeros(1, 1, 64, 64)
    point[..., 30, 33] = 16.0
    assert see(point, torch.full((1, 1), 2.0)).sum() == pytest.approx(1.0, rel=1e-5)


def test_kernels_sum_to_one() -> None:
    sums = psf_kernels(torch.tensor([1.0, 2.5]), scale=4, radius=10).sum(1)
    torch.testing.assert_close(sums, torch.ones(2))


def test_blurs_stay_in_range_and_bands_near_each_other() -> None:
    sigma = draw_sigma(500, 4, low=1.0, high=3.2, jitter=0.2, generator=torch.Generator().manual_seed(0))
    assert sigma.min() >= 1.0
    assert sigma.max() <= 3.2
    assert (sigma.amax(1) - sigma.amin(1)).max() <= 0.4


def test_a_grid_that_is_not_turned_is_the_plain_sensor() -> None:
    hr = torch.from_numpy(gaussian_filter(np.random.default_rng(2).normal(size=(1, 2, 96, 96)), (0, 0, 1, 1)).astype(np.float32))
    sigma = torch.tensor([[1.5, 2.5]])
    turned = see_turned(hr, sigma, torch.zeros(1), torch.full((1, 2), 2.0))  # so that both grids share their pixels
    torch.testing.assert_close(turned, see(hr, sigma), atol=1e-5, rtol=1e-4)


def test_resampling_moves_nothing() -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    ramp = (3.0 * x - 2.0 * y)[None, None].repeat(3, 1, 1, 1)
    sigma, angle = torch.full((3, 1), 2.0), torch.tensor([0.0, 0.2, -0.2])
    shift = torch.tensor([[1.5, -1.0], [0.0, 0.0], [-2.0, 0.7]])
    inside = (..., slice(6, -6), slice(6, -6))
    torch.testing.assert_close(see_turned(ramp, sigma, angle, shift)[inside], see(ramp, sigma)[inside], atol=2e-2, rtol=1e-3)


def test_noise_is_at_most_what_the_recipe_says_and_turning_is_as_frequent() -> None:
    flat = np.full((1, 64, 64), 3.0, np.float32)
    spreads = [degrade(SensorDegradation(noise=0.1), flat, scale=4, rng=np.random.default_rng(seed))[0].std() for seed in range(40)]
    assert 0.06 < max(spreads) < 0.12
    point = np.zeros((1, 64, 64), np.float32)
    point[0, 32:36, 32:36] = 1.0  # one coarse pixel: symmetrical unless the grid was turned
    turned = 0
    for seed in range(60):
        lr = degrade(SensorDegradation(noise=0.0, turned=0.3), point, scale=4, rng=np.random.default_rng(seed))[0][0]
        turned += bool(np.abs(lr[4:13, 4:13] - lr[4:13, 4:13].T).max() > 1e-6)
    assert 8 <= turned <= 30
