"""Pack what the study needs for a machine without the data: pictures for training, and perceptual networks in halves.

    python training/study/pack.py study-pack.tar.xz --data DIR

Only training splits are read: NAIP without 2015, rows below 520; the Landsat mosaic, rows below 2560; X-rays, CT slices and people
marked `train`; rendered plates. Everything is stored as pictures of 8 bits, so that the other machine needs no GDAL. What was read is
listed with its SHA-256 in training/results/study-data.json, which tests hold against the test material.
"""

import argparse
import csv
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from plan import BASES, HERE, read_plan

from sr_geo.train.export import sha256_of
from sr_geo.train.packing import pack_networks
from sr_geo.train.plates import render_plate
from sr_geo.train.recipe import load_recipe

HIDDEN = "20150926"
"""Date that is one half of a real pair for tests."""
COUNTS = {"cxr": 110, "ct": 30, "plates": 320, "landsat": 30}
SIDE = 200
"""Of the windows of the Landsat mosaic."""
NAIP, NAIP_ROWS = "satellite/hr/naip/*.tif", (0, 520)
MOSAIC, MOSAIC_ROWS = "satellite/landsat/agnet_lc8_northdakota_2015245.tif", (0, 2560)
LIST = HERE.parents[1] / "training/results/study-data.json"


def dates(data: Path) -> list[Path]:
    """NAIP's files that are read."""
    return [path for path in sorted(data.glob(NAIP)) if HIDDEN not in path.name]


def chosen(data: Path) -> dict[str, list[Path]]:
    """X-rays, CT slices and faces that are read, by their folder: a share of them where there are many; people all."""
    found = {}
    for folder, kind, count in (("medical", "cxr", COUNTS["cxr"]), ("medical", "ct", COUNTS["ct"]), ("faces", "", 0)):
        with (data / folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["split"] == "train" and row["file"].startswith(kind)]
        rows = rows[:: max(1, -(-len(rows) // count))] if count else rows
        found[f"{folder}/{kind}".rstrip("/")] = [data / folder / row["file"] for row in rows]
    return found


def listing(data: Path) -> str:
    """What is read, as JSON: sources as a recipe names them, and the SHA-256 of every file."""
    pictures = [path for paths in chosen(data).values() for path in paths]
    sources = [
        {"kind": "rasters", "files": [NAIP], "rows": NAIP_ROWS},
        {"kind": "rasters", "files": [MOSAIC], "rows": MOSAIC_ROWS},
        *({"kind": "images", "files": [f"{folder}/*"], "split": "train"} for folder in chosen(data)),
    ]
    files = {path.relative_to(data).as_posix(): sha256_of(path) for path in sorted([*dates(data), data / MOSAIC, *pictures])}
    return json.dumps({"sources": sources, "files": files}, indent=2) + "\n"


def satellite(data: Path, target: Path) -> None:
    """Natural colours between the 1st and the 99th percentile of each file, lossless."""
    target.mkdir(parents=True)
    for path in dates(data):
        with rasterio.open(path) as dataset:
            _save(_stretched(dataset.read((1, 2, 3), window=(NAIP_ROWS, (0, dataset.width)))), target / f"{path.stem}.webp")
    with rasterio.open(data / MOSAIC) as dataset:
        values = dataset.read((3, 2, 1), window=(MOSAIC_ROWS, (0, dataset.width)))
    chance, kept = np.random.default_rng(7), 0
    shown = _stretched(values)
    whole = (values > 0).all(axis=0)
    for _ in range(20_000):
        if kept == COUNTS["landsat"]:
            break
        row, column = (int(chance.integers(length - SIDE)) for length in values.shape[1:])
        if whole[row : row + SIDE, column : column + SIDE].all():
            _save(shown[:, row : row + SIDE, column : column + SIDE], target / f"landsat-{row}-{column}.webp")
            kept += 1


def pictures(data: Path, target: Path) -> None:
    """X-rays, CT slices and faces as they are."""
    for folder, paths in chosen(data).items():
        (target / folder).mkdir(parents=True, exist_ok=True)
        for path in paths:
            shutil.copyfile(path, target / folder / path.name)


def plates(target: Path) -> None:
    """Rendered plates with texts that validation never draws."""
    target.mkdir(parents=True)
    for number in range(COUNTS["plates"]):
        chance = np.random.default_rng([723, number])
        plate = render_plate(chance, size=(136, 160), width=float(chance.uniform(80.0, 260.0)))
        Image.fromarray(_bytes(plate.picture)).save(target / f"{number:04d}.jpg", quality=96, subsampling=0)


def networks(target: Path) -> None:
    """The perceptual networks of the plan, ResNet152V2 only where its file or a stand-in is at hand."""
    common = {"name": "study", "title": "study", "limits": "none", "domain": "photo", "model.bands": "[red, green, blue]"}
    source = "[{kind: images, name: none, files: [none], licence: none}]"
    common |= {"sources": source, "validation": source, "degradation": "{kind: bicubic}"}
    overrides = tuple(f"{key}={value}" for key, value in common.items())
    systems = {entry["system"] for entry in read_plan().content["runs"].values() if entry.get("needs") is None}
    if _has_resnet():
        systems.add("esrgan-resnet152v2")
    recipes = [load_recipe(BASES / f"{system}.yaml", overrides) for system in sorted(systems)]
    for line in pack_networks(recipes, target):
        print(line)


def _has_resnet() -> bool:
    folder = os.environ.get("SR_GEO_WEIGHTS")
    return folder is not None and any(Path(folder).glob("resnet152v2*"))


def _stretched(values: NDArray[np.integer[Any] | np.floating[Any]]) -> NDArray[np.uint8]:
    known = values[:, (values > 0).all(axis=0)]
    low, high = np.percentile(known, (1, 99))
    stretched: NDArray[np.uint8] = np.rint(np.clip((values - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
    return stretched


def _bytes(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8).transpose(1, 2, 0)
    return rounded


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0))).save(path, lossless=True, quality=60, method=4)


def main() -> None:
    """Pack, and say how large it has become."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="a folder to make, or an archive ….tar.xz")
    parser.add_argument("--data", type=Path, default=os.environ.get("SR_GEO_DATA"), required="SR_GEO_DATA" not in os.environ)
    arguments = parser.parse_args()
    archived = arguments.target.name.endswith(".tar.xz")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) if archived else arguments.target
        satellite(arguments.data, root / "pictures/satellite")
        pictures(arguments.data, root / "pictures")
        plates(root / "pictures/plates")
        networks(root / "weights")
        LIST.write_text(listing(arguments.data), encoding="utf-8")
        for part in sorted(root.glob("*/*")):
            size = sum(path.stat().st_size for path in (part.rglob("*") if part.is_dir() else [part]) if path.is_file())
            print(f"{part.relative_to(root)}: {size / 2**20:.1f} MiB")
        if archived:
            with tarfile.open(arguments.target, "w:xz", preset=1) as archive:
                for name in ("pictures", "weights"):
                    archive.add(root / name, name)
            print(f"{arguments.target}: {arguments.target.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
