# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where Python interpreters lie on Linux, macOS and Windows. Nothing here is run; `environment.host_pythons` asks each what it is.

`sys.executable` is no guide: inside QGIS it is QGIS itself, or whatever ``python3`` comes first on PATH.
"""

from __future__ import annotations

import glob
import ntpath
import posixpath
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sr_geo_plugin.environment import Host

Glob = Callable[[str], "list[str]"]

_NEWEST = 14
"""Of the releases 3.10 … 3.14: the newest with wheels of everything that SR Geo needs."""


def candidates(host: Host, base_prefix: str | None = None, find: Glob | None = None, registered: list[str] | None = None) -> Iterator[Path]:
    """Files that may be an interpreter or uv, best first; some may be too old, or no Python at all.

    QGIS's own Python comes last: what it was built with may lack what an environment needs.

    Args:
        host: the machine.
        base_prefix: of QGIS's own Python; default: `sys.base_prefix`.
        find: lists the files that match a pattern; default: those of this machine.
        registered: interpreters in the registry of Windows; default: those of this machine.
    """
    find = find or _find
    prefix = base_prefix or sys.base_prefix
    if host.system == "Windows":
        names = _windows(host, prefix, find, _registry() if registered is None else registered)
    else:
        names = _unix(host, prefix, find)
    met: set[str] = set()
    for name in names:
        if name not in met:
            met.add(name)
            yield Path(name)


def _find(pattern: str) -> list[str]:
    return glob.glob(pattern)  # noqa: PTH207 - of names, which tests answer for other systems


def _newest_first(names: list[str]) -> list[str]:
    """By the numbers in the names: 3.13 before 3.9."""

    def numbers(name: str) -> list[int]:
        return [int(word) for word in "".join(letter if letter.isdigit() else " " for letter in name).split()]

    return sorted(names, key=numbers, reverse=True)


def _unix(host: Host, prefix: str, find: Glob) -> Iterator[str]:
    mac = host.system == "Darwin"
    folders = [folder for folder in host.environ.get("PATH", "").split(":") if folder.startswith("/")]
    usual = ["/opt/homebrew/bin", "/usr/local/bin"] if mac else ["/usr/local/bin", "/usr/bin"]
    uv = [posixpath.join(host.home, ".local/bin"), posixpath.join(host.home, ".cargo/bin"), *folders, *usual]
    inside = ".app/Contents"  # of QGIS.app, whose folders may come first on PATH
    names = [f"python3.{minor}" for minor in range(_NEWEST, 9, -1)]
    for folder in [*usual, *folders]:
        if inside not in folder and not (mac and folder == "/usr/bin"):  # there, Apple's stub opens a dialogue
            for name in names:
                yield from find(posixpath.join(glob.escape(folder), name))
    if mac:
        yield from _newest_first(find("/Library/Frameworks/Python.framework/Versions/3.*/bin/python3"))
    yield from _newest_first(find(posixpath.join(glob.escape(host.home), ".pyenv/versions/3.*/bin/python3")))
    for folder in uv:
        yield from find(posixpath.join(glob.escape(folder), "uv"))
    for name in ("python3", *names):
        yield from find(posixpath.join(glob.escape(prefix), "bin", name))


def _windows(host: Host, prefix: str, find: Glob, registered: list[str]) -> Iterator[str]:
    join, environ = ntpath.join, host.environ
    local = environ.get("LOCALAPPDATA") or join(host.home, "AppData", "Local")
    yield from _newest_first(registered)
    yield from _newest_first(find(join(local, "Programs", "Python", "Python3*", "python.exe")))
    for name in ("ProgramFiles", "ProgramW6432"):
        if environ.get(name):
            yield from _newest_first(find(join(environ[name], "Python3*", "python.exe")))
    for folder in (join(host.home, ".local", "bin"), join(host.home, ".cargo", "bin"), *environ.get("PATH", "").split(";")):
        if folder:
            yield from find(join(folder, "uv.exe"))
    for folder in environ.get("PATH", "").split(";"):
        if folder and "WindowsApps" not in folder:  # there, a stub opens the shop
            yield from find(join(folder, "python.exe"))
    yield from find(join(prefix, "python.exe"))


def _registry() -> list[str]:
    """Interpreters that installers announced (PEP 514)."""
    try:
        import winreg
    except ImportError:
        return []
    found = []
    for root in (winreg.HKEY_CURRENT_USER, winreg.HKEY_LOCAL_MACHINE):  # type: ignore[attr-defined]
        try:
            with winreg.OpenKey(root, r"Software\Python\PythonCore") as core:  # type: ignore[attr-defined]
                tags = [winreg.EnumKey(core, index) for index in range(winreg.QueryInfoKey(core)[0])]  # type: ignore[attr-defined]
                for tag in tags:
                    try:
                        folder = winreg.QueryValue(core, tag + r"\InstallPath")  # type: ignore[attr-defined]
                    except OSError:
                        continue
                    found.append(ntpath.join(folder, "python.exe"))
        except OSError:
            continue
    return found
