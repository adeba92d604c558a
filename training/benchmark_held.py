"""Whether holding a result to its input helps, and through which optics: the measurements behind sr_geo/imaging/domains.py.

    python training/benchmark_held.py --data DIR                                        the best linear filter
    python training/benchmark_held.py --data DIR --domain face --model face-rgb-x4      a network

Validation pictures, since the optics are chosen by them, are made small by the degradation of their domain's recipe, enlarged, and moved
so that, made small again, they equal the input: not at all, through antialiased bicubic reduction, or through a Gaussian blur and
the mean over the pixel. PSNR in dB, means over the pictures. Without --model the enlarging is done by the linear filter (9 × 9
input pixels for each of the 16 new ones) that fits the training pictures best. Plates are rendered ones. Needs the extra `train`.

Writes training/results/held.csv: rows of the same domain and network are replaced, all others stay.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from result_table import put, read_rows, write_rows

from sr_geo import resample
from sr_geo.consistency import Sensor
from sr_geo.imaging.domains import open_enlarger
from sr_geo.imaging.reduction import Bicubic, Optics, put_right
from sr_geo.radiometry import Float
from sr_geo.train.degradations.photo import shrink
from sr_geo.train.degradations.plate import film
from sr_geo.train.degradations.sections import PlateDegradation, XrayDegradation
from sr_geo.train.degradations.xray import expose
from sr_geo.train.plates import render_plate

SCALE, REACH, EDGE, BORDER = 4, 4, 10, 4
COUNTRIES = ("kz", "ru", "eu", "us", "br")
TABLE = Path(__file__).resolve().parent / "results" / "held.csv"
OPTICS: dict[str, Optics] = {"bicubic": Bicubic()} | {f"blur {sigma}": Sensor(sigma) for sigma in (0.8, 1.25, 1.6)}
LINEAR = "the best linear filter"
COLUMNS = ("domain", "enlarged_by", "pictures", "cubic", "not held", *OPTICS)
Enlarge = Callable[[Float], Float]


def pictures(domain: str, data: Path, *, held_out: bool, gray: bool, count: int = 40) -> Iterator[Float]:
    """``(C, H, W)`` in 0…1: of the validation split, or of the training split."""
    if domain == "plate":
        for number in range(count):
            chance = np.random.default_rng([723, number])
            plate = render_plate(chance, size=(120, 256), width=200.0, countries=COUNTRIES, held_out=held_out, centred=True).picture
            yield plate.mean(axis=0, keepdims=True) if gray else plate
        return
    folder = data / {"face": "faces", "medical": "medical/cxr"}[domain] / ("val" if held_out else "train")
    files = sorted(path for path in folder.iterdir() if path.suffix in {".jpg", ".png"})
    for path in files[:: max(1, -(-len(files) // count))]:
        with Image.open(path) as image:
            values = np.asarray(image.convert("L" if gray else "RGB"), np.float32) / np.float32(255)
        picture = values[None] if gray else values.transpose(2, 0, 1)
        if domain == "face":  # whole faces are 100 pixels wide
            picture = shrink(picture, scale=4, levels=255)
        height, width = (side // SCALE * SCALE for side in picture.shape[1:])
        yield np.ascontiguousarray(picture[:, :height, :width])


def made_small(domain: str) -> Callable[[Float, int], Float]:
    """The degradation of the domain's recipe: of a picture and its number, which seeds it, so that all ways see one input."""
    if domain == "face":
        return lambda hr, _: shrink(hr, scale=SCALE, levels=255)
    if domain == "medical":
        return lambda hr, number: expose(XrayDegradation(), hr, scale=SCALE, rng=np.random.default_rng([0, number]))[0]
    return lambda hr, number: film(PlateDegradation(), hr, scale=SCALE, rng=np.random.default_rng([0, number]))


def surroundings(plane: Float) -> NDArray[np.float64]:
    """For each pixel those around it, and a one: ``(h·w, 82)``."""
    side = 2 * REACH + 1
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(plane, REACH, mode="symmetric"), (side, side))
    return np.concatenate([windows.reshape(-1, side**2), np.ones((plane.size, 1))], axis=1)


