"""The study's plan compares what it says it compares, and a leg hands over enough to go on elsewhere."""

import json
import math
import os
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file, save_file

from sr_geo.raster.lock import take_lock
from sr_geo.train.loop import begin
from sr_geo.train.perceptual.weights import DEFAULT_TAPS, DISTILLED

HERE = Path(__file__).parents[2] / "training" / "study"
MODULES = ("plan", "bank", "trainer", "legs", "tables", "pack", "run", "evaluate")
BESIDE = ("benchmark_identify", "benchmark_pictures", "enlarging", "result_table")
"""Of training/, which the above import."""
STAGE_THREE = ("vgg19", "mobilenetv2", "resnet152v2")
FIRST = ("vgg19", "block5_conv4")


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The scripts' modules, which lie beside each other and not in a package."""
    monkeypatch.syspath_prepend(str(HERE))
    yield SimpleNamespace(**{name: __import__(name) for name in MODULES})
    for name in (*MODULES, *BESIDE):
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


def test_a_recipe_is_made_without_a_file(study: SimpleNamespace, tmp_path: Path) -> None:
    recipe = study.plan.read_plan().recipe(study.plan.Run("satellite", "esrgan", 1), tmp_path / "runs")
    assert recipe.init == str(tmp_path / "runs" / "satellite-start-1")
    assert recipe.losses.adversarial.discriminator.width == 24
    assert recipe.losses.adversarial.weight == 5e-3  # what the base says beside it stays
    assert list(tmp_path.iterdir()) == []


def marked(plan: Any, run: Any, runs: Path, /, **changes: object) -> Path:  # noqa: ANN401 - of modules that the fixture imports
    """The folder of a run that is done, without its weights."""
    folder = runs / run.folder
    folder.mkdir(parents=True)
    done = {"plan": plan.title, "steps": plan.steps(run), "pairs": plan.pairs(run.domain), "seconds": 60.0, "perceptual": []} | changes
    (folder / "done.json").write_text(json.dumps({key: value for key, value in done.items() if value is not None}))
    (folder / "log.csv").write_text("100,60.0,pixel=0.1\n")
    return folder


def test_what_is_handed_over_fits_into_files_of_sixteen_mebibytes(study: SimpleNamespace, tmp_path: Path) -> None:
    plan = study.plan.read_plan()
    runs, weights, out = (tmp_path / name for name in ("runs", "weights", "out"))
    planned = plan.runs(("satellite",))
    first = study.plan.Run("satellite", "esrgan", 0)
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    recipe = plan.recipe(first, tmp_path)
    state = begin(recipe.model_copy(update={"losses": recipe.losses.model_copy(update={"perceptual": ()})}), fabric, None)
    state.save(tmp_path)
    for run in planned:
        folder = marked(plan, run, runs)
        for name in ("weights", "discriminator"):
            (folder / f"{name}.safetensors").hardlink_to(tmp_path / f"{name}.safetensors")
    generators = {f"generators-satellite-{seed}.safetensors" for seed in (0, 1, 2)}
    discriminators = {f"discriminators-satellite-{seed}.safetensors" for seed in (0, 1, 2)}
    for waiting, expected in ((False, generators), (True, generators | discriminators)):
        if waiting:
            for seed in (0, 1, 2):
                (runs / f"satellite-resnet152v2-{seed}" / "done.json").unlink()
        study.legs.hand_over(plan, planned, runs, weights, out)
        sizes = {path.name: path.stat().st_size for path in out.iterdir()}
        assert sizes.keys() == expected | {"progress.json"}
        assert 10 * 2**20 * (6 / 7) < max(sizes.values()) < 16 * 2**20
    # Another machine needs all of them; of a leg that was not copied whole nothing is taken for done.
    (out / "generators-satellite-1.safetensors").unlink()
    there = tmp_path / "there"
    with pytest.raises(SystemExit, match="no file has the generator of satellite-start-1"):
        study.legs.take_over(plan, planned, there, tmp_path / "weights-there", out)
    assert [run for run in planned if run.seed == 1 and (there / run.folder).exists()] == []
    assert (there / first.folder / "discriminator.safetensors").exists()
    for path in tmp_path.rglob("*.safetensors"):
        path.unlink()


