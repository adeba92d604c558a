"""Layers become files: the file itself where it says the same, a copy where not, a clear word where neither will do."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeedback,
    QgsGeometry,
    QgsRasterLayer,
    QgsRasterRange,
    QgsRectangle,
    QgsVectorLayer,
)

from sr_geo_plugin.layers import raster_source, roles_of_names
from sr_geo_plugin.polygons import polygons_file, rectangle_file
from sr_geo_plugin.worker import Cancelled, WorkerError
from tests.qgis.conftest import SAMPLE

FARM = SAMPLE / "rendered_farm.tif"


@pytest.fixture
def farm() -> QgsRasterLayer:
    layer = QgsRasterLayer(str(FARM), "farm")
    assert layer.isValid()
    return layer


@pytest.fixture
def parcels() -> QgsVectorLayer:
    layer = QgsVectorLayer(str(SAMPLE / "rendered_farm_parcels.geojson"), "parcels")
    assert layer.isValid()
    return layer


@pytest.fixture
def memory() -> QgsVectorLayer:
    layer = QgsVectorLayer("Polygon?crs=EPSG:32642&field=fid:string&field=crop:string", "drawn", "memory")
    for name in ("1", "1"):
        feature = QgsFeature(layer.fields())
        feature.setAttributes([name, "пшеница"])
        feature.setGeometry(QgsGeometry.fromWkt("POLYGON((0 0, 10 0, 10 10, 0 10, 0 0))"))
        layer.dataProvider().addFeature(feature)
    return layer


def values(path: "str | Path") -> bytes:
    raster = gdal.Open(str(path))
    return raster.ReadRaster()


def test_a_file_is_taken_as_it_is(farm: QgsRasterLayer, tmp_path: Path) -> None:
    source = raster_source(farm, tmp_path)
    assert (source.path, source.copied, source.options) == (str(FARM), False, [])
    assert list(tmp_path.iterdir()) == []


def test_a_layer_of_a_geopackage_is_named(farm: QgsRasterLayer, tmp_path: Path) -> None:
    gdal.Translate(
        str(tmp_path / "two.gpkg"),
        str(FARM),
        format="GPKG",
        outputType=gdal.GDT_Byte,
        bandList=[1, 2, 3],
        creationOptions=["RASTER_TABLE=a"],
    )
    options = ["RASTER_TABLE=b", "APPEND_SUBDATASET=YES"]
    gdal.Translate(
        str(tmp_path / "two.gpkg"), str(FARM), format="GPKG", outputType=gdal.GDT_Byte, bandList=[1, 2, 3], creationOptions=options
    )
    layer = QgsRasterLayer(f"GPKG:{tmp_path / 'two.gpkg'}:b", "b")
    assert layer.isValid()
    source = raster_source(layer, tmp_path)
    assert source.path == f"GPKG:{tmp_path / 'two.gpkg'}:b"
    assert gdal.Open(source.path).RasterCount >= 3


def test_a_raster_in_memory_is_copied(tmp_path: Path) -> None:
    gdal.Translate("/vsimem/farm.tif", str(FARM))
    try:
        source = raster_source(QgsRasterLayer("/vsimem/farm.tif", "memory"), tmp_path, feedback=QgsFeedback())
    finally:
        gdal.Unlink("/vsimem/farm.tif")
    assert source.copied
    assert values(source.path) == values(FARM)
    assert source.bands == {"blue": 1, "green": 2, "red": 3, "nir": 4}
    one, other = gdal.Open(source.path), gdal.Open(str(FARM))
    assert [one.GetRasterBand(number).GetDescription() for number in (1, 4)] == [
        other.GetRasterBand(number).GetDescription() for number in (1, 4)
    ]
    assert one.GetGeoTransform() == pytest.approx(other.GetGeoTransform())
    assert one.GetRasterBand(1).DataType == other.GetRasterBand(1).DataType
    assert one.GetRasterBand(1).GetNoDataValue() == other.GetRasterBand(1).GetNoDataValue()


@pytest.fixture
def reflectance() -> Iterator[QgsRasterLayer]:
    """Numbers of Sentinel-2 since 2022 in memory: 0 is no data, 1000 is a reflectance of 0."""
    raster = gdal.GetDriverByName("GTiff").Create("/vsimem/scaled.tif", 4, 4, 1, gdal.GDT_UInt16)
    raster.SetGeoTransform((500000, 10, 0, 5000000, 0, -10))
    raster.SetProjection(QgsCoordinateReferenceSystem("EPSG:32642").toWkt())
    band = raster.GetRasterBand(1)
    band.SetNoDataValue(0)
    band.WriteRaster(0, 0, 4, 4, np.array([[0, 1000, 2000, 3000]] * 4, "<u2").tobytes())
    band.SetScale(0.0001)
    band.SetOffset(-0.1)
    del band, raster
    yield QgsRasterLayer("/vsimem/scaled.tif", "scaled")
    gdal.Unlink("/vsimem/scaled.tif")


@pytest.mark.parametrize("exceptions", [False, True])
def test_a_copy_keeps_numbers_scale_and_holes(reflectance: QgsRasterLayer, tmp_path: Path, *, exceptions: bool) -> None:
    """Also where another plugin has told GDAL to raise exceptions. As scaled numbers, 1000 would turn into the nodata value."""
    reflectance.setCrs(QgsCoordinateReferenceSystem("EPSG:32643"))
    if exceptions:
        gdal.UseExceptions()
    try:
        copy = gdal.Open(raster_source(reflectance, tmp_path).path)
    finally:
        gdal.DontUseExceptions()
    band = copy.GetRasterBand(1)
    assert (band.DataType, band.GetNoDataValue(), band.GetScale(), band.GetOffset()) == (gdal.GDT_UInt16, 0, 0.0001, -0.1)
    assert np.frombuffer(band.ReadRaster(0, 0, 4, 1), "<u2").tolist() == [0, 1000, 2000, 3000]
    assert QgsRasterLayer(copy.GetDescription()).crs().authid() == "EPSG:32643"


@pytest.mark.parametrize("exceptions", [False, True])
def test_a_copy_that_the_disk_has_no_room_for(farm: QgsRasterLayer, *, exceptions: bool) -> None:
    farm.setCrs(QgsCoordinateReferenceSystem("EPSG:32643"))
    if exceptions:
        gdal.UseExceptions()
    try:
        with pytest.raises(WorkerError, match=r"farm: it cannot be copied to .*; is there room on the disk\?"):
            raster_source(farm, Path("/dev/full/x"))
    finally:
        gdal.DontUseExceptions()


def test_a_file_named_from_where_qgis_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is elsewhere: it needs the whole path."""
    shutil.copy(FARM, tmp_path / "in.tif")
    monkeypatch.chdir(tmp_path)
    assert raster_source(QgsRasterLayer("in.tif", "in"), tmp_path).path == str(tmp_path / "in.tif")


