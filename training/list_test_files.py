"""List the hashes of everything that models are tested on, so that a test can hold the data lists of all runs against them.

    python training/list_test_files.py --data DIR        writes training/results/test-files.txt

A file is test material as a whole where its folder is for evaluation alone, or where the table of its folder gives it to the
split `test`. Rasters of which some rows or columns are for testing cannot be told apart by their hash: for those
tests/test_held_out.py looks at the rows and columns that the recipe of each run states.

Hashes are the first 16 hexadecimal digits of SHA-256, enough to tell a thousand files apart, and stand without the names of the files:
those of plates are their texts.
"""

import argparse
import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "training" / "results" / "test-files.txt"
DIGITS = 16

CLOSED = (
    "benchmark",
    "plates",
    "medical/dicom",
    "satellite/pairs",
    "satellite/sentinel2",
    "satellite/landsat/stars_L7_ETMs_6band.tif",
)
"""Folders and files that are for evaluation alone."""
TABLES = ("medical/labels.csv", "faces/labels.csv")
"""Tables with a column `split`, by patient and by person."""
BESIDE = {".csv", ".md", ".txt"}
"""Files that describe others."""


def test_files(data: Path) -> Iterator[tuple[str, Path]]:
    """The part of the data and the file, for everything that is test material as a whole."""
    for part in CLOSED:
        found = [data / part] if (data / part).is_file() else sorted((data / part).rglob("*"))
        yield from ((part, path) for path in found if path.is_file() and path.suffix not in BESIDE)
    for table in TABLES:
        folder = (data / table).parent
        with (data / table).open(encoding="utf-8", newline="") as stream:
            named = sorted(row["file"] for row in csv.DictReader(stream) if row["split"] == "test")
        yield from ((f"{folder.name}, split test", folder / file) for file in named if (folder / file).is_file())


def hash_of(path: Path) -> str:
    """The first digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]


def listing(data: Path) -> str:
    """The list as text: a heading for each part, a hash on each line."""
    hashes: dict[str, set[str]] = {}
    for part, path in test_files(data):
        hashes.setdefault(part, set()).add(hash_of(path))
    lines = [line for part, each in hashes.items() for line in (f"# {part}: {len(each)}", *sorted(each))]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=LIST)
    given = parser.parse_args()
    given.out.write_text(listing(given.data), encoding="utf-8")


if __name__ == "__main__":
    main()
