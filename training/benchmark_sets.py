"""Set5 and Set14 as papers measure them: their own inputs ×4 (MATLAB's bicubic), PSNR and SSIM of luminance, 4 pixels off on every side.

    python training/benchmark_sets.py --data DIR                     photo-rgb-x4, as `sr-geo image` runs it, and its bare network
    python training/benchmark_sets.py --data DIR --model NAME        another model for pictures, by name or as .onnx

Needs the extras `train` and `eval`.

Luminance is that of ITU-R BT.601, 16 to 235, of results in 8 bits; SSIM has the Gaussian window of 11 pixels and σ 1.5. Bicubic is MATLAB's
kernel (a = −0.5), and comes out within a hundredth of what papers have on Set5, 28.42 dB. Writes training/results/sets.csv.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmark_peers import picture
from benchmark_pictures import bytes_of, resized
from enlarging import SCALE, Method
from PIL import Image
from result_table import Row, put, read_rows, write_rows

from sr_geo.imaging.domains import open_enlarger
from sr_geo.quality.metrics import moments, structure
from sr_geo.radiometry import Float

TABLE = Path(__file__).resolve().parent / "results" / "sets.csv"
COLUMNS = ("test_set", "method", "pictures", "psnr_y_db", "ssim_y")
BORDER = 4
LUMA = np.array([65.481, 128.553, 24.966], np.float32)
"""Of red, green and blue in 0…1; ITU-R BT.601."""


def luminance(colours: Float) -> Float:
    """``(1, H, W)``, 16 to 235, of a picture in 8 bits."""
    y: Float = (np.tensordot(LUMA, bytes_of(colours), 1) + np.float32(16.0)).astype(np.float32)
    return y[None]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="photo-rgb-x4")
    arguments = parser.parse_args()
    enlarger = open_enlarger("photo", arguments.model, device="cpu")
    model = enlarger.upscaler.card.name
    methods: dict[str, Method] = {
        "bicubic": resized(Image.Resampling.BICUBIC, SCALE),
        f"sr-geo ({model})": enlarger,
        f"{model}, bare": replace(enlarger, optics=None),
    }
    table = read_rows(TABLE)
    for test_set in ("Set5", "Set14"):
        folder = arguments.data / "benchmark" / test_set
        names = sorted(path.name for path in (folder / "HR").iterdir())
        pairs = [tuple(picture(folder / part / name, gray=False) for part in ("HR", "LR_x4")) for name in names]
        for method, enlarge in methods.items():
            each = []
            for truth, low in pairs:
                true, made = luminance(truth), luminance(enlarge(low))
                psnr = moments(true, made, border=BORDER).psnr(255.0).together
                each.append((psnr, structure(true, made, data_range=255.0, border=BORDER).ssim.together))
            psnr, ssim = np.mean(each, axis=0)
            row: Row = {"test_set": test_set, "method": method, "pictures": len(each), "psnr_y_db": f"{psnr:.2f}", "ssim_y": f"{ssim:.4f}"}
            print(*row.values(), flush=True)
            table = put(table, [row], ("test_set", "method"))
    write_rows(TABLE, COLUMNS, table)


if __name__ == "__main__":
    main()