def test_a_copy_has_the_pixels_of_the_extent_only(tmp_path: Path) -> None:
    gdal.Translate("/vsimem/farm.tif", str(FARM))
    layer = QgsRasterLayer("/vsimem/farm.tif", "memory")
    whole = layer.extent()
    part = QgsRectangle(whole.xMinimum() + 104, whole.yMaximum() - 251, whole.xMinimum() + 296, whole.yMaximum() - 99)
    source = raster_source(layer, tmp_path, extent=part)
    copy = gdal.Open(source.path)
    assert (copy.RasterXSize, copy.RasterYSize) == (20, 17)
    assert copy.ReadRaster() == gdal.Open(str(FARM)).ReadRaster(10, 9, 20, 17)
    with pytest.raises(WorkerError, match="outside the raster"):
        raster_source(layer, tmp_path, extent=QgsRectangle(0, 0, 1, 1))
    gdal.Unlink("/vsimem/farm.tif")


def test_a_copy_can_be_cancelled(farm: QgsRasterLayer, tmp_path: Path) -> None:
    farm.setCrs(QgsCoordinateReferenceSystem("EPSG:32643"))
    feedback = QgsFeedback()
    feedback.cancel()
    with pytest.raises(Cancelled):
        raster_source(farm, tmp_path, feedback=feedback)


def test_a_crs_set_in_qgis_holds(farm: QgsRasterLayer, tmp_path: Path) -> None:
    farm.setCrs(QgsCoordinateReferenceSystem("EPSG:32643"))
    source = raster_source(farm, tmp_path)
    assert source.copied
    assert QgsRasterLayer(source.path).crs().authid() == "EPSG:32643"
    assert values(source.path) == values(FARM)


