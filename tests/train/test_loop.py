"""Runs repeat, resume, stop in time and refuse nonsense."""

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from sr_geo.errors import OptionError, TrainingDataError, TrainingError
from sr_geo.models.session import open_model
from sr_geo.raster.enhance import enhance_raster
from sr_geo.raster.options import Options
from sr_geo.train import loop
from sr_geo.train.command import export_run, train_and_export
from sr_geo.train.loop import Progress, begin, set_rates, train
from sr_geo.train.muon import orthogonalised
from sr_geo.train.recipe import Recipe
from sr_geo.train.state import State


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
    hashed = json.loads((tmp_path / "run" / "data.json").read_text())["files"]
    assert hashed == {"fields.tif": hashlib.sha256((imagery / "fields.tif").read_bytes()).hexdigest()}


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


def with_holes(imagery: Path, folder: Path, rows: slice, columns: slice) -> Path:
    """A copy of the imagery, in a folder, with pixels that hold no data."""
    with rasterio.open(imagery / "fields.tif") as dataset:
        profile, pixels = dataset.profile, dataset.read()
    pixels[:, rows, columns] = 0
    folder.mkdir()
    with rasterio.open(folder / "fields.tif", "w", **profile | {"nodata": 0}) as dataset:
        dataset.write(pixels)
    return folder


def test_files_of_one_name_are_all_hashed(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / "data" / place).mkdir(parents=True)
        shutil.copy(imagery / "fields.tif", tmp_path / "data" / place)
    sources = tuple(source.model_copy(update={"files": ("*/fields.tif",)}) for source in recipe.sources)
    both = longer(recipe.model_copy(update={"sources": sources, "validation": sources}), 1)
    train(both, data_root=tmp_path / "data", run=tmp_path / "run")
    assert set(json.loads((tmp_path / "run" / "data.json").read_text())["files"]) == {"a/fields.tif", "b/fields.tif"}


