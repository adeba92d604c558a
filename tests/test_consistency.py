import numpy as np
import pytest
from scipy.ndimage import correlate1d

from sr_geo import consistency
from sr_geo.consistency import RESTORE, Sensor, block_mean, make_block_consistent, make_consistent, restore, seen, supported

SIGMAS = [0.0, 0.5, 1.0, 1.6, 2.0, 2.7, 3.2, 5.0]


def smooth(shape: tuple[int, int], *, period: float, seed: int = 0) -> np.ndarray:
    """A picture without frequencies above one over `period` pixels, values about 0…1."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal(shape))
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    spectrum[frequency > 1.0 / period] = 0.0
    plane = np.fft.irfft2(spectrum, shape)
    return ((plane - plane.min()) / np.ptp(plane)).astype(np.float32)


def dense(fine: np.ndarray, sensor: Sensor) -> np.ndarray:
    """Blur the whole picture, then average blocks; written without the code under test."""
    blurred = fine.astype(np.float64)
    if sensor.sigma:
        radius = int(4.0 * sensor.sigma)
        taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sensor.sigma) ** 2)
        for axis in (0, 1):
            blurred = correlate1d(blurred, taps / taps.sum(), axis=axis)
    height, width = fine.shape
    blocks = blurred.reshape(height // sensor.scale, sensor.scale, width // sensor.scale, sensor.scale).mean((1, 3))
    margin = sensor.reach
    return blocks[margin : len(blocks) - margin, margin : blocks.shape[1] - margin]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_seeing_is_a_blur_and_a_block_mean(sigma: float, scale: int) -> None:
    sensor = Sensor(sigma, scale)
    fine = np.random.default_rng(0).random((scale * 37, scale * 31)).astype(np.float32)
    np.testing.assert_allclose(seen(fine, sensor), dense(fine, sensor), atol=2e-6)


@pytest.mark.parametrize("sigma", [*SIGMAS, 1e-3, 19.9])
def test_filters_keep_the_mean(sigma: float) -> None:
    sensor = Sensor(sigma)
    for kernel in (consistency._see_kernel(sensor), consistency._restore_kernel(sensor)):
        assert kernel.sum(dtype=np.float64) == pytest.approx(1.0, abs=2e-6)
        np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-7)
    assert len(consistency._see_kernel(sensor)) == 4 * (2 * sensor.reach + 1)
    assert len(consistency._restore_kernel(sensor)) == 2 * RESTORE + 1


@pytest.mark.parametrize("sigma", SIGMAS)
def test_constants_and_ramps_are_seen_as_they_are(sigma: float) -> None:
    sensor = Sensor(sigma)
    y, x = np.meshgrid(np.arange(4 * 24), np.arange(4 * 22), indexing="ij")
    ramp = (0.1 + 0.002 * y - 0.003 * x).astype(np.float32)
    margin = sensor.reach
    expected = block_mean(ramp, 4)[margin : 24 - margin, margin : 22 - margin]
    np.testing.assert_allclose(seen(ramp, sensor), expected, atol=1e-6)
    np.testing.assert_allclose(seen(np.full((96, 88), 0.7, np.float32), sensor), 0.7, rtol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0, 5.0])
def test_windows_of_seen_are_seen_of_windows(sigma: float) -> None:
    sensor = Sensor(sigma)
    fine = np.random.default_rng(0).random((4 * 60, 4 * 55)).astype(np.float32)
    whole = seen(fine, sensor)
    for row, column, height, width in ((0, 0, 40, 40), (3, 5, 21, 30), (19, 17, 2 * sensor.reach + 1, 2 * sensor.reach + 2)):
        part = seen(fine[4 * row : 4 * (row + height), 4 * column : 4 * (column + width)], sensor)
        inner = whole[row : row + height - 2 * sensor.reach, column : column + width - 2 * sensor.reach]
        np.testing.assert_allclose(part, inner, atol=5e-7)  # the order of additions is the linear algebra library's


@pytest.mark.parametrize("sigma", SIGMAS)
def test_a_window_with_its_halo_equals_the_whole(sigma: float) -> None:
    sensor = Sensor(sigma)
    rng = np.random.default_rng(0)
    fine, measured = rng.random((4 * 52, 4 * 50)).astype(np.float32), rng.random((52, 50)).astype(np.float32)
    whole, halo = make_consistent(fine, measured, sensor), sensor.halo
    assert whole.shape == (4 * (52 - 2 * halo), 4 * (50 - 2 * halo))
    height, width = 11, 8
    part = make_consistent(
        fine[8 : 8 + 4 * (height + 2 * halo), 4 : 4 + 4 * (width + 2 * halo)],
        measured[2 : 2 + height + 2 * halo, 1 : 1 + width + 2 * halo],
        sensor,
    )
    np.testing.assert_allclose(part, whole[8 : 8 + 4 * height, 4 : 4 + 4 * width], atol=2e-6)


@pytest.mark.parametrize(("period", "left"), [(32.0, 0.03), (24.0, 0.05), (16.0, 0.12)])
@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 1.6, 2.0, 2.7, 3.2])
def test_what_was_made_consistent_is_seen_as_measured(sigma: float, period: float, left: float) -> None:
    """The start is wrong in contrast, brightness and place; the finest detail has `period` fine pixels (the limit is eight)."""
    sensor = Sensor(sigma)
    truth = smooth((4 * 64, 4 * 64), period=period)
    start = (0.8 * np.roll(truth, (2, -3), (0, 1)) + 0.05).astype(np.float32)
    measured = seen(truth, sensor)
    before = np.abs(seen(start, sensor) - measured).mean()
    result = make_consistent(start, np.pad(measured, sensor.reach), sensor)
    after = np.abs(seen(result, sensor) - measured[sensor.halo : -sensor.halo, sensor.halo : -sensor.halo]).mean()
    assert after < left * before


@pytest.mark.parametrize("sigma", SIGMAS)
def test_a_consistent_picture_stays(sigma: float) -> None:
    sensor = Sensor(sigma)
    fine = np.random.default_rng(0).random((4 * 60, 4 * 60)).astype(np.float32)
    measured = np.pad(seen(fine, sensor), sensor.reach)
    halo = 4 * sensor.halo
    np.testing.assert_allclose(make_consistent(fine, measured, sensor), fine[halo:-halo, halo:-halo], atol=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 2.0, 3.2])
def test_gain_and_offset_commute(sigma: float) -> None:
    sensor = Sensor(sigma)
    rng = np.random.default_rng(0)
    fine, measured = rng.random((4 * 40, 4 * 40)).astype(np.float32), rng.random((40, 40)).astype(np.float32)
    gain, offset = np.float32(8.0), np.float32(3.0)
    expected = gain * make_consistent(fine, measured, sensor) + offset
    np.testing.assert_allclose(make_consistent(gain * fine + offset, gain * measured + offset, sensor), expected, atol=2e-4)


@pytest.mark.parametrize("sigma", [0.0, 1.6, 3.2])
def test_a_consistent_picture_is_what_is_supported_plus_unseen_detail(sigma: float) -> None:
    sensor = Sensor(sigma)
    rng = np.random.default_rng(0)
    fine, measured = rng.random((4 * 48, 4 * 48)).astype(np.float32), rng.random((48, 48)).astype(np.float32)
    reach, halo = sensor.reach, sensor.halo
    smooth_part = supported(measured[reach : 48 - reach, reach : 48 - reach], sensor)
    detail = fine[4 * halo : -4 * halo, 4 * halo : -4 * halo] - supported(seen(fine, sensor), sensor)
    np.testing.assert_allclose(make_consistent(fine, measured, sensor), smooth_part + detail, atol=2e-5)
    np.testing.assert_allclose(supported(np.full((30, 30), 0.4, np.float32), sensor), 0.4, rtol=3e-6)


def test_block_means_are_met_exactly() -> None:
    rng = np.random.default_rng(0)
    fine, measured = rng.random((4 * 9, 4 * 7)).astype(np.float32), rng.random((9, 7)).astype(np.float32)
    np.testing.assert_allclose(block_mean(fine, 4), fine.reshape(9, 4, 7, 4).mean((1, 3)), atol=1e-6)
    result = make_block_consistent(fine, measured, 4)
    np.testing.assert_allclose(block_mean(result, 4), measured, atol=2e-7)
    shift = (result - fine).reshape(9, 4, 7, 4)
    np.testing.assert_allclose(np.ptp(shift, axis=(1, 3)), 0.0, atol=2e-7)


def test_without_blur_seeing_is_the_block_mean() -> None:
    fine = np.random.default_rng(0).random((4 * 9, 4 * 7)).astype(np.float32)
    np.testing.assert_allclose(seen(fine, Sensor(0.0)), block_mean(fine, 4), atol=2e-7)


def test_turning_commutes() -> None:
    rng = np.random.default_rng(0)
    fine, measured = rng.random((4 * 31, 4 * 28)).astype(np.float32), rng.random((31, 28)).astype(np.float32)
    sensor = Sensor(2.0)
    np.testing.assert_allclose(make_consistent(fine.T, measured.T, sensor), make_consistent(fine, measured, sensor).T, atol=2e-6)


@pytest.mark.parametrize("values", [(-0.1, 4), (float("nan"), 4), (20.0, 4), (2.0, 1)])
def test_sensors_that_cannot_be_are_refused(values: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="sigma"):
        Sensor(*values)


def test_pictures_smaller_than_the_support_are_refused() -> None:
    sensor = Sensor(2.0)
    with pytest.raises(ValueError, match="support"):
        seen(np.ones((4 * 4, 4 * 40), np.float32), sensor)
    with pytest.raises(ValueError, match="support"):
        restore(np.ones((2 * RESTORE, 40), np.float32), sensor)
