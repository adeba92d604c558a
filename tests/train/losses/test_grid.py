"""The loss against a grid counts what repeats with the input's pixels, and little else."""

import pytest
import torch

from sr_geo.train.losses.grid import NEIGHBOURS, grid_loss


def noise(side: int = 80) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(4))


def test_a_pattern_that_repeats_with_the_pixels_counts_whole() -> None:
    pattern = noise(4)
    pattern = pattern - pattern.mean((2, 3), keepdim=True)
    grid = pattern.repeat(1, 1, 20, 20)
    assert grid_loss(noise() + grid, noise(), scale=4).item() == pytest.approx(pattern.abs().mean().item(), rel=1e-4)


def test_a_pattern_that_changes_slowly_counts_and_texture_averages_out() -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(40).expand(1, 1, 80, 80)
    slowly = torch.sin(torch.linspace(0.0, 6.3, 80))[:, None]
    assert grid_loss(stripes * slowly, torch.zeros(1, 1, 80, 80), scale=4).item() > 0.8 * slowly.abs().mean().item()
    texture = noise()
    assert grid_loss(texture, torch.zeros_like(texture), scale=4).item() < 1.2 * texture.abs().mean().item() / NEIGHBOURS


def test_another_level_of_each_input_pixel_is_no_grid() -> None:
    blocks = noise(20).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert grid_loss(blocks, torch.zeros_like(blocks), scale=4).item() < 1e-6


def test_small_samples_are_taken_whole_and_the_slope_is_finite() -> None:
    sr = noise(8).requires_grad_()
    loss = grid_loss(sr, sr.detach().clone(), scale=4)
    assert loss.item() == 0.0
    grid_loss(sr, torch.zeros_like(sr), scale=4).backward()
    assert sr.grad is not None
    assert torch.isfinite(sr.grad).all()
