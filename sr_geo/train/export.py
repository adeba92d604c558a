"""From trained weights to an ONNX file with a card; what is tested is what runs."""

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import ModelProto, TensorProto
from scipy.ndimage import gaussian_filter

from sr_geo.errors import TrainingError
from sr_geo.models.card import METADATA_KEY, Card, Precision, Quality
from sr_geo.train.nets import Generator
from sr_geo.train.pieces import Piece
from sr_geo.train.quantise import Feed, halve, to_bytes

OPSET = 17
IR_VERSION = 8
TOLERANCE = 1e-4
"""Largest difference between PyTorch and ONNX Runtime in float32, on soft pictures in the unit of the network's samples: 0…1, or
unit spread for satellites."""
HALF_TOLERANCE = 1e-3
"""With halves, as a share of the range of the result: a quarter of a step of 8 bits."""
MOST_LOST = 0.1
"""Decibels of PSNR that int8 may cost."""
HELD_OUT = "held-out imagery"
"""What a card calls the pieces that this is measured on."""
EDGE = 4
"""Low-resolution pixels at the edge of a piece that do not count: the network sees zeros beyond it."""
_SHAPES = ((1, 40, 40), (1, 33, 57), (2, 64, 24))
"""Samples, height and width of the pictures that both are compared on."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export gave."""

    path: Path
    precision: Precision
    difference: float
    """Largest absolute difference from PyTorch in float32, in the unit of the samples: on three shapes of soft random pictures;
    of int8, which clips what is beyond its range, on the held-out imagery."""
    psnr_lost: float | None = None
    """Of int8: decibels of PSNR lost against float32 on held-out imagery."""


def export_onnx(net: Generator, card: Card, path: Path, *, precision: Precision = "fp32", pieces: Sequence[Piece] = ()) -> Exported:
    """Write `net` with `card` as ONNX: inputs ``image`` (N, C, h, w) and, where it takes the blur, ``sigma`` (N, C); output ``enhanced``.

    All are float32, whatever the precision inside. In fp32 and fp16 weights keep their names, so that training can start
    from the file. Where numbers of fewer bits need values in 0…1 the card no longer promises that all units are right.

    Args:
        net: in evaluation mode or not; it is put into it.
        card: its precision is set here, and what int8 costs is added to its figures.
        path: of the file; replaced if it exists, left alone where the export fails.
        precision: `fp32`, `fp16` or `int8`; see `sr_geo.train.quantise`.
        pieces: held-out imagery, for int8 only: the 1st, 3rd … find its range, the 2nd, 4th … measure what it costs.

    Raises:
        TrainingError: the difference is above `TOLERANCE` (fp16: `HALF_TOLERANCE`), int8 loses more than `MOST_LOST`, or the
            network cannot have int8; nothing is written.
    """
    in_unit = card.domain != "satellite"
    if precision == "int8" and not in_unit:
        raise TrainingError(
            f"{path.name}: int8 covers one range of values, and imagery of satellites comes in any unit; take --precision fp16 or fp32"
        )
    if precision == "int8" and len(pieces) < 2:
        raise TrainingError(f"{path.name}: int8 needs imagery to find its range; give --data DIR")
    whole = trace(net)
    difference, spread = largest_difference(net, whole, card)
    _require(difference, TOLERANCE, path, "float32")
    model, lost = whole, None
    if precision == "fp16":
        model = halve(whole, compute=in_unit)
        difference, spread = largest_difference(net, model, card)
        _require(difference, HALF_TOLERANCE * spread, path, "fp16")
    if precision == "int8":
        model = to_bytes(whole, [feed_of(net, piece) for piece in pieces[::2]])
        difference, lost = compare(net, whole, model, pieces[1::2])
        if not lost <= MOST_LOST:
            raise TrainingError(f"{path.name}: int8 loses {lost:.2f} dB of PSNR, allowed {MOST_LOST:.2f}; take --precision fp16 or fp32")
    write(model, _card_for(card, precision, lost, in_unit=in_unit), path)
    return Exported(path, precision, difference, lost)


