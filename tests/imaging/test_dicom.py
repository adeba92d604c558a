"""From DICOM file to DICOM file."""

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sr_geo.errors import InputError, OutputError, PictureWarning
from sr_geo.grid import Window
from sr_geo.imaging.enlarge import Enlarger

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")

from pydicom.datadict import keyword_for_tag  # noqa: E402

from sr_geo.imaging.dicom import enlarge_dicom, enlarge_series  # noqa: E402
from sr_geo.imaging.dicom_apart import decode_apart  # noqa: E402
from sr_geo.imaging.dicom_read import DicomPicture, is_dicom, open_dicom  # noqa: E402
from sr_geo.imaging.dicom_view import show_pair, shown_through  # noqa: E402
from tests.imaging.dicom_files import FILES, REPEAT, dataset, enhanced, write  # noqa: E402

GRAY = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_expb.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_padded.dcm",
    "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "examples_overlay.dcm",
    "image_dfl.dcm",
)

CHANGED = {
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImagePositionPatient",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ImageType",
    "ImageComments",
    "InstanceCreationDate",
    "InstanceCreatorUID",
    "InstanceCreationTime",
    "DerivationDescription",
    "DerivationCodeSequence",
    "SourceImageSequence",
    "ContributingEquipmentSequence",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "LossyImageCompression",
    "LossyImageCompressionMethod",
    "LossyImageCompressionRatio",
    "IconImageSequence",
    "PixelData",
}
"""All that may differ in these files; a longer list needs a longer docs/medical.md."""


def test_the_pixels_are_those_of_the_network(tmp_path: Path, gray_enlarger: Enlarger) -> None:
    stored = np.random.default_rng(0).integers(-2048, 2048, (30, 41)).astype(np.int16)
    write(tmp_path / "a.dcm", stored, bits=12)
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", gray_enlarger)
    made = pydicom.dcmread(tmp_path / "b.dcm")
    fine = gray_enlarger((stored[None].astype(np.float32) + 2048) / 4095)
    expected = np.clip(np.rint(fine[0] * 4095), 0, 4095) - 2048
    np.testing.assert_allclose(made.pixel_array, expected, atol=1)
    assert (made.BitsStored, made.BitsAllocated, made.HighBit, made.PixelRepresentation) == (12, 16, 11, 1)
    assert made.pixel_array.dtype == np.int16


@pytest.mark.parametrize(
    ("dtype", "bits", "photometric"),
    [
        ("u1", 8, "MONOCHROME2"),
        ("u1", 7, "MONOCHROME1"),
        ("i1", 8, "MONOCHROME2"),
        ("u2", 10, "MONOCHROME1"),
        ("i2", 12, "MONOCHROME2"),
        ("u2", 16, "MONOCHROME2"),
        ("i2", 16, "MONOCHROME1"),
    ],
)
def test_without_a_network_nothing_but_the_size_changes(dtype: str, bits: int, photometric: str, tmp_path: Path) -> None:
    low = -(2 ** (bits - 1)) if dtype.startswith("i") else 0
    stored = np.random.default_rng(0).integers(low, low + 2**bits, (2, 13, 11)).astype(dtype)
    stored[0, 0, :2] = low, low + 2**bits - 1
    write(tmp_path / "a.dcm", stored, bits=bits, photometric=photometric)
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    made = pydicom.dcmread(tmp_path / "b.dcm")
    assert made.pixel_array.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(made.pixel_array, stored.repeat(4, 1).repeat(4, 2))
    assert (made.BitsStored, made.PhotometricInterpretation) == (bits, photometric)


