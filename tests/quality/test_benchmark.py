"""The evidence script in training/: its sensor and interpolations are written apart from the package, and must agree with it."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import reproject

from sr_geo.consistency import Sensor, seen
from sr_geo.quality.metrics import psnr


@pytest.fixture(scope="module")
def script(repository: Path) -> Iterator[ModuleType]:
    folder = repository / "training"
    sys.path.insert(0, str(folder))  # it imports its neighbours
    yield importlib.import_module("benchmark_satellite")
    sys.path.remove(str(folder))
    for name in ("benchmark_satellite", "scenes"):
        sys.modules.pop(name, None)


def picture(bands: int = 4, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return (100.0 + 60.0 * gaussian_filter(np.random.default_rng(5).normal(size=(bands, *size)), (0, 1.5, 1.5))).astype(np.float32)


@pytest.mark.parametrize("sigma", [1.0, 1.2, 1.6, 2.0, 2.4, 2.8, 3.2])
def test_its_sensor_is_the_one_of_the_package(script: ModuleType, sigma: float) -> None:
    hr, sensor = picture(), Sensor(sigma)
    pad = sensor.reach * 4
    around = np.pad(hr, ((0, 0), (pad, pad), (pad, pad)), mode="edge")
    assert np.abs(script.degrade(hr, sigma) - np.stack([seen(plane, sensor) for plane in around])).max() < 1e-3


@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos3"])
def test_interpolation_keeps_constants_and_corners(script: ModuleType, method: str) -> None:
    assert np.allclose(script.interpolate(np.full((1, 6, 9), 7.0, np.float32), method), 7.0, atol=1e-5)
    position = (np.arange(16 * 4) + 0.5) / 4 - 0.5
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32), (1, 5, 16))
    inner = np.s_[12:-12]
    tolerance = 0.03 if method == "lanczos3" else 1e-5  # the windowed sinc does not reproduce ramps
    assert np.abs(script.interpolate(ramp, method)[0, 0] - position)[inner].max() < tolerance


def test_bicubic_is_that_of_pillow(script: ModuleType) -> None:
    from PIL import Image

    lr = picture(1, (24, 32))[0]
    theirs = np.asarray(Image.fromarray(lr).resize((128, 96), Image.Resampling.BICUBIC))
    assert np.abs(script.interpolate(lr[None], "bicubic")[0] - theirs)[12:-12, 12:-12].max() < 1e-3


def test_a_network_that_interpolates_is_interpolation_and_the_control_is_its_consistent_form(script: ModuleType) -> None:
    lr = script.degrade(picture(), 1.6)
    network = script.Network(lambda around, _: script.interpolate(around, "bicubic"), script.RGBN, 5, (1.0, 3.2))
    found = script.enhanced(lr, 1.6, network)
    inner = np.s_[:, 12:-12, 12:-12]  # the edge: mirrored here, replicated there
    assert np.abs(found["network"] - script.interpolate(lr, "bicubic"))[inner].max() < 1e-3
    assert np.abs(found["network+psf"] - script.control(lr, 1.6)).max() < 1e-2
    assert np.abs(found["network+mean"].reshape(4, 24, 4, 32, 4).mean(axis=(2, 4)) - lr).max() < 1e-3


def test_errors_of_ndvi_are_none_for_the_truth(script: ModuleType) -> None:
    hr = picture()
    assert set(script.ndvi_errors(hr, hr, script.RGBN, 1).values()) == {0.0}
    assert script.ndvi_errors(hr[:3], hr[:3], script.RGB, 1) == {}
    flat = np.broadcast_to(np.array([1.0, 2.0, 3.0, 9.0], np.float32)[:, None, None], hr.shape)
    coarse = script.degrade(flat, 2.0)
    assert max(script.ndvi_errors(flat, coarse, script.RGBN, 4).values()) < 1e-6


def test_a_run_writes_its_table(script: ModuleType, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "plot", lambda *_: None)
    rows = script.main(["--data", str(data_root), "--sources", "naip", "--sigmas", "2.0", "--quick", "--out", str(tmp_path)])
    gains = {row.method: row.mean("gain_db") for row in rows if row.sigma == 2.0}
    assert gains["bilinear"] < gains["bicubic"] == 0.0 < gains["lanczos3"] < gains["bicubic+psf"]
    lines = (tmp_path / "interpolation-x4.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + len(rows)
    assert len({line.count(",") for line in lines}) == 1


def test_the_test_pictures_are_the_held_out_ones(script: ModuleType, data_root: Path) -> None:
    import rasterio

    source = script.naip(data_root / "satellite")
    assert len(source.images) == 10
    first = sorted((data_root / "satellite/hr/naip").glob("*.tif"))[0]
    with rasterio.open(first) as dataset:
        red = dataset.read(1)
    assert np.array_equal(source.images[0][script.RGBN.index("red")], red[572:720, :616])
    assert psnr(source.images[0], source.images[0], data_range=255.0).together == np.inf


def test_a_scene_on_a_grid_of_degrees_is_read_on_that_of_its_sensor(script: ModuleType, tmp_path: Path) -> None:
    scenes = sys.modules["scenes"]
    values = np.random.default_rng(3).integers(1, 10_000, (2, 540, 440)).astype(np.int16)
    taken = scenes.TAKEN["transform"] @ Affine.translation(-24, -20)
    degrees = Affine(8.983e-5, 0.0, -0.7818936, 0.0, -8.983e-5, 38.1288126)
    profile = {"driver": "GTiff", "dtype": "int16", "count": 2, "nodata": 0}
    with rasterio.open(tmp_path / "taken.tif", "w", crs="EPSG:32630", transform=taken, width=440, height=540, **profile) as dataset:
        dataset.write(values)
    doubled = np.zeros((2, 512, 512), np.int16)
    reproject(values, doubled, src_transform=taken, src_crs="EPSG:32630", dst_transform=degrees, dst_crs="EPSG:4326", tolerance=0.0)
    with rasterio.open(tmp_path / scenes.SPAIN, "w", crs="EPSG:4326", transform=degrees, width=512, height=512, **profile) as dataset:
        dataset.write(doubled)
    assert 0.15 < (doubled[:, :, 1:] == doubled[:, :, :-1]).mean() < 0.25
    with scenes.open_scene(tmp_path / scenes.SPAIN) as dataset:
        found = dataset.read()
    # The rest are neighbours: GDAL projects to an eighth of a pixel.
    assert (found == values[:, 20 : 20 + found.shape[1], 24 : 24 + found.shape[2]]).mean() > 0.99
    with scenes.open_scene(tmp_path / "taken.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), values)  # all other files are read as they are
