"""Which files belong to a source: glob patterns, narrowed to one split of a table."""

import csv
from collections.abc import Sequence
from pathlib import Path

from sr_geo.errors import TrainingDataError
from sr_geo.train.samples.sections import FileSource


def find_files(patterns: Sequence[str], root: Path, *, source: str) -> list[Path]:
    """Files that match, pattern by pattern, each pattern's sorted, no file twice.

    Raises:
        TrainingDataError: nothing matches.
    """
    found = [path for pattern in patterns for path in sorted(_glob(root, pattern)) if path.is_file()]
    if not found:
        raise TrainingDataError(f"source {source}: no file matches {list(patterns)} below {root}; set SR_GEO_DATA or --data")
    return list(dict.fromkeys(found))


def list_files(source: FileSource, root: Path) -> list[Path]:
    """Files of the source that its split allows.

    Raises:
        TrainingDataError: no file matches, the table cannot be read, has no such split, or does not list a file.
    """
    found = find_files(source.files, root, source=source.name)
    if source.labels is None:
        return found
    table = root / source.labels
    splits = _read_table(table, source.name)
    if source.split not in splits.values():
        known = ", ".join(sorted(set(splits.values())))
        raise TrainingDataError(f"source {source.name}: {table} has no split {source.split}; it has {known}")
    unlisted = [path for path in found if path not in splits and path != table]
    if unlisted:
        raise TrainingDataError(
            f"source {source.name}: {table} does not list {unlisted[0]} ({len(unlisted)} such file(s)): "
            "whether it may be trained on is unknown; add it to the table or narrow the pattern"
        )
    kept = [path for path in found if splits.get(path) == source.split]
    if not kept:
        raise TrainingDataError(f"source {source.name}: none of the {len(found)} file(s) that match is in split {source.split} of {table}")
    return kept


def _glob(root: Path, pattern: str) -> list[Path]:
    """Matches below `root`; an absolute pattern is taken as it is."""
    path = Path(pattern)
    if not path.is_absolute():
        return list(root.glob(pattern))
    anchor = Path(path.anchor)
    return list(anchor.glob(str(path.relative_to(anchor))))


def _read_table(table: Path, source: str) -> dict[Path, str]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            missing = {"file", "split"} - set(rows.fieldnames or ())
            if missing:
                raise TrainingDataError(f"source {source}: {table} has no column {' and no column '.join(sorted(missing))}")
            return {table.parent / row["file"]: row["split"] for row in rows}
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"source {source}: {table} cannot be read: {error}") from error
