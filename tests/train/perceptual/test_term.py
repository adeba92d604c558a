"""The perceptual loss: zero at the truth, all bands, one scale for all taps, no trace in a run's weights."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from sr_geo.errors import OptionError
from sr_geo.train.perceptual import PerceptualTerm, band_triples, build_perceptual, load_backbone
from sr_geo.train.perceptual.bands import NATURAL_MEAN, NATURAL_STD, SMALLEST_STD, as_pictures, to_picture_range

RGBN = ("blue", "green", "red", "nir")
TAPS = {"block1_conv2": 0.25, "block2_conv2": 0.75}


def build_term(bands: Sequence[str] = RGBN, **options: object) -> PerceptualTerm:
    return build_perceptual("vgg16", bands=bands, **{"units": "spread", "source": "random", "taps": TAPS, **options})  # type: ignore[arg-type]


def samples(bands: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hr = torch.randn(2, bands, 32, 32, generator=generator) + 3.0
    return hr + 0.2 * torch.randn(hr.shape, generator=generator), hr


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        # one band is grey; three colours in any order
        (("grey",), ((0, 0, 0),)),
        (("blue", "green", "red"), ((2, 1, 0),)),
        (("red", "green", "blue"), ((0, 1, 2),)),
        # natural colour, then colour infrared
        (RGBN, ((2, 1, 0), (3, 2, 1))),
        (("blue", "green", "red", "nir", "swir1", "swir2"), ((2, 1, 0), (5, 4, 3))),
        (("blue", "green", "red", "swir1", "nir"), ((2, 1, 0), (3, 4, 2))),
        # no blue: false colour; two bands
        (("green", "red", "nir"), ((2, 1, 0),)),
        (("red", "nir"), ((1, 0, 0),)),
        # unknown roles keep their order
        (("a", "b"), ((0, 1, 1),)),
        (("a", "b", "c", "d"), ((0, 1, 2), (3, 3, 3))),
    ],
)
def test_band_triples(bands: tuple[str, ...], expected: tuple[tuple[int, int, int], ...]) -> None:
    assert band_triples(bands) == expected


@pytest.mark.parametrize("count", range(1, 14))
def test_every_band_is_covered(count: int) -> None:
    roles = (
        "coastal",
        "blue",
        "green",
        "red",
        "rededge1",
        "rededge2",
        "rededge3",
        "nir",
        "nir08",
        "watervapour",
        "cirrus",
        "swir1",
        "swir2",
    )
    for bands in (roles[:count], roles[-count:], tuple(f"b{i}" for i in range(count))):
        assert {index for triple in band_triples(bands) for index in triple} == set(range(count))


def test_pictures_of_a_sample_stand_together() -> None:
    x = torch.arange(8.0).view(2, 4, 1, 1)
    assert as_pictures(x, band_triples(RGBN)).flatten(1).tolist() == [[2, 1, 0], [3, 2, 1], [6, 5, 4], [7, 6, 5]]


def test_picture_range_comes_from_the_truth_alone() -> None:
    sr, hr = samples(3)
    mapped = to_picture_range(hr, hr, "spread")
    torch.testing.assert_close(mapped.mean((1, 2, 3)), torch.full((2,), NATURAL_MEAN))
    torch.testing.assert_close(mapped.std((1, 2, 3)), torch.full((2,), NATURAL_STD))
    # the same straight line for both: differences keep their proportion
    difference = to_picture_range(sr, hr, "spread") - mapped
    gain = NATURAL_STD / hr.std((1, 2, 3), keepdim=True)
    torch.testing.assert_close(difference, (sr - hr) * gain, rtol=1e-4, atol=1e-5)
    assert torch.equal(to_picture_range(sr, hr, "unit"), sr)


def test_a_flat_sample_is_not_stretched_to_noise() -> None:
    flat = torch.full((1, 3, 8, 8), 5.0)
    mapped = to_picture_range(flat + 0.01, flat, "spread")
    torch.testing.assert_close(mapped, torch.full_like(flat, NATURAL_MEAN + 0.01 * NATURAL_STD / SMALLEST_STD), rtol=1e-4, atol=1e-5)


def test_gain_and_offset_of_a_sample_do_not_matter() -> None:
    sr, hr = samples()
    term = build_term().eval()
    torch.testing.assert_close(term(sr, hr), term(2.0 * sr + 7.0, 2.0 * hr + 7.0), rtol=1e-3, atol=1e-5)


def test_zero_with_zero_gradient_at_the_truth() -> None:
    _, hr = samples()
    sr = hr.clone().requires_grad_()
    loss = build_term()(sr, hr)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert sr.grad is not None
    assert torch.count_nonzero(sr.grad) == 0


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("activated", [False, True])
def test_gradient_reaches_every_band(distance: str, activated: bool) -> None:
    sr, hr = samples()
    sr.requires_grad_()
    hr.requires_grad_()
    build_term(distance=distance, activated=activated)(sr, hr).backward()
    assert sr.grad is not None
    assert (sr.grad.abs().amax((0, 2, 3)) > 0).all()
    assert torch.isfinite(sr.grad).all()
    assert hr.grad is None


@pytest.mark.parametrize("bands", [("grey",), ("blue", "green", "red"), tuple("abcde")])
def test_any_number_of_bands(bands: tuple[str, ...]) -> None:
    sr, hr = samples(len(bands))
    assert float(build_term(bands, units="unit")(sr, hr)) > 0
    with pytest.raises(ValueError, match="expected one shape"):
        build_term(bands)(sr[:, :1].repeat(1, 7, 1, 1), hr)


def test_each_tap_is_divided_by_its_running_magnitude() -> None:
    sr, hr = samples()
    term = build_term()
    pictures = [to_picture_range(as_pictures(x, term.triples), as_pictures(hr, term.triples), "spread") for x in (sr, hr)]
    ours, theirs = (term.backbone(x, tuple(TAPS)) for x in pictures)
    magnitude = {tap: theirs[tap].abs().mean() for tap in TAPS}
    expected = sum(weight * (ours[tap] - theirs[tap]).abs().mean() / magnitude[tap] for tap, weight in TAPS.items())
    torch.testing.assert_close(term(sr, hr), torch.as_tensor(expected))
    torch.testing.assert_close(term.run_state(), magnitude)
    # The next batch moves it by a hundredth.
    term(*samples(seed=1))
    after = build_term()
    after(*samples(seed=1))
    for tap, value in term.run_state().items():
        torch.testing.assert_close(value, 0.99 * magnitude[tap] + 0.01 * after.run_state()[tap])


def test_a_stronger_network_does_not_weigh_more() -> None:
    weak, strong = build_term(taps={"block1_conv1": 1.0}), build_term(taps={"block1_conv1": 1.0})
    with torch.no_grad():
        strong.backbone.layers["block1_conv1"].weight.mul_(50.0)  # type: ignore[index,union-attr,operator]
    torch.testing.assert_close(weak(*samples()), strong(*samples()))


def test_magnitude_rests_outside_training() -> None:
    term = build_term()
    term(*samples())
    before = term.run_state()
    term.eval()
    term(*samples(seed=9))
    assert term.run_state() == before


def test_run_state_goes_on_exactly() -> None:
    whole, first, second = build_term(), build_term(), build_term()
    expected = [whole(*samples(seed=step)) for step in range(4)]
    seen = [first(*samples(seed=step)) for step in range(2)]
    second.load_run_state(first.run_state())
    seen += [second(*samples(seed=step)) for step in range(2, 4)]
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_no_trace_in_the_runs_weights() -> None:
    run = nn.ModuleDict({"net": nn.Conv2d(1, 1, 1), "perceptual": build_term()})
    assert list(run.state_dict()) == ["net.weight", "net.bias"]
    assert len(list(run.parameters())) == 2
    run.load_state_dict(run.state_dict(), strict=True)
    run.train()
    term = run["perceptual"]
    assert isinstance(term, PerceptualTerm)
    assert not any(module.training for module in term.backbone.modules())


def test_the_network_runs_as_the_run_does_and_its_weights_stay_whole() -> None:
    sr, hr = samples()
    expected = build_term()(sr, hr)
    with torch.autocast("cpu", torch.bfloat16):
        found = build_term()(sr, hr)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.0)
    # A cast of the whole run leaves the network and its magnitudes as they are.
    cast = build_term().to(torch.bfloat16)
    assert {value.dtype for value in cast.backbone.parameters()} == {torch.float32}
    assert torch.equal(cast(sr, hr), expected)


def test_moves_with_the_run() -> None:
    term = build_term().to("meta")
    assert {value.device.type for value in term.backbone.parameters()} == {"meta"}


def test_training_against_it_brings_the_features_closer() -> None:
    sr, hr = samples()
    term, picture = build_term(), sr.clone().requires_grad_()
    optimiser = torch.optim.Adam([picture], lr=0.01)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = term(picture, hr)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_wrong_taps_are_refused() -> None:
    backbone, _ = load_backbone("vgg16", "random", taps=("block1_conv1",))
    for taps, message in [({}, "at least one"), ({"block1_conv1": -1.0}, "above zero"), ({"block9": 1.0}, "no tap 'block9'")]:
        with pytest.raises(OptionError, match=message):
            PerceptualTerm(backbone, bands=RGBN, taps=taps, units="unit")


def test_describe_names_the_weights() -> None:
    about = build_term().describe()
    assert (about["network"], about["weights"], about["pictures"]) == ("vgg16", "random", [[2, 1, 0], [3, 2, 1]])


def test_timm_takes_its_stages() -> None:
    pytest.importorskip("timm", reason="needs timm")
    term = build_perceptual("timm:resnet18", bands=RGBN, units="spread", source="random")
    assert list(term.taps) == ["layer1", "layer2", "layer3"]
    assert float(term(*samples())) > 0
