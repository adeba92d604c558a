"""A model that no longer does what its card says is found without imagery."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from sr_geo import resample
from sr_geo.cli import cli
from sr_geo.errors import ModelError
from sr_geo.models import catalog
from sr_geo.models.card import Card, Quality
from sr_geo.models.catalog import entries, load_model
from sr_geo.models.chart import METRIC, TEST_SET, check, draw_chart, figure_of, gain_on_chart
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float
from tests.onnx_models import card, write_model


class Cubic(Upscaler):
    """Cubic interpolation in the place of a network."""

    def __init__(self, card: Card) -> None:
        self.card = card

    def __call__(self, image: Float, *, sigma: float | Sequence[float] | None = None) -> Float:
        del sigma
        around = np.pad(image, ((0, 0), (2, 2), (2, 2)), mode="symmetric")
        return np.stack([resample.cubic(plane, self.card.scale) for plane in around])


@pytest.mark.parametrize("changes", [{}, {"sigma": None, "domain": "photo"}, {"scale": 3}, {"bands": ("red",)}])
def test_interpolation_gains_nothing_over_itself(changes: dict[str, object]) -> None:
    assert gain_on_chart(Cubic(card(**changes))) == pytest.approx(0.0, abs=1e-6)


def test_the_chart_is_a_picture_with_bands_that_differ() -> None:
    chart = draw_chart(4)
    assert chart.dtype == np.float32
    assert 0.0 <= chart.min() < 0.15
    assert 0.85 < chart.max() <= 1.0
    assert len({plane.tobytes() for plane in chart}) == 4


@pytest.mark.parametrize("name", entries())
def test_shipped_models_gain_what_their_card_says(name: str) -> None:
    model = load_model(name, threads=1)
    checked = check(model)
    assert checked.stated is not None
    assert checked.stated > (0.05 if model.card.leaning == "fidelity" else -1.0)  # texture is wrong on a chart of bars and discs
    assert checked.gain == pytest.approx(checked.stated, abs=0.003)


def altered(source: Path, target: Path, share: float) -> str:
    """A copy with noise on the weights, as a share of their spread in each convolution; its SHA-256."""
    model = onnx.load(source)
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:
            values = numpy_helper.to_array(tensor)
            noise = rng.normal(0.0, share * float(values.std()), values.shape).astype(values.dtype)
            tensor.CopyFrom(numpy_helper.from_array(values + noise, tensor.name))
    target.write_bytes(model.SerializeToString())
    return hashlib.sha256(target.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", entries())
def test_altered_weights_are_found_even_with_the_right_hash(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = {name: altered(entries()[name].path, tmp_path / f"{name}.onnx", 0.2)}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    monkeypatch.setattr(catalog, "_WEIGHTS", tmp_path)
    with pytest.raises(ModelError, match=r"its card says [-+]\d\.\d{3} dB; its weights are not those that were measured"):
        check(load_model(name, threads=1))
    done = CliRunner().invoke(cli, ["models", "verify", name])
    assert done.exit_code != 0
    assert "is right" not in done.output


def test_a_network_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    stated = Quality(test_set=TEST_SET, condition="sigma 1.6", metric=METRIC, value=1.0)
    write_model(tmp_path / "tiny.onnx", card(quality=(stated,)))
    model = onnx.load(tmp_path / "tiny.onnx")
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == "kernel")
    kernel.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(kernel), np.nan), "kernel"))
    (tmp_path / "nan.onnx").write_bytes(model.SerializeToString())
    broken = load_model(tmp_path / "nan.onnx", threads=1)
    with pytest.raises(ModelError, match="gains"):
        check(broken)


def test_an_own_model_without_the_figure_is_tried_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SR_GEO_MODELS", str(tmp_path / "mine"))
    path = write_model(tmp_path / "tiny.onnx", card(name="my-x4"))
    assert figure_of(load_model(path, threads=1)).condition == "sigma 1.6"
    runner = CliRunner()
    assert runner.invoke(cli, ["models", "install", str(path)]).exit_code == 0
    done = runner.invoke(cli, ["models", "verify", "my-x4"])
    assert done.exit_code == 0
    assert "is right" in done.output
    assert "its card has no such figure" in done.output
