"""Every cell of a documented table is what the file says that it was made of, rounded as it is shown.

Tables are found by the names of their columns, and rows of the files by their labels: rows and columns that a file gets later, and other
tables, change nothing here. A label or a column of a checked table that nothing is known about fails; name it in the dictionaries below.
"""

import csv
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from sr_geo.quality.identify import chance

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "training" / "results"
Row = dict[str, str]


@dataclass(frozen=True)
class Table:
    """A table of a page."""

    above: tuple[str, ...]
    """Lines of text before it on the page."""
    lines: tuple[str, ...]

    @property
    def header(self) -> list[str]:
        return split(self.lines[0])

    @property
    def rows(self) -> list[list[str]]:
        return [split(line) for line in self.lines[2:]]


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the values that it should show."""

    row: str
    column: str
    shown: str
    values: tuple[float, ...]

    def is_right(self) -> bool:
        numbers = list(re.finditer(r"[+−-]?\d+(?:\.(\d+))?", self.shown))
        return len(numbers) == len(self.values) and all(
            abs(float(number[0].replace("−", "-")) - value) <= 0.5 * 10.0 ** -len(number[1] or "") + 1e-9
            for number, value in zip(numbers, self.values, strict=True)
        )


def split(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]


def tables(page: str) -> list[Table]:
    """All of a page, without what stands in fences."""
    above: list[str] = []
    found: list[Table] = []
    lines: list[str] = []
    for line in [*re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE).splitlines(), ""]:
        if line.startswith("|"):
            lines.append(line)
            continue
        if lines:
            found.append(Table(tuple(above), tuple(lines)))
            lines = []
        if line.strip():
            above.append(line)
    return found


def tables_of(name: str) -> list[Table]:
    return tables((REPOSITORY / name).read_text(encoding="utf-8"))


@cache
def read(name: str) -> tuple[Row, ...]:
    with (RESULTS / name).open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


@cache
def the_one(name: str, **wanted: str) -> Row:
    """The only row of a file with these entries."""
    found = [row for row in read(name) if wanted.items() <= row.items()]
    assert len(found) == 1, f"{name} has {len(found)} rows with {wanted}"
    return found[0]


def known(names: Mapping[str, str], name: str) -> str:
    assert name in names, f"this test does not know {name!r}; it knows {', '.join(names)}"
    return names[name]


# docs/identify.md and docs/image.md: identification.csv

KINDS = {
    "X-rays and CT": "medical",
    "farmland": "satellite",
    "faces, own picture": "face",
    "faces, another picture of the person": "face-person",
    "plates whose truth is read": "plate",
    "rendered plates whose truth is read": "plate-rendered",
}
DEFAULTS = {"medical": "medical-gray-x4", "satellite": "satellite-rgb-x4", "face": "face-rgb-x4", "plate": "plate-rgb-x4"}


def identification(table: Table) -> Iterator[Cell]:
    """Shares with their intervals by the size of the input."""
    if table.header[:3] != ["pictures", "judge", "input"]:
        return
    for label, judge, side, *cells in table.rows:
        kind, _, count = label.rpartition(" (")
        domain = known(KINDS, kind)
        default = DEFAULTS[domain.partition("-")[0]]
        methods = {"bicubic": "bicubic", "default model": default, "leaning to perception": default.replace("-x4", "-perceptual-x4")}
        readable = ", readable" if kind.endswith("is read") else ""
        for column, shown in zip(table.header[3:], cells, strict=True):
            row = the_one("identification.csv", domain=domain, side=side, by=judge, method=known(methods, column) + readable)
            hits, of, low, high = (float(row[name]) for name in ("hits", "count", "low", "high"))
            where = f"{label}, {judge}, {side}"
            yield Cell(where, "count", count, (of,))
            yield Cell(where, column, shown, (100.0 * hits / of, 100.0 * low, 100.0 * high))
            gained, lost = int(row["gained"]), int(row["lost"])
            beyond_chance = chance(gained, lost) < 0.01
            assert shown.startswith("**") == (beyond_chance and gained > lost), f"{where}, {column}"
            assert shown.endswith("▼") == (beyond_chance and gained < lost), f"{where}, {column}"


def reading(table: Table) -> Iterator[Cell]:
    """Real plates that are read exactly."""
    if "as it was" not in table.header:
        return
    for label, *cells in table.rows:
        method = ""
        for column, shown in zip(table.header[1:], cells, strict=True):
            changes = column == "turned right, turned wrong"  # by the model of the column before
            if not changes:
                method = {"as it was": "truth", "bicubic interpolation": "bicubic"}.get(column, column.strip("`"))
            row = the_one("identification.csv", domain="plate", side=label.removesuffix(" pixels"), by="reader", method=method)
            columns = ("gained", "lost") if changes else ("hits", "count") if " of " in shown else ("hits",)
            yield Cell(label, column, shown, tuple(float(row[name]) for name in columns))


# docs/quality.md: pictures.csv, peers.csv, sets.csv, satellite-*.csv

MEASURES = {
    "PSNR": "psnr_db",
    "PSNR in dB": "psnr_db",
    "gain": "gain_db",
    "gain in PSNR": "gain_db",
    "SSIM": "ssim",
    "LPIPS": "lpips",
    "DISTS": "dists",
    "seen again, DN": "seen_again",
    "3 × 3 pixels:": "ndvi3_rmse",
    "10 × 10 pixels:": "ndvi10_rmse",
    "zonal 3 × 3:": "zonal3_mae",
    "improvement": "im",
    "omission": "om",
    "hallucination": "ha",
}
METHODS = {
    "bicubic": "bicubic",
    "Lanczos": "lanczos3",
    "input raster": "input",
    "SR Geo": "network",
    "interpolation, held": "bicubic+psf",
    "default model": "network",
    "leaning to perception": "perceptual",
}
"""What columns of tables call the methods of pictures.csv and satellite-*.csv."""


def measured(header: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Of each column its title, its measure, which one that only names a method takes from the column before, and the methods it names."""
    measure = ""
    for title in header:
        if title == "with `--fidelity 0`":
            yield title, "gain_db", ["fidelity 0"]
            continue
        name = max((name for name in MEASURES if re.match(rf"{re.escape(name)}(?!\w)", title)), key=len, default="")
        measure = MEASURES[name] if name else measure
        named = title.removeprefix(name).strip(" ,")
        yield title, measure, [known(METHODS, method) for method in named.split(" → ")] if named else []