def test_numbers_of_a_big_endian_file_are_turned_round(tmp_path: Path) -> None:
    stored = np.arange(64, dtype=np.uint16).reshape(8, 8) * 50
    made = dataset(stored, bits=12, WindowCenter=7, DetectorActiveTime=2)
    made.PixelData = stored.astype(">u2").tobytes()
    bits = np.random.default_rng(0).integers(0, 2, (8, 8)).astype(np.uint8)
    packed = np.packbits(bits, bitorder="little").view("<u2").astype(">u2").tobytes()
    for element, vr, value in ((0x10, "US", 8), (0x11, "US", 8), (0x50, "SS", [-3, 5]), (0x100, "US", 1), (0x102, "US", 0)):
        made.add_new((0x6000, element), vr, value)
    made.add_new((0x6000, 0x3000), "OW", packed)
    made.add_new((0x0018, 0x9073), "FD", 12.25)  # AcquisitionDuration
    made.add_new((0x0028, 0x0009), "AT", 0x00181063)  # FrameIncrementPointer
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRBigEndian
    made["PixelData"].VR = "OW"
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    after = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(after.pixel_array, stored.repeat(4, 0).repeat(4, 1))
    np.testing.assert_array_equal(after.overlay_array(0x6000), bits.repeat(4, 0).repeat(4, 1))
    assert list(after[0x6000, 0x50].value) == [-15, 17]
    assert (after.AcquisitionDuration, after.FrameIncrementPointer) == (12.25, 0x00181063)


def test_places_in_pixels_follow(tmp_path: Path) -> None:
    """Shutter, collimator and region of ultrasound, by what they mean: the same part of the picture."""
    region = pydicom.Dataset()
    values = {"RegionLocationMinX0": 2, "RegionLocationMaxX1": 5, "RegionLocationMinY0": 0, "RegionLocationMaxY1": 7}
    for name, value in (values | {"ReferencePixelX0": 1, "ReferencePixelPhysicalValueX": 10.0, "PhysicalDeltaX": 0.4}).items():
        setattr(region, name, value)
    write(
        tmp_path / "a.dcm",
        np.zeros((8, 8), np.uint8),
        bits=8,
        ShutterShape="RECTANGULAR",
        ShutterLeftVerticalEdge=3,
        ShutterRightVerticalEdge=6,
        CenterOfCircularCollimator=[4, 5],
        RadiusOfCircularCollimator=3,
        SequenceOfUltrasoundRegions=[region],
    )
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    after = pydicom.dcmread(tmp_path / "b.dcm")
    assert (after.ShutterLeftVerticalEdge, after.ShutterRightVerticalEdge) == (9, 24)  # columns 3…6 are now 9…24
    assert list(after.CenterOfCircularCollimator) == [15, 19]
    assert after.RadiusOfCircularCollimator == 12
    (fine,) = after.SequenceOfUltrasoundRegions
    assert [fine[name].value for name in values] == [8, 23, 0, 31]
    # Place in mm of the left edge of the picture, from the reference pixel's centre: the same as before.
    edges = [one.ReferencePixelPhysicalValueX - (one.ReferencePixelX0 + 0.5) * one.PhysicalDeltaX for one in (region, fine)]
    assert edges[1] == pytest.approx(edges[0])


def test_points_of_ultrasound_follow(tmp_path: Path) -> None:
    region = pydicom.Dataset()
    region.TMLinePositionX0, region.DopplerSampleVolumeYPosition = 3, 0
    write(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8), bits=8, SequenceOfUltrasoundRegions=[region])
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    (fine,) = pydicom.dcmread(tmp_path / "b.dcm").SequenceOfUltrasoundRegions
    assert (fine.TMLinePositionX0, fine.DopplerSampleVolumeYPosition) == (14, 2)  # columns 12…15, rows 0…3


def test_what_a_maker_put_into_sequences_of_its_own_is_kept(tmp_path: Path) -> None:
    """Some repeat the geometry of the source there, or that of another picture: nobody else can say which."""
    made, inner = dataset(np.zeros((8, 8), np.uint8), bits=8, PixelSpacing=[0.8, 0.8]), pydicom.Dataset()
    inner.Rows, inner.PixelSpacing, inner.ImagePositionPatient = 8, [0.8, 0.8], [1.0, 2.0, 3.0]
    made.private_block(0x2005, "SOMEONE", create=True).add_new(0x0F, "SQ", [inner])
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    after = pydicom.dcmread(tmp_path / "b.dcm")
    assert after[0x2005, 0x100F].value[0] == inner
    assert list(after.PixelSpacing) == [0.2, 0.2]


