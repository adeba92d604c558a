"""Smaller numbers in an exported network: halves (fp16) and bytes (int8).

The first and the last convolution keep float32 in both, and so does what goes around them: the skip from the input to the
result, and the factors that the blur gives. What is rounded is the detail that the network adds. Bytes are not enough for
what rrdbnet does behind its interpolations, either: see `_whole`.

Halves and bytes have a range, and values of satellites have none: digital numbers go to 65535, reflectance to 1, and the
networks for them commute with gain, so that all units are right. Bytes cover one range only. A range that follows the picture
would make a tile depend on what else is in it. So:

* `halve` with ``compute=False`` stores halves and computes with float32: half the size, any unit;
* `halve` with ``compute=True`` computes with halves too, which GPUs do faster (a CPU casts back and forth): for values in 0…1;
* `to_bytes` is for values in 0…1 only.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from sr_geo.radiometry import Float

Feed = Mapping[str, Float]
"""Inputs of a network by name."""


def convolutions(model: ModelProto) -> list[NodeProto]:
    """All convolutions, in the order in which they are computed."""
    return [node for node in model.graph.node if node.op_type == "Conv"]


def halve(model: ModelProto, *, compute: bool) -> ModelProto:
    """The network with halves for weights, all but those of the first and the last convolution.

    Done here because ONNX Runtime's own converter rounds the input to halves, for what stays in float32 as well.

    Args:
        model: in float32. It is not changed.
        compute: whether to compute with halves too, from behind the first convolution to before the last.
    """
    changed = _copy(model)
    between = _between(changed)
    inner = {node.output[0] for node in between}
    weights = {node.input[1] for node in between if node.op_type == "Conv"}
    if compute:
        weights |= {name for node in between for name in node.input}
    weights &= {tensor.name for tensor in changed.graph.initializer}
    for tensor in changed.graph.initializer:
        if tensor.name in weights:
            # Under its old name, so that training can start from the file.
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    halves = set(weights)
    nodes: dict[str, NodeProto] = {}
    for node in changed.graph.node:
        by_half = compute and node.output[0] in inner
        for place, name in enumerate(node.input):
            if not name or (by_half and node.op_type == "Resize" and place > 0):  # its factors are always float32
                continue
            if (name in halves) != by_half and (by_half or name in halves):
                node.input[place] = _cast(nodes, name, TensorProto.FLOAT16 if by_half else TensorProto.FLOAT)
        nodes[node.output[0]] = node
        if by_half:
            halves.update(node.output)
    del changed.graph.node[:]
    changed.graph.node.extend(nodes.values())
    del changed.graph.value_info[:]  # they name the old types
    return changed


def _cast(nodes: dict[str, NodeProto], name: str, kind: int) -> str:
    """Name of a tensor in another type, adding the node that casts it, by its output, where there is none yet."""
    cast = f"{name}.{TensorProto.DataType.Name(kind).lower()}"
    nodes.setdefault(cast, helper.make_node("Cast", [name], [cast], to=kind))
    return cast


def to_bytes(model: ModelProto, feeds: Sequence[Feed]) -> ModelProto:
    """The network with 8-bit weights, a range for each output channel, and 8-bit features, of the range found on `feeds`.

    Static, in the form of quantising and dequantising nodes (QDQ) around the convolutions, which run in integers.

    Weights take 7 of the 8 bits: processors without VNNI add products of two full bytes in 16 bits, which overflow.

    Args:
        model: in float32. It is not changed.
        feeds: pictures such as the network will see, at least one.
    """
    marked = _copy(model)
    helper.set_model_props(marked, {"onnx.infer": "onnxruntime.quant"})  # shapes are not needed, and asking for them is loud
    with TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        onnx.save(marked, Path(folder) / "float32.onnx")  # ONNX Runtime 1.19 loses the weights of a model that is handed over in memory
        quantize_static(
            Path(folder) / "float32.onnx",
            path,
            _Pictures(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_whole(model),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(path)


class _Pictures(CalibrationDataReader):  # type: ignore[misc]  # the library has no types
    """Pictures one by one, as the library asks for them."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._rest = iter(feeds)

    def get_next(self) -> dict[str, Float] | None:
        """The next one; None at the end."""
        feed = next(self._rest, None)
        return None if feed is None else dict(feed)


def _between(model: ModelProto) -> list[NodeProto]:
    """All nodes that depend on the first convolution and not on the last."""
    first, last = (convolutions(model)[place].output[0] for place in (0, -1))
    after_first, after_last = {first}, {last}
    between = []
    for node in model.graph.node:
        if after_last.intersection(node.input):
            after_last.update(node.output)
        elif after_first.intersection(node.input) and last not in node.output:
            between.append(node)
            after_first.update(node.output)
    return between


def _whole(model: ModelProto) -> list[str]:
    """Names of the convolutions that keep float32: the first, the last, and those behind an interpolation.

    In networks that interpolate features, as rrdbnet does, no skip leads around what follows: the picture itself goes
    through it, and would be rounded to 8 bits each time.
    """
    found = convolutions(model)
    names, behind = [found[0].name, found[-1].name], set[str]()
    for node in model.graph.node:
        if node.op_type == "Resize" or behind.intersection(node.input):
            behind.update(node.output)
            if node.op_type == "Conv":
                names.append(node.name)
    return names


def _copy(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's advice on the root logger."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
