"""Tables of results as CSV: read, rows put in the place of what they were, written whole or not at all."""

import csv
from collections.abc import Iterable, Sequence
from operator import itemgetter
from pathlib import Path

from sr_geo.files import whole_file

Row = dict[str, object]


def read_rows(path: Path) -> list[Row]:
    """The rows of a table, as text; none where there is no file yet."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return [dict(row) for row in csv.DictReader(stream)]


def put(table: Iterable[Row], fresh: Iterable[Row], key: Sequence[str]) -> list[Row]:
    """The table with fresh rows in the place of those with the same `key`, or behind the others that share the first part of it."""
    of = itemgetter(*key)
    known: dict[object, Row] = {}
    for row in (*table, *fresh):
        known[of(row)] = row
    groups = dict.fromkeys(row[key[0]] for row in known.values())
    return [row for group in groups for row in known.values() if row[key[0]] == group]


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table; what was there stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, columns, lineterminator="\n", restval="")
        table.writeheader()
        table.writerows(rows)
