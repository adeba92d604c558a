"""What is exported runs as PyTorch does, at any size, under a card; fewer bits cost what is said, or are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from sr_geo.errors import TrainingError
from sr_geo.models.card import METADATA_KEY, Card
from sr_geo.models.catalog import load_model
from sr_geo.train import export
from sr_geo.train.export import EDGE, HALF_TOLERANCE, TOLERANCE, Exported, export_onnx
from sr_geo.train.nets import Generator, build_generator
from sr_geo.train.pieces import Piece
from sr_geo.train.quantise import convolutions, halve
from sr_geo.train.start import find_start
from tests.onnx_models import card as any_card

FAMILIES = [("compact", True), ("compact", False), ("rrdbnet", False), ("srresnet", False)]


def fresh_net(family: str, *, bands: int = 3, scale: int = 4, sees_blur: bool = False) -> Generator:
    dense = family == "rrdbnet"
    return build_generator(
        family, bands=bands, scale=scale, width=16, blocks=1 if dense else 2, growth=4 if dense else None, sees_blur=sees_blur
    )


def random_net(family: str = "compact", *, bands: int = 3, scale: int = 4, sees_blur: bool = False) -> Generator:
    """A network whose every weight matters, as after training: fresh ones add next to nothing."""
    torch.manual_seed(2)
    net = fresh_net(family, bands=bands, scale=scale, sees_blur=sees_blur)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if value.ndim == 4 and family != "compact":
                value.mul_(2.0)
            if name in ("tail.weight", "gate.out.weight"):
                value.normal_(0, 0.05)
            if name.endswith("bias") and value.ndim == 1 and "gate" not in name:
                value.normal_(0, 0.01)
    return net.eval()


def card_for(net: Generator, family: str = "compact", *, domain: str = "photo") -> Card:
    bands = ("red", "green", "blue", "nir")[: net.bands]
    model = {"family": family, "bands": bands, "width": 16, "blocks": 2, "scale": net.scale}
    if family == "rrdbnet":
        model |= {"blocks": 1, "growth": 4}
    return any_card(
        name="tiny",
        family=family,
        domain=domain,
        scale=net.scale,
        bands=bands,
        halo=net.halo,
        sigma=(1.0, 3.0) if net.takes_sigma else None,
        commutes_with_gain_and_offset=net.commutes,
        recipe=json.dumps({"model": model}),
    )


def pieces(net: Generator, *, count: int = 4, reach: float = 1.0) -> list[Piece]:
    """Soft pictures in 0…`reach`, the truth being what the network makes of them and noise of 26 dB."""
    rng = np.random.default_rng(6)
    made = []
    for _ in range(count):
        coarse = torch.from_numpy(rng.random((1, net.bands, 8, 8)).astype(np.float32))
        lr = reach * torch.nn.functional.interpolate(coarse, size=(32, 28), mode="bicubic", align_corners=False).clamp(0, 1)
        sigma = torch.full((1, net.bands), 2.0)
        with torch.no_grad():
            hr = net(lr, sigma)[0].numpy()
        made.append(Piece(lr[0].numpy(), hr + rng.normal(0, 0.05 * np.ptp(hr), hr.shape).astype(np.float32), sigma[0].numpy()))
    return made


def kinds(path: Path) -> dict[str, int]:
    """Type of every stored weight."""
    return {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(("family", "sees_blur"), FAMILIES)
def test_every_family_runs_as_in_pytorch_at_any_size(family: str, sees_blur: bool, scale: int, tmp_path: Path) -> None:
    net = random_net(family, scale=scale, sees_blur=sees_blur)
    done = export_onnx(net, card_for(net, family), tmp_path / "x.onnx")
    assert done == Exported(tmp_path / "x.onnx", "fp32", done.difference)
    assert done.difference <= TOLERANCE
    upscaler = load_model(tmp_path / "x.onnx", threads=1)
    for samples, height, width in ((1, 5, 9), (3, 16, 7), (1, 1, 1)):
        feed = {"image": np.random.default_rng(0).random((samples, 3, height, width), np.float32)}
        if sees_blur:
            feed["sigma"] = np.linspace(1, 3, 3 * samples, dtype=np.float32).reshape(samples, 3)
        with torch.no_grad():
            expected = net(*map(torch.from_numpy, feed.values())).numpy()
        (result,) = upscaler.session.run(None, feed)
        assert result.shape == (samples, 3, scale * height, scale * width)
        np.testing.assert_allclose(result, expected, atol=1e-4)
    assert upscaler(np.random.default_rng(1).random((3, 6, 8), np.float32)).shape == (3, 6 * scale, 8 * scale)


def test_the_card_lies_in_the_metadata(tmp_path: Path) -> None:
    net = random_net()
    export_onnx(net, card_for(net), tmp_path / "x.onnx")
    model = onnx.load(tmp_path / "x.onnx")
    assert {entry.key: entry.value for entry in model.metadata_props} == {METADATA_KEY: card_for(net).model_dump_json()}
    # What ONNX Runtime 1.19 loads: IR 10 and opset 21 at most; we stay well below.
    assert (model.ir_version, [(one.domain, one.version) for one in model.opset_import]) == (8, [("", 17)])


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize(("family", "sees_blur"), FAMILIES)
def test_training_can_start_from_an_export(family: str, sees_blur: bool, precision: str, tmp_path: Path) -> None:
    # A fresh network, whose biases are all alike: PyTorch's exporter writes equal tensors once.
    net = fresh_net(family, sees_blur=sees_blur)
    export_onnx(net, card_for(net, family), tmp_path / "x.onnx", precision=precision)  # type: ignore[arg-type]
    start = find_start(str(tmp_path / "x.onnx"))
    for name, value in net.state_dict().items():
        torch.testing.assert_close(start.generator[name], value, rtol=1e-3, atol=1e-6)


def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_net()
    monkeypatch.setattr(export, "TOLERANCE", 1e-12)
    with pytest.raises(TrainingError, match=r"x.onnx: float32 in ONNX Runtime differs from PyTorch by .*, allowed 1.0e-12"):
        export_onnx(net, card_for(net), tmp_path / "x.onnx")
    monkeypatch.setattr(export, "TOLERANCE", TOLERANCE)
    monkeypatch.setattr(export, "HALF_TOLERANCE", 1e-12)
    with pytest.raises(TrainingError, match="fp16 in ONNX Runtime differs"):
        export_onnx(net, card_for(net), tmp_path / "x.onnx", precision="fp16")
    with torch.no_grad():
        next(net.parameters())[0] = torch.nan
    with pytest.raises(TrainingError, match="differs from PyTorch by inf"):
        export_onnx(net, card_for(net), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("family", "sees_blur"), FAMILIES)
def test_fp16_of_pictures_computes_with_halves_between_the_ends(family: str, sees_blur: bool, tmp_path: Path) -> None:
    net = random_net(family, sees_blur=sees_blur)
    whole = export_onnx(net, card_for(net, family), tmp_path / "whole.onnx")
    done = export_onnx(net, card_for(net, family), tmp_path / "half.onnx", precision="fp16")
    assert 0.0 < done.difference <= HALF_TOLERANCE * 10.0
    stored = kinds(tmp_path / "half.onnx")
    model = onnx.load(tmp_path / "half.onnx")
    found = convolutions(model)
    assert all(stored[node.input[1]] == TensorProto.FLOAT16 for node in found[1:-1])
    assert stored[found[-1].input[1]] == TensorProto.FLOAT
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {TensorProto.FLOAT}
    assert (tmp_path / "half.onnx").stat().st_size < 0.85 * (tmp_path / "whole.onnx").stat().st_size
    card = load_model(tmp_path / "half.onnx", threads=1).card
    assert (card.precision, card.commutes_with_gain_and_offset) == ("fp16", False)
    assert whole.precision == "fp32"


@pytest.mark.parametrize("family", ["compact", "rrdbnet"])
def test_halves_all_the_way_are_as_near(family: str) -> None:
    # On a CPU ONNX Runtime computes in float32 where it can; the reference implementation rounds every result to halves.
    net = random_net(family)
    whole = export.trace(net)
    half = halve(whole, compute=True)
    image = np.random.default_rng(0).random((1, 3, 12, 11), np.float32)
    one, other = (ReferenceEvaluator(model).run(None, {"image": image})[0] for model in (whole, half))
    assert other.dtype == np.float32
    assert 0.0 < np.abs(one - other).max() <= HALF_TOLERANCE * np.ptp(one)


@pytest.mark.parametrize("gain", [1e-4, 1.0, 1e4])
def test_fp16_of_satellites_is_right_in_any_unit(gain: float, tmp_path: Path) -> None:
    net = random_net(bands=4, sees_blur=True)
    export_onnx(net, card_for(net, domain="satellite"), tmp_path / "x.onnx", precision="fp16")
    upscaler = load_model(tmp_path / "x.onnx", threads=1)
    assert upscaler.card.precision == "fp16"
    assert upscaler.card.commutes_with_gain_and_offset
    image = np.random.default_rng(0).random((4, 20, 21), np.float32)
    offset = gain * np.array([0.0, 1.0, -2.0, 0.5], np.float32)[:, None, None]
    result = upscaler(gain * image + offset)
    np.testing.assert_allclose(result, gain * upscaler(image) + offset, atol=1e-5 * gain)
    with torch.no_grad():
        expected = net(torch.from_numpy(gain * image + offset)[None], torch.full((1, 4), 2.0))[0].numpy()
    inside = (slice(None), slice(24, -24), slice(24, -24))  # PyTorch sees zeros around it
    assert np.abs(result - expected)[inside].max() <= 2 * HALF_TOLERANCE * np.ptp(expected)


@pytest.mark.parametrize(("family", "sees_blur"), FAMILIES)
def test_int8_costs_little_and_says_so(family: str, sees_blur: bool, tmp_path: Path) -> None:
    net = random_net(family, sees_blur=sees_blur)
    done = export_onnx(net, card_for(net, family), tmp_path / "x.onnx", precision="int8", pieces=pieces(net))
    assert done.psnr_lost is not None
    assert done.psnr_lost <= 0.1
    upscaler = load_model(tmp_path / "x.onnx", threads=1)
    (figure,) = upscaler.card.quality
    assert (figure.metric, figure.value) == ("PSNR lost, dB", round(done.psnr_lost, 3))
    assert (upscaler.card.precision, upscaler.card.commutes_with_gain_and_offset) == ("int8", False)
    for height, width in ((16, 9), (7, 31)):
        assert upscaler(np.random.default_rng(0).random((3, height, width), np.float32)).shape == (3, 4 * height, 4 * width)
    model = onnx.load(tmp_path / "x.onnx")
    assert (model.ir_version, {one.domain for one in model.opset_import}) == (8, {""})
    made = {name: node for node in model.graph.node for name in node.output}
    byte = [made[node.input[1]].op_type == "DequantizeLinear" if node.input[1] in made else False for node in convolutions(model)]
    kept = {"head", "conv_first", "tail", "conv_last"}
    kept |= {"conv_up1", "conv_up2", "conv_hr"} if family == "rrdbnet" else set()
    assert byte == [node.name.split("/")[1] not in kept for node in convolutions(model)]
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for weight, scale in (made[node.input[1]].input[:2] for node, bytes_ in zip(convolutions(model), byte, strict=True) if bytes_):
        assert list(shapes[scale]) == [shapes[weight][0]]  # a range for each output channel


def test_int8_that_costs_too_much_is_not_written(tmp_path: Path) -> None:
    net = random_net()
    weak, strong = pieces(net, reach=0.01), pieces(net)
    mixed = [weak[0], strong[1], weak[2], strong[3]]  # the range is found on what is far too weak
    with pytest.raises(TrainingError, match=r"x.onnx: int8 loses .* dB of PSNR, allowed 0.10; take --precision fp16"):
        export_onnx(net, card_for(net), tmp_path / "x.onnx", precision="int8", pieces=mixed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("domain", "message"),
    [("satellite", "imagery of satellites comes in any unit"), ("photo", "needs imagery to find its range; give --data")],
)
def test_int8_that_cannot_be_is_refused(domain: str, message: str, tmp_path: Path) -> None:
    net = random_net()
    with pytest.raises(TrainingError, match=message):
        export_onnx(net, card_for(net, domain=domain), tmp_path / "x.onnx", precision="int8", pieces=pieces(net)[: 4 * (domain != "photo")])


def test_the_loss_is_that_of_the_definition() -> None:
    net = random_net()
    whole = export.trace(net)
    piece = pieces(net)[0]
    half = halve(whole, compute=True)
    edge = 4 * EDGE
    runs: list[Callable[[dict[str, np.ndarray]], np.ndarray]] = [
        lambda feed, model=model: export._session(model).run(None, feed)[0][0]  # type: ignore[misc]
        for model in (whole, half)
    ]
    errors = [np.mean((run({"image": piece.lr[None]}) - piece.hr)[:, edge:-edge, edge:-edge] ** 2) for run in runs]
    _, lost = export.compare(net, whole, half, [piece])
    assert lost == pytest.approx(10 * np.log10(errors[1] / errors[0]), abs=1e-4)
    assert export.compare(net, whole, whole, [piece]) == (0.0, 0.0)
