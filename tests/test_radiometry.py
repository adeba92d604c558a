import numpy as np
import pytest

from sr_geo.radiometry import Encoding, Standard, default_encoding, fill_invalid, hole_value, measure_standard, to_stored

INTEGERS = ["uint8", "int8", "uint16", "int16"]
WIDE = ["uint32", "int32", "uint64", "int64"]


def stored(values: list[float], dtype: str, nodata: float | None = None, valid: list[bool] | None = None) -> list[float]:
    array = np.array(values, np.float32)
    mask = np.ones(len(values), bool) if valid is None else np.array(valid)
    out = to_stored(array, mask, dtype=dtype, nodata=nodata)
    assert out.dtype == np.dtype(dtype)
    return out.tolist()


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("encoding", [None, Encoding(1e-4, -0.1), Encoding(2.75e-5, -0.2), Encoding(-0.5, 3.0)])
def test_every_stored_value_of_16_bits_comes_back(dtype: str, encoding: Encoding | None) -> None:
    limits = np.iinfo(dtype)
    every = np.arange(limits.min, limits.max + 1).astype(dtype)
    chosen = encoding or default_encoding(dtype)
    again = to_stored(chosen.encode(chosen.decode(every)), np.ones(every.shape, bool), dtype=dtype, nodata=None)
    np.testing.assert_array_equal(again, every)


@pytest.mark.parametrize("dtype", WIDE)
def test_whole_numbers_of_wide_types_come_back_up_to_24_bits(dtype: str) -> None:
    values = np.array([0, 1, 2**16, 2**24 - 1, 2**24], dtype)
    out = to_stored(values.astype(np.float32), np.ones(5, bool), dtype=dtype, nodata=None)
    np.testing.assert_array_equal(out, values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_come_back(dtype: str) -> None:
    values = np.array([-1.5, 0.0, 1e-30, 3e38, -np.inf, np.inf], np.float32)
    out = to_stored(values, np.ones(6, bool), dtype=dtype, nodata=None)
    np.testing.assert_array_equal(out, values.astype(dtype))


@pytest.mark.parametrize("dtype", INTEGERS + WIDE)
def test_integers_saturate_instead_of_wrapping(dtype: str) -> None:
    limits = np.iinfo(dtype)
    low, high = to_stored(np.array([-np.inf, np.inf], np.float32), np.ones(2, bool), dtype=dtype, nodata=None)
    assert int(low) == limits.min
    assert limits.max - int(high) < 2 ** max(0, 8 * np.dtype(dtype).itemsize - 53)
    assert stored([-1e30], dtype) == [limits.min]


@pytest.mark.parametrize(
    ("dtype", "nodata", "values", "expected"),
    [
        # a dark or bright valid pixel does not become a hole
        ("uint8", 0, [0.0, 0.4, -3.0, 1.0], [1, 1, 1, 1]),
        ("uint16", 0, [0.0, 2.0], [1, 2]),
        ("uint8", 255, [255.0, 300.0, 254.4], [254, 254, 254]),
        ("int16", -32768, [-32768.0, -40000.0], [-32767, -32767]),
        ("int16", 32767, [1e9], [32766]),
        ("int16", -9999, [-9999.2, -9998.0], [-9998, -9998]),
        # nodata that the type cannot hold takes no value away
        ("uint8", -9999, [0.0, 255.0], [0, 255]),
        ("uint8", 256, [255.0], [255]),
        ("uint16", float("nan"), [0.0, 65535.0], [0, 65535]),
        ("int16", 0.5, [0.0, 1.0], [0, 1]),
    ],
)
def test_valid_pixels_are_never_nodata(dtype: str, nodata: float, values: list[float], expected: list[float]) -> None:
    assert stored(values, dtype, nodata) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", [0.0, -9999.0, float(np.finfo(np.float32).max), -float(np.finfo(np.float32).max)])
def test_valid_floats_are_never_nodata_and_stay_near(dtype: str, nodata: float) -> None:
    out = to_stored(np.array([nodata], np.float32), np.ones(1, bool), dtype=dtype, nodata=nodata)[0]
    assert out != nodata
    assert np.isfinite(out)
    assert out == pytest.approx(nodata, rel=1e-6, abs=1e-30)


@pytest.mark.parametrize(
    ("dtype", "nodata", "hole"),
    [
        ("uint8", 7, 7),
        ("uint8", None, 0),
        ("uint8", -1, 0),
        ("uint8", float("nan"), 0),
        ("uint8", 0.5, 0),
        ("uint8", float("inf"), 0),
        ("int64", -(2**63), -(2**63)),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("float32", -9999.0, -9999.0),
        ("float32", None, float("nan")),
        ("float32", float("nan"), float("nan")),
        ("float32", -np.inf, -np.inf),
        ("float32", 1e300, float("nan")),  # beyond float32
        ("float64", 1e300, 1e300),
    ],
)
def test_holes_hold_nodata_where_the_type_can(dtype: str, nodata: float | None, hole: float) -> None:
    np.testing.assert_array_equal(hole_value(dtype, nodata), hole)
    out = to_stored(np.array([np.nan, 3.0], np.float32), np.array([False, True]), dtype=dtype, nodata=nodata)
    np.testing.assert_array_equal(out, np.array([hole, 3], dtype))


def test_decoding_is_silent_about_nodata_beyond_float32() -> None:
    values = Encoding(scale=2.0, offset=1.0).decode(np.array([-1.7976931348623157e308, 3.4e38, 1.0]))
    assert values.dtype == np.float32
    assert values.tolist() == [-np.inf, np.inf, 3.0]


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"scale": float("nan")}, {"offset": float("inf")}])
def test_encodings_that_lose_everything_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        Encoding(**bad)


