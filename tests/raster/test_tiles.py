import numpy as np
import pytest

from sr_geo import consistency, resample
from sr_geo.consistency import Sensor
from sr_geo.radiometry import Encoding
from sr_geo.raster.tiles import BandPlan, Finished, TilePlanning, Way, finish, network_input, prepare
from tests.onnx_models import card

REFLECTANCE = Encoding(1e-4, -0.1, 0)


def planning(
    *,
    others: tuple[Way, ...] = (),
    sigmas: tuple[float, ...] = (2.0, 2.0, 2.0, 2.0),
    mode: str = "psf",
    dtype: str = "uint16",
    encoding: Encoding = REFLECTANCE,
) -> TilePlanning:
    ways: tuple[Way, ...] = ("network",) * 4 + others
    bands = tuple(
        BandPlan(i, None, way, encoding, (i,) if i < 4 else (), sigmas[i % len(sigmas)] if way in ("network", "guided") else 0.0)
        for i, way in enumerate(ways)
    )
    return TilePlanning(card(), bands, (0, 1, 2, 3), mode, dtype)  # type: ignore[arg-type]


def network(planes: np.ndarray) -> np.ndarray:
    """Stands for a network with a halo of one pixel: twice the bilinear upsampling less the nearest."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    return np.stack([2.0 * resample.bilinear(a, 4) - resample.nearest(b, 4) for a, b in zip(padded, planes, strict=True)])


def scene(bands: int, size: tuple[int, int], dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((bands, *size)) * 8000 + 1000).astype(dtype)


def run(stored: np.ndarray, valid: np.ndarray, plan: TilePlanning, window: tuple[int, int, int, int]) -> Finished:
    """A window (row, column, height, width) of a larger array, with its halo from it."""
    row, column, height, width = window
    halo = plan.halo
    around = (slice(None), slice(row - halo, row + height + halo), slice(column - halo, column + width + halo))
    inner = (slice(None), slice(row, row + height), slice(column, column + width))
    planes = prepare(stored[around], valid[around], plan)
    return finish(planes, network(network_input(planes, plan)), stored[inner], valid[inner], plan)


MIXTURES: list[tuple[tuple[Way, ...], tuple[float, ...]]] = [
    ((), (2.0,)),
    ((), (0.5, 3.2, 1.0, 2.0)),
    (("guided",), (2.0,)),
    (("guided", "cubic", "nearest"), (1.0, 3.2, 0.5, 2.0, 5.0, 1.0, 1.0)),
    (("nearest", "cubic"), (0.0,)),
]


@pytest.mark.parametrize("mode", ["psf", "mean", "off"])
@pytest.mark.parametrize(("others", "sigmas"), MIXTURES)
def test_tiles_equal_the_whole(others: tuple[Way, ...], sigmas: tuple[float, ...], mode: str) -> None:
    plan = planning(others=others, sigmas=sigmas, mode=mode, dtype="float32", encoding=Encoding())
    halo = plan.halo
    stored = (scene(4 + len(others), (2 * halo + 12, 2 * halo + 10)) * 1e-4).astype(np.float32)
    valid = np.ones(stored.shape, bool)
    whole = run(stored, valid, plan, (halo, halo, 12, 10))
    part = run(stored, valid, plan, (halo + 5, halo + 3, 6, 4))
    np.testing.assert_allclose(part.image, whole.image[:, 20:44, 12:28], atol=1e-5)
    np.testing.assert_allclose(part.detail, whole.detail[20:44, 12:28], atol=1e-5)


@pytest.mark.parametrize(("others", "sigmas"), MIXTURES)
def test_shapes_types_and_the_margin(others: tuple[Way, ...], sigmas: tuple[float, ...]) -> None:
    plan = planning(others=others, sigmas=sigmas)
    assert plan.margin == max(2, *(Sensor(b.sigma).halo for b in plan.bands if b.way in ("network", "guided")))
    assert plan.halo >= plan.card.halo + plan.margin
    size = 2 * plan.halo + 5
    stored = scene(4 + len(others), (size, size))
    done = run(stored, np.ones(stored.shape, bool), plan, (plan.halo, plan.halo, 5, 5))
    assert done.image.shape == (4 + len(others), 20, 20)
    assert done.image.dtype == np.uint16
    assert done.detail.shape == (20, 20)
    assert done.detail.dtype == np.float32
    inner = stored[:, plan.halo : -plan.halo, plan.halo : -plan.halo]
    for position, way in enumerate(others, 4):
        if way == "nearest":
            np.testing.assert_array_equal(done.image[position], resample.nearest(inner[position], 4))
        if way == "cubic":
            around = stored[position, plan.halo - 2 : 2 - plan.halo, plan.halo - 2 : 2 - plan.halo].astype(np.float32)
            np.testing.assert_allclose(done.image[position], resample.cubic(around, 4), atol=0.6)


def test_block_means_are_kept_by_mean() -> None:
    plan = planning(mode="mean", dtype="float32", encoding=Encoding())
    size = 2 * plan.halo + 6
    stored = (scene(4, (size, size)) * 1e-4).astype(np.float32)
    done = run(stored, np.ones(stored.shape, bool), plan, (plan.halo, plan.halo, 6, 6))
    for band in range(4):
        inner = stored[band, plan.halo : -plan.halo, plan.halo : -plan.halo]
        np.testing.assert_allclose(consistency.block_mean(done.image[band], 4), inner, atol=1e-6)


def test_holes_are_whole_blocks_and_reach_no_further() -> None:
    plan = planning(others=("guided", "cubic", "nearest"))
    halo = plan.halo
    stored = scene(7, (2 * halo + 8, 2 * halo + 8))
    valid = np.ones(stored.shape, bool)
    rng = np.random.default_rng(3)
    valid[:, halo : halo + 8, halo : halo + 8] = rng.random((7, 8, 8)) < 0.8
    stored[~valid] = 0
    done = run(stored, valid, plan, (halo, halo, 8, 8))
    inner = valid[:, halo:-halo, halo:-halo]
    fine = inner.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_array_equal(done.image == 0, ~fine)
    np.testing.assert_array_equal(done.valid, inner)
    np.testing.assert_array_equal(np.isnan(done.detail), ~fine[:4].all(axis=0))
    other = stored.copy()
    other[~valid] = 65535  # what a hole holds does not matter
    again = run(other, valid, plan, (halo, halo, 8, 8))
    for position in range(6):
        np.testing.assert_array_equal(again.image[position], done.image[position])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_the_ends_of_the_type_hold(dtype: str) -> None:
    plan = planning(dtype=dtype, encoding=Encoding(nodata=0))
    size = 2 * plan.halo + 6
    top = 255 if dtype == "uint8" else 32767
    stored = np.where(np.random.default_rng(0).random((4, size, size)) < 0.5, 1, top).astype(dtype)
    done = run(stored, np.ones(stored.shape, bool), plan, (plan.halo, plan.halo, 6, 6))
    assert done.image.dtype == np.dtype(dtype)
    assert (done.image != 0).all()
    assert np.isfinite(done.image).all()


@pytest.mark.parametrize("way", ["guided", "cubic"])
def test_constant_bands_stay(way: Way) -> None:
    plan = planning(others=(way,))
    size = 2 * plan.halo + 6
    stored = scene(5, (size, size))
    stored[4] = 4321
    done = run(stored, np.ones(stored.shape, bool), plan, (plan.halo, plan.halo, 6, 6))
    assert (done.image[4] == 4321).all()
    flat = np.full_like(stored, 1234)
    done = run(flat, np.ones(stored.shape, bool), plan, (plan.halo, plan.halo, 6, 6))
    assert (done.image == 1234).all()
    np.testing.assert_allclose(done.detail, 0.0, atol=1e-6)


def test_a_guided_band_that_equals_a_guide_gets_its_result() -> None:
    encoding = Encoding()
    bands = (
        BandPlan(0, None, "network", encoding, (0, 1, 2, 3), 2.0),
        BandPlan(1, None, "guided", encoding, (), 2.0),
    )
    plan = TilePlanning(card(), bands, (0, 0, 0, 0), "psf", "float32")
    size = 2 * plan.halo + 6
    band = np.random.default_rng(0).random((size, size)).astype(np.float32)
    stored = np.stack([band, 0.5 * band + 0.2])
    done = run(stored, np.ones(stored.shape, bool), plan, (plan.halo, plan.halo, 6, 6))
    np.testing.assert_allclose(done.image[1], 0.5 * done.image[0] + 0.2, atol=1e-4)