def test_tiles_do_not_show(tmp_path: Path, gray_enlarger: Enlarger) -> None:
    stored = np.random.default_rng(0).integers(0, 65536, (70, 83)).astype(np.uint16)
    write(tmp_path / "a.dcm", stored, bits=16)
    pixels = []
    for tile in (16, 33, 256):
        output = tmp_path / f"{tile}.dcm"
        enlarge_dicom(tmp_path / "a.dcm", output, Enlarger(gray_enlarger.upscaler, tile=tile))
        pixels.append(pydicom.dcmread(output).pixel_array.astype(int))
    assert max(np.abs(pixels[0] - other).max() for other in pixels[1:]) <= 1


def test_monochrome1_stays_so_and_is_seen_bright(tmp_path: Path, gray_enlarger: Enlarger) -> None:
    stored = np.random.default_rng(0).integers(0, 1024, (24, 24)).astype(np.uint16)
    write(tmp_path / "one.dcm", stored, bits=10, photometric="MONOCHROME1")
    write(tmp_path / "two.dcm", 1023 - stored, bits=10)
    for name in ("one", "two"):
        enlarge_dicom(tmp_path / f"{name}.dcm", tmp_path / f"{name}-fine.dcm", gray_enlarger)
    one, two = (pydicom.dcmread(tmp_path / f"{name}-fine.dcm") for name in ("one", "two"))
    assert one.PhotometricInterpretation == "MONOCHROME1"
    np.testing.assert_allclose(1023.0 - one.pixel_array, two.pixel_array, atol=1)  # ½ is rounded to the even one


@pytest.mark.parametrize("name", GRAY)
def test_what_is_not_named_is_kept(name: str, tmp_path: Path) -> None:
    output = tmp_path / "fine.dcm"
    enlarge_dicom(FILES / name, output, REPEAT)
    before, after = pydicom.dcmread(FILES / name), pydicom.dcmread(output)
    for tag in {*before.keys(), *after.keys()}:
        keyword = keyword_for_tag(tag)
        if keyword in CHANGED or 0x6000 <= tag.group <= 0x60FF or tag == (0xFFFC, 0xFFFC):
            continue
        assert tag in before, f"{tag} was added"
        assert tag in after, f"{tag} {keyword} was lost"
        old, new = before[tag].value, after[tag].value
        if before[tag].VR == "OW" and not before.file_meta.TransferSyntaxUID.is_little_endian:
            old = np.frombuffer(old, ">u2").astype("<u2").tobytes()
        assert old == new, f"{tag} {keyword}"
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID
    assert (after.Rows, after.Columns) == (4 * before.Rows, 4 * before.Columns)


def test_every_storage_of_one_picture_gives_one_result(tmp_path: Path) -> None:
    results = []
    for name in GRAY[1:8]:
        enlarge_dicom(FILES / name, tmp_path / name, REPEAT)
        results.append(pydicom.dcmread(tmp_path / name).PixelData)
    assert len(set(results)) == 1


