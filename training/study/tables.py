"""Tables for docs/study.md, made of training/results/study.csv: means over seeds with their spread, and differences to the control.

    python training/study/tables.py                         all tests, as Markdown
    python training/study/tables.py --table other.csv

A figure is the mean over seeds; behind ± stands half of the range between the least and the greatest, where there is more than one seed.
Differences to the control are formed within each seed, which starts all of them from the same ESRGAN, and only then averaged.
Pictures that a judge gained and lost against bicubic interpolation are counted for each seed, a figure each. Systems and judges for which
there are none are left out; a line behind the table names those for which they were not counted, as in earlier rows they were not.
"""

import argparse
import csv
from collections.abc import Collection, Sequence
from operator import itemgetter
from pathlib import Path

from sr_geo.files import whole_file

FIGURES = {"psnr": 2, "ssim": 3, "lpips": 3, "dists": 3, "features": 3}
"""Columns, and their decimals."""
NAMES = {"start": "L1 only", "srgan": "SRGAN", "esrgan": "ESRGAN", "control": "ESRGAN, further steps", "vgg19": "+ VGG19"} | {
    "mobilenetv2": "+ MobileNetV2",
    "resnet152v2": "+ ResNet152V2",
}
"""What the table calls the plan's runs, in the order of its lines."""
STAND_IN = " (stand-in)"
"""What is added to the name of a system whose added CNN has weights that were distilled from another one's."""
CONTROL = NAMES["control"]
AGAINST = ("psnr", "lpips", "dists")
ADDED = "+ "
"""What the names of systems with one more CNN begin with."""
Row = dict[str, str]


def spread(values: Sequence[float], decimals: int, *, signed: bool = False) -> str:
    """The mean, and half of the range where there is one."""
    mean = f"{sum(values) / len(values):{'+' if signed else ''}.{decimals}f}".replace("-", "−")
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.{decimals}f}"


def by_seed(rows: Sequence[Row]) -> dict[str, Row]:
    """A row of each seed; the judges' rows of a seed have the same figures."""
    return {row["seed"]: row for row in rows}


def identified(rows: Sequence[Row], judges: Sequence[str]) -> list[str]:
    """For each judge the share with its 95 % interval; of several seeds the means of these, which are no narrower, and the share of each.

    Where the judge was asked about fewer seeds than were measured, how many they are.
    """
    cells, measured = [], len(by_seed(rows))
    for judge in judges:
        found = [row for row in rows if row["judge"] == judge]
        if not found:
            cells.append("–")
            continue
        share, low, high = (sum(float(row[name]) for row in found) / len(found) for name in ("identified", "low", "high"))
        each = "/".join(f"{100 * float(row['identified']):.0f}" for row in found)
        seeds = "" if len(found) == 1 else f"; {each}"
        of = "" if len(found) == measured else f", {len(found)} of {measured} seeds"
        cells.append(f"{100 * share:.0f} % ({100 * low:.0f}–{100 * high:.0f}{seeds}){of}")
    return cells


def figures(rows: Sequence[Row]) -> list[str]:
    """The table of a test: a line for each system."""
    judges = list(dict.fromkeys(row["judge"] for row in rows))
    lines = [f"| system | seeds | PSNR | SSIM | LPIPS | DISTS | features | {' | '.join(f'by {judge}' for judge in judges)} |"]
    lines.append("| --- " * (7 + len(judges)) + "|")
    for system in dict.fromkeys(row["system"] for row in rows):
        chosen = [row for row in rows if row["system"] == system]
        seeds = by_seed(chosen)
        cells = [spread([float(row[name]) for row in seeds.values()], decimals) for name, decimals in FIGURES.items()]
        count = "–" if system == "bicubic" else str(len(seeds))
        lines.append(f"| {' | '.join([system, count, *cells, *identified(chosen, judges)])} |")
    return lines


def differences(rows: Sequence[Row]) -> list[list[str]]:
    """What each added CNN changes against the control of the same seed: a row of cells for each system."""
    control = by_seed([row for row in rows if row["system"] == CONTROL])
    cells = []
    for system in dict.fromkeys(row["system"] for row in rows if row["system"].startswith(ADDED)):
        ours = by_seed([row for row in rows if row["system"] == system])
        both = sorted(ours.keys() & control.keys())
        if both:
            changes = ([float(ours[seed][name]) - float(control[seed][name]) for seed in both] for name in AGAINST)
            told = (spread(change, FIGURES[name], signed=True) for name, change in zip(AGAINST, changes, strict=True))
            cells.append([system, str(len(both)), *told])
    return cells


def changed(rows: Sequence[Row]) -> list[list[str]]:
    """Pictures that a judge identifies and did not from bicubic interpolation, and the other way, seed by seed: cells for each system."""
    cells = []
    for judge, system in dict.fromkeys((row["judge"], row["system"]) for row in rows if row["system"] != "bicubic"):
        found = [row for row in rows if (row["judge"], row["system"]) == (judge, system) and row.get("gained")]
        if any(int(row["gained"]) or int(row["lost"]) for row in found):
            cells.append([judge, system, str(len(found)), *("/".join(row[name] for row in found) for name in ("gained", "lost"))])
    return cells


def uncounted(rows: Sequence[Row]) -> list[str]:
    """The seeds for which `changed` knows nothing, which is not none; of which systems and judges, where it is not all."""
    told = []
    for seed in sorted({row["seed"] for row in rows}, key=int):
        ours = [row for row in rows if row["seed"] == seed and row["system"] != "bicubic"]
        lacking = [row for row in ours if not row.get("gained")]
        named = ", ".join(f"{row['system']} by {row['judge']}" for row in lacking)
        if lacking:
            told.append(f"seed {seed}" if lacking == ours else f"seed {seed} ({named})")
    return told


def read(path: Path) -> list[Row]:
    """The rows of a table; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a table, whole or not at all."""
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def replaced(table: Sequence[Row], rows: Sequence[Row], key: Sequence[str]) -> list[Row]:
    """The table with `rows` at its end, in place of those that are equal to one of them in all columns of `key`."""
    of = itemgetter(*key)
    ours = {of(row) for row in rows}
    return [*(row for row in table if of(row) not in ours), *rows]


def of_one_plan(table: Sequence[Row], plan: str, domains: Collection[str]) -> list[Row]:
    """Without the rows of other plans in these domains: plans are not mixed within a domain."""
    return [row for row in table if row["domain"] not in domains or row["plan"] == plan]


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=Path(__file__).resolve().parents[1] / "results" / "study.csv")
    found = read(parser.parse_args().table)
    tests = {name: [row for row in found if row["test"] == name] for name in dict.fromkeys(row["test"] for row in found)}
    print("| test | system | seeds | PSNR | LPIPS | DISTS |\n| --- | --- | --- | --- | --- | --- |")
    for name, rows in tests.items():
        for cells in differences(rows):
            print(f"| {name} | {' | '.join(cells)} |")
    print("\n| test | judge | system | seeds | gained | lost |\n| --- | --- | --- | --- | --- | --- |")
    for name, rows in tests.items():
        for cells in changed(rows):
            print(f"| {name} | {' | '.join(cells)} |")
    unknown = [f"{name}: {', '.join(told)}" for name, rows in tests.items() if (told := uncounted(rows))]
    if unknown:
        print(f"\nNot counted: {'; '.join(unknown)}.")
    for name, rows in tests.items():
        print(f"\n{name}:\n")
        print("\n".join(figures(rows)))


if __name__ == "__main__":
    main()
