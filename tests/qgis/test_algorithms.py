"""The algorithms of the provider, run inside QGIS with a real worker."""

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsGeometry,
    QgsProcessingAlgorithm,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingFeedback,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterRasterLayer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsSettings,
    QgsVectorLayer,
)

from sr_geo_plugin import settings
from sr_geo_plugin.algorithms.check_models import of_the_plugin
from sr_geo_plugin.algorithms.enhance_raster import EnhanceRaster
from sr_geo_plugin.algorithms.train_region import TrainRegion
from sr_geo_plugin.environment import forget_runtimes
from sr_geo_plugin.provider import ALGORITHMS, SrGeoProvider
from tests.qgis.conftest import SAMPLE

FARM = SAMPLE / "rendered_farm.tif"
UTM = QgsCoordinateReferenceSystem("EPSG:32642")


@pytest.fixture(scope="session")
def provider() -> Iterator[SrGeoProvider]:
    provider = SrGeoProvider()
    registry = QgsApplication.processingRegistry()
    registry.addProvider(provider)
    yield provider
    registry.removeProvider(provider)


@pytest.fixture(autouse=True)
def worker(toolkit_python: Path, monkeypatch: pytest.MonkeyPatch, provider: SrGeoProvider) -> None:
    monkeypatch.setenv("SR_GEO_PYTHON", str(toolkit_python))
    forget_runtimes()


@pytest.fixture
def farm() -> Iterator[QgsRasterLayer]:
    layer = QgsRasterLayer(str(FARM), "farm")
    QgsProject.instance().addMapLayer(layer)
    yield layer
    QgsProject.instance().removeMapLayer(layer.id())


def drawn(farm: QgsRasterLayer, crs: str = "EPSG:4326", *shapes: QgsGeometry) -> QgsVectorLayer:
    """Parcels in memory: a square in the middle of the raster, or these shapes (in the raster's CRS)."""
    layer = QgsVectorLayer(f"Polygon?crs={crs}&field=name:string", "drawn", "memory")
    middle = farm.extent().center()
    square = QgsGeometry.fromRect(QgsRectangle(middle.x() - 150, middle.y() - 150, middle.x() + 150, middle.y() + 150))
    for number, shape in enumerate(shapes or (square,)):
        feature = QgsFeature(layer.fields())
        feature["name"] = f"поле {number}"
        copy = QgsGeometry(shape)
        copy.transform(QgsCoordinateTransform(farm.crs(), QgsCoordinateReferenceSystem(crs), QgsCoordinateTransformContext()))
        feature.setGeometry(copy)
        layer.dataProvider().addFeature(feature)
    QgsProject.instance().addMapLayer(layer)
    return layer


class Feedback(QgsProcessingFeedback):
    """Keeps what is said, and can cancel at the first progress."""

    def __init__(self, *, cancel: bool = False) -> None:
        super().__init__(False)
        self.said: list[str] = []
        self.cancel_soon = cancel
        self.progressChanged.connect(self._progressed)

    def _progressed(self, share: float) -> None:
        if self.cancel_soon and share > 0:
            self.cancel()

    def pushWarning(self, warning: str) -> None:
        self.said.append(f"warning: {warning}")

    def pushCommandInfo(self, info: str) -> None:
        self.said.append(info)

    def setProgressText(self, text: str) -> None:
        self.said.append(text)


def execute(
    name: str, parameters: "dict[str, Any]", feedback: "Feedback | None" = None, context: "QgsProcessingContext | None" = None
) -> "dict[str, Any]":
    """Run an algorithm of the registry; the exception of a failure is raised."""
    context = context or QgsProcessingContext()
    context.setProject(QgsProject.instance())
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"srgeo:{name}")
    results, good = algorithm.run(parameters, context, feedback or Feedback(), {}, False)
    assert good
    return results


def quick(farm: QgsRasterLayer, output: Path, **more: Any) -> "dict[str, Any]":
    return {"INPUT": farm.id(), "PSF": 2.0, "THREADS": 1, "DEVICE": 1, "OUTPUT": str(output), **more}


