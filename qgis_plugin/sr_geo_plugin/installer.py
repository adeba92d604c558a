# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Making, repairing and removing the environment that SR Geo runs in. Called in a background thread, only after the user's click."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO
from urllib.parse import quote, urlsplit

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
    direct: Sequence[str] = (),
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool],
    log: Callable[[str], None],
) -> None:
    """Run the steps of a plan. When it fails or is cancelled, what is half made is taken away, and what was there before is back.

    Args:
        plan: of `environment.install_plan`.
        proxy: for downloads.
        direct: hosts that are asked without it.
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
        needed = plan.disk_mb + plan.download_mb  # what was fetched goes at the end
        if free < needed:
            words = tr("There are {free} MB free in {folder}, {needed} MB are needed: make room first.")
            raise WorkerError(words.format(free=free, folder=folder, needed=needed))
        forget_runtimes()
        # Of its own: pip leaves hundreds of megabytes behind where it is stopped, and a system's folder in memory is small.
        temporary = folder / "setup-temporary"
        environ = install_environ(os.environ, proxy, direct, temporary)
        _put_aside(plan.environment)
        try:
            _delete(temporary)
            with suppress(OSError):  # without it the system's own is used
                temporary.mkdir()
            for number, step in enumerate(plan.steps):
                progress(_share(number, plan), _doing(step.what))
                _note(file, f"> {hide_password(step.command)}", log)
                _step(step, environ, folder, cancelled, lambda line: _note(file, line, log))
            with suppress(OSError):  # at once: half of it left would pass for a whole one next time
                _aside(plan.environment).rename(temporary / "before")
            _delete(_aside(plan.environment))
            progress(1.0, tr("Done."))
        except BaseException:
            _delete(plan.environment)
            with suppress(OSError):  # there was none
                _aside(plan.environment).rename(plan.environment)
            raise
        finally:
            _delete(temporary)
            forget_runtimes()


def remove(environment: Path) -> None:
    """Take an environment away; what is in use stays, and is told nowhere: the next installation clears it."""
    _delete(environment)
    _delete(_aside(environment))
    forget_runtimes()


def _aside(environment: Path) -> Path:
    """Where the environment that is there waits until the new one works. After an installation that ended there is none."""
    return environment.with_name(f"{environment.name}-before")


def _put_aside(environment: Path) -> None:
    if _aside(environment).exists():  # the last installation was broken off, by a power cut perhaps: what it made is not whole
        _delete(environment)
    else:
        with suppress(OSError):  # there is none; or it is in use on Windows: then it is written over
            environment.rename(_aside(environment))


def _delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


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
    marks = ("missing ",) if what == "check" else ("error:", "error ", *_CAUSES)
    reasons = [line for line in said if line.strip().lower().startswith(marks)] or said
    reason = _plain(reasons[-1]) if reasons else tr("code {code}").format(code=code)
    text = "\n".join(said)
    if what == "make":
        words = tr("The environment cannot be made with {python}: {reason}. Choose another Python.").format(
            python=command[0], reason=reason
        )
    elif what == "check":
        words = tr("SR Geo is installed, but does not work here: {reason}. The log has the details.").format(reason=reason)
    elif "--no-index" in command:
        words = tr(
            "The folder of wheels is not enough: {reason}. Fill it with “pip wheel” on a machine of the same system and Python version, "
            "or leave the field empty to download."
        ).format(reason=reason)
    else:
        words = _not_downloaded(text, reason)
    raise WorkerError(words, text)


_CAUSES = ("× ", "╰─▶ ", "cause: ")
"""Before what uv says of causes, in older and newer releases; the one to know of comes last."""


def _plain(line: str) -> str:
    """A reason as part of a sentence."""
    line = line.strip()
    mark = next((mark for mark in _CAUSES if line.startswith(mark)), "")
    return line[len(mark) :].rstrip(".")


def _not_downloaded(text: str, reason: str) -> str:
    """What to do where packages could not be fetched. pip ends with "no matching distribution" also where no proxy answers."""
    if "dependencies for SOCKS" in text:
        return tr("pip cannot use a SOCKS proxy: write an HTTP proxy into the field Proxy, or choose uv under Made with.")
    if "407 Proxy" in text:
        return tr("The proxy wants a name and a password: write them into the field Proxy, as http://user:password@host:port.")
    if re.search(r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate", text):
        return tr(
            "What stands between here and the packages (a proxy, a virus scanner) shows a certificate that is not trusted: have it added "
            "to the certificates of the system and choose uv under Made with, or choose a folder of wheels."
        )
    if re.search(r"ProxyError|[Cc]annot connect to proxy|tunnel error", text):
        return tr(
            "The proxy does not answer, or does not let the packages through: correct the field Proxy, empty it where none is needed, or "
            "choose a folder of wheels."
        )
    return tr("Installing failed: {reason}. Check the connection and the proxy, or choose a folder of wheels.").format(reason=reason)


def _note(file: TextIO, line: str, log: Callable[[str], None]) -> None:
    with suppress(OSError):  # a full disk is told by the step that fills it
        file.write(line + "\n")
        file.flush()
    log(line)


def system_proxy() -> str:
    """The proxy that QGIS uses, as ``http://user:password@host:port``; empty where it uses none."""
    from qgis.core import QgsNetworkAccessManager
    from qgis.PyQt.QtNetwork import QNetworkProxy

    proxy = QgsNetworkAccessManager.instance().fallbackProxy()
    schemes = {
        QNetworkProxy.ProxyType.HttpProxy: "http",
        QNetworkProxy.ProxyType.HttpCachingProxy: "http",
        QNetworkProxy.ProxyType.Socks5Proxy: "socks5h",
    }
    scheme = schemes.get(proxy.type(), "")
    if not scheme or not proxy.hostName():
        kept = clean_environ(os.environ)
        return kept.get("HTTPS_PROXY") or kept.get("https_proxy") or ""
    login = f"{quote(proxy.user(), safe='')}:{quote(proxy.password(), safe='')}@" if proxy.user() else ""
    return f"{scheme}://{login}{proxy.hostName()}{f':{proxy.port()}' if proxy.port() else ''}"


def direct_hosts() -> list[str]:
    """Hosts that QGIS asks without its proxy. QGIS has beginnings of addresses there, pip and uv take whole hosts."""
    from qgis.core import QgsNetworkAccessManager

    network = QgsNetworkAccessManager.instance()
    named = [urlsplit(url if "://" in url else f"//{url}").hostname for url in (*network.excludeList(), *network.noProxyList())]
    return list(dict.fromkeys(host for host in named if host))
