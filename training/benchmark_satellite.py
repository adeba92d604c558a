"""How much a satellite model gains over interpolation on imagery that it never saw, for sensors sharp and soft.

    python training/benchmark_satellite.py                                     interpolation only
    python training/benchmark_satellite.py --model satellite-rgbn-x4           and a shipped model, or the path of an .onnx file

Every high-resolution test picture is brought down by the sensor model (Gaussian of σ high-resolution pixels, then the
mean over 4 × 4, edges replicated; no noise, no rounding), enhanced, and compared with itself. Written to
training/results: one row a source, σ and method as CSV, and the gain against σ as PNG.

What the columns mean (all are means over the pictures of a source, 8 pixels off on every side unless said otherwise)
  psnr_db       of the mean squared error over all bands; peak 255 for 8 bits, else the 99.5th percentile of the source's test pixels
  gain_db       psnr_db less that of bicubic (Keys, a = −0.5, pixel corners kept)
  ssim          Gaussian window of 1.5 pixels, mean over bands, same peak
  lpips         LPIPS 0.1 (AlexNet) of red, green, blue divided by the peak and clipped to 0…1; lower is better
  sam_deg       mean spectral angle
  seen_again    mean |difference| between what the sensor sees of the result and its input, in stored values (DN)
  ndvi3_*       error of the NDVI of blocks of 3 × 3 input pixels (60 m for the NAIP set at 20 m input) against truth, NDVI of the
                block's mean red and near infrared: rmse and mae (mean |difference|); ndvi10_*: of 10 × 10 input pixels (200 m).
                The outer three input pixels are left out
  zonal3_mae    the same for the mean of the pixels' NDVI, which is what zonal statistics of an NDVI raster give. It depends on the
                pixel size where a block is mixed, most of all at dark water, so that an input raster cannot be right; zonal10_mae
  im, om, ha    opensr-test improvement ↑, omission ↓, hallucination ↓ (values divided by 255, or by 10000)
Methods: input (the raster itself, NDVI only), bilinear, bicubic, lanczos3, bicubic+psf (the control: no network, only
the consistency step), network, network+psf (what `sr-geo enhance` does by default), network+mean; with sigma_given
other than sigma the network and the consistency step are told a σ that is wrong by 0.4 (within the range that the network takes).
"""

import argparse
import csv
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scenes import SPAIN, open_scene
from scipy.ndimage import correlate1d

from sr_geo.consistency import Sensor, make_block_consistent, make_consistent
from sr_geo.quality.lpips import INSTALL, is_available, lpips
from sr_geo.quality.metrics import drift, moments, structure
from sr_geo.quality.opensr import opensr

Float = NDArray[np.float32]

SCALE = 4
BORDER = 8
SIGMAS = (1.0, 1.2, 1.6, 2.0, 2.4, 2.8, 3.2)
WRONG_BY = 0.4
WRONG_AT = (1.2, 2.0, 2.8)
WRONG_ON = ("naip", "spain")
OPENSR_AT = (1.6, 2.8)
OPENSR_ON = ("naip", "spain")
RGBN = ("blue", "green", "red", "nir")
RGB = RGBN[:3]
WINDOW = 256


@dataclass(frozen=True)
class Source:
    """Test pictures of one kind."""

    name: str
    bands: tuple[str, ...]
    images: tuple[Float, ...]
    peak: float
    unit: float
    """Stored value of reflectance one, for the opensr figures."""


@dataclass
class Row:
    """Figures of one method on one source at one σ: a value a picture."""

    source: str
    images: int
    bands: str
    sigma: float
    sigma_given: float
    method: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float) -> None:
        """Note the figures of one picture."""
        for key, value in values.items():
            self.values.setdefault(key, []).append(value)

    def mean(self, key: str) -> float:
        """Over the pictures; NaN where the figure does not apply."""
        return float(np.mean(self.values[key])) if self.values.get(key) else math.nan


@dataclass(frozen=True)
class Options:
    """What to measure, from where, to where."""

    model: str | None
    data: Path
    sources: tuple[str, ...]
    sigmas: tuple[float, ...]
    wrong_at: tuple[float, ...]
    most: int | None
    lpips: bool
    threads: int
    out: Path
    name: str


# Test pictures ------------------------------------------------------------------------------------------------------


def sources(data: Path, wanted: Sequence[str]) -> Iterator[Source]:
    """The wanted test sources, one after the other."""
    makers = {"naip": naip, "spain": spain, "denmark": denmark, "agnet": agnet, "lc08": lc08}
    for name in wanted:
        yield makers[name](data / "satellite")


