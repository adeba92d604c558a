"""Memory and time of large pictures through `sr-geo image`, each in a process of its own.

    python benchmarks/pictures.py 5000x5000 --output tif --model face-rgb-x4       a photo of 25 megapixels to one of 400
    python benchmarks/pictures.py 20000x20000 --output tif --rows 400              the upper rows of one of 400 megapixels
    python benchmarks/pictures.py 2048x2048x40 --output dcm                        frames of DICOM

The pictures are made of smooth waves, fine stripes and noise, so that what is written packs about as a photo does. Without
`--model` every tile is interpolated in place of the network: reading, tiles, packing and writing are the same, and take minutes
instead of hours. `--rows` unpacks the whole picture and enlarges its upper rows only: memory is what it is after the second row of tiles.

Prints seconds on the wall and of the processors, the size of the result, and two peaks of memory. `own` is what the process
allocated; `mapped` is pages of files, which the system takes back when it needs room.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from sr_geo.imaging.domains import open_enlarger
from sr_geo.imaging.enlarge import Enlarger, Interpolator
from sr_geo.imaging.opening import open_picture
from sr_geo.imaging.photo import save_enlarged
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float
from sr_geo.raster.dataset import placed_or_not

STATUS = Path("/proc/self/status")


def stripe(first: int, count: int, width: int) -> NDArray[np.uint8]:
    """Rows of the picture that everything is made of, ``(count, width, 3)``."""
    rows, columns = np.arange(first, first + count, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    smooth = 90 * np.sin(rows / 97) * np.cos(columns / 131) + 20 * np.sign(np.sin(rows / 7 + columns / 11))
    noise = np.random.default_rng(first).normal(0, 2, (count, width)).astype(np.float32)
    gray = 128 + smooth + noise
    return np.stack([gray, gray * 0.9 + 10, gray * 0.8 + 20], axis=-1).clip(0, 255).astype(np.uint8)


def make_photo(path: Path, height: int, width: int) -> None:
    """A TIFF that is not packed, written as it is made."""
    look = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8", "photometric": "rgb", "interleave": "pixel"}
    with placed_or_not(), rasterio.open(path, "w", **look) as out:
        for first in range(0, height, 64):
            count = min(64, height - first)
            out.write(stripe(first, count, width).transpose(2, 0, 1), window=Window(0, first, width, count))


def make_dicom(path: Path, frames: int, height: int, width: int) -> None:
    """Frames of 12 bits."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    gray = stripe(0, height, width)[..., 0].astype(np.uint16) * 16
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.7.3"), UID("1.2.3.4.5")
    made.StudyInstanceUID, made.SeriesInstanceUID, made.PixelRepresentation, made.NumberOfFrames = UID("1.2.3.1"), UID("1.2.3.2"), 0, frames
    made.set_pixel_data(np.broadcast_to(gray, (frames, height, width)), "MONOCHROME2", 12)
    made.SOPInstanceUID = UID("1.2.3.4.5")
    made.save_as(path, enforce_file_format=True)


class Watch:
    """The peak of own and of mapped memory, looked at fifty times a second: the system's own peak has both in one."""

    def __init__(self) -> None:
        self.own = self.mapped = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.02):
            found = dict(line.split(":", 1) for line in STATUS.read_text(encoding="ascii").splitlines())
            own, mapped = (int(found[name].split()[0]) // 1000 for name in ("RssAnon", "RssFile"))
            self.own, self.mapped = max(self.own, own), max(self.mapped, mapped)


class _Interpolated(Upscaler):
    """Interpolation in the place of a network, for DICOM."""

    def __init__(self, like: Upscaler) -> None:
        self.card, self.sha256 = like.card.model_copy(update={"halo": 2, "name": "interpolated"}), "0" * 64

    def run(self, window: Float, *, sigma: object = None) -> Float:
        fine = Interpolator()._tile(window)
        return np.pad(fine, ((0, 0), (8, 8), (8, 8)))


def measure(size: str, ending: str, model: str | None, folder: Path, rows: int | None) -> dict[str, object]:
    """One run, in this process."""
    source, output = folder / f"in.{'dcm' if ending == 'dcm' else 'tif'}", folder / f"out.{ending}"
    run: Callable[[], object]
    if ending == "dcm":
        from sr_geo.imaging.dicom import enlarge_dicom

        enlarger = open_enlarger("medical", model, device="cpu")
        used = enlarger if model else Enlarger(_Interpolated(enlarger.upscaler))

        def run() -> object:
            return enlarge_dicom(source, output, used)
    else:
        maker = open_enlarger("photo", model, device="cpu") if model else Interpolator()

        def run() -> object:
            picture = open_picture(source)
            upper = replace(picture, pixels=picture.pixels[:rows])
            return save_enlarged(upper, output, maker, made_by="benchmark", remark="made for a benchmark")

    with Watch() as watch:
        started, worked = time.monotonic(), time.process_time()
        run()
        seconds, work = time.monotonic() - started, time.process_time() - worked
    return {
        "side": size,
        "rows": rows,
        "network": model or "interpolated",
        "output": ending,
        "seconds": round(seconds, 1),
        "processor_seconds": round(work, 1),
        "result_mb": output.stat().st_size // 1_000_000,
        "own_mb": watch.own,
        "mapped_mb": watch.mapped,
    }


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="+", help="HEIGHTxWIDTH, for dcm HEIGHTxWIDTHxFRAMES")
    parser.add_argument("--output", default="png", choices=("png", "tif", "jpg", "dcm"))
    parser.add_argument("--model", help="name or ONNX file; without: interpolated")
    parser.add_argument("--rows", type=int, help="of the picture that are enlarged; default: all")
    parser.add_argument("--folder", type=Path, help="for the files; default: a temporary one")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # what the processes are started with
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.sizes[0], given.output, given.model, given.folder, given.rows)), flush=True)
        return
    for size in given.sizes:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            height, width, *frames = map(int, size.split("x"))
            if given.output == "dcm":
                make_dicom(Path(folder) / "in.dcm", frames[0] if frames else 1, height, width)
            else:
                make_photo(Path(folder) / "in.tif", height, width)
            command = [sys.executable, __file__, size, "--output", given.output, "--folder", folder, "--here"]
            more = [*(["--model", given.model] if given.model else []), *(["--rows", str(given.rows)] if given.rows else [])]
            subprocess.run([*command, *more], check=True)


if __name__ == "__main__":
    main()
