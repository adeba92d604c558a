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


def load(name: str, repository: Path) -> ModuleType:
    """A script below training/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, repository / "training" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def peers(repository: Path) -> Iterator[ModuleType]:
    folder = repository / "training"
    sys.path.insert(0, str(folder))  # it imports its neighbours
    yield load("benchmark_peers", repository)
    sys.path.remove(str(folder))


def test_pictures_are_spaced_evenly_from_the_first(peers: ModuleType) -> None:
    found = {str(number): np.zeros((1, 1, 1), np.float32) for number in range(72)}
    assert list(peers.evenly(found)) == [str(number) for number in range(0, 72, 2)]
    assert list(peers.evenly(dict(list(found.items())[:36]))) == [str(number) for number in range(36)]
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
        edge = 8  # pixels that the comparison leaves out, since the command continues the picture further than it does
        inside = (slice(None), slice(edge, -edge), slice(edge, -edge))
        np.testing.assert_allclose(made[inside], whole[inside], atol=5e-3 if domain == "plate" else 1e-3)
        if domain != "plate":  # the others are held to their input, which is seen
            assert np.abs(model.run(low) - whole)[inside].max() > 6e-3


def test_a_row_measured_again_takes_its_place_and_a_new_one_follows_its_test_set(repository: Path, tmp_path: Path) -> None:
    table = load("result_table", repository)
    rows = [{"test_set": name, "method": method, "psnr_db": "1"} for name in ("NAIP", "faces") for method in ("bicubic", "mine")]
    fresh = [{"test_set": "NAIP", "method": method, "psnr_db": "2"} for method in ("mine", "newest")]
    found = table.put(rows, fresh, ("test_set", "method"))
    first = [("NAIP", "bicubic", "1"), ("NAIP", "mine", "2"), ("NAIP", "newest", "2")]
    assert [tuple(row.values()) for row in found] == [*first, ("faces", "bicubic", "1"), ("faces", "mine", "1")]
    path = tmp_path / "results" / "table.csv"
    assert table.read_rows(path) == []
    table.write_rows(path, ("test_set", "method", "psnr_db", "lpips"), found)
    assert table.read_rows(path) == [row | {"lpips": ""} for row in found]
    with pytest.raises(ValueError, match="oddity"):
        table.write_rows(path, ("test_set",), [{"oddity": 1}])
    assert len(table.read_rows(path)) == len(found)


def test_differences_are_formed_picture_by_picture(peers: ModuleType) -> None:
    # t of 0.975 with two degrees of freedom is 4.3027; the differences 1, 2, 3 have a standard deviation of 1.
    ours, theirs = {"a": 11.0, "b": 22.0, "c": 33.0}, {"c": 30.0, "b": 20.0, "a": 10.0}
    expected = pytest.approx((2.0, 2.0 - 4.3027 / 3**0.5, 2.0 + 4.3027 / 3**0.5), abs=1e-4)
    assert peers.beyond(ours, theirs, {name: name for name in ours}) == expected
    # A second picture of everybody that is like the first says nothing new.
    twice, of_them = ({f"{name}{number}": value for name, value in one.items() for number in "12"} for one in (ours, theirs))
    assert peers.beyond(twice, of_them, {name: name[0] for name in twice}) == expected
    # Of a subject with three pictures and one with one, whose mean differences are 1 and 5: 2 in the mean, off by 3 · (1 − 2) and 5 − 2.
    unequal = {"a1": 0.0, "a2": 1.0, "a3": 2.0, "b": 5.0}
    error = np.sqrt(2 / 1 * (3.0**2 + 3.0**2)) / 4
    half = 12.7062 * error
    found = peers.beyond(unequal, dict.fromkeys(unequal, 0.0), {name: name[0] for name in unequal})
    assert found == pytest.approx((2.0, 2.0 - half, 2.0 + half), rel=1e-4)
    assert [np.isnan(value) for value in peers.beyond(ours, theirs, dict.fromkeys(ours, "one patient"))] == [False, True, True]


def test_the_table_is_made_of_the_pictures(peers: ModuleType) -> None:
    psnr = {"bicubic": (20.0, 22.0), "realsr-df2k": (21.0, 24.0), "sr-geo (mine)": (23.0, 25.0)}
    each = [
        {"test_set": "faces", "method": method, "picture": name, "subject": name}
        | {"psnr_db": value, "ssim": 0.5, "lpips": value / 100, "dists": 0.0}
        for method, values in psnr.items()
        for name, value in zip("ab", values, strict=True)
    ]
    bicubic, theirs, mine = peers.summary(each, {method: dict.fromkeys(peers.COSTS, 7) for method in psnr})
    assert (bicubic["gain_db"], theirs["gain_db"], mine["gain_db"]) == ("0.00", "1.50", "3.00")
    assert (mine["pictures"], mine["psnr_db"], mine["parameters"]) == (2, "24.00", 7)
    assert (mine["psnr_db_beyond"], mine["lpips_beyond"]) == ("+1.50", "+0.0150")
    assert "psnr_db_beyond" not in theirs


def test_the_committed_table_is_made_of_the_committed_pictures(peers: ModuleType) -> None:
    table, each = peers.read_rows(peers.TABLE), peers.read_rows(peers.EACH)
    made = peers.summary(each, {row["method"]: {name: row[name] for name in peers.COSTS} for row in table})
    assert [{name: str(row.get(name, "")) for name in peers.COLUMNS} for row in made] == table
