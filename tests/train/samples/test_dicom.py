"""DICOM: stored values over the stored range, whatever the picture holds."""

from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import TrainingDataError
from sr_geo.grid import Window
from sr_geo.imaging.dicom_read import open_dicom as open_picture
from sr_geo.train.samples.dicom import decode_frame, open_dicom
from sr_geo.train.samples.sections import DicomSource

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")
FILES = Path(pydicom.__file__).parent / "data" / "test_files"


def source(*files: str, **more: object) -> DicomSource:
    return DicomSource.model_validate({"name": "s", "kind": "dicom", "files": files, "licence": "MIT", **more})


def write(path: Path, stored: np.ndarray, *, bits: int, photometric: str = "MONOCHROME2", **more: object) -> None:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, pydicom.uid.generate_uid()
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.set_pixel_data(stored, photometric, bits)
    dataset.save_as(path, enforce_file_format=True)


def test_the_stored_range_is_the_unit(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (40, 48)).astype(np.uint16)
    write(tmp_path / "a.dcm", stored, bits=12)
    write(tmp_path / "b.dcm", stored.astype(np.int16) - 2048, bits=12)
    write(tmp_path / "c.dcm", stored, bits=12, photometric="MONOCHROME1")
    (a, b, c), skipped = open_dicom(source("*.dcm"), tmp_path, ("gray",), size=16)
    assert not skipped
    window = Window(0, 0, 40, 48)
    np.testing.assert_allclose(a.read(window)[0], stored / 4095, atol=1e-6)
    np.testing.assert_allclose(b.read(window), a.read(window), atol=1e-6)
    np.testing.assert_allclose(c.read(window), 1 - a.read(window), atol=1e-6)


def test_padding_is_never_drawn(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(100, 4096, (64, 64)).astype(np.uint16)
    stored[:, :24] = 0
    write(tmp_path / "a.dcm", stored, bits=12, PixelPaddingValue=0)
    ((picture,), _) = open_dicom(source("a.dcm"), tmp_path, ("gray",), size=16)
    assert picture.read(Window(0, 20, 16, 16)) is None
    patches = [picture.draw(16, np.random.default_rng(seed)) for seed in range(30)]
    assert any(patch is None for patch in patches)
    assert min(patch.hr.min() for patch in patches if patch) >= 100 / 4095 - 1e-6


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm"])
def test_bundled_files_hold_what_pydicom_decodes(name: str) -> None:
    header = pydicom.dcmread(FILES / name)
    decoded = decode_frame(FILES / name, 0)
    np.testing.assert_array_equal(decoded.pixels[0], header.pixel_array)
    assert decoded.high - decoded.low == 2**header.BitsStored - 1


def test_each_frame_is_a_picture(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (3, 40, 48)).astype(np.uint8)
    dataset_fields = {"NumberOfFrames": 3}
    write(tmp_path / "a.dcm", stored, bits=8, **dataset_fields)
    pictures, _ = open_dicom(source("a.dcm"), tmp_path, ("gray",), size=16)
    assert [picture.frame for picture in pictures] == [0, 1, 2]
    np.testing.assert_allclose(pictures[2].read(Window(0, 0, 40, 48))[0], stored[2] / 255, atol=1e-6)


def test_what_is_no_gray_picture_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for name in ("CT_small.dcm", "rtplan.dcm", "examples_rgb_color.dcm", "reportsi.dcm", "MR_truncated.dcm"):
        (tmp_path / name).write_bytes((FILES / name).read_bytes())
    (tmp_path / "notes.dcm").write_text("hello")
    pictures, skipped = open_dicom(source("*.dcm"), tmp_path, ("gray",), size=32)
    assert [picture.path.name for picture in pictures] == ["CT_small.dcm"]
    reasons = {left.path.name: left.reason for left in skipped}
    assert set(reasons) == {"rtplan.dcm", "examples_rgb_color.dcm", "reportsi.dcm", "MR_truncated.dcm", "notes.dcm"}
    assert "no picture in it" in reasons["rtplan.dcm"]
    assert "RGB" in reasons["examples_rgb_color.dcm"]
    assert all(reasons.values())


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_training_and_use_see_the_same_values(photometric: str, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(-1999, 2048, (40, 48)).astype(np.int16)
    stored[:, :8] = -2000
    write(tmp_path / "a.dcm", stored, bits=12, photometric=photometric, PixelPaddingValue=-2000)
    ((picture,), _) = open_dicom(source("a.dcm"), tmp_path, ("gray",), size=16)
    used = open_picture(tmp_path / "a.dcm")
    (frame,) = used.read_frames()
    np.testing.assert_array_equal(picture.read(Window(0, 8, 40, 40)), used.span.network(frame)[:, :, 8:])
    np.testing.assert_array_equal(decode_frame(tmp_path / "a.dcm", 0).valid, used.span.valid(frame[0]))


def test_a_model_of_colours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"set model.bands to \[gray\]"):
        open_dicom(source("*.dcm"), tmp_path, ("red", "green", "blue"), size=16)
