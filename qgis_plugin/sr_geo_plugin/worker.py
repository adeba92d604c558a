# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""Running `sr-geo` in a Python of its own: progress, words and result come back as lines, and a stop leaves nothing running.

It blocks, so it is called from the thread of a QgsTask or a Processing algorithm, never from the one that draws the window.
Nothing here imports qgis, apart from the translation of words.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import subprocess  # nosec B404 - programs are started with lists of words, never through a shell
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, ClassVar

from sr_geo_plugin.environment import Runtime, clean_environ, hide_password
from sr_geo_plugin.translation import tr

_LAUNCH = (
    "import os, signal, sys, threading, time\n"
    "def closed():\n"
    "    import _winapi, msvcrt\n"
    "    try:\n"
    "        _winapi.PeekNamedPipe(msvcrt.get_osfhandle(0), 0)\n"
    "    except OSError:\n"
    "        return True\n"
    "def watch():\n"
    "    if os.name == 'nt':\n"
    "        while not closed():\n"
    "            time.sleep(0.2)\n"
    "        __import__('_thread').interrupt_main()\n"
    "    else:\n"
    "        os.read(0, 1)\n"
    "        os.kill(os.getpid(), signal.SIGTERM)\n"
    "    time.sleep(20)\n"
    "    os._exit(130)\n"
    "threading.Thread(target=watch, daemon=True).start()\n"
    "from sr_geo.cli import main\n"
    "main()\n"
)
"""Runs the command line and ends when standard input closes: so the worker ends with QGIS, whatever becomes of it.

On Windows nobody may wait in a read of the pipe: libraries that ask what standard input is while they are loaded, those of numpy among
them, would wait for the end of that read, for ever.
"""

_PATIENCE = 8.0
"""Seconds that a worker has to end by itself once it was asked to."""
_LOOK = 0.1
"""Seconds between two looks at whether the user has cancelled."""
_KEPT_LINES = 400


