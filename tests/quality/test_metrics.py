import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_geo.consistency import Sensor, make_consistent, seen
from sr_geo.quality.metrics import SSIM_RADIUS, drift, moments, psnr, ssim, structure
from sr_geo.radiometry import Encoding


def picture(seed: int = 0, *, bands: int = 3, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    rough = np.random.default_rng(seed).normal(size=(bands, *size))
    return (100.0 + 40.0 * gaussian_filter(rough, (0, 2, 2))).astype(np.float32)


def test_equal_pictures_are_perfect() -> None:
    x = picture()
    sums = moments(x, x)
    assert sums.psnr(255.0).together == math.inf
    assert sums.rmse.bands == sums.bias.bands == (0.0, 0.0, 0.0)
    assert sums.sam == sums.ergas(4) == 0.0
    assert ssim(x, x, data_range=255.0).together == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("error", "expected"), [(255.0, 0.0), (25.5, 20.0), (2.55, 40.0)])
def test_psnr_of_a_constant_error_is_the_textbook_value(error: float, expected: float) -> None:
    x = picture().astype(np.float64)
    assert psnr(x, x + error, data_range=255.0).together == pytest.approx(expected)


def test_together_is_of_the_squares_of_all_bands_and_not_the_mean_of_decibels() -> None:
    x = picture(bands=2).astype(np.float64)
    off = np.array([1.0, 3.0])[:, None, None]
    found = psnr(x, x + off, data_range=10.0)
    assert found.bands == pytest.approx((20.0, 10.0 * math.log10(100.0 / 9.0)))
    assert found.together == pytest.approx(10.0 * math.log10(100.0 / 5.0))


@given(gain=st.floats(0.01, 100.0), offset=st.floats(-1000.0, 1000.0))
@settings(max_examples=20, deadline=None)
def test_psnr_and_bias_follow_the_unit(gain: float, offset: float) -> None:
    x, y = picture(0).astype(np.float64), picture(1).astype(np.float64)
    other = moments(gain * x + offset, gain * y + offset)
    same = moments(x, y)
    assert other.psnr(gain * 255.0).together == pytest.approx(same.psnr(255.0).together, rel=1e-6)
    assert other.bias.together == pytest.approx(gain * same.bias.together, rel=1e-4, abs=1e-9 * (abs(offset) + 1.0))


def test_bias_is_positive_where_the_enhanced_picture_is_too_bright() -> None:
    x = picture()
    assert moments(x, x + 2.0).bias.together == pytest.approx(2.0, rel=1e-5)


