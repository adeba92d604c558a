"""How much the models for X-rays, plates, faces and photos gain over interpolation on test pictures that they never saw.

    python training/benchmark_pictures.py --data DIR                       every shipped model of these domains
    python training/benchmark_pictures.py --data DIR --domain medical --model runs/medical-gray-x4/medical-gray-x4.onnx     that one alone

Test pictures are brought down ×4 in two ways, enlarged by each method, rounded to 8 bits and compared with themselves:

  bicubic   antialiased bicubic reduction, rounded to 8 bits: the convention of the benchmarks
  trained   where it is another one, the degradation of the domain's recipe, seeded by the number of the picture (needs the extra `train`)

Methods: bicubic and lanczos3 interpolation; `network`, what `sr-geo image` does by default for the domain; `perceptual`, the same with
the model that leans to perception; `…, int8`, with the int8 twin; `fidelity 0`, the default model with that option, where the default
holds the result to the input. `weights` tells which weights were measured: ship.py puts figures of these alone into a card.
Means over the pictures, 8 pixels off on every side: PSNR of the mean squared error of each picture (peak 255), SSIM (Gaussian window of
1.5 pixels), LPIPS 0.1 (AlexNet) of the middle 256 × 256 at most. Written to training/results/pictures.csv; what it holds of other domains
and methods stays.
"""

import argparse
import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from enlarging import SCALE, Method
from PIL import Image
from result_table import Row, put, read_rows, write_rows

from sr_geo.imaging.domains import open_enlarger
from sr_geo.models.catalog import entries
from sr_geo.quality.lpips import lpips
from sr_geo.quality.metrics import moments, structure
from sr_geo.radiometry import Float

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "training" / "results" / "pictures.csv"
COLUMNS = ("domain", "test_set", "input", "method", "pictures", "psnr_db", "gain_db", "ssim", "lpips", "weights")
DOMAINS = {
    "medical": ("medical-gray-x4", "medical-gray-perceptual-x4"),
    "plate": ("plate-rgb-x4", "plate-rgb-perceptual-x4"),
    "face": ("face-rgb-x4", "face-rgb-perceptual-x4"),
    "photo": ("photo-rgb-x4", "photo-rgb-perceptual-x4"),
}
METHODS = {"fidelity": "network", "perception": "perceptual"}
"""What a model is called in the table, by its leaning; int8 twins with `INT8` behind it."""
INT8 = ", int8"
BORDER = 8
LARGEST = 512
PATCH = 256


def test_files(domain: str, data: Path) -> Iterator[tuple[str, Path]]:
    """Name of the test set and file of every test picture."""
    if domain == "photo":
        for name in ("Set5", "Set14"):
            yield from ((name, path) for path in sorted((data / "benchmark" / name / "HR").iterdir()))
        return
    folder = data / {"medical": "medical", "plate": "plates", "face": "faces"}[domain]
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            path = folder / row["file"]
            if row["split"] != "test" or not path.exists() or "scenes" in row["file"]:
                continue
            yield {"medical": row.get("modality", ""), "plate": "real plates", "face": "people of the test split"}[domain], path


def read(path: Path, *, gray: bool) -> Float | None:
    """``(C, H, W)``, 0…1, the middle of it, sides a multiple of four; None where it is smaller than a patch that counts."""
    with Image.open(path) as image:
        values = np.asarray(image.convert("L" if gray else "RGB"), np.float32) / np.float32(255.0)
    values = values[None] if gray else values.transpose(2, 0, 1)
    height, width = (min(side, LARGEST) // SCALE * SCALE for side in values.shape[1:])
    if min(height, width) < 64:
        return None
    top, left = (values.shape[1] - height) // 2, (values.shape[2] - width) // 2
    return np.ascontiguousarray(values[:, top : top + height, left : left + width])


def bytes_of(picture: Float) -> Float:
    """Rounded to what 8 bits can hold."""
    rounded: Float = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.float32) / np.float32(255.0)
    return rounded


def resized(kind: Image.Resampling, factor: float) -> Method:
    """Interpolation by Pillow, which averages where it makes smaller."""

    def resize(picture: Float) -> Float:
        size = round(picture.shape[2] * factor), round(picture.shape[1] * factor)
        return np.stack([np.asarray(Image.fromarray(plane).resize(size, kind)) for plane in np.ascontiguousarray(picture)])

    return resize


def as_trained(domain: str) -> Callable[[Float, int], Float] | None:
    """The degradation of the domain's recipe; None where it is bicubic reduction."""
    from sr_geo.train.degradations import degrade
    from sr_geo.train.recipe import load_recipe

    section = load_recipe(ROOT / "training" / "recipes" / f"{DOMAINS[domain][0]}.yaml", ()).degradation
    if section.kind == "bicubic":
        return None
    return lambda fine, number: degrade(section, fine, scale=SCALE, rng=np.random.default_rng([16, number]))[0]


