"""Files in the layouts of Keras, written with h5py alone: what its own `save_weights` writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from torch import nn

Arrays = Mapping[str, Sequence[NDArray[np.float32]]]


def keras_arrays(layers: nn.ModuleDict, rng: np.random.Generator) -> dict[str, list[NDArray[np.float32]]]:
    """Random weights for each layer in the shapes and the order of Keras; batch norms with variances above zero."""
    arrays: dict[str, list[NDArray[np.float32]]] = {}
    for name, layer in layers.items():
        values = [value.numpy() for key, value in layer.state_dict().items() if key != "num_batches_tracked"]
        drawn: list[NDArray[Any]] = [
            rng.uniform(0.5, 1.5, value.shape) if value.ndim == 1 else rng.normal(0, 0.1, value.shape) for value in values
        ]
        if isinstance(layer, nn.Conv2d):
            drawn[0] = drawn[0].transpose(2, 3, 0, 1) if layer.groups > 1 else drawn[0].transpose(2, 3, 1, 0)
        arrays[name] = [value.astype(np.float32) for value in drawn]
    return arrays


def leaves(arrays: Sequence[NDArray[np.float32]]) -> tuple[str, ...]:
    """Names that Keras gives to a layer's arrays."""
    return ("kernel:0", "bias:0") if arrays[0].ndim == 4 else ("gamma:0", "beta:0", "moving_mean:0", "moving_variance:0")


def write_legacy(path: Path, arrays: Arrays) -> None:
    """`.h5` of Keras 2 (and of Keras 3's legacy format): a group a layer, whose attribute lists its arrays."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in ("input_1", *arrays)]
        file.create_group("input_1").attrs["weight_names"] = np.array([], "S1")
        for name, values in arrays.items():
            group = file.create_group(name)
            names = [f"{name}/{leaf}" for leaf in leaves(values)[: len(values)]]
            group.attrs["weight_names"] = [key.encode() for key in names]
            for key, value in zip(names, values, strict=True):
                group[key] = value


def write_nested(path: Path, arrays: Arrays) -> None:
    """A whole model's `.h5` whose convolutions are one nested model, with a classifier behind it."""
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = ["base", "dense"]
        names = {f"{name}/{leaf}": value for name, values in arrays.items() for leaf, value in zip(leaves(values), values, strict=False)}
        base = root.create_group("base")
        # Too long for one attribute: Keras cuts such lists.
        half = len(names) // 2
        base.attrs["weight_names0"], base.attrs["weight_names1"] = list(names)[:half], list(names)[half:]
        for key, value in names.items():
            base[key] = value
        dense = root.create_group("dense")
        dense.attrs["weight_names"] = ["dense/kernel:0"]
        dense["dense/kernel:0"] = np.zeros((8, 2), np.float32)


def write_vars(path: Path, arrays: Arrays) -> None:
    """`.weights.h5` of Keras 3: groups numbered by class, the layer's name in an attribute."""
    with h5py.File(path, "w") as file:
        for index, (name, values) in enumerate(arrays.items()):
            group = file.create_group(f"layers/any_{index}/vars")
            group.attrs["name"] = name
            for key, value in enumerate(values):
                group[str(key)] = value
