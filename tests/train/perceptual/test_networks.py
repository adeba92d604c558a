"""Perceptual networks: their size, their names, where their taps lie."""

import pytest
import torch

from sr_geo.errors import OptionError, TrainingError
from sr_geo.train.perceptual import Backbone, load_backbone
from sr_geo.train.perceptual.backbone import CAFFE, IMAGENET, SYMMETRIC, StagedBackbone
from sr_geo.train.perceptual.mobilenetv2 import mobilenetv2, pad_same
from sr_geo.train.perceptual.resnetv2 import resnet152v2
from sr_geo.train.perceptual.vgg import vgg, vgg19_from_vgg16
from sr_geo.train.perceptual.weights import DEFAULT_TAPS, NETWORKS

PICTURE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def build_empty(name: str) -> StagedBackbone:
    """The whole network without numbers: structure costs no time and no memory."""
    with torch.device("meta"):
        return {"mobilenetv2": mobilenetv2, "resnet152v2": resnet152v2}[name]() if "v2" in name else vgg(name)


def random(name: str) -> Backbone:
    return load_backbone(name, "random", taps=DEFAULT_TAPS[name])[0]


@pytest.mark.parametrize(
    ("name", "parameters", "with_statistics"),
    [
        # as Keras counts them without the classifier
        ("vgg16", 14_714_688, 14_714_688),
        ("vgg19", 20_024_384, 20_024_384),
        ("mobilenetv2", 2_223_872, 2_257_984),
        ("resnet152v2", 58_187_904, 58_331_648),
    ],
)
def test_size_is_that_of_the_published_network(name: str, parameters: int, with_statistics: int) -> None:
    net = build_empty(name)
    assert sum(value.numel() for value in net.parameters()) == parameters
    assert sum(value.numel() for key, value in net.state_dict().items() if "num_batches" not in key) == with_statistics


def test_layers_carry_the_names_of_keras() -> None:
    assert list(build_empty("vgg19").layers)[-5:] == ["block4_conv4", "block5_conv1", "block5_conv2", "block5_conv3", "block5_conv4"]
    layers = list(build_empty("mobilenetv2").layers)
    assert layers[:3] == ["Conv1", "bn_Conv1", "expanded_conv_depthwise"]
    assert layers[-4:] == ["block_16_project", "block_16_project_BN", "Conv_1", "Conv_1_bn"]
    layers = list(build_empty("resnet152v2").layers)
    assert layers[:3] == ["conv1_conv", "conv2_block1_preact_bn", "conv2_block1_0_conv"]
    assert layers[-2:] == ["conv5_block3_3_conv", "post_bn"]


def test_resnetv2_strides_in_the_last_block_of_a_group() -> None:
    net = resnet152v2(groups=((8, 2, 2), (8, 2, 2), (8, 2, 1))).freeze()
    sides = {tap: features.shape[-1] for tap, features in net(PICTURE, net.taps).items()}
    assert sides == {
        "conv1_conv": 32,
        "conv2_block1_out": 16, "conv2_block2_out": 8,
        "conv3_block1_out": 8, "conv3_block2_out": 4,
        "conv4_block1_out": 4, "conv4_block2_out": 4,
        "post_bn": 4,
    }  # fmt: skip
    # Its shortcut there is every second pixel of the block's own input, nothing learnt.
    state = net.state_dict()
    assert "layers.conv2_block1_0_conv.weight" in state
    assert not any("conv2_block2_0_conv" in key for key in state)
    with torch.no_grad():
        net.layers["conv2_block2_3_conv"].weight.zero_()  # type: ignore[union-attr,operator]
        net.layers["conv2_block2_3_conv"].bias.zero_()  # type: ignore[union-attr,operator]
        maps = net(PICTURE, ("conv2_block1_out", "conv2_block2_out"))
    assert torch.equal(maps["conv2_block2_out"], maps["conv2_block1_out"][:, :, ::2, ::2])


@pytest.mark.parametrize("name", NETWORKS)
def test_taps_lie_before_the_activation(name: str) -> None:
    net = random(name)
    for tap, features in net(PICTURE, tuple(DEFAULT_TAPS[name])).items():
        assert features.min() < 0 < features.max(), tap


@pytest.mark.parametrize("name", NETWORKS)
def test_taps_do_not_depend_on_each_other(name: str) -> None:
    # A later layer that worked in place would change an earlier map.
    net = random(name)
    taps = tuple(DEFAULT_TAPS[name]) + (() if "v2" in name else ("block1_conv1",))
    together = net(PICTURE, taps)
    assert all(torch.equal(together[tap], net(PICTURE, (tap,))[tap]) for tap in taps)


