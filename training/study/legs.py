"""What a leg of the study hands over: generators in halves, what stage 3 starts from, logs; few files, none large."""

import csv
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from plan import Plan, Run
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from trainer import finished, is_done, require_planned

from sr_geo.files import whole_file
from sr_geo.train.perceptual.weights import DISTILLED

PROGRESS = "progress.json"


def hand_over(plan: Plan, planned: Iterable[Run], runs: Path, weights: Path, out: Path) -> None:
    """Write all that is finished into `out`: it, the pictures and the weights are enough to go on elsewhere.

    A file of generators and one of discriminators for each domain and seed keep each below 16 MiB. What is done is written down
    last, when all of it is there.

    Raises:
        SystemExit: a run is of another plan or of a trial.
    """
    out.mkdir(parents=True, exist_ok=True)
    planned = list(planned)
    done = finished(plan, planned, runs)
    for domain, seed in dict.fromkeys((run.domain, run.seed) for run in done):
        ours = [run for run in done if (run.domain, run.seed) == (domain, seed)]
        _save(_gathered(ours, runs, "weights"), out / f"generators-{domain}-{seed}.safetensors")
        waiting = {plan.parent(run) for run in planned if run not in done}
        judges = _gathered((run for run in ours if run in waiting and run.name == "esrgan"), runs, "discriminator")
        if judges:
            _save(judges, out / f"discriminators-{domain}-{seed}.safetensors")
    if (weights / DISTILLED).exists():
        copy(weights / DISTILLED, out / DISTILLED)
    progress = {run.folder: json.loads((runs / run.folder / "done.json").read_text(encoding="utf-8")) for run in done}
    written = {run.folder: runs / run.folder / "log.csv" for run in planned}
    logs = {name: path.read_text(encoding="utf-8") for name, path in written.items() if path.exists()}
    with whole_file(out / PROGRESS) as draft:
        draft.write_text(json.dumps({"plan": plan.title, "finished": progress, "logs": logs}) + "\n", encoding="utf-8")


def take_over(plan: Plan, planned: Iterable[Run], runs: Path, weights: Path, leg: Path) -> None:
    """Take up what `hand_over` wrote; runs that are there already stay as they are.

    Raises:
        SystemExit: the leg is of another plan or of a trial, or lacks a generator that it says is done.
    """
    told = json.loads((leg / PROGRESS).read_text(encoding="utf-8"))
    if told["plan"] != plan.title:
        raise SystemExit(f"{leg}: is of the {told['plan']} plan; give it to a run of that plan")
    for run in planned:
        folder, done = runs / run.folder, told["finished"].get(run.folder)
        if done is None or is_done(folder):
            continue
        require_planned(plan, run, done, leg)
        generator = _part(leg, f"generators-{run.domain}", run.folder)
        if not generator:
            raise SystemExit(f"{leg}: no file has the generator of {run.folder}, which is said to be done; copy the leg as a whole")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.json").write_text(plan.recipe(run, runs).model_dump_json(), encoding="utf-8")
        (folder / "log.csv").write_text(told["logs"][run.folder], encoding="utf-8")
        _save(generator, folder / "weights.safetensors")
        discriminator = _part(leg, f"discriminators-{run.domain}", run.folder)
        if discriminator:
            _save(discriminator, folder / "discriminator.safetensors")
        (folder / "done.json").write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    weights.mkdir(parents=True, exist_ok=True)
    if (leg / DISTILLED).exists() and not (weights / DISTILLED).exists():
        copy(leg / DISTILLED, weights / DISTILLED)


def copy(source: Path, target: Path) -> None:
    """Copy a file; the target is there when it is whole, and not before."""
    with whole_file(target) as draft:
        shutil.copyfile(source, draft)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    with whole_file(path) as draft:
        save_file(tensors, draft)


def _gathered(chosen: Iterable[Run], runs: Path, name: str) -> dict[str, Tensor]:
    gathered = {}
    for run in chosen:
        path = runs / run.folder / f"{name}.safetensors"
        for key, value in (load_file(path) if path.exists() else {}).items():
            gathered[f"{run.folder}/{key}"] = value.half().contiguous() if value.is_floating_point() else value
    return gathered


def _part(leg: Path, kind: str, prefix: str) -> dict[str, Tensor]:
    """A run's tensors from whichever file of the kind has them: earlier legs had one for all seeds of a domain."""
    found: dict[str, Tensor] = {}
    for path in sorted(leg.glob(f"{kind}*.safetensors")):
        with safe_open(path, "pt") as file:
            names = [name for name in file.keys() if name.startswith(f"{prefix}/")]  # noqa: SIM118 - no mapping
            found |= {name.removeprefix(f"{prefix}/"): file.get_tensor(name) for name in names}
    return {name: value.float() if value.dtype == torch.float16 else value for name, value in found.items()}


def described(plan: Plan, done: Iterable[Run], runs: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Finished runs as rows of study-runs.csv (where its networks come from, say), and their losses as rows of study-log.csv."""
    about, logged = [], []
    for run in done:
        common = {"plan": plan.title, "domain": run.domain, "run": run.name, "seed": str(run.seed)}
        told = json.loads((runs / run.folder / "done.json").read_text(encoding="utf-8"))
        networks = "; ".join(f"{one['network']}: {one['weights']}" for one in told["perceptual"])
        about.append(common | {"steps": str(told["steps"]), "minutes": f"{told['seconds'] / 60:.1f}", "networks": networks})
        with (runs / run.folder / "log.csv").open(encoding="utf-8", newline="") as stream:
            logged += [common | {"step": row[0], "seconds": row[1], "terms": " ".join(row[2:])} for row in csv.reader(stream)]
    return about, logged
