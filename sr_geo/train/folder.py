"""The folder of a run: what went in, what came out, and where it can be looked at."""

import csv
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open

from sr_geo.errors import TrainingError
from sr_geo.models.card import Leg
from sr_geo.train.export import sha256_of
from sr_geo.train.recipe import Recipe, dump_recipe, recipe_of_run
from sr_geo.train.samples.pool import Pool

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def describe(
    run: Path,
    recipe: Recipe,
    pools: Sequence[Pool],
    *,
    root: Path,
    networks: Sequence[Mapping[str, object]],
    start: str,
    legs: Sequence[Leg],
) -> None:
    """Write ``recipe.json``, ``recipe.yaml`` (every default written out) and ``data.json`` (files with hashes, commit, versions).

    Args:
        run: the folder.
        recipe: of the run.
        pools: imagery of training and validation.
        root: folder that its files are named relative to.
        networks: perceptual networks and the provenance of their weights.
        start: what the weights started from.
        legs: what they had gone through.
    """
    _write_recipe(run, recipe)
    files = sorted({path for pool in pools for path in pool.files})
    about = {
        "commit": commit_of(Path(__file__).parents[1]),
        "torch": torch.__version__,
        "start": start,
        "legs": [leg.model_dump() for leg in legs],
        "perceptual": list(networks),
        "files": {_below(root, path): sha256_of(path) for path in files},
        "skipped": {_below(root, skipped.path): skipped.reason for pool in pools for skipped in pool.skipped},
    }
    (run / "data.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def legs_of(run: Path) -> tuple[Leg, ...]:
    """What the weights of a run went through: the legs before it, and its own so far; empty where its folder does not tell."""
    with safe_open(run / "weights.safetensors", "pt") as file:
        header = file.metadata() or {}
    about = run / "data.json"
    if not about.exists() or "step" not in header:
        return ()
    told = json.loads(about.read_text(encoding="utf-8"))
    own = Leg(start=told.get("start", ""), steps=int(header["step"]), minutes=round(float(header["seconds"]) / 60.0, 1))
    return (*(Leg.model_validate(leg) for leg in told.get("legs", [])), own)


def _below(root: Path, path: Path) -> str:
    """Name of a file relative to the data's root: files of one name may lie in several folders."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def commit_of(package: Path) -> str:
    """Commit of the code in a folder, and whether it was changed since; empty where git does not keep it.

    An installed package may lie in an environment inside somebody's own repository, whose commit says nothing of it.
    """
    program = shutil.which("git")

    def git(*words: str) -> str:
        if program is None:
            return ""
        return subprocess.run([program, *words], cwd=package, capture_output=True, text=True, check=False).stdout.strip()

    head = git("rev-parse", "HEAD") if git("ls-files", "__init__.py") else ""
    return f"{head}, changed since" if head and git("status", "--porcelain", ".") else head


class Log:
    """``metrics.csv`` of the validations, and TensorBoard's files in ``log/`` of everything.

    Args:
        run: the folder.
        columns: names of the figures of a validation.
        kept: False for all but one of several processes: what they log goes nowhere.
    """

    def __init__(self, run: Path, columns: Sequence[str], *, kept: bool = True) -> None:
        self.run = run
        self.columns = ("step", "seconds", "loss", *columns)
        self._stream = (run / "metrics.csv" if kept else Path(os.devnull)).open("a", newline="", encoding="utf-8")
        self._table = csv.writer(self._stream)
        if self._stream.tell() == 0:
            self._table.writerow(self.columns)
        self._writer = _tensorboard(run / "log") if kept else None

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stream.close()
        if self._writer is not None:
            self._writer.close()

    def terms(self, step: int, terms: Mapping[str, float]) -> None:
        """The terms of the loss at a step."""
        if self._writer is not None:
            for name, value in terms.items():
                self._writer.add_scalar(f"loss/{name}", value, step)

    def validation(self, step: int, seconds: float, loss: float, figures: Sequence[float]) -> None:
        """A row of the table."""
        self._table.writerow([step, round(seconds, 1), "" if math.isnan(loss) else f"{loss:.5f}", *(f"{value:.3f}" for value in figures)])
        self._stream.flush()
        if self._writer is not None:
            for name, value in zip(self.columns[3:], figures, strict=True):
                self._writer.add_scalar(f"validation/{name}", value, step)


def _tensorboard(folder: Path) -> "SummaryWriter | None":
    """TensorBoard's writer; None where tensorboard is not installed: nothing else depends on it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))


Changes = Mapping[str, tuple[object, object]]
"""Keys of a recipe that are not what they were: before and now."""

_FREE = re.compile(r"loop\.(?!optimiser$).*|title|limits|licence|leaning|interpolate.*|(sources|validation)\.\d+\.(name|licence)")
"""Keys of a recipe that a run may go on with changed: how long and how fast, and words."""


def take(run: Path, recipe: Recipe, *, resume: bool) -> Changes:
    """Make the folder of a run, or make sure that the recipe may go on with the run in it.

    Returns:
        For a run that goes on what has changed in its recipe.

    Raises:
        TrainingError: it holds a run already and it is not to go on, the run is another one, or the folder cannot be written.
    """
    if run.exists() and (not run.is_dir() or any(run.iterdir())) and not resume:
        raise TrainingError(f"{run}: holds a run already; go on with it (--resume) or name another folder (--run)")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{run}: cannot be made ({error.strerror}); name another folder (--run)") from error
    if not (run / "recipe.json").exists() or not (run / "state.safetensors").exists():
        return {}
    before = recipe_of_run(run)
    changed = find_changes(before, recipe)
    fixed = [key for key in changed if not _FREE.fullmatch(key)]
    if recipe.losses.adversarial is not None and recipe.losses.adversarial.discriminator.family == "vgg":
        fixed += [key for key in changed if key in ("loop.patch", "loop.border")]  # the discriminator is made for one size
    if fixed:
        was, now = changed[fixed[0]]
        more = f" (and {len(fixed) - 1} more: {', '.join(fixed[1:4])})" if len(fixed) > 1 else ""
        raise TrainingError(
            f"{run}: {fixed[0]} was {was}, now it is {now}{more}; --resume needs the same recipe and --set, only loop and words "
            "may change: repeat them, or start another run (--run DIR)"
        )
    return changed


def find_changes(before: Recipe, now: Recipe) -> Changes:
    """Keys whose values differ, such as ``loop.iterations``."""
    one, other = (dict(_flat(recipe.model_dump(mode="json"))) for recipe in (before, now))
    return {key: (one.get(key), other.get(key)) for key in {**one, **other} if one.get(key) != other.get(key)}


def _flat(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Keys and values of nested mappings, and of lists of mappings."""
    inner: Iterable[tuple[object, object]] | None = None
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        inner = enumerate(value)
    if inner is None:
        yield key, value
        return
    for name, item in inner:
        yield from _flat(item, f"{key}.{name}" if key else str(name))


def note_resumed(run: Path, recipe: Recipe, changed: Changes, *, step: int) -> None:
    """Let the folder say what a run that goes on goes on with; nothing is written where nothing has changed."""
    if not changed:
        return
    about = json.loads((run / "data.json").read_text(encoding="utf-8"))
    about.setdefault("resumed", []).append({"step": step, "changed": {key: list(values) for key, values in changed.items()}})
    (run / "data.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_recipe(run, recipe)


def _write_recipe(run: Path, recipe: Recipe) -> None:
    (run / "recipe.json").write_text(recipe.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (run / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