def best_linear(domain: str, data: Path, degrade: Callable[[Float, int], Float]) -> Enlarge:
    """The linear filter that fits the training pictures best, on gray."""
    terms = (2 * REACH + 1) ** 2 + 1
    left, right = 1e-3 * np.eye(terms), np.zeros((terms, SCALE**2))
    for number, hr in enumerate(pictures(domain, data, held_out=False, gray=True)):
        lr = degrade(hr, number)[0]
        near, (height, width) = surroundings(lr), lr.shape
        blocks = hr[0].reshape(height, SCALE, width, SCALE).transpose(0, 2, 1, 3).reshape(-1, SCALE**2)
        left += near.T @ near
        right += near.T @ blocks
    weights = np.linalg.solve(left, right)

    def enlarge(lr: Float) -> Float:
        height, width = lr.shape[1:]
        blocks = (surroundings(lr[0]) @ weights).reshape(height, width, SCALE, SCALE).transpose(0, 2, 1, 3)
        return blocks.reshape(1, height * SCALE, width * SCALE).astype(np.float32)

    return enlarge


def psnr(fine: Float, truth: Float) -> float:
    """In dB, against a peak of 1, without the border."""
    difference = (np.clip(fine, 0.0, 1.0) - truth)[:, BORDER:-BORDER, BORDER:-BORDER]
    return float(-10.0 * np.log10(np.mean(difference**2)))


def measure(domain: str, data: Path, model: str | None, count: int) -> tuple[int, dict[str, float]]:
    """How many pictures, and the mean PSNR of each way."""
    degrade = made_small(domain)
    if model is None:
        enlarge, gray = best_linear(domain, data, degrade), True
    else:
        enlarger = open_enlarger("plate", model, device="cpu", threads=1)  # the domain that holds to nothing
        enlarge, gray = enlarger, len(enlarger.upscaler.card.bands) == 1
    found: dict[str, list[float]] = {}
    for number, hr in enumerate(pictures(domain, data, held_out=True, gray=gray, count=count)):
        around = np.pad(degrade(hr, number), ((0, 0), (EDGE, EDGE), (EDGE, EDGE)), mode="symmetric")
        fine = enlarge(around)
        cubic = np.stack([resample.cubic(plane, SCALE) for plane in around])
        results = {"cubic": inner(cubic, SCALE * (EDGE - 2)), "not held": inner(fine, SCALE * EDGE)}
        for name, optics in OPTICS.items():
            held = np.stack([put_right(plane, seen, optics) for plane, seen in zip(fine, around, strict=True)])
            results[name] = inner(held, SCALE * (EDGE - optics.halo))
        for name, result in results.items():
            found.setdefault(name, []).append(psnr(result, hr))
    return len(found["cubic"]), {name: float(np.mean(values)) for name, values in found.items()}


def inner(planes: Float, margin: int) -> Float:
    """Without so many pixels on every side."""
    return planes[:, margin : planes.shape[1] - margin, margin : planes.shape[2] - margin]


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds faces/, medical/ and plates/")
    parser.add_argument("--domain", choices=("face", "medical", "plate"), action="append", help="default: all")
    parser.add_argument("--model", help="name or ONNX file; default: the best linear filter")
    parser.add_argument("--count", type=int, default=40, help="pictures of a domain at most; default: 40")
    words = parser.parse_args()
    table = read_rows(TABLE)
    for domain in words.domain or ("face", "medical", "plate"):
        pictures_seen, ways = measure(domain, words.data, words.model, words.count)
        counts = {row["pictures"] for row in table if row["domain"] == domain and row["enlarged_by"] != (words.model or LINEAR)}
        if counts - {str(pictures_seen)}:  # means over other pictures do not compare
            raise SystemExit(f"{domain}: {', '.join(map(str, counts))} pictures in {TABLE}, now {pictures_seen}; give --count as then")
        told = {"domain": domain, "enlarged_by": words.model or LINEAR, "pictures": str(pictures_seen)}
        row = told | {name: f"{value:.2f}" for name, value in ways.items()}
        print(*row.values(), sep=", ", flush=True)
        table = put(table, [row], COLUMNS[:2])
        write_rows(TABLE, COLUMNS, table)


if __name__ == "__main__":
    main()
