"""What every run promises (docs/architecture.md, "Guarantees"), on real satellite data with the shipped network."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from sr_geo.consistency import Sensor, seen
from sr_geo.errors import BlurWarning, ConsistencyWarning
from sr_geo.models.catalog import entries
from sr_geo.radiometry import default_encoding
from sr_geo.raster.enhance import Result, enhance_raster
from sr_geo.raster.options import Options
from sr_geo.raster.roles import checked_role
from tests.onnx_models import card, write_model
from tests.raster.products import write_raster

FOUR, THREE = "satellite-rgbn-x4", "satellite-rgb-x4"

pytestmark = pytest.mark.skipif(not {FOUR, THREE} <= set(entries()), reason="the models are not part of this build")


@dataclass(frozen=True)
class Real:
    """A small part of a real scene."""

    file: str
    bands: dict[str, int]
    column: int
    row: int
    hole: bool = False
    """Whether the part holds nodata."""

    @property
    def model(self) -> str:
        return FOUR if "n" in self.bands else THREE


BGR = {"b": 1, "g": 2, "r": 3}
SCENES = {
    "Landsat 8, level 1": Real("itaipu_landsat8.tif", BGR, 90, 60),
    "Landsat 8, reflectance": Real("satellite/landsat/agnet_lc8_northdakota_2015245.tif", {**BGR, "n": 4}, 3000, 1500),
    "Landsat 8, edge": Real("satellite/pairs/lr_landsat8_20150902_BGRN_30m.tif", {**BGR, "n": 4}, 10, 0, hole=True),
    "Sentinel-2": Real("satellite/sentinel2/denmark_20160508_BGR_B2B3B4_uint16_10m.tif", BGR, 100, 150),
    "Sentinel-2, 13 bands": Real(
        "satellite/sentinel2/sen1floods11_spain_7370579_S2_13band.tif", {"b": 2, "g": 3, "r": 4, "n": 8}, 150, 200
    ),
}
SIZE = 52


@dataclass(frozen=True)
class Run:
    """A part of a scene before and after."""

    real: Real
    source: Path
    output: Path
    result: Result
    before: NDArray[Any]
    after: NDArray[Any]
    told: str
    """The warnings of the run."""


def crop(scene: Path, real: Real, target: Path) -> Path:
    """The part as a file of its own, with all labels; the hole is that of the scene."""
    with rasterio.open(scene) as dataset:
        window = Window(real.column, real.row, SIZE, SIZE)
        profile = {**dataset.profile, "height": SIZE, "width": SIZE, "transform": dataset.window_transform(window), "tiled": False}
        for key in ("blockxsize", "blockysize", "compress"):
            profile.pop(key, None)
        with rasterio.open(target, "w", **{**profile, "driver": "GTiff"}) as part:
            part.write(dataset.read(window=window))
            part.descriptions, part.scales, part.offsets = dataset.descriptions, dataset.scales, dataset.offsets
    return target


def options(real: Real, **changes: Any) -> Options:  # noqa: ANN401
    return Options(**{"model": real.model, "bands": real.bands, "psf": 1.5, "threads": 1, "device": "cpu", **changes})


@pytest.fixture(scope="module", params=SCENES.values(), ids=SCENES.keys())
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Run:
    real: Real = request.param
    scene = repository / "sample_data" / real.file
    if not scene.exists():
        scene = request.getfixturevalue("data_root") / real.file
    if not scene.exists():
        pytest.skip(f"no test imagery: {scene} is missing")
    folder = tmp_path_factory.mktemp("real")
    source, output = crop(scene, real, folder / "in.tif"), folder / "out.tif"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConsistencyWarning)
        result = enhance_raster(source, output, options(real))
    told = " ".join(str(warning.message) for warning in caught)
    with rasterio.open(source) as before, rasterio.open(output) as after:
        return Run(real, source, output, result, before.read(), after.read(), told)


def network_bands(run: Run) -> list[int]:
    return [position for position, band in enumerate(run.result.planning.bands) if band.way == "network"]


def test_geometry(run: Run) -> None:
    with rasterio.open(run.source) as before, rasterio.open(run.output) as after:
        assert after.crs == before.crs
        assert after.shape == (4 * SIZE, 4 * SIZE)
        assert after.transform.almost_equals(before.transform @ Affine.scale(1 / 4), precision=1e-12)
        np.testing.assert_allclose(after.bounds, before.bounds, rtol=1e-14)


def test_labels(run: Run) -> None:
    with rasterio.open(run.source) as before, rasterio.open(run.output) as after:
        for trait in ("count", "dtypes", "nodata", "scales", "offsets", "units", "colorinterp"):
            assert getattr(after, trait) == getattr(before, trait), trait
        roles = {number - 1: checked_role(name) for name, number in run.real.bands.items()}
        assert after.descriptions == tuple(text or roles.get(index) for index, text in enumerate(before.descriptions))


def test_radiometry(run: Run) -> None:
    """No stretch: means stay, and values are of the same magnitude."""
    with rasterio.open(run.source) as source, rasterio.open(run.output) as output:
        for number in range(1, source.count + 1):
            before, after = (dataset.read(number, masked=True).astype(np.float64) for dataset in (source, output))
            assert abs(after.mean() - before.mean()) <= 0.002 * max(np.ptp(before.compressed()), 1)
            assert abs(after.std() - before.std()) <= 0.5 * before.std() + 1


def test_nodata(run: Run) -> None:
    with rasterio.open(run.source) as source, rasterio.open(run.output) as output:
        before, after = source.read_masks(), output.read_masks()
    np.testing.assert_array_equal(after, before.repeat(4, axis=1).repeat(4, axis=2))
    assert (before == 0).any() == run.real.hole


def test_consistency_to_the_outermost_pixels(run: Run) -> None:
    """Beyond its border the scene goes on as its mirror image, and so does the result."""
    with rasterio.open(run.source) as source:
        valid = source.read_masks() != 0
    for position in network_bands(run):
        band = run.result.planning.bands[position]
        sensor = Sensor(band.sigma)
        reach = 4 * sensor.reach
        before = run.before[position].astype(np.float32)
        sound = valid[position]
        again = seen(np.pad(run.after[position].astype(np.float32), reach, mode="symmetric"), sensor)
        if not sound.all():
            fine = np.pad(sound.repeat(4, axis=0).repeat(4, axis=1), reach, mode="symmetric")
            sound = seen(fine.astype(np.float32), sensor) > 1 - 1e-4
        difference = np.abs(again - before)
        allowed = 0.5 if run.before.dtype == np.uint8 else 0.002 * np.ptp(before[sound])
        assert difference[sound].mean() <= allowed
        edge = sound.copy()
        edge[1:-1, 1:-1] = False
        assert difference[edge].mean() <= 1.5 * allowed


def test_bands_that_cannot_be_consistent_are_named(run: Run) -> None:
    """20 m bands repeated on a grid of 10 m are sharper than any blur allows."""
    with rasterio.open(run.source) as source:
        valid = source.read_masks() != 0
    named = set(run.told.partition(": ")[2].partition(": ")[0].split(", "))
    for position, band in enumerate(run.result.planning.bands):
        before, after = run.before[position].astype(np.float32), run.after[position].astype(np.float32)
        if band.way == "nearest" or not valid[position].all():
            continue
        sensor = Sensor(band.sigma)
        inner = slice(sensor.reach, SIZE - sensor.reach)
        drift = float(np.abs(seen(after, sensor) - before[inner, inner]).mean())
        promised = 0.5 if run.before.dtype == np.uint8 else 0.002 * float(np.ptp(before))
        if drift > 1.1 * promised:
            assert band.role in named
        if drift < 0.9 * promised:
            assert band.role not in named


def test_tiles_equal_the_whole(run: Run, tmp_path: Path) -> None:
    """As floats, so that rounding hides nothing."""
    with rasterio.open(run.source) as source:
        values, nodata = source.read().astype(np.float32), source.nodata
        path = write_raster(tmp_path / "in.tif", values, nodata=nodata)
    images = []
    for tile in (16, 64):
        enhance_raster(path, tmp_path / f"{tile}.tif", options(run.real, tile=tile))
        with rasterio.open(tmp_path / f"{tile}.tif") as after:
            images.append(after.read())
    np.testing.assert_allclose(images[0], images[1], atol=1e-5 * np.ptp(values), rtol=0)


def test_gain_and_offset_do_not_matter(run: Run, tmp_path: Path) -> None:
    values = run.before[network_bands(run)].astype(np.float32)
    gain, offset = np.float32(default_encoding("uint16").scale), np.array([0.1, 0.0, -0.05, 0.2], np.float32)[: len(values), None, None]
    if run.real.hole:
        pytest.skip("its nodata value would become another")
    roles = {band.role or "": number for number, band in enumerate((run.result.planning.bands[i] for i in network_bands(run)), 1)}
    images = []
    for name, stored in (("a", values), ("b", values * gain + offset)):
        source = write_raster(tmp_path / f"{name}.tif", stored)
        enhance_raster(source, tmp_path / f"fine_{name}.tif", options(run.real, bands=roles))
        with rasterio.open(tmp_path / f"fine_{name}.tif") as after:
            images.append(after.read())
    np.testing.assert_allclose((images[1] - offset) / gain, images[0], atol=2e-4 * np.ptp(values))


# Holes that one band has and the others have not


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> tuple[Path, NDArray[np.float32]]:
    """The sample and a mixture of its bands, with holes in red and in the mixture that are far wider than the halo."""
    with rasterio.open(repository / "sample_data" / "itaipu_landsat8.tif") as dataset:
        values = dataset.read(window=Window(0, 0, 128, 128)).astype(np.float32)
    values = np.concatenate([values, 0.5 * values[:1] + 0.4 * values[2:]])
    values[2, 8:110, 12:] = -1
    values[3, 40:70, :70] = -1
    values[:, 85:, 100:] = -1  # of all bands
    folder = tmp_path_factory.mktemp("holed")
    return write_raster(folder / "in.tif", values, descriptions=["blue", "green", "red", "swir1"], nodata=-1), values


@pytest.mark.parametrize("network", ["shipped", "tiny"])
def test_a_hole_of_one_band_leaves_tiles_equal_to_the_whole(tmp_path: Path, holed: tuple[Path, NDArray[np.float32]], network: str) -> None:
    source, values = holed
    model = THREE if network == "shipped" else write_model(tmp_path / "tiny.onnx", card(bands=("blue", "green", "red")))
    images = []
    for tile in (32, 128) if network == "shipped" else (16, 32, 128):
        chosen = Options(model=model, psf=1.5, threads=1, device="cpu", tile=tile)
        result = enhance_raster(source, tmp_path / f"{tile}.tif", chosen, detail_map=tmp_path / f"{tile}_detail.tif")
        assert 2 * result.planning.halo < 102
        with rasterio.open(tmp_path / f"{tile}.tif") as after, rasterio.open(tmp_path / f"{tile}_detail.tif") as detail:
            images.append(np.concatenate([after.read(), detail.read()]))
        assert [band.way for band in result.planning.bands] == ["network"] * 3 + ["guided"]
    for image in images[:-1]:
        np.testing.assert_allclose(image, images[-1], atol=1e-5 * np.ptp(values), rtol=0)
    np.testing.assert_array_equal(images[0][:4] == -1, (values == -1).repeat(4, axis=1).repeat(4, axis=2))


def test_what_is_cut_off_a_blur_is_told(tmp_path: Path, holed: tuple[Path, NDArray[np.float32]]) -> None:
    source, _ = holed
    tiny = write_model(tmp_path / "tiny.onnx", card(bands=("blue", "green", "red")))
    with pytest.warns(BlurWarning, match=r"blur of blue 0\.50, green 0\.50, red 0\.50: tiny knows 1 to 3\.2 output pixels"):
        result = enhance_raster(source, tmp_path / "out.tif", Options(model=tiny, psf=0.5, threads=1, device="cpu"))
    assert [band.sigma for band in result.planning.bands] == [1.0] * 3 + [0.5]