def test_derived_tags(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.dcm",
        np.arange(64, dtype=np.uint8).reshape(8, 8),
        bits=8,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        SeriesNumber=7,
        SeriesDescription="Thorax",
        DerivationDescription="window levelled",
        PixelSpacing=[0.8, 0.5],
        ImagerPixelSpacing=[1.0, 1.0],
        NominalScannedPixelSpacing=[0.2, 0.2],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImagePositionPatient=[-100.0, -50.5, 30.25],
        PixelAspectRatio=[1, 1],
        SmallestImagePixelValue=0,
        LargestImagePixelValue=63,
        FrameOfReferenceUID="1.2.3.9",
        WindowCenter=30,
        WindowWidth=60,
        RescaleSlope=2,
        RescaleIntercept=-1024,
        LossyImageCompression="01",
        LossyImageCompressionRatio=12.5,
    )
    enlarge_dicom(source, tmp_path / "b.dcm", REPEAT)
    made = pydicom.dcmread(tmp_path / "b.dcm")
    assert list(made.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert made.SeriesNumber == 1007
    assert made.SeriesDescription == "Thorax; SRx4 NOT FOR DIAGNOSIS"
    assert made.DerivationDescription.startswith("window levelled; x4 super-resolution by SR Geo")
    assert REPEAT.upscaler.sha256[:16] in made.DerivationDescription
    assert "NOT FOR DIAGNOSIS" in made.ImageComments
    (code,) = made.DerivationCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == ("113085", "DCM", "Spatial resampling")
    (reference,) = made.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == "1.2.3.4.5"
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    assert made.ContributingEquipmentSequence[0].ManufacturerModelName == "SR Geo"
    assert list(made.PixelSpacing) == [0.2, 0.125]
    assert list(made.ImagerPixelSpacing) == [0.25, 0.25]
    assert list(made.NominalScannedPixelSpacing) == [0.05, 0.05]
    assert list(made.ImagePositionPatient) == [-100.0 - 0.375 * 0.5, -50.5 - 0.375 * 0.8, 30.25]
    assert (made.SmallestImagePixelValue, made.LargestImagePixelValue) == (made.pixel_array.min(), made.pixel_array.max())
    assert (made.LossyImageCompression, made.LossyImageCompressionRatio) == ("01", 12.5)
    assert (made.WindowCenter, made.WindowWidth, made.RescaleSlope, made.RescaleIntercept) == (30, 60, 2, -1024)
    assert (made.StudyInstanceUID, made.FrameOfReferenceUID) == ("1.2.3.1", "1.2.3.9")


def test_identifiers_are_new_and_follow_from_source_and_model(tmp_path: Path) -> None:
    for number in (1, 2):
        stored = np.full((8, 8), number, np.uint8)
        write(tmp_path / f"{number}.dcm", stored, bits=8, SOPInstanceUID=f"1.2.3.4.{number}")
        for run in ("a", "b"):
            enlarge_dicom(tmp_path / f"{number}.dcm", tmp_path / f"{number}{run}.dcm", REPEAT)
    made = {name: pydicom.dcmread(tmp_path / f"{name}.dcm") for name in ("1a", "1b", "2a")}
    assert made["1a"].SOPInstanceUID == made["1b"].SOPInstanceUID != made["2a"].SOPInstanceUID
    assert made["1a"].SeriesInstanceUID == made["2a"].SeriesInstanceUID != "1.2.3.2"
    assert all(one.SOPInstanceUID.is_valid and one.SeriesInstanceUID.is_valid for one in made.values())


@pytest.mark.parametrize(("syntax_file", "flag"), [("JPEGLSNearLossless_16.dcm", "01"), ("MR_small_jpeg_ls_lossless.dcm", None)])
def test_a_lossy_source_is_called_so(syntax_file: str, flag: str | None, tmp_path: Path) -> None:
    enlarge_dicom(FILES / syntax_file, tmp_path / "b.dcm", REPEAT)
    made = pydicom.dcmread(tmp_path / "b.dcm")
    assert made.get("LossyImageCompression") == flag
    if flag:
        assert made.LossyImageCompressionMethod == "ISO_14495_1"
        assert made.LossyImageCompressionRatio > 1


def test_a_flag_that_says_lossless_of_a_jpeg_is_put_right(tmp_path: Path) -> None:
    """A JPEG of 8 bits always loses something; a file that says otherwise has copied its header from another one."""
    header = pydicom.dcmread(FILES / "SC_rgb_jpeg_dcmtk.dcm")
    header.LossyImageCompression = "00"
    header.save_as(tmp_path / "a.dcm")
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT, allow_color=True)
    made = pydicom.dcmread(tmp_path / "b.dcm")
    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_10918_1")


def test_padding_is_kept_out_and_put_back(tmp_path: Path, gray_enlarger: Enlarger) -> None:
    rng = np.random.default_rng(0)
    stored = rng.integers(-1000, 2000, (40, 40)).astype(np.int16)
    rows, columns = np.ogrid[:40, :40]
    outside = (rows - 20) ** 2 + (columns - 20) ** 2 > 15**2
    stored[outside] = -2000
    filled = np.where(outside, 0, stored).astype(np.int16)
    write(tmp_path / "a.dcm", stored, bits=16, PixelPaddingValue=-2000)
    write(tmp_path / "b.dcm", filled, bits=16)
    for name in ("a", "b"):
        enlarge_dicom(tmp_path / f"{name}.dcm", tmp_path / f"{name}-fine.dcm", gray_enlarger)
    made = pydicom.dcmread(tmp_path / "a-fine.dcm")
    hole = outside.repeat(4, 0).repeat(4, 1)
    assert made.PixelPaddingValue == -2000
    np.testing.assert_array_equal(made.pixel_array == -2000, hole)
    # No shadow of the padding: next to it the picture is in the range of its values, as far as the network stretches those.
    assert made.pixel_array[~hole].min() > -1400
    inside = ~(np.ogrid[:160, :160][0] < 0) & (((np.ogrid[:160, :160][0] - 80) ** 2 + (np.ogrid[:160, :160][1] - 80) ** 2) < 40**2)
    np.testing.assert_array_equal(made.pixel_array[inside], pydicom.dcmread(tmp_path / "b-fine.dcm").pixel_array[inside])


