"""What models that lean to perception are chosen by: validation pictures, beside interpolation and a published network.

    python training/benchmark_validation.py --data DIR                                             all shipped models, and RealSR-DF2K
    python training/benchmark_validation.py --data DIR --domain face --model runs/NAME/NAME.onnx   a candidate

Pictures of the validation splits (faces, X-rays, CT slices, photos, each evenly spaced, 24 at most) and rendered plates with texts that
training never draws; of each the middle 256 × 256 at most, made small by antialiased bicubic reduction in 8 bits. Candidates are run as
`sr-geo image` runs them. Means over the pictures: PSNR and SSIM, 8 pixels off on every side, and LPIPS 0.1 (AlexNet). Test pictures are
for training/benchmark_peers.py and training/benchmark_pictures.py, once a model is chosen. Needs the extra `train`.

Writes training/results/validation.csv: rows of the same pictures and method are replaced, all others stay.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from benchmark_peers import PEERS, middle, picture
from benchmark_pictures import DOMAINS, bytes_of, figures, resized
from enlarging import SCALE, Method, ours, peer
from PIL import Image
from result_table import Row, put, read_rows, write_rows

from sr_geo.models.catalog import entries
from sr_geo.models.session import open_model
from sr_geo.radiometry import Float
from sr_geo.train.checkpoint import export_checkpoint
from sr_geo.train.plates import render_plate

TABLE = Path(__file__).resolve().parent / "results" / "validation.csv"
COLUMNS = ("set", "method", "pictures", "psnr_db", "ssim", "lpips")
MOST = 24
SETS = {"medical": ("X-rays", "CT"), "face": ("faces",), "plate": ("rendered plates",), "photo": ("photos",)}
FOLDERS = {"X-rays": ("medical", "cxr/"), "CT": ("medical", "ct/"), "faces": ("faces", ""), "photos": ("photos", "")}
"""Folder of the data, and how the names of its table begin."""
COUNTRIES = ("kz", "ru", "eu", "us", "br")


def pictures(name: str, data: Path) -> Iterator[Float]:
    """The pictures of a set, ``(C, H, W)`` in 0…1."""
    if name == "rendered plates":
        for number in range(MOST):
            chance = np.random.default_rng([99, number])
            plate = render_plate(chance, size=(120, 256), width=200.0, countries=COUNTRIES, held_out=True, centred=True)
            yield bytes_of(plate.picture)
        return
    folder, start = FOLDERS[name]
    with (data / folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        files = [row["file"] for row in csv.DictReader(stream) if row["split"] == "val" and row["file"].startswith(start)]
    found = sorted(path for path in (data / folder / file for file in files) if path.exists())
    for path in found[:: max(1, -(-len(found) // MOST))]:
        values = picture(path, gray=folder == "medical")
        if name == "photos":  # at their own size few of them are sharp
            values = bytes_of(resized(Image.Resampling.BICUBIC, 1 / 3 if "large" in path.parts else 1 / 2)(values))
        yield middle(values)


def measured(name: str, method: str, enlarge: Method, data: Path) -> Row:
    """The row of a set and a method."""
    smaller = resized(Image.Resampling.BICUBIC, 1 / SCALE)
    each = [figures(truth, bytes_of(enlarge(bytes_of(smaller(truth))))) for truth in pictures(name, data)]
    psnr, ssim, distance = np.mean(each, axis=0)
    row = {"set": name, "method": method, "pictures": len(each)}
    return row | {"psnr_db": f"{psnr:.2f}", "ssim": f"{ssim:.4f}", "lpips": f"{distance:.4f}"}


def methods(domain: str, models: list[str], folder: Path) -> dict[str, Method]:
    """What is compared: the candidates, or interpolation, RealSR-DF2K and what is shipped."""
    if models:
        return {Path(name).stem: ours(open_model(Path(name), device="cpu", threads=1), domain) for name in models}
    path = folder / f"{PEERS[0]}.onnx"
    if not path.exists():
        export_checkpoint(PEERS[0], path)
    bicubic = resized(Image.Resampling.BICUBIC, SCALE)
    found: dict[str, Method] = {"bicubic": bicubic, PEERS[0]: peer(open_model(path, device="cpu", threads=1))}
    return found | {name: ours(open_model(entries()[name].path, device="cpu", threads=1), domain) for name in DOMAINS[domain]}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--domain", choices=tuple(SETS), action="append", help="default: all")
    parser.add_argument("--model", action="append", default=[], help="ONNX file of a candidate, with one --domain")
    words = parser.parse_args()
    if words.model and len(words.domain or ()) != 1:
        parser.error("--model needs one --domain")
    with TemporaryDirectory() as folder:
        for domain in words.domain or SETS:
            for method, enlarge in methods(domain, words.model, Path(folder)).items():
                for name in SETS[domain]:
                    row = measured(name, method, enlarge, words.data)
                    print(*row.values(), flush=True)
                    write_rows(TABLE, COLUMNS, put(read_rows(TABLE), [row], ("set", "method")))


if __name__ == "__main__":
    main()
