"""How far a run is: a bar on a terminal, JSON lines for programs, or nothing. Shared by all commands that take long."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from sr_geo.cli.terminal import ERR, duration, json_line

if TYPE_CHECKING:
    from sr_geo.raster.options import Progress
    from sr_geo.train.loop import Progress as TrainingProgress

STAGES = {"enhance": "Enhancing", "measure": "Measuring parcels", "check": "Checking", "write": "Writing"}

progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "json", "none"]),
    default="auto",
    show_default=True,
    help="auto: a bar on a terminal; json: one object a line, for programs; none: silence.",
)


@contextmanager
def enhancing(how: str) -> Iterator[Callable[["Progress"], None]]:
    """What to call after every tile of a run.

    Args:
        how: ``auto``, ``json`` or ``none``.
    """
    with _bars(how) as bar:

        def show(progress: "Progress") -> None:
            if how == "json":
                left = None if progress.seconds_left is None else round(progress.seconds_left, 1)
                json_line({"done": progress.done, "total": progress.total, "stage": progress.stage, "seconds_left": left})
            elif bar is not None:
                words = "" if not progress.seconds_left else f"{duration(progress.seconds_left)} left"
                bar.show(STAGES.get(progress.stage, progress.stage), progress.done, progress.total, words)

        yield show


@contextmanager
def training(how: str) -> Iterator[Callable[["TrainingProgress"], None]]:
    """What to call after every step of a training run. Without a terminal, ``auto`` prints a line at each validation."""
    with _bars(how) as bar:

        def show(progress: "TrainingProgress") -> None:
            loss = None if math.isnan(progress.loss) else progress.loss
            figured = [] if loss is None else [f"loss {loss:.4f}"]
            figured += [] if progress.gain_db is None else [f"{progress.gain_db:+.2f} dB over bicubic"]
            if how == "json":
                figures = {"loss": loss, "gain_db": progress.gain_db}
                json_line({"done": progress.step, "total": progress.iterations, "stage": "train", **figures})
            elif bar is not None:
                left = [] if math.isnan(progress.seconds_left) else [f"{duration(progress.seconds_left)} left"]
                bar.show("Training", progress.step, progress.iterations, ", ".join([*left, *figured]))
            elif how == "auto" and progress.gain_db is not None:
                ERR.print(f"step {progress.step} of {progress.iterations}: {', '.join(figured)}")

        yield show


class _Bars:
    """A bar for each stage of a run."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.stages: dict[str, TaskID] = {}

    def show(self, stage: str, done: int, total: int, left: str) -> None:
        if stage not in self.stages:
            self.stages[stage] = self.bar.add_task(stage, total=total, left="")
        self.bar.update(self.stages[stage], completed=done, total=total, left=left)


@contextmanager
def _bars(how: str) -> Iterator[_Bars | None]:
    """Bars that vanish at the end; None where nobody looks."""
    if how != "auto" or not ERR.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    with Bar(*columns, console=ERR, transient=True) as bar:
        yield _Bars(bar)