def naip(root: Path) -> Source:
    """Ten dates of one place, 5 m, rows 572–722; in the files: red, green, blue, nir."""
    images = [read(path, (3, 2, 1, 4), rows=(572, 723)) for path in sorted((root / "hr/naip").glob("*.tif"))]
    return Source("naip", RGBN, tuple(images), 255.0, 255.0)


def spain(root: Path) -> Source:
    """Sentinel-2, 10 m taken as truth (Wald's protocol); B2, B3, B4, B8 of the 13."""
    return one_scene("spain", root / "sentinel2" / SPAIN, (2, 3, 4, 8), RGBN)


def denmark(root: Path) -> Source:
    """Sentinel-2, 10 m taken as truth; B2, B3, B4."""
    return one_scene("denmark", root / "sentinel2/denmark_20160508_BGR_B2B3B4_uint16_10m.tif", (1, 2, 3), RGB)


def one_scene(name: str, path: Path, channels: Sequence[int], bands: tuple[str, ...]) -> Source:
    """A scene that is used whole."""
    image = read(path, channels)
    if (image == 0).all(axis=0).any():
        raise SystemExit(f"{path}: holds nodata; choose a window without")
    return Source(name, bands, (image,), percentile([image]), 10000.0)


def agnet(root: Path) -> Source:
    """Landsat 8, 30 m, rows from 2560: every other one of the windows of 256 pixels without nodata."""
    image = read(root / "landsat/agnet_lc8_northdakota_2015245.tif", (1, 2, 3, 4), rows=(2560, 3328))
    whole = windows(image)[::2]
    return Source("agnet", RGBN, tuple(whole), percentile(whole), 10000.0)


def lc08(root: Path) -> Source:
    """Landsat 8 level 1, 30 m, columns from 1400: windows of 256 pixels without nodata."""
    image = read(root / "landsat/LC08_L1TP_224078_20200518_20200518_01_RT.TIF", (1, 2, 3), columns=(1400, 2041))
    whole = windows(image)
    return Source("lc08", RGB, tuple(whole), percentile(whole), 50000.0)


def read(path: Path, channels: Sequence[int], *, rows: tuple[int, int] | None = None, columns: tuple[int, int] | None = None) -> Float:
    """Bands of a raster, cut to a multiple of the scale."""
    with open_scene(path) as dataset:
        top, bottom = rows or (0, dataset.height)
        left, right = columns or (0, dataset.width)
        bottom -= (bottom - top) % SCALE
        right -= (right - left) % SCALE
        values: Float = dataset.read(list(channels), window=((top, bottom), (left, right)), out_dtype=np.float32)
    return values


def windows(image: Float) -> list[Float]:
    """The windows of a regular grid that hold no zero, row by row."""
    _, height, width = image.shape
    corners = [(row, column) for row in range(0, height - WINDOW + 1, WINDOW) for column in range(0, width - WINDOW + 1, WINDOW)]
    cut = [image[:, row : row + WINDOW, column : column + WINDOW] for row, column in corners]
    return [window for window in cut if (window > 0).all()]


def percentile(images: Sequence[Float]) -> float:
    """The 99.5th, over all bands."""
    return float(np.percentile(np.concatenate([image.ravel() for image in images]), 99.5))


# The sensor and the interpolations, written independently of the package ----------------------------------------------


