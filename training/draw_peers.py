"""Draw what benchmark_peers.py measured, and one picture that anybody can look at: the sample of Landsat, enlarged by each.

    python training/draw_peers.py        needs the extras `train` and `eval`, and what benchmark_peers.py needs

Writes training/results/peers.png, the means of peers.csv: PSNR across, LPIPS upwards, so that the lower right is best. And
docs/images/beside.png: `sample_data/itaipu_landsat8.tif`, which no model was trained on, brought down by the blur and the factor of
benchmark_peers.py and enlarged again by every way of it; the middle 192 × 192 pixels, with the stretch of the truth's bands, and figures
of the whole.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib as mpl
import numpy as np
from benchmark_peers import PEERS, ROOT, SHIPPED, TABLE, brought_down, judged, natural, ways
from benchmark_pictures import bytes_of
from enlarging import SCALE
from result_table import Row, read_rows

from sr_geo.radiometry import Float
from sr_geo.train.checkpoint import export_checkpoint

mpl.use("Agg")
from matplotlib import pyplot as plt

OURS = ("SR Geo", "SR Geo, leaning to perception")
NAMES = {"bicubic": "bicubic", "lanczos3": "Lanczos", "realsr-df2k": "RealSR DF2K", "realesrgan-x4plus": "Real-ESRGAN x4plus"} | {
    f"sr-geo ({name})": kind for pair in SHIPPED.values() for name, kind in zip(pair, OURS, strict=True)
}
"""What the pictures call the methods of the table; others are left out."""
SHOWN = 192
SAMPLE = ROOT / "sample_data" / "itaipu_landsat8.tif"


def draw_means(rows: list[Row], target: Path) -> None:
    """PSNR and LPIPS, a panel for each test set."""
    tests = list(dict.fromkeys(str(row["test_set"]) for row in rows))
    across = 4
    down = -(-len(tests) // across)
    figure, grid = plt.subplots(down, across, figsize=(3.1 * across, 2.9 * down + 0.5), squeeze=False, layout="constrained")
    kinds = list(dict.fromkeys(NAMES.values()))
    axes = grid.ravel()
    for axis in axes[len(tests) :]:
        axis.set_axis_off()
    for axis, test in zip(axes, tests, strict=False):
        for row in rows:
            if row["test_set"] == test and row["method"] in NAMES:
                kind = NAMES[str(row["method"])]
                place = float(str(row["psnr_db"])), float(str(row["lpips"]))
                mark, size = ("*", 11) if kind in OURS else ("o", 6)
                axis.plot(*place, mark, ms=size, color=f"C{kinds.index(kind)}", label=kind)
        axis.set(title=test, xlabel="PSNR, dB", ylabel="LPIPS, lower is better", ylim=(0, None))
        axis.title.set_fontsize(10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def middle(picture: Float) -> Float:
    """The part that is shown, ``(H, W, 3)``."""
    row, column = ((length - SHOWN) // 2 for length in picture.shape[1:])
    return picture[:, row : row + SHOWN, column : column + SHOWN].transpose(1, 2, 0)


def draw_sample(target: Path) -> None:
    """Truth, input and what each way makes of it."""
    truth = natural(SAMPLE, (3, 2, 1))
    low = brought_down(truth, "satellite")
    panels = [("Truth, 30 m", truth), ("Input, 120 m", np.repeat(np.repeat(low, SCALE, 1), SCALE, 2))]
    with TemporaryDirectory() as folder:
        for name in PEERS:
            export_checkpoint(name, Path(folder) / f"{name}.onnx")
        for way in ways("satellite", Path(folder), None, 1):
            if way.name in NAMES:
                made = bytes_of(way.enlarge(low))
                found = judged(truth, made)
                panels.append((f"{NAMES[way.name]}\n{found['psnr_db']:.2f} dB, LPIPS {found['lpips']:.3f}", made))
    dark, bright = np.percentile(middle(truth), (1, 99), axis=(0, 1))  # band by band: haze is bluer than soil
    figure, grid = plt.subplots(2, 4, figsize=(16.4, 9.0), layout="constrained")
    for axis in grid.ravel():
        axis.set_axis_off()
    for axis, (caption, picture) in zip(grid.ravel(), panels, strict=False):
        axis.imshow(np.clip((middle(picture) - dark) / (bright - dark), 0.0, 1.0), interpolation="nearest")
        axis.set_title(caption, fontsize=12, loc="left")
    figure.savefig(target, dpi=100)
    plt.close(figure)


def main() -> None:
    """Both pictures."""
    draw_means(read_rows(TABLE), TABLE.with_suffix(".png"))
    draw_sample(ROOT / "docs" / "images" / "beside.png")


if __name__ == "__main__":
    main()
