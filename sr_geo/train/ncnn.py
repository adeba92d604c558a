"""Weights out of ncnn's files: a graph as text (``.param``) and numbers in the order of its layers (``.bin``).

Only what an RRDBNet is made of is understood, and it is checked that the graph is one: its convolutions, their
activations, its residual sums and its upsampling. Everything else is an error, never a guess.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sr_geo.errors import TrainingError
from sr_geo.train.nets.rrdbnet import RESIDUAL, SLOPE, RRDBNet

MAGIC = "7767517"
HALF, FLOATS = 0x01306B47, (0x00000000, 0x0002C056)
"""Tags before the weights of a convolution: 16-bit floats, or 32-bit ones."""
LAYERS = {"Input", "Convolution", "Split", "Concat", "Eltwise", "BinaryOp", "Interp"}
"""All that the graph of an RRDBNet has."""
PER_BLOCK = 15
"""Convolutions in a residual-in-residual block."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a ``.param`` file."""

    kind: str
    name: str
    values: dict[int, tuple[float, ...]]
    """Parameters by number. Of a convolution: 0 features, 1 kernel, 3 stride, 4 padding, 5 whether biased, 6 count of weights,
    9 kind of activation (2: leaky ReLU), 10 its slope."""

    def number(self, key: int, default: float = 0.0) -> float:
        """A parameter that is one number."""
        return self.values.get(key, (default,))[0]


def read_ncnn(path: Path) -> RRDBNet:
    """The RRDBNet of an ncnn pair; `path` is that of either file, the other lies beside it.

    Raises:
        TrainingError: a file is missing or damaged, or the graph is not that of an RRDBNet of scale 2 or 4.
    """
    graph, numbers = path.with_suffix(".param"), path.with_suffix(".bin")
    for file in (graph, numbers):
        if not file.is_file():
            raise TrainingError(f"{file}: no such file; ncnn keeps a network in two files, .param and .bin, side by side")
    layers = _parse(graph)
    net = _network_of(layers, graph, room=numbers.stat().st_size)
    _fill(net, numbers)
    return net.eval()


def _parse(graph: Path) -> list[Layer]:
    try:
        lines = graph.read_text(encoding="ascii").split("\n")
    except UnicodeDecodeError as error:
        raise TrainingError(f"{graph}: not text; expected ncnn's .param, not its binary form") from error
    if lines[0].strip() != MAGIC:
        raise TrainingError(f"{graph}: begins with {lines[0][:20]!r}, expected {MAGIC}; this is no ncnn graph")
    layers = []
    try:
        count = int(lines[1].split()[0])
        for line in filter(str.strip, lines[2:]):
            kind, name, inputs, outputs, *rest = line.split()
            values = {}
            for item in rest[int(inputs) + int(outputs) :]:
                key, _, value = item.partition("=")
                many = int(key) <= -23300  # an array: -23300 - key = its length, its items
                numbers = tuple(float(number) for number in value.split(","))
                if not np.isfinite(numbers).all():
                    raise ValueError(item)
                values[-23300 - int(key) if many else int(key)] = numbers[1:] if many else numbers
            layers.append(Layer(kind, name, values))
    except (ValueError, IndexError) as error:
        raise TrainingError(f"{graph}: damaged after {len(layers)} layers ({error}); fetch it again") from error
    if len(layers) != count:
        raise TrainingError(f"{graph}: {len(layers)} layers of {count}; fetch it again")
    return layers


