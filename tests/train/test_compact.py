"""The network's identities: gain and offset, halo, zero at the start, bands carried over."""

import numpy as np
import pytest
import torch

from sr_geo.train.nets import Compact, Generator, build_generator
from tests.train.identities import assert_halo_is_exact, assert_tile_equals_whole


def random_net(bands: int = 3, *, width: int = 16, blocks: int = 2, sees_blur: bool = True) -> Compact:
    """A network whose every weight matters: the fresh one adds nothing."""
    torch.manual_seed(1)
    net = Compact(bands, width=width, blocks=blocks, sees_blur=sees_blur)
    with torch.no_grad():
        net.tail.weight.normal_(0, 0.1)
        if net.gate is not None:
            net.gate.out.weight.normal_(0, 0.1)
    return net.eval().double()


@pytest.mark.parametrize("sees_blur", [True, False])
@pytest.mark.parametrize("gain", [0.01, 1.0, 300.0])
def test_commutes_with_gain_and_with_an_offset_per_band(gain: float, sees_blur: bool) -> None:
    net, size, edge = random_net(sees_blur=sees_blur), 40, 4 * 6
    assert net.commutes
    x, sigma = torch.randn(2, 3, size, size, dtype=torch.float64), torch.full((2, 3), 1.7, dtype=torch.float64)
    offset = torch.tensor([5.0, -2.0, 0.3], dtype=torch.float64)[None, :, None, None]
    with torch.no_grad():
        plain, changed = net(x, sigma), net(gain * x + offset, sigma)
    inside = (..., slice(edge, -edge), slice(edge, -edge))  # at the border the padding with zeros is no constant
    torch.testing.assert_close(changed[inside], (gain * plain + offset)[inside], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sees_blur", [True, False])
def test_a_tile_equals_the_whole(sees_blur: bool) -> None:
    assert_tile_equals_whole(random_net(sees_blur=sees_blur))


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_halo_is_neither_too_small_nor_too_large(blocks: int) -> None:
    assert_halo_is_exact(random_net(2, blocks=blocks))


def test_names_are_those_of_the_weights_that_were_shipped() -> None:
    gate = ["gate.hidden.weight", "gate.hidden.bias", "gate.out.weight", "gate.out.bias"]
    body = [f"body.{block}.conv{place}.weight" for block in range(2) for place in (1, 2)]
    assert list(random_net().state_dict()) == ["head.weight", *gate, *body, "tail.weight"]
    assert list(random_net(sees_blur=False).state_dict()) == ["head.weight", *body, "tail.weight"]


def test_without_the_blur_it_is_the_network_whose_factors_are_one() -> None:
    blind, seeing = random_net(sees_blur=False), random_net()
    seeing.load_state_dict(blind.state_dict(), strict=False)
    assert seeing.gate is not None
    torch.nn.init.zeros_(seeing.gate.out.weight)
    x = torch.randn(1, 3, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(blind(x), seeing(x, torch.ones(1, 3, dtype=torch.float64)))


def test_the_blur_must_be_given_to_a_network_that_takes_it() -> None:
    net = build_generator("compact", bands=1, scale=4, width=16, blocks=1)
    assert isinstance(net, Generator)
    assert net.takes_sigma
    with pytest.raises(ValueError, match="sigma is missing"):
        net(torch.randn(1, 1, 8, 8))
    assert not build_generator("compact", bands=1, scale=4, width=16, blocks=1, sees_blur=False).takes_sigma


def test_fresh_network_is_bilinear_upsampling() -> None:
    x = torch.randn(1, 4, 8, 8)
    expected = torch.nn.functional.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
    with torch.no_grad():
        torch.testing.assert_close(Compact(4, width=16, blocks=1)(x, torch.full((1, 4), 2.0)), expected)


def test_the_blur_matters() -> None:
    net, x = random_net(1), torch.randn(1, 1, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        soft, sharp = (net(x, torch.full((1, 1), sigma, dtype=torch.float64)) for sigma in (3.0, 1.0))
    assert not torch.allclose(soft, sharp)


def test_width_must_fill_blocks_of_sixteen() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Compact(3, width=40)


def test_parameters_of_the_shipped_size() -> None:
    count = sum(parameter.numel() for parameter in Compact(4, width=48, blocks=8).parameters())
    assert np.isclose(count, 0.37e6, rtol=0.02)