def figures(truth: Float, enlarged: Float) -> tuple[float, float, float]:
    """PSNR, SSIM and LPIPS of a picture."""
    psnr = moments(truth * 255, enlarged * 255, border=BORDER).psnr(255.0).together
    ssim = structure(truth * 255, enlarged * 255, data_range=255.0, border=BORDER).ssim.together
    height, width = truth.shape[1:]
    side = slice((height - min(PATCH, height)) // 2, (height + min(PATCH, height)) // 2)
    across = slice((width - min(PATCH, width)) // 2, (width + min(PATCH, width)) // 2)
    colours = [np.repeat(x, 3, axis=0) if len(x) == 1 else x for x in (truth[:, side, across], enlarged[:, side, across])]
    return psnr, ssim, lpips(*colours)


def fingerprint(path: Path) -> str:
    """Of the weights of an ONNX file, whatever its card says and whether they are stored as floats or halves: 16 hexadecimal digits."""
    found = hashlib.sha256()
    for tensor in sorted(onnx.load(path).graph.initializer, key=lambda tensor: tensor.name):
        values = onnx.numpy_helper.to_array(tensor)
        found.update(values.astype(np.float16).tobytes() if values.dtype == np.float32 else values.tobytes())
    return found.hexdigest()[:16]


def rows(domain: str, models: Sequence[str], data: Path, every: int) -> Iterator[Row]:
    """The table of a domain."""
    enlargers = [open_enlarger(domain, model, device="cpu") for model in models]  # type: ignore[arg-type]
    gray = len(enlargers[0].upscaler.card.bands) == 1
    smaller = resized(Image.Resampling.BICUBIC, 1 / SCALE)
    inputs: dict[str, Callable[[Float, int], Float]] = {"bicubic": lambda fine, _: bytes_of(smaller(fine))}
    if (degraded := as_trained(domain)) is not None:
        inputs["trained"] = degraded
    methods: dict[str, Method] = {
        "bicubic": resized(Image.Resampling.BICUBIC, SCALE),
        "lanczos3": resized(Image.Resampling.LANCZOS, SCALE),
    }
    weights = {}
    for enlarger, model in zip(enlargers, models, strict=True):
        card = enlarger.upscaler.card
        method = METHODS[card.leaning] + (INT8 if card.precision == "int8" else "")
        methods[method] = enlarger
        weights[method] = fingerprint(Path(model) if model.endswith(".onnx") else entries()[model].path)
        if enlarger.optics is not None and method == METHODS["fidelity"]:
            methods["fidelity 0"] = replace(enlarger, optics=None)
    found: dict[tuple[str, str, str], list[tuple[float, float, float]]] = {}
    for number, (test_set, path) in enumerate(test_files(domain, data)):
        truth = None if number % every else read(path, gray=gray)
        if truth is None:
            continue
        for name, bring_down in inputs.items():
            low = bring_down(truth, number)
            for method, enlarge in methods.items():
                found.setdefault((test_set, name, method), []).append(figures(truth, bytes_of(enlarge(low))))
    for (test_set, name, method), each in found.items():
        psnr, ssim, distance = np.mean(each, axis=0)
        base = np.mean(found[test_set, name, "bicubic"], axis=0)[0]
        yield {
            "domain": domain, "test_set": test_set, "input": name, "method": method, "pictures": len(each), "psnr_db": f"{psnr:.2f}",
            "gain_db": f"{psnr - base:.2f}", "ssim": f"{ssim:.4f}", "lpips": f"{distance:.4f}", "weights": weights.get(method, ""),
        }  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--domain", choices=tuple(DOMAINS), action="append")
    parser.add_argument("--model", action="append", help="name or .onnx file, with one --domain; default: all that are shipped")
    parser.add_argument("--every", type=int, default=1, help="every so many test pictures only, for a quick look; nothing is written then")
    arguments = parser.parse_args()
    chosen = arguments.domain or list(DOMAINS)
    if arguments.model and len(chosen) != 1:
        parser.error("--model needs one --domain")
    measured: list[Row] = []
    for domain in chosen:
        names = arguments.model or [name for model in DOMAINS[domain] for name in (model, f"{model}-int8") if name in entries()]
        measured += rows(domain, names, arguments.data, arguments.every)
    for row in measured:
        print(",".join(str(row[column]) for column in COLUMNS))
    if arguments.every == 1:
        order = list(DOMAINS)
        table = put(read_rows(TABLE), measured, ("domain", "test_set", "input", "method"))
        table.sort(key=lambda row: (order.index(str(row["domain"])), str(row["test_set"]), str(row["input"])))
        write_rows(TABLE, COLUMNS, table)


if __name__ == "__main__":
    main()
