"""Roles from words, numbers, wavelengths and tags; sensors from names; default blur."""

import math

import pytest

from sr_geo.errors import OptionError
from sr_geo.raster.roles import (
    BAND_ROLES,
    DEFAULT_SIGMA,
    ROLES,
    canonical,
    checked_role,
    default_sigma,
    numbered_roles,
    roles_of,
    sensor_of,
    sensor_of_numbers,
    sensor_of_tags,
)

S2_NAMES = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]
S2_ROLES = list(BAND_ROLES["sentinel-2"].values())


@pytest.mark.parametrize(
    ("text", "role"),
    [
        # plain words, any case
        ("red", "red"),
        ("Blue", "blue"),
        ("NIR", "nir"),
        ("GREEN", "green"),
        ("Panchromatic", "pan"),
        # short names
        ("r", "red"),
        ("N", "nir"),
        # words within words
        ("Red edge 1", "rededge1"),
        ("RedEdge2", "rededge2"),
        ("red_edge_3", "rededge3"),
        ("Vegetation Red Edge", "rededge1"),
        ("Near Infrared", "nir"),
        ("near-infrared", "nir"),
        ("NearInfrared", "nir"),
        ("Shortwave infrared 2", "swir2"),
        ("SWIR 1", "swir1"),
        ("swir16", "swir1"),
        ("Narrow NIR", "nir08"),
        ("Coastal aerosol", "coastal"),
        ("coastal_blue", "coastal"),
        ("Water vapour", "watervapour"),
        ("Surface reflectance, red", "red"),
        ("thermal infrared 1", "thermal1"),
        # a word decides where a number would not
        ("B2_blue", "blue"),
        ("B5_nir", "nir"),
        ("SR_B4 (red)", "red"),
        # wavelengths
        ("B4, central wavelength 665 nm", "red"),
        ("0.842 um", "nir"),
        ("1610 nanometers", "swir1"),
        # not bands
        ("NDVI", None),
        ("red_stddev", None),
        ("cloud mask", None),
        ("red-green ratio", None),
        ("infrared/red", None),
        ("reduced", None),
        ("RGB", None),
        ("elevation", None),
        ("", None),
        # a number alone is not enough
        ("B4", None),
        ("Band 4", None),
        ("4", None),
    ],
)
def test_one_description(text: str, role: str | None) -> None:
    assert roles_of([text]) == [role]


@pytest.mark.parametrize(
    ("sensor", "role"),
    [("sentinel-2", "red"), ("landsat-8", "red"), ("landsat-9", "red"), ("landsat-7", "nir"), ("landsat-5", "nir"), ("landsat-4", "nir")],
)
@pytest.mark.parametrize("text", ["B4", "B04", "band 4", "SR_B4", "S2_B04", "L8-B4"])
def test_band_4_depends_on_the_sensor(sensor: str, role: str, text: str) -> None:
    assert roles_of([text], sensor=sensor) == [role]


def test_sentinel2_names_tell_the_sensor_by_band_8a() -> None:
    assert roles_of(S2_NAMES) == S2_ROLES
    assert roles_of([f"B{name[1:]:0>2}" for name in S2_NAMES]) == S2_ROLES
    assert roles_of(S2_NAMES, sensor="sentinel-2") == S2_ROLES