def own_method(table: Table) -> str:
    """Of columns that name no method."""
    return "perceptual" if "leaning to perception" in table.header else "network"


TEST_SETS = {
    "Chest X-rays (CR)": "CR",
    "Chest X-ray (DX)": "DX",
    "CT slices": "CT",
    "Faces": "people of the test split",
    "Real plates": "real plates",
    "Set5": "Set5",
    "Set14": "Set14",
}
INPUTS = {"bicubic reduction": "bicubic", "as trained": "trained"}


def pictures(table: Table) -> Iterator[Cell]:
    """X-rays, faces, plates and photos."""
    if table.header[:2] != ["test pictures", "input"]:
        return
    for label, made, *cells in table.rows:
        name, _, count = label.rpartition(", ")
        where = {"test_set": known(TEST_SETS, name), "input": known(INPUTS, made)}
        for (title, measure, methods), shown in zip(measured(table.header[2:]), cells, strict=True):
            if shown == "not held":
                assert not any(row["method"] == "fidelity 0" and where.items() <= row.items() for row in read("pictures.csv"))
                continue
            rows = [the_one("pictures.csv", method=method, **where) for method in methods or [own_method(table)]]
            yield from (Cell(f"{label}, {made}", "count", count, (float(row["pictures"]),)) for row in rows)
            yield Cell(f"{label}, {made}", title, shown, tuple(float(row[measure]) for row in rows))


def counts(row: Row) -> tuple[float, ...]:
    """Pictures, and of whom where several are of one."""
    return tuple(float(row[name]) for name in ("pictures", "subjects")[: 2 - (row["subjects"] == row["pictures"])])


