"""Runs repeat, resume, stop in time and refuse nonsense."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from safetensors.torch import load_file

from sr_geo.errors import TrainingError
from sr_geo.models.session import open_model
from sr_geo.raster.enhance import enhance_raster
from sr_geo.raster.options import Options
from sr_geo.train.command import export_run, train_and_export
from sr_geo.train.loop import Progress, train
from sr_geo.train.muon import orthogonalised
from sr_geo.train.recipe import Recipe


def longer(recipe: Recipe, iterations: int) -> Recipe:
    return recipe.model_copy(update={"loop": recipe.loop.model_copy(update={"iterations": iterations})})


def test_resumed_run_equals_an_uninterrupted_one(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    whole = train(recipe, data_root=imagery, run=tmp_path / "whole")

    class StopError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 4:  # the last state on disk is that of step 3
            raise StopError

    with pytest.raises(StopError):
        train(recipe, data_root=imagery, run=tmp_path / "parts", report=stop)
    parts = train(recipe, data_root=imagery, run=tmp_path / "parts", resume=True)
    one, other = load_file(whole), load_file(parts)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_loss_falls_and_bicubic_is_passed(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    train(longer(recipe, 150), data_root=imagery, run=tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    losses = [float(row["loss"]) for row in rows]
    assert sum(losses[-5:]) < sum(losses[10:15])  # the first ones are of few samples yet
    assert float(rows[-1]["gain_db_sigma_2.0"]) > 0.0


def test_run_folder_says_what_went_in(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    train(recipe, data_root=imagery, run=tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "recipe.json",
        "recipe.yaml",
        "data.json",
        "samples",
        "log",
        "metrics.csv",
        "state.safetensors",
        "weights.safetensors",
    }
    assert Recipe.model_validate_json((tmp_path / "run" / "recipe.json").read_text()) == recipe
    assert "fields.tif" in (tmp_path / "run" / "data.json").read_text()


def test_a_folder_that_holds_a_run_is_not_overwritten(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    train(recipe, data_root=imagery, run=tmp_path / "run")
    with pytest.raises(TrainingError, match="holds a run already"):
        train(recipe, data_root=imagery, run=tmp_path / "run")


def test_time_budget_ends_with_usable_weights(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    path = train(
        longer(recipe, 10**6),
        data_root=imagery,
        run=tmp_path / "run",
        max_minutes=0.05,
        report=lambda progress: steps.append(progress.step),
    )
    assert 0 < len(steps) < 10**6
    assert load_file(path)


def test_a_loss_that_is_no_number_stops_the_run(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    wild = recipe.model_copy(update={"degradation": recipe.degradation.model_copy(update={"noise": 1e39})})
    with pytest.raises(TrainingError, match=r"loss is .* lower loop\.learning_rate"):
        train(wild, data_root=imagery, run=tmp_path / "run")


def test_a_trained_model_runs_as_shipped_ones_do(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.model_dump_json())
    model = train_and_export(path, tmp_path / "run", data=imagery)
    upscaler = open_model(model, device="cpu", threads=1)
    assert upscaler.card.bands == ("blue", "green", "red")
    assert upscaler.card.halo == 6
    assert upscaler.card.training[0].licence == "CC0"
    image = torch.randn(3, 9, 12).numpy()
    assert upscaler(image, sigma=2.0).shape == (3, 36, 48)
    assert export_run(tmp_path / "run", tmp_path / "again.onnx") <= 1e-4


def test_a_network_that_does_not_commute_keeps_the_units_of_a_raster(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    raw = recipe.model_dump(mode="json")
    raw["model"] |= {"family": "srresnet", "width": 8, "blocks": 1}
    raw["loop"] |= {"optimiser": "adam"}
    (tmp_path / "r.yaml").write_text(json.dumps(raw))
    model = train_and_export(tmp_path / "r.yaml", tmp_path / "run", data=imagery)
    card = open_model(model, device="cpu", threads=1).card
    assert (card.commutes_with_gain_and_offset, card.standardised, card.exact_halo) == (False, True, True)
    options = Options(model=model, bands={"b": 1, "g": 2, "r": 3}, psf=2.0, consistency="off", device="cpu", threads=1)
    enhance_raster(imagery / "fields.tif", tmp_path / "fine.tif", options)
    with rasterio.open(imagery / "fields.tif") as coarse, rasterio.open(tmp_path / "fine.tif") as fine:
        before, after = coarse.read(), fine.read()
    for band in range(3):  # blocks of 500 … 3000; a network that was trained for six steps is its bilinear skip and little more
        np.testing.assert_allclose(after[band].mean(), before[band].mean(), rtol=0.05)
        assert np.corrcoef(before[band].repeat(4, 0).repeat(4, 1).ravel(), after[band].ravel())[0, 1] > 0.9


def test_export_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="give the folder of a run"):
        export_run(tmp_path, tmp_path / "x.onnx")


def test_orthogonalised_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    for shape in ((16, 144), (144, 16), (20, 20)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert values.max() < 1.3
        assert values.median() > 0.6


def test_a_run_goes_on_with_a_longer_loop_and_other_words(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(recipe, data_root=imagery, run=run)
    sources = tuple(source.model_copy(update={"licence": "CC BY 4.0"}) for source in recipe.sources)
    changed = longer(recipe, 8).model_copy(update={"sources": sources, "title": "Another"})
    train(changed, data_root=imagery, run=run, resume=True)
    assert Recipe.model_validate_json((run / "recipe.json").read_text()) == changed
    assert "iterations: 8" in (run / "recipe.yaml").read_text()
    noted = json.loads((run / "data.json").read_text())["resumed"]
    assert noted == [
        {
            "step": 6,
            "changed": {"title": ["A test", "Another"], "sources.0.licence": ["CC0", "CC BY 4.0"], "loop.iterations": [6, 8]},
        }
    ]
    with (run / "metrics.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["3", "6", "8"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"width": 32}}, "model.width was 16, now it is 32; --resume needs the same recipe"),
        ({"sources": [{"rows": (0, 128)}]}, r"sources.0.rows was \[0, 112\], now it is \[0, 128\]"),
        ({"degradation": {"noise": 0.5}, "loop": {"optimiser": "adam"}}, r"noise was .* \(and 1 more: loop.optimiser\)"),
    ],
)
def test_a_run_does_not_go_on_with_another_recipe(
    changes: dict[str, Any], message: str, recipe: Recipe, imagery: Path, tmp_path: Path
) -> None:
    train(longer(recipe, 1), data_root=imagery, run=tmp_path / "run")
    raw = recipe.model_dump(mode="json")
    for section, values in changes.items():
        for target, new in zip(raw[section], values, strict=True) if isinstance(values, list) else [(raw[section], values)]:
            target.update(new)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with pytest.raises(TrainingError, match=message):
        train(Recipe.model_validate(raw), data_root=imagery, run=tmp_path / "run", resume=True)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
