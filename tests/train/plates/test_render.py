"""Plates say what they are said to say, in the format of their country."""

import re
from zlib import crc32

import numpy as np
import pytest

from sr_geo.train.plates import render_plate
from sr_geo.train.plates.flat import draw_flat, read_text, write_text
from sr_geo.train.plates.fonts import Face, families
from sr_geo.train.plates.layouts import CYRILLIC_LOOK, LAYOUTS
from sr_geo.train.plates.render import _homography

pytest.importorskip("fontpkg_overpass", reason="plates need their fonts")

FORMATS = {
    "kz": r"\d{3}[A-Z]{2,3}(0[1-9]|1\d|20)",
    "ru": rf"[{CYRILLIC_LOOK}]\d{{3}}[{CYRILLIC_LOOK}]{{2}}\d{{2,3}}",
    "germany": r"[A-Z]{1,3}[A-Z]{1,2}\d{2,4}",
    "poland": r"[A-Z]{2}(\d{5}|\d{4}[A-Z]|\d{3}[A-Z]{2})",
    "france": r"[A-Z]{2}\d{3}[A-Z]{2}",
    "italy": r"[A-Z]{2}\d{3}[A-Z]{2}",
    "spain": r"\d{4}[B-DF-HJ-NP-TV-Z]{3}",
    "california": r"\d[A-Z]{3}\d{3}",
    "ohio": r"[A-Z]{3}\d{4}",
    "br": r"[A-Z]{3}\d{4}",
}


@pytest.mark.parametrize("country", LAYOUTS)
def test_texts_follow_the_format(country: str) -> None:
    rng = np.random.default_rng(0)
    for layout in LAYOUTS[country]:
        pattern = FORMATS.get(layout.name, FORMATS.get(country, r"[A-Z0-9]{5,8}"))
        texts = [read_text(write_text(layout, rng)) for _ in range(40)]
        assert all(re.fullmatch(pattern, text) for text in texts), (layout.name, texts)
        assert len(set(texts)) > 35


@pytest.mark.parametrize("country", LAYOUTS)
def test_characters_are_on_the_plate_and_apart(country: str) -> None:
    rng = np.random.default_rng(1)
    for layout in LAYOUTS[country]:
        for family in families(narrow=layout.narrow):
            written, face = write_text(layout, rng), Face(family, "SemiBold")
            flat = draw_flat(layout, written, scale=2.0, face=face, stretch=1.08)
            assert flat.colour.shape[:2] == flat.relief.shape == tuple(round(2 * side) for side in layout.size[::-1])
            assert 0 <= flat.colour.min() <= flat.colour.max() <= 1
            blank = draw_flat(layout, [[" " * len(word) for word in words] for words in written], scale=2.0, face=face, stretch=1.0)
            ink = np.clip(flat.relief - blank.relief, 0, 1)
            rows = np.flatnonzero(ink.max(1) > 0.5)
            assert rows[0] > 10
            assert rows[-1] < ink.shape[0] - 10
            # Seen from above, every character is one stretch of ink; none runs into its neighbour.
            columns = ink.max(0) > 0.5
            stretches = int(columns[0]) + int((np.diff(columns.astype(int)) > 0).sum())
            assert stretches == len("".join(word for words in written for word in words).replace(" ", "")), (layout.name, family)


def test_the_same_seed_renders_the_same_plate() -> None:
    first, again = (render_plate(np.random.default_rng([3, 4]), size=(64, 96), width=80.0) for _ in range(2))
    assert first.text == again.text
    np.testing.assert_array_equal(first.picture, again.picture)
    assert first.picture.shape == (3, 64, 96)
    assert first.picture.dtype == np.float32
    assert 0 <= first.picture.min() <= first.picture.max() <= 1


def test_held_out_texts_are_never_trained_on() -> None:
    for seed in range(12):
        for held_out in (False, True):
            plate = render_plate(np.random.default_rng(seed), size=(16, 16), width=20.0, held_out=held_out)
            assert (crc32(plate.text.encode()) % 10 == 0) == held_out


def test_countries_are_those_asked_for() -> None:
    seen = {render_plate(np.random.default_rng(seed), size=(16, 16), width=20.0, countries=("ru", "us")).country for seed in range(20)}
    assert seen == {"ru", "us"}


def test_a_centred_plate_is_whole_and_brighter_inside_than_its_rim() -> None:
    for seed in range(10):
        plate = render_plate(np.random.default_rng(seed), size=(100, 200), width=130.0, centred=True)
        assert (plate.corners > 0).all()
        assert (plate.corners < [200, 100]).all()
        assert plate.corners.mean(0) == pytest.approx([100, 50], abs=1e-6)


def test_homographies_take_corners_to_corners() -> None:
    source = np.array([[0.0, 0.0], [10.0, 1.0], [11.0, 7.0], [-1.0, 6.0]])
    target = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 50.0], [0.0, 50.0]])
    moved = np.c_[source, np.ones(4)] @ _homography(source, target).T
    np.testing.assert_allclose(moved[:, :2] / moved[:, 2:], target, atol=1e-9)
