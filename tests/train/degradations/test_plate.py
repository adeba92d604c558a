"""Cameras keep what is flat, blur along the motion, and compress block by block."""

import numpy as np
import pytest

from sr_geo.train.degradations import PlateDegradation, XrayDegradation, degrade
from sr_geo.train.degradations.compression import BLOCK, video
from sr_geo.train.degradations.photo import shrink


def test_flat_gray_stays_within_its_noise() -> None:
    flat = np.full((3, 96, 96), 0.5, np.float32)
    for seed in range(8):
        lr, _ = degrade(PlateDegradation(), flat, scale=4, rng=np.random.default_rng(seed))
        assert lr.shape == (3, 24, 24)
        assert lr.mean() == pytest.approx(0.5, abs=0.02)
        assert lr.std() < 0.1


def test_motion_is_level_more_often_than_upright() -> None:
    point = np.zeros((1, 128, 128), np.float32)
    point[0, 62:66, 62:66] = 1.0
    quiet = PlateDegradation(motion=(3.0, 3.0), defocus=(0.0, 0.0), noise=(0.0, 0.0), video=0.0, jpeg=(95.0, 95.0))
    level = 0
    for seed in range(30):
        lr = degrade(quiet, point, scale=4, rng=np.random.default_rng(seed))[0][0]
        level += bool((lr > 0.05).any(0).sum() > (lr > 0.05).any(1).sum())
    assert 15 <= level <= 28


def test_video_is_coarser_with_a_larger_quantiser() -> None:
    picture = np.random.default_rng(0).random((3, 45, 52), np.float32)
    errors = [np.abs(video(picture, quantiser) - picture)[0].mean() for quantiser in (4.0, 24.0, 40.0)]
    assert errors == sorted(errors)
    assert video(picture, 30.0).shape == picture.shape


def test_video_hides_the_edges_of_its_blocks() -> None:
    ramp = np.broadcast_to(np.linspace(0.2, 0.6, 64, dtype=np.float32), (1, 64, 64))
    coded = video(ramp, 36.0)[0]
    jumps = np.abs(np.diff(coded.mean(0)))
    at_edges = jumps[BLOCK - 1 :: BLOCK]
    assert at_edges.max() < 0.08
    assert np.abs(coded - ramp[0]).mean() < 0.03


def test_a_constant_survives_every_quantiser() -> None:
    for quantiser in (10.0, 30.0, 40.0):
        coded = video(np.full((3, 32, 32), 0.4, np.float32), quantiser)
        assert coded.std() < 1e-5
        assert coded.mean() == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("section", [PlateDegradation, XrayDegradation])
def test_a_clean_share_is_reduced_and_nothing_else(section: type[PlateDegradation | XrayDegradation]) -> None:
    picture = np.random.default_rng(1).random((3, 32, 48), np.float32)
    clean = shrink(picture, scale=4, levels=255)
    made = [degrade(section(clean=0.5), picture, scale=4, rng=np.random.default_rng(seed)) for seed in range(40)]
    same = [sigma for lr, sigma in made if np.array_equal(lr, clean)]
    assert 10 <= len(same) <= 30
    assert not np.any(same)  # there is no blur to tell
    spoilt = [degrade(section(), picture, scale=4, rng=np.random.default_rng(seed))[0] for seed in range(8)]
    assert not any(np.array_equal(lr, clean) for lr in spoilt)