def test_all_algorithms_are_there_with_help_and_icons(provider: SrGeoProvider) -> None:
    algorithms = provider.algorithms()
    assert len(algorithms) == len(ALGORITHMS) == 6
    for algorithm in algorithms:
        assert algorithm.shortHelpString()
        assert not algorithm.icon().isNull()
        assert algorithm.tags()
        for parameter in algorithm.parameterDefinitions():
            assert parameter.description()
    assert provider.supportedOutputRasterLayerExtensions() == ["tif"]


def test_parcels_of_another_crs_and_invalid_ones(farm: QgsRasterLayer, tmp_path: Path) -> None:
    middle = farm.extent().center()
    x, y = middle.x(), middle.y()
    bow = QgsGeometry.fromWkt(f"POLYGON(({x} {y}, {x + 200} {y + 200}, {x + 200} {y}, {x} {y + 200}, {x} {y}))")
    square = QgsGeometry.fromRect(QgsRectangle(x - 300, y - 300, x - 100, y - 100))
    far = QgsGeometry.fromRect(QgsRectangle(x + 90_000, y, x + 90_100, y + 100))
    parcels = drawn(farm, "EPSG:4326", bow, square, far)
    feedback = Feedback()
    table = tmp_path / "table.gpkg"
    results = execute("enhanceparcels", quick(farm, tmp_path / "out.tif", PARCELS=parcels.id(), TABLE=str(table)), feedback)
    assert results == {"OUTPUT": str(tmp_path / "out.tif"), "TABLE": str(table), "COUNT": 1}
    assert QgsVectorLayer(str(table), "table").featureCount() == 2
    warnings = [line for line in feedback.said if line.startswith("warning: ")]
    assert any("repaired" in line for line in warnings)
    assert any("поле 2" in line or "outside" in line for line in warnings)
    out = QgsRasterLayer(str(tmp_path / "out.tif"))
    assert out.crs() == farm.crs()
    assert out.rasterUnitsPerPixelX() == pytest.approx(farm.rasterUnitsPerPixelX() / 4)
    inside, good = out.dataProvider().sample(square.centroid().asPoint(), 1)
    assert good
    assert inside == pytest.approx(farm.dataProvider().sample(square.centroid().asPoint(), 1)[0], rel=0.3)
    assert out.dataProvider().sample(middle + (square.centroid().asPoint() - middle) * -1.0, 1)[1] is False, "nodata between parcels"


def test_a_file_for_each_parcel(farm: QgsRasterLayer, tmp_path: Path) -> None:
    middle = farm.extent().center()
    corners = [(middle.x() - 300, middle.y() - 300), (middle.x() + 100, middle.y() + 100)]
    squares = [QgsGeometry.fromRect(QgsRectangle(x, y, x + 120, y + 90)) for x, y in corners]
    parcels = drawn(farm, "EPSG:4326", *squares)
    folder = tmp_path / "new" / "поля"
    context = QgsProcessingContext()
    parameters = {"INPUT": farm.id(), "PSF": 2.0, "THREADS": 1, "PARCELS": parcels.id(), "SPLIT_BY": "name", "FOLDER": str(folder)}
    results = execute("enhanceparcels", {**parameters, "OUTPUT": "TEMPORARY_OUTPUT"}, context=context)
    assert results == {"FOLDER": str(folder), "COUNT": 2}
    assert sorted(path.name for path in folder.iterdir()) == ["поле_0.tif", "поле_1.tif"]
    for number, square in enumerate(squares):
        layer = QgsRasterLayer(str(folder / f"поле_{number}.tif"))
        assert layer.extent().contains(square.boundingBox())
        assert layer.extent().width() < 120 + 40
    assert context.layersToLoadOnCompletion() == {}, "a raster that was not written is not looked for"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"SPLIT_BY": "name"}, "choose the folder of the files, too"),
        ({"FOLDER": "/f"}, "choose the column that names them, too"),
        ({"SPLIT_BY": "name", "FOLDER": "/f", "PARCELS_AS": 1}, "holds that parcel only"),
        ({"OUTPUT": None}, "Choose where the enhanced raster is to be written"),
        ({"INPUT": "nothing"}, "INPUT: nothing not found"),
        ({}, ""),
        ({"SPLIT_BY": "name", "FOLDER": "/f", "OUTPUT": None}, ""),
    ],
)
def test_one_raster_or_a_file_for_each_parcel(farm: QgsRasterLayer, more: "dict[str, Any]", words: str) -> None:
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    parameters = {"INPUT": farm.id(), "PARCELS": drawn(farm).id(), "OUTPUT": "/o.tif", **more}
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("srgeo:enhanceparcels")
    good, said = algorithm.checkParameterValues(parameters, context)
    assert good is (not words)
    assert words in said


