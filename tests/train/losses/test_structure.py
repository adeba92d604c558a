"""Structural losses against the implementations that everyone uses."""

import pytest
import torch

from sr_geo.train.losses.structure import WEIGHTS, ms_ssim_loss
from tests.train.losses.pictures import soft

torchmetrics = pytest.importorskip("torchmetrics", reason="MS-SSIM comes with the extra `train`")


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
