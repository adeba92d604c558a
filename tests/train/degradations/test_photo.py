"""The clean degradation is the benchmarks'; the blind one is a picture still."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_geo.train.degradations import BicubicDegradation, BlindDegradation, degrade
from sr_geo.train.degradations.compression import jpeg
from sr_geo.train.degradations.kernels import blur, disc, gaussian, line, low_pass
from sr_geo.train.degradations.photo import bicubic_matrix, shrink

SET5 = Path(os.environ.get("SR_GEO_DATA", Path(__file__).parents[4] / "shared" / "data")) / "benchmark" / "Set5"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_keeps_constants_and_ramps(scale: int) -> None:
    matrix = bicubic_matrix(24 * scale, scale).numpy()
    np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-6)
    ramp = matrix @ (np.arange(24 * scale) + 0.5).astype(np.float32)
    np.testing.assert_allclose(ramp[3:-3], (np.arange(24) + 0.5)[3:-3] * scale, rtol=1e-5)


def test_bicubic_is_symmetrical_at_both_edges() -> None:
    matrix = bicubic_matrix(64, 4).numpy()
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-7)


@pytest.mark.skipif(not SET5.exists(), reason="SR_GEO_DATA is not set and ../shared/data is missing")
def test_bicubic_is_that_of_the_benchmarks() -> None:
    files = sorted((SET5 / "HR").glob("*.png"))
    assert len(files) == 5
    for path in files:
        hr, theirs = (np.asarray(Image.open(SET5 / side / path.name).convert("RGB")).transpose(2, 0, 1) for side in ("HR", "LR_x4"))
        ours = shrink((hr / 255.0).astype(np.float32), scale=4, levels=255)
        np.testing.assert_array_equal(np.rint(ours * 255), theirs)


def test_steps_of_a_file_or_none() -> None:
    hr = np.random.default_rng(0).random((3, 32, 32), np.float32)
    rounded, blur_told = degrade(BicubicDegradation(), hr, scale=4, rng=np.random.default_rng(0))
    exact, _ = degrade(BicubicDegradation(levels=None), hr, scale=4, rng=np.random.default_rng(0))
    np.testing.assert_allclose(rounded * 255, np.rint(rounded * 255), atol=1e-4)
    assert np.abs(rounded - np.clip(exact, 0, 1)).max() < 1.5 / 255
    assert not blur_told.any()


@pytest.mark.parametrize(
    "kernel", [gaussian((1.0, 2.5), 0.4), gaussian((2.0, 2.0), 0.0, shape=2.0), low_pass(1.5), line(6.3, 0.7), disc(2.4)]
)
def test_kernels_keep_the_light_and_the_place(kernel: np.ndarray) -> None:
    assert kernel.sum() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
    np.testing.assert_allclose(blur(np.full((2, 30, 40), 0.3, np.float32), kernel), 0.3, rtol=1e-4)


def test_jpeg_is_what_pillow_writes_and_better_at_higher_quality() -> None:
    smooth = blur(np.random.default_rng(0).random((3, 48, 64), np.float32), gaussian((2.0, 2.0), 0.0))
    errors = [np.abs(jpeg(smooth, quality, full_colour=True) - smooth).mean() for quality in (20, 60, 95)]
    assert errors == sorted(errors, reverse=True)
    assert jpeg(smooth[:1], 90, full_colour=False).shape == (1, 48, 64)


@pytest.mark.parametrize("bands", [1, 3])
def test_blind_pictures_have_the_size_and_range_and_the_subject(bands: int) -> None:
    y, x = np.mgrid[0:96, 0:64] / 96.0
    hr = np.stack([0.5 + 0.4 * np.sin(5 * x + 3 * y + band) for band in range(bands)]).astype(np.float32)
    alike = []
    for seed in range(12):
        lr, _ = degrade(BlindDegradation(), hr, scale=4, rng=np.random.default_rng(seed))
        assert lr.shape == (bands, 24, 16)
        assert lr.dtype == np.float32
        assert 0 <= lr.min() <= lr.max() <= 1
        alike.append(np.corrcoef(lr.ravel(), shrink(hr, scale=4, levels=None).ravel())[0, 1])
    assert np.median(alike) > 0.9
    again = degrade(BlindDegradation(), hr, scale=4, rng=np.random.default_rng(11))[0]
    np.testing.assert_array_equal(again, lr)


def test_a_range_that_descends_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a range"):
        BlindDegradation(noise=(9.0, 1.0))
