"""Perceptual networks with weights, and where the weights come from.

`auto` looks, in this order and never over a network:

1. the files of torchvision or Keras in the folders of `weight_folders`;
2. for VGG16 and MobileNetV2 the packages named in `packaged.py`; VGG19 is made of VGG16 by identity layers;
   ResNet152V2 is a file of distilled features, written by training/distil_resnet152v2.py, in the same folders;
3. files that training/pack_data.py wrote from the above, in the same folders.

`random` is for tests. The string that comes with a network says which it was, and belongs into a model's card.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sr_geo.errors import OptionError, TrainingError
from sr_geo.train.perceptual import packaged
from sr_geo.train.perceptual.backbone import CAFFE, IMAGENET, Backbone, StagedBackbone
from sr_geo.train.perceptual.keras_files import fill_from_keras, load_layer, read_keras
from sr_geo.train.perceptual.mobilenetv2 import Flavour, mobilenetv2
from sr_geo.train.perceptual.resnetv2 import resnet152v2
from sr_geo.train.perceptual.timm_features import TimmBackbone
from sr_geo.train.perceptual.vgg import vgg, vgg19_from_vgg16

NETWORKS = ("vgg16", "vgg19", "mobilenetv2", "resnet152v2")
"""Besides these, `timm:NAME` is any convolutional network of timm."""

DISTILLED = "resnet152v2-distilled.safetensors"

PACKED = "-packed.safetensors"
"""Behind the name of a network: its file in halves, written by training/pack_data.py for another machine."""

DEFAULT_TAPS: Mapping[str, Mapping[str, float]] = {
    "vgg16": {"block5_conv3": 1.0},
    "vgg19": {"block5_conv4": 1.0},
    "mobilenetv2": {"block_3_expand_BN": 1 / 3, "block_6_expand_BN": 1 / 3, "block_13_expand_BN": 1 / 3},
    "resnet152v2": {"conv2_block2_out": 1 / 3, "conv3_block7_out": 1 / 3, "conv4_block1_out": 1 / 3},
}
"""Taps and their weights where a recipe names none: ESRGAN's own for VGG; strides 4, 8 and 16 of the others."""


@dataclass(frozen=True, slots=True)
class Published:
    """A weight file as torchvision or Keras publish it."""

    file: str
    digest: str
    """Beginning of its SHA-256 (torchvision) or its MD5 (Keras), as its publisher gives it; empty where it gives none."""

    @property
    def provenance(self) -> str:
        return "torchvision ImageNet" if self.file.endswith(".pth") else "Keras ImageNet"

    def check(self, path: Path) -> None:
        """Compare a file with what was published.

        Raises:
            TrainingError: it is another one, or damaged.
        """
        content = path.read_bytes()
        found = sha256(content).hexdigest() if self.file.endswith(".pth") else md5(content, usedforsecurity=False).hexdigest()
        if not found.startswith(self.digest):
            raise TrainingError(f"{path}: damaged, its hash begins with {found[:8]} instead of {self.digest[:8]}; fetch it again")


PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "vgg16": (
        Published("vgg16-397923af.pth", "397923af"),
        Published("vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
        Published("vgg16_weights_tf_dim_ordering_tf_kernels.h5", "64373286793e3c8b2b4e3219cbf3544b"),
    ),
    "vgg19": (
        Published("vgg19-dcbb9e9d.pth", "dcbb9e9d"),
        Published("vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", "253f8cb515780f3b799900260a226db6"),
        Published("vgg19_weights_tf_dim_ordering_tf_kernels.h5", "cbe5617147190e668d6c5d5026f83318"),
    ),
    "mobilenetv2": (
        Published("mobilenet_v2-7ebf99e0.pth", "7ebf99e0"),
        Published("mobilenet_v2-b0353104.pth", "b0353104"),
        Published("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", ""),
        Published("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5", ""),
    ),
    "resnet152v2": (
        Published("resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "ed17cf2e0169df9d443503ef94b23b33"),
        Published("resnet152v2_weights_tf_dim_ordering_tf_kernels.h5", "a49b44d1979771252814e80f8ec446f9"),
    ),
}


def weight_folders() -> tuple[Path, ...]:
    """Where `auto` looks for files: $SR_GEO_WEIGHTS, then the caches of torch.hub and of Keras."""
    own = os.environ.get("SR_GEO_WEIGHTS")
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return (*((Path(own),) if own else ()), Path(torch.hub.get_dir()) / "checkpoints", keras / "models")


def load_backbone(name: str, source: str | Path = "auto", *, taps: Collection[str] = (), seed: int = 0) -> tuple[Backbone, str]:
    """A frozen perceptual network and the provenance of its weights. Leaves PyTorch's random numbers as they were.

    Args:
        name: one of `NETWORKS`, or `timm:NAME`.
        source: `auto`, `random`, or the path of a file: `.pth` (torchvision), `.h5`, `.weights.h5` (Keras), `.safetensors`.
        taps: taps needed; what lies behind the deepest is not built. Empty builds all; timm's networks are always whole.
        seed: of `random`.

    Raises:
        OptionError: the network or the tap is unknown, or the weights do not reach the tap.
        TrainingError: there are no weights, or they do not fit.
        MissingPartError: h5py or timm is needed and missing.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        if name.startswith("timm:"):
            net, provenance = _load_timm(name.removeprefix("timm:"), source)
        elif name not in NETWORKS:
            raise OptionError(f"perceptual network {name!r}: expected one of {', '.join(NETWORKS)} or timm:NAME")
        elif source == "random":
            net, provenance = _randomised(_build(name, taps=taps)), "random"
        elif source == "auto":
            net, provenance = _load_auto(name, taps)
        else:
            net, provenance = _load_file(name, Path(source), taps)
        net.check_taps(taps)
    return net.freeze(), provenance


def _build(name: str, *, flavour: Flavour = "keras", taps: Collection[str] = ()) -> StagedBackbone:
    if name == "mobilenetv2":
        return mobilenetv2(flavour=flavour, taps=taps)
    if name == "resnet152v2":
        return resnet152v2(taps=taps)
    return vgg(name, preprocessing=CAFFE if flavour == "keras" else IMAGENET, taps=taps)


def _load_auto(name: str, taps: Collection[str]) -> tuple[Backbone, str]:
    for published in PUBLISHED[name]:
        path = _find(published.file)
        if path is not None:
            published.check(path)
            return _load_file(name, path, taps)[0], published.provenance
    net: Backbone
    if name == "vgg16" and packaged.VGG16.find() is not None:
        filled = vgg("vgg16", preprocessing=IMAGENET, taps=taps)
        fill_from_keras(filled.layers, packaged.vgg16_arrays(packaged.VGG16.read()), packaged.VGG16.requirement)
        return filled, packaged.VGG16.provenance
    if name == "vgg19" and (any(_find(published.file) for published in PUBLISHED["vgg16"]) or packaged.VGG16.find()):
        vgg16, origin = _load_auto("vgg16", ())
        assert isinstance(vgg16, StagedBackbone)
        return vgg19_from_vgg16(vgg16, taps=taps), f"VGG16 + identity layers; VGG16: {origin}"
    if name == "mobilenetv2" and (path := packaged.MOBILENETV2.find()) is not None:
        packaged.MOBILENETV2.read()
        net, _ = _load_file(name, path, taps)
        net.sound_until = packaged.MOBILENETV2.sound_until if packaged.MOBILENETV2.sound_until in net.taps else None
        return net, packaged.MOBILENETV2.provenance
    for file in ([DISTILLED] if name == "resnet152v2" else []) + [f"{name}{PACKED}"]:
        if (path := _find(file)) is not None:
            return _load_file(name, path, taps)
    raise TrainingError(f"{name}: no weights here; {_advice(name)}, or give a file, or source random for a test")


def _advice(name: str) -> str:
    files = " or ".join(published.file for published in PUBLISHED[name][:2])
    offline = {
        "vgg16": f"install {packaged.VGG16.requirement} (--no-deps)",
        "vgg19": f"install {packaged.VGG16.requirement} (--no-deps; VGG19 is then made of VGG16)",
        "mobilenetv2": f"install {packaged.MOBILENETV2.requirement} (--no-deps)",
        "resnet152v2": "run training/distil_resnet152v2.py",
    }[name]
    return f"put {files} into {weight_folders()[0]}, or {offline}"


def _find(file: str) -> Path | None:
    return next((path for folder in weight_folders() if (path := folder / file).is_file()), None)


def _load_file(name: str, path: Path, taps: Collection[str]) -> tuple[Backbone, str]:
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; give the weights of {name}, or source auto")
    if path.suffix in {".h5", ".hdf5"}:
        net = _build(name, flavour="keras", taps=taps)
        fill_from_keras(net.layers, read_keras(path), str(path))
        return net, f"file {path.name} (Keras layout)"
    state, about = read_state(path)
    if any(key.startswith("layers.") for key in state):  # written by this project
        until = about.get("until")
        net = _build(name, taps=taps or ((until,) if until else ()))
        own = net.state_dict()
        kept = {key: value.float() if value.is_floating_point() else value for key, value in state.items() if key in own}
        missing = [key for key in own if key not in kept and not key.endswith("num_batches_tracked")]
        if missing:
            raise TrainingError(f"{path}: holds {name} up to {until} only; choose taps up to there")
        net.load_state_dict(kept, strict=False)
        return net, about.get("provenance", f"file {path.name}")
    if name == "resnet152v2":
        raise TrainingError(f"{path}: torchvision has no ResNet152V2; give the .h5 file of Keras")
    net = _build(name, flavour="torchvision", taps=taps)
    fill_from_torchvision(net.layers, state, str(path))
    return net, f"file {path.name} (torchvision layout)"


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a `.safetensors` file, or the tensors of a `.pth` file (tensors only: nothing in it is run).

    Raises:
        TrainingError: the file is of neither kind.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118 - no mapping
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise TrainingError(f"{path}: cannot be read ({str(error).splitlines()[0]}); give .pth, .safetensors or .h5") from error
    except Exception as error:  # pickle.UnpicklingError names what was refused
        if type(error).__name__ != "UnpicklingError":
            raise
        raise TrainingError(f"{path}: refused, it holds more than tensors; give a file of weights") from error
    return dict(state), {}


def fill_from_torchvision(layers: nn.ModuleDict, state: Mapping[str, Tensor], origin: str) -> None:
    """Put a `features.…` state of torchvision into layers of the same order.

    Raises:
        TrainingError: there are fewer layers in the state, or of other shapes.
    """
    groups: dict[str, list[Tensor]] = {}
    for key, value in state.items():
        layer, _, leaf = key.rpartition(".")
        if key.startswith("features.") and leaf != "num_batches_tracked":
            groups.setdefault(layer, []).append(value)
    if len(groups) < len(layers):
        raise TrainingError(f"{origin}: {len(groups)} layers below `features`, expected {len(layers)}; this is another network")
    for (ours, module), tensors in zip(layers.items(), groups.values(), strict=False):
        load_layer(ours, module, tensors, origin)


def _load_timm(architecture: str, source: str | Path) -> tuple[Backbone, str]:
    net = TimmBackbone(architecture)
    if source == "random":
        return _randomised(net), "random"
    path = _cached_timm(net) if source == "auto" else Path(source)
    if path is None:
        where = net.configuration.get("hf_hub_id") or "its publisher"
        raise TrainingError(f"{net.name}: no weights in the cache; fetch model.safetensors of {where} and give its path")
    if not path.is_file():
        raise TrainingError(f"{path}: no such file; give the weights of {net.name}, or source auto")
    try:
        net.network.load_state_dict(read_state(path)[0])
    except RuntimeError as error:
        raise TrainingError(f"{path}: not the weights of {net.name} ({str(error).splitlines()[0]})") from error
    tag = net.configuration.get("tag") or "untagged"
    return net, f"timm {tag}" if source == "auto" else f"file {path.name} (timm layout)"


def _cached_timm(net: TimmBackbone) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    repository = net.configuration.get("hf_hub_id")
    found = try_to_load_from_cache(repository, "model.safetensors") if repository else None
    return Path(found) if isinstance(found, str) else None


def _randomised(net: Backbone) -> Backbone:
    """He weights that keep the features' magnitude through any depth; batch norms stay the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # timm starts some at zero
    return net
