"""Writing an output while its last tiles are still being computed."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sr_geo.raster.options import Progress, Report
from sr_geo.raster.spool import Spool
from sr_geo.raster.workers import PATIENCE, Stopped, Workers

_LOOK = 0.02
"""Seconds between two looks at what is written."""


@dataclass(slots=True)
class Ahead:
    """A file that is written in a thread of its own: each tile as soon as the spool holds it and those before it.

    So the order is that of a file which is written afterwards, and the bytes are the same. The file gets its name only
    once `finish` was called: what fails before leaves none.

    Args:
        spool: where the tiles come from.
        wanted: their numbers, in the order in which they are written.
        workers: of the run.
    """

    spool: Spool
    wanted: list[int]
    workers: Workers
    _written: int = 0
    _may_end: threading.Event = field(default_factory=threading.Event)
    _end: threading.Event = field(default_factory=threading.Event)

    def start(self, write: Callable[[Iterable[int]], object]) -> None:
        """Start `write`, which is given the numbers of the tiles, each when its tile is there."""
        self._end = self.workers.start(lambda: write(self._indices()))

    def finish(self, progress: Report) -> None:
        """Wait until the file is whole, and raise what failed."""
        total = len(self.wanted)
        for number in range(1, total + 1):
            while self._written < number and not self._end.wait(_LOOK):
                pass
            self.workers.check()
            progress(Progress("write", number, total, None))
        self._may_end.set()
        self._end.wait()
        self.workers.check()

    def _indices(self) -> Iterator[int]:
        for index in self.wanted:
            self._wait(lambda index=index: self.spool.wait(index, PATIENCE))  # type: ignore[misc]
            yield index
            self._written += 1
        self._wait(lambda: self._may_end.wait(PATIENCE))

    def _wait(self, happened: Callable[[], bool]) -> None:
        while not self.workers.stop.is_set():
            if happened():
                return
        raise Stopped
