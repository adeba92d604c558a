"""What the commands print with: words for people, lines for programs."""

import json
from collections.abc import Mapping

import click
from rich.console import Console
from rich.table import Table

# No markup: brackets and colons in the name of a file are meant as they stand.
ERR = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
OUT = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_table(table: Table) -> None:
    """A table as wide as the terminal, or 120 characters where there is none: a file or a pipe has no width of its own."""
    wide = Console(width=120, highlight=False, markup=False, emoji=False)
    (OUT if OUT.is_terminal else wide).print(table)


def json_line(content: Mapping[str, object]) -> None:
    """One JSON object on a line of standard output."""
    click.echo(json.dumps(content))


def duration(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any: ``3:07``, ``1:00:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def one_line(text: object) -> str:
    """The words of an error or warning without line breaks."""
    return " ".join(str(text).split())
