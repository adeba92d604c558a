import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from sr_geo.errors import ParcelError, ParcelWarning
from tests.raster.fields import NORTH_UP, UTM, WHOLE, on_ground, read, save


@pytest.mark.parametrize("ending", ["gpkg", "shp", "geojson", "fgb", "gml"])
def test_formats(tmp_path: Path, ending: str) -> None:
    square = shapely.box(10, 10, 20, 20)
    path = save(tmp_path / f"fields.{ending}", [square], crs="EPSG:4326" if ending == "geojson" else UTM, crop=["wheat"])
    parcels = read(path)
    assert parcels.mask(WHOLE, NORTH_UP).sum() == 100
    assert parcels.attributes["crop"].tolist() == ["wheat"]


def test_zipped_shapefile(tmp_path: Path) -> None:
    save(tmp_path / "fields.shp", [shapely.box(10, 10, 20, 20)])
    with zipfile.ZipFile(tmp_path / "fields.zip", "w") as archive:
        for part in tmp_path.glob("fields.*"):
            if part.suffix != ".zip":
                archive.write(part, part.name)
    assert len(read(tmp_path / "fields.zip")) == 1
    assert len(read(f"/vsizip/{tmp_path / 'fields.zip'}/fields.shp")) == 1


def test_geoparquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fields.parquet"
    frame = gpd.GeoDataFrame(geometry=[on_ground(shapely.box(10, 10, 20, 20), NORTH_UP)], crs=UTM)
    if find_spec("pyarrow") is not None:
        frame.to_parquet(path)
        assert len(read(path)) == 1
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ParcelError, match="pip install pyarrow"):
        read(path)


def test_the_only_layer_with_polygons_is_taken(tmp_path: Path) -> None:
    path = save(tmp_path / "farm.gpkg", [shapely.LineString([(0, 0), (9, 9)])], layer="roads")
    save(path, [shapely.box(10, 10, 20, 20)], layer="fields")
    assert len(read(path)) == 1
    save(path, [shapely.box(30, 30, 40, 40), shapely.box(50, 50, 60, 60)], layer="gardens")
    with pytest.raises(ParcelError, match=r"farm.gpkg has 3 layers: roads, fields, gardens; expected .* --layer"):
        read(path)
    assert len(read(path, layer="gardens")) == 2
    with pytest.raises(ParcelError, match=r"has no layer 'feilds'; did you mean 'fields'\?"):
        read(path, layer="feilds")
    with pytest.raises(ParcelError, match="has no layer 'x'; expected one of: roads, fields, gardens"):
        read(path, layer="x")
    with pytest.warns(ParcelWarning), pytest.raises(ParcelError, match="none of 1 features is a polygon"):
        read(path, layer="roads")


def test_a_filter_selects_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    path = save(tmp_path / "crops.gpkg", [shapely.box(10, 10, 20, 20), shapely.box(30, 30, 40, 40)], crop=["wheat", "oats"])
    assert read(path, where="crop = 'oats'").attributes["crop"].tolist() == ["oats"]
    with pytest.raises(ParcelError, match="the filter 'no such thing' is no valid SQL"):
        read(path, where="no such thing")
    with pytest.raises(ParcelError, match="no feature in the layer meets the filter \"crop = 'rye'\"; check the condition"):
        read(path, where="crop = 'rye'")


def test_missing_files_and_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ParcelError, match="no such file"):
        read(tmp_path / "nowhere.gpkg")
    (tmp_path / "note.txt").write_text("no parcels here")
    with pytest.raises(ParcelError, match=r"note.txt: not a vector file .* save the parcels as GeoPackage"):
        read(tmp_path / "note.txt")
    (tmp_path / "plain.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ParcelError, match="without geometry"):
        read(tmp_path / "plain.csv")
    (tmp_path / "words.csv").write_text("geometry,b\n1,2\n")
    with pytest.raises(ParcelError, match=r"without geometry; .* column called WKT"):
        read(tmp_path / "words.csv")


def test_an_empty_layer_is_an_error(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[], crs=UTM).to_file(tmp_path / "none.gpkg", geometry_type="Polygon")
    with pytest.raises(ParcelError, match=r"none\.gpkg: no features in the layer"):
        read(tmp_path / "none.gpkg")


def test_a_wrong_field_names_the_nearest(tmp_path: Path) -> None:
    path = save(tmp_path / "f.gpkg", [shapely.box(10, 10, 20, 20)], crop_name=["wheat"])
    with pytest.raises(ParcelError, match=r"has no field 'cropname'; did you mean 'crop_name'\?"):
        read(path, split_by="cropname")


def test_missing_reference_systems_say_how_to_set_them(tmp_path: Path) -> None:
    bare = save(tmp_path / "bare.shp", [shapely.box(10, 10, 20, 20)], crs=None)
    with pytest.raises(ParcelError, match=r"bare.shp has no coordinate reference system, .*`ogr2ogr -a_srs"):
        read(bare)
    with pytest.raises(ParcelError, match=r"the raster has no coordinate reference system, there\.gpkg has WGS 84 / UTM zone 32N"):
        read(save(tmp_path / "there.gpkg", [shapely.box(10, 10, 20, 20)]), crs=None)


def test_all_outside_tells_both_extents(tmp_path: Path) -> None:
    path = save(tmp_path / "far.gpkg", [shapely.box(500, 10, 520, 20), shapely.box(600, 10, 620, 20)], crs="EPSG:4326")
    with pytest.raises(ParcelError) as caught:
        read(path)
    message = str(caught.value)
    assert "all 2 parcels lie outside the raster: parcels x 517400…518600 y 6247000…6247100" in message
    assert "raster x 512400…514000 y 6246000…6247200 (in WGS 84 / UTM zone 32N)" in message
    assert "\n" not in message


def test_large_layers_are_read_about_the_raster_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [shapely.box(10, 10, 20, 20), shapely.box(5000, 0, 5020, 20), shapely.box(9000, 0, 9020, 20)]
    path = save(tmp_path / "many.gpkg", boxes, crs="EPSG:4326")
    monkeypatch.setattr("sr_geo.raster.layer.LARGE_LAYER", 2)
    parcels = read(path)
    assert (len(parcels), parcels.counts.features, parcels.counts.outside) == (1, 3, 2)
