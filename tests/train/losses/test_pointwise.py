"""Losses pixel by pixel: zero where nothing differs, known values, and what they must not see."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from sr_geo.train.degradations.sensor import see
from sr_geo.train.losses.artifacts import artifact_loss, artifact_map
from sr_geo.train.losses.pixel import EPSILON, PIXEL_LOSSES, charbonnier
from sr_geo.train.losses.seen_again import consistency_loss
from sr_geo.train.losses.spectral import MARGIN, spectral_angle


def pair(*, bands: int = 3, side: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An enhanced picture that wants a gradient, and a true one."""
    generator = torch.Generator().manual_seed(seed)
    sr, hr = (torch.rand(2, bands, side, side, generator=generator) for _ in range(2))
    return sr.requires_grad_(), hr


def gradient(loss: Tensor, of: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(loss, of)
    return slope


@pytest.mark.parametrize("name", PIXEL_LOSSES)
def test_pixel_losses_are_least_where_nothing_differs(name: str) -> None:
    sr, hr = pair()
    same = hr.clone().requires_grad_()
    least = PIXEL_LOSSES[name](same, hr)
    assert float(least.detach()) == pytest.approx(EPSILON if name == "charbonnier" else 0.0, rel=1e-5)
    assert not gradient(least, same).any()
    assert PIXEL_LOSSES[name](sr, hr) > least
    assert gradient(PIXEL_LOSSES[name](sr, hr), sr).all()


def test_pixel_losses_have_their_textbook_values() -> None:
    sr, hr = torch.tensor([[[[3.0, -1.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert PIXEL_LOSSES["l1"](sr, hr) == pytest.approx(2.5)
    assert PIXEL_LOSSES["l2"](sr, hr) == pytest.approx(6.5)
    assert charbonnier(sr, hr) == pytest.approx((math.hypot(3, EPSILON) + math.hypot(2, EPSILON)) / 2)


def test_the_spectral_angle_of_equal_spectra_is_none() -> None:
    _, hr = pair(bands=4)
    sr = hr.clone().requires_grad_()
    loss = spectral_angle(sr, hr)
    assert float(loss.detach()) == pytest.approx(math.acos(1 - MARGIN), rel=0.05)
    assert not gradient(loss, sr).any()


def test_the_spectral_angle_does_not_see_brightness() -> None:
    sr, hr = pair(bands=4)
    for brighter in (spectral_angle(5.0 * sr, hr), spectral_angle(sr, 5.0 * hr)):
        torch.testing.assert_close(brighter, spectral_angle(sr, hr), rtol=1e-3, atol=0.0)
    # Its gradient goes round the origin, never along the ray. (All but the little that keeps black without colour.)
    slope = gradient(spectral_angle(sr, hr), sr)
    along = (slope * sr).sum(1) / (slope.norm(dim=1) * sr.norm(dim=1))
    assert along.abs().median() < 1e-3


@pytest.mark.parametrize("degrees", [1.0, 30.0, 90.0, 180.0])
def test_the_spectral_angle_is_the_angle(degrees: float) -> None:
    turn = math.radians(degrees)
    sr = torch.tensor([math.cos(turn), math.sin(turn)])[None, :, None, None].expand(1, 2, 4, 4)
    hr = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 4, 4)
    assert float(spectral_angle(50.0 * sr, 20.0 * hr)) == pytest.approx(turn, abs=2e-3)


def test_black_has_no_colour() -> None:
    hr = torch.zeros(1, 3, 4, 4)
    sr = torch.zeros(1, 3, 4, 4, requires_grad=True)
    assert float(spectral_angle(sr, hr).detach()) < 2e-3
    for true in (hr, hr + 0.5):
        assert gradient(spectral_angle(sr, true), sr).isfinite().all()
        assert gradient(spectral_angle(sr, true), sr).abs().max() < 1e4


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [0.5, 1.6, 3.2])
def test_what_the_sensor_sees_as_its_input_is_consistent(sigma: float, scale: int) -> None:
    hr = torch.rand(2, 3, 16 * scale, 20 * scale)
    blur = torch.full((2, 3), sigma)
    lr = see(hr, blur, scale=scale)
    sr = hr.clone().requires_grad_()
    loss = consistency_loss(sr, lr, blur, scale=scale)
    assert float(loss.detach()) < 1e-6
    assert gradient(loss, sr).isfinite().all()
    assert float(consistency_loss(hr + 0.25, lr, blur, scale=scale)) == pytest.approx(0.25, rel=1e-4)


def test_consistency_takes_the_blur_of_each_band_and_forgives_the_border() -> None:
    hr, blur = torch.rand(1, 2, 64, 64), torch.tensor([[1.0, 3.0]])
    lr = see(hr, blur, scale=4)
    assert float(consistency_loss(hr, lr, blur, scale=4)) < 1e-6
    assert float(consistency_loss(hr, lr, blur.flip(1), scale=4)) > 1e-3
    lr[..., :3, :] = 7.0
    assert float(consistency_loss(hr, lr, blur, scale=4)) < 1e-6
    # A patch smaller than the reach of the blur still has a middle.
    small = torch.rand(1, 2, 16, 16)
    assert float(consistency_loss(small, see(small, blur, scale=4), blur, scale=4)) < 1e-6


def test_where_the_average_is_no_truer_there_is_no_artefact() -> None:
    sr, hr = pair()
    worse = hr + 2.0 * (sr.detach() - hr)
    assert not artifact_map(sr, hr, worse).any()
    assert float(artifact_loss(sr, hr, worse).detach()) == 0.0
    assert float(artifact_loss(hr, hr, hr)) == 0.0


def test_the_artifact_map_is_that_of_the_definition() -> None:
    sr, hr = pair(side=12)
    found = artifact_map(sr, hr, hr)  # the average is perfect: every pixel counts
    assert found.shape == (2, 1, 12, 12)
    assert not found.requires_grad
    residual = (hr - sr.detach()).abs().sum(1)
    for sample, row, column in ((0, 5, 6), (1, 8, 3)):
        around = residual[sample, row - 3 : row + 4, column - 3 : column + 4]
        expected = around.var() * residual[sample].var() ** 0.2
        assert float(found[sample, 0, row, column]) == pytest.approx(float(expected), rel=1e-4)
    assert (found >= 0).all()


def test_an_artefact_counts_where_it_is() -> None:
    hr = torch.rand(1, 3, 24, 24)
    sr = hr.clone()
    sr[..., 10:13, 10:13] += torch.tensor([1.0, -1.0, 1.0])
    sr.requires_grad_()
    found = artifact_map(sr, hr, hr)[0, 0]
    assert found[11, 11] > 0
    far = torch.ones_like(found, dtype=torch.bool)
    far[6:17, 6:17] = False
    assert found[far].abs().max() < 1e-9
    slope = gradient(artifact_loss(sr, hr, hr), sr)
    assert slope[..., 11, 11].all()
    assert not slope[0, :, far].any()


def test_the_artifact_loss_is_l1_under_the_map() -> None:
    sr, hr = pair()
    weight = artifact_map(sr, hr, hr)
    assert float(artifact_loss(sr, hr, hr).detach()) == pytest.approx(float(l1_loss(weight * sr, weight * hr).detach()))
    assert float(artifact_loss(sr, hr, hr).detach()) == pytest.approx(float((weight * (sr - hr).abs()).mean().detach()), rel=1e-5)
