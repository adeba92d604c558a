"""Windows come from where the recipe says and from nowhere else."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from sr_geo.errors import TrainingDataError
from sr_geo.train.data import draw, load_pool
from sr_geo.train.recipe import Source


def write(path: Path, pixels: np.ndarray, **more: object) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=pixels.shape[2],
        height=pixels.shape[1],
        count=len(pixels),
        dtype=pixels.dtype,
        crs=32642,
        transform=rasterio.transform.from_origin(0, 0, 10, 10),
        **more,
    ) as dataset:
        dataset.write(pixels)


def source(**more: object) -> Source:
    return Source.model_validate({"name": "s", "files": ["a.tif"], "bands": ["blue", "red"], "licence": "CC0", **more})


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Every pixel holds 1000 + its row; band 2 holds 5000 more."""
    plane = np.broadcast_to(1000.0 + np.arange(200)[:, None], (200, 60))
    write(tmp_path / "a.tif", np.stack([plane, plane + 5000]).astype(np.float32))
    return tmp_path


def test_only_the_rows_of_the_recipe_are_read(rows: Path) -> None:
    pool = load_pool([source(rows=[20, 90], columns=[5, 60])], rows, ("blue", "red"))
    assert pool.images[0].pixels.shape == (2, 70, 55)
    assert pool.images[0].pixels[0].min() == 1020
    assert pool.images[0].pixels[0].max() == 1089


def test_the_same_step_draws_the_same_batch(rows: Path) -> None:
    pool = load_pool([source()], rows, ("blue", "red"))
    first, again, other = (draw(pool, batch=3, size=16, rng=np.random.default_rng([0, step])) for step in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_bands_are_matched_by_role_and_missing_ones_copied(rows: Path) -> None:
    pool = load_pool([source()], rows, ("red", "blue"))
    x = draw(pool, batch=8, size=16, rng=np.random.default_rng(0))
    assert (x[:, 0].mean((1, 2)) > x[:, 1].mean((1, 2))).all()
    pool = load_pool([source(bands=["blue", "-"])], rows, ("blue", "nir"))
    x = draw(pool, batch=8, size=16, rng=np.random.default_rng(0))
    ratio = x[:, 1] / x[:, 0]
    np.testing.assert_allclose(ratio, ratio[:, :1, :1] * np.ones_like(ratio), rtol=1e-5)


def test_nodata_is_never_drawn(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(100, 200, (2, 80, 80)).astype(np.uint16)
    pixels[:, :40, :40] = 0
    write(tmp_path / "a.tif", pixels, nodata=0)
    pool = load_pool([source()], tmp_path, ("blue", "red"))
    assert draw(pool, batch=40, size=24, rng=np.random.default_rng(1)).min() > 0


def test_values_that_are_no_numbers_are_never_drawn(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).uniform(1, 2, (2, 80, 80)).astype(np.float32)
    pixels[1, 30:50, 30:50] = np.nan
    write(tmp_path / "a.tif", pixels)
    pool = load_pool([source()], tmp_path, ("blue", "red"))
    assert np.isfinite(draw(pool, batch=40, size=24, rng=np.random.default_rng(1))).all()


def test_sources_are_drawn_by_weight(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", np.random.default_rng(0).normal(100, 1, (2, 64, 64)).astype(np.float32))
    write(tmp_path / "b.tif", np.random.default_rng(1).normal(100, 1, (2, 128, 128)).astype(np.float32))
    pool = load_pool([source(weight=3), source(files=["b.tif"], weight=1)], tmp_path, ("blue", "red"))
    np.testing.assert_allclose(pool.probability, [0.75, 0.25])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": ["none*.tif"]}, "no file matches"),
        ({"bands": ["blue"]}, r"has 2 band\(s\), the recipe names 1"),
        ({"bands": ["swir1", "swir2"]}, "none of the bands"),
    ],
)
def test_errors_say_what_is_wrong(rows: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingDataError, match=message):
        load_pool([source(**change)], rows, ("blue", "red"))
