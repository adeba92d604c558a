"""Stored values ↔ 0…1: by the stored bits, whatever a picture holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_geo.imaging.dicom_values import StoredRange, stored_range

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")


def header(**values: object) -> "pydicom.Dataset":
    made = pydicom.Dataset()
    fields: dict[str, object] = {"BitsAllocated": 16, "BitsStored": 12, "PhotometricInterpretation": "MONOCHROME2"}
    for name, value in (fields | values).items():
        setattr(made, name, value)
    return made


@given(bits=st.integers(2, 16), signed=st.booleans(), inverted=st.booleans(), seed=st.integers(0, 99))
def test_there_and_back_is_the_same(bits: int, signed: bool, inverted: bool, seed: int) -> None:
    photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
    span = stored_range(header(BitsStored=bits, PixelRepresentation=int(signed), PhotometricInterpretation=photometric))
    dtype = np.dtype("i2" if signed else "u2")
    stored = np.random.default_rng(seed).integers(span.low, span.high + 1, (5, 7)).astype(dtype)
    stored[0, :2] = span.low, span.high
    values = span.network(stored)
    assert values.dtype == np.float32
    assert 0.0 <= values.min() <= values.max() <= 1.0
    assert values[0, 0] == float(inverted)
    np.testing.assert_array_equal(span.stored(values, dtype), stored)


@pytest.mark.parametrize(
    ("bits", "signed", "low", "high"), [(8, 0, 0, 255), (12, 0, 0, 4095), (12, 1, -2048, 2047), (16, 1, -32768, 32767), (16, 0, 0, 65535)]
)
def test_the_range_is_that_of_the_stored_bits(bits: int, signed: int, low: int, high: int) -> None:
    span = stored_range(header(BitsStored=bits, PixelRepresentation=signed))
    assert (span.low, span.high) == (low, high)


def test_results_beyond_the_stored_bits_are_cut() -> None:
    span = StoredRange(0, 4095)
    np.testing.assert_array_equal(span.stored(np.array([-0.3, 1.2], np.float32), np.dtype("u2")), [0, 4095])


@pytest.mark.parametrize(
    ("value", "limit", "signed", "expected"),
    [
        (0, None, 0, (0, 0)),
        (-2000, None, 1, (-2000, -2000)),
        (63536, None, 1, (-2000, -2000)),  # −2000 as some writers state it
        (-1, None, 0, (65535, 65535)),
        (4095, 4000, 0, (4000, 4095)),
    ],
)
def test_padding(value: int, limit: int | None, signed: int, expected: tuple[int, int]) -> None:
    made = header(BitsStored=16, PixelRepresentation=signed)
    made.add_new(0x00280120, "SS" if value < 0 else "US", value)
    if limit is not None:
        made.add_new(0x00280121, "US", limit)
    assert stored_range(made).padding == expected


def test_nothing_becomes_padding_by_chance() -> None:
    span = StoredRange(0, 255, padding=(0, 9))
    stored = span.stored(np.linspace(-0.1, 1.1, 500, dtype=np.float32), np.dtype("u1"))
    assert (stored.min(), stored.max()) == (10, 255)
    middle = StoredRange(-128, 127, padding=(-2, 2))
    values = middle.network(np.array([-2, -1, 0, 1, 2], np.int8))
    np.testing.assert_array_equal(middle.stored(values, np.dtype("i1")), [-3, -3, 3, 3, 3])
    top = StoredRange(0, 255, padding=(250, 255))
    assert top.stored(np.ones(1, np.float32), np.dtype("u1")) == 249


def test_values_beyond_the_stored_bits_are_told_but_for_padding() -> None:
    span = StoredRange(0, 4095, padding=(5000, 5000))
    span.check(np.array([0, 4095, 5000], np.uint16))
    with pytest.raises(ValueError, match="0…4096, its stored bits end at 0 and 4095"):
        span.check(np.array([0, 4096, 5000], np.uint16))


def test_bits_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="17 bits stored of 16"):
        stored_range(header(BitsStored=17))
