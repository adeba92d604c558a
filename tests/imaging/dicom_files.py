"""DICOM files to test with: those inside pydicom's wheel, and small ones written here."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from sr_geo.imaging.enlarge import Enlarger
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float
from tests.onnx_models import card

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
"""What the wheel holds; nothing is downloaded."""

CT, MR, ENHANCED_MR, SECONDARY = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "4.1", "7"))


class Repeater(Upscaler):
    """No network at all: every pixel 4 × 4 times, at once."""

    def __init__(self) -> None:
        self.card = card(name="repeat", bands=("gray",), sigma=None, halo=0, domain="medical")
        self.sha256 = "5" * 64

    def run(self, window: Float, *, sigma: object = None) -> Float:
        return window.repeat(4, axis=1).repeat(4, axis=2)


REPEAT = Enlarger(Repeater())


def dataset(stored: NDArray[Any], *, bits: int, photometric: str = "MONOCHROME2", sop_class: str = CT, **more: object) -> Dataset:
    """A picture with the least of a header; `more` by keyword."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = UID(sop_class), UID("1.2.3.4.5")
    made.StudyInstanceUID, made.SeriesInstanceUID = UID("1.2.3.1"), UID("1.2.3.2")
    made.Modality = "CT"
    made.PixelRepresentation = int(stored.dtype.kind == "i")
    instance = made.SOPInstanceUID
    for name, value in more.items():
        setattr(made, name, value)
    if photometric != "RGB" and stored.ndim == 3:
        made.NumberOfFrames = len(stored)
    made.set_pixel_data(stored, photometric, bits)
    made.SOPInstanceUID = more.get("SOPInstanceUID", instance)  # set_pixel_data makes a new one
    return made


def write(path: Path, stored: NDArray[Any], *, bits: int, photometric: str = "MONOCHROME2", sop_class: str = CT, **more: object) -> Path:
    """The same as a file."""
    dataset(stored, bits=bits, photometric=photometric, sop_class=sop_class, **more).save_as(path, enforce_file_format=True)
    return path


def enhanced(path: Path, *, frames: int = 3, height: int = 20, width: int = 24) -> Path:
    """An enhanced MR with its geometry in functional groups, oblique, each frame in its own place."""
    rng = np.random.default_rng(3)
    stored = rng.integers(0, 4096, (frames, height, width)).astype(np.uint16)
    made = dataset(stored, bits=12, sop_class=ENHANCED_MR)
    made.Modality, made.ImageType = "MR", ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    made.FrameOfReferenceUID = UID("1.2.3.9")
    shared = Dataset()
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[0.8, 0.5], SliceThickness=2.0, SpacingBetweenSlices=2.0)]
    angle = np.deg2rad(20)
    orientation = [np.cos(angle), np.sin(angle), 0.0, -np.sin(angle), np.cos(angle), 0.0]
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[round(x, 8) for x in orientation])]
    shared.MRImageFrameTypeSequence = [_item(FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"])]
    shared.PixelValueTransformationSequence = [_item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")]
    made.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number in range(frames):
        group = Dataset()
        group.FrameContentSequence = [_item(StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=number + 1)]
        group.PlanePositionSequence = [_item(ImagePositionPatient=[-10.0, 5.0, 2.0 * number])]
        group.FrameVOILUTSequence = [_item(WindowCenter="2000", WindowWidth="4000")]
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
    made.save_as(path, enforce_file_format=True)
    return path


def _item(**values: object) -> Dataset:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item
