import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from sr_geo.resample import bilinear, cubic, nearest, phases

WAYS = [(bilinear, 1), (cubic, 2), (nearest, 0)]


def centres(count: int, margin: int, scale: int) -> np.ndarray:
    """Centres of fine pixels in coarse pixels, counted from the centre of the first coarse pixel."""
    return ((np.arange(scale * (count - 2 * margin)) + 0.5) / scale - 0.5 + margin).astype(np.float64)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize(("way", "margin"), WAYS)
def test_shapes_and_constants(way, margin: int, scale: int) -> None:  # noqa: ANN001
    out = way(np.full((9, 12), 0.3, np.float32), scale)
    assert out.shape == (scale * (9 - 2 * margin), scale * (12 - 2 * margin))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, 0.3, rtol=3e-7)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("way", "margin", "degree"), [(bilinear, 1, 1), (cubic, 2, 2)])
def test_polynomials_are_reproduced(way, margin: int, degree: int, scale: int) -> None:  # noqa: ANN001
    def value(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 0.5 + 0.2 * y - 0.1 * x + (0.03 * x**2 - 0.02 * y**2 + 0.01 * x * y if degree == 2 else 0.0)

    y, x = np.meshgrid(np.arange(10.0), np.arange(13.0), indexing="ij")
    fine_y, fine_x = np.meshgrid(centres(10, margin, scale), centres(13, margin, scale), indexing="ij")
    np.testing.assert_allclose(way(value(y, x).astype(np.float32), scale), value(fine_y, fine_x), atol=3e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bilinear_is_scipys(scale: int) -> None:
    coarse = np.random.default_rng(0).random((11, 8)).astype(np.float32)
    places = np.meshgrid(centres(11, 1, scale), centres(8, 1, scale), indexing="ij")
    expected = map_coordinates(coarse.astype(np.float64), places, order=1)
    np.testing.assert_allclose(bilinear(coarse, scale), expected, atol=1e-6)


def test_cubic_is_gdals() -> None:
    import rasterio
    from affine import Affine
    from rasterio.warp import Resampling, reproject

    coarse = np.random.default_rng(0).random((16, 14)).astype(np.float32)
    expected = np.zeros((64, 56), np.float32)
    fine = Affine(2.5, 0, 0, 0, -2.5, 0)
    with rasterio.Env():
        reproject(
            coarse,
            expected,
            src_transform=Affine(10, 0, 0, 0, -10, 0),
            dst_transform=fine,
            src_crs="EPSG:32633",
            dst_crs="EPSG:32633",
            resampling=Resampling.cubic,
        )
    np.testing.assert_allclose(cubic(coarse, 4), expected[8:-8, 8:-8], atol=1e-5)


@pytest.mark.parametrize(("way", "margin"), WAYS)
def test_windows_of_the_result_are_results_of_windows(way, margin: int) -> None:  # noqa: ANN001
    coarse = np.random.default_rng(0).random((20, 22)).astype(np.float32)
    whole = way(coarse, 4)
    part = way(coarse[3 : 13 + 2 * margin, 5 : 12 + 2 * margin], 4)
    np.testing.assert_array_equal(part, whole[12:52, 20:48])


@pytest.mark.parametrize(("way", "margin"), WAYS)
def test_turning_and_mirroring_commute(way, margin: int) -> None:  # noqa: ANN001
    del margin
    coarse = np.random.default_rng(0).random((9, 11)).astype(np.float32)
    np.testing.assert_allclose(way(coarse.T, 4), way(coarse, 4).T, atol=1e-6)
    np.testing.assert_allclose(way(coarse[::-1, ::-1], 4), way(coarse, 4)[::-1, ::-1], atol=1e-6)


def test_phases_lie_evenly_around_the_centre() -> None:
    assert phases(4).tolist() == [-0.375, -0.125, 0.125, 0.375]
    assert phases(3).sum() == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize(("way", "margin"), WAYS[:2])
def test_pictures_smaller_than_the_margin_are_refused(way, margin: int) -> None:  # noqa: ANN001
    assert way(np.ones((2 * margin, 2 * margin + 1), np.float32), 4).shape == (0, 4)
    with pytest.raises(ValueError, match="margin"):
        way(np.ones((2 * margin - 1, 9), np.float32), 4)
