"""Decoding by GDCM, in a process of its own.

GDCM is the one free decoder of lossless JPEG that pydicom knows. On some damaged files it ends the process that it runs in, and
on others it prints to the terminal. Here that process is not ours.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray


def decode_apart(path: Path, syntax: str, start: int, frames: int, options: Mapping[str, Any]) -> Iterator[NDArray[Any]]:
    """One frame after the other, as pydicom gives them.

    Args:
        path: the file.
        syntax: transfer syntax of the pixels.
        start: where the value of the pixels starts.
        frames: how many there are.
        options: of pydicom's decoder, as far as JSON can say them.

    Raises:
        ValueError: a frame cannot be decoded.
    """
    task = json.dumps({"path": str(path), "syntax": syntax, "start": start, "frames": frames, "options": dict(options)})
    # The child finds the same packages, wherever this process found them.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry or os.curdir for entry in sys.path)}
    command = [sys.executable, "-m", "sr_geo.imaging.dicom_apart", task]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            for number in range(1, frames + 1):
                pixels = _receive(child.stdout)
                if pixels is None:
                    raise ValueError(f"frame {number} of {frames} cannot be decoded")
                yield pixels
        finally:
            child.kill()  # it has ended, or nobody wants the rest


def _send(stream: IO[bytes], pixels: NDArray[Any]) -> None:
    """An array: a line that says what it is, then its bytes."""
    stream.write(json.dumps({"shape": pixels.shape, "dtype": pixels.dtype.str}).encode() + b"\n")
    stream.write(pixels.tobytes())
    stream.flush()


def _receive(stream: IO[bytes]) -> NDArray[Any] | None:
    """What `_send` sent; None where the other side ended before."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    said = json.loads(line)
    shape, dtype = tuple(said["shape"]), np.dtype(said["dtype"])
    content = stream.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(shape) if len(content) == math.prod(shape) * dtype.itemsize else None


def _work(task: Mapping[str, Any]) -> None:
    """What the child does: decode, and write each frame to its output."""
    import warnings

    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    warnings.simplefilter("ignore")
    decoder = get_decoder(UID(task["syntax"]))
    with Path(task["path"]).open("rb") as file:
        for index in range(task["frames"]):
            file.seek(task["start"])
            pixels = decoder.as_array(file, index=index, decoding_plugin="gdcm", **task["options"])[0]
            _send(sys.stdout.buffer, pixels)


if __name__ == "__main__":
    _work(json.loads(sys.argv[1]))
