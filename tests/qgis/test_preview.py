"""The preview: the piece that is cut out, that it shows what the whole run would make there, and the divider."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal
from qgis.core import QgsPointXY, QgsRasterLayer
from qgis.PyQt.QtCore import QPoint, Qt
from qgis.PyQt.QtGui import QColor, QImage
from qgis.PyQt.QtTest import QTest

from sr_geo_plugin.environment import Runtime
from sr_geo_plugin.panel import jobs, picture
from sr_geo_plugin.panel.swipe import SwipeView
from sr_geo_plugin.panel.task import BackgroundTask
from sr_geo_plugin.worker import Cancelled, WorkerError, run

SAMPLE = Path(__file__).resolve().parents[2] / "sample_data"
LANDSAT = SAMPLE / "itaipu_landsat8.tif"
FARM = SAMPLE / "rendered_farm.tif"


def pixels(path: Path) -> np.ndarray:
    raster = gdal.Open(str(path))
    kind = {gdal.GDT_UInt16: "<u2", gdal.GDT_Float32: "<f4", gdal.GDT_Byte: "u1"}[raster.GetRasterBand(1).DataType]
    data = [
        np.frombuffer(raster.GetRasterBand(number + 1).ReadRaster(), kind).reshape(raster.RasterYSize, raster.RasterXSize)
        for number in range(raster.RasterCount)
    ]
    return np.stack(data)


def labels(path: Path) -> list[tuple[object, ...]]:
    raster = gdal.Open(str(path))
    bands = [raster.GetRasterBand(number + 1) for number in range(raster.RasterCount)]
    scales = [(band.GetScale() or 1.0, band.GetOffset() or 0.0) for band in bands]
    words = [(band.GetDescription(), band.GetNoDataValue(), band.GetColorInterpretation()) for band in bands]
    return [*words, *scales]


def place(path: Path, column: float, row: float) -> QgsPointXY:
    return QgsPointXY(*gdal.ApplyGeoTransform(gdal.Open(str(path)).GetGeoTransform(), column, row))


def task() -> BackgroundTask:
    return BackgroundTask("", lambda _: None, done=lambda _: None, failed=lambda _: None)


@pytest.mark.parametrize("path", [LANDSAT, FARM])
def test_a_piece_keeps_pixels_and_labels(tmp_path: Path, path: Path) -> None:
    jobs.cut(str(path), place(path, 60.3, 50.8), tmp_path / "piece.tif", side=40, name="x")
    np.testing.assert_array_equal(pixels(tmp_path / "piece.tif"), pixels(path)[:, 31:71, 40:80])
    assert labels(tmp_path / "piece.tif") == labels(path)
    piece, whole = QgsRasterLayer(str(tmp_path / "piece.tif")), QgsRasterLayer(str(path))
    assert piece.crs() == whole.crs()
    assert whole.extent().contains(piece.extent())


@pytest.mark.parametrize(
    ("column", "row", "first", "size"),
    [
        # at the border the piece is moved inside, and keeps its size
        (0.1, 0.1, (0, 0), (40, 40)),
        (119.9, 60, (40, 80), (40, 40)),
        # a raster that is smaller than the piece is taken whole
        (60, 60, (0, 0), (500, 500)),
    ],
)
def test_a_piece_lies_within_the_raster(tmp_path: Path, column: float, row: float, first: tuple[int, int], size: tuple[int, int]) -> None:
    jobs.cut(str(FARM), place(FARM, column, row), tmp_path / "piece.tif", side=size[0], name="x")
    whole = pixels(FARM)
    expected = whole[:, first[0] : first[0] + size[0], first[1] : first[1] + size[1]]
    np.testing.assert_array_equal(pixels(tmp_path / "piece.tif"), expected)


@pytest.mark.parametrize(("column", "row"), [(-0.1, 5), (5, 120), (1e7, 1e7), (float("inf"), 5)])
def test_beside_the_raster_there_is_no_piece(tmp_path: Path, column: float, row: float) -> None:
    with pytest.raises(WorkerError, match=r"^Farm does not lie under the middle of the map; move the map over it"):
        jobs.cut(str(FARM), place(FARM, column, row), tmp_path / "piece.tif", side=40, name="Farm")
    assert list(tmp_path.iterdir()) == []


def test_a_turned_raster(tmp_path: Path) -> None:
    turned = tmp_path / "turned.tif"
    made = gdal.GetDriverByName("GTiff").CreateCopy(str(turned), gdal.Open(str(FARM)))
    made.SetGeoTransform((500000, 8, 6, 5500000, 6, -8))
    made = None
    jobs.cut(str(turned), place(turned, 60, 50), tmp_path / "piece.tif", side=20, name="x")
    np.testing.assert_array_equal(pixels(tmp_path / "piece.tif"), pixels(FARM)[:, 40:60, 50:70])


@pytest.mark.parametrize("exceptions", [False, True])
def test_a_file_that_is_gone(tmp_path: Path, *, exceptions: bool) -> None:
    """Also where another plugin has told GDAL to raise exceptions."""
    if exceptions:
        gdal.UseExceptions()
    try:
        with pytest.raises(WorkerError, match="repair its source or remove it"):
            jobs.cut(str(tmp_path / "gone.tif"), QgsPointXY(0, 0), tmp_path / "piece.tif", side=20, name="x")
        with pytest.raises(WorkerError, match="cannot be written"):
            jobs.cut(str(FARM), place(FARM, 60, 60), tmp_path / "no folder" / "piece.tif", side=20, name="x")
    finally:
        gdal.DontUseExceptions()


def test_the_preview_shows_what_the_run_makes(toolkit_python: Path, tmp_path: Path) -> None:
    """Same pixels, where the blur is given: measured in the piece, it may be another one than in the whole."""
    runtime, choice = Runtime(toolkit_python, ""), jobs.Choice(blur=1.8)
    layer, centre = QgsRasterLayer(str(LANDSAT), "Landsat"), place(LANDSAT, 190, 200)
    made = jobs.preview(task(), runtime, layer, choice, centre=centre, folder=tmp_path)
    run(runtime, ["enhance", str(LANDSAT), str(tmp_path / "whole.tif"), "--psf", "1.8", "--progress", "json"])
    area, size = picture.middle(QgsRasterLayer(str(made.before)))
    assert (size.width(), size.height()) == (4 * jobs.PREVIEW_SIDE, 4 * jobs.PREVIEW_SIDE)
    margin, side = 4 * jobs.PREVIEW_MARGIN, 4 * jobs.PREVIEW_SIDE
    column, row = 4 * (190 - jobs.PREVIEW_SIDE // 2), 4 * (200 - jobs.PREVIEW_SIDE // 2)
    shown = pixels(made.after)[:, margin : margin + side, margin : margin + side].astype(int)
    whole = pixels(tmp_path / "whole.tif")[:, row : row + side, column : column + side].astype(int)
    assert np.abs(shown - whole).max() <= 1
    assert area.width() == pytest.approx(30 * jobs.PREVIEW_SIDE)


def test_the_pictures_are_of_the_same_place(tmp_path: Path) -> None:
    """Drawn four times as fine, the input itself must come out with its pixels as blocks of 4 × 4."""
    layer = QgsRasterLayer(str(FARM), "Farm")
    area, size = picture.middle(layer, side=20)
    drawn = picture.draw(layer, area, size)
    assert (drawn.width(), drawn.height()) == (80, 80)
    for row in range(0, 80, 4):
        for column in range(0, 80, 4):
            block = {drawn.pixel(column + x, row + y) for x in range(4) for y in range(4)}
            assert len(block) == 1
    assert len({drawn.pixel(column, 40) for column in range(0, 80, 4)}) > 10


def test_a_stop_ends_the_preview(toolkit_python: Path, tmp_path: Path) -> None:
    stopped = task()
    stopped.cancel()
    started = time.monotonic()
    layer, runtime = QgsRasterLayer(str(FARM), "Farm"), Runtime(toolkit_python, "")
    with pytest.raises(Cancelled):
        jobs.preview(stopped, runtime, layer, jobs.Choice(), centre=place(FARM, 60, 60), folder=tmp_path)
    assert time.monotonic() - started < 60
    assert not (tmp_path / "after.tif").exists()


# --- the divider ------------------------------------------------------------------------------------------------------


@pytest.fixture
def swipe(qgis_app: object) -> SwipeView:
    view = SwipeView()
    view.resize(200, 200)
    before, after = QImage(50, 50, QImage.Format.Format_ARGB32), QImage(200, 200, QImage.Format.Format_ARGB32)
    before.fill(QColor("red"))
    after.fill(QColor("blue"))
    view.show_pictures(before, after)
    return view


def colour(view: SwipeView, x: int, y: int = 150) -> str:
    return view.grab().toImage().pixelColor(x, y).name()


def test_before_on_the_left_after_on_the_right(swipe: SwipeView) -> None:
    assert (colour(swipe, 20), colour(swipe, 180)) == ("#ff0000", "#0000ff")
    QTest.mousePress(swipe, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(190, 100))
    assert swipe.divider == pytest.approx(0.95)
    assert colour(swipe, 180) == "#ff0000"


def test_the_divider_by_keyboard_stays_inside(swipe: SwipeView) -> None:
    moved = []
    swipe.divider_moved.connect(moved.append)
    QTest.keyClick(swipe, Qt.Key.Key_Right)
    assert moved == [pytest.approx(0.52)]
    for _ in range(60):
        QTest.keyClick(swipe, Qt.Key.Key_Left)
    assert swipe.divider == 0
    assert colour(swipe, 20) == "#0000ff"


def test_words_instead_of_pictures(swipe: SwipeView) -> None:
    swipe.show_words("nothing yet")
    assert not swipe.has_pictures
    assert colour(swipe, 20) not in ("#ff0000", "#0000ff")
