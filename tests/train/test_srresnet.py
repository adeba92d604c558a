"""SRGAN's generator: its size, its names, its halo."""

import pytest
import torch
from torch.nn import functional

from sr_geo.train.nets import SRResNet
from tests.train.identities import assert_halo_is_exact, assert_tile_equals_whole


def tiny(scale: int = 4, blocks: int = 3) -> SRResNet:
    torch.manual_seed(2)
    return SRResNet(2, width=8, blocks=blocks, scale=scale).eval().double()


@pytest.mark.parametrize("scale", [2, 4])
def test_a_tile_equals_the_whole(scale: int) -> None:
    assert_tile_equals_whole(tiny(scale))


@pytest.mark.parametrize(("scale", "blocks"), [(2, 1), (4, 1), (4, 3)])
def test_the_halo_is_neither_too_small_nor_too_large(scale: int, blocks: int) -> None:
    assert_halo_is_exact(tiny(scale, blocks))


def test_as_many_parameters_as_the_published_msrresnet() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in SRResNet(3).parameters()) == 1_517_571


def test_names_are_the_published_ones() -> None:
    with torch.device("meta"):
        stems = {name.rpartition(".")[0] for name in SRResNet(3).state_dict()}
    ends = {"conv_first", "upconv1", "upconv2", "conv_hr", "conv_last"}
    assert stems == ends | {f"body.{block}.conv{place}" for block in range(16) for place in (1, 2)}


def test_starts_near_bilinear() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 10, 10)
    with torch.no_grad():
        sr = SRResNet(3, width=16, blocks=4)(x)
    assert (sr - functional.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)).abs().max() < 1e-3


def test_holds_no_statistics_of_its_training() -> None:
    assert not list(tiny().buffers())
    assert not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in tiny().modules())
