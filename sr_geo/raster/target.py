"""The place of an output: whether it may be written there, and whether there is room."""

import os
import shutil
from pathlib import Path

from sr_geo.errors import OutputError
from sr_geo.files import reason_of

SIDECARS = (".aux.xml", ".ovr", ".msk")
"""What GDAL keeps beside a file called name.tif as name.tif.ovr …; those of a file that is replaced go with it."""


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists or whose folder cannot take it, before any work is done.

    Raises:
        OutputError: with what to do.
    """
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # too long, or with characters that no name can hold
        raise OutputError(f"{path}: cannot be the name of a file ({reason_of(error)}); choose another name") from error
    if exists and not overwrite:
        raise OutputError(f"{path}: exists already; choose another name or add --overwrite")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder, expected the name of a file")
    parent = path.parent
    if not parent.is_dir():
        raise OutputError(f"{parent}: no such folder; create it or choose another one")
    try:
        probe = parent / f".{path.name}.{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{parent}: cannot be written to ({error.strerror}); choose another folder") from error


def check_room(folder: Path, needed: int) -> None:
    """Refuse a run whose result cannot fit, before any work is done.

    Args:
        folder: where it is to lie.
        needed: bytes that are not there yet.

    Raises:
        OutputError: with what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder}: {_size(needed)} are needed while the run goes on, {_size(free)} are free; make room or choose another disk"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