def test_overlays_are_repeated(tmp_path: Path) -> None:
    enlarge_dicom(FILES / "examples_overlay.dcm", tmp_path / "b.dcm", REPEAT)
    before, after = pydicom.dcmread(FILES / "examples_overlay.dcm"), pydicom.dcmread(tmp_path / "b.dcm")
    assert before.overlay_array(0x6000).any()
    np.testing.assert_array_equal(after.overlay_array(0x6000), before.overlay_array(0x6000).repeat(4, 0).repeat(4, 1))
    assert list(after[0x6000, 0x0050].value) == [1, 1]


def test_an_overlay_in_unused_bits_is_dropped_with_a_word(tmp_path: Path) -> None:
    made = dataset(np.full((8, 8), 100, np.uint16), bits=12)
    for element, vr, value in ((0x10, "US", 8), (0x11, "US", 8), (0x40, "CS", "G"), (0x100, "US", 16), (0x102, "US", 12)):
        made.add_new((0x6000, element), vr, value)
    made.add_new((0x6000, 0x50), "SS", [1, 1])
    made.PixelData = (np.full((8, 8), 100, np.uint16) | 0x1000).tobytes()
    made.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.warns(PictureWarning, match="overlay 6000"):
        enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    after = pydicom.dcmread(tmp_path / "b.dcm")
    assert (0x6000, 0x10) not in after
    assert after.pixel_array.max() < 0x1000


def test_frames_and_their_places(tmp_path: Path, gray_enlarger: Enlarger) -> None:
    enlarge_dicom(enhanced(tmp_path / "a.dcm"), tmp_path / "b.dcm", gray_enlarger)
    before, after = pydicom.dcmread(tmp_path / "a.dcm"), pydicom.dcmread(tmp_path / "b.dcm")
    assert after.pixel_array.shape == (3, 80, 96)
    assert list(after.ImageType) == ["DERIVED", "PRIMARY", "T1", "RESAMPLED"]
    shared = after.SharedFunctionalGroupsSequence[0]
    assert list(shared.MRImageFrameTypeSequence[0].FrameType) == ["DERIVED", "PRIMARY", "T1", "RESAMPLED"]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.2, 0.125]
    assert shared.PixelMeasuresSequence[0].SliceThickness == 2
    orientation = np.array(before.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient, float)
    step = 0.5 * orientation[:3] + 0.8 * orientation[3:]
    for number, (old, new) in enumerate(zip(before.PerFrameFunctionalGroupsSequence, after.PerFrameFunctionalGroupsSequence, strict=True)):
        was, now = (np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) for group in (old, new))
        np.testing.assert_allclose(now, was - 0.375 * step, atol=1e-9)
        assert old.FrameVOILUTSequence == new.FrameVOILUTSequence
        (derivation,) = new.DerivationImageSequence
        assert derivation.SourceImageSequence[0].ReferencedFrameNumber == number + 1
    frame = before.pixel_array[1][None].astype(np.float32) / 4095
    expected = np.clip(np.rint(gray_enlarger(frame)[0] * 4095), 0, 4095)
    np.testing.assert_allclose(after.pixel_array[1], expected, atol=1)


def test_memory_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 4096, (48, 96, 96)).astype(np.uint16)
    write(tmp_path / "a.dcm", frames, bits=12)
    open_dicom(tmp_path / "a.dcm")  # imports
    tracemalloc.start()
    try:
        enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "b.dcm").stat().st_size > 14_000_000
    assert peak < 7_000_000


