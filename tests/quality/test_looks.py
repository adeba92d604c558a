"""What LPIPS and DISTS are taken of: pictures without a gap, of the bands that are shown."""

import numpy as np
import pytest

from sr_geo.grid import Window
from sr_geo.quality.looks import SMALLEST, whole_parts


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
