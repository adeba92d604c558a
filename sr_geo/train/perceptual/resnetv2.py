"""ResNet152V2: the pre-activation residual network, in the topology of Keras applications.

What sets it apart from other ResNets, and from most ports: the stride stands in the *last* block of a group and in its
3×3 convolution; the shortcut of that block is a pooling with stride, without a convolution; the first block of a group
projects its shortcut from the *pre-activated* input; the stem has a bias, no batch norm and no ReLU before its pooling,
which is padded with zeros; a batch norm and a ReLU close the network.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.train.perceptual.backbone import SYMMETRIC, Keep, Stage, StagedBackbone

GROUPS = ((64, 3, 2), (128, 8, 2), (256, 36, 2), (512, 3, 1))
"""Width, blocks and the stride of the last block of conv2_x … conv5_x."""

_norm = partial(nn.BatchNorm2d, eps=1.001e-5)


def resnet152v2(*, taps: Collection[str] = (), groups: Sequence[tuple[int, int, int]] = GROUPS) -> StagedBackbone:
    """ResNet152V2 without its classifier.

    Taps: `conv1_conv`, the sum of each block (`conv2_block1_out` …: what the next block normalises and activates) and `post_bn`.

    Args:
        taps: taps needed; what lies behind the deepest is not built. Empty builds all.
        groups: other depths and widths; ResNet50V2 is ``((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1))``.
    """
    stages = [Stage({"conv1_conv": partial(nn.Conv2d, 3, 64, 7, stride=2, padding=3)}, _stem, {"conv1_conv": None})]
    inputs = 64
    for group, (width, blocks, last_stride) in enumerate(groups, 2):
        for index in range(1, blocks + 1):
            stride = last_stride if index == blocks else 1
            stages.append(_block(f"conv{group}_block{index}", inputs, width, stride=stride, projected=index == 1))
            inputs = 4 * width
    stages.append(Stage({"post_bn": partial(_norm, inputs)}, _last, {"post_bn": F.relu}))
    return StagedBackbone("resnet152v2", stages, preprocessing=SYMMETRIC, taps=taps)


def _stem(layers: nn.ModuleDict, x: Tensor, keep: Keep) -> Tensor:
    x = layers["conv1_conv"](x)
    keep("conv1_conv", x)
    return F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, stride=2)  # zeros, not −∞: they count where all else is negative


def _last(layers: nn.ModuleDict, x: Tensor, keep: Keep) -> Tensor:
    x = layers["post_bn"](x)
    keep("post_bn", x)
    return F.relu(x)


def _block(prefix: str, inputs: int, width: int, *, stride: int, projected: bool) -> Stage:
    layers: dict[str, Callable[[], nn.Module]] = {f"{prefix}_preact_bn": partial(_norm, inputs)}
    if projected:
        layers[f"{prefix}_0_conv"] = partial(nn.Conv2d, inputs, 4 * width, 1, stride=stride)
    layers |= {
        f"{prefix}_1_conv": partial(nn.Conv2d, inputs, width, 1, bias=False),
        f"{prefix}_1_bn": partial(_norm, width),
        f"{prefix}_2_conv": partial(nn.Conv2d, width, width, 3, stride=stride, padding=1, bias=False),
        f"{prefix}_2_bn": partial(_norm, width),
        f"{prefix}_3_conv": partial(nn.Conv2d, width, 4 * width, 1),
    }

    def run(layers: nn.ModuleDict, x: Tensor, keep: Keep) -> Tensor:
        ready = F.relu(layers[f"{prefix}_preact_bn"](x))
        # The other shortcut is a 1×1 max pooling with that stride.
        shortcut: Tensor = layers[f"{prefix}_0_conv"](ready) if projected else x[:, :, ::stride, ::stride]
        y: Tensor = F.relu(layers[f"{prefix}_1_bn"](layers[f"{prefix}_1_conv"](ready)))
        y = F.relu(layers[f"{prefix}_2_bn"](layers[f"{prefix}_2_conv"](y)))
        y = shortcut + layers[f"{prefix}_3_conv"](y)
        keep(f"{prefix}_out", y)
        return y

    return Stage(layers, run, {f"{prefix}_out": None})
