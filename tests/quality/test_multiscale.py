"""MS-SSIM: independent of windows and of what is masked, and ordered by resolution."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sr_geo.grid import TilePlan, Window
from sr_geo.quality.multiscale import HALO, SMALLEST, STEP, ms_ssim, multiscale, nothing


def picture(seed: int = 0, *, bands: int = 2, size: tuple[int, int] = (230, 201)) -> np.ndarray:
    rough = np.random.default_rng(seed).normal(size=(bands, *size))
    soft = sum(gaussian_filter(rough, (0, sigma, sigma)) * sigma for sigma in (1, 3, 9, 20))
    return (100.0 + 40.0 * soft).astype(np.float32)


def noisy(x: np.ndarray, deviation: float) -> np.ndarray:
    return x + deviation * np.random.default_rng(1).normal(size=x.shape).astype(np.float32)


def test_equal_pictures_are_one_and_noise_lowers_it() -> None:
    x = picture()
    found = [ms_ssim(x, noisy(x, deviation), data_range=255.0).together for deviation in (0.0, 5.0, 20.0, 60.0)]
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.9


def test_a_pattern_counts_at_its_own_resolution() -> None:
    """An error that the means over 2 × 2 pixels hide lowers the finest resolution and no other."""
    x = picture()
    checks = 10.0 * (-1.0) ** np.add.outer(np.arange(x.shape[1]), np.arange(x.shape[2]))
    found = multiscale(x, x + checks, data_range=255.0)
    means = found.total / found.count
    assert (means[0] < 0.9).all()
    np.testing.assert_allclose(means[1:], 1.0, atol=1e-6)


@pytest.mark.parametrize("tile", [STEP, 96, 128])
def test_windows_with_their_halo_add_up_to_the_whole(tile: int) -> None:
    x = picture()
    y, valid = noisy(x, 10.0), np.ones(x.shape, bool)
    valid[1, 40:60, 100:130] = False
    whole = multiscale(x, y, data_range=255.0, valid=valid)
    extent, sums = Window(0, 0, *x.shape[1:]), nothing(2)
    for window in TilePlan(*x.shape[1:], tile):
        around = window.padded(HALO).intersection(extent)
        part = (slice(None), *around.slices())
        sums += multiscale(x[part], y[part], data_range=255.0, valid=valid[part], core=window.relative_to(around))
    np.testing.assert_array_equal(sums.count, whole.count)
    np.testing.assert_allclose(sums.total, whole.total, rtol=1e-5)


@pytest.mark.parametrize("garbage", [np.nan, -9999.0, 65535.0])
def test_what_is_masked_does_not_matter(garbage: float) -> None:
    x = picture(bands=1)
    y, valid = noisy(x, 10.0), np.ones(x.shape[1:], bool)
    valid[20:33, 150:170] = False
    spoilt = y.copy()
    spoilt[:, ~valid] = garbage
    clean, dirty = (multiscale(x, z, data_range=255.0, valid=valid) for z in (y, spoilt))
    np.testing.assert_array_equal(clean.count, dirty.count)
    np.testing.assert_allclose(clean.total, dirty.total, rtol=1e-5)
    assert (clean.count < multiscale(x, y, data_range=255.0).count).all()


def test_a_picture_below_the_smallest_size_has_none() -> None:
    for height, width in product((SMALLEST - 1, SMALLEST), repeat=2):
        x = picture(bands=1, size=(height, width))
        assert math.isnan(ms_ssim(x, x, data_range=255.0).together) == (min(height, width) < SMALLEST)
    with pytest.raises(ValueError, match="data range"):
        multiscale(picture(), picture(), data_range=0.0)