def _network_of(layers: list[Layer], graph: Path, *, room: int) -> RRDBNet:
    """The empty network that a graph describes; `room` is the size of the ``.bin`` in bytes.

    Raises:
        TrainingError: it describes another one.
    """

    def refuse(what: str) -> TrainingError:
        return TrainingError(f"{graph}: {what}; expected the graph of an ESRGAN (RRDBNet) of scale 2 or 4")

    strange = sorted({layer.kind for layer in layers} - LAYERS)
    if strange:
        raise refuse(f"has layers of type {', '.join(strange)}")
    convolutions, enlarging, sums = ([layer for layer in layers if layer.kind == kind] for kind in ("Convolution", "Interp", "Eltwise"))
    blocks, rest = divmod(len(convolutions) - 4 - len(enlarging), PER_BLOCK)
    if blocks < 1 or rest or len(enlarging) not in (1, 2):
        raise refuse(f"has {len(convolutions)} convolutions and {len(enlarging)} upsamplings")
    if any((layer.number(0), layer.number(1), layer.number(2)) != (1, 2, 2) for layer in enlarging):
        raise refuse("enlarges otherwise than by repeating pixels 2 × 2")
    if len(sums) != 4 * blocks or not all(np.allclose(layer.values.get(1, ()), (RESIDUAL, 1.0)) for layer in sums):
        raise refuse(f"has residual sums other than four of {RESIDUAL} a block")

    first, last = convolutions[0], convolutions[-1]
    width, bands, growth = int(first.number(0)), int(last.number(0)), int(convolutions[1].number(0))
    if min(bands, width, growth) < 1 or 2 * 9 * width * max(width, growth * PER_BLOCK * blocks, bands) > room:
        # Before it is built: a damaged number must not ask for all the memory.
        raise refuse(f"has {width} features that grow by {growth} in {blocks} blocks, more than a .bin of {room} bytes can hold")
    net = RRDBNet(bands, width=width, blocks=blocks, growth=growth, scale=2 ** len(enlarging))
    inside = range(1, 1 + PER_BLOCK * blocks)
    linear = {0, inside.stop, len(convolutions) - 1, *inside[4::5]}  # without an activation: the first, the last, the end of each branch
    for place, (layer, ours) in enumerate(zip(convolutions, _convolutions_of(net), strict=True)):
        difference = _difference(layer, ours, slope=1.0 if place in linear else SLOPE)
        if difference is not None:
            raise refuse(f"{layer.name} {difference}")
    return net


def _difference(layer: Layer, ours: nn.Conv2d, *, slope: float) -> str | None:
    """In what a convolution of the graph is not ours, whose activation has the slope `slope` (1: none); None if it is."""
    if (layer.number(1), layer.number(3, 1), layer.number(4), layer.number(5)) != (3, 1, 1, 1):
        return "is no 3×3 convolution of stride 1 with bias"
    if (layer.number(0), layer.number(6)) != (ours.out_channels, ours.weight.numel()):
        return f"has {layer.number(6):.0f} weights for {layer.number(0):.0f} features, not {ours.weight.numel()}"
    kind = layer.number(9)
    if kind not in (0, 2) or not np.isclose(layer.number(10) if kind == 2 else 1.0, slope):
        return "has another activation than RRDBNet's"
    return None


def _fill(net: RRDBNet, numbers: Path) -> None:
    """Put the weights of a ``.bin`` into the network, which must use up all its bytes."""
    content, at = numbers.read_bytes(), 0

    def take(count: int, dtype: str) -> NDArray[np.float32]:
        nonlocal at
        size = np.dtype(dtype).itemsize * count
        piece = content[at : at + size]
        if len(piece) < size:
            raise TrainingError(f"{numbers}: ends after {len(content)} bytes, too early for its graph; fetch it again")
        at += -(-size // 4) * 4  # every piece begins at a multiple of four bytes
        return np.frombuffer(piece, dtype).astype(np.float32)

    for conv in _convolutions_of(net):
        assert conv.bias is not None
        (tag,) = struct.unpack_from("<I", content, at) if at + 4 <= len(content) else (0,)
        at += 4
        if tag != HALF and tag not in FLOATS:
            raise TrainingError(f"{numbers}: weights coded as {tag:#010x}; expected 16- or 32-bit floats, not a quantised network")
        weights = take(conv.weight.numel(), "<f2" if tag == HALF else "<f4")
        biases = take(conv.bias.numel(), "<f4")
        if not (np.isfinite(weights).all() and np.isfinite(biases).all()):
            raise TrainingError(f"{numbers}: holds weights that are no numbers (NaN or infinite); fetch it again")
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(weights).view_as(conv.weight))
            conv.bias.copy_(torch.from_numpy(biases))
    if at != len(content):
        raise TrainingError(f"{numbers}: {len(content)} bytes, {at} of them used: it belongs to another graph")


def _convolutions_of(net: RRDBNet) -> list[nn.Conv2d]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d)]
