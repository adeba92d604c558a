"""The terms that a recipe asks for, each with its weight, and a gradient for the generator alone."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from sr_geo.train.losses import LossSection, Objective
from sr_geo.train.losses.learnt import DistsTerm, LpipsTerm
from sr_geo.train.losses.objective import total

BANDS = ("blue", "green", "red", "nir")
EVERYTHING = {
    "pixel": 1.0,
    "ms_ssim": 0.3,
    "spectral_angle": 0.1,
    "consistency": 0.5,
    "artifacts": 1.0,
    "grid": 0.5,
    "dists": 0.2,
    "lpips": 0.2,
    "perceptual": [{"network": "vgg16", "weights": "random", "weight": 0.1, "taps": {"block1_conv2": 1.0}}],
}


def batch(side: int = 8) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    sr, hr, average = (torch.rand(2, 4, 4 * side, 4 * side, generator=generator) for _ in range(3))
    return sr.requires_grad_(), hr, torch.rand(2, 4, side, side, generator=generator), torch.full((2, 4), 1.5), average


def objective(monkeypatch: pytest.MonkeyPatch, **section: object) -> Objective:
    for term in (DistsTerm, LpipsTerm):
        monkeypatch.setattr(f"sr_geo.train.losses.objective.{term.__name__}", partial(term, source="random"))
    return Objective(LossSection.model_validate(section), BANDS, units="spread", scale=4)


def test_only_what_is_asked_for_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sr, hr, lr, sigma, average = batch()
    terms = objective(monkeypatch)(sr, hr, lr, sigma, average)
    assert list(terms) == ["pixel"]
    torch.testing.assert_close(terms["pixel"], l1_loss(sr, hr))
    assert list(objective(monkeypatch, pixel=0.0, spectral_angle=1.0)(sr, hr, lr, sigma, average)) == ["spectral_angle"]


def test_all_terms_have_a_gradient_for_the_enhanced_picture_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sr, hr, lr, sigma, average = batch()
    everything = objective(monkeypatch, **EVERYTHING)
    assert not list(everything.parameters())
    assert not everything.state_dict()
    terms = everything(sr, hr, lr, sigma, average)
    assert set(terms) == {"pixel", "ms_ssim", "spectral_angle", "consistency", "artifacts", "grid", "dists", "lpips", "vgg16"}
    for name, term in terms.items():
        assert term.shape == ()
        (slope,) = torch.autograd.grad(term, sr, retain_graph=True)
        assert slope.isfinite().all(), name
        assert slope.abs().max() > 0, name
    assert not any(x.requires_grad for x in (hr, lr, sigma, average))
    torch.testing.assert_close(total(terms), sum(terms.values()))


@pytest.mark.parametrize("name", ["pixel", "ms_ssim", "spectral_angle", "consistency", "artifacts", "grid"])
def test_weights_are_factors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, three = (objective(monkeypatch, **{"pixel": 0.0, name: weight})(*batch())[name] for weight in (1.0, 3.0))
    torch.testing.assert_close(three, 3.0 * one)


def test_the_artifact_term_waits_for_the_average(monkeypatch: pytest.MonkeyPatch) -> None:
    sr, hr, lr, sigma, _ = batch()
    assert list(objective(monkeypatch, artifacts=1.0)(sr, hr, lr, sigma, None)) == ["pixel"]