def degrade(hr: Float, sigma: float) -> Float:
    """What a sensor sees: Gaussian of σ pixels (cut at 4 σ), then the mean over 4 × 4; edges replicated."""
    radius = math.ceil(4.0 * sigma)
    taps = np.arange(-radius, radius + 1)
    gauss = np.where(np.abs(taps) <= 4.0 * sigma, np.exp(-0.5 * (taps / sigma) ** 2), 0.0)
    gauss /= gauss.sum()
    blurred = correlate1d(correlate1d(hr.astype(np.float64), gauss, axis=1, mode="nearest"), gauss, axis=2, mode="nearest")
    bands, height, width = hr.shape
    coarse: Float = blurred.reshape(bands, height // SCALE, SCALE, width // SCALE, SCALE).mean(axis=(2, 4)).astype(np.float32)
    return coarse


def keys(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cubic convolution, a = −0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1.0, -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windowed sinc of three lobes."""
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


def triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation."""
    return np.maximum(0.0, 1.0 - np.abs(x))


KERNELS = {"bilinear": (triangle, 1), "bicubic": (keys, 2), "lanczos3": (lanczos, 3)}


def interpolate(lr: Float, method: str) -> Float:
    """Upsampling ×4 with pixel corners kept and edges replicated."""
    kernel, support = KERNELS[method]
    out = lr
    for axis in (1, 2):
        size = out.shape[axis]
        position = (np.arange(size * SCALE) + 0.5) / SCALE - 0.5
        first = np.floor(position).astype(int) - support + 1
        taps = first[:, None] + np.arange(2 * support)
        weights = kernel(position[:, None] - taps)
        weights /= weights.sum(axis=1, keepdims=True)
        gathered = np.take(out, taps.clip(0, size - 1), axis=axis)
        out = np.einsum("cntw,nt->cnw" if axis == 1 else "chnt,nt->chn", gathered, weights.astype(np.float32))
    return out


# The methods ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A network with what must be known to run it."""

    run: Callable[[Float, Float], Float]
    """``(C, h, w)``, σ ``(C,)`` → ``(C, 4h, 4w)``."""
    bands: tuple[str, ...]
    halo: int
    """Input pixels at the edge whose result is unreliable."""
    sigma: tuple[float, float] | None
    """Range of the σ that it takes."""

    def known(self, sigma: float) -> float:
        """The nearest σ that it takes."""
        return sigma if self.sigma is None else min(max(sigma, self.sigma[0]), self.sigma[1])


def open_network(model: str, threads: int) -> Network:
    """A shipped model or an .onnx file."""
    from sr_geo.models.catalog import load_model

    upscaler = load_model(model, device="cpu", threads=threads)
    card = upscaler.card

    def run(lr: Float, sigma: Float) -> Float:
        return upscaler.run(lr, sigma=None if card.sigma is None else sigma.tolist())

    return Network(run, card.bands, card.halo, card.sigma)


def made_consistent(fine: Float, around: Float, sensor: Sensor) -> Float:
    """`fine` and `around` bring the halo of the sensor with them."""
    return np.stack([make_consistent(one, two, sensor) for one, two in zip(fine, around, strict=True)])


def enhanced(lr: Float, sigma: float, network: Network) -> dict[str, Float]:
    """The three uses of the network, with the raster mirrored around as `sr-geo enhance` does."""
    sensor = Sensor(sigma, SCALE)
    margin = network.halo + sensor.halo
    around = np.pad(lr, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    fine = trimmed(network.run(around, np.full(len(lr), sigma, np.float32)), network.halo * SCALE)
    plain = trimmed(fine, sensor.halo * SCALE)
    return {
        "network": plain,
        "network+psf": made_consistent(fine, trimmed(around, network.halo), sensor),
        "network+mean": np.stack([make_block_consistent(one, two, SCALE) for one, two in zip(plain, lr, strict=True)]),
    }


def control(lr: Float, sigma: float) -> Float:
    """Bicubic interpolation under the same consistency: what needs no network."""
    sensor = Sensor(sigma, SCALE)
    margin = sensor.halo
    around = np.pad(lr, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
    return made_consistent(interpolate(around, "bicubic"), around, sensor)


def trimmed(image: Float, margin: int) -> Float:
    """Without `margin` pixels on every side."""
    return image[:, margin : image.shape[1] - margin, margin : image.shape[2] - margin]


# Judging --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A high-resolution picture as a sensor of blur σ saw it."""

    source: Source
    bands: tuple[str, ...]
    hr: Float
    lr: Float
    sigma: float


def judge(row: Row, case: Case, sr: Float, *, perceptual: bool) -> None:
    """Add the figures of one enhanced picture to its row."""
    hr, peak = case.hr, case.source.peak
    sums = moments(hr, sr, border=BORDER)
    row.add(
        psnr_db=sums.psnr(peak).together,
        ssim=structure(hr, sr, data_range=peak, border=BORDER).ssim.together,
        sam_deg=sums.sam,
        seen_again=drift(sr, case.lr, [Sensor(case.sigma, SCALE)] * len(sr)).mae.together,
        **ndvi_errors(hr, sr, case.bands, 1),
    )
    rgb = [case.bands.index(role) for role in ("red", "green", "blue")]
    if perceptual:
        shown = [np.clip(trimmed(image[rgb], BORDER) / peak, 0.0, 1.0) for image in (hr, sr)]
        row.add(lpips=lpips(*shown))
    if case.source.name in OPENSR_ON and case.sigma in OPENSR_AT:
        order = rgb + [index for index in range(len(hr)) if index not in rgb]
        found = opensr(*(image[order] / case.source.unit for image in (case.lr, sr, hr)))
        row.add(im=found.improvement, om=found.omission, ha=found.hallucination)


def ndvi_errors(hr: Float, other: Float, bands: Sequence[str], ratio: int) -> dict[str, float]:
    """Errors of the NDVI of blocks; `other` has pixels `ratio` times as wide as `hr`."""
    if "nir" not in bands:
        return {}
    pair = [bands.index("red"), bands.index("nir")]
    truth = trimmed(hr[pair], 3 * SCALE).astype(np.float64)
    seen = trimmed(other[pair], 3 * SCALE // ratio).astype(np.float64)
    errors = {}
    for blocks in (3, 10):
        fine, coarse = blocks * SCALE, blocks * SCALE // ratio
        error = ndvi(block_means(seen, coarse)) - ndvi(block_means(truth, fine))
        zonal = block_means(ndvi(seen), coarse) - block_means(ndvi(truth), fine)
        errors[f"ndvi{blocks}_rmse"] = float(np.sqrt(np.mean(error**2)))
        errors[f"ndvi{blocks}_mae"] = float(np.abs(error).mean())
        errors[f"zonal{blocks}_mae"] = float(np.abs(zonal).mean())
    return errors


def ndvi(red_nir: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normalised difference of near infrared and red, given as ``(2, h, w)``; within −1…1 even where a value went below zero."""
    red, nir = red_nir
    index: NDArray[np.float64] = np.clip((nir - red) / np.maximum(nir + red, 1e-6), -1.0, 1.0)
    return index


def block_means(image: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Means of blocks of ``side × side``; an incomplete last one is left out."""
    rows, columns = image.shape[-2] // side, image.shape[-1] // side
    cut = image[..., : rows * side, : columns * side]
    means: NDArray[np.float64] = cut.reshape(*image.shape[:-2], rows, side, columns, side).mean(axis=(-3, -1))
    return means


def measure(source: Source, network: Network | None, options: Options) -> list[Row]:
    """All methods on all pictures of a source at all σ, in the order of the table."""
    bands = network.bands if network else source.bands
    rows: dict[tuple[float, float, str], Row] = {}

    def row(sigma: float, given: float, method: str) -> Row:
        new = Row(source.name, len(source.images), "".join(role[0] for role in bands), sigma, given, method)
        return rows.setdefault((sigma, given, method), new)

    for image in source.images:
        hr = np.ascontiguousarray(image[[source.bands.index(role) for role in bands]])
        for sigma in options.sigmas:
            case = Case(source, bands, hr, degrade(hr, sigma), sigma)
            row(sigma, sigma, "input").add(**ndvi_errors(hr, case.lr, bands, SCALE))
            pictures = {(sigma, name): interpolate(case.lr, name) for name in KERNELS}
            pictures[sigma, "bicubic+psf"] = control(case.lr, sigma)
            if network is not None:
                wrong = [sigma - WRONG_BY, sigma + WRONG_BY] if sigma in options.wrong_at and source.name in WRONG_ON else []
                for given in [sigma, *wrong]:
                    told = round(network.known(given), 3)
                    pictures.update({(told, name): picture for name, picture in enhanced(case.lr, told, network).items()})
            for (given, name), sr in pictures.items():
                judge(row(sigma, given, name), case, sr, perceptual=options.lpips and given == sigma)
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0], key[1] != key[0], key[1]))]


# Results --------------------------------------------------------------------------------------------------------------

COLUMNS = (
    ("psnr_db", ".3f"), ("gain_db", ".3f"), ("ssim", ".4f"), ("lpips", ".4f"), ("sam_deg", ".4f"), ("seen_again", ".4f"),
    ("ndvi3_rmse", ".5f"), ("ndvi3_mae", ".5f"), ("ndvi10_rmse", ".5f"), ("ndvi10_mae", ".5f"),
    ("zonal3_mae", ".5f"), ("zonal10_mae", ".5f"), ("im", ".4f"), ("om", ".4f"), ("ha", ".4f"),
)  # fmt: skip


def add_gains(rows: Sequence[Row]) -> None:
    """PSNR less that of bicubic under the same conditions."""
    for one in rows:
        base = next(r for r in rows if (r.source, r.sigma, r.method) == (one.source, one.sigma, "bicubic"))
        if "psnr_db" in one.values:
            one.add(gain_db=one.mean("psnr_db") - base.mean("psnr_db"))


def texts(row: Row) -> list[str]:
    """The figures as they are printed; empty where one does not apply."""
    values = [row.mean(key) for key, _ in COLUMNS]
    return ["" if math.isnan(value) else format(value, form) for value, (_, form) in zip(values, COLUMNS, strict=True)]


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line a row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["source", "images", "bands", "sigma", "sigma_given", "method", *(key for key, _ in COLUMNS)])
        for row in rows:
            writer.writerow([row.source, row.images, row.bands, row.sigma, row.sigma_given, row.method, *texts(row)])


def print_table(rows: Sequence[Row]) -> None:
    """The same for people."""
    head = ["source", "σ", "σ given", "method", *(key for key, _ in COLUMNS)]
    body = [[row.source, f"{row.sigma}", f"{row.sigma_given}", row.method, *texts(row)] for row in rows]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    for line in [head, *body]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def plot(rows: Sequence[Row], path: Path, title: str) -> None:
    """Gain over bicubic against σ, a panel a source."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row.source for row in rows))
    style = {
        "lanczos3": ("#9aa0a6", ":"), "bilinear": ("#9aa0a6", "--"), "bicubic+psf": ("#b3742a", "-"),
        "network": ("#1f77b4", "--"), "network+psf": ("#1f77b4", "-"), "network+mean": ("#c44e52", "--"),
    }  # fmt: skip
    figure, axes = plt.subplots(1, len(names), figsize=(3.2 * len(names) + 0.6, 3.6), sharey=True, squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], names, strict=True):
        axis.axhline(0.0, color="#444444", linewidth=0.8)
        for method, (color, line) in style.items():
            points = [(r.sigma, r.mean("gain_db")) for r in rows if (r.source, r.method) == (name, method) and r.sigma == r.sigma_given]
            if points:
                axis.plot(*zip(*points, strict=True), color=color, linestyle=line, marker="o", markersize=3, label=method)
        wrong = [(r.sigma, r.mean("gain_db")) for r in rows if (r.source, r.method) == (name, "network+psf") and r.sigma != r.sigma_given]
        if wrong:
            axis.plot(*zip(*wrong, strict=True), color="#1f77b4", linestyle="none", marker="x", label=f"network+psf, σ wrong by {WRONG_BY}")
        axis.set_title(f"{name} ({next(r.images for r in rows if r.source == name)})", fontsize=10)
        axis.set_xlabel("σ of the sensor, output pixels")
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("PSNR gain over bicubic, dB")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The command line."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name of a shipped model, or the path of an .onnx file; without it only interpolation is measured")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SR_GEO_DATA", here.parents[1] / "shared" / "data")))
    parser.add_argument("--sources", nargs="+", default=["naip", "spain", "denmark", "agnet", "lc08"])
    parser.add_argument("--sigmas", nargs="+", type=float, default=SIGMAS)
    parser.add_argument("--no-lpips", dest="lpips", action="store_false")
    parser.add_argument("--quick", action="store_true", help="σ 1.2, 2.0 and 2.8, two pictures a source, no LPIPS, no wrong σ")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=here / "results")
    parser.add_argument("--name", help="of the files written; default: the model's, or interpolation-x4")
    given = parser.parse_args(arguments)
    if given.lpips and not given.quick and not is_available():
        print(f"LPIPS is left out: run {INSTALL}", file=sys.stderr)
    return Options(
        model=given.model,
        data=given.data,
        sources=tuple(given.sources),
        sigmas=WRONG_AT if given.quick else tuple(given.sigmas),
        wrong_at=() if given.quick else WRONG_AT,
        most=2 if given.quick else None,
        lpips=given.lpips and not given.quick and is_available(),
        threads=given.threads,
        out=given.out,
        name=given.name or (Path(given.model).stem if given.model else "interpolation-x4"),
    )


def main(arguments: Sequence[str] | None = None) -> list[Row]:
    """Measure, write after every source, print."""
    options = parse(arguments)
    network = open_network(options.model, options.threads) if options.model else None
    options.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for source in sources(options.data, options.sources):
        missing = set(network.bands) - set(source.bands) if network else set()
        if missing:
            print(f"{source.name}: has no {', '.join(sorted(missing))}; left out", file=sys.stderr)
            continue
        start = time.process_time()
        found = measure(replace(source, images=source.images[: options.most]), network, options)
        add_gains(found)
        rows += found
        write_csv(rows, options.out / f"{options.name}.csv")
        print(f"{source.name}: {len(source.images)} picture(s), {time.process_time() - start:.0f} s of processor time", file=sys.stderr)
    plot(rows, options.out / f"{options.name}.png", options.name)
    print_table(rows)
    return rows


if __name__ == "__main__":
    main()