def test_names_without_a_folder_are_meant_from_where_qgis_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are typed for qgis_process; the worker runs in a folder of its own."""
    shutil.copy(FARM, tmp_path / "in.tif")
    shutil.copy(SAMPLE / "rendered_farm_parcels.geojson", tmp_path / "fields.geojson")
    shutil.copy(SAMPLE / "rendered_farm_truth.tif", tmp_path / "truth.tif")
    monkeypatch.chdir(tmp_path)
    common = {"INPUT": "in.tif", "PSF": 2.0, "THREADS": 1, "REPORT": "page.html"}
    made = {"OUTPUT": "fine.tif", "DETAIL_MAP": "detail.tif"}
    execute("enhanceraster", {**common, **made})
    execute("enhanceparcels", {**common, **made, "OUTPUT": "fields.tif", "PARCELS": "fields.geojson", "TABLE": "table.gpkg"})
    execute("parcelreport", {**common, "PARCELS": "fields.geojson", "TABLE": "other.gpkg"})
    execute("qualityreport", {"REFERENCE": "truth.tif", "ENHANCED": "fine.tif", "REPORT": "quality.html", "FIGURES": "figures.json"})
    wanted = {"fine.tif", "detail.tif", "fields.tif", "table.gpkg", "other.gpkg", "page.html", "quality.html", "figures.json"}
    assert wanted <= {path.name for path in tmp_path.iterdir()}


def test_selected_parcels_and_the_look_of_the_input(farm: QgsRasterLayer, tmp_path: Path) -> None:
    farm.renderer().setRedBand(4)
    parcels = QgsVectorLayer(str(SAMPLE / "rendered_farm_parcels.geojson"), "parcels")
    QgsProject.instance().addMapLayer(parcels)
    parcels.selectByIds([feature.id() for feature in parcels.getFeatures()][:2])
    context = QgsProcessingContext()
    output, table = str(tmp_path / "out.tif"), str(tmp_path / "table.gpkg")
    context.addLayerToLoadOnCompletion(output, QgsProcessingContext.LayerDetails("out", QgsProject.instance(), "OUTPUT"))
    source = QgsProcessingFeatureSourceDefinition(parcels.id(), True)
    execute("enhanceparcels", quick(farm, tmp_path / "out.tif", PARCELS=source, TABLE=table), context=context)
    assert QgsVectorLayer(table, "table").featureCount() == 2
    result = QgsRasterLayer(output, "out")
    context.layerToLoadOnCompletionDetails(output).postProcessor().postProcessLayer(result, context, Feedback())
    assert result.name() == "farm ×4"
    assert result.renderer().redBand() == 4
    one, other = result.renderer().redContrastEnhancement(), farm.renderer().redContrastEnhancement()
    assert (one.minimumValue(), one.maximumValue()) == (other.minimumValue(), other.maximumValue())


def test_an_extent_in_another_crs(farm: QgsRasterLayer, tmp_path: Path) -> None:
    middle = farm.extent().center()
    part = QgsRectangle(middle.x() - 95, middle.y() - 95, middle.x() + 95, middle.y() + 95)
    lonlat = QgsCoordinateTransform(UTM, QgsCoordinateReferenceSystem("EPSG:4326"), QgsCoordinateTransformContext()).transformBoundingBox(
        part
    )
    text = f"{lonlat.xMinimum()},{lonlat.xMaximum()},{lonlat.yMinimum()},{lonlat.yMaximum()} [EPSG:4326]"
    execute("enhanceraster", quick(farm, tmp_path / "part.tif", EXTENT=text, DETAIL_MAP=str(tmp_path / "detail.tif")))
    result = QgsRasterLayer(str(tmp_path / "part.tif"))
    assert result.extent().contains(part)
    assert result.extent().width() < 300
    assert result.dataProvider().sourceNoDataValue(1) == farm.dataProvider().sourceNoDataValue(1)
    assert QgsRasterLayer(str(tmp_path / "detail.tif")).extent() == result.extent()


def test_parcel_and_quality_report(farm: QgsRasterLayer, tmp_path: Path) -> None:
    parcels = drawn(farm)
    words = {"INPUT": farm.id(), "PARCELS": parcels.id(), "PSF": 2.0, "TABLE": str(tmp_path / "t.gpkg"), "REPORT": str(tmp_path / "r.html")}
    assert execute("parcelreport", words)["COUNT"] == 1
    assert "поле 0" in (tmp_path / "r.html").read_text(encoding="utf-8")
    execute("enhanceraster", quick(farm, tmp_path / "farm.tif"))
    truth = SAMPLE / "rendered_farm_truth.tif"
    words = {"REFERENCE": str(truth), "ENHANCED": str(tmp_path / "farm.tif"), "INPUT": farm.id(), "REPORT": str(tmp_path / "q.html")}
    found = execute("qualityreport", {**words, "FIGURES": str(tmp_path / "q.json")})
    assert found["PSNR"] == json.loads((tmp_path / "q.json").read_text())["together"]["psnr"] > 30
    page = (tmp_path / "q.html").read_text(encoding="utf-8")
    assert "Interpolation alone" in page
    assert f"{found['PSNR']:.2f}" in page


def test_the_parcel_report_asks_for_nothing_of_a_raster_that_is_not_kept(provider: SrGeoProvider) -> None:
    assert provider.algorithm("parcelreport").parameterDefinition("COG") is None
    assert provider.algorithm("enhanceparcels").parameterDefinition("COG") is not None


@pytest.mark.parametrize(
    ("uri", "words"),
    [("Polygon?crs=EPSG:32642", "no parcels"), ("Polygon?crs=", "no CRS")],
)
def test_parcels_that_will_not_do(farm: QgsRasterLayer, tmp_path: Path, uri: str, words: str) -> None:
    parcels = QgsVectorLayer(uri, "odd", "memory")
    if "EPSG" not in uri:
        parcels.setCrs(QgsCoordinateReferenceSystem())
    QgsProject.instance().addMapLayer(parcels)
    with pytest.raises(QgsProcessingException, match=words):
        execute("enhanceparcels", quick(farm, tmp_path / "out.tif", PARCELS=parcels.id()))
    assert list(tmp_path.iterdir()) == []


def test_parcels_outside_the_raster(farm: QgsRasterLayer, tmp_path: Path) -> None:
    parcels = drawn(farm, "EPSG:32642", QgsGeometry.fromRect(QgsRectangle(0, 0, 100, 100)))
    with pytest.raises(QgsProcessingException, match=r"outside|extent"):
        execute("enhanceparcels", quick(farm, tmp_path / "out.tif", PARCELS=parcels.id()))


def test_a_raster_that_is_gone(tmp_path: Path) -> None:
    shutil.copy(FARM, tmp_path / "in.tif")
    layer = QgsRasterLayer(str(tmp_path / "in.tif"), "in")
    QgsProject.instance().addMapLayer(layer)
    (tmp_path / "in.tif").unlink()
    with pytest.raises(QgsProcessingException, match="no longer there"):
        execute("enhanceraster", quick(layer, tmp_path / "out.tif"))
    QgsProject.instance().removeMapLayer(layer.id())


def test_cancel_leaves_nothing(farm: QgsRasterLayer, tmp_path: Path) -> None:
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        execute("enhanceraster", quick(farm, tmp_path / "out.tif", TILE=16), Feedback(cancel=True))
    assert list(tmp_path.iterdir()) == []


def script(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('case "$2" in *launch*|*watch*) kill -9 $$;; esac', "memory .* in the toolbox"),
        ('case "$2" in *watch*) ulimit -f 200;; esac', r"out\.tif|File too large|written|room"),
    ],
    ids=["killed", "disk full"],
)
def test_a_worker_that_dies(farm: QgsRasterLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, body: str, words: str) -> None:
    toolkit_python = os.environ["SR_GEO_PYTHON"]
    monkeypatch.setenv("SR_GEO_PYTHON", script(tmp_path / "python", f'{body}\nexec "{toolkit_python}" "$@"'))
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(QgsProcessingException, match=words):
        execute("enhanceraster", quick(farm, out / "out.tif", TILE=16))
    assert list(out.iterdir()) == []


def test_without_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SR_GEO_PYTHON")
    QgsSettings().remove("sr_geo/python")
    for algorithm in ALGORITHMS:
        good, words = algorithm().canExecute()
        assert not good
        assert "Set up" in words
    monkeypatch.setenv("SR_GEO_PYTHON", "/gone/python")
    assert "/gone/python" in EnhanceRaster().canExecute()[1]


def test_with_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the part for training, all but one can run, and that one says what is missing."""
    for parts, missing in (('["train"]', []), ("[]", [TrainRegion])):
        python = script(tmp_path / f"python{len(parts)}", f"echo '[\"9.9\", {parts}]'")
        monkeypatch.setenv("SR_GEO_PYTHON", python)
        answers = {algorithm: algorithm().canExecute() for algorithm in ALGORITHMS}
        assert [algorithm for algorithm, (good, _) in answers.items() if not good] == missing
        assert all("tick it and repair" in answers[algorithm][1] for algorithm in missing)


