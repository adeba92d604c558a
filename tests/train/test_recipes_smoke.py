"""Every recipe runs: both networks, resuming and export, in small on made-up data; GAN runs resume to the last bit."""

import csv
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
import torch
from lightning_fabric import Fabric
from PIL import Image
from rasterio.transform import from_origin
from safetensors.torch import load_file

from sr_geo.train.command import export_run
from sr_geo.train.loop import Progress, begin, train
from sr_geo.train.losses import objective
from sr_geo.train.losses.learnt import DistsTerm, LpipsTerm
from sr_geo.train.perceptual import term
from sr_geo.train.recipe import Recipe, load_recipe
from sr_geo.train.start import find_start
from sr_geo.train.state import State

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
STAGE_THREE = [name for name in NAMES if "-esrgan-" in name.removesuffix("-x4") and "full" not in name]


def shrink(name: str) -> tuple[str, ...]:
    """Overrides that make a recipe tiny: few channels, one block, random perceptual weights, patches of 12 px."""
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    width = 16 if recipe.model.family == "compact" else 8
    changes = [f"model.width={width}", "model.blocks=1", "loop.batch=2", "loop.patch=12"]
    changes += ["loop.workers=0", "loop.iterations=2"]
    if recipe.model.family == "rrdbnet":
        changes.append("model.growth=4")
    if recipe.losses.adversarial is not None:
        changes.append("losses.adversarial.discriminator.width=2")
    changes += [f"losses.perceptual.{index}.weights=random" for index in range(len(recipe.losses.perceptual))]
    changes += [f"validation.{index}.reduced=[1, 1]" for index, source in enumerate(recipe.validation) if source.kind == "images"]
    changes += [f"validation.{index}.count=1" for index, source in enumerate(recipe.validation) if source.kind == "plates"]
    return tuple(changes)