@pytest.mark.parametrize(
    ("names", "metres", "roles"),
    [
        # Sentinel-2 or OLI: both agree; nobody else writes two digits
        (["B02", "B03", "B04"], None, ["blue", "green", "red"]),
        # three sensors, two meanings
        (["B2", "B3", "B4"], None, [None, None, None]),
        (["B2", "B3", "B4"], 30.0, [None, None, None]),
        (["B4", "B3", "B2"], 10.0, ["red", "green", "blue"]),
        # B8 of every other sensor is panchromatic and has a grid of its own
        (["B2", "B3", "B4", "B8"], None, ["blue", "green", "red", "nir"]),
        (["B04", "B03", "B02", "B08"], None, ["red", "green", "blue", "nir"]),
        # B5 is red edge or near infrared
        (["B02", "B05"], None, ["blue", None]),
        (["B02", "B05"], 20.0, ["blue", "rededge1"]),
        (["B02", "B05"], 30.0, ["blue", "nir"]),
        # the position in the file is no band number
        (["Band 1", "Band 2", "Band 3"], 10.0, [None, None, None]),
        (["B1", "B2", "B3", "B4"], None, [None] * 4),
    ],
)
def test_numbers_of_an_unknown_sensor(names: list[str], metres: float | None, roles: list[str | None]) -> None:
    assert roles_of(names, metres=metres) == roles


@pytest.mark.parametrize(
    ("names", "metres", "sensor"),
    [
        (S2_NAMES, None, "sentinel-2"),
        (["B2", "B3", "B4", "B8", "SCL"], 10.0, "sentinel-2"),
        (["B02", "B05"], 30.0, "landsat-8"),
        # several fit, or all that is known is the pixel size
        (["B02", "B03", "B04"], None, None),
        (["B2", "B3", "B4"], 30.0, None),
        (["blue", "green"], 10.0, None),
        (["Band 1", "Band 2", "Band 3"], 10.0, None),
        # words that contradict the only table
        (["B2 green", "B3 red", "B4 nir"], 10.0, None),
        (["B8 near infrared", "B5 red edge", "B4 red"], 10.0, "sentinel-2"),
    ],
)
def test_numbers_that_only_one_sensor_has_tell_it(names: list[str], metres: float | None, sensor: str | None) -> None:
    assert sensor_of_numbers(names, metres) == sensor


def test_counting_names_mean_nothing_even_for_a_known_sensor() -> None:
    assert roles_of(["Band 1", "Band 2", "Band 3", "Band 4"], sensor="sentinel-2") == [None] * 4
    assert roles_of(["B1", "B2", "B3", "B4"], sensor="landsat-7") == ["blue", "green", "red", "nir"]


def test_a_number_makes_a_general_word_exact() -> None:
    assert roles_of(["B05 red edge", "B06 red edge", "B8A NIR", "B08 NIR"], sensor="sentinel-2") == ["rededge1", "rededge2", "nir08", "nir"]


def test_red_edges_without_numbers_count_up() -> None:
    assert roles_of(["red", "rededge", "rededge", "rededge", "nir"]) == ["red", "rededge1", "rededge2", "rededge3", "nir"]


def test_the_stac_name_of_landsats_near_infrared() -> None:
    assert roles_of(["red", "nir08"], sensor="landsat-8") == ["red", "nir"]
    assert roles_of(["red", "nir08"], sensor="sentinel-2") == ["red", "nir08"]


def test_rival_bands_lose_the_role() -> None:
    assert roles_of(["red 2020", "nir 2020", "red 2021"]) == [None, "nir", None]


@pytest.mark.parametrize(
    ("text", "sensor"),
    [
        ("S2B_MSIL2A_20230625T061631_N0509_R134_T32UNE.SAFE", "sentinel-2"),
        ("Sentinel-2D", "sentinel-2"),
        ("sentinel2", "sentinel-2"),
        ("T32UNE_20230625T061631_B04_10m.jp2", "sentinel-2"),
        ("HLS.S30.T32UNE.2023176.v2.0", "sentinel-2"),
        ("spain_7370579_S2_13band.tif", "sentinel-2"),
        ("LANDSAT_8", "landsat-8"),
        ("landsat-9", "landsat-9"),
        ("Landsat 7", "landsat-7"),
        ("LC08_L1TP_224078_20200518_20200518_01_RT.TIF", "landsat-8"),
        ("LC09_L2SP_160023", "landsat-9"),
        ("LE07_L1TP", "landsat-7"),
        ("LT05_L2SP", "landsat-5"),
        ("agnet_lc8_northdakota.tif", "landsat-8"),
        ("stars_L7_ETMs_6band.tif", "landsat-7"),
        ("HLS.L30.T32UNE", "landsat-8"),
        ("LM05_L1TP_MSS.tif", None),
        ("S2_and_L8_fusion.tif", None),
        ("farms2b.tif", None),
        ("m_4709963_se_14_1_20120731.tif", None),
        ("", None),
    ],
)
def test_sensor_in_a_name(text: str, sensor: str | None) -> None:
    assert sensor_of(text) == sensor


