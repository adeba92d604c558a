"""MobileNetV2 (width 1.0) with the padding and batch-norm constants of Keras or of torchvision."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.train.perceptual.backbone import IMAGENET, SYMMETRIC, Keep, Stage, StagedBackbone

Flavour = Literal["keras", "torchvision"]
# (expansion, channels out, repeats, stride of the first)
PLAN = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def mobilenetv2(*, flavour: Flavour = "keras", taps: Collection[str] = ()) -> StagedBackbone:
    """MobileNetV2 without its classifier.

    Taps are the outputs of the batch norms, before ReLU6: `bn_Conv1`, `block_1_expand_BN`, … `Conv_1_bn`; those of
    `…_project_BN` are linear by design.

    Args:
        flavour: whose weights will be loaded. Keras pads at stride 2 on the right and below only (when the size is
            even), its batch norm adds 1e-3 to the variance and its input is −1…1; torchvision pads on all sides, adds 1e-5 and
            takes ImageNet's mean and standard deviation.
        taps: taps needed; what lies behind the deepest is not built. Empty builds all.
    """
    norm = partial(nn.BatchNorm2d, eps=1e-3 if flavour == "keras" else 1e-5)
    stages = [_single("Conv1", "bn_Conv1", partial(nn.Conv2d, 3, 32, 3, stride=2, bias=False), partial(norm, 32), flavour)]
    inputs, index = 32, 0
    for expansion, outputs, repeats, first_stride in PLAN:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            prefix = "expanded_conv" if index == 0 else f"block_{index}"
            stages.append(_inverted(prefix, (inputs, outputs), expansion=expansion, stride=stride, norm=norm, flavour=flavour))
            inputs, index = outputs, index + 1
    stages.append(_single("Conv_1", "Conv_1_bn", partial(nn.Conv2d, inputs, 1280, 1, bias=False), partial(norm, 1280), flavour))
    return StagedBackbone("mobilenetv2", stages, preprocessing=SYMMETRIC if flavour == "keras" else IMAGENET, taps=taps)


def pad_same(x: Tensor, flavour: Flavour) -> Tensor:
    """Surround `x` with what a 3×3 convolution of stride 2 needs, as TensorFlow's `same` does or on all sides."""
    height, width = x.shape[2:]
    top, left = (1, 1) if flavour == "torchvision" else (height % 2, width % 2)
    return F.pad(x, (left, 1, top, 1))


def _single(conv: str, norm: str, build_conv: Callable[[], nn.Module], build_norm: Callable[[], nn.Module], flavour: Flavour) -> Stage:
    def run(layers: nn.ModuleDict, x: Tensor, keep: Keep) -> Tensor:
        x = layers[norm](layers[conv](pad_same(x, flavour) if conv == "Conv1" else x))
        keep(norm, x)
        return F.relu6(x)

    return Stage({conv: build_conv, norm: build_norm}, run, {norm: F.relu6})


def _inverted(
    prefix: str, channels: tuple[int, int], *, expansion: int, stride: int, norm: Callable[[int], nn.Module], flavour: Flavour
) -> Stage:
    inputs, outputs = channels
    wide, residual = inputs * expansion, stride == 1 and inputs == outputs
    expand, depthwise, project = (f"{prefix}_{part}" for part in ("expand", "depthwise", "project"))
    layers: dict[str, Callable[[], nn.Module]] = {}
    if expansion > 1:
        layers |= {expand: partial(nn.Conv2d, inputs, wide, 1, bias=False), f"{expand}_BN": partial(norm, wide)}
    padding = 0 if stride == 2 else 1
    layers |= {
        depthwise: partial(nn.Conv2d, wide, wide, 3, stride=stride, padding=padding, groups=wide, bias=False),
        f"{depthwise}_BN": partial(norm, wide),
        project: partial(nn.Conv2d, wide, outputs, 1, bias=False),
        f"{project}_BN": partial(norm, outputs),
    }

    def run(layers: nn.ModuleDict, x: Tensor, keep: Keep) -> Tensor:
        y: Tensor = x
        if expansion > 1:
            y = layers[f"{expand}_BN"](layers[expand](y))
            keep(f"{expand}_BN", y)
            y = F.relu6(y)
        y = layers[f"{depthwise}_BN"](layers[depthwise](pad_same(y, flavour) if stride == 2 else y))
        keep(f"{depthwise}_BN", y)
        y = layers[f"{project}_BN"](layers[project](F.relu6(y)))
        keep(f"{project}_BN", y)
        return x + y if residual else y

    taps = {name: None if name == f"{project}_BN" else F.relu6 for name in layers if name.endswith("_BN")}
    return Stage(layers, run, taps)
