import numpy as np
import pytest

from sr_geo import consistency, resample
from sr_geo.consistency import Sensor
from sr_geo.radiometry import Encoding
from sr_geo.raster.tiles import BandPlan, Finished, TilePlanning, Way, finish, prepare
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
    """Stands for a network with a halo of one pixel: bilinear, and what that adds to the nearest, also of the next band."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    soft = np.stack([resample.bilinear(plane, 4) for plane in padded])
    added = soft - np.stack([resample.nearest(plane, 4) for plane in planes])
    return soft + added + 0.5 * np.roll(added, 1, axis=0)


def scene(bands: int, size: tuple[int, int], dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((bands, *size)) * 8000 + 1000).astype(dtype)


def run(stored: np.ndarray, valid: np.ndarray, plan: TilePlanning, window: tuple[int, int, int, int]) -> Finished:
    """A window (row, column, height, width) of a larger array, with twice its halo from it or mirrored."""
    row, column, height, width = window
    halo = plan.halo
    wide = (slice(None), slice(row - halo, row + height + 3 * halo), slice(column - halo, column + width + 3 * halo))
    inner = (slice(None), slice(row, row + height), slice(column, column + width))
    values, known = (np.pad(array, ((0, 0), (halo, halo), (halo, halo)), mode="symmetric")[wide] for array in (stored, valid))
    ready = prepare(values, known, plan).inner(halo)
    return finish(ready, network(ready.channels), stored[inner], valid[inner], plan)


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


@pytest.mark.parametrize("mode", ["psf", "mean", "off"])
@pytest.mark.parametrize(("others", "sigmas"), MIXTURES)
def test_rows_finished_apart_equal_those_finished_at_once(
    others: tuple[Way, ...], sigmas: tuple[float, ...], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planning(others=others, sigmas=sigmas, mode=mode, dtype="float32", encoding=Encoding())
    halo = plan.halo
    stored = (scene(4 + len(others), (2 * halo + 23, 2 * halo + 10)) * 1e-4).astype(np.float32)
    valid = np.random.default_rng(1).random(stored.shape) < 0.95
    monkeypatch.setattr("sr_geo.raster.tiles._ROWS", 23)
    whole = run(stored, valid, plan, (halo, halo, 23, 10))
    monkeypatch.setattr("sr_geo.raster.tiles._ROWS", 5)
    parts = run(stored, valid, plan, (halo, halo, 23, 10))
    np.testing.assert_allclose(parts.image, whole.image, atol=1e-5)
    np.testing.assert_allclose(parts.detail, whole.detail, atol=1e-5)


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


@pytest.mark.parametrize("others", [("guided", "cubic", "nearest"), ("nearest", "cubic", "guided")])
def test_holes_are_whole_blocks_and_reach_no_further(others: tuple[Way, ...]) -> None:
    plan = planning(others=others)
    halo = plan.halo
    stored = scene(7, (2 * halo + 8, 2 * halo + 8))
    valid = np.ones(stored.shape, bool)
    rng = np.random.default_rng(3)
    valid[:, halo : halo + 8, halo : halo + 8] = rng.random((7, 8, 8)) < 0.8
    valid[5] = valid[4]
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
    for position in (position for position, band in enumerate(plan.bands) if band.way != "nearest"):
        np.testing.assert_array_equal(again.image[position], done.image[position])


@pytest.mark.parametrize("mode", ["psf", "mean", "off"])
@pytest.mark.parametrize(("others", "sigmas"), MIXTURES)
@pytest.mark.parametrize("holed", [[1], [0, 1], [1, 4], [0, 1, 2, 3]])
def test_wide_holes_of_single_bands(others: tuple[Way, ...], sigmas: tuple[float, ...], mode: str, holed: list[int]) -> None:
    plan = planning(others=others, sigmas=sigmas, mode=mode, dtype="float32", encoding=Encoding(nodata=-1))
    halo = plan.halo
    height, width = 6 * halo + 12, 4 * halo + 20
    stored = (scene(4 + len(others), (height, width)) * 1e-4).astype(np.float32)
    valid = np.ones(stored.shape, bool)
    for band in holed:
        if band < len(valid):
            valid[band, halo + 3 : halo + 9 + 4 * halo, halo + 5 - band : -3] = False
    stored[~valid] = -1
    whole = run(stored, valid, plan, (halo, halo, height - 2 * halo, width - 2 * halo))
    for row, column in ((halo, halo), (3 * halo, 2 * halo), (5 * halo, 3 * halo), (halo + 8, 3 * halo)):
        part = run(stored, valid, plan, (row, column, 7, 9))
        fine = (slice(4 * (row - halo), 4 * (row - halo + 7)), slice(4 * (column - halo), 4 * (column - halo + 9)))
        np.testing.assert_allclose(part.image, whole.image[(slice(None), *fine)], atol=1e-5)
        np.testing.assert_allclose(part.detail, whole.detail[fine], atol=1e-5)
    nothing = ~valid[:, halo:-halo, halo:-halo].repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_array_equal(whole.image == -1, nothing)


def test_beside_a_hole_of_one_band_the_others_are_still_what_was_measured() -> None:
    plan = planning(others=("guided",), dtype="float32", encoding=Encoding(nodata=-1))
    halo, sensor = plan.halo, Sensor(2.0)
    size = 2 * halo + 30
    fields = np.random.default_rng(5).random((5, size // 6 + 2, size // 6 + 2)).repeat(24, axis=1).repeat(24, axis=2).astype(np.float32)
    stored = np.stack([consistency.seen(plane, sensor)[:size, :size] for plane in fields])
    valid = np.ones(stored.shape, bool)
    valid[1, halo + 8 : halo + 20, halo + 8 :] = False
    done = run(stored, valid, plan, (halo, halo, 30, 30))
    inside = slice(halo + sensor.reach, -halo - sensor.reach)
    for position in (0, 2, 3, 4):
        difference = np.abs(consistency.seen(done.image[position], sensor) - stored[position, inside, inside]).mean()
        assert difference < 0.01 * np.ptp(stored[position])


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
