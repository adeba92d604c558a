"""Train what is next in the study's plan, for a number of minutes, on whatever device is at hand.

    python training/study/run.py --data study-pack --out leg1 --minutes 9           a GPU: six runs beside each other
    python training/study/run.py --data study-pack --out leg2 --minutes 9           goes on; `--take leg1` on another machine
    python training/study/run.py --data study-pack --out evening1 --minutes 240 --reduced      two processor cores

`--data` is the folder or the archive that training/study/pack.py made. Runs lie in runs/study (or runs/study-reduced); a run that the end
of the time cuts off goes on from where it was, and one that is not needed any more is not kept. A trial with `--steps` or `--pairs` needs
folders of its own (`--runs`, `--out`): where its runs and banks lie, those of the plan are refused. Several may be started on one `--runs`,
say one for each domain: what they share is made by one of them, and a run is trained by one at a time. See docs/study.md.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import torch
from bank import load_bank, make_bank
from legs import copy, hand_over, take_over
from plan import HERE, Plan, Run, read_plan
from trainer import finished, is_done, train_run

from sr_geo.raster.lock import take_lock
from sr_geo.train.perceptual.weights import DISTILLED

SPARE = 25.0
"""Seconds kept for saving and for handing over."""
STAND_IN = "resnet152v2"
LOCK = "lock"


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
    parser.add_argument("--steps", type=int, help="of every run, for a trial with a --runs of its own")
    parser.add_argument("--pairs", type=int, help="of every bank, for a trial with a --runs of its own")
    parser.add_argument("--one", nargs=3, metavar=("DOMAIN", "RUN", "SEED"), help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock, once whoever has it lets go."""
    while True:
        try:
            lock = take_lock(path)
        except BlockingIOError:
            time.sleep(0.5)
        else:
            break
    with lock:
        yield


def unpacked(data: Path, runs: Path) -> Path:
    """The folder of the data: an archive is unpacked among the runs, once."""
    if data.is_dir():
        return data
    folder = runs / "data"
    with held(runs / LOCK):
        if not folder.exists():
            draft = runs / "data.part"
            with tarfile.open(data) as archive:
                archive.extractall(draft, filter="data")
            draft.replace(folder)
    return folder


def banks(plan: Plan, domains: tuple[str, ...], data: Path, runs: Path) -> None:
    """Make the training pairs of each domain, by all cores."""
    for domain in domains:
        recipe = plan.recipe(Run(domain, "start", plan.content["seeds"][0]), runs)
        count = plan.pairs(domain)
        started = time.monotonic()
        make_bank(recipe, data / "pictures", runs / f"bank-{domain}.npz", pairs=count, workers=max(1, (os.cpu_count() or 2) - 1))
        print(f"bank {domain}: {count} pairs, {time.monotonic() - started:.0f} s", flush=True)


def one(plan: Plan, run: Run, runs: Path, until: float) -> None:
    """What a process does: a run, and no other.

    Raises:
        SystemExit: another process is at it.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    sources = plan.content["domains"][run.domain]["sources"]
    mirrored = all(source.get("turns", "all") != "none" for source in sources)
    bank = load_bank(runs / f"bank-{run.domain}.npz", device=torch.device(device), mirrored=mirrored)
    try:
        lock = take_lock(runs / run.folder / LOCK)
    except BlockingIOError as error:
        raise SystemExit(f"{runs / run.folder}: another process trains it; wait for it, or give other domains or another --runs") from error
    with lock:
        if not is_done(runs / run.folder):  # another process may just have come to its end
            train_run(plan, run, runs, bank, device=device, until=until)


def start_process(arguments: argparse.Namespace, run: Run, until: float) -> subprocess.Popen[bytes]:
    """A process for a run, with a log of its own."""
    command = [sys.executable, str(Path(__file__)), *sys.argv[1:], "--one", run.domain, run.name, str(run.seed), "--until", str(until)]
    log = arguments.runs / run.folder / "output.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": "1"} if arguments.jobs > 1 else {}
    with log.open("ab") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=os.environ | threads)


@dataclass(slots=True)
class StandIn:
    """ResNet152V2's stand-in, distilled by a process of its own in a folder of its own: among the weights it is when it is finished."""

    plan: Plan
    data: Path
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    lock: FileIO | None = None

    def start(self) -> None:
        """Distil, or go on; where another driver is at it already, leave it to that one."""
        try:
            self.lock = take_lock(self.folder / LOCK)
        except BlockingIOError:
            return
        settings = self.plan.content["distil"]
        folders = sorted({path.parent for path in (self.data / "pictures").rglob("*") if path.is_file()})
        pictures = [word for folder in folders for word in ("--pictures", str(folder))]
        command = [sys.executable, str(HERE.parent / "distil_resnet152v2.py"), str(self.folder), "--teacher", "vgg19"]
        command += ["--minutes", str(settings["minutes"]), "--batch", str(settings["batch"]), *pictures]
        environment = {key: value for key, value in os.environ.items() if key != "SR_GEO_DATA"}
        with (self.folder / "output.txt").open("ab") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)

    def settled(self) -> set[str]:
        """Where the process has ended well, put what it made among the weights; its name where it failed."""
        if self.process is None or self.process.poll() is None:
            return set()
        failed = self.process.returncode != 0
        if failed:
            print(f"{STAND_IN}: not distilled, see {self.folder / 'output.txt'}; runs that need it are left out", flush=True)
        else:
            copy(self.folder / DISTILLED, self.data / "weights" / DISTILLED)
        self._let_go()
        return {STAND_IN} if failed else set()

    def stop(self) -> None:
        """End the process, if it is not at its end: it goes on from its last state another time."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self._let_go()

    def _let_go(self) -> None:
        self.process = None
        if self.lock is not None:
            self.lock.close()


def needs_stand_in(plan: Plan, run: Run) -> bool:
    """Whether a run's loss looks through ResNet152V2."""
    return bool(plan.content["runs"][run.name].get("needs") == STAND_IN)