def peers(table: Table) -> Iterator[Cell]:
    """Beside published networks: a cell has several measures, which the text above the table names."""
    if not {"test pictures", "RealSR DF2K"} <= set(table.header):
        return

    def plain(name: str) -> str:
        named = re.sub(r"sr-geo \((.*?)\)", lambda model: f"SR Geo{' leaning to perception' * ('perceptual' in model[1])}", name)
        return re.sub(r"[^a-z0-9]", "", named.lower())

    *_, named = re.findall(r"PSNR in dB(?: / [A-Z]\w*)+", "\n".join(table.above))
    measures = [known(MEASURES, name) for name in named.split(" / ")]
    for label, *cells in table.rows:
        name, _, count = label.rpartition(", ")
        for column, shown in zip(table.header[1:], cells, strict=True):
            wanted = plain("lanczos3" if column == "Lanczos" else column)
            rows = [row for row in read("peers.csv") if row["test_set"] == name and plain(row["method"]) == wanted]
            assert len(rows) == 1, f"peers.csv has {len(rows)} rows that are {column!r} of {name!r}"
            yield Cell(label, "count", count, counts(rows[0]))
            yield Cell(label, column, shown, tuple(float(rows[0][measure]) for measure in measures))


def beyond(table: Table) -> Iterator[Cell]:
    """What is ahead of RealSR-DF2K, picture by picture: means and their intervals."""
    if table.header != ["test pictures", "SR Geo: PSNR", "LPIPS", "SR Geo, leaning to perception: PSNR", "LPIPS"]:
        return
    for label, *cells in table.rows:
        name, _, count = label.rpartition(", ")
        ours = [row for row in read("peers.csv") if row["test_set"] == name and row["method"].startswith("sr-geo")]
        default, leaning = sorted(ours, key=lambda row: "perceptual" in row["method"])
        yield Cell(label, "count", count, counts(default))
        for row, measure, shown in zip((default, default, leaning, leaning), ("psnr_db", "lpips") * 2, cells, strict=True):
            ends = ("", "_low", "_high") if row[f"{measure}_beyond_low"] else ("",)  # of one patient there is no interval
            yield Cell(label, measure, shown, tuple(float(row[f"{measure}_beyond{end}"]) for end in ends))


def sets(table: Table) -> Iterator[Cell]:
    """Set5 and Set14 as papers measure them; what others published is in no file."""
    if table.header != ["", "Set5", "Set14"]:
        return
    for label, *cells in table.rows:
        if "published" in label:
            continue
        model = re.match(r"`([^`]+)`", label)
        for test_set, shown in zip(table.header[1:], cells, strict=True):
            row = the_one("sets.csv", test_set=test_set, method=f"sr-geo ({model[1]})" if model else label)
            yield Cell(label, test_set, shown, (float(row["psnr_y_db"]), float(row["ssim_y"])))


SOURCES = {
    "NAIP": "naip",
    "Sentinel-2, Segura valley, Spain": "spain",
    "Sentinel-2, Jutland, Denmark": "denmark",
    "Landsat 8 reflectance": "agnet",
    "Landsat 8 level 1": "lc08",
}


def satellites(table: Table) -> Iterator[Cell]:
    """Rasters by the blur, on the default path; with three bands or four, as their sources tell."""
    if table.header[:2] != ["test imagery", "σ"]:
        return
    labels: list[str] = []
    for row in table.rows:  # an empty one stands for that of the row before
        labels.append(known(SOURCES, next((name for name in SOURCES if row[0].startswith(name)), row[0])) if row[0] else labels[-1])
    bands = next(name for name in ("rgb", "rgbn") if set(labels) <= {row["source"] for row in read(f"satellite-{name}-x4.csv")})
    told = int("told" in table.header)
    for source, (_, sigma, *cells) in zip(labels, table.rows, strict=True):
        for (title, measure, methods), shown in zip(measured(table.header[2 + told :]), cells[told:], strict=True):
            values = []
            for method in methods or [own_method(table)]:
                file = f"satellite-{bands}{'-perceptual' * (method == 'perceptual')}-x4.csv"
                path = "network+psf" if method in {"network", "perceptual"} else method
                given = cells[0] if told and path == "network+psf" else sigma
                values.append(float(the_one(file, source=source, sigma=sigma, sigma_given=given, method=path)[measure]))
            yield Cell(f"{source}, {sigma}", title, shown, tuple(values))