def test_filling_takes_a_nearest_valid_pixel() -> None:
    rng = np.random.default_rng(1)
    for share in (0.02, 0.3, 0.9):
        valid = rng.random((23, 31)) < share
        valid[4, 5] = True
        values = np.arange(23 * 31, dtype=np.float32).reshape(23, 31)
        filled = fill_invalid(values, valid)
        np.testing.assert_array_equal(filled[valid], values[valid])
        places = np.argwhere(valid)
        for row, column in np.argwhere(~valid):
            distance = np.abs(places - (row, column)).max(axis=1)
            assert filled[row, column] in values[tuple(places[distance == distance.min()].T)]


def test_filling_depends_on_nothing_further_than_the_nearest_valid_pixel() -> None:
    from scipy.ndimage import distance_transform_cdt

    rng = np.random.default_rng(2)
    for _ in range(30):
        valid = rng.random((30, 34)) < 0.05
        values = rng.random((30, 34)).astype(np.float32)
        filled = fill_invalid(values, valid)
        row, column = rng.integers(0, 12, 2)
        crop = (slice(row, row + 16), slice(column, column + 18))
        if not valid[crop].any():
            continue
        distance = distance_transform_cdt(~valid, metric="chessboard")[crop]
        rows, columns = np.indices(distance.shape)
        border = np.minimum(np.minimum(rows, 15 - rows), np.minimum(columns, 17 - columns))
        inside = distance <= border
        np.testing.assert_array_equal(fill_invalid(values[crop], valid[crop])[inside], filled[crop][inside])


def test_filling_with_nothing_or_all_valid() -> None:
    values = np.ones((3, 4), np.float32)
    assert fill_invalid(values, np.ones((3, 4), bool)) is values
    assert (fill_invalid(values, np.zeros((3, 4), bool)) == 0.0).all()


def test_level_and_spread_of_a_normal_distribution() -> None:
    values = np.random.default_rng(0).normal((5.0, -200.0), (0.1, 30.0), (200_000, 2)).T.astype(np.float32)
    values[1, :2_000] = 1e6  # a cloud
    standard = measure_standard(values)
    np.testing.assert_allclose(standard.level, (5.0, -200.0), rtol=0.01)
    np.testing.assert_allclose(standard.spread, (0.1, 30.0), rtol=0.03)
    planes = values.reshape(2, 400, 500)
    np.testing.assert_allclose(standard.undo(standard.apply(planes)), planes, rtol=1e-5)
    assert np.median(standard.apply(planes)[0]) == pytest.approx(0.0, abs=1e-5)


def test_level_and_spread_where_most_values_are_the_same() -> None:
    values = np.array([[3] * 90 + [7] * 10, [4] * 100], np.uint16)
    assert measure_standard(values) == Standard((3.0, 4.0), (pytest.approx(1.2), 1.0))
    assert measure_standard(np.empty((1, 0))) == Standard((0.0,), (1.0,))