def test_a_leg_says_last_what_is_done(study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, out = study.plan.read_plan(), tmp_path / "out"
    run = study.plan.Run("medical", "start", 0)
    folder = marked(plan, run, tmp_path / "runs")
    save_file({"x": torch.zeros(1)}, folder / "weights.safetensors")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(study.legs, "save_file", full)
    with pytest.raises(OSError, match="no space"):
        study.legs.hand_over(plan, [run], tmp_path / "runs", tmp_path / "weights", out)
    assert not (out / "progress.json").exists()
    monkeypatch.undo()
    study.legs.hand_over(plan, [run], tmp_path / "runs", tmp_path / "weights", out)
    assert sorted(path.name for path in out.iterdir()) == ["generators-medical-0.safetensors", "progress.json"]


def test_legs_that_had_a_file_for_all_seeds_are_still_taken_over(study: SimpleNamespace, tmp_path: Path) -> None:
    plan, leg = study.plan.read_plan(), tmp_path / "leg"
    run = study.plan.Run("medical", "start", 1)
    marked(plan, run, leg)
    done = json.loads((leg / run.folder / "done.json").read_text())
    told = {"plan": "full", "finished": {run.folder: done}, "logs": {run.folder: ""}}
    (leg / "progress.json").write_text(json.dumps(told))
    save_file({f"{run.folder}/x": torch.ones(1).half()}, leg / "generators-medical.safetensors")
    study.legs.take_over(plan, [run], tmp_path / "runs", tmp_path / "weights", leg)
    assert load_file(tmp_path / "runs" / run.folder / "weights.safetensors")["x"] == 1.0


@pytest.mark.parametrize("changes", [{"steps": 10}, {"pairs": 20}, {"plan": "reduced"}])
def test_a_trial_is_not_taken_for_the_plan(study: SimpleNamespace, tmp_path: Path, changes: dict[str, object]) -> None:
    plan, runs = study.plan.read_plan(), tmp_path / "runs"
    run = study.plan.Run("medical", "start", 0)
    marked(plan, run, runs, **changes)
    with pytest.raises(SystemExit, match=r"medical-start-0 is of .* not of the full plan, 6000 steps, 6000 pairs; keep trials"):
        study.trainer.finished(plan, plan.runs(plan.domains), runs)
    with pytest.raises(SystemExit, match="keep trials"):
        study.legs.hand_over(plan, [run], runs, tmp_path / "weights", tmp_path / "out")
    leg = tmp_path / "leg"
    leg.mkdir()
    finished = {run.folder: json.loads((runs / run.folder / "done.json").read_text())}
    (leg / "progress.json").write_text(json.dumps({"plan": "full", "finished": finished, "logs": {}}))
    with pytest.raises(SystemExit, match="keep trials"):
        study.legs.take_over(plan, [run], tmp_path / "there", tmp_path / "weights", leg)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("script", ["run", "evaluate"])
def test_both_scripts_refuse_a_trial_in_the_plans_folder(
    study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SR_GEO_WEIGHTS", "")  # so that it is put back
    data = tmp_path / "data"
    data.mkdir()
    trial = study.plan.read_plan(steps=10)
    marked(trial, study.plan.Run("medical", "start", 0), Path("runs/study"))
    arguments = ["--data", str(data), "--out", str(tmp_path / "out")] + (["--minutes", "1"] if script == "run" else [])
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit, match="10 steps, 6000 pairs, not of the full plan"):
        getattr(study, script).main()
    assert not (tmp_path / "out").exists()


def test_runs_of_before_pairs_were_written_down_are_the_plans(study: SimpleNamespace, tmp_path: Path) -> None:
    plan, run = study.plan.read_plan(), study.plan.Run("medical", "start", 0)
    marked(plan, run, tmp_path, pairs=None)
    assert study.trainer.finished(plan, plan.runs(plan.domains), tmp_path) == [run]


def test_a_bank_of_a_trial_is_refused(study: SimpleNamespace, tmp_path: Path) -> None:
    plan, path = study.plan.read_plan(reduced=True), tmp_path / "bank-medical.npz"
    recipe = plan.recipe(study.plan.Run("medical", "start", 0), tmp_path)
    np.savez(path, hr=np.zeros((3, 1, 88, 88), np.uint8), lr=np.zeros((3, 1, 22, 22), np.uint8))
    study.bank.make_bank(recipe, tmp_path, path, pairs=3, workers=1)
    with pytest.raises(SystemExit, match="3 pairs of 22 px, planned are 6000 of 22 px; remove it"):
        study.bank.make_bank(recipe, tmp_path, path, pairs=6000, workers=1)


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
    plan = study.plan.read_plan(reduced=True, steps=4, pairs=6)
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
    other = study.plan.read_plan(reduced=True, steps=5, pairs=6)
    with pytest.raises(SystemExit, match="begun by another recipe"):
        study.trainer.train_run(other, run, here, bank, device="cpu", until=0.0)
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


def test_stage_three_does_not_start_with_a_fresh_discriminator(study: SimpleNamespace, tmp_path: Path) -> None:
    plan = study.plan.read_plan(reduced=True)
    esrgan, control = (study.plan.Run("medical", name, 0) for name in ("esrgan", "control"))
    folder = tmp_path / esrgan.folder
    folder.mkdir()
    save_file({"x": torch.zeros(1)}, folder / "weights.safetensors")
    (folder / "recipe.json").write_text(plan.recipe(esrgan, tmp_path).model_dump_json())
    with pytest.raises(SystemExit, match=r"medical-esrgan-0: discriminator.safetensors is missing"):
        study.trainer.train_run(plan, control, tmp_path, None, device="cpu", until=0.0)


def ended(code: int | None) -> SimpleNamespace:
    """A process that has ended with a return code, or still runs; it can be told to end."""
    process = SimpleNamespace(returncode=code, poll=lambda: process.returncode, wait=lambda: process.returncode)
    process.terminate = partial(setattr, process, "returncode", -15)
    return process


def test_a_run_is_ready_when_what_it_starts_from_is_done_and_its_networks_are_there(study: SimpleNamespace, tmp_path: Path) -> None:
    plan = study.plan.read_plan()
    start, esrgan, vgg19, resnet = (study.plan.Run("medical", name, 0) for name in ("start", "esrgan", "vgg19", "resnet152v2"))

    def ready(*, stand_in: bool) -> list[str]:
        return [run.name for run in (start, esrgan, vgg19, resnet) if study.run.ready(plan, run, tmp_path, stand_in=stand_in)]

    assert ready(stand_in=True) == ["start"]
    marked(plan, start, tmp_path)
    assert ready(stand_in=True) == ["start", "esrgan"]
    marked(plan, esrgan, tmp_path)
    assert ready(stand_in=False) == ["start", "esrgan", "vgg19"]
    assert ready(stand_in=True) == ["start", "esrgan", "vgg19", "resnet152v2"]
    # On few cores the stand-in's turn is when nothing else can run and something waits for it.
    assert study.run.may_distil(plan, [resnet], [], tmp_path, jobs=1)
    assert not study.run.may_distil(plan, [resnet, vgg19], [], tmp_path, jobs=1)
    assert not study.run.may_distil(plan, [resnet], [vgg19], tmp_path, jobs=1)
    assert study.run.may_distil(plan, [resnet], [vgg19], tmp_path, jobs=6)
    assert not study.run.may_distil(plan, [study.plan.Run("medical", "resnet152v2", 1)], [], tmp_path, jobs=6)  # its esrgan is not there


def test_a_stand_in_lacks_where_a_run_needs_it_and_no_whole_file_is_there(study: SimpleNamespace, tmp_path: Path) -> None:
    plan = study.plan.read_plan()
    without, with_it = ([study.plan.Run("medical", name, 0)] for name in ("vgg19", "resnet152v2"))
    assert not study.run.lacks_stand_in(tmp_path, without, plan)
    assert study.run.lacks_stand_in(tmp_path, with_it, plan)
    (tmp_path / f"{DISTILLED}.1.part").touch()
    assert study.run.lacks_stand_in(tmp_path, with_it, plan)
    for name in (DISTILLED, "resnet152v2-packed.safetensors", "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5"):
        (tmp_path / name).touch()
        assert not study.run.lacks_stand_in(tmp_path, with_it, plan)
        (tmp_path / name).unlink()


def test_processes_that_have_ended_are_taken_out_and_those_that_failed_are_named(
    study: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = study.plan.read_plan()
    running, done, cut, failed = (study.plan.Run("medical", "start", seed) for seed in range(4))
    marked(plan, done, tmp_path)
    busy = {running: ended(None), done: ended(0), cut: ended(0), failed: ended(1)}  # cut off by the time: neither done nor failed
    assert study.run.reaped(busy, tmp_path) == {failed.folder}
    assert list(busy) == [running]
    assert capsys.readouterr().out.splitlines() == [
        "medical-start-1: done",
        f"medical-start-3: failed, see {tmp_path / 'medical-start-3' / 'output.txt'}",
    ]


class Distilling:
    """What `work` calls the stand-in's process by: it writes its file at once and ends with a code, or not."""

    def __init__(self, code: int | None) -> None:
        self.code, self.commands = code, list[str]()

    def __call__(self, command: list[str], **_: object) -> SimpleNamespace:
        self.commands.append(Path(command[1]).name)
        (Path(command[2]) / DISTILLED).write_bytes(b"unfinished" if self.code is None else b"finished")
        return ended(self.code)


@pytest.mark.parametrize(("code", "failed"), [(0, set()), (1, {"resnet152v2"}), (None, set())])
def test_the_stand_in_is_among_the_weights_when_it_is_finished_and_not_before(
    study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int | None, failed: set[str]
) -> None:
    plan, runs, weights = study.plan.read_plan(), tmp_path / "runs", tmp_path / "weights"
    weights.mkdir()
    runs.mkdir()
    run = study.plan.Run("medical", "resnet152v2", 0)
    marked(plan, plan.parent(run), runs)
    started = []
    monkeypatch.setattr(study.run.subprocess, "Popen", distilling := Distilling(code))

    def start(_: object, one: Any, until: float) -> SimpleNamespace:  # noqa: ANN401
        started.append(one)
        marked(plan, one, runs)
        return ended(0)

    monkeypatch.setattr(study.run, "start_process", start)
    began, seconds = time.time(), 60.0 if code is not None else 28.0
    clock = iter(range(10_000))  # the time is up after a few looks, but nothing waits for it
    monkeypatch.setattr(study.run, "time", SimpleNamespace(time=lambda: began + next(clock), sleep=lambda _: None))
    arguments = SimpleNamespace(runs=runs, jobs=1)
    assert study.run.work(plan, [run], arguments, tmp_path, began + seconds) == failed
    assert distilling.commands == ["distil_resnet152v2.py"]
    assert [path.name for path in weights.iterdir()] == ([DISTILLED] if code == 0 else [])
    assert started == ([run] if code == 0 else [])
    take_lock(runs / "stand-in" / "lock").close()


def test_an_interrupted_driver_leaves_no_unfinished_stand_in_and_no_process(
    study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, runs, weights = study.plan.read_plan(), tmp_path / "runs", tmp_path / "weights"
    weights.mkdir()
    runs.mkdir()
    processes: list[Any] = []

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study.run.subprocess, "Popen", Distilling(None))
    monkeypatch.setattr(study.run, "start_process", lambda *_: processes.append(ended(None)) or processes[-1])
    monkeypatch.setattr(study.run, "time", SimpleNamespace(time=time.time, sleep=interrupted))
    with pytest.raises(KeyboardInterrupt):
        study.run.work(plan, plan.runs(("medical",)), SimpleNamespace(runs=runs, jobs=2), tmp_path, time.time() + 60.0)
    assert [process.returncode for process in processes] == [-15] * 2
    assert list(weights.iterdir()) == []
    take_lock(runs / "stand-in" / "lock").close()


def test_drivers_on_one_folder_unpack_once(study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").touch()
    with tarfile.open(tmp_path / "pack.tar", "w") as archive:
        archive.add(tmp_path / "pictures", "pictures")
    runs, times, extract = tmp_path / "runs", [], tarfile.TarFile.extractall
    runs.mkdir()

    def slowly(self: tarfile.TarFile, *arguments: object, **options: object) -> None:
        times.append(threading.get_ident())
        extract(self, *arguments, **options)
        time.sleep(0.3)

    monkeypatch.setattr(tarfile.TarFile, "extractall", slowly)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(partial(study.run.unpacked, tmp_path / "pack.tar"), [runs, runs]))
    assert found == [runs / "data"] * 2
    assert len(times) == 1


def test_a_run_is_trained_by_one_process_at_a_time(study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, run = study.plan.read_plan(), study.plan.Run("medical", "start", 0)
    np.savez(tmp_path / "bank-medical.npz", hr=np.zeros((1, 1, 4, 4), np.uint8), lr=np.zeros((1, 1, 1, 1), np.uint8))
    trained = []
    monkeypatch.setattr(study.run, "train_run", lambda _, one, *others, **options: trained.append(one))
    with take_lock(tmp_path / run.folder / "lock"), pytest.raises(SystemExit, match="another process trains it"):
        study.run.one(plan, run, tmp_path, 0.0)
    study.run.one(plan, run, tmp_path, 0.0)
    (tmp_path / run.folder / "done.json").touch()  # by another process, since this one was started
    study.run.one(plan, run, tmp_path, 0.0)
    assert trained == [run]


def test_a_driver_leaves_the_stand_in_to_the_one_that_is_at_it(
    study: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study.run.subprocess, "Popen", distilling := Distilling(None))
    stand_in = study.run.StandIn(study.plan.read_plan(), tmp_path, tmp_path / "stand-in")
    with take_lock(tmp_path / "stand-in" / "lock"):
        stand_in.start()
    assert stand_in.process is None
    stand_in.start()
    assert len(distilling.commands) == 1
    stand_in.stop()


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


def test_what_judges_gained_and_lost_is_told_seed_by_seed_and_not_counted_is_not_none(study: SimpleNamespace) -> None:
    uncounted = row("SRGAN", 0, 30.0) | {"gained": "", "lost": ""}  # of a run that was measured before that was counted
    counted = [row("SRGAN", seed, 30.0) | {"gained": str(seed), "lost": "0"} for seed in (1, 2)]
    unchanged = row("ESRGAN", 1, 30.0) | {"gained": "0", "lost": "0"}
    rows = [row("bicubic", 0, 30.0), uncounted, *counted, unchanged]
    assert study.tables.changed(rows) == [["reader", "SRGAN", "2", "1/2", "0/0"]]
    assert study.tables.uncounted(rows) == ["seed 0"]
    assert study.tables.uncounted([row("bicubic", 0, 30.0), *counted, unchanged]) == []
    assert study.tables.uncounted([*counted, row("ESRGAN", 1, 30.0)]) == ["seed 1 (ESRGAN by reader)"]
    other = row("SRGAN", 1, 30.0, judge="another")
    assert study.tables.figures([*rows, other])[-1].endswith("| 50 % (50–50) | – |")  # of one seed
    assert "| 50 % (50–50; 50/50/50) | 50 % (50–50), 1 of 3 seeds |" in "\n".join(study.tables.figures([*rows, other]))


def test_a_stand_in_is_called_one_where_it_is_one(study: SimpleNamespace, tmp_path: Path) -> None:
    plan = study.plan.read_plan()
    runs = [study.plan.Run("medical", "resnet152v2", seed) for seed in (0, 1)]
    for run, weights in zip(runs, ("distilled from vgg19: …", "Keras applications, ImageNet"), strict=True):
        others = {"network": "vgg19", "weights": "VGG16 + identity layers"}
        marked(plan, run, tmp_path, perceptual=[others, {"network": "resnet152v2", "weights": weights}])
    names = [study.evaluate.named(run, tmp_path) for run in runs]
    assert names == ["+ ResNet152V2 (stand-in)", "+ ResNet152V2"]
    rows = [row(name, seed, 30.0) | {"test": "X-rays and CT"} for seed, name in enumerate([*names, "+ VGG19"])]
    assert [one["system"] for one in study.evaluate.in_order(rows)] == ["+ VGG19", *names]


def test_plates_are_also_counted_among_those_whose_truth_is_read(study: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.evaluate.tests, "by_reading", lambda truths, pictures: [True, False, True, False])
    hits = study.evaluate.judge("plate", [], [], [True, True, False, False])
    assert hits == {"reader": [True, False, True, False], "reader, of those whose truth it reads": [True, False]}
    found = [row("SRGAN", 0, 30.0) | study.evaluate.verdict(name, each, each) for name, each in hits.items()]
    table = study.tables.figures([{name: str(value) for name, value in one.items()} for one in found])
    assert table[0].endswith("| by reader | by reader, of those whose truth it reads |")
    assert list(study.evaluate.judge("plate", [], [], [False] * 4)) == ["reader"]  # a share of nothing is no figure


def test_plans_are_not_mixed_in_any_of_the_tables(study: SimpleNamespace, tmp_path: Path) -> None:
    reduced, full = study.plan.read_plan(reduced=True), study.plan.read_plan()
    table, runs = tmp_path / "study.csv", tmp_path / "runs"
    for plan, domain in ((reduced, "satellite"), (reduced, "medical"), (full, "medical")):
        run = study.plan.Run(domain, "start", 0)
        marked(plan, run, runs / plan.title)
        study.evaluate.record(plan, [run], runs / plan.title, table)
    for name in ("runs", "log"):
        rows = study.tables.read(tmp_path / f"study-{name}.csv")
        assert [(one["plan"], one["domain"]) for one in rows] == [("reduced", "satellite"), ("full", "medical")]


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
