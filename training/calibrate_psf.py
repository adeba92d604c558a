"""How well `sr_geo.psf` finds a blur that is known, and what it finds in real products.

    SR_GEO_DATA=… python training/calibrate_psf.py [--out training/results/psf.csv] [--only test] [--sigmas 1.0,1.6,2.4,3.2]

Imagery is taken as the high-resolution truth, blurred by a Gaussian of σ pixels, averaged over 4 × 4 pixels and handed to the
estimator. Its own blur adds in quadrature; it is measured by the same estimator on the imagery as it is, once per source. Rows
"train" chose the constants of `sr_geo.psf`; rows "test" only report; rows "product" are imagery as delivered, σ in quarter pixels.
"""

import argparse
import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scenes import SPAIN, open_scene
from scipy.ndimage import binary_dilation, gaussian_filter

from sr_geo import psf
from sr_geo.radiometry import Float, Mask

SCALE = 4
SIGMAS = tuple(round(1.0 + 0.2 * step, 1) for step in range(12))
FACTORS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)
COLUMNS = ("split", "source", "band", "sigma", "own", "truth", "edges", "spread", "estimate", *(f"factor {factor}" for factor in FACTORS))
SATELLITE = Path(os.environ.get("SR_GEO_DATA", "../shared/data")) / "satellite"
AGNET = "landsat/agnet_lc8_northdakota_2015245.tif"
LC08 = "landsat/LC08_L1TP_{}_20200518_20200518_01_RT{}.TIF"
DENMARK = "sentinel2/denmark_20160508_BGR_B2B3B4_uint16_10m.tif"


@dataclass(frozen=True, slots=True)
class Part:
    """Bands of one source; `pieces` holds (band, valid) pairs whose edges are pooled."""

    source: str
    band: str
    pieces: tuple[tuple[Float, Mask], ...]


def read(path: Path | str, band: int, rows: slice = slice(None), columns: slice = slice(None)) -> tuple[Float, Mask]:
    """One band (from 1) as float32 with 0 taken for nodata."""
    with open_scene(SATELLITE / path) as dataset:
        values: NDArray[np.float32] = dataset.read(band)[rows, columns].astype(np.float32)
    return values, values > 0


def train_parts() -> Iterator[Part]:
    """Imagery that the constants may be chosen on."""
    for path in sorted(path.relative_to(SATELLITE) for path in (SATELLITE / "hr/naip").glob("*.tif")):
        for number, name in enumerate(("red", "green", "blue", "nir"), start=1):
            yield Part("NAIP", f"{path.stem[-8:]} {name}", (read(path, number, slice(0, 520)),))
    for number, name in enumerate(("blue", "green", "red", "nir"), start=1):
        for half in range(2):
            yield Part("Ag-Net", f"{name} {half}", (read(AGNET, number, slice(0, 2560), slice(half * 3392, half * 3392 + 3392)),))
    for number, name in ((2, "blue"), (3, "green"), (4, "red")):
        yield Part("LC08 224077", name, (read(LC08.format("224077", f"_B{number}"), 1),))


def test_parts() -> Iterator[Part]:
    """Imagery that only reports."""
    dates = sorted(path.relative_to(SATELLITE) for path in (SATELLITE / "hr/naip").glob("*.tif"))
    for number, name in enumerate(("red", "green", "blue", "nir"), start=1):
        yield Part("NAIP all dates", name, tuple(read(path, number, slice(572, 723)) for path in dates))
    for number, name in enumerate(("blue", "green", "red", "nir"), start=1):
        yield Part("Ag-Net", name, (read(AGNET, number, slice(2560, None)),))
    for number in (1, 2, 3):
        yield Part("LC08 224078", f"band {number}", (read(LC08.format("224078", ""), number, columns=slice(1400, None)),))
    for number, name in enumerate(("B2", "B3", "B4"), start=1):
        yield Part("Denmark", name, (read(DENMARK, number),))
    for number, name in ((2, "B2"), (3, "B3"), (4, "B4"), (8, "B8")):
        yield Part("Spain", name, (read(f"sentinel2/{SPAIN}", number),))


