"""The network's identities: gain and offset, halo, zero at the start, bands carried over."""

import numpy as np
import pytest
import torch

from sr_geo.train.loop import start_from
from sr_geo.train.nets import Compact


def random_net(bands: int = 3, *, width: int = 16, blocks: int = 2) -> Compact:
    """A network whose every weight matters: the fresh one adds nothing."""
    torch.manual_seed(1)
    net = Compact(bands, width=width, blocks=blocks)
    with torch.no_grad():
        net.tail.weight.normal_(0, 0.1)
        net.gate.out.weight.normal_(0, 0.1)
    return net.eval().double()


@pytest.mark.parametrize("gain", [0.01, 1.0, 300.0])
def test_commutes_with_gain_and_with_an_offset_per_band(gain: float) -> None:
    net, size, edge = random_net(), 40, 4 * 6
    x, sigma = torch.randn(2, 3, size, size, dtype=torch.float64), torch.full((2, 3), 1.7, dtype=torch.float64)
    offset = torch.tensor([5.0, -2.0, 0.3], dtype=torch.float64)[None, :, None, None]
    with torch.no_grad():
        plain, changed = net(x, sigma), net(gain * x + offset, sigma)
    inside = (..., slice(edge, -edge), slice(edge, -edge))  # at the border the padding with zeros is no constant
    torch.testing.assert_close(changed[inside], (gain * plain + offset)[inside], rtol=1e-9, atol=1e-9)


def test_pixels_beyond_the_halo_have_no_influence() -> None:
    net = random_net(2)
    size = 2 * net.halo + 9
    sigma = torch.full((1, 2), 2.0, dtype=torch.float64)
    x = torch.randn(1, 2, size, size, dtype=torch.float64)
    other = x.clone()
    centre = size // 2
    far = torch.ones(size, size, dtype=torch.bool)
    far[centre - net.halo : centre + net.halo + 1, centre - net.halo : centre + net.halo + 1] = False
    other[..., far] = 1e3 * torch.randn(1, 2, int(far.sum()), dtype=torch.float64)
    with torch.no_grad():
        here = [net(image, sigma)[..., 4 * centre : 4 * centre + 4, 4 * centre : 4 * centre + 4] for image in (x, other)]
    assert torch.equal(*here)


def test_the_halo_is_not_larger_than_it_must_be() -> None:
    net = random_net(1)
    size, sigma = 2 * net.halo + 1, torch.full((1, 1), 2.0, dtype=torch.float64)
    x = torch.randn(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    net(x, sigma)[..., 4 * net.halo : 4 * net.halo + 4, 4 * net.halo : 4 * net.halo + 4].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0, 0].abs().max() > 0


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


def test_start_from_carries_bands_over_by_role() -> None:
    four, three = random_net(4), Compact(3, width=16, blocks=2).double()
    start_from(three, four.state_dict(), theirs=("blue", "green", "red", "nir"), ours=("red", "green", "blue"))
    x = torch.randn(1, 4, 30, 30, dtype=torch.float64)
    x[:, 3] = 7.0  # a flat band and the middle of the range of blurs: the fourth band then adds nothing
    sigma = torch.full((1, 4), 2.1, dtype=torch.float64)
    inside = (..., slice(24, -24), slice(24, -24))
    with torch.no_grad():
        expected = four(x, sigma)[:, [2, 1, 0]][inside]
        torch.testing.assert_close(three(x[:, [2, 1, 0]], sigma[:, :3])[inside], expected)


def test_width_must_fill_blocks_of_sixteen() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Compact(3, width=40)


def test_parameters_of_the_shipped_size() -> None:
    count = sum(parameter.numel() for parameter in Compact(4, width=48, blocks=8).parameters())
    assert np.isclose(count, 0.37e6, rtol=0.02)