def test_training_that_is_not_installed(toolkit_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = f'case "$*" in *new-region*) echo "error: training needs torch: run pip" >&2; exit 1;; esac\nexec "{toolkit_python}" "$@"'
    monkeypatch.setenv("SR_GEO_PYTHON", script(tmp_path / "python", body))
    with pytest.raises(QgsProcessingException, match="tick it and repair"):
        execute("trainregion", {"FOLDER": str(SAMPLE), "MINUTES": 1, "RUN": str(tmp_path / "run")})


def test_training_hands_on_what_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker here writes its words down instead of training."""
    answer = '{"stage": "done", "model": "/runs/a/my-x4.onnx", "installed": "/models/my-x4.onnx", "models": []}'
    body = (
        f'case "$2" in *__version__*) echo \'["9.9", ["train"]]\'; exit;; esac\nshift 2\n'
        f'for word in "$@"; do echo "$word" >> "{tmp_path}/words"; done\necho \'{answer}\''
    )
    monkeypatch.setenv("SR_GEO_PYTHON", script(tmp_path / "python", body))
    parameters = {
        "FOLDER": str(SAMPLE),
        "MINUTES": 2.5,
        "BANDS": "r=3,g=2,b=1",
        "CHANGES": "loop.batch=2\nloop.patch=16",
        "RUN": str(tmp_path / "run"),
    }
    found = execute("trainregion", {**parameters, "INSTALL": False})
    assert (found["MODEL"], found["MODEL_FILE"]) == ("my-x4", "/runs/a/my-x4.onnx")
    said = (tmp_path / "words").read_text().splitlines()
    assert said[:3] == ["train", "new-region", str(SAMPLE)]
    assert said[said.index("--bands") + 1] == "r=3,g=2,b=1"
    assert [said[index + 1] for index, word in enumerate(said) if word == "--set"] == ["loop.batch=2", "loop.patch=16"]
    assert said[said.index("--max-minutes") + 1] == "2.5"
    assert "--no-install" in said


def test_a_folder_for_training_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(QgsProcessingException, match=r"run: the folder cannot be made .*choose another one"):
        execute("trainregion", {"FOLDER": str(SAMPLE), "MINUTES": 1, "RUN": str(tmp_path / "file" / "run")})


def test_models_that_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.known_models() == list(settings.SHIPPED)
    rows = [{"name": "north-x4", "domain": "satellite", "fault": ""}, {"name": "face", "domain": "face", "fault": ""}]
    settings.remember_models([*rows, {"name": "broken", "domain": "satellite", "fault": "damaged"}])
    Path(os.environ["SR_GEO_MODELS"]).mkdir(parents=True)
    (Path(os.environ["SR_GEO_MODELS"]) / "mine-x4.onnx").write_bytes(b"")
    assert settings.known_models() == [*settings.SHIPPED, "north-x4", "mine-x4"]
    algorithm = EnhanceRaster().create()
    assert isinstance(algorithm, QgsProcessingAlgorithm)
    assert "mine-x4" in algorithm.parameterDefinition("MODEL").options()


def test_parts_for_other_work_are_not_shown() -> None:
    found = [
        {"name": "gpu", "state": "warn", "detail": "old driver", "remedy": "a new one"},
        {"name": "extra faces", "state": "warn", "detail": "no faces", "remedy": "pip install"},
        {"name": "extra train", "state": "warn", "detail": "no torch", "remedy": "pip install"},
    ]
    gpu, train = of_the_plugin(found)
    assert gpu == found[0]
    assert "press Repair" in train["remedy"]
    found[2]["state"] = "ok"
    assert of_the_plugin(found)[1] == found[2]


def test_names_of_bands_become_options(farm: QgsRasterLayer, tmp_path: Path) -> None:
    feedback = Feedback()
    parameters = quick(farm, tmp_path / "out.tif", BLUE=1, GREEN=2, RED=3, NIR=4, OTHER_BANDS=2, CONSISTENCY=1, TILE=64, COG=True)
    execute("enhanceraster", parameters, feedback)
    command = next(line for line in feedback.said if line.startswith("sr-geo "))
    for words in ("--bands blue=1,green=2,red=3,nir=4", "--other-bands drop", "--consistency mean", "--tile 64", "--cog", "--device cpu"):
        assert words in command


def test_a_raster_in_memory_in_a_thread_of_processing(tmp_path: Path, qtbot: Any) -> None:
    gdal.Translate("/vsimem/piece.tif", str(FARM), srcWin=[0, 0, 40, 30])
    layer = QgsRasterLayer("/vsimem/piece.tif", "piece")
    QgsProject.instance().addMapLayer(layer)
    context, feedback, ended = QgsProcessingContext(), Feedback(), []
    context.setProject(QgsProject.instance())
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("srgeo:enhanceraster")
    task = QgsProcessingAlgRunnerTask(algorithm, quick(layer, tmp_path / "out.tif"), context, feedback)
    task.executed.connect(lambda good, results: ended.append((good, results)))
    QgsApplication.taskManager().addTask(task)
    qtbot.waitUntil(lambda: bool(ended), timeout=120_000)
    assert ended == [(True, {"OUTPUT": str(tmp_path / "out.tif")})]
    assert QgsRasterLayer(str(tmp_path / "out.tif")).width() == 160
    QgsProject.instance().removeMapLayer(layer.id())
    gdal.Unlink("/vsimem/piece.tif")


def test_it_can_be_a_step_of_a_model(farm: QgsRasterLayer, tmp_path: Path) -> None:
    model = QgsProcessingModelAlgorithm("two steps", "tests")
    model.addModelParameter(QgsProcessingParameterRasterLayer("IMAGE", "image"), QgsProcessingModelParameter("IMAGE"))
    step = QgsProcessingModelChildAlgorithm("srgeo:enhanceraster")
    step.addParameterSources("INPUT", [QgsProcessingModelChildParameterSource.fromModelParameter("IMAGE")])
    step.addParameterSources("PSF", [QgsProcessingModelChildParameterSource.fromStaticValue(2.0)])
    output = QgsProcessingModelOutput("FINE", "fine")
    output.setChildOutputName("OUTPUT")
    step.setModelOutputs({"FINE": output})
    name = model.addChildAlgorithm(step)
    model.updateDestinationParameters()
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    _, good = model.run({"IMAGE": farm.id(), f"{name}:FINE": str(tmp_path / "fine.tif")}, context, Feedback())
    assert good  # what the results are called differs between releases of QGIS
    assert QgsRasterLayer(str(tmp_path / "fine.tif")).width() == 4 * farm.width()


def test_no_heavy_module_came_in() -> None:
    assert {"rasterio", "shapely", "pyproj", "pyogrio", "geopandas", "torch", "onnxruntime"} & set(sys.modules) == set()
