"""The folder of a run: what went in, what came out, and where it can be looked at."""

import csv
import json
import math
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import torch

from sr_geo.errors import TrainingError
from sr_geo.train.export import sha256_of
from sr_geo.train.recipe import Recipe, dump_recipe
from sr_geo.train.samples.pool import Pool

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def describe(run: Path, recipe: Recipe, pools: Sequence[Pool], *, networks: Sequence[Mapping[str, object]], start: str) -> None:
    """Write ``recipe.json``, ``recipe.yaml`` (every default written out) and ``data.json`` (files with hashes, commit, versions).

    Args:
        run: the folder.
        recipe: of the run.
        pools: imagery of training and validation.
        networks: perceptual networks and the provenance of their weights.
        start: what the weights started from.
    """
    (run / "recipe.json").write_text(recipe.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (run / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    files = sorted({path for pool in pools for path in pool.files})
    about = {
        "commit": _commit(),
        "torch": torch.__version__,
        "start": start,
        "perceptual": list(networks),
        "files": {path.name: sha256_of(path) for path in files},
        "skipped": {skipped.path.name: skipped.reason for pool in pools for skipped in pool.skipped},
    }
    (run / "data.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _commit() -> str:
    """Commit of the code, empty where it is not under git."""
    here = Path(__file__).parent
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


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


def take(run: Path, *, resume: bool) -> None:
    """Make the folder of a run.

    Raises:
        TrainingError: it holds a run already and it is not to go on, or it cannot be written.
    """
    if run.exists() and (not run.is_dir() or any(run.iterdir())) and not resume:
        raise TrainingError(f"{run}: holds a run already; go on with it (--resume) or name another folder (--run)")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"{run}: cannot be made ({error.strerror}); name another folder (--run)") from error
