"""What the model for X-rays and CT gains over bicubic interpolation on stored values, from DICOM file to DICOM file.

    python training/benchmark_stored.py --data DIR
    python training/benchmark_stored.py --data DIR --model runs/medical-gray-x4/medical-gray-x4.onnx --out other.csv

Each picture is reduced ×4, rounded to its stored values, written as DICOM with the header of its source, enlarged by
`sr_geo.imaging.dicom.enlarge_dicom`, read again and compared with the truth value by value. Nothing is ever in 8 bits but what was so
from the start. It is reduced in two ways: `binned`, the mean of 4 × 4 pixels, as a detector is read out more coarsely, and `bicubic`,
the antialiased reduction of the benchmarks. Methods: `bicubic` interpolation of the same stored values, rounded to them; `held`, what
`sr-geo image` does by default; `own`, the network's own result, `--fidelity 0`.

Pictures: the test split of labels.csv (8 bits, spread over 12 of 16 bits as a detector's values are, 0 to 4095), and real DICOM files
as they are: 10 to 16 bits, with and without sign, MONOCHROME1, padding. No model was trained on any of them. Eight pixels at each
edge and padding are left out.

PSNR has the stored range as its peak (4095 for 12 bits), SSIM the stored range, and once more the range that the picture fills: a CT
in 16 bits fills a twentieth of them, and any two CTs are alike then. RMSE is in stored values, which are Hounsfield units in the CTs
here. Writes training/results/stored.csv.
"""

import argparse
import csv
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from sr_geo.imaging.dicom import enlarge_dicom
from sr_geo.imaging.dicom_read import open_dicom
from sr_geo.imaging.dicom_values import StoredRange, stored_range
from sr_geo.imaging.domains import open_enlarger
from sr_geo.imaging.enlarge import Enlarger
from sr_geo.quality.metrics import moments, structure
from sr_geo.radiometry import Float, Mask, fill_invalid

ROOT = Path(__file__).resolve().parents[1]
SCALE = 4
BORDER = 8
BITS = 12
REAL = {
    "CT, 12 bits": "tcia-lung-pet-ct-dx/A0002_s3_015.dcm",
    "CT, 16 bits with sign": "tcia-covid-19-ny-sbu/A098752_coronal_19010127-134.dcm",
    "CT, 16 bits with sign, padding": "pydicom-data/693_J2KR.dcm",
    "CR, 10 bits, MONOCHROME1": "pydicom-data/RG3_J2KI.dcm",
    "CR, 15 bits, MONOCHROME1": "pydicom-data/RG1_J2KI.dcm",
    "MR, 12 bits": "pydicom-data/MR2_J2KI.dcm",
    "MR, 16 bits with sign": "studyforrest-t1w/N2D_0271.dcm",
}
COLUMNS = ("name", "bits", "pictures", "input", "method", "rmse", "psnr_db", "gain_db", "ssim", "ssim_filled", "seconds")
INPUTS = ("binned", "bicubic")
Stored = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Truth:
    """A picture whose values are known."""

    group: str
    header: Dataset
    stored: Stored
    """``(h, w)``, sides a multiple of four."""