class WorkerError(Exception):
    """A run that failed: one line that says what to do, and what the worker said on its way.

    Args:
        message: for the user.
        log: for whoever looks closer.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class Cancelled(WorkerError):  # noqa: N818 - no error, but the way out of a run
    """The user stopped the run."""

    def __init__(self, log: str = "") -> None:
        super().__init__(tr("Cancelled."), log)


def ignore_progress(fraction: float, text: str) -> None:
    """For callers that show none."""


def never_cancelled() -> bool:
    """For callers that cannot be."""
    return False


def ignore_line(line: str) -> None:
    """For callers that keep no log."""


def run(
    runtime: Runtime,
    arguments: Sequence[str],
    *,
    progress: Callable[[float, str], None] = ignore_progress,
    cancelled: Callable[[], bool] = never_cancelled,
    log: Callable[[str], None] = ignore_line,
    allowed: Sequence[int] = (0,),
) -> dict[str, Any]:
    """Run ``sr-geo arguments…`` and give back the last JSON object that it printed (empty where there was none).

    `progress`, `cancelled` and `log` are called in the calling thread.

    Args:
        runtime: from `environment.find_runtime`.
        arguments: words of the command line. Files are named by absolute paths: the worker runs in an empty folder.
        progress: share done, 0 to 1, and words about it.
        cancelled: asked ten times a second; when it says yes, the worker and all that it started are ended.
        log: gets what the worker says besides, a line at a time; warnings begin with ``warning: ``.
        allowed: exit codes that are no failure.

    Raises:
        Cancelled: by the user.
        WorkerError: it failed; the message is the toolkit's own line.
    """
    last: dict[str, Any] = {}
    steps = Steps()

    def hear(line: str, error: bool) -> None:
        content = None if error else _json(line)
        if content is None:
            log(line)
            return
        last.clear()
        last.update(content)
        if "done" in content and "total" in content:
            progress(*steps.share(content))

    with work_folder() as folder:
        code, lines = execute(
            [str(runtime.python), "-c", _LAUNCH, *arguments],
            environ=clean_environ(os.environ),
            folder=folder,
            hear=hear,
            cancelled=cancelled,
        )
    if code in allowed and (code == 0 or last):
        return last
    raise WorkerError(_reason(code, lines), "\n".join(lines))


@contextmanager
def work_folder(where: str | Path | None = None) -> Iterator[Path]:
    """A folder that is gone at the end, or with the session where Windows still holds a file in it: that is no failure of the run.

    Args:
        where: to make it; default: where temporary files of the user are.
    """
    folder = Path(tempfile.mkdtemp(prefix="sr-geo-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def no_leftovers(*outputs: str | Path) -> Iterator[None]:
    """Takes away what a run left that failed or was cancelled.

    These are finished tiles, since a run from QGIS starts anew, and files that were whole just before it was stopped.

    Args:
        outputs: files of the run; what is empty is none. A folder stays, but for its tiles.
    """
    before = {Path(output): _stamp(Path(output)) for output in outputs if output}
    try:
        yield
    except BaseException:
        for path, stamp in before.items():
            shutil.rmtree(path.with_name(f"{path.name}.part"), ignore_errors=True)
            if path.is_file() and _stamp(path) != stamp:
                with suppress(OSError):
                    path.unlink()
        raise


def _stamp(path: Path) -> tuple[int, int] | None:
    """What is another one once a file was replaced; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def execute(  # noqa: C901 - one loop, with what may happen in it
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    folder: str | Path,
    hear: Callable[[str, bool], None],
    cancelled: Callable[[], bool] = never_cancelled,
) -> tuple[int, list[str]]:
    """Run a program to its end; its exit code and the last lines of its standard error.

    Args:
        command: the program and its words.
        environ: its variables, all of them.
        folder: to run in.
        hear: gets each line as it comes, and whether it is of standard error.
        cancelled: asked again and again.

    Raises:
        Cancelled: the program and all that it started are gone.
        WorkerError: it cannot be started.
    """
    lines: list[str] = []
    heard: queue.Queue[tuple[str, bool] | None] = queue.Queue()
    try:
        process = subprocess.Popen(  # nosec B603 - a list of words, no shell
            list(command),
            env=dict(environ),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **_own_group(),
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise WorkerError(
            tr("{program} cannot be started ({reason}): repair it in Set up.").format(program=command[0], reason=reason)
        ) from error
    readers = [
        threading.Thread(target=_read, args=(stream, error, heard), daemon=True)
        for stream, error in ((process.stdout, False), (process.stderr, True))
    ]
    for reader in readers:
        reader.start()
    try:
        reading = len(readers)
        while reading:
            if cancelled():
                raise Cancelled("\n".join(lines))
            try:
                item = heard.get(timeout=_LOOK)
            except queue.Empty:
                if process.poll() is not None and _alive(readers, seconds=2.0) and heard.empty():
                    break  # a grandchild holds the pipes open
                continue
            if item is None:
                reading -= 1
                continue
            line, error = item
            if error:
                lines.append(line)
                del lines[:-_KEPT_LINES]
            hear(line, error)
        return process.wait(), lines
    finally:
        end(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                _close(stream)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and everything that it started: politely, then by force. Nothing happens where it has ended."""
    if process.poll() is None:
        if os.name != "nt":
            _signal(process, signal.SIGTERM)
        elif process.stdin is not None:
            _close(process.stdin)  # Windows has no such signal; the launcher takes this as a wish to stop
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            _force(process)
    if os.name != "nt":
        _signal(process, signal.SIGKILL)  # children that outlived it
    process.wait()


def _own_group() -> dict[str, Any]:
    if os.name == "nt":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
        return {"creationflags": flags}
    return {"start_new_session": True}


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _force(process: subprocess.Popen[bytes]) -> None:
    if os.name == "nt":
        program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "taskkill.exe"
        subprocess.run(  # nosec B603 - a program of Windows, by its full path
            [str(program), "/PID", str(process.pid), "/T", "/F"],
            check=False,
            capture_output=True,
            creationflags=subprocess.CREATE_NO_WINDOW,  # type: ignore[attr-defined]
        )
    else:
        _signal(process, signal.SIGKILL)
    process.kill()


def _read(stream: IO[bytes], error: bool, heard: queue.Queue[tuple[str, bool] | None]) -> None:
    try:
        for raw in stream:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if line.strip():
                heard.put((line, error))
    except (OSError, ValueError):  # closed under it
        pass
    finally:
        heard.put(None)


def _alive(readers: Sequence[threading.Thread], *, seconds: float) -> bool:
    """Whether a reader still waits after so many seconds."""
    until = time.monotonic() + seconds
    for reader in readers:
        reader.join(max(0.0, until - time.monotonic()))
    return any(reader.is_alive() for reader in readers)


def _close(stream: IO[bytes]) -> None:
    with suppress(OSError):  # a pipe whose other end is gone
        stream.close()


def _json(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _reason(code: int, lines: Sequence[str]) -> str:
    """One line about a run that failed."""
    for line in reversed(lines):
        if line.startswith("error: "):
            return _without_options(line.removeprefix("error: "))
    if code in (-signal.SIGTERM, 130):
        return tr("The worker was stopped by another program; run it again.")
    if code in (-9, 137):
        return tr(
            "The worker was killed, most likely because memory ran out: close other programs, or set a smaller tile (“Advanced parameters” "
            "in the toolbox), and run it again."
        )
    if code < 0 or code > 255:
        return tr("The worker crashed (code {code}); run it again, and repair it in Set up if that does not help.").format(code=code)
    if lines and "ModuleNotFoundError" in lines[-1]:
        return tr("{reason}: a package of the worker is gone; open SR Geo, Set up…, and repair it.").format(reason=lines[-1])
    return lines[-1] if lines else tr("The worker ended with code {code} and said nothing; see Check in Set up.").format(code=code)


_RESUMING = re.compile(r"; finished tiles are kept: run again with --resume to go on| with --resume(, which computes it anew)?")
"""Advice for the command line: from QGIS a run begins anew, and its tiles are gone."""


def _without_options(words: str) -> str:
    """What the worker said, for somebody who has a panel and a dialogue instead of a command line."""
    words = _RESUMING.sub("", words)
    if "--bands" in words:
        return tr("{reason} (in QGIS: “More options” in the panel, “Advanced parameters” in the toolbox)").format(reason=words)
    return words


class Steps:
    """From the stages of a run to one share that only grows."""

    parts: ClassVar = {"enhance": (0.0, 0.9), "measure": (0.9, 0.95), "check": (0.9, 0.95), "write": (0.95, 1.0), "train": (0.0, 1.0)}

    def __init__(self) -> None:
        self.reached = 0.0

    def share(self, content: Mapping[str, Any]) -> tuple[float, str]:
        """The share, and words about the stage."""
        stage, done, total = str(content.get("stage", "")), float(content["done"]), float(content["total"])
        start, stop = self.parts.get(stage, (self.reached, 1.0))
        self.reached = max(self.reached, start + (stop - start) * (done / total if total else 1.0))
        words = {
            "enhance": tr("Enhancing: tile {done} of {total}"),
            "measure": tr("Measuring parcels: {done} of {total}"),
            "check": tr("Checking: {done} of {total}"),
            "write": tr("Writing: {done} of {total}"),
            "train": tr("Training: step {done} of {total}"),
        }.get(stage, "{done} / {total}")
        text = words.format(done=int(done), total=int(total))
        left = content.get("seconds_left")
        if left:
            text = tr("{text}, about {time} left").format(text=text, time=_duration(float(left)))
        return self.reached, text


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_command(arguments: Sequence[str]) -> str:
    """The command line as it could be typed, for logs."""
    return "sr-geo " + hide_password(arguments)
