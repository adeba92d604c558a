"""What holds for every generator: a tile with its halo equals the whole, and the halo is as small as it can be."""

import torch

from sr_geo.train.nets import Generator


def blur_for(net: Generator, count: int = 1) -> torch.Tensor | None:
    return torch.full((count, net.bands), 1.7, dtype=torch.float64) if net.takes_sigma else None


def assert_tile_equals_whole(net: Generator) -> None:
    """A window off the centre, odd in size and position, cut out with its halo."""
    halo, scale = net.halo, net.scale
    torch.manual_seed(5)
    x = torch.randn(1, net.bands, 2 * halo + 12, 2 * halo + 9, dtype=torch.float64)
    row, column, height, width = halo + 3, halo + 1, 5, 7
    tile = x[..., row - halo : row + height + halo, column - halo : column + width + halo]
    with torch.no_grad():
        whole, part = net(x, blur_for(net)), net(tile, blur_for(net))
    assert whole.shape == (1, net.bands, scale * x.shape[2], scale * x.shape[3])
    expected = whole[..., scale * row : scale * (row + height), scale * column : scale * (column + width)]
    actual = part[..., scale * halo : scale * (halo + height), scale * halo : scale * (halo + width)]
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-12)


def assert_halo_is_exact(net: Generator) -> None:
    """Everything that one input pixel's output depends on lies within the halo, and reaches its edge on all four sides."""
    centre = net.halo + 1
    x = torch.randn(1, net.bands, 2 * centre + 1, 2 * centre + 1, dtype=torch.float64, requires_grad=True)
    inside = slice(net.scale * centre, net.scale * (centre + 1))
    output = net(x, blur_for(net))[..., inside, inside]
    (output * torch.randn_like(output)).sum().backward()
    assert x.grad is not None
    reached = x.grad[0].abs().amax(0) > 0
    for along in (reached.any(0), reached.any(1)):
        places = along.nonzero()
        assert (int(places.min()), int(places.max())) == (1, 2 * net.halo + 1)