def test_a_nodata_value_set_in_qgis_holds(farm: QgsRasterLayer, tmp_path: Path) -> None:
    first = farm.dataProvider().sample(farm.extent().center(), 1)[0]
    farm.dataProvider().setUserNoDataValue(1, [QgsRasterRange(first, first)])
    source = raster_source(farm, tmp_path)
    assert source.copied
    copy = QgsRasterLayer(source.path)
    assert copy.dataProvider().sample(copy.extent().center(), 1)[1] is False


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    shutil.copy(FARM, tmp_path / "gone.tif")
    layer = QgsRasterLayer(str(tmp_path / "gone.tif"), "gone")
    (tmp_path / "gone.tif").unlink()
    with pytest.raises(WorkerError, match=r"gone\.tif: the file is no longer there"):
        raster_source(layer, tmp_path)


def test_a_broken_layer(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(WorkerError, match="text: the layer cannot be read"):
        raster_source(QgsRasterLayer(str(tmp_path / "text.tif"), "text"), tmp_path)


def test_a_map_of_a_server_is_refused(tmp_path: Path) -> None:
    layer = QgsRasterLayer("type=xyz&url=file:///nowhere/{z}/{x}/{y}.png&zmax=3&zmin=0&crs=EPSG3857", "tiles", "wms")
    assert layer.isValid()
    with pytest.raises(WorkerError, match="colours, not measurements"):
        raster_source(layer, tmp_path)


def test_a_file_with_a_date_is_an_ordinary_file(farm: QgsRasterLayer, tmp_path: Path) -> None:
    farm.temporalProperties().setIsActive(True)
    assert raster_source(farm, tmp_path).path == str(FARM)


def test_a_layer_that_changes_with_time_is_refused(farm: QgsRasterLayer, tmp_path: Path) -> None:
    farm.dataProvider().temporalCapabilities().setHasTemporalCapabilities(True)  # as servers of many dates and meshes of weather have
    assert raster_source(farm, tmp_path).path == str(FARM), "until it is switched on, QGIS shows one moment"
    farm.temporalProperties().setIsActive(True)
    with pytest.raises(WorkerError, match=r"farm: its picture changes with time; export the moment"):
        raster_source(farm, tmp_path)


def test_what_is_too_large_to_copy(farm: QgsRasterLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sr_geo_plugin.layers.MOST_PIXELS", 1000)
    farm.setCrs(QgsCoordinateReferenceSystem("EPSG:32643"))
    with pytest.raises(WorkerError, match="smaller extent"):
        raster_source(farm, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (["B02 (10 m)", "Green", "red", "NIR"], {"blue": 1, "green": 2, "red": 3, "nir": 4}),
        (["", "depth", "bluish"], {}),
        (["red", "red edge"], {}),
    ],
)
def test_bands_by_their_names(names: list[str], roles: dict[str, int]) -> None:
    assert roles_of_names(names) == roles


def read(path: Path) -> QgsVectorLayer:
    layer = QgsVectorLayer(str(path), "read")
    assert layer.isValid()
    return layer


def test_polygons_keep_columns_shapes_and_crs(parcels: QgsVectorLayer, tmp_path: Path) -> None:
    copy = read(polygons_file(parcels, tmp_path))
    assert copy.crs() == parcels.crs()
    assert copy.featureCount() == parcels.featureCount() == 17
    assert {field.name() for field in parcels.fields()} <= {field.name() for field in copy.fields()}
    total = sum(feature.geometry().area() for feature in parcels.getFeatures())
    assert sum(feature.geometry().area() for feature in copy.getFeatures()) == pytest.approx(total)


def test_what_the_worker_says_of_a_copy_names_the_layer(farm: QgsRasterLayer, memory: QgsVectorLayer, tmp_path: Path) -> None:
    memory.setName("Поля: юг/2026")
    assert polygons_file(memory, tmp_path).name == "Поля__юг_2026.gpkg"
    farm.setName("…")
    farm.setCrs(QgsCoordinateReferenceSystem("EPSG:32643"))
    assert Path(raster_source(farm, tmp_path).path).name == "layer.tif"


def test_selected_parcels_only(parcels: QgsVectorLayer, tmp_path: Path) -> None:
    parcels.selectByIds([feature.id() for feature in parcels.getFeatures()][:3])
    assert read(polygons_file(parcels, tmp_path, selected_only=True)).featureCount() == 3
    parcels.removeSelection()
    with pytest.raises(WorkerError, match="select some"):
        polygons_file(parcels, tmp_path, selected_only=True)


def test_a_layer_in_memory_with_a_column_called_fid(memory: QgsVectorLayer, tmp_path: Path) -> None:
    copy = read(polygons_file(memory, tmp_path))
    assert [feature["fid"] for feature in copy.getFeatures()] == ["1", "1"]
    assert [feature["crop"] for feature in copy.getFeatures()] == ["пшеница", "пшеница"]


def test_unsaved_edits_count(memory: QgsVectorLayer, tmp_path: Path) -> None:
    memory.startEditing()
    feature = QgsFeature(memory.fields())
    feature.setGeometry(QgsGeometry.fromWkt("POLYGON((20 0, 30 0, 30 10, 20 0))"))
    memory.addFeature(feature)
    assert read(polygons_file(memory, tmp_path)).featureCount() == 3
    memory.rollBack()


def test_only_what_touches_a_rectangle(parcels: QgsVectorLayer, tmp_path: Path) -> None:
    first = next(parcels.getFeatures())
    spot = first.geometry().pointOnSurface().asPoint()
    copy = read(polygons_file(parcels, tmp_path, within=QgsRectangle(spot, spot)))
    assert copy.featureCount() == 1


def test_no_parcels_in_the_extent(parcels: QgsVectorLayer, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="no parcels lie within the extent"):
        polygons_file(parcels, tmp_path, within=QgsRectangle(0, 0, 1, 1))


def test_an_extent_where_the_crs_of_the_parcels_does_not_reach(tmp_path: Path) -> None:
    layer = QgsVectorLayer("Polygon?crs=EPSG:3857", "web", "memory")
    pole = QgsRectangle(-10, -90, 10, -89.999)
    with pytest.raises(WorkerError, match=r"web: the image lies where the CRS of the parcels \(EPSG:3857\) does not reach"):
        polygons_file(layer, tmp_path, within=pole, within_crs=QgsCoordinateReferenceSystem("EPSG:4326"))


def test_curves_and_heights_become_plain(tmp_path: Path) -> None:
    layer = QgsVectorLayer("CurvePolygonZ?crs=EPSG:32642", "round", "memory")
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromWkt("CurvePolygonZ (CircularStringZ (0 0 5, 1 1 5, 2 0 5, 1 -1 5, 0 0 5))"))
    layer.dataProvider().addFeature(feature)
    (copy,) = read(polygons_file(layer, tmp_path)).getFeatures()
    assert copy.geometry().area() == pytest.approx(3.1416, abs=0.01)
    assert copy.geometry().asWkt(0).startswith("MultiPolygon ((")


