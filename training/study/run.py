"""Train what is next in the study's plan, for a number of minutes, on whatever device is at hand.

    python training/study/run.py --data study-pack --out leg1 --minutes 9           a GPU: six runs beside each other
    python training/study/run.py --data study-pack --out leg2 --minutes 9           goes on; `--take leg1` on another machine
    python training/study/run.py --data study-pack --out evening1 --minutes 240 --reduced      two processor cores

`--data` is the folder or the archive that training/study/pack.py made. Runs lie in runs/study (or runs/study-reduced); a run that the end
of the time cuts off goes on from where it was, and one that is not needed any more is not kept. See docs/study.md.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import torch
from bank import load_bank, make_bank
from legs import hand_over, take_over
from plan import HERE, Plan, Run, read_plan
from trainer import is_done, train_run

SPARE = 25.0
"""Seconds kept for saving and for handing over."""
STAND_IN = "resnet152v2"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for what is finished: few files, none above 16 MiB")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--take", type=Path, help="folder of an earlier leg")
    parser.add_argument("--reduced", action="store_true", help="the plan for processor cores")
    parser.add_argument("--runs", type=Path, help="default: runs/study, or runs/study-reduced")
    parser.add_argument("--domain", action="append", help="default: all")
    parser.add_argument("--jobs", type=int, help="runs beside each other; default: six on a GPU, else one")
    parser.add_argument("--steps", type=int, help="of every run, for a trial")
    parser.add_argument("--pairs", type=int, help="of every bank, for a trial")
    parser.add_argument("--one", nargs=3, metavar=("DOMAIN", "RUN", "SEED"), help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def unpacked(data: Path, runs: Path) -> Path:
    """The folder of the data: an archive is unpacked among the runs, once."""
    if data.is_dir():
        return data
    folder = runs / "data"
    if not folder.exists():
        draft = runs / "data.part"
        with tarfile.open(data) as archive:
            archive.extractall(draft, filter="data")
        draft.replace(folder)
    return folder


def banks(plan: Plan, domains: tuple[str, ...], data: Path, runs: Path, *, pairs: int | None) -> None:
    """Make the training pairs of each domain, by all cores."""
    for domain in domains:
        recipe = plan.recipe(Run(domain, "start", plan.content["seeds"][0]), runs)
        count = pairs or plan.content["domains"][domain]["pairs"]
        started = time.monotonic()
        make_bank(recipe, data / "pictures", runs / f"bank-{domain}.npz", pairs=count, workers=max(1, (os.cpu_count() or 2) - 1))
        print(f"bank {domain}: {count} pairs, {time.monotonic() - started:.0f} s", flush=True)


def one(plan: Plan, run: Run, runs: Path, until: float) -> None:
    """What a process does: a run, and no other."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sources = plan.content["domains"][run.domain]["sources"]
    mirrored = all(source.get("turns", "all") != "none" for source in sources)
    bank = load_bank(runs / f"bank-{run.domain}.npz", device=torch.device(device), mirrored=mirrored)
    train_run(plan, run, runs, bank, device=device, until=until)


def start_process(arguments: argparse.Namespace, run: Run, until: float) -> subprocess.Popen[bytes]:
    """A process for a run, with a log of its own."""
    command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--one", run.domain, run.name, str(run.seed), "--until", str(until)]
    log = arguments.runs / run.folder / "output.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1"} if arguments.jobs > 1 else {}
    with log.open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ | threads)


def start_stand_in(plan: Plan, data: Path, weights: Path) -> subprocess.Popen[bytes]:
    """A process that distils ResNet152V2's stand-in."""
    settings = plan.content["distil"]
    folders = sorted({path.parent for path in (data / "pictures").rglob("*") if path.is_file()})
    pictures = [word for folder in folders for word in ("--pictures", str(folder))]
    command = [sys.executable, str(HERE.parent / "distil_resnet152v2.py"), str(weights), "--teacher", "vgg19"]
    command += ["--minutes", str(settings["minutes"]), "--batch", str(settings["batch"]), *pictures]
    environment = {key: value for key, value in os.environ.items() if key != "SR_GEO_DATA"}
    with (weights / "distil.txt").open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)


