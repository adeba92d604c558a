"""Windows come from where the recipe says and from nowhere else, and hold what the raster holds."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sr_geo.errors import TrainingDataError
from sr_geo.grid import Window
from sr_geo.train.samples.imagery import Channels, lay_windows
from sr_geo.train.samples.pool import open_pool
from sr_geo.train.samples.rasters import Raster, open_rasters
from sr_geo.train.samples.sections import RasterSource
from tests.train.samples.rasters import write_raster

SAMPLE = Path(__file__).parents[3] / "sample_data" / "itaipu_landsat8.tif"


def source(**more: object) -> RasterSource:
    return RasterSource.model_validate(
        {"name": "s", "kind": "rasters", "files": ["a.tif"], "bands": ["blue", "red"], "licence": "CC0", **more}
    )


def opened(root: Path, wanted: tuple[str, ...] = ("blue", "red"), **more: object) -> list[Raster]:
    return open_rasters(source(**more), root, wanted, size=16)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Every pixel holds 1000 + its row; band 2 holds 5000 more."""
    plane = np.broadcast_to(1000.0 + np.arange(200)[:, None], (200, 60))
    write_raster(tmp_path / "a.tif", np.stack([plane, plane + 5000]).astype(np.float32))
    return tmp_path


def test_only_the_rows_of_the_recipe_are_read(rows: Path) -> None:
    (raster,) = opened(rows, rows=[20, 90], columns=[5, 60])
    assert raster.extent == Window(20, 5, 70, 55)
    rng = np.random.default_rng(0)
    drawn = [raster.bands.read(raster.extent)] + [patch.hr for patch in (raster.draw(16, rng) for _ in range(20)) if patch]
    assert drawn[0][0].min() == 1020
    assert drawn[0][0].max() == 1089
    held_out = np.concatenate([patch.hr[0].ravel() for patch in raster.held_out(32, 4)]) * raster.standard.spread[0]
    assert held_out.min() > 1019.9
    assert held_out.max() < 1089.1


def test_windows_hold_the_pixels_of_a_real_raster() -> None:
    with rasterio.open(SAMPLE) as dataset:
        whole, count = dataset.read(), dataset.count
    roles = tuple(f"b{number}" for number in range(count))
    section = RasterSource(name="sample", files=(str(SAMPLE),), bands=roles, licence="public domain")
    wanted = (roles[-1], roles[0])
    (raster,) = open_rasters(section, Path("/"), wanted, size=32)
    window = Window(17, 23, 40, 48)
    part = raster.read(window)
    assert part is not None
    np.testing.assert_allclose(part * raster.standard.spread[0], whole[[count - 1, 0], 17:57, 23:71], rtol=1e-5)
    used = whole[[0, count - 1]].reshape(2, -1).astype(np.float64)
    assert raster.standard.spread[0] == pytest.approx(used[:, (used != 0).any(0)].std(1).mean(), rel=1e-3)


def test_stacked_files_are_the_bands_of_one_raster(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 2000, (3, 50, 60)).astype(np.uint16)
    for number, plane in enumerate(pixels):
        write_raster(tmp_path / f"B{number + 2}.tif", plane[None])
    (raster,) = opened(tmp_path, ("red", "blue"), files=["B*.tif"], bands=["blue", "green", "red"], stack=True)
    read = raster.read(Window(3, 4, 20, 24))
    assert read is not None
    np.testing.assert_allclose(read * raster.standard.spread[0], pixels[[2, 0], 3:23, 4:28], rtol=1e-5)


