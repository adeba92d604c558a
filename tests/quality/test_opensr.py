import math

import numpy as np
import pytest

from sr_geo.quality.opensr import Norm, correctness, match_histogram, opensr, translation

Pair = tuple[np.ndarray, np.ndarray]

BEST = 1.0 / (1.0 + 2.0 * math.exp(-4.0))


@pytest.fixture(scope="module")
def scene() -> Pair:
    """LR and HR of four bands of smooth noise, reflectance 0.05…0.45."""
    from scipy.ndimage import gaussian_filter

    rough = gaussian_filter(np.random.default_rng(0).random((4, 256, 256)), (0, 2, 2))
    hr = 0.05 + 0.4 * (rough - rough.min()) / np.ptp(rough)
    return hr.reshape(4, 64, 4, 64, 4).mean(axis=(2, 4)), hr


def enlarged(lr: np.ndarray) -> np.ndarray:
    from scipy.ndimage import zoom

    return zoom(lr, (1, 4, 4), order=1, grid_mode=True, mode="nearest")


def test_the_truth_scores_the_best_there_is(scene: Pair) -> None:
    lr, hr = scene
    found = opensr(lr, hr, hr)
    assert found.improvement == pytest.approx(BEST, abs=1e-3)
    assert found.omission == pytest.approx(0.0177, abs=1e-3)
    assert found.hallucination == pytest.approx(0.0177, abs=1e-3)
    assert found.spatial == 0.0


@pytest.mark.parametrize("scale", [2, 3, 4, 5, 6])
def test_the_border_is_the_same_ground_at_every_scale(scene: Pair, scale: int) -> None:
    hr = scene[1][:, : 40 * scale, : 40 * scale]
    lr = hr.reshape(4, 40, scale, 40, scale).mean(axis=(2, 4))
    margin = 16 // scale
    small, large = slice(margin, 40 - margin), slice(margin * scale, (40 - margin) * scale)
    cropped = opensr(lr[:, small, small], hr[:, large, large], hr[:, large, large], border=0)
    assert opensr(lr, hr, hr) == cropped


def test_bias_shows_in_reflectance_only(scene: Pair) -> None:
    lr, hr = scene
    right, wrong = opensr(lr, hr, hr), opensr(lr, hr + 0.05, hr)
    assert wrong.reflectance == pytest.approx(0.05, abs=1e-3)
    assert wrong.improvement == pytest.approx(right.improvement, abs=1e-3)
    assert wrong.spatial == 0.0


def test_a_shift_shows_in_spatial_only(scene: Pair) -> None:
    lr, hr = scene
    moved = opensr(lr, np.roll(hr, 4, axis=2), hr)
    assert moved.spatial == pytest.approx(1.0, abs=0.05)
    assert moved.improvement > 0.85


def test_interpolation_is_omission_more_than_anything(scene: Pair) -> None:
    lr, hr = scene
    found = opensr(lr, enlarged(lr), hr)
    assert found.omission > 0.45 > found.improvement
    assert found.synthesis < opensr(lr, hr, hr).synthesis


def test_foreign_detail_is_hallucination(scene: Pair) -> None:
    lr, hr = scene
    foreign = enlarged(lr) + (np.roll(hr - enlarged(lr), 101, axis=1)) * 3.0
    found = opensr(lr, foreign, hr)
    assert found.hallucination > max(found.improvement, found.omission)


@pytest.mark.parametrize("norm", ["softmin", "percent"])
def test_shares_add_up_to_one(scene: Pair, norm: Norm) -> None:
    lr, hr = scene
    found = opensr(lr, enlarged(lr), hr, norm=norm)
    assert found.improvement + found.omission + found.hallucination == pytest.approx(1.0, abs=1e-9)


def test_percent_of_the_truth_is_all_improvement(scene: Pair) -> None:
    lr, hr = scene
    assert opensr(lr, hr, hr, norm="percent").improvement == 1.0


def test_scenes_need_not_be_square(scene: Pair) -> None:
    lr, hr = scene
    found = opensr(lr[:, :32], hr[:, :128], hr[:, :128])
    assert found.improvement == pytest.approx(BEST, abs=1e-3)