def test_a_network_is_built_no_deeper_than_its_taps() -> None:
    net, _ = load_backbone("vgg19", "random", taps=("block2_conv1", "block1_conv2"))
    assert net.taps == ("block1_conv1", "block1_conv2", "block2_conv1")
    with pytest.raises(OptionError, match="no tap 'block2_conv2'"):
        net.check_taps(["block2_conv2"])


def test_vgg19_from_vgg16_has_the_same_features() -> None:
    small = load_backbone("vgg16", "random")[0]
    assert isinstance(small, StagedBackbone)
    large = vgg19_from_vgg16(small).freeze()
    pairs = {f"block{block}_conv{i}": f"block{block}_conv{i}" for block in (1, 2, 3, 4, 5) for i in (1, 2)}
    pairs |= {f"block{block}_conv3": f"block{block}_conv4" for block in (3, 4, 5)}
    theirs, ours = small(PICTURE, tuple(pairs)), large(PICTURE, tuple(pairs.values()))
    for before, after in pairs.items():
        torch.testing.assert_close(ours[after], theirs[before], rtol=0, atol=0)
    assert ours["block5_conv4"].min() < 0


@pytest.mark.parametrize(("size", "keras"), [(8, (0, 1)), (9, (1, 1))])
def test_padding_at_stride_two(size: int, keras: tuple[int, int]) -> None:
    x = torch.ones(1, 1, size, size)
    assert torch.equal(pad_same(x, "keras"), torch.nn.functional.pad(x, keras * 2))
    assert torch.equal(pad_same(x, "torchvision"), torch.nn.functional.pad(x, (1, 1, 1, 1)))


def test_batch_norm_constants() -> None:
    assert {m.eps for m in mobilenetv2(flavour="keras").modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}
    assert {m.eps for m in mobilenetv2(flavour="torchvision").modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-5}


def test_preprocessing() -> None:
    x = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(IMAGENET(x).flatten(), torch.tensor([0.515 / 0.229, 0.044 / 0.224, -0.406 / 0.225]))
    torch.testing.assert_close(SYMMETRIC(x).flatten(), torch.tensor([1.0, 0.0, -1.0]))
    torch.testing.assert_close(CAFFE(x).flatten(), torch.tensor([-103.939, 127.5 - 116.779, 255 - 123.68]))


def test_frozen_and_in_evaluation_mode_for_good() -> None:
    net = random("mobilenetv2")
    net.train()
    assert not any(module.training for module in net.modules())
    assert not any(value.requires_grad for value in net.parameters())
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net(PICTURE, ("block_6_expand_BN",))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_activate_gives_what_comes_after() -> None:
    net = load_backbone("vgg16", "random", taps=("block2_conv1",))[0]
    features = net(PICTURE, ("block2_conv1",))["block2_conv1"]
    assert torch.equal(net.activate("block2_conv1", features), features.clamp_min(0))
    with pytest.raises(OptionError, match="no activation follows"):
        random("resnet152v2").activate("conv2_block2_out", features)


def test_too_small_a_patch_is_refused() -> None:
    with pytest.raises(TrainingError, match="patches too small"):
        random("vgg16")(PICTURE[..., :8, :8], ("block5_conv3",))


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenetv2_050", "convnext_atto"])
def test_timm_taps_lie_before_the_activation(architecture: str) -> None:
    pytest.importorskip("timm", reason="needs timm")
    net, provenance = load_backbone(f"timm:{architecture}", "random")
    taps = net.stage_taps  # type: ignore[attr-defined]
    for tap, features in net(PICTURE, taps).items():
        assert features.min() < 0, tap
    assert provenance == "random"


def test_timm_tap_of_a_norm_with_its_activation_inside() -> None:
    pytest.importorskip("timm", reason="needs timm")
    net = load_backbone("timm:mobilenetv2_050", "random")[0]
    inside = net(PICTURE, ("blocks.1.0.bn1",))["blocks.1.0.bn1"]
    assert inside.min() < 0  # the module itself gives the map behind ReLU6


def test_timm_names_what_is_wrong() -> None:
    pytest.importorskip("timm", reason="needs timm")
    with pytest.raises(OptionError, match="timm:no_such_network"):
        load_backbone("timm:no_such_network", "random")
    with pytest.raises(OptionError, match="no tap 'layer9'"):
        load_backbone("timm:resnet18", "random", taps=("layer9",))
