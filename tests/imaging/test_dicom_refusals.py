"""What is refused, in one line that quotes no word about a person; and no file is left."""

import logging
import re
import shutil
import struct
import traceback
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sr_geo.errors import InputError, MissingPartError, SrGeoError
from sr_geo.models.card import Card
from tests.onnx_models import card

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")

from pydicom.dataset import Dataset  # noqa: E402
from pydicom.pixels.decoders.base import Decoder  # noqa: E402

from sr_geo.imaging.dicom import enlarge_dicom  # noqa: E402
from sr_geo.imaging.enlarge import Enlarger  # noqa: E402
from tests.imaging.dicom_files import ENHANCED_MR, FILES, REPEAT, Repeater, dataset, write  # noqa: E402


def refused(source: Path, folder: Path, **options: bool) -> str:
    """The message; nothing may be left behind."""
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(SrGeoError) as caught:
        enlarge_dicom(source, folder / "refused-output.dcm", REPEAT, **options)
    assert {path.name for path in folder.iterdir()} == before
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("examples_palette.dcm", "PALETTE COLOR"),
        ("test-SR.dcm", "holds no picture, but a structured report"),
        ("rtplan.dcm", "a radiotherapy plan"),
        ("waveform_ecg.dcm", "a waveform"),
        ("liver_1frame.dcm", "segmentation"),
        ("rtdose.dcm", "radiotherapy dose"),
        ("SC_rgb_small_odd.dcm", "--allow-color"),
        ("SC_rgb_rle_32bit.dcm", "--allow-color"),
        ("MR_truncated.dcm", "8130 of 8192 bytes of pixels; the file is truncated"),
        ("JPEG-lossy.dcm", "12 bits compressed as JPEG Extended, for which there is no free decoder"),
        ("JPEG2000-embedded-sequence-delimiter.dcm", "claim 1024 × 3722445056 pixels"),
        ("no_meta.dcm", "not a DICOM file"),
        ("README.txt", "not a DICOM file"),
        ("nothing.dcm", "no such file"),
    ],
)
def test_kinds_of_files(name: str, words: str, tmp_path: Path) -> None:
    assert words in refused(FILES / name, tmp_path)


def test_too_deep_even_in_colour(tmp_path: Path) -> None:
    assert "32 bits a sample" in refused(FILES / "SC_rgb_rle_32bit.dcm", tmp_path, allow_color=True)


PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"HighBit": 15}, "highest bit"),
        ({"Rows": 9}, "128 of 144 bytes of pixels"),
        ({"Rows": 20_000, "Columns": 10_000}, "the limit is 67108864 pixels"),
        ({"Rows": 0}, "0 × 8 pixels"),
        ({"BitsAllocated": 32}, "32 bits a sample"),
        ({"BitsStored": 1, "HighBit": 0}, "1 bits stored of 16"),
        ({"NumberOfFrames": 2}, "128 of 256 bytes"),
        ({"SOPInstanceUID": None}, "lacks SOPInstanceUID"),
        ({"PhotometricInterpretation": "HSV"}, "photometric interpretation"),
        ({"PhotometricInterpretation": "RGB"}, "--allow-color"),
        ({"SamplesPerPixel": 3}, "MONOCHROME2 with 3 samples"),
        ({"PixelPresentation": "COLOR"}, "supplemental palette"),
        ({"ImagePositionPatient": [1, 2, 3]}, "cannot be moved"),
        ({"PerFrameFunctionalGroupsSequence": [Dataset(), Dataset()], "SOPClassUID": ENHANCED_MR}, "2 descriptions of frames"),
    ],
)
def test_headers_that_do_not_fit(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    made = dataset(PIXELS, bits=12)
    for name, value in changes.items():
        setattr(made, name, value)
    made.preamble = bytes(128)
    pydicom.dcmwrite(tmp_path / "a.dcm", made, implicit_vr=False, little_endian=True)
    assert words in refused(tmp_path / "a.dcm", tmp_path)


def test_more_rows_than_dicom_can_state(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", np.zeros((2, 16_384), np.uint8), bits=8)
    assert "65535" in refused(tmp_path / "a.dcm", tmp_path)


def test_more_bytes_than_dicom_can_state(tmp_path: Path) -> None:
    """The size is known from the header, before a pixel is made."""

    class Finer(Repeater):
        def __init__(self) -> None:
            super().__init__()
            self.card: Card = card(name="finer", bands=("gray",), sigma=None, halo=0, domain="medical", scale=8)

    write(tmp_path / "a.dcm", np.zeros((9, 4000, 2000), np.uint8), bits=8)
    with pytest.raises(InputError, match="9 frames would have 4608000000 bytes of pixels, DICOM ends at 4294967294"):
        enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", Enlarger(Finer()))


def test_a_transfer_syntax_that_is_not_supported(tmp_path: Path) -> None:
    content = (FILES / "MR_small_RLE.dcm").read_bytes()
    assert content.count(b"1.2.840.10008.1.2.5\0") == 1
    (tmp_path / "a.dcm").write_bytes(content.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.9\0"))
    message = refused(tmp_path / "a.dcm", tmp_path)
    assert "transfer syntax 1.2.840.10008.1.2.9" in message
    assert "gdcmconv --raw" in message


def test_a_decoder_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    with pytest.raises(MissingPartError, match=r"JPEG-LS.*sr-geo\[medical\]"):
        enlarge_dicom(FILES / "MR_small_jpeg_ls_lossless.dcm", tmp_path / "b.dcm", REPEAT)


STATED = {
    "MR_small_jp2klossless.dcm": (b"\xff\x51", ">II", 6),
    "MR_small_jpeg_ls_lossless.dcm": (b"\xff\xf7", ">HH", 5),
    "SC_rgb_jpeg_dcmtk.dcm": (b"\xff\xc0", ">HH", 5),
    "SC_rgb_jpeg_gdcm.dcm": (b"\xff\xc3", ">HH", 5),
}
"""Where compressed pixels state their size, after which marker."""


@pytest.mark.parametrize("name", STATED)
def test_pixels_that_claim_more_than_the_header(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes can make a decoder ask for gigabytes: none is called."""
    monkeypatch.setattr("sr_geo.imaging.dicom_read.DicomPicture.read_frames", lambda self: pytest.fail("decoded"))
    marker, form, place = STATED[name]
    content = bytearray((FILES / name).read_bytes())
    struct.pack_into(form, content, content.index(marker) + place, 65_000, 64_000)
    (tmp_path / "a.dcm").write_bytes(content)
    assert re.search(r"claim 6\d000 × 6\d000 pixels", refused(tmp_path / "a.dcm", tmp_path, allow_color=True))
    struct.pack_into(form, content, content.index(marker) + place, 0, 0)
    (tmp_path / "b.dcm").write_bytes(content)
    if form == ">HH":
        assert "do not say how large they are" in refused(tmp_path / "b.dcm", tmp_path, allow_color=True)


def test_a_deflated_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sr_geo.imaging.dicom_read.LARGEST_INFLATED", 10_000_000)
    content = (FILES / "image_dfl.dcm").read_bytes()
    (length,) = struct.unpack("<L", content[140:144])
    head = content[: 144 + length]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    (tmp_path / "a.dcm").write_bytes(head + deflate.compress(bytes(50_000_000)) + deflate.flush())
    assert "10000000 bytes, the limit for deflated" in refused(tmp_path / "a.dcm", tmp_path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["CT_small", "MR_small_RLE", "MR_small_jpeg_ls_lossless", "MR_small_bigendian"]), data=st.data())
def test_truncated_anywhere(name: str, data: st.DataObject, tmp_path: Path) -> None:
    content = (FILES / f"{name}.dcm").read_bytes()
    pixels = content.index({"MR_small_bigendian": b"\x7f\xe0\x00\x10"}.get(name, b"\xe0\x7f\x10\x00"))
    compressed = content.find(b"\xfe\xff\xdd\xe0", pixels)
    end = compressed + 7 if compressed > 0 else pixels + 8 + 2 * 64 * 64  # beyond it may lie padding
    cut = data.draw(st.integers(0, end))
    (tmp_path / "a.dcm").write_bytes(content[:cut])
    refused(tmp_path / "a.dcm", tmp_path)


SECRET = "Zacharias^Quux"


def about_someone(path: Path, **more: object) -> Path:
    """A picture of somebody, named in every kind of text that there is."""
    made = dataset(PIXELS, bits=12)
    for name in ("PatientName", "PatientID", "PatientAddress", "PatientComments", "StudyDescription", "SeriesDescription", "ImageComments"):
        setattr(made, name, SECRET)
    made.OtherPatientIDs = [SECRET, SECRET]
    made.RequestAttributesSequence = [Dataset()]
    made.RequestAttributesSequence[0].RequestedProcedureDescription = SECRET
    made.private_block(0x0011, "SOMEONE", create=True).add_new(1, "LO", SECRET)
    for name, value in more.items():
        setattr(made, name, value)
    made.save_as(path, enforce_file_format=True)
    return path


def overwritten(path: Path, tag: bytes, value: bytes) -> None:
    """Put `value` into the element with this tag and VR, as long as it was."""
    content = path.read_bytes()
    place = content.index(tag) + 8
    size = struct.unpack("<H", content[place - 2 : place])[0]
    path.write_bytes(content[:place] + value[:size].ljust(size) + content[place + size :])


@pytest.mark.parametrize(
    ("tag", "more"),
    [
        (None, {}),
        (b"\x28\x00\x30\x00DS", {"PixelSpacing": ["0.12345678901234", "0.12345678901234"]}),
        (b"\x20\x00\x32\x00DS", {"ImagePositionPatient": ["0.12345678901234"] * 3}),
        (b"\x20\x00\x11\x00IS", {"SeriesNumber": "123456789012"}),
        (b"\x08\x00\x18\x00UI", {}),
        (b"\x08\x00\x08\x00CS", {"ImageType": ["ORIGINAL", "PRIMARY"]}),
        (b"\x08\x00\x60\x00CS", {"Modality": "ABCDEFGHIJKLMN"}),
        (b"\x28\x00\x08\x00IS", {"NumberOfFrames": "000000000001"}),
        (b"\x28\x00\x04\x00CS", {}),
        (b"\x02\x00\x10\x00UI", {}),
    ],
)
def test_nobody_is_named_in_logs_warnings_or_errors(
    tag: bytes | None,
    more: dict[str, object],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    source = about_someone(tmp_path / "a.dcm", **more)
    if tag is not None:
        overwritten(source, tag, SECRET.encode())
    said = ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            enlarge_dicom(source, tmp_path / "b.dcm", REPEAT)
        except SrGeoError as error:
            said = "".join(traceback.format_exception(error))  # with --debug the whole of it is shown
    output = capfd.readouterr()
    said += caplog.text + output.out + output.err + " ".join(str(warning.message) for warning in warned)
    for part in ("Zach", "Quux"):
        assert part not in said


def test_what_is_said_of_a_person_passes_through_to_the_byte(tmp_path: Path) -> None:
    source = about_someone(tmp_path / "a.dcm")
    odd = "Zächärïäs^Qüüx".encode("latin-1")  # no character set is named, so that this is no text at all
    overwritten(source, b"\x10\x00\x10\x00PN", odd)
    shutil.copy(source, tmp_path / "kept.dcm")
    enlarge_dicom(source, tmp_path / "b.dcm", REPEAT)
    before, after = pydicom.dcmread(source), pydicom.dcmread(tmp_path / "b.dcm")
    assert before.get_item("PatientName").value == odd
    for tag in ("PatientName", "PatientID", "PatientAddress", "OtherPatientIDs", "StudyDescription", (0x0011, 0x1001)):
        assert after.get_item(tag).value == before.get_item(tag).value
    assert source.read_bytes() == (tmp_path / "kept.dcm").read_bytes()
