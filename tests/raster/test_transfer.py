import numpy as np
import pytest

from sr_geo.raster.transfer import MARGIN, guide, guided
from sr_geo.resample import bilinear

SHAPE = (30, 34)


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE).astype(np.float32)


def fine(seed: int = 0, spread: float = 0.1) -> np.ndarray:
    shape = (4 * (SHAPE[0] - 2 * MARGIN), 4 * (SHAPE[1] - 2 * MARGIN))
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def plain(band: np.ndarray) -> np.ndarray:
    return bilinear(band[MARGIN - 1 : 1 - MARGIN, MARGIN - 1 : 1 - MARGIN], 4)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.3, 0.2), (-2.0, 1.0), (1e4, 0.0), (1e-6, 0.0), (1.0, 300.0)])
def test_a_linear_function_of_the_guide_gets_that_function_of_its_detail(gain: float, offset: float) -> None:
    band, detail = picture(), fine(1)
    copy = (np.float32(gain) * band + np.float32(offset)).astype(np.float32)
    out = guided(copy, [guide(band, detail)], scale=4)
    np.testing.assert_allclose(out, gain * (plain(band) + detail) + offset, atol=1e-4 * max(abs(gain), 1e-2 * offset))


def test_the_unit_of_the_band_does_not_matter() -> None:
    guides = [guide(picture(seed), fine(seed)) for seed in (1, 2)]
    band = picture(1) + 0.2 * picture(3)
    for gain in (1e-6, 2.0, 3e4):
        out = guided(np.float32(gain) * band, guides, scale=4)
        np.testing.assert_allclose(out, gain * guided(band, guides, scale=4), atol=2e-5 * gain)


def test_a_band_of_its_own_borrows_little() -> None:
    band, detail = picture(7), fine(1)
    added = guided(band, [guide(picture(), detail)], scale=4) - plain(band)
    assert added.std() < 0.35 * detail.std()


@pytest.mark.parametrize("level", [0.0, 0.1, 1e4, -5.0])
def test_constant_bands_and_constant_guides_add_nothing(level: float) -> None:
    flat = np.full(SHAPE, level, np.float32)
    detail = fine(1)
    for band, other in ((flat, picture()), (picture(), flat), (flat, flat)):
        out = guided(band, [guide(other, detail)], scale=4)
        np.testing.assert_allclose(out, plain(band), atol=2e-3 * max(1.0, abs(level)) * float(np.abs(detail).max()))


def test_a_window_with_its_margin_equals_the_whole() -> None:
    band, other, detail = picture(1), picture(1) + 0.3 * picture(2), fine(3)
    whole = guided(band, [guide(other, detail)], scale=4)
    rows, columns = slice(4, 8 + 2 * MARGIN), slice(3, 9 + 2 * MARGIN)
    part = guided(band[rows, columns], [guide(other[rows, columns], detail[16:32, 12:36])], scale=4)
    np.testing.assert_allclose(part, whole[16:32, 12:36], atol=2e-6)
