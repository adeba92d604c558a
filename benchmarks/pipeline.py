"""What the stream costs beside the network, and how much memory it takes.

    python benchmarks/pipeline.py                        time against a bare ONNX Runtime loop, tiled against whole
    python benchmarks/pipeline.py --memory 1000 4000     peak memory of whole runs, each in a process of its own

The rasters are made of the real Landsat crop in sample_data/ (three bands; the fourth is the second one, transposed), since
what is written must compress as a picture does. Times are given as ratios of two things measured in turn in one process: the
machine's own speed drops out. On a machine that does other things as well, trust the ratio of processor time; where the
network uses all processors, it is what the wall clock would show.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window as RasterWindow

from sr_geo import Options, enhance_raster, load_model
from sr_geo.grid import TilePlan
from sr_geo.raster.options import Progress
from sr_geo.raster.write import Compression

SCALE = 4
BLUR = 1.6
SAMPLE = Path(__file__).resolve().parent.parent / "sample_data" / "itaipu_landsat8.tif"


def make_raster(path: Path, side: int) -> None:
    """The Landsat crop of sample_data/ and its mirror images over and over, written in strips."""
    with rasterio.open(SAMPLE) as dataset:
        crop = dataset.read()
    crop = np.concatenate([crop, crop[1:2].transpose(0, 2, 1)])
    crop = np.concatenate([crop, crop[:, ::-1]], axis=1)
    patch = np.concatenate([crop, crop[:, :, ::-1]], axis=2)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 4, "dtype": "uint16", "crs": 32642, "nodata": 0, "tiled": True,
               "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1, "BIGTIFF": "IF_SAFER",
               "transform": from_origin(400000, 5900000, 30, 30)}  # fmt: skip
    step = patch.shape[1]
    # A new process begins with the peak memory of the one that starts it, and GDAL's cache would take a twentieth of the machine's.
    with rasterio.Env(GDAL_CACHEMAX=64 * 2**20), rasterio.open(path, "w", **profile) as dataset:
        dataset.descriptions = ("blue", "green", "red", "nir")
        for row in range(0, side, step):
            for column in range(0, side, step):
                height, width = min(step, side - row), min(step, side - column)
                dataset.write(patch[:, :height, :width], window=RasterWindow(column, row, width, height))


class Clock(NamedTuple):
    """A moment in seconds: on the wall, and of the processors over all threads of this process."""

    wall: float
    cpu: float

    @staticmethod
    def now() -> "Clock":
        """This moment."""
        return Clock(time.perf_counter(), time.process_time())

    def since(self, start: "Clock", tiles: int = 1) -> "Clock":
        """What went by from `start` on, for each of so many tiles."""
        return Clock((self.wall - start.wall) / tiles, (self.cpu - start.cpu) / tiles)


@dataclass(frozen=True)
class Run:
    """A run from file to file."""

    start: Clock
    """Until the first tile was through the network."""
    rest: Clock
    """The network on all tiles but the first, and what else is done to each tile up to the finished file."""
    tiles: int
    halo: int

    def tile(self, network: Clock) -> Clock:
        """What one tile costs, the network's part of it included."""
        return Clock(*(net + (rest - (self.tiles - 1) * net) / self.tiles for rest, net in zip(self.rest, network, strict=True)))


def bare(side: int, tile: int, halo: int, model: str) -> Clock:
    """The network alone on a tile with its halo, the mean over all tiles of a raster but the first."""
    upscaler = load_model(model)
    first, *others = (np.ones((4, window.height + 2 * halo, window.width + 2 * halo), np.float32) for window in TilePlan(side, side, tile))
    upscaler.run(first, sigma=BLUR)
    started = Clock.now()
    for image in others:
        upscaler.run(image, sigma=BLUR)
    return Clock.now().since(started, len(others))