def test_colour_only_where_it_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--allow-color"):
        enlarge_dicom(FILES / "SC_rgb_small_odd.dcm", tmp_path / "b.dcm", REPEAT)
    for name in ("SC_rgb_small_odd.dcm", "SC_rgb_rle_16bit_2frame.dcm", "SC_ybr_full_422_uncompressed.dcm", "SC_rgb_jpeg_dcmtk.dcm"):
        output = tmp_path / name
        enlarge_dicom(FILES / name, output, REPEAT, allow_color=True)
        before, after = pydicom.dcmread(FILES / name), pydicom.dcmread(output)
        assert (after.PhotometricInterpretation, after.SamplesPerPixel, after.PlanarConfiguration) == ("RGB", 3, 0)
        assert after.pixel_array.shape[-3:] == (4 * before.Rows, 4 * before.Columns, 3)
        assert after.BitsStored == before.BitsStored


def test_a_folder_is_a_series(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "more").mkdir(parents=True)
    for number, name in enumerate(("1.dcm", "2", "more/3.dcm")):
        stored = np.full((8, 9), 10 * number, np.uint8)
        write(source / name, stored, bits=8, SOPInstanceUID=f"1.2.3.4.{number}")
    (source / "notes.txt").write_text("hello")
    (source / "report.dcm").write_bytes((FILES / "test-SR.dcm").read_bytes())
    steps: list[tuple[int, int]] = []
    with pytest.warns(PictureWarning, match=r"1 DICOM record.*report\.dcm"):
        made = enlarge_series(source, tmp_path / "out", REPEAT, step=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert sorted(str(one.output.relative_to(tmp_path / "out")) for one in made) == ["1.dcm", "2", "more/3.dcm"]
    headers = [pydicom.dcmread(one.output) for one in made]
    assert len({one.SeriesInstanceUID for one in headers}) == 1
    assert len({one.SOPInstanceUID for one in headers}) == 3
    with pytest.raises(OutputError, match="--overwrite"), pytest.warns(PictureWarning):
        enlarge_series(source, tmp_path / "out", REPEAT)


def test_a_series_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write(source / "1.dcm", np.zeros((8, 8), np.uint8), bits=8)
    (source / "2.dcm").write_bytes((FILES / "MR_truncated.dcm").read_bytes())
    with pytest.raises(InputError, match=r"2\.dcm.*truncated"):
        enlarge_series(source, tmp_path / "out", REPEAT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_outputs_are_not_replaced_unasked(tmp_path: Path) -> None:
    source = write(tmp_path / "a.dcm", np.zeros((8, 8), np.uint8), bits=8)
    before = source.read_bytes()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="input itself"):
            enlarge_dicom(source, source, REPEAT, overwrite=overwrite)
    (tmp_path / "b.dcm").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        enlarge_dicom(source, tmp_path / "b.dcm", REPEAT)
    enlarge_dicom(source, tmp_path / "b.dcm", REPEAT, overwrite=True)
    assert pydicom.dcmread(tmp_path / "b.dcm").Rows == 32
    assert source.read_bytes() == before


def test_the_pair_for_a_page_is_seen_through_one_window(tmp_path: Path) -> None:
    stored = np.tile(np.arange(0, 4000, 100, dtype=np.uint16), (40, 1))
    write(tmp_path / "a.dcm", stored, bits=12, WindowCenter=1000, WindowWidth=800, RescaleSlope=1, RescaleIntercept=-1000)
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    before, after = show_pair(tmp_path / "a.dcm", tmp_path / "b.dcm")
    assert before.shape == (40, 40)
    assert after.shape == (160, 160)
    np.testing.assert_array_equal(before[0] == 0, stored[0].astype(int) - 1000 <= 600)
    np.testing.assert_array_equal(before[0] == 255, stored[0].astype(int) - 1000 >= 1400)
    assert abs(float(before.mean()) - float(after.mean())) < 4
    assert shown_through(tmp_path / "a.dcm") == "Shown through the window of the file."
    assert "the file has no window" in shown_through(FILES / "CT_small.dcm")
    assert "Colours" in shown_through(FILES / "SC_rgb_small_odd.dcm")


def test_without_a_window_padding_does_not_darken_the_page(tmp_path: Path) -> None:
    stored = np.tile(np.arange(0, 4000, 100, dtype=np.int16), (40, 1))
    stored[:5] = -30_000
    write(tmp_path / "a.dcm", stored, bits=16, PixelPaddingValue=-30_000)
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    before, after = show_pair(tmp_path / "a.dcm", tmp_path / "b.dcm")
    assert before[5, 0] == 0
    assert before[5, -1] == 255
    np.testing.assert_array_equal(after, before.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("name", ["enhanced", "colour"])
def test_a_part_of_a_pair_is_that_part(name: str, tmp_path: Path) -> None:
    if name == "enhanced":
        enhanced(tmp_path / "a.dcm")
    else:
        write(tmp_path / "a.dcm", np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8), bits=8, photometric="RGB")
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT, allow_color=True)
    part, frame = Window(3, 5, 10, 12), 2 if name == "enhanced" else 0
    whole = show_pair(tmp_path / "a.dcm", tmp_path / "b.dcm", frame=frame)
    before, after = show_pair(tmp_path / "a.dcm", tmp_path / "b.dcm", frame=frame, part=part)
    np.testing.assert_array_equal(before, whole[0][part.slices()])
    np.testing.assert_array_equal(after, whole[1][part.scaled(4).slices()])
    np.testing.assert_array_equal(after, before.repeat(4, 0).repeat(4, 1))
    with pytest.raises(InputError, match="none with the number 9"):
        show_pair(tmp_path / "a.dcm", tmp_path / "b.dcm", frame=8)