def test_nodata_is_never_drawn(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(100, 200, (2, 80, 80)).astype(np.uint16)
    pixels[:, :40, :40] = 0
    write_raster(tmp_path / "a.tif", pixels, nodata=0)
    pool = open_pool([source()], tmp_path, ("blue", "red"), size=24, scale=4)
    rng = np.random.default_rng(1)
    assert min(pool.draw(24, rng).hr.min() for _ in range(40)) > 0


def test_values_that_are_no_numbers_are_never_drawn(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).uniform(1, 2, (2, 80, 80)).astype(np.float32)
    pixels[1, 30:50, 30:50] = np.nan
    write_raster(tmp_path / "a.tif", pixels)
    pool = open_pool([source()], tmp_path, ("blue", "red"), size=24, scale=4)
    rng = np.random.default_rng(1)
    assert all(np.isfinite(pool.draw(24, rng).hr).all() for _ in range(40))


def test_a_raster_of_holes_ends_with_an_error(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(100, 200, (2, 64, 64)).astype(np.uint16)
    pixels[:, ::8] = 0
    write_raster(tmp_path / "a.tif", pixels)
    pool = open_pool([source()], tmp_path, ("blue", "red"), size=16, scale=4)
    with pytest.raises(TrainingDataError, match="without nodata"):
        pool.draw(16, np.random.default_rng(0))


def test_bands_are_matched_by_role_and_missing_ones_copied(rows: Path) -> None:
    (raster,) = opened(rows, ("red", "blue"))
    rng = np.random.default_rng(0)
    x = np.stack([raster.draw(16, rng).hr for _ in range(8)])
    assert (x[:, 0].mean((1, 2)) > x[:, 1].mean((1, 2))).all()
    (raster,) = opened(rows, ("blue", "nir"), bands=["blue", "-"])
    x = np.stack([raster.draw(16, rng).hr for _ in range(8)])
    ratio = x[:, 1] / x[:, 0]
    np.testing.assert_allclose(ratio, ratio[:, :1, :1] * np.ones_like(ratio), rtol=1e-5)


def test_a_missing_band_is_drawn_from_all_that_are_there() -> None:
    channels = Channels((2, None, 0))
    assert channels.choose(None) == [0, 0, 1]
    rng = np.random.default_rng(0)
    assert {channels.choose(rng)[1] for _ in range(20)} == {0, 1}


def test_sources_are_drawn_by_weight_and_their_files_by_area(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, side in (("a", 64), ("b", 128), ("c", 64)):
        write_raster(tmp_path / f"{name}.tif", rng.normal(100, 1, (2, side, side)).astype(np.float32))
    pool = open_pool([source(weight=3, files=["a.tif"]), source(files=["b.tif", "c.tif"])], tmp_path, ("blue", "red"), size=16, scale=4)
    np.testing.assert_allclose(pool.probability, [0.75, 0.2, 0.05])
    assert [path.name for path in pool.files] == ["a.tif", "b.tif", "c.tif"]


def test_held_out_windows_cover_all_in_even_pieces() -> None:
    extent = Window(520, 3, 52, 619)
    windows = list(lay_windows(extent, 256, 4))
    assert {window.shape for window in windows} == {(52, 204)}
    assert sorted(window.column for window in windows) == [3, 207, 411]
    assert list(lay_windows(Window(0, 0, 3, 100), 64, 4)) == []


def test_handles_belong_to_a_process(rows: Path) -> None:
    from sr_geo.train.samples.rasters import open_dataset

    here = open_dataset(rows / "a.tif", os.getpid())
    assert here is open_dataset(rows / "a.tif", os.getpid())
    assert here is not open_dataset(rows / "a.tif", os.getpid() + 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"files": ["none*.tif"]}, "no file matches"),
        ({"bands": ["blue"]}, r"has 2 band\(s\), the recipe names 1"),
        ({"bands": ["swir1", "swir2"]}, "none of the bands"),
        ({"rows": [0, 10]}, "10 × 60 pixels to draw from, samples take 16 × 16"),
        ({"files": ["text.tif"]}, "cannot be read"),
        ({"files": ["flat.tif"]}, "no valid pixel, or all are the same"),
    ],
)
def test_errors_say_what_is_wrong(rows: Path, change: dict[str, object], message: str) -> None:
    (rows / "text.tif").write_text("no raster")
    write_raster(rows / "flat.tif", np.full((2, 40, 40), 7, np.uint8))
    with pytest.raises(TrainingDataError, match=message):
        opened(rows, **change)


def test_networks_that_do_not_commute_get_bands_without_their_level(rows: Path) -> None:
    (raster,) = open_rasters(source(rows=[40, 141]), rows, ("red", "blue"), size=16, standardised=True)
    assert raster.standard.level == (6090.0, 1090.0)  # the middle row of 40 … 140
    whole = raster.read(raster.extent)
    assert whole is not None
    np.testing.assert_allclose(np.percentile(whole, (15.87, 50, 84.13), axis=(1, 2)).T, [[-1, 0, 1]] * 2, atol=1e-5)
    plain = opened(rows, rows=[40, 141])[0].read(Window(40, 0, 16, 16))
    assert plain is not None
    assert plain.min() > 30.0  # in units of a spread of 29, with its level
