"""One interface for every perceptual network: an RGB picture in, the feature maps of named taps out.

A network is a list of stages, run in order and only as far as the deepest tap asked for. Taps carry the name of the layer
*before* an activation; no activation works in place, so a kept map is never overwritten. Layers keep the names of Keras
applications (`block5_conv4`, `block_13_expand_BN`, `conv4_block2_out`), whatever the weights come from.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sr_geo.errors import OptionError, TrainingError

Keep = Callable[[str, Tensor], None]
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """From RGB in 0…1 to what the weights were trained on: ``(x - mean) / std``, then RGB or BGR."""

    mean: tuple[float, float, float]
    """Of red, green and blue, in 0…1."""
    std: tuple[float, float, float]
    bgr: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        mean, std = (torch.tensor(values, dtype=x.dtype, device=x.device).view(1, 3, 1, 1) for values in (self.mean, self.std))
        y = (x - mean) / std
        return y.flip(1) if self.bgr else y


IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""torchvision and most of timm."""
CAFFE = Preprocessing((123.68 / 255.0, 116.779 / 255.0, 103.939 / 255.0), (1.0 / 255.0,) * 3, bgr=True)
"""VGG of Keras applications: BGR in 0…255 less the mean colour."""
SYMMETRIC = Preprocessing((0.5,) * 3, (0.5,) * 3)
"""MobileNetV2 and ResNetV2 of Keras applications: −1…1."""


class Backbone(nn.Module, ABC):
    """A frozen feature extractor, always in evaluation mode.

    Attributes:
        name: the network, e.g. `vgg19`.
        preprocessing: what goes before the first layer; belongs to the weights, not to the network.
        sound_until: deepest tap whose weights are what the provenance says, or None where all are.
    """

    name: str
    preprocessing: Preprocessing
    sound_until: str | None = None

    @property
    @abstractmethod
    def taps(self) -> tuple[str, ...]:
        """Names of all taps, in order of computation."""

    @abstractmethod
    def extract(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Maps of `taps`, before the activation, from a preprocessed picture."""

    @abstractmethod
    def activate(self, tap: str, features: Tensor) -> Tensor:
        """What the network makes of a tap's map next: the map *after* the activation.

        Raises:
            OptionError: no activation follows the tap directly.
        """

    def forward(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        """Feature maps of a picture.

        Args:
            x: ``(N, 3, H, W)``, RGB, nominally 0…1 (values outside are let through).
            taps: names out of `self.taps`.

        Returns:
            For each tap its map ``(N, K, H / stride, W / stride)`` before the activation.
        """
        return self.extract(self.preprocessing(x), taps)

    def check_taps(self, taps: Iterable[str]) -> None:
        """Make sure that all `taps` exist and that the weights reach them.

        Raises:
            OptionError: a tap is unknown, or lies behind `sound_until`.
        """
        order = {tap: index for index, tap in enumerate(self.taps)}
        for tap in taps:
            if tap not in order:
                raise OptionError(f"{self.name}: no tap {tap!r}; there are {', '.join(self.taps)}")
            if self.sound_until is not None and order[tap] > order[self.sound_until]:
                raise OptionError(f"{self.name}: these weights are good up to {self.sound_until} only; {tap} lies behind")

    def freeze(self) -> "Backbone":
        """The network itself, without gradients for its weights and in evaluation mode for good."""
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in evaluation mode: batch statistics must never move."""
        return super().train(False)


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of a network: its layers, how they run, and the taps met on the way."""

    layers: Mapping[str, Callable[[], nn.Module]]
    """Name in Keras → what builds the layer."""
    run: Callable[[nn.ModuleDict, Tensor, Keep], Tensor]
    taps: Mapping[str, Activation | None]
    """Name of a tap → the activation that follows it directly, or None."""


class StagedBackbone(Backbone):
    """A network given as stages, built only as deep as it is used.

    Args:
        name: the network.
        stages: all its stages, in order.
        preprocessing: of the weights that will be loaded.
        taps: taps needed; stages behind the deepest are not built. Empty builds all.

    Raises:
        OptionError: a tap is unknown.
    """

    def __init__(self, name: str, stages: Sequence[Stage], *, preprocessing: Preprocessing, taps: Collection[str] = ()) -> None:
        super().__init__()
        self.name, self.preprocessing = name, preprocessing
        self.stages = tuple(stages)
        self.check_taps(taps)
        if taps:
            self.stages = self.stages[: 1 + max(index for index, stage in enumerate(stages) if stage.taps.keys() & set(taps))]
        self.layers = nn.ModuleDict({layer: build() for stage in self.stages for layer, build in stage.layers.items()})

    @property
    def taps(self) -> tuple[str, ...]:
        return tuple(tap for stage in self.stages for tap in stage.taps)

    def extract(self, x: Tensor, taps: Sequence[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        wanted = set(taps)

        def keep(name: str, features: Tensor) -> None:
            if name in wanted:
                found[name] = features

        for stage in self.stages:
            if len(found) == len(wanted):
                break
            if min(x.shape[2:]) < 2 and not stage.layers:
                raise TrainingError(f"{self.name}: patches too small for {taps[-1]}; use larger ones or a shallower tap")
            x = stage.run(self.layers, x, keep)
        return {tap: found[tap] for tap in taps}

    def activate(self, tap: str, features: Tensor) -> Tensor:
        for stage in self.stages:
            activation = stage.taps.get(tap)
            if activation is not None:
                return activation(features)
        raise OptionError(f"{self.name}: no activation follows {tap} directly; take it before the activation")
