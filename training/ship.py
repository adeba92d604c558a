"""Put a trained model into the package: its weights as ONNX, its card with measured quality, its hash in the index.

    python training/ship.py runs/satellite-rgbn-x4                                                 before it is measured
    python training/benchmark_satellite.py --model satellite-rgbn-x4
    python training/ship.py runs/satellite-rgbn-x4 training/results/satellite-rgbn-x4.csv          with what was measured

    python training/ship.py runs/face-rgb-x4 training/results/pictures.csv --int8 DIR              and an int8 twin, NAME-int8
    python training/ship.py runs/face-rgb-perceptual-x4 training/results/pictures.csv --precision fp16 --int8 DIR      leaning, for pictures

For X-rays, plates and faces `training/benchmark_pictures.py --domain … --model RUN/NAME.onnx` measures, into training/results/pictures.csv.

The run's log (metrics.csv, recipe.json, data.json) is copied to training/results/runs/NAME.
"""

import argparse
import csv
import json
import shutil
from pathlib import Path

import onnx
from benchmark_pictures import METHODS

from sr_geo.models.card import Quality
from sr_geo.models.chart import TEST_SET, figure_of
from sr_geo.models.session import open_model
from sr_geo.train.checkpoint import export_checkpoint
from sr_geo.train.export import sha256_of, write

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "sr_geo" / "models" / "weights"
SIGMAS = ("1.2", "1.6", "2.0", "2.8")
TEST_SETS = {
    "naip": "NAIP, North Dakota, rows 572–722 of ten dates",
    "spain": "Sentinel-2, Segura valley in Spain (40 m → 10 m)",
    "denmark": "Sentinel-2, Jutland in Denmark (40 m → 10 m)",
    "agnet": "Landsat 8, North Dakota, rows from 2560",
    "lc08": "Landsat 8 scene 224078, columns from 1400",
}


INPUTS = {"bicubic": "bicubic reduction, 8 bits", "trained": "degraded as in training"}


def measured(path: Path, domain: str, leaning: str) -> list[Quality]:
    """Gain over bicubic, SSIM and LPIPS of the default path, for each test set and blur, or each way of making the input."""
    with path.open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    metrics = {"PSNR gain over bicubic, dB": "gain_db", "SSIM": "ssim", "LPIPS (AlexNet)": "lpips"}
    if domain != "satellite":
        return [
            Quality(
                test_set=f"{row['test_set']}, {row['pictures']} test pictures",
                condition=INPUTS[row["input"]],
                metric=metric,
                value=float(row[column]),
            )
            for row in table
            if row["method"] == METHODS[leaning] and row["domain"] == domain
            for metric, column in metrics.items()
        ]
    rows = [row for row in table if row["method"] == "network+psf" and row["sigma"] == row["sigma_given"]]
    return [
        Quality(
            test_set=TEST_SETS[row["source"]],
            condition=f"sigma {row['sigma']}",
            metric=metric,
            value=round(float(row[column]), 2 if column == "gain_db" else 3),
        )
        for row in rows
        if row["sigma"] in SIGMAS
        for metric, column in metrics.items()
    ]


def add_figure(path: Path) -> Quality:
    """Put into the card of a file what its network gains on the computed chart: `sr-geo models verify` holds it against that."""
    upscaler = open_model(path, device="cpu", threads=1)
    figure = figure_of(upscaler)
    others = [known for known in upscaler.card.quality if known.test_set != TEST_SET]
    write(onnx.load(path), upscaler.card.model_copy(update={"quality": (*others, figure)}), path)
    return figure


def name_twin(path: Path, name: str) -> None:
    """Name an int8 export apart from the network it is a twin of; its figures are its own: what it loses, and the chart."""
    card = open_model(path, device="cpu", threads=1).card
    write(onnx.load(path), card.model_copy(update={"name": f"{name}-int8", "title": f"{card.title}, int8"}), path)


def main() -> None:
    """Ship the run named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("results", type=Path, nargs="?", help="CSV of benchmark_satellite.py or benchmark_pictures.py")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="fp16: half the size, a quarter slower on processors")
    parser.add_argument("--int8", type=Path, metavar="DIR", help="ship an int8 twin, too; DIR: root of the imagery of the run")
    arguments = parser.parse_args()
    recipe = json.loads((arguments.run / "recipe.json").read_text(encoding="utf-8"))
    name = recipe["name"]
    quality = measured(arguments.results, recipe["domain"], recipe["leaning"]) if arguments.results else []
    difference = export_checkpoint(arguments.run, WEIGHTS / f"{name}.onnx", precision=arguments.precision, quality=quality).difference
    made = [WEIGHTS / f"{name}.onnx"]
    if arguments.int8:
        twin = WEIGHTS / f"{name}-int8.onnx"
        lost = export_checkpoint(arguments.run, twin, precision="int8", data=arguments.int8).psnr_lost
        name_twin(twin, name)
        made.append(twin)
        print(f"{twin.stem}: loses {lost:.3f} dB of PSNR on held-out imagery")
    index = json.loads((WEIGHTS / "index.json").read_text(encoding="utf-8"))
    for path in made:
        add_figure(path)
        index[path.stem] = sha256_of(path)
    (WEIGHTS / "index.json").write_text(json.dumps(dict(sorted(index.items())), indent=2) + "\n", encoding="utf-8")
    log = ROOT / "training" / "results" / "runs" / name
    log.mkdir(parents=True, exist_ok=True)
    for file in ("metrics.csv", "recipe.json", "data.json"):
        shutil.copyfile(arguments.run / file, log / file)
    print(f"{name}: differs from PyTorch by at most {difference:.1e}, {len(quality)} figures in the card")


if __name__ == "__main__":
    main()