Check = Callable[[Table], Iterator[Cell]]
CHECKS: list[tuple[str, Check, int]] = [
    ("docs/identify.md", identification, 120),
    ("docs/image.md", reading, 16),
    ("docs/quality.md", pictures, 100),
    ("docs/quality.md", peers, 40),
    ("docs/quality.md", beyond, 35),
    ("docs/quality.md", sets, 4),
    ("docs/quality.md", satellites, 150),
]
"""Pages, what is checked on them, and how many cells are found at the least: where no table is found, nothing is checked."""
every_check = pytest.mark.parametrize(("name", "check", "least"), CHECKS, ids=[check.__name__ for _, check, _ in CHECKS])


@every_check
def test_cells_are_what_was_measured(name: str, check: Check, least: int) -> None:
    cells = [cell for table in tables_of(name) for cell in check(table)]
    assert len(cells) >= least
    assert list(dict.fromkeys(cell for cell in cells if not cell.is_right())) == []


# docs/study.md: what training/study/tables.py makes of study.csv


@cache
def made_of_the_study() -> tuple[tuple[str, ...], ...]:
    """The tables that the script prints; and those of one test set at several blurs as one table, with the blur in front of each line."""
    command = [sys.executable, "-X", "utf8", REPOSITORY / "training" / "study" / "tables.py", "--table", RESULTS / "study.csv"]
    found = tables(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)
    blurred: list[str] = []
    for table in found:
        sigma = re.search(r" σ (\S+):$", table.above[-1]) if table.above else None
        if sigma:
            head, rule, *lines = table.lines
            blurred += [] if blurred else [f"| σ {head}", f"| --- {rule}"]
            blurred += [f"| {sigma[1]} {line}" for line in lines]
    return (*(table.lines for table in found), tuple(blurred))


def of_the_study(found: Sequence[Table]) -> list[Table]:
    return [table for table in found if {"system", "seeds"} <= set(table.header)]


def test_tables_of_the_study_are_those_of_its_script() -> None:
    shown = of_the_study(tables_of("docs/study.md"))
    assert len(shown) >= 4
    made = {line for lines in made_of_the_study() for line in lines}
    assert [line for table in shown for line in table.lines if line not in made] == [], "take over what training/study/tables.py prints"
    assert [table.lines[:3] for table in shown if table.lines not in made_of_the_study()] == [], "lines are missing or in another order"


# What finds nothing wrong must be able to.


def alterations(table: Table) -> Iterator[tuple[str, Table]]:
    """The table with the last digit of a cell changed by five (of a half both roundings are right): each cell but the first of a row."""
    for number, line in enumerate(table.lines[2:], start=2):
        cells = split(line)
        for column in range(1, len(cells)):
            other = re.sub(r"\d(?=\D*$)", lambda digit: str((int(digit[0]) + 5) % 10), cells[column])
            if other != cells[column]:
                lines = list(table.lines)
                lines[number] = f"| {' | '.join([*cells[:column], other, *cells[column + 1 :]])} |"
                yield f"{cells[0]}: {cells[column]} as {other}", replace(table, lines=tuple(lines))


def finds_no_fault(check: Check, table: Table) -> bool:
    try:
        return all(cell.is_right() for cell in check(table))
    except AssertionError:
        return False


@every_check
def test_an_altered_cell_is_found(name: str, check: Check, least: int) -> None:
    checked = [table for table in tables_of(name) if any(True for _ in check(table))]
    others = [other for table in checked for other in alterations(table)]
    assert len(others) >= least // 2
    assert [what for what, other in others if "published" not in what and finds_no_fault(check, other)] == []


def test_an_altered_line_of_the_study_is_found() -> None:
    others = [other for table in of_the_study(tables_of("docs/study.md")) for other in alterations(table)]
    assert others
    assert [what for what, other in others if other.lines in made_of_the_study()] == []


def test_numbers_are_compared_as_they_are_shown() -> None:
    assert Cell("", "", "**+1.59**", (1.594,)).is_right()
    assert Cell("", "", "−0.49 → 3 % (1–15)", (-0.4949, 3.03, 0.54, 15.32)).is_right()
    assert not Cell("", "", "1.59", (1.596,)).is_right()
    assert not Cell("", "", "0.49", (-0.49,)).is_right()
    assert not Cell("", "", "3 %", (3.0, 1.0)).is_right()
