"""Put a trained model into the package: its weights as ONNX, its card with measured quality, its hash in the index.

    python training/ship.py runs/satellite-rgbn-x4                                                 before it is measured
    python training/benchmark_satellite.py --model satellite-rgbn-x4
    python training/ship.py runs/satellite-rgbn-x4 training/results/satellite-rgbn-x4.csv          with what was measured

    sr-geo export runs/plate-rgb-x4 plate-rgb-x4-int8.onnx --precision int8 --data DIR             and an int8 twin, NAME-int8
    python training/benchmark_pictures.py --data DIR --domain plate --model plate-rgb-x4 --model plate-rgb-x4-int8.onnx
    python training/ship.py runs/plate-rgb-x4 training/results/pictures.csv --int8 DIR

Figures of pictures.csv are taken if they are of these very weights. Nothing is replaced before everything is made, and a twin that loses
more than 0.1 dB on held-out imagery, or of its card's gain on any test set, is refused; of models that lean to perception there are none,
since bytes cost what they are for (LPIPS rose by 38 % for faces). The run's log (metrics.csv, recipe.json, data.json) is copied to
training/results/runs/NAME.
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from benchmark_pictures import INT8, METHODS, fingerprint
from result_table import Row, read_rows

from sr_geo.models.card import Quality
from sr_geo.models.chart import TEST_SET, figure_of
from sr_geo.models.session import open_model
from sr_geo.train.checkpoint import export_checkpoint
from sr_geo.train.export import sha256_of, write

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "sr_geo" / "models" / "weights"
SIGMAS = ("1.2", "1.6", "2.0", "2.8")
TEST_SETS = {
    "naip": "NAIP, one place in North Dakota (rows 572–722) at ten dates",
    "spain": "Sentinel-2, Segura valley in Spain (40 m → 10 m)",
    "denmark": "Sentinel-2, Jutland in Denmark (40 m → 10 m)",
    "agnet": "Landsat 8, North Dakota, rows from 2560",
    "lc08": "Landsat 8 scene 224078, columns from 1400",
}


SHOWN = {
    "CR": "chest X-rays (CR) of 19 patients",
    "DX": "chest X-ray (DX)",
    "CT": "CT slices of one patient",
    "people of the test split": "faces of 18 people",
}
"""What the test sets of pictures.csv show; the others say it."""
INPUTS = {"bicubic": "bicubic reduction, 8 bits", "trained": "degraded as in training"}
BICUBIC = "bicubic"
METRICS = {
    "PSNR gain over bicubic, dB": ("gain_db", ""),
    "SSIM": ("ssim", ""),
    "SSIM of bicubic": ("ssim", BICUBIC),
    "LPIPS (AlexNet)": ("lpips", ""),
    "LPIPS of bicubic": ("lpips", BICUBIC),
    "NDVI error of 3 × 3 input pixels, RMS": ("ndvi3_rmse", ""),
    "NDVI error of the input raster, RMS": ("ndvi3_rmse", "input"),
}
"""Column of each figure, and of which other method it is."""
DECIMALS = {"gain_db": 2, "ndvi3_rmse": 4}
"""Of figures; three of all others."""
MOST_LOST = 0.1
"""PSNR in dB on held-out imagery that an int8 twin may lose."""


def figures(row: Row, others: Mapping[str, Row], test_set: str, condition: str) -> list[Quality]:
    """What was measured of a model, and of others on the same inputs; a figure that there is not is left out.

    Args:
        row: of the model.
        others: rows of other methods on the same inputs, by method.
        test_set: what they are measured on.
        condition: what the input was made with.
    """
    found = []
    for metric, (column, method) in METRICS.items():
        value = (others.get(method, {}) if method else row).get(column)
        if value:
            rounded = round(float(str(value)), DECIMALS.get(column, 3))
            found.append(Quality(test_set=test_set, condition=condition, metric=metric, value=rounded))
    return found


def of_pictures(table: list[Row], domain: str, method: str, weights: str) -> list[Quality]:
    """Figures of a model for pictures, for each test set and each way of making the input.

    Raises:
        SystemExit: the table has figures of other weights, or none.
    """
    rows = [row for row in table if row["method"] == method and row["domain"] == domain]
    if {row["weights"] for row in rows} != {weights}:
        raise SystemExit(f"{domain}, {method}: no figures of weights {weights}; measure them first with training/benchmark_pictures.py")
    found: list[Quality] = []
    for row in rows:
        same = {str(one["method"]): one for one in table if all(one[key] == row[key] for key in ("domain", "test_set", "input"))}
        test_set = f"{SHOWN.get(str(row['test_set']), row['test_set'])}, {row['pictures']} test picture{'s' * (row['pictures'] != '1')}"
        found += figures(row, same, test_set, INPUTS[str(row["input"])])
    return found


def of_satellites(table: list[Row]) -> list[Quality]:
    """Figures of the default path for each test set and blur, as far as they were measured: told the blur as it is, and told another."""
    found: list[Quality] = []
    for row in table:
        if row["method"] == "network+psf" and row["sigma"] in SIGMAS:
            right = row["sigma"] == row["sigma_given"]
            same = {str(one["method"]): one for one in table if all(one[key] == row[key] for key in ("source", "sigma"))}
            condition = f"sigma {row['sigma']}, no noise, told {'as it is' if right else row['sigma_given']}"
            found += figures(row, same if right else {}, TEST_SETS[str(row["source"])], condition)
    return found


def check_losses(name: str, quality: Sequence[Quality], twin: Sequence[Quality]) -> None:
    """Hold a twin to what its network gains, on each test set and input.

    Raises:
        SystemExit: it loses more than `MOST_LOST`.
    """
    gains = ({f"{one.test_set}, {one.condition}": one.value for one in each if "gain" in one.metric} for each in (quality, twin))
    whole, bytes_only = gains
    if not bytes_only or whole.keys() != bytes_only.keys():
        raise SystemExit(f"{name}: its network and it were not measured on the same test sets; run training/benchmark_pictures.py on both")
    lost = {place: round(whole[place] - gain, 3) for place, gain in bytes_only.items()}
    too_much = "; ".join(f"{place}: {loss:g} dB" for place, loss in lost.items() if loss > MOST_LOST)
    if too_much:
        raise SystemExit(f"{name}: loses more than {MOST_LOST} dB of PSNR on {too_much}; ship without --int8")


def add_figure(path: Path) -> Quality:
    """Put into the card of a file what its network gains on the computed chart: `sr-geo models verify` holds it against that."""
    upscaler = open_model(path, device="cpu", threads=1)
    figure = figure_of(upscaler)
    others = [known for known in upscaler.card.quality if known.test_set != TEST_SET]
    write(onnx.load(path), upscaler.card.model_copy(update={"quality": (*others, figure)}), path)
    return figure


def name_twin(path: Path, name: str, quality: list[Quality]) -> None:
    """Name an int8 export apart from the network it is a twin of, and add what was measured of it to what it loses."""
    card = open_model(path, device="cpu", threads=1).card
    told = card.model_copy(update={"name": f"{name}-int8", "title": f"{card.title}, int8", "quality": (*card.quality, *quality)})
    write(onnx.load(path), told, path)


def main() -> None:
    """Ship the run named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("results", type=Path, nargs="?", help="CSV of benchmark_satellite.py or benchmark_pictures.py")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="fp16: half the size, a quarter slower on processors")
    parser.add_argument("--int8", type=Path, metavar="DIR", help="ship an int8 twin, too; DIR: root of the imagery of the run")
    arguments = parser.parse_args()
    recipe = json.loads((arguments.run / "recipe.json").read_text(encoding="utf-8"))
    name, domain, leaning = recipe["name"], recipe["domain"], recipe["leaning"]
    if arguments.int8 and leaning != "fidelity":
        parser.error("--int8: of a model that leans to perception there is no twin")
    if arguments.int8 and not arguments.results:
        parser.error("--int8: give the table of what was measured of both")
    table = read_rows(arguments.results) if arguments.results else []
    with TemporaryDirectory(dir=WEIGHTS.parent) as folder:
        path, twin = Path(folder) / f"{name}.onnx", Path(folder) / f"{name}-int8.onnx"
        export_checkpoint(arguments.run, path)
        quality: list[Quality] = []
        if table:
            quality = of_satellites(table) if domain == "satellite" else of_pictures(table, domain, METHODS[leaning], fingerprint(path))
        difference = export_checkpoint(arguments.run, path, precision=arguments.precision, quality=quality).difference
        made = [path]
        if arguments.int8:
            lost = export_checkpoint(arguments.run, twin, precision="int8", data=arguments.int8).psnr_lost
            if lost is None or lost > MOST_LOST:
                raise SystemExit(f"{twin.stem}: loses {lost} dB of PSNR on held-out imagery, more than {MOST_LOST}; ship without --int8")
            of_twin = of_pictures(table, domain, METHODS[leaning] + INT8, fingerprint(twin))
            check_losses(twin.stem, quality, of_twin)
            name_twin(twin, name, of_twin)
            made.append(twin)
            print(f"{twin.stem}: loses {lost:.3f} dB of PSNR on held-out imagery")
        index = json.loads((WEIGHTS / "index.json").read_text(encoding="utf-8"))
        for each in made:
            add_figure(each)
            index[each.stem] = sha256_of(each)
        for each in made:
            shutil.move(each, WEIGHTS / each.name)
    (WEIGHTS / "index.json").write_text(json.dumps(dict(sorted(index.items())), indent=2) + "\n", encoding="utf-8")
    log = ROOT / "training" / "results" / "runs" / name
    log.mkdir(parents=True, exist_ok=True)
    for file in ("metrics.csv", "recipe.json", "data.json"):
        shutil.copyfile(arguments.run / file, log / file)
    print(f"{name}: differs from PyTorch by at most {difference:.1e}, {len(quality)} figures in the card")


if __name__ == "__main__":
    main()
