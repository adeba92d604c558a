"""The study's plan compares what it says it compares, and a leg hands over enough to go on elsewhere."""

import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sr_geo.train.nets import build_discriminator
from sr_geo.train.perceptual.weights import DEFAULT_TAPS

HERE = Path(__file__).parents[2] / "training" / "study"
MODULES = ("plan", "bank", "trainer", "legs", "tables", "pack")
STAGE_THREE = ("vgg19", "mobilenetv2", "resnet152v2")
FIRST = ("vgg19", "block5_conv4")


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The scripts' modules, which lie beside each other and not in a package."""
    monkeypatch.syspath_prepend(str(HERE))
    yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    for name in MODULES:
        sys.modules.pop(name, None)


def tap_weights(recipe: dict[str, Any]) -> dict[tuple[str, str], float]:
    """What each tap of each perceptual network weighs in a recipe's loss."""
    return {
        (term["network"], tap): term["weight"] * share
        for term in recipe["losses"]["perceptual"]
        for tap, share in (term["taps"] or DEFAULT_TAPS[term["network"]]).items()
    }


@pytest.mark.parametrize("reduced", [False, True])
def test_every_run_is_a_recipe_and_stage_three_differs_in_the_perceptual_networks_alone(
    study: SimpleNamespace, tmp_path: Path, reduced: bool
) -> None:
    plan = study.plan.read_plan(reduced=reduced)
    runs = plan.runs(plan.domains)
    assert len(runs) == len(set(runs)) == 7 * 3 * len(plan.content["seeds"])
    for run in runs:
        recipe = plan.recipe(run, tmp_path)
        assert recipe.model.family == "rrdbnet"
        assert (recipe.model.width, recipe.model.blocks) == (plan.content["generator"]["width"], plan.content["generator"]["blocks"])
        if run.name in STAGE_THREE:
            control = plan.recipe(study.plan.Run(run.domain, "control", run.seed), tmp_path)
            ours, theirs = (one.model_dump() for one in (recipe, control))
            added, alone = (tap_weights(one) for one in (ours, theirs))
            assert list(alone) == [FIRST]
            added[FIRST] -= alone[FIRST] / 2  # half stays with the control's tap, the other half goes to three of the added network
            shares = {key: weight / alone[FIRST] for key, weight in added.items() if weight > 1e-6}
            assert list(shares.values()) == pytest.approx([1 / 6] * 3, abs=1e-6)
            assert {network for network, _ in shares} == {run.name}
            ours["losses"].pop("perceptual"), theirs["losses"].pop("perceptual")
            assert [key for key in ours if ours[key] != theirs[key] and key not in ("name", "title")] == []
    gan, relativistic = (plan.recipe(study.plan.Run("medical", name, 0), tmp_path) for name in ("srgan", "esrgan"))
    assert gan.losses.adversarial is not None
    assert relativistic.losses.adversarial is not None
    assert (gan.losses.adversarial.kind, relativistic.losses.adversarial.kind) == ("standard", "relativistic")
    assert gan.model == relativistic.model


def test_what_is_handed_over_fits_into_files_of_sixteen_mebibytes(study: SimpleNamespace, tmp_path: Path) -> None:
    plan = study.plan.read_plan()
    loop, width = plan.content["loop"], plan.content["discriminator"]["width"]
    judge = build_discriminator("vgg", bands=3, size=(loop["patch"] - 2 * loop["border"]) * 4, width=width)
    assert 2 * sum(value.numel() for value in judge.state_dict().values()) < 16 * 2**20


def test_batches_depend_on_seed_and_step_and_both_resolutions_are_mirrored_alike(study: SimpleNamespace) -> None:
    lr = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 4, 4)).astype(np.uint8))
    bank = study.bank.Bank(lr.repeat_interleave(4, 2).repeat_interleave(4, 3), lr, True)
    one, same, other = (bank.draw(8, seed=1, step=step) for step in (5, 5, 6))
    assert torch.equal(one.hr, same.hr)
    assert not torch.equal(one.hr, other.hr)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(one.hr, 4), one.lr)
    plain = study.bank.Bank(bank.hr, lr, False).draw(8, seed=1, step=5)
    assert not torch.equal(plain.hr, one.hr)