def trace(net: Generator) -> ModelProto:
    """The network as ONNX in float32, of any number of samples, height and width."""
    net = net.eval().to("cpu").to(memory_format=torch.contiguous_format)
    buffer = io.BytesIO()
    inputs = {"image": torch.randn(1, net.bands, 24, 20)}
    dynamic = {"image": {0: "n", 2: "h", 3: "w"}, "enhanced": {0: "n", 2: "H", 3: "W"}}
    if net.takes_sigma:
        inputs["sigma"] = torch.full((1, net.bands), 2.0)
        dynamic["sigma"] = {0: "n"}
    with warnings.catch_warnings():
        # The newer exporter needs onnxscript and writes opset 18 or later, where one is enough that older runtimes load.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            net,
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]  # a stream is taken too: the annotation is that of the newer exporter
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=["enhanced"],
            dynamic_axes=dynamic,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    _name_all_weights(model)
    return model


def write(model: ModelProto, card: Card, path: Path) -> None:
    """Write a network and its card."""
    model.ir_version = IR_VERSION
    model.producer_name = "sr-geo"
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, card.model_dump_json()
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def largest_difference(net: Generator, model: ModelProto, card: Card) -> tuple[float, float]:
    """Largest absolute difference between PyTorch and ONNX Runtime on soft random pictures, and the range of what PyTorch gives.

    The difference is infinite where any of it is no number.
    """
    session = _session(model)
    worst = spread = 0.0
    for feed in _soft_pictures(net, card):
        with torch.no_grad():
            ours = net(*(torch.from_numpy(value) for value in feed.values())).numpy()
        gap = float(np.abs(ours - session.run(None, dict(feed))[0]).max())
        worst = max(worst, gap if np.isfinite(gap) else np.inf)
        spread = max(spread, float(np.ptp(ours)))
    return worst, spread


def compare(net: Generator, whole: ModelProto, small: ModelProto, pieces: Sequence[Piece]) -> tuple[float, float]:
    """Largest absolute difference between two forms of a network, and the PSNR in dB by which `small` is below `whole`."""
    edge = EDGE * net.scale
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    one, other = _session(whole), _session(small)
    worst, errors = 0.0, np.zeros(2)
    for piece in pieces:
        feed = dict(feed_of(net, piece))
        exact, rough = (session.run(None, feed)[0][0][inside] for session in (one, other))
        worst = max(worst, float(np.abs(rough - exact).max()))
        errors += [float(np.square(fine - piece.hr[inside]).sum()) for fine in (exact, rough)]
    return worst, float(10.0 * np.log10(max(errors[1], 1e-12) / max(errors[0], 1e-12)))


def feed_of(net: Generator, piece: Piece) -> Feed:
    """A piece as the inputs of the network."""
    feed = {"image": np.ascontiguousarray(piece.lr[None], np.float32)}
    return feed | {"sigma": piece.sigma[None]} if net.takes_sigma else feed


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _card_for(card: Card, precision: Precision, lost: float | None, *, in_unit: bool) -> Card:
    changes: dict[str, object] = {"precision": precision}
    if in_unit and precision != "fp32":
        changes["commutes_with_gain_and_offset"] = False
    if lost is not None:
        figure = Quality(test_set=HELD_OUT, condition="int8 against float32", metric="PSNR lost, dB", value=round(lost, 3))
        changes["quality"] = (*card.quality, figure)
    return card.model_copy(update=changes)


def _soft_pictures(net: Generator, card: Card) -> Iterator[Feed]:
    rng = np.random.default_rng(0)
    for samples, height, width in _SHAPES:
        # Softened noise: white noise has more contrast between neighbours than any picture, and rounding errors to match.
        image = gaussian_filter(rng.standard_normal((samples, net.bands, height, width)), (0, 0, 1, 1))
        image /= image.std()
        if card.domain != "satellite":
            image = (0.5 + 0.2 * image).clip(0.0, 1.0)
        feed = {"image": image.astype(np.float32)}
        if net.takes_sigma:
            feed["sigma"] = rng.uniform(*(card.sigma or (1.0, 3.2)), (samples, net.bands)).astype(np.float32)
        yield feed


def _name_all_weights(model: ModelProto) -> None:
    """Give every weight its own tensor: PyTorch writes equal ones, such as fresh biases, once and refers to them."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.op_type == "Identity" and node.input[0] in stored]:
        copy = TensorProto()
        copy.CopyFrom(stored[node.input[0]])
        copy.name = node.output[0]
        model.graph.initializer.append(copy)
        model.graph.node.remove(node)


def _session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _require(difference: float, allowed: float, path: Path, what: str) -> None:
    if not difference <= allowed:
        raise TrainingError(
            f"{path.name}: {what} in ONNX Runtime differs from PyTorch by {difference:.2e}, allowed {allowed:.1e}; nothing was written"
        )