def cut(stored: Stored) -> Stored:
    """Sides that are a multiple of four."""
    height, width = (side // SCALE * SCALE for side in stored.shape)
    return stored[:height, :width]


def test_split(data: Path) -> Iterator[Truth]:
    """The test pictures of the table, as a detector would have stored them."""
    with (data / "medical/labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "test"]
    for number, row in enumerate(rows):
        path = data / "medical" / row["file"]
        if not path.exists():
            continue
        with Image.open(path) as image:
            values = np.asarray(image.convert("L")).astype(np.uint32)
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID, header.SOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.7"), UID(f"1.2.3.4.{number}")
        header.StudyInstanceUID, header.SeriesInstanceUID, header.Modality = UID("1.2.3.1"), UID("1.2.3.2"), row["modality"]
        header.BitsStored, header.BitsAllocated, header.PixelRepresentation = BITS, 16, 0
        header.PhotometricInterpretation = "MONOCHROME2"
        yield Truth(f"test split, {row['modality']}", header, cut((values * (2**BITS - 1) // 255).astype(np.uint16)))


def real_files(data: Path) -> Iterator[Truth]:
    """DICOM as it comes."""
    for group, name in REAL.items():
        path = data / "medical/dicom" / name
        if path.exists():
            (frame,) = open_dicom(path).read_frames()
            header = pydicom.dcmread(path, stop_before_pixels=True)
            header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            yield Truth(group, header, cut(frame[0]))


def resized(values: Float, factor: float) -> Float:
    """Bicubic, antialiased where it makes smaller."""
    size = round(values.shape[1] * factor), round(values.shape[0] * factor)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC), np.float32)


def rounded(values: Float, span: StoredRange, dtype: np.dtype[Any]) -> Stored:
    """As stored values of the picture's range."""
    return np.clip(np.rint(values), span.low, span.high).astype(dtype)


def binned(values: Float) -> Float:
    """The mean of each 4 × 4 pixels."""
    height, width = (side // SCALE for side in values.shape)
    mean: Float = values.reshape(height, SCALE, width, SCALE).mean(axis=(1, 3))
    return mean


def reduce(truth: Truth, span: StoredRange, how: str) -> tuple[Stored, Mask]:
    """The input, and which of its pixels hold no padding at all."""
    valid = span.valid(truth.stored)
    if valid is None:
        valid = np.ones(truth.stored.shape, bool)
    filled = fill_invalid(truth.stored.astype(np.float32), valid)
    small = rounded(binned(filled) if how == "binned" else resized(filled, 1 / SCALE), span, truth.stored.dtype)
    height, width = small.shape
    whole: Mask = np.logical_and.reduce(valid.reshape(height, SCALE, width, SCALE), axis=(1, 3))
    if span.padding is not None:
        small = np.where(whole, small, span.padding[0]).astype(small.dtype)
    return small, whole


def enlarged(small: Stored, header: Dataset, enlarger: Enlarger, folder: Path) -> tuple[Stored, float]:
    """From file to file; seconds."""
    source, output = folder / "small.dcm", folder / "fine.dcm"
    made = Dataset()
    made.update(header)
    made.file_meta, instance = header.file_meta, header.SOPInstanceUID
    made.set_pixel_data(small, str(header.PhotometricInterpretation), int(header.BitsStored))
    made.SOPInstanceUID = instance
    made.save_as(source, enforce_file_format=True)
    seconds = enlarge_dicom(source, output, enlarger, overwrite=True).seconds
    (frame,) = open_dicom(output).read_frames()
    return frame[0], seconds


def measure(truth: Truth, how: str, held: Enlarger, folder: Path) -> dict[str, dict[str, float]]:
    """Figures of one picture by method."""
    span = stored_range(truth.header)
    small, whole = reduce(truth, span, how)
    plain = rounded(resized(fill_invalid(small.astype(np.float32), whole), SCALE), span, small.dtype)
    valid = whole.repeat(SCALE, 0).repeat(SCALE, 1)
    inside = truth.stored[valid]
    top, filled = float(span.high - span.low), float(int(inside.max()) - int(inside.min()))
    made = {"bicubic": (plain, 0.0)}
    for method, enlarger in (("own", replace(held, optics=None)), ("held", held)):
        made[method] = enlarged(small, truth.header, enlarger, folder)
    found = {}
    for method, (fine, seconds) in made.items():
        pair = [values[None].astype(np.float32) for values in (truth.stored, fine)]
        sums = moments(*pair, valid=valid, border=BORDER)
        ssim, ssim_filled = (structure(*pair, data_range=size, valid=valid, border=BORDER).ssim.together for size in (top, filled))
        psnr = sums.psnr(top).together
        found[method] = {"rmse": sums.rmse.together, "psnr_db": psnr, "ssim": ssim, "ssim_filled": ssim_filled, "seconds": seconds}
        found[method]["gain_db"] = psnr - found["bicubic"]["psnr_db"]
    return found


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", help="name or ONNX file; default: the shipped one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "training/results/stored.csv")
    given = parser.parse_args()
    enlarger = open_enlarger("medical", given.model, fidelity=1.0, device="cpu", threads=given.threads)
    groups: dict[tuple[str, str, str], list[dict[str, float]]] = {}
    bits: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for truth in (*test_split(given.data), *real_files(given.data)):
            bits[truth.group] = int(truth.header.BitsStored)
            for how in INPUTS:
                for method, figures in measure(truth, how, enlarger, Path(folder)).items():
                    groups.setdefault((truth.group, how, method), []).append(figures)
                    print(truth.group, how, method, {name: round(value, 4) for name, value in figures.items()}, flush=True)
    with given.out.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        for (group, how, method), rows in groups.items():
            means = {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}
            table.writerow({"name": group, "bits": bits[group], "pictures": len(rows), "input": how, "method": method, **means})


if __name__ == "__main__":
    main()
