"""One run of the study: the networks, losses and steps of `sr_geo.train`, on pairs from a bank."""

import csv
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bank import Bank
from lightning_fabric import Fabric
from plan import Plan, Run

from sr_geo.train.loop import begin, choose_precision, set_rates, train_step
from sr_geo.train.recipe import Recipe, recipe_of_run
from sr_geo.train.start import find_start

LOG_EVERY = 100
SAVE_EVERY = 60.0
"""Seconds after which the state is saved: a killed run loses no more."""


def is_done(folder: Path) -> bool:
    """Whether a run has come to its end."""
    return (folder / "done.json").exists()


def require_planned(plan: Plan, run: Run, done: Mapping[str, object], where: Path) -> None:
    """Refuse what ``done.json`` tells of a run where it is of another plan or of a trial.

    Raises:
        SystemExit: plan, steps or pairs are others than those of `plan`.
    """
    steps, pairs = plan.steps(run), plan.pairs(run.domain)
    kept = done["plan"], done["steps"], done.get("pairs", pairs)  # runs of before that was written down are no trials
    if kept != (plan.title, steps, pairs):
        found, wanted = ("the {} plan, {} steps, {} pairs".format(*values) for values in (kept, (plan.title, steps, pairs)))
        hint = "keep trials and other plans in folders of their own (--runs, --out), or remove it"
        raise SystemExit(f"{where}: {run.folder} is of {found}, not of {wanted}; {hint}")


def finished(plan: Plan, planned: Iterable[Run], runs: Path) -> list[Run]:
    """Those that have come to their end.

    Raises:
        SystemExit: one is of another plan or of a trial: it must not pass for the plan's.
    """
    done = [run for run in planned if is_done(runs / run.folder)]
    for run in done:
        require_planned(plan, run, json.loads((runs / run.folder / "done.json").read_text(encoding="utf-8")), runs)
    return done


def train_run(plan: Plan, run: Run, runs: Path, bank: Bank, *, device: str, until: float) -> bool:
    """Train from where the run stopped; whether it came to its end before the time `until` (of `time.time`).

    Raises:
        SystemExit: what lies in its folder was begun by another recipe, or what it starts from lacks its discriminator.
    """
    folder = runs / run.folder
    folder.mkdir(parents=True, exist_ok=True)
    recipe = plan.recipe(run, runs)
    fabric = Fabric(accelerator=device, devices=1, precision=choose_precision(recipe.loop, device))
    fabric.launch()
    goes_on = (folder / "state.safetensors").exists()
    if goes_on and _placeless(recipe_of_run(folder)) != _placeless(recipe):
        raise SystemExit(f"{folder}: begun by another recipe, in a trial maybe; remove it, or give another --runs")
    start = None if goes_on or recipe.init is None else find_start(recipe.init)
    parent = plan.parent(run)
    if start is not None and parent is not None and plan.recipe(parent, runs).losses.adversarial and start.discriminator is None:
        # With a fresh one it would be no fair comparison, and nothing would show it.
        raise SystemExit(f"{runs / parent.folder}: discriminator.safetensors is missing; remove the folder, and --take a leg that has it")
    state = begin(recipe, fabric, start)
    if goes_on:
        state.restore(folder)
    (folder / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    started, saved = time.monotonic() - state.seconds, time.monotonic()
    with (folder / "log.csv").open("a", encoding="utf-8", newline="") as stream:
        log = csv.writer(stream)
        while state.step < recipe.loop.iterations and time.time() < until:
            set_rates(state, recipe, state.step / recipe.loop.iterations)
            terms = train_step(fabric, state, bank.draw(recipe.loop.batch, seed=recipe.loop.seed, step=state.step), recipe)
            state.follow(recipe.loop.ema)
            state.step += 1
            state.seconds = time.monotonic() - started
            if state.step % LOG_EVERY == 0 or state.step == recipe.loop.iterations:
                log.writerow([state.step, round(state.seconds, 1), *(f"{name}={value:.5g}" for name, value in terms.items())])
            if time.monotonic() - saved > SAVE_EVERY:
                state.save(folder)
                saved = time.monotonic()
    state.save(folder)
    if state.step < recipe.loop.iterations:
        return False
    done = {"plan": plan.title, "steps": recipe.loop.iterations, "pairs": len(bank.hr), "seconds": round(state.seconds, 1)}
    finish(folder, done | {"device": device, "perceptual": [dict(told) for told in state.objective.describe()]})
    return True


def finish(folder: Path, about: Mapping[str, object]) -> None:
    """Mark a run as done; what is only needed to go on is removed."""
    (folder / "done.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "state.safetensors").unlink()


def _placeless(recipe: Recipe) -> Recipe:
    """Without the folder of what it starts from, which may be named in more ways than one."""
    return recipe.model_copy(update={"init": None})