def test_sensor_in_tags() -> None:
    assert sensor_of_tags({"satellite": "Sentinel-2A", "AREA_OR_POINT": "Area"}) == "sentinel-2"
    assert sensor_of_tags({"SPACECRAFT_ID": "LANDSAT_5"}) == "landsat-5"
    assert sensor_of_tags({"comment": "like Landsat 8"}) is None


def test_every_role_is_its_own_name() -> None:
    assert all(canonical(role) == role for role in ROLES)
    assert {role for table in BAND_ROLES.values() for role in table.values()} <= set(ROLES)


def test_the_users_roles() -> None:
    assert numbered_roles({"r": 3, "g": 2, "b": 1, "nir": 4}, 4) == {2: "red", 1: "green", 0: "blue", 3: "nir"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nir": 5}, "nir=5, but the raster has 4 bands: give numbers from 1 to 4"),
        ({"r": 0}, "r=0"),
        ({"r": 1, "g": 1}, "band 1 is given as red and as green"),
        ({"r": 1, "red": 2}, "red is given twice"),
        ({"gren": 1}, "unknown band role 'gren': did you mean 'green'"),
        ({"zzz": 1}, "use one of coastal, blue"),
    ],
)
def test_user_roles_that_cannot_be(given: dict[str, int], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        numbered_roles(given, 4)


def test_checked_role_suggests() -> None:
    assert checked_role("SWIR16") == "swir1"
    with pytest.raises(OptionError, match="did you mean 'rededge1'"):
        checked_role("redege1")


def test_sigma_is_inside_what_networks_know() -> None:
    for sensor, table in DEFAULT_SIGMA.items():
        assert set(table) <= set(BAND_ROLES[sensor].values())
        for role in table:
            assert 1.0 <= default_sigma(sensor, role) <= 3.2
    assert 1.0 <= default_sigma(None, None) <= 3.2
    assert default_sigma("sentinel-2", "alpha") == default_sigma(None, "red")


def test_coarse_bands_on_their_own_grid_are_not_blurred_by_a_finer_one() -> None:
    for metres, sigma in ((None, 3.2), (10.0, 3.2), (20.0, 1.6), (19.9, 1.6), (60.0, 1.6)):
        assert default_sigma("sentinel-2", "swir1", metres=metres) == sigma
    assert default_sigma("sentinel-2", "coastal", metres=20.0) == 3.2
    assert default_sigma("sentinel-2", "red", metres=20.0) == default_sigma("sentinel-2", "red")
    assert default_sigma("landsat-8", "thermal1", metres=30.0) == 3.2


def test_sigma_is_in_output_pixels_of_the_scale() -> None:
    for sensor, role in ((None, None), ("sentinel-2", "red"), ("landsat-8", "thermal1")):
        at_four = default_sigma(sensor, role)
        assert [default_sigma(sensor, role, scale=scale) for scale in (2, 4, 8)] == [at_four / 2, at_four, 2 * at_four]


@pytest.mark.parametrize(
    ("sensor", "role", "least", "most"),
    [("sentinel-2", "red", 0.2, 0.3), ("sentinel-2", "nir", 0.2, 0.3), ("landsat-8", "red", 0.3, 0.45), ("landsat-8", "nir", 0.25, 0.4)],
)
def test_sigma_agrees_with_published_mtf(sensor: str, role: str, least: float, most: float) -> None:
    assert least <= 0.64 * math.exp(-0.31 * default_sigma(sensor, role) ** 2) <= most
