"""The comparison with networks of others: which pictures it takes, and how it counts work."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sr_geo.models.catalog import entries
from sr_geo.models.session import open_model
from tests.onnx_models import card, write_model


@pytest.fixture(scope="module")
def peers(repository: Path) -> Iterator[ModuleType]:
    folder = repository / "training"
    sys.path.insert(0, str(folder))  # it imports its neighbour
    spec = importlib.util.spec_from_file_location("benchmark_peers", folder / "benchmark_peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(folder))


def test_pictures_are_spaced_evenly_from_the_first(peers: ModuleType) -> None:
    assert peers.evenly(list(range(5))) == [0, 1, 2, 3, 4]
    assert peers.evenly(list(range(36))) == [0, 6, 12, 18, 24, 30]
    assert peers.middle(np.zeros((3, 301, 90), np.float32)).shape == (3, 256, 88)


def test_multiplications_are_those_of_the_convolutions(peers: ModuleType, tmp_path: Path) -> None:
    # At the fine pixels: one filter of 3 × 3 in each band, and a mixture of the three bands.
    path = write_model(tmp_path / "tiny.onnx", card(bands=("red", "green", "blue")))
    assert peers.count_macs(path) == 3 * 9 + 3 * 3


@pytest.mark.parametrize("name", ["satellite-rgb-x4", "face-rgb-x4", "medical-gray-x4", "plate-rgb-x4"])
def test_the_shipped_way_is_the_one_of_the_commands(name: str, peers: ModuleType) -> None:
    model = open_model(entries()[name].path, device="cpu", threads=1)
    domain = model.card.domain
    low = 0.5 + gaussian_filter(np.random.default_rng(0).normal(size=(len(model.card.bands), 20, 26)), (0, 1.5, 1.5)).astype(np.float32)
    made = peers.ours(model, domain)(low)
    assert made.shape == (len(low), 80, 104)
    if domain == "satellite":
        sensor = peers.Sensor(peers.SIGMA, 4)
        again = np.stack([peers.seen(plane, sensor) for plane in made])
        inside = low[:, sensor.reach : -sensor.reach, sensor.reach : -sensor.reach]
        assert np.abs(again - inside).mean() < 0.02 * np.std(low)
    else:
        from sr_geo.imaging.domains import open_enlarger

        whole = open_enlarger(domain, name, device="cpu", threads=1)(low)
        edge = 4 * 10  # the command continues the picture further than the comparison does
        np.testing.assert_allclose(made[:, edge:-edge, edge:-edge], whole[:, edge:-edge, edge:-edge], atol=0.03)


def test_a_row_measured_again_takes_its_place_and_a_new_one_follows_its_test_set(peers: ModuleType) -> None:
    table = [{"test_set": name, "method": method, "psnr_db": "1"} for name in ("NAIP", "faces") for method in ("bicubic", "mine")]
    fresh = [{"test_set": "NAIP", "method": method, "psnr_db": "2"} for method in ("mine", "newest")]
    found = [(row["test_set"], row["method"], row["psnr_db"]) for row in peers.merged(table, fresh)]
    first = [("NAIP", "bicubic", "1"), ("NAIP", "mine", "2"), ("NAIP", "newest", "2")]
    assert found == [*first, ("faces", "bicubic", "1"), ("faces", "mine", "1")]