def lacks_stand_in(weights: Path, runs: list[Run], plan: Plan) -> bool:
    """Whether a run needs ResNet152V2 and neither Keras's file nor a finished stand-in is there."""
    needed = any(plan.content["runs"][run.name].get("needs") == STAND_IN for run in runs)
    return needed and not any(weights.glob("resnet152v2*"))


def ready(plan: Plan, run: Run, runs: Path, *, stand_in: bool) -> bool:
    """Whether a run can start: what it starts from is done, and its networks are there."""
    parent = plan.parent(run)
    return (parent is None or is_done(runs / parent.folder)) and (stand_in or plan.content["runs"][run.name].get("needs") != STAND_IN)


def reaped(busy: dict[Run, subprocess.Popen[bytes]], runs: Path) -> set[Run]:
    """Take out the processes that have ended, and say how; those that failed."""
    failed = set()
    for run, process in list(busy.items()):
        if process.poll() is None:
            continue
        del busy[run]
        if is_done(runs / run.folder):
            print(f"{run.folder}: done", flush=True)
        elif process.returncode:
            failed.add(run)
            print(f"{run.folder}: failed, see {runs / run.folder / 'output.txt'}", flush=True)
    return failed


def work(plan: Plan, planned: list[Run], arguments: argparse.Namespace, data: Path, until: float) -> None:
    """Keep `--jobs` processes busy until the time is up or nothing is left."""
    weights, runs = data / "weights", arguments.runs
    waiting = [run for run in planned if not is_done(runs / run.folder)]
    busy: dict[Run, subprocess.Popen[bytes]] = {}
    failed: set[Run] = set()
    lacking = lacks_stand_in(weights, waiting, plan)
    distilling = start_stand_in(plan, data, weights) if lacking and arguments.jobs > 1 else None
    while time.time() < until and (waiting or busy):
        failed |= reaped(busy, runs)
        if lacking and distilling is None and not busy and not any(ready(plan, run, runs, stand_in=False) for run in waiting):
            distilling = start_stand_in(plan, data, weights)  # one thing at a time on few cores
        stand_in = not lacking if distilling is None else distilling.poll() is not None
        for run in list(waiting):
            if len(busy) < arguments.jobs and time.time() < until - SPARE and ready(plan, run, runs, stand_in=stand_in):
                waiting.remove(run)
                busy[run] = start_process(arguments, run, until)
        time.sleep(0.5)
        if not busy and stand_in and not any(ready(plan, run, runs, stand_in=True) for run in waiting):
            break
    for process in busy.values():
        process.wait()  # they stop by themselves, having saved
    failed |= reaped(busy, runs)
    if distilling is not None and distilling.poll() is None:
        distilling.terminate()
        distilling.wait()
        for path in weights.glob("resnet152v2-distilled*"):
            path.unlink()  # unfinished: the next leg goes on from its state
    if failed:
        sys.exit(f"{len(failed)} run(s) failed")


def main() -> None:
    """Train for the time that the command line gives."""
    arguments = options()
    began = time.time()
    plan = read_plan(reduced=arguments.reduced, steps=arguments.steps)
    arguments.runs = arguments.runs or Path("runs") / ("study-reduced" if arguments.reduced else "study")
    arguments.runs.mkdir(parents=True, exist_ok=True)
    arguments.jobs = arguments.jobs or (6 if torch.cuda.is_available() else 1)
    data = unpacked(arguments.data, arguments.runs)
    os.environ["SR_GEO_WEIGHTS"] = str(data / "weights")
    if arguments.one:
        domain, name, seed = arguments.one
        one(plan, Run(domain, name, int(seed)), arguments.runs, arguments.until)
        return
    domains = tuple(arguments.domain or plan.domains)
    planned = plan.runs(domains)
    (data / "weights").mkdir(exist_ok=True)
    if arguments.take:
        take_over(plan, planned, arguments.runs, data / "weights", arguments.take)
    banks(plan, domains, data, arguments.runs, pairs=arguments.pairs)
    try:
        work(plan, planned, arguments, data, began + 60.0 * arguments.minutes - SPARE)
    finally:
        hand_over(plan, planned, arguments.runs, data / "weights", arguments.out)
        done = sum(is_done(arguments.runs / run.folder) for run in planned)
        print(f"{done} of {len(planned)} runs done, {time.time() - began:.0f} s; handed over in {arguments.out}", flush=True)


if __name__ == "__main__":
    main()
