# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Making, repairing and removing the environment that SR Geo runs in. Called in a background thread, only after the user's click."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from sr_geo_plugin.environment import Plan, Step, bundled_wheel, clean_environ, data_folder, forget_runtimes, hide_password, install_environ
from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import WorkerError, execute


def log_file() -> Path:
    """What the last installation said."""
    return data_folder() / "setup.log"


def package() -> Path:
    """SR Geo's own package: the one in the plugin, or the folder that the plugin was taken from.

    Raises:
        WorkerError: there is neither.
    """
    wheel = bundled_wheel()
    if wheel is not None:
        return wheel
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists() and (checkout / "sr_geo").is_dir():
        return checkout
    raise WorkerError(tr("The plugin is not whole: its folder wheels is empty. Install the plugin again."))


def install(
    plan: Plan,
    *,
    proxy: str = "",
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool],
    log: Callable[[str], None],
) -> None:
    """Run the steps of a plan. What is half made when it fails or is cancelled is taken away again.

    Args:
        plan: of `environment.install_plan`.
        proxy: for downloads.
        progress: share done, and what is being done.
        cancelled: asked again and again.
        log: gets every line.

    Raises:
        WorkerError: with what to do.
    """
    folder = plan.environment.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free // 1_000_000
        file = log_file().open("w", encoding="utf-8")
    except OSError as error:
        words = tr("{folder}: cannot be written ({reason}); set the variable SR_GEO_QGIS_DATA to another folder.")
        raise WorkerError(words.format(folder=folder, reason=error.strerror)) from error
    with file:
        _note(file, f"{datetime.now().astimezone().isoformat(timespec='seconds')} {plan.environment}", log)
        if free < plan.disk_mb:
            words = tr("There are {free} MB free in {folder}, {needed} MB are needed: make room first.")
            raise WorkerError(words.format(free=free, folder=folder, needed=plan.disk_mb))
        forget_runtimes()
        try:
            for number, step in enumerate(plan.steps):
                progress(_share(number, plan), _doing(step.what))
                _note(file, f"> {hide_password(step.command)}", log)
                _step(step, install_environ(os.environ, proxy), folder, cancelled, lambda line: _note(file, line, log))
            progress(1.0, tr("Done."))
        except BaseException:
            remove(plan.environment)
            raise
        finally:
            forget_runtimes()


def remove(environment: Path) -> None:
    """Take an environment away; what is in use stays, and is told nowhere: the next installation clears it."""
    shutil.rmtree(environment, ignore_errors=True)
    forget_runtimes()


def _share(number: int, plan: Plan) -> float:
    """Installing takes nearly all of the time."""
    return {"make": 0.02, "install": 0.1, "replace": 0.6, "check": 0.95}.get(plan.steps[number].what, 0.5)


def _doing(what: str) -> str:
    return {
        "make": tr("Making the environment…"),
        "install": tr("Downloading and installing the packages; this takes some minutes…"),
        "replace": tr("Installing the part for NVIDIA graphics cards…"),
        "check": tr("Checking…"),
    }[what]


def _step(step: Step, environ: dict[str, str], folder: Path, cancelled: Callable[[], bool], log: Callable[[str], None]) -> None:
    command, what = step.command, step.what
    said: list[str] = []

    def hear(line: str, error: bool) -> None:
        said.append(line)
        log(line)

    code, _ = execute(command, environ=environ, folder=folder, hear=hear, cancelled=cancelled)
    if code == 0:
        return
    marks = ("missing ",) if what == "check" else ("error:", "error ", "  × ", "× ", "  ╰─▶ ")
    reasons = [line for line in said if line.lower().startswith(marks)] or said
    reason = reasons[-1].strip() if reasons else tr("code {code}").format(code=code)
    text = "\n".join(said)
    if what == "make":
        words = tr("The environment cannot be made with {python}: {reason}. Choose another Python.").format(
            python=command[0], reason=reason
        )
    elif what == "check":
        words = tr("SR Geo is installed, but does not work here: {reason}. The log has the details.").format(reason=reason)
    else:
        words = tr("Installing failed: {reason}. Check the connection and the proxy, or choose a folder of wheels.").format(reason=reason)
    raise WorkerError(words, text)


def _note(file: TextIO, line: str, log: Callable[[str], None]) -> None:
    with suppress(OSError):  # a full disk is told by the step that fills it
        file.write(line + "\n")
        file.flush()
    log(line)


def system_proxy(environ: dict[str, str] | None = None) -> str:
    """The proxy that QGIS uses, as ``http://user:password@host:port``; empty where it uses none, or only the system's."""
    from urllib.parse import quote

    from qgis.core import QgsSettings

    ask: Any = QgsSettings().value
    if not ask("proxy/proxyEnabled", False, type=bool) or str(ask("proxy/proxyType", "")) not in ("HttpProxy", "HttpCachingProxy"):
        kept = clean_environ(environ if environ is not None else os.environ)
        return kept.get("HTTPS_PROXY") or kept.get("https_proxy") or ""
    host, port = str(ask("proxy/proxyHost", "")), str(ask("proxy/proxyPort", ""))
    user, password = str(ask("proxy/proxyUser", "")), str(ask("proxy/proxyPassword", ""))
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    return f"http://{login}{host}{':' + port if port else ''}" if host else ""
