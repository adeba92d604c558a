"""What a leg of the study hands over: generators in halves, what stage 3 starts from, logs; few files, none large."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from plan import Plan, Run
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from trainer import is_done

PROGRESS = "progress.json"


def hand_over(plan: Plan, planned: Iterable[Run], runs: Path, weights: Path, out: Path) -> None:
    """Write all that is finished into `out`: it, the pictures and the weights are enough to go on elsewhere."""
    out.mkdir(parents=True, exist_ok=True)
    planned = list(planned)
    finished = [run for run in planned if is_done(runs / run.folder)]
    progress = {run.folder: json.loads((runs / run.folder / "done.json").read_text(encoding="utf-8")) for run in finished}
    written = {run.folder: runs / run.folder / "log.csv" for run in planned}
    logs = {name: path.read_text(encoding="utf-8") for name, path in written.items() if path.exists()}
    (out / PROGRESS).write_text(json.dumps({"plan": plan.title, "finished": progress, "logs": logs}) + "\n", encoding="utf-8")
    for domain in plan.domains:
        nets = _gathered((run for run in finished if run.domain == domain), runs, "weights")
        if nets:
            save_file(nets, out / f"generators-{domain}.safetensors")
        waiting = {plan.parent(run) for run in planned if run.domain == domain and run not in finished}
        judges = _gathered((run for run in finished if run in waiting and run.name == "esrgan"), runs, "discriminator")
        if judges:
            save_file(judges, out / f"discriminators-{domain}.safetensors")
    for path in weights.glob("resnet152v2-distilled.safetensors"):
        (out / path.name).write_bytes(path.read_bytes())


def take_over(plan: Plan, planned: Iterable[Run], runs: Path, weights: Path, leg: Path) -> None:
    """Take up what `hand_over` wrote; runs that are there already stay as they are."""
    told = json.loads((leg / PROGRESS).read_text(encoding="utf-8"))
    if told["plan"] != plan.title:
        raise SystemExit(f"{leg}: is of the {told['plan']} plan; give it to a run of that plan")
    for run in planned:
        folder, done = runs / run.folder, told["finished"].get(run.folder)
        if done is None or is_done(folder):
            continue
        recipe = plan.recipe(run, runs)
        (folder / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
        (folder / "log.csv").write_text(told["logs"][run.folder], encoding="utf-8")
        for kind, name in (("generators", "weights"), ("discriminators", "discriminator")):
            tensors = _part(leg / f"{kind}-{run.domain}.safetensors", run.folder)
            if tensors:
                save_file(tensors, folder / f"{name}.safetensors")
        (folder / "done.json").write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    weights.mkdir(parents=True, exist_ok=True)
    for path in leg.glob("resnet152v2-distilled.safetensors"):
        if not (weights / path.name).exists():
            (weights / path.name).write_bytes(path.read_bytes())


def _gathered(chosen: Iterable[Run], runs: Path, name: str) -> dict[str, Tensor]:
    gathered = {}
    for run in chosen:
        path = runs / run.folder / f"{name}.safetensors"
        for key, value in (load_file(path) if path.exists() else {}).items():
            gathered[f"{run.folder}/{key}"] = value.half().contiguous() if value.is_floating_point() else value
    return gathered


def _part(path: Path, prefix: str) -> dict[str, Tensor]:
    if not path.exists():
        return {}
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(f"{prefix}/")]  # noqa: SIM118 - no mapping
        found = {name.removeprefix(f"{prefix}/"): file.get_tensor(name) for name in names}
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