@pytest.fixture(scope="module")
def imagery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up files under the names that the recipes ask for."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(5)

    def blocks(bands: int, height: int, width: int) -> np.ndarray:
        pieces = rng.uniform(20, 200, (bands, -(-height // 8), -(-width // 8))).repeat(8, axis=1).repeat(8, axis=2)
        return (pieces[:, :height, :width] + rng.normal(0, 4, (bands, height, width))).clip(1, 255).astype(np.uint8)

    def raster(path: str, bands: int, height: int, width: int = 64) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "GTiff", "dtype": "uint8", "crs": 32614, "transform": from_origin(0, 0, 5, 5)}
        with rasterio.open(root / path, "w", count=bands, height=height, width=width, **profile) as dataset:
            dataset.write(blocks(bands, height, width))

    for date in ("20100629", "20170827", "20200831"):
        raster(f"satellite/hr/naip/m_4709963_se_14_1_{date}.tif", 4, 580)
    raster("satellite/landsat/agnet_lc8_northdakota_2015245.tif", 4, 64)
    raster("satellite/landsat/LC08_L1TP_224078_20200518_20200518_01_RT.TIF", 3, 64)
    for band in (2, 3, 4):
        raster(f"satellite/landsat/LC08_L1TP_224077_20200518_20200518_01_RT_B{band}.TIF", 1, 64)
    tables: dict[str, list[str]] = {"medical": [], "faces": [], "photos": []}
    pictures = ["medical/cxr/train/a.png", "medical/cxr/val/b.png", "medical/ct/train/c.png", "faces/train/d.png", "faces/val/e.png"]
    for name in (*pictures, "photos/large/train.png", "photos/small/train.png", "photos/small/val.png"):
        domain, _, inside = name.partition("/")
        tables[domain].append(f"{inside},{'val' if 'val' in inside else 'train'}")
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture = blocks(3, 104, 112).transpose(1, 2, 0)
        Image.fromarray(picture[..., 0] if domain == "medical" else picture).save(root / name)
    for domain, rows in tables.items():
        (root / domain / "labels.csv").write_text("file,split\n" + "\n".join((*rows, "none.png,test")) + "\n")
    return root


@pytest.fixture(scope="module", autouse=True)
def loaded_once() -> object:
    """Random perceptual networks are the same for every recipe: making them anew would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(term, "load_backbone", cache(term.load_backbone))
        for learnt in (DistsTerm, LpipsTerm):  # a recipe has no say in their weights
            patch.setattr(objective, learnt.__name__, partial(learnt, source="random"))
        yield


@pytest.fixture(scope="module")
def run_of(imagery: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs a recipe, and before it those that it starts from: one step, then a second one after resuming."""
    runs = tmp_path_factory.mktemp("runs")

    @cache
    def run(name: str) -> Path:
        recipe = tiny(name)
        if recipe.init is not None:
            before = str(run(Path(recipe.init).name))
            mixed = recipe.interpolate and recipe.interpolate.model_copy(update={"model": before})
            recipe = recipe.model_copy(update={"init": before, "interpolate": mixed})
        once = recipe.model_copy(update={"loop": recipe.loop.model_copy(update={"iterations": 1})})
        train(once, data_root=imagery, run=runs / name, device="cpu")
        train(recipe, data_root=imagery, run=runs / name, device="cpu", resume=True)
        return runs / name

    return run


def tiny(name: str, *more: str) -> Recipe:
    return load_recipe(FOLDER / f"{name}.yaml", (*shrink(name), *more))


@pytest.mark.parametrize("name", NAMES)
def test_recipe_trains_resumes_and_exports(name: str, run_of: Callable[[str], Path]) -> None:
    run, recipe = run_of(name), tiny(name)
    with (run / "metrics.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)][-2:] == ["1", "2"]
    assert (run / "discriminator.safetensors").exists() == (recipe.losses.adversarial is not None)
    export_run(run, run / "model.onnx")  # which compares it with PyTorch
    stored = {tensor.name for tensor in onnx.load(run / "model.onnx").graph.initializer}
    assert set(load_file(run / "weights.safetensors")) <= stored


@pytest.mark.parametrize("name", STAGE_THREE)
def test_stage_three_starts_from_both_networks_of_stage_two(name: str, run_of: Callable[[str], Path]) -> None:
    recipe = tiny(name)
    assert recipe.init is not None
    assert recipe.losses.adversarial is not None
    assert recipe.losses.adversarial.learning_rate == recipe.loop.learning_rate == 5e-5
    before = run_of(Path(recipe.init).name)
    state = begin(recipe, Fabric(accelerator="cpu", devices=1), find_start(str(before)))
    assert state.discriminator is not None
    for net, file in ((state.net, "weights"), (state.discriminator, "discriminator")):
        theirs = load_file(before / f"{file}.safetensors")
        assert theirs.keys() == net.state_dict().keys()
        assert all(torch.equal(value, theirs[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param((), id="vgg"),
        pytest.param(
            ("losses.adversarial.discriminator.family=unet", "losses.artifacts=1", "losses.consistency=0.1", "loop.optimiser=muon"),
            id="unet, muon, LDL, consistency",
        ),
    ],
)
def test_a_resumed_gan_equals_an_uninterrupted_one(changes: tuple[str, ...], imagery: Path, tmp_path: Path) -> None:
    name = "satellite-esrgan-mobilenetv2-x4"
    recipe = tiny(name, "init=null", "loop.iterations=20", "loop.validate_every=10", "loop.warmup=4", *changes)
    train(recipe, data_root=imagery, run=tmp_path / "whole", device="cpu")

    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 12:  # the last state on disk is that of step 10
            raise StopError

    with pytest.raises(StopError):
        train(recipe, data_root=imagery, run=tmp_path / "parts", device="cpu", report=stop)
    train(recipe, data_root=imagery, run=tmp_path / "parts", device="cpu", resume=True)
    whole, parts = (load_file(tmp_path / run / "state.safetensors") for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert {key.partition("/")[0] for key in whole} == {"net", "average", "discriminator", "optimiser", "objective"}
    assert [key for key in whole if not torch.equal(whole[key], parts[key])] == []


def test_a_resumed_run_does_not_need_what_it_started_from(imagery: Path, tmp_path: Path) -> None:
    recipe = tiny("face-rrdbnet-x4", "loop.iterations=1")
    train(recipe, data_root=imagery, run=tmp_path / "first", device="cpu")
    second = recipe.model_copy(update={"init": str(tmp_path / "first")})
    train(second, data_root=imagery, run=tmp_path / "second", device="cpu")
    (tmp_path / "first").rename(tmp_path / "moved")
    longer = second.model_copy(update={"loop": recipe.loop.model_copy(update={"iterations": 2})})
    assert train(longer, data_root=imagery, run=tmp_path / "second", device="cpu", resume=True).exists()


def test_one_network_may_come_twice_and_both_terms_count(imagery: Path, run_of: Callable[[str], Path]) -> None:
    recipe = tiny("face-esrgan-vgg19-x4", "init=null")
    (once,) = recipe.losses.perceptual
    recipe = recipe.model_copy(update={"losses": recipe.losses.model_copy(update={"perceptual": (once, once)})})
    state: State = begin(recipe, Fabric(accelerator="cpu", devices=1), None)
    hr = torch.rand(1, 3, 32, 32)
    terms = state.objective(hr * 0.5, hr, hr, torch.zeros(1, 3), None)
    assert list(terms) == ["pixel", "vgg19", "vgg19-2"]
