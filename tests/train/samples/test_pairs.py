"""The coarse and the fine raster of a pair show the same ground, to the pixel."""

import os
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from sr_geo.errors import TrainingDataError
from sr_geo.train.samples.pairs import find_offset, open_pairs
from sr_geo.train.samples.sections import PairSource
from tests.train.samples.rasters import GRID, write_raster

DATA = Path(os.environ.get("SR_GEO_DATA", Path(__file__).parents[4] / "shared" / "data"))
BANDS = ("blue", "red")


def source(**more: object) -> PairSource:
    fields = {"name": "s", "kind": "pairs", "fine": ["fine.tif"], "coarse": ["coarse.tif"], "licence": "CC0"}
    return PairSource.model_validate({**fields, "fine_bands": ["red", "blue"], "coarse_bands": ["blue", "red"], **more})


def block_mean(fine: np.ndarray, scale: int = 4) -> np.ndarray:
    bands, height, width = fine.shape
    return fine.reshape(bands, height // scale, scale, width // scale, scale).mean((2, 4))


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """A coarse raster that starts 3 pixels up and 2 left of the fine one and holds 10 × its block means + 500, bands swapped."""
    fine = np.random.default_rng(0).uniform(100, 200, (2, 120, 160)).astype(np.float32)
    write_raster(tmp_path / "fine.tif", fine, transform=GRID @ Affine.scale(0.25))
    coarse = np.random.default_rng(1).uniform(2000, 3000, (2, 40, 50)).astype(np.float32)
    coarse[:, 3:33, 2:42] = 10 * block_mean(fine)[::-1] + 500
    write_raster(tmp_path / "coarse.tif", coarse, transform=GRID @ Affine.translation(-2, -3))
    return tmp_path


def test_block_means_of_the_fine_are_the_coarse(nested: Path) -> None:
    (pair,) = open_pairs(source(), nested, BANDS, size=32, scale=4)
    assert pair.offset == (-12, -8)
    assert (pair.extent.row, pair.extent.column, *pair.extent.shape) == (3, 2, 30, 40)
    rng = np.random.default_rng(0)
    patches = [pair.draw(32, rng) for _ in range(10)] + list(pair.held_out(48, 4))
    assert len(patches) > 12
    for patch in patches:
        assert patch is not None
        np.testing.assert_allclose(patch.lr, block_mean(patch.hr), rtol=1e-4)


def test_both_lose_the_same_level(nested: Path) -> None:
    (pair,) = open_pairs(source(), nested, BANDS, size=32, scale=4, standardised=True)
    for patch in pair.held_out(48, 4):
        np.testing.assert_allclose(patch.lr, block_mean(patch.hr), atol=2e-4)
        assert np.abs(patch.hr.mean((1, 2))).max() < 0.1


def test_without_matching_the_units_stay(nested: Path) -> None:
    (pair,) = open_pairs(source(match="none", sigma=2.5, turns="none"), nested, BANDS, size=32, scale=4)
    patch = next(pair.held_out(64, 4))
    np.testing.assert_allclose(patch.lr * pair.standard.spread[0], 10 * block_mean(patch.hr) * pair.standard.spread[0] + 500, rtol=1e-4)
    assert patch.sigma == 2.5


def test_holes_of_either_are_never_drawn(nested: Path, tmp_path: Path) -> None:
    import rasterio

    with rasterio.open(nested / "coarse.tif", "r+") as dataset:
        pixels = dataset.read()
        pixels[:, 10:14, 10:14] = 0
        dataset.write(pixels)
    (pair,) = open_pairs(source(), nested, BANDS, size=16, scale=4)
    patches = [pair.draw(16, np.random.default_rng(seed)) for seed in range(60)]
    assert any(patch is None for patch in patches)
    assert min(patch.lr.min() for patch in patches if patch) > 0


def test_a_band_that_is_missing_is_the_same_copy_in_both(nested: Path) -> None:
    (pair,) = open_pairs(source(), nested, (*BANDS, "nir"), size=16, scale=4)
    for seed in range(6):
        patch = pair.draw(16, np.random.default_rng(seed))
        assert patch is not None
        np.testing.assert_allclose(patch.lr, block_mean(patch.hr), rtol=1e-4)


@pytest.mark.parametrize(
    ("transform", "crs", "message"),
    [
        (GRID @ Affine.translation(0.1, 0.0), 32642, "not nested ×4"),
        (GRID @ Affine.scale(1.5), 32642, "not nested ×4"),
        (GRID @ Affine.rotation(3.0), 32642, "not nested ×4"),
        (GRID @ Affine.scale(1.0005), 32642, "not nested ×4"),  # half a fine pixel off at the far corner
        (GRID, 32643, "one coordinate system"),
        (GRID @ Affine.translation(500, 0), 32642, "share 0 × 0 coarse pixels|share 30 × 0"),
    ],
)
def test_grids_that_do_not_fit_are_refused(nested: Path, transform: Affine, crs: int, message: str) -> None:
    write_raster(
        nested / "other.tif", np.random.default_rng(1).uniform(2000, 3000, (2, 200, 250)).astype(np.float32), transform=transform, crs=crs
    )
    with pytest.raises(TrainingDataError, match=message):
        open_pairs(source(coarse=["other.tif"]), nested, BANDS, size=16, scale=4)


def test_each_fine_raster_needs_its_partner(nested: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"2 fine raster\(s\) for 1 coarse"):
        open_pairs(source(fine=["fine.tif", "coarse.tif"]), nested, BANDS, size=16, scale=4)


@pytest.mark.skipif(not (DATA / "satellite" / "pairs").exists(), reason="SR_GEO_DATA is not set and ../shared/data is missing")
def test_the_real_pair_is_nested_by_six() -> None:
    folder = DATA / "satellite" / "pairs"
    fine, coarse = folder / "hr_naip_20150926_RGBN_5m.tif", folder / "lr_landsat8_20150902_BGRN_30m.tif"
    assert find_offset(fine, coarse, 6) == (0, 0)
    with pytest.raises(TrainingDataError, match="a coarse pixel is 6 × 6 fine ones"):
        find_offset(fine, coarse, 4)
    section = source(
        fine=[str(fine)], coarse=[str(coarse)], fine_bands=["red", "green", "blue", "nir"], coarse_bands=["blue", "green", "red", "nir"]
    )  # fmt: skip
    (pair,) = open_pairs(section, DATA, ("blue", "green", "red", "nir"), size=60, scale=6)
    patches = list(pair.held_out(120, 6))
    # Twenty-four days apart at harvest: fields and roads are the same, their colours are not.
    near_infrared = [np.corrcoef(patch.lr[3].ravel(), block_mean(patch.hr, 6)[3].ravel())[0, 1] for patch in patches]
    assert np.median(near_infrared) > 0.5
