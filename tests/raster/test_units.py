from dataclasses import replace

import pytest

from sr_geo.radiometry import Encoding
from sr_geo.raster.bands import Band
from sr_geo.raster.units import common_unit, described_unit, unit_of

RED = Band("red", "", Encoding(1e-4, -0.1), "uint16", "red", "", None, stated=True)


def test_a_unit_is_named_only_where_the_file_states_the_encoding() -> None:
    assert unit_of(RED) == "reflectance"
    assert unit_of(replace(RED, stated=False)) == ""
    assert unit_of(replace(RED, unit="mW", stated=False)) == ""
    assert unit_of(replace(RED, unit="W/(m2 sr um)")) == "W/(m2 sr um)"


@pytest.mark.parametrize("role", [None, "thermal1"])
def test_what_reflects_nothing_or_is_unknown_is_no_reflectance(role: str | None) -> None:
    assert unit_of(replace(RED, role=role)) == ""
    assert unit_of(replace(RED, role=role, unit="K")) == "K"


def test_bands_share_a_unit_or_have_none_together() -> None:
    kelvin = replace(RED, role="thermal1", unit="K")
    assert common_unit([RED, RED]) == "reflectance"
    assert common_unit([RED, kelvin]) == common_unit([RED, replace(RED, stated=False)]) == common_unit([]) == ""


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (Encoding(1e-4), "stored value ÷ 10000"),
        (Encoding(1 / 255), "stored value ÷ 255"),
        (Encoding(), "stored value"),
        (Encoding(2e-5, -0.1), "stored value ÷ 50000 − 0.1"),
        (Encoding(10.0, 5.0), "stored value × 10 + 5"),
    ],
)
def test_without_a_unit_a_reader_is_told_how_the_values_come_about(encoding: Encoding, words: str) -> None:
    assert described_unit(replace(RED, encoding=encoding, stated=False)) == words
