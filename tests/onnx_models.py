"""Tiny networks in the shape of the shipped ones: bilinear upsampling, then one 3 × 3 filter and a mixture of the bands."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sr_geo.models.card import METADATA_KEY, Card

HALO = 2
"""Input pixels: one for the interpolation, one for the filter."""


def card(**changes: Any) -> Card:  # noqa: ANN401
    values: dict[str, Any] = {
        "name": "tiny",
        "title": "A filter",
        "family": "compact",
        "domain": "satellite",
        "scale": 4,
        "bands": ("blue", "green", "red", "nir"),
        "halo": HALO,
        "exact_halo": True,
        "sigma": (1.0, 3.2),
        "commutes_with_gain_and_offset": True,
        "parameters": 52,
        "training": (),
        "recipe": "{}",
        "commit": "none",
        "limits": "for tests",
        "licence": "Apache-2.0",
    }
    return Card(**(values | changes))


def write_model(path: Path, card: Card, *, text: str | None = None, with_card: bool = True) -> Path:
    """Sharpens a little, the more the larger sigma is, each band with the others; `text` replaces the card's JSON."""
    count = len(card.bands)
    kernel = np.zeros((count, 1, 3, 3), np.float32)
    kernel[:, 0] = -0.05
    kernel[:, 0, 1, 1] = 0.4
    mixture = 0.7 * np.eye(count) + np.linspace(0.0, 0.2, count**2).reshape(count, count)  # no two bands are mixed alike
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", count, "h", "w"])]
    nodes = [
        helper.make_node("Resize", ["image", "", "scales"], ["up"], mode="linear", coordinate_transformation_mode="half_pixel"),
        helper.make_node("Conv", ["up", "kernel"], ["sharp"], group=count, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["sharp", "mixture"], ["high"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 1, card.scale, card.scale], np.float32), "scales"),
        numpy_helper.from_array(kernel, "kernel"),
        numpy_helper.from_array(mixture.astype(np.float32)[:, :, None, None], "mixture"),
    ]
    if card.sigma is None:
        nodes.append(helper.make_node("Add", ["up", "high"], ["enhanced"]))
    else:
        inputs.append(helper.make_tensor_value_info("sigma", TensorProto.FLOAT, ["n", count]))
        constants.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
        nodes += [
            helper.make_node("Unsqueeze", ["sigma", "axes"], ["strength"]),
            helper.make_node("Mul", ["high", "strength"], ["weighted"]),
            helper.make_node("Add", ["up", "weighted"], ["enhanced"]),
        ]
    outputs = [helper.make_tensor_value_info("enhanced", TensorProto.FLOAT, ["n", count, "H", "W"])]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if with_card:
        helper.set_model_props(model, {METADATA_KEY: card.model_dump_json() if text is None else text})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path