def product_parts() -> Iterator[Part]:
    """Imagery as delivered: the windows that the estimator would read."""

    def whole(source: str, path: str, bands: dict[int, str]) -> Iterator[Part]:
        for number, name in bands.items():
            band, valid = read(path, number)
            windows = [window.slices() for window in psf.sample_windows(*band.shape)]
            yield Part(source, name, tuple((band[window], valid[window]) for window in windows))

    yield from whole("Sentinel-2 Denmark", DENMARK, {1: "B2", 2: "B3", 3: "B4"})
    yield from whole("Sentinel-2 Spain", f"sentinel2/{SPAIN}", {2: "B2", 3: "B3", 4: "B4", 8: "B8"})
    yield from whole("Landsat 8 Ag-Net", AGNET, {1: "blue", 2: "green", 3: "red", 4: "nir"})
    yield from whole("Landsat 8 224078", LC08.format("224078", ""), {1: "band 1", 2: "band 2", 3: "band 3"})
    for number, name in ((2, "blue"), (3, "green"), (4, "red")):
        yield from whole("Landsat 8 224077", LC08.format("224077", f"_B{number}"), {1: name})
    yield from whole("Landsat 7", "landsat/stars_L7_ETMs_6band.tif", {1: "blue", 2: "green", 3: "red", 4: "nir"})


def seen(band: Float, valid: Mask, sigma: float) -> tuple[Float, Mask]:
    """Gaussian of `sigma` pixels, then the mean over 4 × 4."""
    height, width = (size // SCALE for size in band.shape)
    if not valid.all():
        valid = ~binary_dilation(~valid, iterations=8)
    blurred = gaussian_filter(band, sigma)[: height * SCALE, : width * SCALE]
    coarse = blurred.reshape(height, SCALE, width, SCALE).mean(axis=(1, 3), dtype=np.float32)
    whole: Mask = np.logical_and.reduce(valid[: height * SCALE, : width * SCALE].reshape(height, SCALE, width, SCALE), axis=(1, 3))
    return coarse, whole


def central(band: Float, valid: Mask, size: int = 512) -> tuple[Float, Mask]:
    """The middle of a large band: enough to measure its own blur."""
    row, column = (max(0, (length - size) // 2) for length in band.shape)
    window = slice(row, row + size), slice(column, column + size)
    return band[window], valid[window]


def measure(split: str, parts: list[Part], sigmas: Sequence[float]) -> Iterator[dict[str, object]]:
    """One row per part and σ; the own blur of a source is the median over its bands."""
    own: dict[str, list[float]] = defaultdict(list)
    for part in parts:
        estimate = psf.sigma_of_edges([psf.find_edges(*central(*piece)) for piece in part.pieces], scale=1)
        if estimate.sigma is not None:
            own[part.source].append(estimate.sigma)
    for part in parts:
        blur = float(np.median(own[part.source])) if own[part.source] else 0.0
        for sigma in sigmas:
            edges = [psf.find_edges(*seen(*piece, sigma)) for piece in part.pieces]
            yield row(split, part, edges, sigma=sigma, own=blur)


def row(split: str, part: Part, edges: list[psf.Edges], *, sigma: float = np.nan, own: float = np.nan) -> dict[str, object]:
    """The estimate, and for the choice of the factor what other factors would have given."""
    estimate = psf.sigma_of_edges(edges, scale=SCALE)
    result: dict[str, object] = {"split": split, "source": part.source, "band": part.band, "sigma": sigma, "own": round(own, 3)}
    result |= {"truth": round(float(np.hypot(sigma, own)), 3), "edges": estimate.edges, "spread": round(estimate.spread, 3)}
    result |= {"estimate": "" if estimate.sigma is None else round(estimate.sigma, 3)}
    if split == "train":
        for factor in FACTORS:
            scaled = [psf.Edges(each.width, each.error * factor / psf._ERROR_FACTOR) for each in edges]
            other = psf.sigma_of_edges(scaled, scale=SCALE).sigma
            result[f"factor {factor}"] = "" if other is None else round(other, 3)
    return result


def main() -> None:
    """Measure everything, write the CSV."""
    parser = argparse.ArgumentParser(description="How well the blur estimation works.")
    parser.add_argument("--out", type=Path, default=Path("training/results/psf.csv"))
    parser.add_argument("--only", choices=("train", "test", "product"), action="append")
    parser.add_argument("--sources", default="", help="only sources whose name contains one of these, comma separated")
    parser.add_argument("--sigmas", default=",".join(map(str, SIGMAS)))
    arguments = parser.parse_args()
    sigmas = [float(each) for each in arguments.sigmas.split(",")]
    makers = {"train": train_parts, "test": test_parts, "product": product_parts}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS, lineterminator="\n")
        writer.writeheader()
        for split in arguments.only or makers:
            parts = [part for part in makers[split]() if any(name in part.source for name in arguments.sources.split(","))]
            results: Iterable[dict[str, object]]
            if split == "product":
                results = (row(split, part, [psf.find_edges(*piece) for piece in part.pieces]) for part in parts)
            else:
                results = measure(split, parts, sigmas)
            for result in results:
                writer.writerow(result)
                file.flush()


if __name__ == "__main__":
    main()
