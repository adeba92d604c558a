from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from sr_geo.errors import ParcelWarning
from sr_geo.raster.features import file_names
from sr_geo.raster.parcels import ParcelCounts, in_pixels
from tests.raster.fields import NORTH_UP, UTM, WHOLE, on_ground, read, save

# --- repairs, what is left out ---


def test_a_bow_tie_keeps_both_halves(tmp_path: Path) -> None:
    bow = shapely.Polygon([(10, 10), (50, 50), (50, 10), (10, 50)])
    with pytest.warns(ParcelWarning, match=r"1 of 2 features of bow.gpkg had invalid outlines: repaired"):
        parcels = read(save(tmp_path / "bow.gpkg", [bow, shapely.box(70, 70, 80, 80)]))
    assert parcels.counts.repaired == 1
    assert shapely.is_valid(parcels.geometries).all()
    assert shapely.area(in_pixels(parcels.geometries, ~NORTH_UP))[0] == pytest.approx(800, rel=1e-6)


def test_overlapping_parts_of_one_parcel_do_not_cut_a_hole(tmp_path: Path) -> None:
    twice = shapely.MultiPolygon([shapely.box(0, 0, 10, 10), shapely.box(5, 5, 15, 15)])
    with pytest.warns(ParcelWarning, match="repaired"):
        assert read(save(tmp_path / "twice.gpkg", [twice])).mask(WHOLE, NORTH_UP).sum() == 175


def test_lines_points_and_empty_features_are_left_out_and_counted(tmp_path: Path) -> None:
    mixed = shapely.GeometryCollection([shapely.box(60, 60, 70, 70), shapely.Point(5, 5)])
    shapes = [shapely.box(10, 10, 20, 20), shapely.LineString([(0, 0), (9, 9)]), shapely.Point(3, 3), None, mixed]
    with pytest.warns(ParcelWarning) as caught:
        parcels = read(save(tmp_path / "mixed.gpkg", shapes, id=list("abcde")))
    assert [str(one.message) for one in caught] == [
        "2 of 5 features of mixed.gpkg are no polygons: left out",
        "1 of 5 features of mixed.gpkg have no geometry: left out",
    ]
    assert (parcels.ids, parcels.counts) == (("a", "e"), ParcelCounts(5, not_polygons=2, empty=1))
    assert parcels.geometries[1].geom_type == "Polygon"


def test_heights_are_dropped(tmp_path: Path) -> None:
    parcels = read(save(tmp_path / "z.gpkg", [shapely.force_3d(shapely.box(10, 10, 20, 20), 7.0)]))
    assert not shapely.has_z(parcels.geometries).any()


def test_parcels_outside_are_named_and_left_out(tmp_path: Path) -> None:
    boxes = [shapely.box(10, 10, 20, 20), shapely.box(-20, 0, 0, 20), shapely.box(500, 0, 520, 20)]  # the second one only touches
    with pytest.warns(ParcelWarning, match=r"outside the raster and left out: 2 parcels \(b, c\)"):
        parcels = read(save(tmp_path / "far.gpkg", boxes, id=["a", "b", "c"]))
    assert (parcels.ids, parcels.counts.outside, len(parcels)) == (("a",), 2, 1)


def test_a_long_list_of_names_is_cut(tmp_path: Path) -> None:
    boxes = [shapely.box(10, 10, 20, 20), *(shapely.box(500 + 9 * i, 0, 508 + 9 * i, 8) for i in range(8))]
    with pytest.warns(ParcelWarning, match=r"8 parcels \(2, 3, 4, 5, 6 and 3 more\)"):
        read(save(tmp_path / "far.gpkg", boxes))


def test_parcels_that_the_rasters_crs_cannot_show_are_outside(tmp_path: Path) -> None:
    here = gpd.GeoSeries([on_ground(shapely.box(10, 10, 20, 20), NORTH_UP)], crs=UTM).to_crs(4326)[0]
    gpd.GeoDataFrame({"id": ["here", "antipode"]}, geometry=[here, shapely.box(-171, -10, -170, 10)], crs=4326).to_file(
        tmp_path / "world.gpkg"
    )
    with pytest.warns(ParcelWarning, match="antipode"):
        assert read(tmp_path / "world.gpkg").ids == ("here",)


# --- ids, names, columns ---


def test_ids_come_from_id_or_fid_where_they_tell_features_apart(tmp_path: Path) -> None:
    boxes = [shapely.box(10, 10, 20, 20), shapely.box(30, 30, 40, 40)]
    assert read(save(tmp_path / "a.gpkg", boxes, ID=["k1", "k2"])).ids == ("k1", "k2")
    assert read(save(tmp_path / "b.gpkg", boxes, id=["k1", "k1"])).ids == ("1", "2")  # GeoPackage counts from 1
    assert read(save(tmp_path / "c.geojson", boxes, crs="EPSG:4326", fid=[7, 9])).ids == ("7", "9")


def test_split_by_joins_equal_values_and_names_the_missing(tmp_path: Path) -> None:
    boxes = [shapely.box(10 * i, 0, 10 * i + 10, 10) for i in range(5)]
    path = save(
        tmp_path / "crops.gpkg", boxes, crop=["wheat", None, "wheat", "арпа/1", "wheat"], farm=["A", "A", "A", "B", "A"], n=[1, 2, 3, 4, 5]
    )
    parcels = read(path, split_by="crop")
    assert parcels.ids == ("wheat", "no_crop", "арпа/1")
    assert parcels.names == ("wheat", "no_crop", "арпа_1")
    assert parcels.mask(WHOLE, NORTH_UP, only=[0]).sum() == 300
    assert parcels.attributes["farm"].tolist() == ["A", "A", "B"]
    assert parcels.attributes["n"].isna().tolist() == [True, False, False]


def test_whole_numbers_with_gaps_keep_their_form(tmp_path: Path) -> None:
    boxes = [shapely.box(10 * i, 0, 10 * i + 10, 10) for i in range(3)]
    assert read(save(tmp_path / "n.gpkg", boxes, field=[101.0, None, 103.0]), split_by="field").ids == ("101", "no_field", "103")


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["a/b", "a\\b", "a:b"], ("a_b", "a_b_2", "a_b_3")),  # collisions after cleaning
        (["Field", "field"], ("Field", "field_2")),  # one file on Windows and macOS
        (["a_2", "a", "A"], ("a_2", "a", "A_3")),  # a suffix that is taken
        (["..", "", "../../etc/passwd", "/"], ("unnamed", "unnamed_2", "etc_passwd", "unnamed_3")),  # no way out of the folder
        (["con", "COM1.tif", "nul"], ("_con", "_COM1.tif", "_nul")),  # devices of Windows
        (["Жер 12", "Græs, 1. år", "田"], ("Жер_12", "Græs,_1._år", "田")),
        (["a\x00b\n", "e\u0301"], ("a_b", "\u00e9")),  # control characters, composed letters
    ],
)
def test_file_names(values: list[str], names: tuple[str, ...]) -> None:
    assert file_names(values) == names


@given(st.lists(st.text(max_size=200), max_size=12))
def test_file_names_are_unique_and_safe(values: list[str]) -> None:
    names = file_names(values)
    assert len({name.casefold() for name in names}) == len(values)
    for name in names:
        assert name
        assert len(name.encode()) < 140
        assert not set(name) & set('<>:"/\\|?*\0\n')
        assert name.strip(". ") == name
