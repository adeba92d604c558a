import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from sr_geo.grid import TilePlan, Window, finer, shifted

sizes = st.integers(1, 40)
windows = st.builds(Window, st.integers(-20, 40), st.integers(-20, 40), st.integers(0, 40), st.integers(0, 40))
plans = st.builds(TilePlan, sizes, sizes, st.integers(1, 17))
transforms = st.sampled_from(
    [
        Affine(10.0, 0.0, 500000.0, 0.0, -10.0, 4600000.0),
        Affine(10.0, 0.0, 500000.0, 0.0, 10.0, 4500000.0),  # south-up
        Affine.translation(700000.0, 7200000.0) @ Affine.rotation(33.0) @ Affine.scale(30.0, -30.0),
        Affine(2.7e-4, 1.0e-5, 26.1, -2.0e-5, -2.7e-4, 44.4),  # sheared, degrees
    ]
)


@given(plans)
def test_tiles_partition_the_raster(plan: TilePlan) -> None:
    count = np.zeros((plan.height, plan.width), int)
    for tile in plan:
        assert not tile.empty
        count[tile.slices()] += 1
    assert (count == 1).all()
    assert len(list(plan)) == len(plan) == plan.rows * plan.columns


@given(plans, windows)
def test_touching_is_what_a_search_through_all_tiles_finds(plan: TilePlan, window: Window) -> None:
    assert plan.touching(window) == [index for index in range(len(plan)) if not plan[index].intersection(window).empty]


@given(windows, windows)
def test_an_intersection_holds_the_pixels_of_both(one: Window, other: Window) -> None:
    def pixels(window: Window) -> set[tuple[int, int]]:
        return {(r, c) for r in range(window.row, window.row_stop) for c in range(window.column, window.column_stop)}

    assert pixels(one.intersection(other)) == pixels(one) & pixels(other)


@given(windows, windows, st.integers(2, 8))
def test_scaling_commutes_with_intersection_and_shift(one: Window, other: Window, scale: int) -> None:
    assert one.intersection(other).scaled(scale) == one.scaled(scale).intersection(other.scaled(scale))
    assert one.relative_to(other).scaled(scale) == one.scaled(scale).relative_to(other.scaled(scale))


@given(windows, st.integers(0, 9))
def test_padding_is_undone_by_its_negative(window: Window, margin: int) -> None:
    assert window.padded(margin).padded(-margin) == window


@given(transforms, windows, st.integers(2, 8))
def test_the_finer_grid_has_the_same_corners(transform: Affine, window: Window, scale: int) -> None:
    coarse, fine = shifted(transform, window), shifted(finer(transform, scale), window.scaled(scale))
    for row, column in ((0, 0), (0, window.width), (window.height, 0), (window.height, window.width)):
        ground = transform @ (window.column + column, window.row + row)
        assert coarse @ (column, row) == pytest.approx(ground, rel=1e-12)
        assert fine @ (scale * column, scale * row) == pytest.approx(ground, rel=1e-12)


@given(transforms)
def test_the_first_corner_stays_to_the_last_bit(transform: Affine) -> None:
    fine = finer(transform, 4)
    assert (fine.c, fine.f) == (transform.c, transform.f)
    assert (4.0 * fine.a, 4.0 * fine.b, 4.0 * fine.d, 4.0 * fine.e) == (transform.a, transform.b, transform.d, transform.e)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Window(0, 0, 3, -1)
    with pytest.raises(ValueError, match="starts before"):
        Window(-1, 0, 3, 3).slices()
    with pytest.raises(ValueError, match="positive"):
        TilePlan(0, 5, 4)
    with pytest.raises(IndexError):
        TilePlan(5, 5, 4)[4]
