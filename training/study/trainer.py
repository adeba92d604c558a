"""One run of the study: the networks, losses and steps of `sr_geo.train`, on pairs from a bank."""

import csv
import json
import time
from pathlib import Path

from bank import Bank
from lightning_fabric import Fabric
from plan import Plan, Run

from sr_geo.train.loop import begin, choose_precision, set_rates, train_step
from sr_geo.train.recipe import Recipe
from sr_geo.train.start import find_start

LOG_EVERY = 100
SAVE_EVERY = 60.0
"""Seconds after which the state is saved: a killed run loses no more."""


def is_done(folder: Path) -> bool:
    """Whether a run has come to its end."""
    return (folder / "done.json").exists()


def train_run(plan: Plan, run: Run, runs: Path, bank: Bank, *, device: str, until: float) -> bool:
    """Train from where the run stopped; whether it came to its end before the time `until` (of `time.time`)."""
    folder = runs / run.folder
    recipe = plan.recipe(run, runs)
    fabric = Fabric(accelerator=device, devices=1, precision=choose_precision(recipe.loop, device))
    fabric.launch()
    goes_on = (folder / "state.safetensors").exists()
    state = begin(recipe, fabric, None if goes_on or recipe.init is None else find_start(recipe.init))
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
    finish(folder, recipe, plan, seconds=state.seconds, device=device, networks=[dict(told) for told in state.objective.describe()])
    return True


def finish(folder: Path, recipe: Recipe, plan: Plan, *, seconds: float, device: str, networks: list[dict[str, object]]) -> None:
    """Mark a run as done; what is only needed to go on is removed."""
    about = {"plan": plan.title, "steps": recipe.loop.iterations, "seconds": round(seconds, 1), "device": device, "perceptual": networks}
    (folder / "done.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    (folder / "state.safetensors").unlink()
