"""What is shipped has figures of its own weights, and nothing is replaced before all is made."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest

from sr_geo.models.catalog import entries
from sr_geo.models.session import open_model
from sr_geo.train.export import write
from sr_geo.train.quantise import halve
from tests.onnx_models import card, write_model

MODULES = ("ship", "renew_cards", "benchmark_pictures", "result_table", "enlarging")


@pytest.fixture
def scripts(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The scripts below training/, which lie beside each other and not in a package."""
    monkeypatch.syspath_prepend(str(repository / "training"))
    yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    for name in MODULES:
        sys.modules.pop(name, None)


def test_weights_are_told_by_themselves_and_not_by_card_or_precision(scripts: SimpleNamespace, tmp_path: Path) -> None:
    print_of = scripts.benchmark_pictures.fingerprint
    path, half = entries()["face-rgb-x4"].path, tmp_path / "half.onnx"
    model = open_model(path, device="cpu", threads=1)
    write(halve(onnx.load(path), compute=False), model.card.model_copy(update={"title": "another card"}), half)
    assert half.stat().st_size != path.stat().st_size
    assert print_of(half) == print_of(path)
    assert print_of(entries()["plate-rgb-x4"].path) != print_of(path)


def test_figures_of_other_weights_do_not_come_into_a_card(scripts: SimpleNamespace) -> None:
    row = {"domain": "face", "test_set": "people", "input": "bicubic", "method": "network", "pictures": "36"}
    figures = {"psnr_db": "33.31", "gain_db": "2.55", "ssim": "0.9", "lpips": "0.2"}
    bicubic = row | {"method": "bicubic", "weights": "", "psnr_db": "30.76", "gain_db": "0.00", "ssim": "0.8", "lpips": "0.4"}
    table = [row | figures | {"weights": "aa"}, bicubic, bicubic | {"input": "trained", "ssim": "0.7"}]
    found = scripts.ship.of_pictures(table, "face", "network", "aa")
    assert {one.metric: one.value for one in found} == {
        "PSNR gain over bicubic, dB": 2.55, "SSIM": 0.9, "SSIM of bicubic": 0.8, "LPIPS (AlexNet)": 0.2, "LPIPS of bicubic": 0.4,
    }  # fmt: skip
    assert {one.test_set for one in found} == {"people, 36 test pictures"}
    for domain, weights in (("face", "bb"), ("plate", "aa")):
        with pytest.raises(SystemExit, match="measure them first"):
            scripts.ship.of_pictures(table, domain, "network", weights)


def test_a_figure_of_satellites_that_was_not_measured_is_left_out(scripts: SimpleNamespace) -> None:
    row = {"source": "naip", "method": "network+psf", "sigma": "1.6", "sigma_given": "1.6", "gain_db": "2.614", "ssim": "0.71", "lpips": ""}
    others = [row | {"sigma_given": "1.2"}, row | {"method": "bicubic"}]
    found = scripts.ship.of_satellites([row, *others])
    gain = "PSNR gain over bicubic, dB"
    assert [(one.condition, one.metric, one.value) for one in found] == [
        *(("sigma 1.6, no noise, told as it is", name, value) for name, value in ((gain, 2.61), ("SSIM", 0.71), ("SSIM of bicubic", 0.71))),
        *(("sigma 1.6, no noise, told 1.2", name, value) for name, value in ((gain, 2.61), ("SSIM", 0.71))),
    ]


@pytest.mark.parametrize("name", entries())
def test_figures_of_cards_are_those_of_the_tables(name: str, scripts: SimpleNamespace) -> None:
    card = open_model(entries()[name].path, device="cpu", threads=1).card
    found = scripts.renew_cards.measured(card, entries()[name].path)
    assert len(found) >= 3
    assert [figure for figure in card.quality if figure.test_set not in scripts.renew_cards.KEPT] == found


def test_a_twin_is_held_to_what_its_network_gains(scripts: SimpleNamespace) -> None:
    row = {"source": "naip", "method": "network+psf", "sigma": "1.6", "sigma_given": "1.6", "gain_db": "2.6", "ssim": "0.7"}
    ours, good, bad = (scripts.ship.of_satellites([row | {"gain_db": gain}]) for gain in ("2.6", "2.5", "2.45"))
    scripts.ship.check_losses("twin", ours, good)
    with pytest.raises(SystemExit, match=r"as it is: 0\.15 dB; ship without"):
        scripts.ship.check_losses("twin", ours, bad)
    for one, other in ((ours, []), ([], good)):
        with pytest.raises(SystemExit, match="not measured on the same test sets"):
            scripts.ship.check_losses("twin", one, other)


def test_a_model_that_fails_half_way_leaves_what_is_shipped(
    scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, run = tmp_path / "models" / "weights", tmp_path / "run"
    weights.mkdir(parents=True)
    run.mkdir()
    write_model(weights / "plain.onnx", card(name="plain"))
    (weights / "index.json").write_text('{"plain": "0"}', encoding="utf-8")
    before = {path.name: path.read_bytes() for path in weights.iterdir()}
    (run / "recipe.json").write_text('{"name": "plain", "domain": "photo", "leaning": "fidelity"}', encoding="utf-8")
    table = tmp_path / "pictures.csv"
    row = {"domain": "photo", "test_set": "Set5", "input": "bicubic", "method": "network", "pictures": "5", "gain_db": "1.0"}
    row["weights"] = scripts.benchmark_pictures.fingerprint(weights / "plain.onnx")
    scripts.result_table.write_rows(table, tuple(row), [row])
    made = []

    def export(checkpoint: Path, path: Path, *, precision: str = "fp32", **_: object) -> SimpleNamespace:
        write_model(path, card(name="plain"))
        made.append(precision)
        return SimpleNamespace(difference=0.0, psnr_lost=0.3)

    monkeypatch.setattr(scripts.ship, "export_checkpoint", export)
    monkeypatch.setattr(scripts.ship, "WEIGHTS", weights)
    monkeypatch.setattr(sys, "argv", ["ship.py", str(run), str(table), "--int8", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"loses 0\.3 dB"):
        scripts.ship.main()
    assert made[-1] == "int8"
    assert {path.name: path.read_bytes() for path in weights.iterdir()} == before
    assert [path.name for path in weights.parent.iterdir()] == ["weights"]