def test_imagery_that_is_all_holes_is_one_line_from_a_worker_too(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    data = with_holes(imagery, tmp_path / "data", slice(0, 112), slice(None, None, 15))
    with pytest.raises(TrainingDataError) as told:
        train(recipe.model_copy(update={"loop": recipe.loop.model_copy(update={"workers": 1})}), data_root=data, run=tmp_path / "run")
    assert str(told.value).startswith("no window of 64 × 64 pixels without nodata")
    assert "\n" not in str(told.value)


def test_validation_on_nothing_but_holes_is_refused_at_once(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    data = with_holes(imagery, tmp_path / "data", slice(114, 116), slice(60, 70))
    with pytest.raises(TrainingDataError, match="validation: no piece of at most 512 × 512 pixels without nodata"):
        train(recipe, data_root=data, run=tmp_path / "run")


def test_what_cannot_be_validated_on_does_not_count(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    data = with_holes(imagery, tmp_path / "data", slice(114, 116), slice(60, 70))
    whole = recipe.validation[0].model_copy(update={"rows": (128, 160)})
    gains: list[float | None] = []
    mixed = longer(recipe.model_copy(update={"validation": (*recipe.validation, whole)}), 1)
    train(mixed, data_root=data, run=tmp_path / "run", report=lambda progress: gains.append(progress.gain_db))
    train(longer(recipe.model_copy(update={"validation": (whole,)}), 1), data_root=data, run=tmp_path / "one")
    with (tmp_path / "run" / "metrics.csv").open() as one, (tmp_path / "one" / "metrics.csv").open() as other:
        assert [row["gain_db_sigma_2.0"] for row in csv.DictReader(one)] == [row["gain_db_sigma_2.0"] for row in csv.DictReader(other)]
    assert gains[-1] is not None
    assert np.isfinite(gains[-1])


def test_a_gradient_that_is_no_number_is_never_saved(
    recipe: Recipe, imagery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overflow(torch.autograd.Function):
        """The loss as it is, with a gradient beyond all numbers."""

        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - PyTorch's own
            return x.clone()

        @staticmethod
        def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - PyTorch's own
            return slope * torch.inf

    total, calls = loop.total, []

    def third_overflows(terms: dict[str, torch.Tensor]) -> torch.Tensor:
        calls.append(1)
        loss = total(terms)
        return Overflow.apply(loss) if len(calls) == 3 else loss  # type: ignore[no-untyped-call]

    monkeypatch.setattr(loop, "total", third_overflows)
    short = recipe.model_copy(update={"loop": recipe.loop.model_copy(update={"validate_every": 1})})
    with pytest.raises(TrainingError, match=r"^gradient is (nan|inf) \(gradient\) at step 2; the last good state is kept"):
        train(short, data_root=imagery, run=tmp_path / "run")
    kept = load_file(tmp_path / "run" / "state.safetensors")
    assert all(bool(value.isfinite().all()) for value in kept.values())
    with (tmp_path / "run" / "metrics.csv").open() as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == ["1", "2"]


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_rates_warm_up_and_run_down(schedule: str, recipe: Recipe) -> None:
    raw = recipe.model_dump(mode="json")
    raw["loop"] |= {"schedule": schedule, "warmup": 4, "iterations": 100}
    changed = Recipe.model_validate(raw)
    state = begin(changed, Fabric(accelerator="cpu", devices=1), None)

    def rates(step: int, done: float) -> list[float]:
        state.step = step
        set_rates(state, changed, done)
        return [group["lr"] for optimiser in state.everything for group in optimiser.param_groups]

    full = [recipe.loop.body_learning_rate, recipe.loop.learning_rate]
    down = schedule == "cosine"
    assert rates(0, 0.0) == pytest.approx([rate / 4 for rate in full])
    assert rates(3, 0.0) == pytest.approx(full)
    assert rates(50, 0.5) == pytest.approx([rate * (0.5 if down else 1.0) for rate in full])
    assert rates(9, 1.0) == pytest.approx([0.0, 0.0] if down else full)  # of time, long before the last step


@pytest.mark.parametrize("minutes", [0.0, -1.0, float("nan")])
def test_no_time_is_refused(minutes: float, recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--max-minutes .*: give a number above zero"):
        train(recipe, data_root=imagery, run=tmp_path / "run", max_minutes=minutes)
    assert not (tmp_path / "run").exists()


def test_a_state_that_is_damaged_or_has_no_room_is_one_line(recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(longer(recipe, 1), data_root=imagery, run=run)
    state = (run / "state.safetensors").read_bytes()
    (run / "state.safetensors").write_bytes(state[: len(state) // 2])
    with pytest.raises(TrainingError, match=r"state\.safetensors: damaged .*; start another run from its weights"):
        train(recipe, data_root=imagery, run=run, resume=True)
    (run / "state.safetensors").write_bytes(state)
    (run / "weights.tmp").mkdir()  # nothing can be written there, as on a full disk
    with pytest.raises(TrainingError, match=r"the state cannot be written .*; make room, then --resume"):
        train(recipe, data_root=imagery, run=run, resume=True)
    assert (run / "state.safetensors").read_bytes() == state


def one_step(recipe: Recipe, imagery: Path, **changes: object) -> State:
    """A run after a single step."""
    changed = recipe.model_copy(update={"loop": recipe.loop.model_copy(update=changes)})
    fabric = Fabric(accelerator="cpu", devices=1, precision=loop.choose_precision(changed.loop, "cpu"))
    state = begin(changed, fabric, None)
    set_rates(state, changed, 0.0)
    pool = loop.open_pool(changed.sources, imagery, changed.model.bands, size=64, scale=4)
    batch = loop.Batches(pool, changed.degradation, 2, 16, 4, 0)[0]
    assert loop.train_step(fabric, state, batch, changed).keys() == {"pixel", "all"}
    return state


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_the_gradient_is_no_longer_than_the_recipe_allows(clip: float, recipe: Recipe, imagery: Path) -> None:
    state = one_step(recipe, imagery, clip=clip)
    slopes = [value.grad for value in state.net.parameters() if value.grad is not None]
    length = float(torch.nn.utils.get_total_norm(slopes))
    assert length == pytest.approx(clip, rel=1e-2) if clip < 1.0 else 1e-3 < length < clip


@pytest.mark.parametrize(("has", "chosen"), [({"avx512_bf16": True}, "bf16-mixed"), ({"avx512_bf16": False}, "32-true"), ({}, "32-true")])
def test_halves_are_taken_where_the_processor_has_them(
    has: dict[str, bool], chosen: str, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    assert loop.choose_precision(recipe.loop.model_copy(update={"precision": "auto"}), "cpu") == chosen
    assert loop.choose_precision(recipe.loop, "cpu") == "32-true"  # what the recipe says holds
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert loop.choose_precision(recipe.loop.model_copy(update={"precision": "auto"}), "cpu") == "32-true"


def test_halves_are_computed_with_and_never_kept(recipe: Recipe, imagery: Path) -> None:
    whole, mixed = (one_step(recipe, imagery, precision=precision).net.state_dict() for precision in ("32-true", "bf16-mixed"))
    assert {value.dtype for value in mixed.values()} == {torch.float32}
    apart = max(float((whole[name] - mixed[name]).abs().max()) for name in whole)
    assert 0.0 < apart < 0.02
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in whole.values() if value.ndim == 4)


def test_the_average_follows_quickly_at_first(recipe: Recipe) -> None:
    state = begin(recipe, Fabric(accelerator="cpu", devices=1), None)
    name, weights = next(iter(state.net.named_parameters()))
    for step, share in ((0, 0.9), (10, 9 / 20), (10**6, 1e-3)):
        state.step = step
        state.average[name].zero_()
        state.follow(0.999)
        torch.testing.assert_close(state.average[name], share * weights.detach(), rtol=1e-3, atol=1e-7)


def test_lack_of_memory_in_the_optimiser_is_one_line_too(
    recipe: Recipe, imagery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: torch.optim.Adam) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(torch.optim.Adam, "step", full)
    with pytest.raises(TrainingError, match=r"^out of GPU memory: lower loop\.batch or loop\.patch"):
        train(recipe, data_root=imagery, run=tmp_path / "run")