@given(gain=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_spectral_angle_does_not_see_brightness(gain: float) -> None:
    x = picture().astype(np.float64)
    assert moments(x, gain * x).sam == pytest.approx(0.0, abs=1e-9)


def test_spectral_angle_of_known_vectors() -> None:
    x, y = np.zeros((2, 1, 3)), np.zeros((2, 1, 3))
    x[:, 0] = [[1, 1, 0], [0, 0, 0]]
    y[:, 0] = [[0, 1, 5], [2, 1, 5]]
    sums = moments(x, y)
    assert sums.angles == 2  # black has no direction
    assert sums.sam == pytest.approx((90.0 + 45.0) / 2.0)


def test_spectral_figures_of_stored_values_are_those_of_physical_ones() -> None:
    x, y = picture(0).astype(np.float64), picture(1).astype(np.float64)
    encodings = [Encoding(2.0 + band, 30.0 * band) for band in range(len(x))]
    physical = [np.stack([plane * one.scale + one.offset for plane, one in zip(each, encodings, strict=True)]) for each in (x, y)]
    expected, found = moments(*physical), moments(x, y, encodings=encodings)
    assert found.sam == pytest.approx(expected.sam)
    assert found.ergas(4, encodings) == pytest.approx(expected.ergas(4))
    assert found.psnr(255.0) == moments(x, y).psnr(255.0)


def test_ergas_of_a_relative_error() -> None:
    x = np.full((2, 8, 8), 50.0)
    assert moments(x, 1.1 * x).ergas(4) == pytest.approx(100.0 / 4.0 * 0.1)


@pytest.mark.parametrize("garbage", [np.nan, np.inf, -9999.0, 65535.0])
def test_what_is_masked_does_not_matter(garbage: float) -> None:
    x, y = picture(0), picture(1)
    valid = np.ones(x.shape, np.bool_)
    valid[0, 5:9, 5:9] = valid[1, -3:, :] = False
    dirty_x, dirty_y = np.where(valid, x, garbage), np.where(valid, y, -garbage)
    clean, dirty = moments(x, y, valid=valid), moments(dirty_x, dirty_y, valid=valid)
    assert dirty.psnr(255.0) == clean.psnr(255.0)
    assert dirty.sam == clean.sam
    similar, again = structure(x, y, data_range=255.0, valid=valid), structure(dirty_x, dirty_y, data_range=255.0, valid=valid)
    assert list(similar.count) == list(again.count)
    assert similar.ssim.bands == pytest.approx(again.ssim.bands, abs=1e-3)  # the middle that sums are taken around differs


def test_not_a_number_is_not_compared_even_where_no_mask_says_so() -> None:
    x, y = picture(0), picture(0)
    y[1, 3, 3] = np.nan
    sums = moments(x, y)
    assert list(sums.count) == [x[0].size, x[0].size - 1, x[0].size]
    assert sums.psnr(255.0).together == math.inf


def test_a_plane_mask_counts_for_all_bands() -> None:
    x = picture()
    plane = np.zeros(x.shape[1:], np.bool_)
    plane[10:20, 10:20] = True
    assert list(moments(x, x, valid=plane).count) == [100, 100, 100]


def test_nothing_valid_gives_no_figure_and_no_warning() -> None:
    x = picture()
    nothing = np.zeros(x.shape, np.bool_)
    sums = moments(x, x, valid=nothing)
    assert math.isnan(sums.psnr(255.0).together)
    assert math.isnan(sums.sam)
    assert math.isnan(sums.ergas(4))
    assert math.isnan(ssim(x, x, data_range=255.0, valid=nothing).together)


def test_border_equals_cropping_first() -> None:
    x, y = picture(0), picture(1)
    inner = np.s_[:, 8:-8, 8:-8]
    assert psnr(x, y, data_range=255.0, border=8) == psnr(x[inner], y[inner], data_range=255.0)
    assert ssim(x, y, data_range=255.0, border=8) == ssim(x[inner], y[inner], data_range=255.0)


def test_sums_of_windows_are_the_sums_of_the_whole() -> None:
    x, y = picture(0), picture(1)
    split = 21
    parts = moments(x[:, :split], y[:, :split]) + moments(x[:, split:], y[:, split:])
    whole = moments(x, y)
    assert parts.psnr(255.0).together == pytest.approx(whole.psnr(255.0).together)
    assert parts.sam == pytest.approx(whole.sam)
    margin = SSIM_RADIUS
    top, bottom = np.s_[:, : split + margin], np.s_[:, split - margin :]
    halves = structure(x[top], y[top], data_range=255.0) + structure(x[bottom], y[bottom], data_range=255.0)
    single = structure(x, y, data_range=255.0)
    assert list(halves.count) == list(single.count)
    assert halves.ssim.together == pytest.approx(single.ssim.together, abs=1e-6)


def test_structural_similarity_is_symmetric_and_falls_with_blur() -> None:
    from scipy.ndimage import gaussian_filter

    x = picture()
    values = [ssim(x, gaussian_filter(x, (0, s, s)), data_range=255.0).together for s in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    there, back = ssim(x, picture(1), data_range=255.0), ssim(picture(1), x, data_range=255.0)
    assert there.together == pytest.approx(back.together)


@pytest.mark.parametrize("offset", [0.0, 10_000.0])
def test_structural_similarity_is_that_of_scikit_image(offset: float) -> None:
    measure = pytest.importorskip("skimage.metrics", reason="scikit-image is the reference here: pip install scikit-image")
    x, y = picture(0).astype(np.float64) + offset, picture(0).astype(np.float64) + 3.0 * picture(1) - 300.0 + offset
    expected = measure.structural_similarity(
        x, y, channel_axis=0, data_range=255.0 + offset, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(x, y, data_range=255.0 + offset).together == pytest.approx(expected, abs=1e-5)


def test_psnr_is_that_of_scikit_image() -> None:
    measure = pytest.importorskip("skimage.metrics", reason="scikit-image is the reference here: pip install scikit-image")
    x, y = picture(0).astype(np.float64), picture(1).astype(np.float64)
    found = psnr(x, y, data_range=255.0)
    assert found.together == pytest.approx(measure.peak_signal_noise_ratio(x, y, data_range=255.0))
    assert found.bands == pytest.approx([measure.peak_signal_noise_ratio(a, b, data_range=255.0) for a, b in zip(x, y, strict=True)])
    assert moments(x, y).mse.together == pytest.approx(measure.mean_squared_error(x, y))


def test_spectral_angle_and_ergas_are_their_definitions() -> None:
    """Kruse et al. (1993): arccos of the normalised product, pixel by pixel; Wald (2000): 100 / s · √ mean (rmse / mean)²."""
    x, y = picture(0).astype(np.float64), picture(1).astype(np.float64)
    angles = []
    for a, b in zip(x.reshape(3, -1).T, y.reshape(3, -1).T, strict=True):
        angles.append(math.degrees(math.acos(sum(a * b) / math.sqrt(sum(a * a) * sum(b * b)))))
    sums = moments(x, y)
    assert sums.sam == pytest.approx(np.mean(angles), rel=1e-6)
    relative = [math.sqrt(((b - a) ** 2).mean()) / a.mean() for a, b in zip(x, y, strict=True)]
    assert sums.ergas(4) == pytest.approx(25.0 * math.sqrt(sum(value**2 for value in relative) / 3))


def test_a_picture_with_the_measured_means_does_not_drift() -> None:
    sensor = Sensor(1.8)
    fine = picture(2, bands=1, size=(160, 160))
    reach, halo = sensor.reach, sensor.halo
    measured = seen(fine[0], sensor)[None]
    inner = fine[:, 4 * reach : -4 * reach, 4 * reach : -4 * reach]
    assert drift(inner, measured, [sensor]).mae.together < 1e-4
    flat = np.full_like(inner, measured.mean())
    put_right = make_consistent(flat[0], measured[0], sensor)[None]
    cut = measured[:, halo:-halo, halo:-halo]
    assert drift(put_right, cut, [sensor]).mae.together < 0.5 * drift(flat, measured, [sensor]).mae.together


def test_drift_is_seen_minus_measured_and_leaves_out_what_holes_shine_into() -> None:
    sensors = [Sensor(1.0), Sensor(2.0)]
    measured = np.full((2, 16, 16), 10.0, np.float32)
    fine = np.full((2, 64, 64), 12.0, np.float32)
    valid = np.ones((16, 16), np.bool_)
    valid[8, 8] = False
    measured[:, 8, 8] = np.nan
    found = drift(fine, measured, sensors, valid=valid)
    assert found.bias.bands == pytest.approx((2.0, 2.0), rel=1e-5)
    reach = max(sensor.reach for sensor in sensors)
    assert list(found.count) == [(16 - 2 * reach) ** 2 - (2 * reach + 1) ** 2] * 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: moments(x, x[:2]), "of one shape"),
        (lambda x: moments(x[0], x[0]), "of one shape"),
        (lambda x: moments(x, x, border=20), "leaves nothing"),
        (lambda x: moments(x, x, border=-1), "leaves nothing"),
        (lambda x: psnr(x, x, data_range=0.0), "data range"),
        (lambda x: ssim(x, x, data_range=math.nan), "data range"),
        (lambda x: drift(x, x[:, :4, :4], [Sensor(2.0)] * 3), "needs more"),
    ],
)
def test_wrong_arguments_are_named(call: Callable[[np.ndarray], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(picture())
