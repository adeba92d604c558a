"""Discriminators: the layers of the figure, logits, any size of patch."""

import pytest
import torch
from torch import nn

from sr_geo.errors import RecipeError
from sr_geo.train.nets import UNetDiscriminator, VggDiscriminator, build_discriminator


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_vgg_is_the_figure_layer_by_layer() -> None:
    with torch.device("meta"):
        net = VggDiscriminator(3, size=96)
    found = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    convolutions = [(conv.kernel_size[0], conv.out_channels, conv.stride[0]) for conv in found]
    # SRGAN, figure 4: k3n64s1 k3n64s2 k3n128s1 … k3n512s2
    assert convolutions == [(3, n, s) for n in (64, 128, 256, 512) for s in (1, 2)]
    kinds = [type(module).__name__ for module in net.features]
    assert kinds == ["Conv2d", "LeakyReLU"] + ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 7
    assert [type(module).__name__ for module in net.classifier] == ["Linear", "LeakyReLU", "Linear"]
    assert [module.out_features for module in net.classifier if isinstance(module, nn.Linear)] == [1024, 1]
    assert all(module.negative_slope == 0.2 for module in net.modules() if isinstance(module, nn.LeakyReLU))
    # 4,687,232 in the convolutions and their normalisation, 6 × 6 × 512 → 1024 → 1 in the dense layers
    assert parameters(net) == 4_687_232 + 18_432 * 1024 + 1024 + 1025


@pytest.mark.parametrize("size", [17, 32, 40, 96])
def test_vgg_takes_the_size_that_it_was_built_for(size: int) -> None:
    net = build_discriminator("vgg", bands=4, size=size, width=4)
    assert net(torch.randn(2, 4, size, size)).shape == (2, 1)
    assert net(torch.randn(1, 4, size, size)).isfinite().all()  # one picture: normalised over its pixels
    with pytest.raises(ValueError, match="built for"):
        net(torch.randn(2, 4, size + 16, size))


def test_unet_is_as_large_as_the_published_one() -> None:
    with torch.device("meta"):
        assert parameters(UNetDiscriminator(3)) == 4_376_897


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (37, 50)])
def test_unet_gives_a_logit_a_pixel_at_any_size(size: tuple[int, int]) -> None:
    assert build_discriminator("unet", bands=3, size=32, width=4)(torch.randn(2, 3, *size)).shape == (2, 1, *size)


def test_unet_sees_the_surroundings_of_a_pixel() -> None:
    torch.manual_seed(0)
    net = UNetDiscriminator(1, width=4)
    x = torch.randn(1, 1, 64, 64, requires_grad=True)
    net(x)[0, 0, 32, 32].backward()
    assert x.grad is not None
    places = x.grad[0, 0].abs().sum(0).nonzero()
    assert int(places.max() - places.min()) > 30


def test_spectral_norm_holds_the_largest_singular_value_at_one() -> None:
    torch.manual_seed(0)
    net = UNetDiscriminator(3, width=4)
    for _ in range(60):  # each forward pass in training goes one step of the power iteration
        net(torch.randn(1, 3, 16, 16))
    net.eval()
    names = [f"conv{index}" for index in range(1, 9)]
    largest = [torch.linalg.matrix_norm(net.get_submodule(name).weight.flatten(1), 2).item() for name in names]  # type: ignore[operator, union-attr]
    assert largest == pytest.approx([1.0] * 8, abs=0.05)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.randn(1, 3, 16, 16))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())  # nothing moves in eval


@pytest.mark.parametrize("family", ["vgg", "unet"])
def test_outputs_are_logits_and_every_weight_learns(family: str) -> None:
    torch.manual_seed(0)
    net = build_discriminator(family, bands=2, size=32, width=8)
    logits = 50.0 * net(torch.randn(8, 2, 32, 32))
    assert logits.min() < 0 or logits.max() > 1
    nn.functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


def test_learns_to_tell_noise_from_smoothness() -> None:
    torch.manual_seed(0)
    net = build_discriminator("unet", bands=1, size=16, width=8)
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(20):
        real, made = torch.randn(4, 1, 16, 16), torch.randn(4, 1, 1, 1).expand(4, 1, 16, 16)
        loss = nn.functional.softplus(-net(real)).mean() + nn.functional.softplus(net(made)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert net(real).mean() > net(made).mean() + 0.5


@pytest.mark.parametrize(("change", "message"), [({"family": "patch"}, "expected one of vgg, unet"), ({"size": 16}, "more than 16 pixels")])
def test_what_cannot_be_built_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_discriminator(**{"family": "vgg", "bands": 3, "size": 32, **change})  # type: ignore[arg-type]
