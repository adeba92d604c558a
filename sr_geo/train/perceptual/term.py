"""The perceptual loss: how far the features of the enhanced picture are from those of the true one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.errors import OptionError
from sr_geo.train.perceptual.backbone import Backbone
from sr_geo.train.perceptual.bands import Units, as_pictures, band_triples, to_picture_range
from sr_geo.train.perceptual.timm_features import TimmBackbone
from sr_geo.train.perceptual.weights import DEFAULT_TAPS, load_backbone

Distance = Literal["l1", "l2"]
MOMENTUM = 0.99
"""Of the running magnitudes."""


class PerceptualTerm(nn.Module):
    """``Σ weight · mean|φ(sr) - φ(hr)| / magnitude`` over the taps φ of one network; all bands count.

    *Magnitude* is the running mean of ``|φ(hr)|`` of each tap: every tap, of every network, contributes on one scale, and
    "add MobileNetV2" does not mean "tune all the weights again". It moves in training mode only; it belongs to the run
    (`run_state`), not to any `state_dict`.

    The network is no part of the module tree: `parameters()` and `state_dict()` are empty, so that no optimiser, average
    or checkpoint picks it up, yet it moves along with `.to(device)`. Its weights are float32 and it is in evaluation mode, whatever
    `.to(dtype)` or `.train()` say. It runs in the precision of autocast, where that is on; its maps are compared in float32.

    Args:
        backbone: the network, frozen.
        bands: roles of the bands, in the order of the samples' channels; see `band_triples`.
        taps: taps of the network and their weights.
        units: of the samples; see `to_picture_range`.
        distance: `l1`, or `l2` for the squared difference (over the squared magnitude), as in SRGAN.
        activated: take the maps after their activation, for comparison; where one follows the tap.
        provenance: of the weights, for `describe`.

    Raises:
        OptionError: no taps, or one that the network or its weights do not have.
    """

    running: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        bands: Sequence[str],
        taps: Mapping[str, float],
        units: Units,
        distance: Distance = "l1",
        activated: bool = False,
        provenance: str = "unknown",
    ) -> None:
        super().__init__()
        if not taps or min(taps.values()) < 0.0 or max(taps.values()) <= 0.0:
            raise OptionError(f"taps {dict(taps)} of {backbone.name}: expected at least one, with weights above zero")
        backbone.check_taps(taps)
        self.taps = dict(taps)
        self.triples = band_triples(bands)
        self.units, self.distance, self.activated, self.provenance = units, distance, activated, provenance
        self._bands = len(bands)
        self.__dict__["_backbone"] = backbone.freeze().float()  # past nn.Module's registration, on purpose
        self.register_buffer("running", torch.zeros(len(self.taps)), persistent=False)

    @property
    def backbone(self) -> Backbone:
        """The network, in float32."""
        net: Backbone = self.__dict__["_backbone"]
        return net

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "PerceptualTerm":
        # Of `.to`, `.cuda`, `.half` and the like only the device is followed: a cast would round the weights for good.
        kept = self.running
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.running = kept.to(self.running.device)
        self.backbone.to(self.running.device)
        return self

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """The loss.

        Args:
            sr: enhanced samples ``(N, C, H, W)``, in `units`.
            hr: true samples of the same shape; no gradient flows to them.

        Returns:
            A scalar, float32; zero, with a gradient of zero, where `sr` is `hr`.
        """
        if sr.shape != hr.shape or sr.shape[1] != self._bands:
            raise ValueError(f"sr {tuple(sr.shape)} and hr {tuple(hr.shape)}: expected one shape, (N, {self._bands}, H, W)")
        half = torch.is_autocast_enabled(sr.device.type)
        with torch.autocast(sr.device.type, enabled=False):
            like = as_pictures(hr.detach().float(), self.triples)
            pictures = as_pictures(sr.float(), self.triples)
            with torch.no_grad():
                target = self._features(to_picture_range(like, like, self.units), half=half)
                magnitudes = self._follow(torch.stack([features.abs().mean() for features in target]))
            features = self._features(to_picture_range(pictures, like, self.units), half=half)
            terms = [
                weight * self._distance(ours, theirs, magnitude)
                for weight, ours, theirs, magnitude in zip(self.taps.values(), features, target, magnitudes, strict=True)
            ]
            return torch.stack(terms).sum()

    def _features(self, pictures: Tensor, *, half: bool) -> list[Tensor]:
        with torch.autocast(pictures.device.type, enabled=half):
            maps = self.backbone(pictures, tuple(self.taps))
        return [(self.backbone.activate(tap, maps[tap]) if self.activated else maps[tap]).float() for tap in self.taps]

    def _distance(self, ours: Tensor, theirs: Tensor, magnitude: Tensor) -> Tensor:
        if self.distance == "l1":
            return F.l1_loss(ours, theirs) / magnitude
        return F.mse_loss(ours, theirs) / magnitude**2

    def _follow(self, current: Tensor) -> Tensor:
        """Magnitudes to divide by; in training mode the running ones move towards `current` first."""
        unseen = self.running == 0.0
        if self.training:
            self.running = torch.where(unseen, current, self.running.lerp(current, 1.0 - MOMENTUM))
        return torch.where(self.running == 0.0, current, self.running).clamp_min(1e-12)

    def run_state(self) -> dict[str, Tensor]:
        """What a run must keep to go on exactly: the running magnitude of each tap."""
        return {tap: value.clone() for tap, value in zip(self.taps, self.running, strict=True)}

    def load_run_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `run_state` gave; a tap that is not in it starts afresh."""
        known = zip(self.taps, self.running, strict=True)
        self.running = torch.stack([state[tap].to(value) if tap in state else torch.zeros_like(value) for tap, value in known])

    def describe(self) -> dict[str, Any]:
        """Network, provenance, taps and pictures, as a card states them."""
        return {
            "network": self.backbone.name,
            "weights": self.provenance,
            "taps": dict(self.taps),
            "activated": self.activated,
            "distance": self.distance,
            "pictures": [list(triple) for triple in self.triples],
        }


def build_perceptual(
    network: str,
    *,
    bands: Sequence[str],
    units: Units,
    source: str | Path = "auto",
    taps: Mapping[str, float] | None = None,
    distance: Distance = "l1",
    activated: bool = False,
    seed: int = 0,
) -> PerceptualTerm:
    """The perceptual loss of one network by name, no deeper than its taps; arguments as of `load_backbone` and `PerceptualTerm`."""
    taps = taps or DEFAULT_TAPS.get(network)
    backbone, provenance = load_backbone(network, source, taps=tuple(taps or ()), seed=seed)
    if taps is None:
        assert isinstance(backbone, TimmBackbone)
        names = backbone.stage_taps
        taps = {name: 1.0 / len(names) for name in names}
    return PerceptualTerm(backbone, bands=bands, taps=taps, units=units, distance=distance, activated=activated, provenance=provenance)