def test_a_page_reads_no_more_of_the_result_than_it_shows(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", np.zeros((600, 700), np.uint16), bits=12)
    enlarge_dicom(tmp_path / "a.dcm", tmp_path / "b.dcm", REPEAT)
    show_pair(tmp_path / "a.dcm", tmp_path / "b.dcm", part=Window(0, 0, 9, 9))  # imports
    tracemalloc.start()
    try:
        show_pair(tmp_path / "a.dcm", tmp_path / "b.dcm", part=Window(100, 100, 64, 64))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "b.dcm").stat().st_size > 13_000_000
    assert peak < 8_000_000


def apart(picture: DicomPicture) -> list[np.ndarray]:
    from pydicom.pixels.utils import as_pixel_options

    options = as_pixel_options(picture.header, pixel_keyword="PixelData", pixel_vr=picture.pixel_vr) | {"raw": True}
    return list(decode_apart(picture.path, str(picture.syntax), picture.start, picture.frames, options))


def test_what_is_decoded_apart_is_the_same() -> None:
    pytest.importorskip("gdcm", reason="GDCM is not installed")
    (pixels,) = apart(open_dicom(FILES / "MR_small_jpeg_ls_lossless.dcm"))
    np.testing.assert_array_equal(pixels, pydicom.dcmread(FILES / "MR_small.dcm").pixel_array)


def test_a_decoder_that_ends_its_process_does_not_end_ours(tmp_path: Path) -> None:
    pytest.importorskip("gdcm", reason="GDCM is not installed")
    content = (FILES / "MR_small_jpeg_ls_lossless.dcm").read_bytes()
    assert content.count(b"\x28\x00\x11\x00US\x02\x00\x40\x00") == 1
    (tmp_path / "a.dcm").write_bytes(content.replace(b"\x28\x00\x11\x00US\x02\x00\x40\x00", b"\x28\x00\x11\x00US\x02\x00\x40\x2d"))
    with pytest.raises(ValueError, match="frame 1 of 1 cannot be decoded"):
        apart(open_dicom(tmp_path / "a.dcm"))


def test_files_of_every_kind(data_root: Path, tmp_path: Path) -> None:
    """Each of the table is enlarged where it is gray of 2 to 16 bits, and refused where it is not."""
    folder = data_root / "medical"
    with (folder / "dicom" / "dicom.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["frames"] and int(row["bytes"]) < 600_000]
    seen = set()
    for row in rows:
        source = folder / row["file"]
        if not is_dicom(source):  # one lacks the file's header
            continue
        gray = row["photometric"] in ("MONOCHROME1", "MONOCHROME2") and row["bits_allocated"] in ("8", "16") and row["modality"] != "SEG"
        try:
            enlarge_dicom(source, tmp_path / "b.dcm", REPEAT, overwrite=True)
        except InputError:
            assert not gray, row
        else:
            assert gray, row
        seen.add((gray, row["transfer_syntax"]))
    assert len(seen) > 12
