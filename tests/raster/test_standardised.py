"""Networks that do not commute with gain and offset measure every band of a scene by its own level and spread."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from sr_geo.models.session import open_model
from sr_geo.radiometry import Standard, measure_standard
from sr_geo.raster.enhance import enhance_raster
from sr_geo.raster.options import Options
from sr_geo.raster.planning import find_blurs, find_standard, plan_bands
from sr_geo.raster.scene import Scene
from tests.onnx_models import card, write_model
from tests.raster.products import write_raster
from tests.raster.test_enhance import RGBN

# Blocks with sharp edges are no picture that a sensor of this blur could have taken; that is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::sr_geo.errors.ConsistencyWarning")

GAIN = np.array([0.001, 1.0, 7.0, 3000.0])[:, None, None]
OFFSET = np.array([0.01, -0.3, 1000.0, -20.0])[:, None, None]


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Blocks of different brightness, alike in no two bands."""
    rng = np.random.default_rng(8)
    blocks = rng.uniform(0.0, 1.0, (4, 10, 12)).repeat(8, axis=1).repeat(8, axis=2)
    return (blocks + rng.normal(0.0, 0.02, blocks.shape)).astype(np.float32)


def model(folder: Path, **traits: object) -> Path:
    """Mixes the bands, so that gains of their own make another picture."""
    return write_model(folder / "own.onnx", card(name="own", commutes_with_gain_and_offset=False, sigma=None, **traits))


def enhanced(folder: Path, name: str, pixels: np.ndarray, path: Path, **options: object) -> np.ndarray:
    source = write_raster(folder / f"{name}.tif", pixels.astype(np.float32), descriptions=RGBN, nodata=-9e9)
    chosen = {"model": path, "psf": 2.0, "threads": 1, "device": "cpu", **options}
    enhance_raster(source, folder / f"{name}_fine.tif", Options(**chosen))  # type: ignore[arg-type]
    with rasterio.open(folder / f"{name}_fine.tif") as dataset:
        out: np.ndarray = dataset.read()
        return out


@pytest.mark.parametrize("consistency", ["psf", "off"])
def test_units_of_each_band_do_not_matter(consistency: str, pixels: np.ndarray, tmp_path: Path) -> None:
    path = model(tmp_path, standardised=True)
    plain = enhanced(tmp_path, "plain", pixels, path, consistency=consistency)
    moved = enhanced(tmp_path, "moved", pixels * GAIN + OFFSET, path, consistency=consistency)
    np.testing.assert_allclose((moved - OFFSET) / GAIN, plain, atol=2e-3)
    upscaler = open_model(path, device="cpu", threads=1)
    np.testing.assert_allclose((upscaler((pixels * GAIN + OFFSET).astype(np.float32)) - OFFSET) / GAIN, upscaler(pixels), atol=2e-3)


def test_the_test_above_would_notice(pixels: np.ndarray, tmp_path: Path) -> None:
    path = write_model(tmp_path / "plain.onnx", card(name="own", sigma=None))
    plain, moved = (enhanced(tmp_path, name, values, path) for name, values in (("plain", pixels), ("moved", pixels * GAIN + OFFSET)))
    assert np.abs((moved - OFFSET) / GAIN - plain).max() > 0.1


def test_tiles_make_up_the_whole(pixels: np.ndarray, tmp_path: Path) -> None:
    path = model(tmp_path, standardised=True)
    tiled, whole = (enhanced(tmp_path, f"by{tile}", pixels, path, tile=tile) for tile in (16, 512))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_level_and_spread_are_of_what_is_valid(pixels: np.ndarray, tmp_path: Path) -> None:
    holed = pixels.copy()
    holed[:, :30] = -9e9
    holed[2, 40:50] = -9e9  # a hole of one band counts for all
    write_raster(tmp_path / "in.tif", holed, descriptions=RGBN, nodata=-9e9)
    with Scene.open(tmp_path / "in.tif") as scene:
        taken = card(commutes_with_gain_and_offset=False, standardised=True, bands=("red", "blue"), sigma=None)
        planning = plan_bands(scene, taken, find_blurs(scene, 2.0), other_bands="guided", consistency="psf")
    valid = np.r_[30:40, 50:80]
    expected = measure_standard(pixels[[2, 0]][:, valid].reshape(2, -1))
    assert planning.standard is not None
    np.testing.assert_allclose(planning.standard.level, expected.level, rtol=1e-6)
    np.testing.assert_allclose(planning.standard.spread, expected.spread, rtol=1e-6)


def test_a_scene_without_data_has_a_standard_all_the_same(tmp_path: Path) -> None:
    write_raster(tmp_path / "in.tif", np.zeros((4, 20, 20), np.uint16), descriptions=RGBN, nodata=0)
    with Scene.open(tmp_path / "in.tif") as scene:
        taken = card(commutes_with_gain_and_offset=False, standardised=True)
        planning = plan_bands(scene, taken, find_blurs(scene, 2.0), other_bands="guided", consistency="psf")
        assert find_standard(scene, planning.bands[:2]) == Standard((0.0, 0.0), (1.0, 1.0))


def test_networks_that_commute_take_values_as_they_are() -> None:
    with pytest.raises(ValueError, match="standardised: a network that commutes"):
        card(standardised=True)
