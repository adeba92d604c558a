"""Structural losses against the implementations that everyone uses."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from sr_geo.train.losses.structure import WEIGHTS, DistsTerm, ms_ssim_loss
from sr_geo.train.perceptual.backbone import IMAGENET

torchmetrics = pytest.importorskip("torchmetrics", reason="MS-SSIM and DISTS come with the extra `train`")


def soft(side: int, *, bands: int = 3, seed: int = 0, count: int = 1) -> Tensor:
    """Soft pictures that fill 0…1 in every band."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, bands, side // 6, side // 6, generator=generator)
    x = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=False)
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return (x - low) / (high - low)


def test_ms_ssim_is_zero_at_equality_in_any_unit() -> None:
    for hr in (soft(64), 9000.0 * soft(64) - 500.0, 1e-3 * soft(64)):
        sr = hr.clone().requires_grad_()
        loss = ms_ssim_loss(sr, hr)
        loss.backward()
        assert abs(float(loss.detach())) < 1e-4
        assert sr.grad is not None
        assert sr.grad.isfinite().all()


def test_ms_ssim_is_that_of_torchmetrics_at_full_size() -> None:
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as reference

    hr = soft(192)
    sr = hr + 0.05 * soft(192, seed=1)
    assert float(ms_ssim_loss(sr, hr)) == pytest.approx(1.0 - float(reference(sr, hr, data_range=1.0)), abs=1e-5)


def test_ms_ssim_does_not_depend_on_gain_and_offset() -> None:
    hr, change = soft(96), 0.1 * soft(96, seed=1)
    one, other = ms_ssim_loss(hr + change, hr), ms_ssim_loss(4000.0 * (hr + change) + 200.0, 4000.0 * hr + 200.0)
    assert float(one) == pytest.approx(float(other), rel=1e-3)
    assert float(one) > 1e-3


@pytest.mark.parametrize("side", [24, 40, 64, 100])
def test_small_patches_take_fewer_scales(side: int) -> None:
    hr = soft(side)
    sr = (hr + 0.2 * soft(side, seed=1)).requires_grad_()
    loss = ms_ssim_loss(sr, hr)
    assert 0.0 < float(loss.detach()) < 1.0
    loss.backward()
    assert sr.grad is not None
    assert sr.grad.isfinite().all()
    assert sr.grad.abs().max() > 0


def test_flat_and_opposite_pictures_give_numbers() -> None:
    flat = torch.full((1, 1, 48, 48), 3.0)
    for sr, hr in ((soft(48, bands=1), flat), (flat, flat), (1.0 - soft(48, bands=1), soft(48, bands=1))):
        wanted = sr.clone().requires_grad_()
        loss = ms_ssim_loss(wanted, hr)
        loss.backward()
        assert loss.isfinite()
        assert wanted.grad is not None
        assert wanted.grad.isfinite().all()


def test_the_weights_of_the_scales_are_those_of_the_paper() -> None:
    assert sum(WEIGHTS) == pytest.approx(1.0, abs=1e-3)


@pytest.fixture(scope="module")
def dists() -> DistsTerm:
    return DistsTerm(("red", "green", "blue"), units="unit", source="random")


def test_dists_is_zero_at_equality(dists: DistsTerm) -> None:
    hr = soft(32, count=2)
    sr = hr.clone().requires_grad_()
    loss = dists(sr, hr)
    loss.backward()
    assert abs(float(loss.detach())) < 1e-5
    assert sr.grad is not None
    assert sr.grad.isfinite().all()
    assert dists(hr.roll(3, 2), hr) > 1e-4


def test_dists_is_that_of_torchmetrics(dists: DistsTerm, monkeypatch: pytest.MonkeyPatch) -> None:
    vgg = pytest.importorskip("torchvision.models.vgg", reason="the reference builds its network with it")
    reference = pytest.importorskip("torchmetrics.functional.image.dists", reason="from torchmetrics 1.5 on")
    monkeypatch.setattr(reference, "vgg16", lambda weights: SimpleNamespace(features=vgg.make_layers(vgg.cfgs["D"])))
    theirs = reference.DISTSNetwork().eval()
    convolutions = [module for module in theirs.modules() if isinstance(module, torch.nn.Conv2d)]
    backbone = dists.__dict__["_backbone"]
    monkeypatch.setattr(backbone, "preprocessing", IMAGENET)  # random weights come with that of Keras
    assert len(convolutions) == len(backbone.taps) == 13
    for convolution, tap in zip(convolutions, backbone.taps, strict=True):
        convolution.load_state_dict(backbone.layers[tap].state_dict())
    hr = soft(32, count=2)
    sr = (hr + 0.2 * soft(32, seed=3, count=2)).clamp(0, 1)
    with torch.no_grad():
        expected = theirs(sr, hr).mean()
        assert float(dists(sr, hr)) == pytest.approx(float(expected), rel=1e-3, abs=1e-6)
        assert float(expected) > 1e-4


def test_dists_has_nothing_to_train_or_keep(dists: DistsTerm) -> None:
    assert not list(dists.parameters())
    assert not dists.state_dict()
    hr = soft(32).requires_grad_()
    sr = soft(32, seed=1).requires_grad_()
    dists(sr, hr).backward()
    assert hr.grad is None
    assert sr.grad is not None
    assert sr.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in dists.__dict__["_backbone"].parameters())


def test_dists_looks_at_every_band_of_satellites_in_any_unit() -> None:
    term = DistsTerm(("blue", "green", "red", "nir"), units="spread", source="random")
    hr = 3.0 * soft(32, bands=4) - 1.0
    sr = (hr + 0.3 * soft(32, bands=4, seed=1)).requires_grad_()
    loss = term(sr, hr)
    loss.backward()
    assert sr.grad is not None
    assert (sr.grad.abs().amax((0, 2, 3)) > 0).all()
    with torch.no_grad():
        assert float(term(2.0 * sr + 5.0, 2.0 * hr + 5.0)) == pytest.approx(float(loss), rel=1e-2)
