"""A sample is a function of seed, rank, step and position, whoever makes it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from sr_geo.errors import TrainingDataError
from sr_geo.train.degradations import BlindDegradation, Degradation, NoDegradation, SensorDegradation
from sr_geo.train.degradations.sensor import see
from sr_geo.train.samples import Batches, Pool, Source, make_loader, open_pool
from sr_geo.train.samples.imagery import Patch, turn
from tests.train.samples.rasters import write_raster

SOURCE: TypeAdapter[Source] = TypeAdapter(Source)


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    write_raster(tmp_path / "a.tif", np.random.default_rng(0).uniform(100, 900, (2, 96, 80)).astype(np.float32))
    write_raster(tmp_path / "b.tif", np.random.default_rng(1).integers(1, 255, (2, 70, 90)).astype(np.uint8))
    sources = [
        SOURCE.validate_python({"kind": "rasters", "name": n, "files": [f"{n}.tif"], "bands": ["blue", "red"], "licence": "CC0"})
        for n in "ab"
    ]
    return open_pool(sources, tmp_path, ("blue", "red"), size=32, scale=4)


def batches(pool: Pool, degradation: Degradation | None = None, **more: int) -> Batches:
    return Batches(pool, degradation or SensorDegradation(turned=0.5), **{"batch": 3, "patch": 8, "scale": 4, "seed": 7, **more})


def same(a: object, b: object) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))  # type: ignore[call-overload]


def test_shapes_and_units(pool: Pool) -> None:
    hr, lr, sigma = batches(pool)[0]
    assert hr.shape == (3, 2, 32, 32)
    assert lr.shape == (3, 2, 8, 8)
    assert sigma.shape == (3, 2)
    assert {hr.dtype, lr.dtype, sigma.dtype} == {torch.float32}
    assert hr.std() < 3
    assert (sigma >= 1.0).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(pool: Pool, workers: int) -> None:
    made = list(make_loader(batches(pool), range(5, 9), workers=workers))
    assert len(made) == 4
    assert all(same(batch, batches(pool)[step]) for batch, step in zip(made, range(5, 9), strict=True))


def test_threads_change_nothing(pool: Pool) -> None:
    first = batches(pool)[3]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert same(first, batches(pool)[3])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("other", [{"seed": 8}, {"rank": 1}])
def test_seed_rank_and_step_change_the_batch(pool: Pool, other: dict[str, int]) -> None:
    assert not same(batches(pool)[3], batches(pool, **other)[3])
    assert not same(batches(pool)[3], batches(pool)[4])


def test_a_sample_does_not_know_its_neighbours(pool: Pool) -> None:
    small, large = batches(pool)[3], batches(pool, batch=6)[3]
    assert all(torch.equal(a, b[:3]) for a, b in zip(small, large, strict=True))


def test_the_low_resolution_is_the_high_one_seen(pool: Pool) -> None:
    hr, lr, sigma = batches(pool, SensorDegradation(noise=0.0))[0]
    torch.testing.assert_close(lr, see(hr, sigma), atol=1e-5, rtol=1e-4)


def test_gains_and_turns_leave_the_pixels(pool: Pool) -> None:
    patch = Patch(np.arange(32.0, dtype=np.float32).reshape(2, 4, 4), np.arange(2.0, dtype=np.float32).reshape(2, 1, 1))
    seen = {turn(patch, "all", np.random.default_rng(seed)).hr[0].tobytes() for seed in range(100)}
    assert len(seen) == 8
    assert len({turn(patch, "mirror", np.random.default_rng(seed)).hr[0].tobytes() for seed in range(50)}) == 2
    assert turn(patch, "none", np.random.default_rng(0)) is patch


def test_none_needs_pairs(pool: Pool) -> None:
    with pytest.raises(TrainingDataError, match=r"degradation\.kind is none"):
        batches(pool, NoDegradation())[0]


def test_rendered_fields_are_in_the_units_of_what_lies_beside_them() -> None:
    source = SOURCE.validate_python({"kind": "fields"})
    bands = ("red", "green", "blue")
    ground, pictures = (open_pool([source], Path(), bands, size=48, scale=4, units=units) for units in ("spread", "unit"))
    in_spread, in_unit = (np.stack([pool.draw(48, np.random.default_rng(seed)).hr for seed in range(30)]) for pool in (ground, pictures))
    np.testing.assert_allclose(in_unit, np.clip(0.5 + 0.25 * in_spread, 0.0, 1.0), atol=1e-6)
    assert in_spread.min() < -1.0
    assert (in_unit.min(), in_unit.max()) == (0.0, 1.0)


def test_plates_that_are_kept_are_few_and_the_same_for_all() -> None:
    pytest.importorskip("fontpkg_overpass", reason="plates need their fonts")
    source = SOURCE.validate_python({"kind": "plates", "name": "plates", "width": [60, 90], "kept": 3})
    pools = [open_pool([source], Path(), bands, size=48, scale=4) for bands in (("red", "green", "blue"), ("gray",))]
    colour, gray = ([pool.draw(48, np.random.default_rng(seed)) for seed in range(12)] for pool in pools)
    assert len({patch.text for patch in colour}) == 3
    assert len({patch.hr.tobytes() for patch in colour}) == 12  # windows of them differ
    for one, other in zip(colour, gray, strict=True):  # a cache that mixed up its sources would give colours here
        assert one.text == other.text
        assert one.hr.shape == (3, 48, 48)
        np.testing.assert_allclose(other.hr[0], np.tensordot([0.299, 0.587, 0.114], one.hr, 1), atol=1.01 / 255)


def test_plates_one_above_the_other_are_many_in_one_picture() -> None:
    pytest.importorskip("fontpkg_overpass", reason="plates need their fonts")
    one, three = (
        open_pool(
            [SOURCE.validate_python({"kind": "plates", "name": "plates", "width": [60, 70], "stacked": stacked})],
            Path(),
            ("red", "green", "blue"),
            size=94,
            scale=4,
        )
        for stacked in (1, 3)
    )
    assert len(one.draw(94, np.random.default_rng(3)).text.split()) == 1
    patch = three.draw(94, np.random.default_rng(3))  # no multiple of three: no row may be lost
    assert patch.hr.shape == (3, 94, 94)
    assert len(set(patch.text.split())) == 3
    # Each plate stands in a scene of its own, which ends where the next one begins.
    jumps = np.abs(np.diff(patch.hr.mean((0, 2))))
    assert jumps[[30, 61]].min() > np.median(jumps)


def test_plates_and_photos_in_one_batch(tmp_path: Path) -> None:
    pytest.importorskip("fontpkg_overpass", reason="plates need their fonts")
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    sources = [
        SOURCE.validate_python({"kind": "images", "name": "photos", "files": ["*.png"], "licence": "CC0"}),
        SOURCE.validate_python({"kind": "plates", "name": "plates", "width": [60, 90], "count": 3}),
    ]
    pool = open_pool(sources, tmp_path, ("red", "green", "blue"), size=48, scale=4)
    np.testing.assert_allclose(pool.probability, [0.5, 0.5])
    hr, lr, sigma = batches(pool, BlindDegradation(), patch=12, batch=4)[0]
    assert hr.min() >= 0
    assert hr.max() <= 1
    assert lr.shape == (4, 3, 12, 12)
    assert not sigma.any()
    held_out = [patch for imagery in pool.imagery for patch in imagery.held_out(64, 4)]
    assert [patch.text != "" for patch in held_out] == [False, True, True, True]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'rasters', 'images', 'dicom', 'pairs', 'plates'"):
        SOURCE.validate_python({"kind": "video", "name": "s"})
