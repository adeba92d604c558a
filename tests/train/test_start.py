"""A run starts from another run, from an exported model, or from a published network; bands are matched by role."""

from pathlib import Path

import pytest
import torch

from sr_geo.errors import TrainingError
from sr_geo.models.catalog import load_model
from sr_geo.train.checkpoint import export_checkpoint
from sr_geo.train.command import train_and_export
from sr_geo.train.loop import train
from sr_geo.train.nets import build_generator
from sr_geo.train.recipe import Recipe
from sr_geo.train.start import Start, find_start, mix_in, start_from


@pytest.mark.parametrize("family", ["compact", "rrdbnet", "srresnet"])
def test_bands_keep_what_they_learnt_whatever_their_order(family: str) -> None:
    torch.manual_seed(0)
    size = {"scale": 4, "width": 16, "blocks": 1}
    theirs, ours = ("blue", "green", "red", "nir"), ("red", "blue")
    old, new = build_generator(family, bands=4, **size), build_generator(family, bands=2, **size)
    for value in old.parameters():
        torch.nn.init.normal_(value, std=0.1)
    start_from(new, Start(old.state_dict(), theirs), ours=ours)
    # Bands that the new network lacks are silenced in the old one: the two then agree.
    x, sigma = torch.randn(1, 2, 24, 24), torch.full((1, 2), 2.0)
    wide, wide_sigma = torch.zeros(1, 4, 24, 24), torch.zeros(1, 4)
    wide[:, [2, 0]], wide_sigma[:, [2, 0]] = x, sigma
    if family == "compact":
        with torch.no_grad():  # of the blur, a band's share is a column: without it the others would still speak
            old.get_parameter("gate.hidden.weight")[:, [1, 3]] = 0.0
    with torch.no_grad():
        torch.testing.assert_close(new(x, sigma), old(wide, wide_sigma)[:, [2, 0]], rtol=1e-4, atol=1e-4)


def test_a_run_and_its_export_give_the_same_start(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.model_dump_json())
    model = train_and_export(path, tmp_path / "run", data=imagery)
    run, exported = find_start(str(tmp_path / "run")), find_start(str(model))
    assert run.bands == exported.bands == recipe.model.bands
    assert run.generator.keys() == exported.generator.keys()
    assert all(torch.equal(run.generator[name], exported.generator[name]) for name in run.generator)
    assert run.legs == exported.legs


def test_a_run_goes_on_from_another(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    train(recipe, data_root=imagery, run=tmp_path / "first")
    still = recipe.loop.model_copy(update={"iterations": 1, "learning_rate": 1e-9, "body_learning_rate": 1e-9})
    second = recipe.model_copy(update={"init": str(tmp_path / "first"), "loop": still})
    train(second, data_root=imagery, run=tmp_path / "second")
    first, after = (find_start(str(tmp_path / name)).generator for name in ("first", "second"))
    assert all(torch.allclose(first[name], after[name], atol=1e-6) for name in first)
    assert "first" in (tmp_path / "second" / "data.json").read_text()
    export_checkpoint(tmp_path / "second", tmp_path / "second.onnx")
    legs = load_model(tmp_path / "second.onnx", threads=1).card.legs
    assert [(leg.start, leg.steps) for leg in legs] == [("", recipe.loop.iterations), ("run first", 1)]
    assert all(leg.minutes < 5.0 for leg in legs)


def test_another_network_is_refused(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    train(recipe, data_root=imagery, run=tmp_path / "run")
    start = find_start(str(tmp_path / "run"))
    with pytest.raises(TrainingError, match="same width"):
        start_from(build_generator("compact", bands=3, scale=4, width=32, blocks=2), start, ours=start.bands)
    with pytest.raises(TrainingError, match="same width"):
        start_from(build_generator("compact", bands=3, scale=4, width=32, blocks=3), start, ours=start.bands)
    with pytest.raises(TrainingError, match="same family"):
        start_from(build_generator("compact", bands=3, scale=4, width=16, blocks=1), start, ours=start.bands)
    with pytest.raises(TrainingError, match="same family"):
        start_from(build_generator("rrdbnet", bands=3, scale=4, width=16, blocks=3), start, ours=start.bands)


@pytest.mark.parametrize("sees_blur", [True, False])
def test_a_deeper_network_starts_by_doing_the_same(sees_blur: bool) -> None:
    torch.manual_seed(0)
    shallow, deep = (
        build_generator("compact", bands=3, scale=4, width=16, blocks=blocks, growth=None, sees_blur=sees_blur) for blocks in (2, 5)
    )
    for value in shallow.parameters():
        torch.nn.init.normal_(value, std=0.1)
    bands = ("blue", "green", "red")
    start_from(deep, Start(shallow.state_dict(), bands), ours=bands)
    x, sigma = torch.randn(2, 3, 16, 16), torch.tensor([[1.2, 1.6, 2.0], [2.8, 2.8, 2.8]])
    torch.testing.assert_close(deep(x, sigma), shallow(x, sigma), rtol=1e-5, atol=1e-5)
    deep(x, sigma).square().mean().backward()  # and what does nothing yet can learn
    slopes = {name: value.grad for name, value in deep.named_parameters()}
    assert all(float(slopes[f"body.{number}.conv2.weight"].abs().max()) > 0.0 for number in range(5))


def test_a_shallower_network_can_be_mixed_in() -> None:
    torch.manual_seed(1)
    shallow, deep = (build_generator("compact", bands=1, scale=4, width=16, blocks=blocks, sees_blur=False) for blocks in (1, 2))
    for value in (*shallow.parameters(), *deep.parameters()):
        torch.nn.init.normal_(value, std=0.1)
    before = {name: value.clone() for name, value in deep.state_dict().items()}
    mix_in(deep, Start(shallow.state_dict(), ("gray",)), 0.25, ours=("gray",))
    added = {"body.1.conv1.weight": before["body.1.conv1.weight"], "body.1.conv2.weight": torch.zeros(())}
    for name, value in deep.state_dict().items():
        theirs = added.get(name, shallow.state_dict().get(name))
        assert theirs is not None
        torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * theirs)


@pytest.mark.parametrize("init", ["runs/none", "no-such-model"])
def test_nothing_there_is_said(init: str) -> None:
    with pytest.raises(TrainingError):
        find_start(init)
