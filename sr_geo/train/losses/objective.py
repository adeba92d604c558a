"""The generator's loss, put together as a recipe asks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sr_geo.train.losses.artifacts import artifact_loss
from sr_geo.train.losses.grid import grid_loss
from sr_geo.train.losses.learnt import DistsTerm, LpipsTerm
from sr_geo.train.losses.pixel import PIXEL_LOSSES
from sr_geo.train.losses.sections import LossSection
from sr_geo.train.losses.seen_again import consistency_loss
from sr_geo.train.losses.spectral import spectral_angle
from sr_geo.train.losses.structure import ms_ssim_loss
from sr_geo.train.perceptual import PerceptualTerm, Units, build_perceptual


class Objective(nn.Module):
    """All terms but the adversarial one, which needs the discriminator.

    Args:
        section: of a recipe.
        bands: roles of the bands of the model.
        units: of the samples.
        scale: high-resolution pixels per low-resolution pixel.
    """

    def __init__(self, section: LossSection, bands: Sequence[str], *, units: Units, scale: int) -> None:
        super().__init__()
        self.section, self.scale = section, scale
        self.perceptual = nn.ModuleList(
            build_perceptual(one.network, bands=bands, units=units, source=one.weights, taps=one.taps, distance=one.distance)
            for one in section.perceptual
        )
        self.dists = DistsTerm(bands, units=units) if section.dists else None
        self.lpips = LpipsTerm(bands, units=units) if section.lpips else None

    def forward(self, sr: Tensor, hr: Tensor, lr: Tensor, sigma: Tensor, average: Tensor | None) -> dict[str, Tensor]:
        """The terms by name, each times its weight, as float32.

        Under autocast the networks that compare features run in its precision, everything else in float32.

        Args:
            sr: what the generator makes, ``(N, C, s·h, s·w)``.
            hr: the true samples.
            lr: ``(N, C, h, w)``.
            sigma: ``(N, C)``.
            average: what the averaged weights make of `lr`, for `artifacts`; None where that is not asked for.
        """
        section = self.section
        terms: dict[str, Tensor] = {}
        with torch.autocast(sr.device.type, enabled=False):  # differences of pictures that are nearly the same need all digits
            if section.pixel:
                terms["pixel"] = section.pixel * PIXEL_LOSSES[section.pixel_kind](sr, hr)
            if section.ms_ssim:
                terms["ms_ssim"] = section.ms_ssim * ms_ssim_loss(sr, hr)
            if section.spectral_angle:
                terms["spectral_angle"] = section.spectral_angle * spectral_angle(sr, hr)
            if section.consistency:
                terms["consistency"] = section.consistency * consistency_loss(sr, lr, sigma, scale=self.scale)
            if section.artifacts and average is not None:
                terms["artifacts"] = section.artifacts * artifact_loss(sr, hr, average)
            if section.grid:
                terms["grid"] = section.grid * grid_loss(sr, hr, scale=self.scale)
        if self.dists is not None:
            terms["dists"] = section.dists * self.dists(sr, hr)
        if self.lpips is not None:
            terms["lpips"] = section.lpips * self.lpips(sr, hr)
        for number, (one, term) in enumerate(zip(section.perceptual, self.perceptual, strict=True), 1):
            name = f"{one.network}-{number}" if one.network in terms else one.network  # one network can come twice, with other taps
            terms[name] = one.weight * term(sr, hr)
        return terms

    def describe(self) -> list[dict[str, object]]:
        """Networks, taps and provenance of the weights of the perceptual terms, of DISTS and of LPIPS, as a run folder states them."""
        told: list[dict[str, object]] = [term.describe() for term in self.perceptual if isinstance(term, PerceptualTerm)]
        learnt = {"dists": self.dists, "lpips": self.lpips}
        return told + [{"network": "vgg16", "weights": term.provenance, "term": name} for name, term in learnt.items() if term is not None]

    @property
    def magnitudes(self) -> list[Tensor]:
        """The running magnitudes, one tensor for each perceptual term: what several processes must bring to their mean after a step."""
        return [term.running for term in self.perceptual if isinstance(term, PerceptualTerm)]

    def run_state(self) -> dict[str, Tensor]:
        """What must be kept for a run to go on exactly: the running magnitudes."""
        return {
            f"{number}/{tap}": value
            for number, term in enumerate(self.perceptual)
            if isinstance(term, PerceptualTerm)
            for tap, value in term.run_state().items()
        }

    def load_run_state(self, state: dict[str, Tensor]) -> None:
        """Take over what `run_state` gave."""
        for number, term in enumerate(self.perceptual):
            if isinstance(term, PerceptualTerm):
                prefix = f"{number}/"
                term.load_run_state({key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)})


def total(terms: dict[str, Tensor]) -> Tensor:
    """Sum of the terms."""
    return torch.stack(list(terms.values())).sum()
