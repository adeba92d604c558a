"""Threads that stop together: the first failure of one stops all, and is raised by the thread that waits for them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

PATIENCE = 0.2
"""Seconds after which a waiting thread looks whether the run was stopped."""

_LOOK = 0.02
"""Seconds between two looks at what stopped threads are doing."""

_LONGEST = 20.0
"""Seconds that a stopped thread may take for the tile at hand; a read over a network that is gone may never return."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong here: somebody else failed, or the user pressed Ctrl-C
    """Ends the work of a thread whose run was stopped."""


@dataclass(slots=True)
class Workers:
    """The threads of one run. Leaving the context stops them, and waits until each is done with its tile."""

    stop: threading.Event = field(default_factory=threading.Event)
    _failures: list[BaseException] = field(default_factory=list)
    _ends: list[threading.Event] = field(default_factory=list)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop.set()
        _settle(self._ends)

    def start(self, work: Callable[[], object]) -> threading.Event:
        """Do `work` in a thread of its own; the event tells its end. `Thread.join` would not: Ctrl-C breaks it before Python 3.13."""
        end = threading.Event()

        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # raised again by `check`
                self._failures.append(error)
                self.stop.set()
            finally:
                end.set()

        self._ends.append(end)
        threading.Thread(target=guarded, daemon=True).start()
        return end

    def check(self) -> None:
        """Raise what the first thread that failed has failed with."""
        if self._failures:
            raise self._failures[0]


def _settle(ends: list[threading.Event]) -> None:
    """Wait until stopped threads are done with their tiles, for the caller closes the files that they write to.

    An impatient Ctrl-C meanwhile is heard afterwards.
    """
    until = time.monotonic() + _LONGEST
    interrupt: KeyboardInterrupt | None = None
    while not all(end.is_set() for end in ends) and time.monotonic() < until:
        try:
            time.sleep(_LOOK)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
