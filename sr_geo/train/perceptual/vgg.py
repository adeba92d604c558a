"""VGG16 and VGG19: 3×3 convolutions in five blocks, each followed by a ReLU, with a pooling between blocks."""

from collections.abc import Collection
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.train.perceptual.backbone import IMAGENET, Keep, Preprocessing, Stage, StagedBackbone

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def vgg(name: str, *, preprocessing: Preprocessing = IMAGENET, taps: Collection[str] = ()) -> StagedBackbone:
    """The convolutions of `vgg16` or `vgg19`; taps `block1_conv1` … `block5_conv3` (or `_conv4`) lie before the ReLU."""
    stages: list[Stage] = []
    inputs = 3
    for block, (depth, width) in enumerate(zip(DEPTHS[name], WIDTHS, strict=True), 1):
        for index in range(1, depth + 1):
            layer = f"block{block}_conv{index}"
            build = partial(nn.Conv2d, inputs, width, 3, padding=1)
            stages.append(Stage({layer: build}, partial(_convolve, layer), {layer: F.relu}))
            inputs = width
        stages.append(Stage({}, _pool, {}))
    return StagedBackbone(name, stages[:-1], preprocessing=preprocessing, taps=taps)


def _convolve(layer: str, layers: nn.ModuleDict, x: Tensor, keep: Keep) -> Tensor:
    x = layers[layer](x)
    keep(layer, x)
    return F.relu(x)


def _pool(layers: nn.ModuleDict, x: Tensor, keep: Keep) -> Tensor:
    return F.max_pool2d(x, 2)


def vgg19_from_vgg16(vgg16: StagedBackbone, *, taps: Collection[str] = ()) -> StagedBackbone:
    """VGG19 whose features are those of a VGG16: one more convolution in each of blocks 3–5, an identity.

    Behind a ReLU nothing is negative, so an identity kernel and another ReLU change nothing. The identity stands
    *before* a block's last convolution: the tap `block5_conv4` then equals VGG16's `block5_conv3`, negatives included.
    (The taps of the identities themselves, `block3_conv3` and so on, repeat the activated map before them.)
    This is no ImageNet VGG19, and nothing may call it one.

    Args:
        vgg16: a whole VGG16, of any preprocessing: the result takes it over.
        taps: taps of the VGG19 that are needed; empty builds all.
    """
    net = vgg("vgg19", preprocessing=vgg16.preprocessing, taps=taps)
    source = {shared_tap(tap): vgg16.layers[tap].state_dict() for tap in vgg16.taps}
    with torch.no_grad():
        for name, layer in net.layers.items():
            if name in source:
                layer.load_state_dict(source[name])
            else:
                nn.init.dirac_(layer.get_parameter("weight"))
                nn.init.zeros_(layer.get_parameter("bias"))
    return net


def shared_tap(tap: str) -> str:
    """Name, in the VGG19 made from it, of a tap of VGG16."""
    block, convolution = tap.split("_")
    return f"{block}_conv4" if block in {"block3", "block4", "block5"} and convolution == "conv3" else tap