def lacks_stand_in(weights: Path, runs: Sequence[Run], plan: Plan) -> bool:
    """Whether a run needs ResNet152V2 and neither Keras's file nor a finished stand-in is there."""
    found = any(path.suffix in {".h5", ".safetensors"} for path in weights.glob(f"{STAND_IN}*"))
    return not found and any(needs_stand_in(plan, run) for run in runs)


def ready(plan: Plan, run: Run, runs: Path, *, stand_in: bool) -> bool:
    """Whether a run can start: what it starts from is done, and its networks are there."""
    parent = plan.parent(run)
    return (parent is None or is_done(runs / parent.folder)) and (stand_in or not needs_stand_in(plan, run))


def reaped(busy: dict[Run, subprocess.Popen[bytes]], runs: Path) -> set[str]:
    """Take out the processes that have ended, and say how; the folders of those that failed."""
    failed = set()
    for run, process in list(busy.items()):
        if process.poll() is None:
            continue
        del busy[run]
        if is_done(runs / run.folder):
            print(f"{run.folder}: done", flush=True)
        elif process.returncode:
            failed.add(run.folder)
            print(f"{run.folder}: failed, see {runs / run.folder / 'output.txt'}", flush=True)
    return failed


def may_distil(plan: Plan, waiting: Sequence[Run], busy: Collection[Run], runs: Path, *, jobs: int) -> bool:
    """Whether to distil now: with one job only where nothing else can run and something waits for the stand-in."""
    without, with_it = (any(ready(plan, run, runs, stand_in=there) for run in waiting) for there in (False, True))
    return with_it and (jobs > 1 or not (busy or without))


def work(plan: Plan, planned: list[Run], arguments: argparse.Namespace, data: Path, until: float) -> set[str]:
    """Keep `--jobs` processes busy until the time is up or nothing is left; what failed."""
    weights, runs = data / "weights", arguments.runs
    waiting = [run for run in planned if not is_done(runs / run.folder)]
    busy: dict[Run, subprocess.Popen[bytes]] = {}
    failed: set[str] = set()
    stand_in = StandIn(plan, data, runs / "stand-in")
    try:
        while time.time() < until and (waiting or busy):
            failed |= reaped(busy, runs) | stand_in.settled()
            if STAND_IN in failed:
                waiting = [run for run in waiting if not needs_stand_in(plan, run)]
            lacking = lacks_stand_in(weights, waiting, plan)
            if lacking and stand_in.process is None and may_distil(plan, waiting, busy, runs, jobs=arguments.jobs):
                stand_in.start()
            for run in list(waiting):
                if len(busy) < arguments.jobs and time.time() < until - SPARE and ready(plan, run, runs, stand_in=not lacking):
                    waiting.remove(run)
                    busy[run] = start_process(arguments, run, until)
            time.sleep(0.5)
            if not (busy or stand_in.process or any(ready(plan, run, runs, stand_in=True) for run in waiting)):
                break
        for process in busy.values():
            process.wait()  # they stop by themselves, having saved
        return failed | reaped(busy, runs) | stand_in.settled()
    finally:
        for process in busy.values():
            process.terminate()  # this one was interrupted
        stand_in.stop()


def main() -> None:
    """Train for the time that the command line gives."""
    arguments = options()
    began = time.time()
    plan = read_plan(reduced=arguments.reduced, steps=arguments.steps, pairs=arguments.pairs)
    arguments.runs = arguments.runs or Path("runs") / ("study-reduced" if arguments.reduced else "study")
    arguments.runs.mkdir(parents=True, exist_ok=True)
    arguments.jobs = arguments.jobs or (6 if torch.cuda.is_available() else 1)
    data = unpacked(arguments.data, arguments.runs)
    weights = data / "weights"
    os.environ["SR_GEO_WEIGHTS"] = str(weights)
    if arguments.one:
        domain, name, seed = arguments.one
        one(plan, Run(domain, name, int(seed)), arguments.runs, arguments.until)
        return
    domains = tuple(arguments.domain or plan.domains)
    everything, planned = plan.runs(plan.domains), plan.runs(domains)
    weights.mkdir(exist_ok=True)
    with held(arguments.runs / LOCK):
        finished(plan, everything, arguments.runs)  # refuses those of a trial
        if arguments.take:
            take_over(plan, planned, arguments.runs, weights, arguments.take)
        banks(plan, domains, data, arguments.runs)
    try:
        failed = work(plan, planned, arguments, data, began + 60.0 * arguments.minutes - SPARE)
    finally:
        with held(arguments.runs / LOCK):  # all that is finished, whichever driver did it: they may hand over into one folder
            hand_over(plan, everything, arguments.runs, weights, arguments.out)
        done = sum(is_done(arguments.runs / run.folder) for run in planned)
        print(f"{done} of {len(planned)} runs done, {time.time() - began:.0f} s; handed over in {arguments.out}", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(sorted(failed))}")


if __name__ == "__main__":
    main()
