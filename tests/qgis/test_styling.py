"""The result is drawn as the input is: renderer, stretch, bands, nodata, place in the layer tree."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="QGIS is not installed")

import numpy as np
from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsColorRampShader,
    QgsContrastEnhancement,
    QgsMapLayer,
    QgsMultiBandColorRenderer,
    QgsProject,
    QgsRasterLayer,
    QgsRasterMinMaxOrigin,
    QgsRasterRange,
    QgsRasterShader,
    QgsSingleBandGrayRenderer,
    QgsSingleBandPseudoColorRenderer,
)
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

from sr_geo_plugin.panel.picture import draw
from sr_geo_plugin.panel.styling import Style, add_above, copy_style, same_bands

NAMES = ("blue", "green", "red", "nir")


def raster(path: Path, names: tuple[str, ...] = NAMES, *, side: int = 12, seed: int = 1) -> QgsRasterLayer:
    values = np.random.default_rng(seed).integers(100, 4000, (len(names), side, side), dtype=np.uint16)
    made = gdal.GetDriverByName("GTiff").Create(str(path), side, side, len(names), gdal.GDT_UInt16, ["PHOTOMETRIC=MINISBLACK", "ALPHA=NO"])
    made.SetGeoTransform((500000, 120 / side, 0, 5500000, 0, -120 / side))
    made.SetProjection(_utm())
    for number, name in enumerate(names, start=1):
        made.GetRasterBand(number).WriteRaster(0, 0, side, side, values[number - 1].tobytes())
        made.GetRasterBand(number).SetDescription(name)
    made = None
    layer = QgsRasterLayer(str(path), path.stem)
    assert layer.isValid()
    return layer


def _utm() -> str:
    from osgeo import osr

    system = osr.SpatialReference()
    system.ImportFromEPSG(32642)
    return system.ExportToWkt()


def stretch(low: float, high: float) -> QgsContrastEnhancement:
    made = QgsContrastEnhancement(Qgis.DataType.UInt16)
    made.setMinimumValue(low)
    made.setMaximumValue(high)
    made.setContrastEnhancementAlgorithm(QgsContrastEnhancement.ContrastEnhancementAlgorithm.StretchToMinimumMaximum)
    return made


def colours(layer: QgsRasterLayer, red: int, green: int, blue: int) -> QgsMultiBandColorRenderer:
    renderer = QgsMultiBandColorRenderer(layer.dataProvider(), red, green, blue)
    renderer.setRedContrastEnhancement(stretch(300, 2100))
    renderer.setGreenContrastEnhancement(stretch(200, 1800))
    renderer.setBlueContrastEnhancement(stretch(100, 1500))
    layer.setRenderer(renderer)
    return renderer


def pixel(layer: QgsRasterLayer, column: int = 0, row: int = 0) -> tuple[int, int, int, int]:
    """Colour of a pixel as the map draws it, with renderer, brightness, saturation …"""
    return draw(layer, layer.extent(), QSize(layer.width(), layer.height())).pixelColor(column, row).getRgb()


@pytest.fixture
def layers(tmp_path: Path, qgis_new_project: None) -> tuple[QgsRasterLayer, QgsRasterLayer]:
    return raster(tmp_path / "in.tif"), raster(tmp_path / "out.tif", side=48, seed=2)


def test_the_same_colours_for_the_same_values(tmp_path: Path, layers: tuple[QgsRasterLayer, QgsRasterLayer]) -> None:
    source, _ = layers
    twin = raster(tmp_path / "twin.tif")
    colours(source, 4, 3, 2)
    source.brightnessFilter().setBrightness(25)
    source.hueSaturationFilter().setSaturation(-40)
    source.setOpacity(0.7)
    assert copy_style(source, twin)
    for column in range(12):
        assert pixel(source, column, 3) == pixel(twin, column, 3)
    assert twin.opacity() == pytest.approx(0.7)


def test_bands_and_stretch_of_a_colour_composite(layers: tuple[QgsRasterLayer, QgsRasterLayer]) -> None:
    source, result = layers
    colours(source, 4, 3, 2)
    assert copy_style(source, result)
    renderer = result.renderer()
    assert renderer.usesBands() == [4, 3, 2]
    assert (renderer.redContrastEnhancement().minimumValue(), renderer.redContrastEnhancement().maximumValue()) == (300, 2100)
    assert (renderer.blueContrastEnhancement().minimumValue(), renderer.blueContrastEnhancement().maximumValue()) == (100, 1500)


def test_a_stretch_of_the_visible_part_is_written_down(layers: tuple[QgsRasterLayer, QgsRasterLayer]) -> None:
    source, result = layers
    renderer = colours(source, 3, 2, 1)
    origin = QgsRasterMinMaxOrigin()
    origin.setLimits(QgsRasterMinMaxOrigin.Limits.CumulativeCut)
    origin.setExtent(QgsRasterMinMaxOrigin.Extent.UpdatedCanvas)
    renderer.setMinMaxOrigin(origin)
    assert copy_style(source, result)
    assert result.renderer().minMaxOrigin().limits() == QgsRasterMinMaxOrigin.Limits.None_
    assert result.renderer().redContrastEnhancement().maximumValue() == 2100
    assert source.renderer().minMaxOrigin().extent() == QgsRasterMinMaxOrigin.Extent.UpdatedCanvas  # the input is left alone


@pytest.mark.parametrize("kind", ["gray", "pseudocolour"])
def test_one_band(tmp_path: Path, layers: tuple[QgsRasterLayer, QgsRasterLayer], kind: str) -> None:
    source, _ = layers
    fewer = raster(tmp_path / "fewer.tif", ("green", "nir"), side=48)
    if kind == "gray":
        renderer = QgsSingleBandGrayRenderer(source.dataProvider(), 4)
        renderer.setContrastEnhancement(stretch(500, 3000))
    else:
        ramp = QgsColorRampShader(0, 4000)
        ramp.setColorRampItemList([QgsColorRampShader.ColorRampItem(value, QColor(value // 20, 0, 90), "") for value in (0, 2000, 4000)])
        shader = QgsRasterShader()
        shader.setRasterShaderFunction(ramp)
        renderer = QgsSingleBandPseudoColorRenderer(source.dataProvider(), 4, shader)
    source.setRenderer(renderer)
    assert copy_style(source, fewer)
    assert fewer.renderer().type() == renderer.type()
    assert fewer.renderer().usesBands() == [2]


def test_a_band_that_is_not_there_leaves_the_style_alone(tmp_path: Path, layers: tuple[QgsRasterLayer, QgsRasterLayer]) -> None:
    source, _ = layers
    fewer = raster(tmp_path / "fewer.tif", ("blue", "green", "red"), side=48)
    colours(source, 4, 3, 2)
    own = fewer.renderer().usesBands()
    assert not copy_style(source, fewer)
    assert fewer.renderer().usesBands() == own


def test_nodata_that_the_user_set(layers: tuple[QgsRasterLayer, QgsRasterLayer]) -> None:
    source, result = layers
    source.dataProvider().setUserNoDataValue(2, [QgsRasterRange(0, 50)])
    assert copy_style(source, result)
    assert [(held.min(), held.max()) for held in result.dataProvider().userNoDataValues(2)] == [(0, 50)]


def test_holes_of_the_result_are_transparent(tmp_path: Path, layers: tuple[QgsRasterLayer, QgsRasterLayer]) -> None:
    """QGIS shows the mask of a file as one more band; the input has none."""
    source, _ = layers
    masked = raster(tmp_path / "masked.tif", side=48)
    del masked
    opened = gdal.Open(str(tmp_path / "masked.tif"), gdal.GA_Update)
    opened.CreateMaskBand(gdal.GMF_PER_DATASET)
    mask = np.full((48, 48), 255, dtype=np.uint8)
    mask[:, 24:] = 0
    opened.GetRasterBand(1).GetMaskBand().WriteRaster(0, 0, 48, 48, mask.tobytes())
    opened = None
    result = QgsRasterLayer(str(tmp_path / "masked.tif"), "masked")
    assert (source.bandCount(), result.bandCount()) == (4, 5)
    colours(source, 4, 3, 2)
    assert copy_style(source, result)
    assert result.renderer().usesBands()[:3] == [4, 3, 2]
    assert (pixel(result, 10, 10)[3], pixel(result, 30, 10)[3]) == (255, 0)
    # and the other way round: no alpha band where the result has no holes
    twin = raster(tmp_path / "twin.tif")
    assert copy_style(result, twin)
    assert twin.renderer().alphaBand() < 1
    assert pixel(twin, 3, 3)[3] == 255


def test_the_style_outlives_the_layer(layers: tuple[QgsRasterLayer, QgsRasterLayer]) -> None:
    source, result = layers
    colours(source, 4, 3, 2)
    style = Style.of(source)
    del source
    assert style.apply(result)
    assert result.renderer().usesBands() == [4, 3, 2]


@pytest.mark.parametrize(
    ("source", "result", "numbers"),
    [
        # as many bands: the same ones, whatever they are called
        (("a", "b"), ("", ""), {1: 1, 2: 2}),
        # fewer: by name
        (("blue", "green", "red", "nir"), ("red", "nir"), {3: 1, 4: 2}),
        # names that say nothing, or the same twice
        (("", "", "x"), ("x", ""), {3: 1}),
        (("x", "x", "y"), ("y", "x"), {3: 1}),
    ],
)
def test_same_bands(source: tuple[str, ...], result: tuple[str, ...], numbers: dict[int, int]) -> None:
    assert same_bands(source, result) == numbers


def test_the_result_lies_right_above_the_input_in_its_group(layers: tuple[QgsRasterLayer, QgsRasterLayer], tmp_path: Path) -> None:
    source, result = layers
    project = QgsProject.instance()
    group = project.layerTreeRoot().addGroup("Season 2026")
    for layer in (raster(tmp_path / "over.tif"), source, raster(tmp_path / "under.tif")):
        project.addMapLayer(layer, False)
        group.addLayer(layer)
    assert add_above(project, result, source.id())
    assert [node.name() for node in group.children()] == ["over", "out", "in", "under"]


def test_without_the_input_it_lies_beside_the_next_or_on_top(layers: tuple[QgsRasterLayer, QgsRasterLayer], tmp_path: Path) -> None:
    source, result = layers
    project = QgsProject.instance()
    project.addMapLayer(source)
    assert not add_above(project, result, "gone")
    assert [node.name() for node in project.layerTreeRoot().children()] == ["out", "in"]
    second: QgsMapLayer = raster(tmp_path / "second.tif")
    assert add_above(project, second, "gone", beside=[source.id()])
    assert [node.name() for node in project.layerTreeRoot().children()] == ["out", "second", "in"]
