"""Weights out of files of Keras, by h5py alone: `.h5` of Keras 2 and 3 (weights or whole models) and `.weights.h5`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sr_geo.errors import MissingPartError, TrainingError

Arrays = dict[str, list[NDArray[np.float32]]]


def read_keras(path: Path) -> Arrays:
    """Weights of each layer of a file, by the layer's name, in the order that Keras keeps them.

    Raises:
        MissingPartError: h5py is not installed.
        TrainingError: this is no HDF5 file, or it does not name its layers.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingPartError(f'{path}: files of Keras need h5py; run: python -m pip install "h5py>=3.11"') from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read as HDF5 ({error}); give a .h5 or .weights.h5 file of Keras") from error
    with file:
        root = file.get("model_weights", file)
        arrays = _read_layers(root) if "layers" in root else _read_legacy(root)
    if not arrays:
        raise TrainingError(f"{path}: no named layers in it; save it again with model.save_weights('NAME.weights.h5') of Keras ≥ 3.6")
    return arrays


def _read_legacy(root: Any) -> Arrays:  # noqa: ANN401 - h5py has no types
    arrays: Arrays = {}
    for group_name in _names(root, "layer_names"):
        group = root[group_name]
        for name in _names(group, "weight_names"):
            # `block1_conv1/kernel:0`, in a nested model too; older files have `block1_conv1_W_1:0`, the layer being the group.
            parts = name.split("/")
            arrays.setdefault(parts[-2] if len(parts) > 1 else group_name, []).append(np.asarray(group[name], np.float32))
    return arrays


def _names(group: Any, attribute: str) -> list[str]:  # noqa: ANN401 - h5py has no types
    """A list of names in an attribute, which Keras cuts into `NAME0`, `NAME1`, … when it is long."""
    keys = [attribute] if attribute in group.attrs else sorted((key for key in group.attrs if key[: len(attribute)] == attribute), key=len)
    return [name.decode() if isinstance(name, bytes) else str(name) for key in keys for name in group.attrs[key]]


def _read_layers(root: Any) -> Arrays:  # noqa: ANN401 - h5py has no types
    arrays: Arrays = {}

    def visit(path: str, item: Any) -> None:  # noqa: ANN401 - h5py has no types
        # Groups are numbered by class (`layers/conv2d_7/vars`); the layer's own name is an attribute.
        if path.endswith("/vars") and "name" in item.attrs and len(item):
            name = item.attrs["name"]
            arrays[name.decode() if isinstance(name, bytes) else str(name)] = [
                np.asarray(item[key], np.float32) for key in sorted(item, key=int)
            ]

    root.visititems(visit)
    return arrays


def fill_from_keras(layers: nn.ModuleDict, arrays: Mapping[str, Sequence[NDArray[np.float32]]], origin: str) -> None:
    """Put arrays of Keras into PyTorch layers of the same names; layers that only the file has are left aside.

    Raises:
        TrainingError: a layer is missing in the file, or its arrays have other shapes.
    """
    for name, layer in layers.items():
        if name not in arrays:
            raise TrainingError(f"{origin}: layer {name} is missing; give the weights of the same network")
        load_layer(name, layer, [_to_torch(layer, array) for array in arrays[name]], origin)


def load_layer(name: str, layer: nn.Module, tensors: Sequence[Tensor], origin: str) -> None:
    """Set the tensors of one convolution or batch norm, in the order weight, bias, running mean and variance.

    Raises:
        TrainingError: their number or a shape is wrong.
    """
    own = [value for key, value in layer.state_dict().items() if key != "num_batches_tracked"]
    if [value.shape for value in own] != [value.shape for value in tensors]:
        theirs, ours = ([tuple(value.shape) for value in values] for values in (tensors, own))
        raise TrainingError(f"{origin}: layer {name} has arrays {theirs}, expected {ours}; give the weights of the same network")
    for value, tensor in zip(own, tensors, strict=True):
        value.copy_(tensor)


def _to_torch(layer: nn.Module, array: NDArray[np.float32]) -> Tensor:
    if array.ndim == 4:
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
        # (H, W, in, out) → (out, in, H, W); depthwise kernels are (H, W, channels, multiplier).
        array = array.transpose(2, 3, 0, 1) if depthwise else array.transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(array))
