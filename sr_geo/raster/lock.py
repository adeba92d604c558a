"""One run at a time to an output. The system lets go of a lock when its process ends, however it ends, so none is ever stale."""

import errno
import os
import sys
from io import FileIO
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}


def take_lock(path: Path) -> FileIO:
    """Lock `path`, which is made with its folder where they are missing; closing the file that is returned lets go of it.

    Where the file system knows no locks there is none: the run goes on unguarded.

    Raises:
        BlockingIOError: another process, or another thread of this one, holds the lock.
        OSError: the file cannot be made.
    """
    while True:
        path.parent.mkdir(exist_ok=True)
        file = FileIO(path, "a")
        try:
            _lock(file.fileno())
        except OSError as error:
            if error.errno in _TAKEN:
                file.close()
                raise BlockingIOError(error.errno, "locked by another run") from error
        if _is_there(path, file):
            return file
        file.close()  # the run that held it has just deleted it


def _is_there(path: Path, file: FileIO) -> bool:
    if os.name == "nt":
        return True  # an open file cannot be deleted
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(file.fileno())
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