def test_invalid_and_missing_outlines_go_on_to_the_worker(memory: QgsVectorLayer, tmp_path: Path) -> None:
    for wkt in ("POLYGON((0 0, 10 10, 10 0, 0 10, 0 0))", ""):
        feature = QgsFeature(memory.fields())
        feature.setGeometry(QgsGeometry.fromWkt(wkt))
        memory.dataProvider().addFeature(feature)
    assert read(polygons_file(memory, tmp_path)).featureCount() == 4


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("Point?crs=EPSG:32642", "no polygons"),
        ("Polygon?crs=", "the parcels have no CRS"),
        ("Polygon?crs=EPSG:32642", "has no parcels; draw some in it, or choose another layer"),
    ],
)
def test_layers_that_will_not_do(uri: str, words: str, tmp_path: Path) -> None:
    layer = QgsVectorLayer(uri, "odd", "memory")
    layer.setCrs(QgsCoordinateReferenceSystem(uri.partition("crs=")[2]))
    with pytest.raises(WorkerError, match=f"odd: .*{words}"):
        polygons_file(layer, tmp_path)


def test_a_folder_that_cannot_be_written(parcels: QgsVectorLayer, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="cannot be copied"):
        polygons_file(parcels, tmp_path / "no folder")


def test_a_rectangle(tmp_path: Path) -> None:
    crs = QgsCoordinateReferenceSystem("EPSG:32642")
    (feature,) = read(rectangle_file(QgsRectangle(0, 0, 30, 20), crs, tmp_path)).getFeatures()
    assert feature.geometry().area() == 600
    with pytest.raises(WorkerError, match="empty"):
        rectangle_file(QgsRectangle(), crs, tmp_path)