def test_a_run_goes_on_after_its_time_and_another_machine_takes_it_over(
    study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = study.plan.read_plan(reduced=True, steps=4)
    run, here, there = study.plan.Run("medical", "start", 0), tmp_path / "here", tmp_path / "there"
    patch = plan.content["loop"]["patch"]
    lr = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 1, patch, patch)).astype(np.uint8))
    bank = study.bank.Bank(lr.repeat_interleave(4, 2).repeat_interleave(4, 3), lr, False)

    def train(folder: Path, *, steps: float) -> bool:
        left = iter([time.time()] * int(steps) if steps < math.inf else [])
        monkeypatch.setattr(study.trainer.time, "time", lambda: next(left, math.inf if steps < math.inf else 0.0))
        done: bool = study.trainer.train_run(plan, run, folder, bank, device="cpu", until=1e12)
        monkeypatch.undo()
        return done

    assert train(tmp_path / "whole", steps=math.inf)
    assert not train(here, steps=2)
    assert not study.trainer.is_done(here / run.folder)
    assert train(here, steps=math.inf)
    found, whole = (load_file(folder / run.folder / "weights.safetensors") for folder in (here, tmp_path / "whole"))
    for name, value in whole.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    weights = tmp_path / "weights"
    weights.mkdir()
    study.legs.hand_over(plan, [run], here, weights, tmp_path / "leg")
    study.legs.take_over(plan, [run], there, weights, tmp_path / "leg")
    assert study.trainer.is_done(there / run.folder)
    (about,), logged = study.legs.described(plan, [run], there)
    assert (about["run"], about["seed"], about["steps"], about["networks"]) == ("start", "0", "4", "")
    assert [line["step"] for line in logged] == ["4"]
    for name, value in load_file(there / run.folder / "weights.safetensors").items():
        torch.testing.assert_close(value, whole[name], rtol=1e-3, atol=1e-4)


def row(system: str, seed: int, psnr: float, *, judge: str = "reader", domain: str = "medical") -> dict[str, str]:
    """A row of study.csv."""
    figures = dict.fromkeys(("ssim", "lpips", "dists", "features", "identified", "low", "high"), "0.5")
    return {
        "plan": "reduced",
        "domain": domain,
        "test": "X-rays",
        "system": system,
        "seed": str(seed),
        "psnr": str(psnr),
        "judge": judge,
    } | figures


def test_differences_to_the_control_are_formed_within_a_seed_and_their_spread_is_half_of_the_range(study: SimpleNamespace) -> None:
    control = [row("ESRGAN, further steps", seed, 30.0 + 5 * seed, judge=judge) for seed in (0, 1, 2) for judge in ("a", "b")]
    added = [row("+ VGG19", seed, 31.0 + 6 * seed, judge=judge) for seed in (0, 1) for judge in ("a", "b")]
    assert study.tables.differences(control + added) == [["+ VGG19", "2", "+1.50 ± 0.50", "+0.000 ± 0.000", "+0.000 ± 0.000"]]
    table = study.tables.figures(control + added)
    assert "| + VGG19 | 2 | 34.00 ± 3.00 | 0.500 ± 0.000 |" in table[3]
    assert study.tables.spread([-0.25], 2, signed=True) == "−0.25"


def test_what_judges_gained_and_lost_is_told_seed_by_seed(study: SimpleNamespace) -> None:
    uncounted = row("SRGAN", 0, 30.0) | {"gained": "", "lost": ""}  # of a run that was measured before that was counted
    counted = [row("SRGAN", seed, 30.0) | {"gained": str(seed), "lost": "0"} for seed in (1, 2)]
    unchanged = row("ESRGAN", 1, 30.0) | {"gained": "0", "lost": "0"}
    rows = [row("bicubic", 0, 30.0), uncounted, *counted, unchanged]
    assert study.tables.changed(rows) == [["reader", "SRGAN", "2", "1/2", "0/0"]]
    other = row("SRGAN", 1, 30.0, judge="another")
    assert study.tables.figures([*rows, other])[-1].endswith("| 50 % (50–50) | – |")


def test_rows_that_are_not_measured_now_stay(study: SimpleNamespace, tmp_path: Path) -> None:
    key = ("test", "system", "seed")
    table = [row(system, seed, 30.0, judge=judge) for system in ("SRGAN", "ESRGAN") for seed in (0, 1) for judge in ("a", "b")]
    now = study.tables.replaced(table, [row("SRGAN", 1, 31.0, judge="a")], key)
    assert [(one["system"], one["seed"], one["judge"], one["psnr"]) for one in now] == [
        *(("SRGAN", "0", judge, "30.0") for judge in ("a", "b")),
        *(("ESRGAN", seed, judge, "30.0") for seed in ("0", "1") for judge in ("a", "b")),
        ("SRGAN", "1", "a", "31.0"),  # a judge that is not asked any more goes
    ]
    path = tmp_path / "study.csv"
    assert study.tables.read(path) == []
    study.tables.write(path, list(now[0]), now)
    assert study.tables.read(path) == now
    assert [each.name for each in tmp_path.iterdir()] == ["study.csv"]
    other = row("SRGAN", 0, 30.0, domain="satellite")
    assert study.tables.of_one_plan([*now, other], "reduced", {"medical"}) == [*now, other]
    assert study.tables.of_one_plan([*now, other], "full", {"medical"}) == [other]


def test_the_list_of_what_was_read_is_what_a_pack_is_made_of(study: SimpleNamespace) -> None:
    data = Path(os.environ.get("SR_GEO_DATA") or HERE.parents[2] / "shared" / "data")
    if not data.is_dir():
        pytest.skip("SR_GEO_DATA is not set and ../shared/data is missing")
    assert study.pack.listing(data) == study.pack.LIST.read_text(encoding="utf-8")