def test_a_flat_scene_has_no_correctness(scene: Pair) -> None:
    lr, hr = np.ones((4, 16, 16)), np.ones((4, 64, 64))
    assert all(math.isnan(value) for value in correctness(hr, hr, hr))
    assert opensr(lr, hr, hr).reflectance == 0.0


@pytest.mark.parametrize("move", [(0, 0), (1, 0), (0, -3), (2, 3), (-4, 1)])
def test_translation_puts_a_moved_picture_back(scene: Pair, move: tuple[int, int]) -> None:
    plane = scene[1][0]
    found = translation(plane, np.roll(plane, (-move[0], -move[1]), axis=(0, 1)))
    assert found == pytest.approx(move, abs=1e-9)


def test_translation_finds_parts_of_a_pixel(scene: Pair) -> None:
    plane = scene[1][0]
    frequency = np.fft.fftfreq(256)
    phase = np.exp(2j * np.pi * (0.34 * frequency[:, None] - 1.5 * frequency))
    moved = np.fft.ifft2(np.fft.fft2(plane) * phase).real
    assert translation(plane, moved) == pytest.approx((0.34, -1.5), abs=0.021)


def test_a_translation_too_far_is_none(scene: Pair) -> None:
    plane = scene[1][0]
    assert all(math.isnan(value) for value in translation(plane, np.roll(plane, 9, axis=0)))


def test_matched_histograms_are_equal() -> None:
    rng = np.random.default_rng(3)
    plane, template = rng.normal(size=(32, 32)), rng.random((32, 32))
    matched = match_histogram(plane, template)
    assert np.allclose(np.sort(matched.ravel()), np.sort(template.ravel()))
    assert np.array_equal(np.argsort(matched, axis=None), np.argsort(plane, axis=None))


def test_shapes_that_do_not_belong_together_are_named(scene: Pair) -> None:
    lr, hr = scene
    with pytest.raises(ValueError, match="whole s"):
        opensr(lr, hr[:, :-4], hr)
    with pytest.raises(ValueError, match="leaves nothing"):
        opensr(lr[:, :8, :8], hr[:, :32, :32], hr[:, :32, :32])


@pytest.mark.parametrize(
    ("case", "norm", "expected"),
    [
        # What opensr-test 1.3.3 itself gave: reflectance, spectral, spatial, synthesis, improvement, omission, hallucination.
        ("truth", "softmin", (0.00504, 1.13156, 0.0, 0.01504, 0.96466, 0.01767, 0.01767)),
        ("bias", "softmin", (0.05001, 1.92173, 0.0, 0.01504, 0.96466, 0.01767, 0.01767)),
        ("shift", "softmin", (0.02793, 6.28341, 0.98, 0.01472, 0.88070, 0.04566, 0.07364)),
        ("noise", "softmin", (0.00572, 1.28084, 0.0, 0.01864, 0.37973, 0.12598, 0.49429)),
        ("shift", "percent", (0.02793, 6.28341, 0.98, 0.01472, 0.95592, 0.00354, 0.04054)),
        ("noise", "percent", (0.00572, 1.28084, 0.0, 0.01864, 0.43461, 0.08695, 0.47844)),
    ],
)
def test_figures_are_those_of_the_original(case: str, norm: Norm, expected: tuple[float, ...]) -> None:
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    hr = np.stack([gaussian_filter(rng.random((256, 256)), 2) for _ in range(4)])
    hr = ((hr - hr.min()) / (hr.max() - hr.min()) * 0.4 + 0.05).astype(np.float32)
    lr = hr.reshape(4, 64, 4, 64, 4).mean(axis=(2, 4))
    noise = rng.normal(0.0, 0.02, hr.shape)
    sr = {"truth": hr, "bias": hr + np.float32(0.05), "shift": np.roll(hr, 4, 2), "noise": hr + noise.astype(np.float32)}[case]
    found = opensr(lr, sr, hr, norm=norm)
    figures = (found.reflectance, found.spectral, found.spatial, found.synthesis, found.improvement, found.omission, found.hallucination)
    assert figures == pytest.approx(expected, abs=1e-3)