def pipeline(source: Path, folder: Path, tile: int, model: str, *, detail: bool = False, compress: Compression = "deflate") -> Run:
    """A whole run."""
    moments = [Clock.now()]

    def note(progress: Progress) -> None:
        if progress.stage == "enhance" and progress.done == 1:
            moments.append(Clock.now())

    options = Options(model=model, psf=BLUR, tile=tile, compress=compress, overwrite=True)
    result = enhance_raster(source, folder / "out.tif", options, detail_map=folder / "detail.tif" if detail else None, progress=note)
    started, first, ended = *moments, Clock.now()
    return Run(first.since(started), ended.since(first), result.tiles, result.planning.halo)


def ratio(side: int, tile: int, model: str, rounds: int, *, detail: bool, compress: Compression) -> dict[str, Any]:
    """The run against the bare loop over the same tiles, taken in turn; the start is told apart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_raster(folder / "in.tif", side)
        pairs = []
        for _ in range(rounds):
            run = pipeline(folder / "in.tif", folder, tile, model, detail=detail, compress=compress)
            alone = bare(side, tile, run.halo, model)
            pairs.append((run.start, run.tile(alone), alone))
    megapixels = (tile * SCALE) ** 2 / 1e6
    return {
        "side": side,
        "tile": tile,
        "detail_map": detail,
        "compress": compress,
        "start_s": round(statistics.median(start.wall for start, _, _ in pairs), 2),
        "pipeline_s_per_output_mpx": round(statistics.median(whole.wall for _, whole, _ in pairs) / megapixels, 4),
        "network_s_per_output_mpx": round(statistics.median(alone.wall for _, _, alone in pairs) / megapixels, 4),
        "ratio_wall": round(statistics.median(whole.wall / alone.wall for _, whole, alone in pairs), 3),
        "ratio_cpu": round(statistics.median(whole.cpu / alone.cpu for _, whole, alone in pairs), 3),
    }


def tiled_against_whole(side: int, model: str) -> dict[str, float]:
    """Largest difference between a run in tiles of 64 and one in a single tile, in stored values."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_raster(folder / "in.tif", side)
        images = []
        for tile in (64, side):
            pipeline(folder / "in.tif", folder, tile, model)
            with rasterio.open(folder / "out.tif") as dataset:
                images.append(dataset.read().astype(np.int64))
    difference = np.abs(images[0] - images[1])
    return {"side": side, "largest_difference_dn": int(difference.max()), "share_of_pixels_that_differ": float((difference > 0).mean())}


def peak_memory(side: int, model: str, threads: int | None) -> dict[str, float]:
    """Peak resident memory of a run in a process of its own, with its time."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SR_GEO_BENCHMARK_DIR")) as name:
        folder = Path(name)
        make_raster(folder / "in.tif", side)
        code = (
            "import sys; from sr_geo import Options, enhance_raster; "
            f"enhance_raster(sys.argv[1], sys.argv[2], Options(model={model!r}, psf={BLUR}, threads={threads}))"
        )
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", code, str(folder / "in.tif"), str(folder / "out.tif")])
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        if status:
            raise SystemExit(f"the run of {side} pixels failed")
        size = (folder / "out.tif").stat().st_size
    unit = 1 if sys.platform == "darwin" else 1024
    peak = usage.ru_maxrss * unit / 1e9
    return {"side": side, "peak_rss_gb": round(peak, 3), "seconds": round(seconds, 1), "output_gb": round(size / 1e9, 2)}


def rows(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The measurements asked for, one after the other."""
    if arguments.memory:
        yield from (peak_memory(side, arguments.model, arguments.threads) for side in arguments.memory)
        return
    yield ratio(arguments.side, arguments.tile, arguments.model, arguments.rounds, detail=arguments.detail_map, compress=arguments.compress)
    yield tiled_against_whole(300, arguments.model)


def main() -> None:
    """Measure, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="satellite-rgbn-x4")
    parser.add_argument("--side", type=int, default=2304, help="of the raster for the ratio, input pixels; whole tiles")
    parser.add_argument("--tile", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detail-map", action="store_true", help="write a detail map, too")
    parser.add_argument("--compress", choices=get_args(Compression), default="deflate")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--memory", type=int, nargs="+", metavar="SIDE")
    for row in rows(parser.parse_args()):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
