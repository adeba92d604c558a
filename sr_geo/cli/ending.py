"""How a command ends: every error becomes one line on standard error and an exit code, here and nowhere else.

0: done. 1: failed. 2: wrong use. 130: stopped by Ctrl-C or a polite kill.
"""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from sr_geo.cli.terminal import ERR, one_line
from sr_geo.errors import OptionError, SrGeoError

_RESUMABLE = ("enhance", "train")

_NO_ARGUMENTS: tuple[type[click.UsageError], ...] = (
    (click.exceptions.NoArgsIsHelpError,) if hasattr(click.exceptions, "NoArgsIsHelpError") else ()
)
"""Raised since click 8.2 for a group without a command; earlier ones print the help themselves."""


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Run a command line and say what went wrong, if anything did; the exit code.

    Args:
        command: of click.
        arguments: without the name of the program. ``--debug`` among them, anywhere, shows tracebacks.
    """
    debug = "--debug" in arguments
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # the rest of its arguments are not needed
    signal.signal(signal.SIGTERM, _stop)
    try:
        code = command.main([word for word in arguments if word != "--debug"], prog_name="sr-geo", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, click.Abort):
        resumes = any(name in arguments for name in _RESUMABLE) and "new-region" not in arguments
        ERR.print("stopped; the same command with --resume goes on where this one ended" if resumes else "stopped")
        return 130
    except BrokenPipeError:  # `sr-geo … | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, _NO_ARGUMENTS):
            error.show()
            return error.exit_code
        if debug and not isinstance(error, click.ClickException):
            traceback.print_exc()
        code, text = judge(error)
        ERR.print(f"error: {text}")
        return code


def judge(error: Exception) -> tuple[int, str]:
    """Exit code and line of an error."""
    notes: list[str] = getattr(error, "__notes__", [])
    words = "; ".join([one_line(error) or "no further word", *notes])
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = "sr-geo" if context is None else context.command_path
        return error.exit_code, f"{one_line(error.format_message())} (see `{path} --help`)"
    if isinstance(error, OptionError):
        return 2, words
    if isinstance(error, SrGeoError | OSError):
        return 1, words
    if isinstance(error, ModuleNotFoundError):
        return 1, f"the package {error.name} is not installed; `sr-geo doctor` names the command that adds it"
    # The last resort: no traceback reaches a user who did not ask for one.
    return 1, f"{type(error).__name__}: {words} (unexpected: run again with --debug and report it)"


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    if category.__module__.startswith("sr_geo"):
        ERR.print(f"warning: {one_line(message)}")


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt
