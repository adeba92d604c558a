"""Measure all finished runs of the study on the test splits: a table and a plot.

    python training/study/evaluate.py --data DIR --leg leg1 --leg leg2            from what legs handed over
    python training/study/evaluate.py --data DIR --pictures 12                    of the runs in runs/study, few pictures

Writes training/results/study.csv, system by system (a row for each test set, system, seed and judge: means over the pictures), and
study.png. Rows that are not measured now stay, but for those of another plan in a domain that is; `--run srgan --seed 1` measures that
alone. training/study/tables.py makes the page's tables of it. Needs the extras `train`, `identify` and `eval`; runs on a CPU. Columns:
PSNR in dB and SSIM (peak 1, 4 pixels at the edge left out), LPIPS, DISTS, `features` (the distance of
VGG19's features before their last activation, as the loss has it), the share that each judge identifies, and how many pictures it
gained and lost against bicubic interpolation (empty in rows of before that was counted). Plates are also counted among those whose truth
is read (rows of before that was counted lack it). The runs themselves go into study-runs.csv (a row for each: steps, minutes, where its
networks come from) and study-log.csv (the terms of its loss). Runs of a trial are refused.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from legs import PROGRESS, described, take_over
from plan import HERE, Plan, Run, read_plan
from safetensors.torch import load_file
from tables import NAMES, STAND_IN, Row, of_one_plan, read, replaced, write
from trainer import finished

from sr_geo.quality.dists import dists
from sr_geo.quality.identify import compare, share
from sr_geo.quality.identify_networks import Descriptor, Faces, patch_descriptors
from sr_geo.quality.lpips import lpips
from sr_geo.quality.metrics import psnr, ssim
from sr_geo.radiometry import Float
from sr_geo.train.perceptual import build_perceptual
from sr_geo.train.start import build

sys.path.insert(0, str(HERE.parent))
import benchmark_identify as tests

EDGE = 4
AROUND = 12
"""Input pixels of mirror image around a picture, so that the network does not see its edge."""
FIGURES = ("psnr", "ssim", "lpips", "dists", "features")
COLUMNS = ("plan", "domain", "test", "system", "seed", "pictures", *FIGURES, "judge", "identified", "low", "high", "gained", "lost")
RUN_COLUMNS = ("plan", "domain", "run", "seed", "steps", "minutes", "networks")
LOG_COLUMNS = ("plan", "domain", "run", "seed", "step", "seconds", "terms")


@dataclass(frozen=True, slots=True)
class Test:
    """Pictures of a domain at one size, and how they are identified."""

    name: str
    domain: str
    kind: str
    """Of `benchmark_identify`."""
    side: int
    sigma: float = 0.0


TESTS = (
    *(Test(f"satellite σ {sigma}", "satellite", "satellite", 36, sigma) for sigma in (1.2, 1.6, 2.0)),
    Test("X-rays and CT", "medical", "medical", 100),
    Test("plates, 48 px wide", "plates-faces", "plate", 48),
    Test("faces, 25 px", "plates-faces", "face", 25),
)
Method = Callable[[Float], Float]


def generator(plan: Plan, run: Run, runs: Path) -> Method:
    """A trained generator as a function on ``(3, h, w)``, 0…1; a gray one works on the luminance."""
    recipe = plan.recipe(run, runs)
    net = build(recipe.model, sees_blur=False).eval()
    net.load_state_dict(load_file(runs / run.folder / "weights.safetensors"))
    gray = recipe.model.bands == ("gray",)

    def enlarge(low: Float) -> Float:
        x = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), low, 1)[None] if gray else low
        x = np.pad(x, ((0, 0), (AROUND, AROUND), (AROUND, AROUND)), mode="symmetric")
        with torch.no_grad():
            fine = net(torch.from_numpy(x)[None].float())[0].numpy()
        cut = AROUND * recipe.model.scale
        inner = np.clip(fine[:, cut:-cut, cut:-cut], 0.0, 1.0)
        return np.repeat(inner, 3, axis=0) if gray else inner

    return enlarge


def measure(truths: list[tests.Truth], pictures: list[Float], features: Callable[[Float, Float], float]) -> dict[str, float]:
    """Means over pictures."""
    found = []
    for truth, picture in zip(truths, pictures, strict=True):
        a, b = (np.ascontiguousarray(x.astype(np.float32)) for x in (truth.picture, picture))
        looks = (lpips(a, b), dists(a, b)) if min(a.shape[1:]) >= 35 else (np.nan, np.nan)
        exact = psnr(a, b, data_range=1.0, border=EDGE).together, ssim(a, b, data_range=1.0, border=EDGE).together
        found.append((*exact, *looks, features(a, b)))
    return {name: round(float(value), 5) for name, value in zip(FIGURES, np.nanmean(np.array(found), axis=0), strict=True)}


def judge(kind: str, truths: list[tests.Truth], pictures: list[Float], readable: list[bool]) -> dict[str, list[bool]]:
    """Identified or not, for each judge and each picture; `readable`: of plates, whether the truth is read."""
    if kind == "plate":
        read = tests.by_reading(truths, pictures)
        among = [hit for hit, known in zip(read, readable, strict=True) if known]
        return {"reader": read} | ({"reader, of those whose truth it reads": among} if among else {})
    judges: tuple[Descriptor, ...] = (Faces(),) if kind == "face" else patch_descriptors()
    return {one.name: tests.by_descriptor(kind, truths, pictures, one) for one in judges}


def verdict(name: str, before: list[bool], hits: list[bool]) -> dict[str, object]:
    """The columns of a judge: the share, its interval, and what changed against bicubic interpolation."""
    of, change = share(hits), compare(before, hits)
    low, high = of.interval
    figures = {"judge": name, "identified": round(of.value, 4), "low": round(low, 4), "high": round(high, 4)}
    return figures | {"gained": change.gained, "lost": change.lost}


def rows(plan: Plan, done: list[Run], runs: Path, data: Path, *, most: int) -> Iterator[list[Row]]:
    """The rows of a test, system and seed, one for each judge; bicubic first in each test."""
    term = build_perceptual("vgg19", bands=("red", "green", "blue"), units="unit").eval()

    def features(a: Float, b: Float) -> float:
        with torch.no_grad():
            return float(term(torch.from_numpy(b)[None], torch.from_numpy(a)[None]))

    for test in TESTS:
        chosen = [run for run in done if run.domain == test.domain]
        if not chosen:
            continue
        truths = tests.truths(test.kind, data, test.side)
        truths = truths[:: max(1, -(-len(truths) // most))]
        readable = tests.by_reading(truths, [truth.picture for truth in truths]) if test.kind == "plate" else []
        inputs = [tests.coarse(test.kind, truth.picture, sigma=test.sigma) for truth in truths]
        methods: list[tuple[str, int, Method]] = [("bicubic", 0, tests.bicubic)]
        methods += [(named(run, runs), run.seed, generator(plan, run, runs)) for run in chosen]
        before: dict[str, list[bool]] = {}
        for system, seed, method in methods:
            pictures = [method(low) for low in inputs]
            hits = judge(test.kind, truths, pictures, readable)
            before = before or hits
            common = {"plan": plan.title, "domain": test.domain, "test": test.name, "system": system, "seed": seed}
            figures = common | {"pictures": len(truths)} | measure(truths, pictures, features)
            found = [figures | verdict(name, before[name], each) for name, each in hits.items()]
            yield [{column: str(value) for column, value in row.items()} for row in found]


def named(run: Run, runs: Path) -> str:
    """What the table calls a run."""
    told = json.loads((runs / run.folder / "done.json").read_text(encoding="utf-8"))["perceptual"]
    distilled = any(one["network"] == run.name and one["weights"].startswith("distilled from") for one in told)
    return f"{NAMES.get(run.name, run.name)}{STAND_IN * distilled}"


def record(plan: Plan, done: list[Run], runs: Path, table: Path) -> None:
    """Put the runs themselves and their losses into study-runs.csv and study-log.csv, beside the table and named after it."""
    domains = {run.domain for run in done}
    for name, columns, about in zip(("runs", "log"), (RUN_COLUMNS, LOG_COLUMNS), described(plan, done, runs), strict=True):
        path = table.with_name(f"{table.stem}-{name}.csv")
        write(path, columns, replaced(of_one_plan(read(path), plan.title, domains), about, RUN_COLUMNS[:4]))


def in_order(found: Iterable[Row]) -> list[Row]:
    """Rows by test and system as they are named above, then by seed."""
    tests_in_order, systems = [test.name for test in TESTS], ["bicubic", *NAMES.values()]

    def place(row: Row) -> tuple[int, int, int]:
        return tests_in_order.index(row["test"]), systems.index(row["system"].removesuffix(STAND_IN)), int(row["seed"])

    return sorted(found, key=place)


def draw(table: Path, target: Path) -> None:
    """Perception against distortion, a panel a test; spread over seeds as bars."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = read(table)
    names = list(dict.fromkeys(row["test"] for row in found))
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure, grid = plt.subplots(down, across, figsize=(3.6 * across, 3.3 * down + 0.4), squeeze=False, layout="constrained")
    axes = grid.ravel()
    for unused in axes[len(names) :]:
        unused.set_axis_off()
    systems = list(dict.fromkeys(row["system"] for row in found))
    for axis, name in zip(axes, names, strict=False):
        for number, system in enumerate(systems):
            seeds = {row["seed"]: row for row in found if row["test"] == name and row["system"] == system}.values()
            if not seeds:
                continue
            x, y = (np.array([float(row[column]) for row in seeds]) for column in ("psnr", "lpips"))
            axis.errorbar(x.mean(), y.mean(), xerr=np.ptp(x) / 2, yerr=np.ptp(y) / 2, fmt="o", color=f"C{number}", label=system)
        axis.set(title=name, xlabel="PSNR, dB", ylabel="LPIPS, lower is better")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=-(-len(systems) // 2), frameon=False)
    figure.savefig(target, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SR_GEO_DATA"), required="SR_GEO_DATA" not in os.environ)
    parser.add_argument("--leg", type=Path, action="append", default=[], help="what a leg handed over; the last has all")
    parser.add_argument("--runs", type=Path, help="default: runs/study, or runs/study-reduced")
    parser.add_argument("--reduced", action="store_true")
    parser.add_argument("--domain", action="append", help="default: all of which a run is done")
    parser.add_argument("--run", action="append", choices=tuple(NAMES), help="default: all that are done")
    parser.add_argument("--seed", action="append", type=int, help="default: all of the plan")
    parser.add_argument("--pictures", type=int, default=40, help="of a test at most")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "training/results/study.csv")
    given = parser.parse_args()
    plan = read_plan(reduced=given.reduced)
    planned = plan.runs(tuple(given.domain or plan.domains))
    with tempfile.TemporaryDirectory() as scratch:
        runs = Path(scratch) if given.leg else given.runs or Path("runs") / ("study-reduced" if given.reduced else "study")
        for leg in given.leg:
            told = json.loads((leg / PROGRESS).read_text(encoding="utf-8"))
            print(f"{leg}: {len(told['finished'])} runs")
            take_over(plan, planned, runs, runs / "weights", leg)
        done = finished(plan, planned, runs)
        done = [run for run in done if run.name in (given.run or NAMES) and run.seed in (given.seed or plan.content["seeds"])]
        if not done:
            raise SystemExit(f"{runs}: no such run is done; run training/study/run.py first")
        given.out.parent.mkdir(parents=True, exist_ok=True)
        table = of_one_plan(read(given.out), plan.title, {run.domain for run in done})
        counts = {row["test"]: row["pictures"] for row in table}
        for found in rows(plan, done, runs, given.data, most=given.pictures):
            test, pictures = found[0]["test"], found[0]["pictures"]
            if counts.setdefault(test, pictures) != pictures:  # means over other pictures do not compare
                raise SystemExit(f"{test}: {counts[test]} pictures in {given.out}, now {pictures}; give --pictures as then, or --out")
            table = replaced(table, found, ("test", "system", "seed"))
            write(given.out, COLUMNS, in_order(table))  # what is measured is kept, should the rest be stopped
            for row in found:
                print(*row.values(), flush=True)
        record(plan, done, runs, given.out)
    draw(given.out, given.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
