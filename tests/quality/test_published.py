"""Measures against the values that other packages document, and against their code. Skipped where those are not installed."""

import importlib.util

import numpy as np
import pytest

from sr_geo.quality.dists import dists
from sr_geo.quality.lpips import INSTALL, _content, is_available, lpips, read_arrays
from sr_geo.quality.metrics import moments, ssim
from sr_geo.quality.multiscale import ms_ssim

torch = pytest.importorskip("torch", reason="PyTorch makes the random pictures of the documented examples")
images = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is the other implementation")

needs_weights = pytest.mark.skipif(not is_available(), reason=f"the weights are not installed: {INSTALL}")


def mean(values: object) -> float:
    return float(np.mean(list(values)))  # type: ignore[call-overload]


def test_structural_similarity_of_the_example() -> None:
    torch.manual_seed(42)  # the seed of the examples in torchmetrics 1.9
    x = torch.rand([3, 3, 256, 256])
    y = x * 0.75
    # There the range is that of the batch, 1 to six digits, and pixels at the edge have a neighbourhood that is mirrored.
    assert mean(ssim(a.numpy(), b.numpy(), data_range=1.0).together for a, b in zip(y, x, strict=True)) == pytest.approx(0.9219, abs=2e-4)


def test_ms_ssim_of_the_example() -> None:
    torch.manual_seed(42)
    x = torch.rand([3, 3, 256, 256])
    y = x * 0.75
    found = mean(ms_ssim(a.numpy(), b.numpy(), data_range=1.0).together for a, b in zip(y, x, strict=True))
    assert found == pytest.approx(0.9628, abs=1e-4)


def test_ms_ssim_is_that_of_piq() -> None:
    piq = pytest.importorskip("piq", reason="piq is another implementation of MS-SSIM")
    torch.manual_seed(42)
    x = torch.rand([1, 2, 192, 208]).double()
    y = (x + 0.2 * torch.rand_like(x)) / 1.2
    ours = ms_ssim(x[0].numpy(), y[0].numpy(), data_range=1.0)
    for band in range(2):  # sides in multiples of 16: it pads odd ones, where we leave out the last row
        theirs = piq.multi_scale_ssim(x[:, band : band + 1], y[:, band : band + 1], data_range=1.0)
        assert ours.bands[band] == pytest.approx(float(theirs), abs=1e-6)


def test_spectral_angle_of_the_example() -> None:
    torch.manual_seed(42)
    x, y = torch.rand([16, 3, 16, 16]), torch.rand([16, 3, 16, 16])
    angle = mean(moments(b.numpy(), a.numpy()).sam for a, b in zip(x, y, strict=True))
    assert np.radians(angle) == pytest.approx(0.5914, abs=5e-5)


def test_ergas_is_that_of_torchmetrics() -> None:
    torch.manual_seed(42)
    x, y = torch.rand([4, 3, 16, 16]) + 0.2, torch.rand([4, 3, 16, 16]) + 0.2
    ours = mean(moments(b.numpy(), a.numpy()).ergas(4) for a, b in zip(x, y, strict=True))
    assert ours == pytest.approx(float(images.error_relative_global_dimensionless_synthesis(x, y, ratio=4)), rel=1e-5)


@needs_weights
@pytest.mark.skipif(importlib.util.find_spec("safetensors") is None, reason="DISTS needs the extra `train`")
@pytest.mark.slow
def test_dists_of_the_example() -> None:
    torch.manual_seed(42)
    x, y = torch.rand(5, 3, 256, 256), torch.rand(5, 3, 256, 256)
    found = [dists(a.numpy(), b.numpy()) for a, b in zip(x[:2], y[:2], strict=True)]
    assert found == pytest.approx([0.1285, 0.1344], abs=6e-5)
    assert dists(x[0].numpy(), x[0].numpy()) == pytest.approx(0.0, abs=1e-5)
    with pytest.raises(ValueError, match="expected two"):
        dists(np.zeros((3, 20, 40), np.float32), np.zeros((3, 20, 40), np.float32))


@needs_weights
@pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision has the other AlexNet")
def test_lpips_is_that_of_torchmetrics_with_the_same_alexnet() -> None:
    from torchmetrics.functional.image.lpips import _LPIPS

    other = _LPIPS(pretrained=True, net="alex", pnet_rand=True)  # its own heads; the network is filled below
    arrays = read_arrays(_content())["AlexNet_0"]
    with torch.no_grad():
        convolutions = [module for module in other.net.modules() if isinstance(module, torch.nn.Conv2d)]
        assert len(convolutions) == 5
        for index, module in enumerate(convolutions):
            module.weight.copy_(torch.from_numpy(arrays[f"Conv_{index}"]["kernel"].transpose(3, 2, 0, 1).copy()))
            module.bias.copy_(torch.from_numpy(arrays[f"Conv_{index}"]["bias"].copy()))
        torch.manual_seed(0)
        x = torch.nn.functional.interpolate(torch.rand(1, 3, 16, 20), size=(96, 120), mode="bicubic").clamp(0, 1)
        y = (x + 0.1 * torch.randn_like(x)).clamp(0, 1)
        theirs = float(other.eval()(x, y, normalize=True))
    assert lpips(x[0].numpy(), y[0].numpy()) == pytest.approx(theirs, rel=1e-4)
