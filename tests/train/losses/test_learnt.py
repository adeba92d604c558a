"""DISTS and LPIPS against the implementations that everyone uses."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from sr_geo.train.losses.learnt import DistsTerm, LearntDistance, LpipsTerm
from sr_geo.train.perceptual.backbone import IMAGENET
from tests.train.losses.pictures import soft

pytest.importorskip("torchmetrics", reason="the weights of DISTS and LPIPS come with the extra `train`")


@pytest.fixture(scope="module", params=[DistsTerm, LpipsTerm])
def term(request: pytest.FixtureRequest) -> LearntDistance:
    kind: type[LearntDistance] = request.param
    return kind(("red", "green", "blue"), units="unit", source="random")


def test_it_is_zero_at_equality(term: LearntDistance) -> None:
    hr = soft(32, count=2)
    sr = hr.clone().requires_grad_()
    loss = term(sr, hr)
    loss.backward()
    assert abs(float(loss.detach())) < 1e-5
    assert sr.grad is not None
    assert sr.grad.isfinite().all()
    assert term(hr.roll(3, 2), hr) > 1e-4


def reference(term: LearntDistance, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """The same distance of torchmetrics, with the same weights."""
    vgg = pytest.importorskip("torchvision.models.vgg", reason="the reference builds its network with it")
    features = vgg.make_layers(vgg.cfgs["D"])
    if isinstance(term, DistsTerm):
        module = pytest.importorskip("torchmetrics.functional.image.dists", reason="from torchmetrics 1.5 on")
        monkeypatch.setattr(module, "vgg16", lambda weights: SimpleNamespace(features=features))
        theirs: nn.Module = module.DISTSNetwork().eval()
    else:
        module = pytest.importorskip("torchmetrics.functional.image.lpips")
        monkeypatch.setattr(module, "_get_tv_model_features", lambda name, pretrained: features)
        theirs = module._LPIPS(net="vgg")
    convolutions = [layer for layer in theirs.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
    backbone = term.__dict__["_backbone"]
    monkeypatch.setattr(backbone, "preprocessing", IMAGENET)  # random weights come with that of Keras
    assert len(convolutions) == len(backbone.taps) == 13
    for convolution, tap in zip(convolutions, backbone.taps, strict=True):
        convolution.load_state_dict(backbone.layers[tap].state_dict())
    return theirs


def test_it_is_that_of_torchmetrics(term: LearntDistance, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = reference(term, monkeypatch)
    hr = soft(32, count=2)
    sr = (hr + 0.2 * soft(32, seed=3, count=2)).clamp(0, 1)
    with torch.no_grad():
        expected = (theirs(sr, hr) if isinstance(term, DistsTerm) else theirs(sr, hr, normalize=True)).mean()
        assert float(term(sr, hr)) == pytest.approx(float(expected), rel=1e-3, abs=1e-6)
        assert float(expected) > 1e-4


def test_it_has_nothing_to_train_or_keep(term: LearntDistance) -> None:
    assert not list(term.parameters())
    assert not term.state_dict()
    hr = soft(32).requires_grad_()
    sr = soft(32, seed=1).requires_grad_()
    term(sr, hr).backward()
    assert hr.grad is None
    assert sr.grad is not None
    assert sr.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in term.__dict__["_backbone"].parameters())


@pytest.mark.parametrize("kind", [DistsTerm, LpipsTerm])
def test_it_looks_at_every_band_of_satellites_in_any_unit(kind: type[LearntDistance]) -> None:
    term = kind(("blue", "green", "red", "nir"), units="spread", source="random")
    hr = 3.0 * soft(32, bands=4) - 1.0
    sr = (hr + 0.3 * soft(32, bands=4, seed=1)).requires_grad_()
    loss = term(sr, hr)
    loss.backward()
    assert sr.grad is not None
    assert (sr.grad.abs().amax((0, 2, 3)) > 0).all()
    with torch.no_grad():
        assert float(term(2.0 * sr + 5.0, 2.0 * hr + 5.0)) == pytest.approx(float(loss), rel=1e-2)
