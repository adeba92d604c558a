"""ESRGAN's generator: its size, its names, its halo."""

import pytest
import torch

from sr_geo.errors import RecipeError
from sr_geo.train.nets import RRDBNet, build_generator
from tests.train.identities import assert_halo_is_exact, assert_tile_equals_whole


def parameters(net: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def tiny(bands: int = 2, scale: int = 4) -> RRDBNet:
    torch.manual_seed(1)
    return RRDBNet(bands, width=6, blocks=1, growth=3, scale=scale).eval().double()


@pytest.mark.parametrize("scale", [2, 4])
def test_a_tile_equals_the_whole(scale: int) -> None:
    assert_tile_equals_whole(tiny(scale=scale))


@pytest.mark.parametrize("scale", [2, 4])
def test_the_halo_is_neither_too_small_nor_too_large(scale: int) -> None:
    assert_halo_is_exact(tiny(scale=scale))


@pytest.mark.parametrize(
    ("bands", "blocks", "count"),
    [
        (3, 23, 16_697_987),  # ESRGAN, Real-ESRGAN x4plus
        (3, 6, 4_467_779),  # Real-ESRGAN x4plus anime
        (1, 23, 16_697_987 - 2 * (2 * 9 * 64) - 2),  # two bands less at both ends
        (4, 23, 16_697_987 + 2 * 9 * 64 + 1),
    ],
)
def test_as_many_parameters_as_published(bands: int, blocks: int, count: int) -> None:
    with torch.device("meta"):
        assert parameters(RRDBNet(bands, blocks=blocks)) == count


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        state = {name: tuple(value.shape) for name, value in RRDBNet(3).state_dict().items()}
    expected = {"conv_first": (64, 3), "conv_body": (64, 64), "conv_up1": (64, 64), "conv_up2": (64, 64), "conv_hr": (64, 64)}
    expected["conv_last"] = (3, 64)
    for block in range(23):
        for dense in (1, 2, 3):
            for place in range(5):
                expected[f"body.{block}.rdb{dense}.conv{place + 1}"] = (64 if place == 4 else 32, 64 + 32 * place)
    weights = {f"{name}.weight": (*shape, 3, 3) for name, shape in expected.items()}
    assert state == weights | {f"{name}.bias": shape[:1] for name, shape in expected.items()}


def test_dense_blocks_start_near_the_identity() -> None:
    torch.manual_seed(0)
    net = RRDBNet(3, width=16, blocks=2, growth=8)
    x = torch.randn(1, 16, 12, 12)
    with torch.no_grad():
        body = net.body(x)
    assert 0 < (body - 1.2**2 * x).std() < 0.01  # each block adds 0.2 of its three dense blocks, skip and all


def test_light_variants_grow_by_half_their_width_as_the_paper_does() -> None:
    net = build_generator("rrdbnet", bands=4, scale=4, width=12, blocks=1)
    assert net.state_dict()["body.0.rdb1.conv1.weight"].shape == (6, 12, 3, 3)
    assert build_generator("rrdbnet", bands=4, scale=2, width=12, blocks=1, growth=4).state_dict()["body.0.rdb1.conv1.weight"].shape[0] == 4


def test_the_blur_is_ignored_and_so_not_asked_for() -> None:
    net, x = tiny(), torch.randn(1, 2, 7, 8, dtype=torch.float64)
    assert not net.takes_sigma
    assert not net.commutes
    with torch.no_grad():
        assert torch.equal(net(x), net(x, torch.ones(1, 2, dtype=torch.float64)))


def test_all_weights_learn() -> None:
    net = tiny()
    net(torch.randn(2, 2, 6, 6, dtype=torch.float64)).abs().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "resnet"}, "expected one of compact, rrdbnet, srresnet"),
        ({"scale": 3}, "by 2 or 4"),
        ({"bands": 0}, "at least one"),
        ({"family": "srresnet", "growth": 8}, "no dense blocks"),
        ({"family": "compact", "width": 12}, "multiple of 16"),
    ],
)
def test_what_cannot_be_built_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_generator(**{"family": "rrdbnet", "bands": 3, "scale": 4, "width": 8, "blocks": 1, **change})  # type: ignore[arg-type]
