"""What other programs say of the results: dciodvfy (dicom3tools), dcmdump (dcmtk), and SimpleITK, which reads positions."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")

from sr_geo.imaging.dicom import enlarge_dicom, enlarge_series  # noqa: E402
from tests.imaging.dicom_files import FILES, REPEAT, enhanced, write  # noqa: E402

WHEEL = ("CT_small.dcm", "MR_small.dcm", "MR_small_RLE.dcm", "MR_small_bigendian.dcm", "JPEG2000.dcm", "examples_overlay.dcm")
SHARED = (
    "pydicom-data/RG3_J2KI.dcm",
    "pydicom-data/emri_small_jpeg_ls_lossless.dcm",
    "pydicom-data/vlut_04.dcm",
    "studyforrest-t1w/N2D_0271.dcm",
    "tcia-covid-19-ny-sbu/A098752_coronal_19010127-134.dcm",
    "tcia-lung-pet-ct-dx/A0002_s3_015.dcm",
)

# The standard has allowed these in derived objects since 2019 ("may be present otherwise"); the program is of 2022 and knows it for
# some of them only.
ALLOWED = re.compile(r"Attribute present when condition unsatisfied .* Module=<(MRPulseSequence|BulkMotionSynchronization)>")


@pytest.fixture(scope="module", params=[*WHEEL, "enhanced", *SHARED])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture and its enlarged one."""
    name, tmp_path = request.param, tmp_path_factory.mktemp("pair")
    if name == "enhanced":
        source = enhanced(tmp_path / "enhanced.dcm")
    elif "/" in name:
        source = request.getfixturevalue("data_root") / "medical" / "dicom" / name
    else:
        source = FILES / name
    output = tmp_path / "fine.dcm"
    enlarge_dicom(source, output, REPEAT)
    return source, output


def errors_of(path: Path) -> set[str]:
    """What dciodvfy calls errors, and no program but it does; figures in them are left out, since sizes differ."""
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert any("Error" in line or "Warning" in line or line for line in lines), "it said nothing at all"
    return {re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in lines if line.startswith("Error") and not ALLOWED.search(line)}


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is missing: apt-get install dicom3tools")
def test_no_error_that_the_source_has_not(pair: tuple[Path, Path]) -> None:
    source, output = pair
    assert errors_of(output) - errors_of(source) == set()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is missing: apt-get install dicom3tools")
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_overlay.dcm"])
def test_no_error_at_all(name: str, tmp_path: Path) -> None:
    enlarge_dicom(FILES / name, tmp_path / "b.dcm", REPEAT)
    assert errors_of(tmp_path / "b.dcm") == set()


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmdump is missing: apt-get install dcmtk")
def test_dcmtk_reads_it_to_the_end(pair: tuple[Path, Path]) -> None:
    _, output = pair
    done = subprocess.run(["dcmdump", "--print-short", str(output)], capture_output=True, text=True, errors="replace", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "(7fe0,0010) OW" in done.stdout or "(7fe0,0010) OB" in done.stdout


def corners(path: Path) -> np.ndarray:
    """Where the outer corners of the volume are, in mm, by SimpleITK."""
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    itk.ProcessObject.SetGlobalWarningDisplay(False)
    image = itk.ReadImage(str(path))
    width, height, *_ = image.GetSize()
    depth = image.GetSize()[2] if image.GetDimension() > 2 else 1
    places = [(x - 0.5, y - 0.5, float(z))[: image.GetDimension()] for z in range(depth) for y in (0, height) for x in (0, width)]
    return np.array([image.TransformContinuousIndexToPhysicalPoint(place) for place in places])


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "examples_overlay.dcm"])
def test_a_point_keeps_its_place(name: str, tmp_path: Path) -> None:
    enlarge_dicom(FILES / name, tmp_path / "b.dcm", REPEAT)
    before, after = corners(FILES / name), corners(tmp_path / "b.dcm")
    assert np.ptp(before, axis=0).max() > 10
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_a_point_keeps_its_place_in_every_oblique_frame(tmp_path: Path) -> None:
    enlarge_dicom(enhanced(tmp_path / "a.dcm", frames=4), tmp_path / "b.dcm", REPEAT)
    before, after = corners(tmp_path / "a.dcm"), corners(tmp_path / "b.dcm")
    assert before.shape == (16, 3)
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_point_keeps_its_place_in_real_files(data_root: Path, tmp_path: Path) -> None:
    for name in SHARED[-3:]:
        source = data_root / "medical" / "dicom" / name
        enlarge_dicom(source, tmp_path / "b.dcm", REPEAT, overwrite=True)
        np.testing.assert_allclose(corners(tmp_path / "b.dcm"), corners(source), atol=1e-4)


def test_a_series_is_read_as_the_volume_that_it_was(tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    source = tmp_path / "in"
    source.mkdir()
    tilted = [1, 0, 0, 0, float(np.cos(0.3)), float(np.sin(0.3))]
    for number in range(4):
        write(
            source / f"{number}.dcm",
            np.full((10, 12), 100 * number, np.int16),
            bits=16,
            SOPInstanceUID=f"1.2.3.4.{number}",
            ImageOrientationPatient=[round(x, 9) for x in tilted],
            ImagePositionPatient=[5.0, -3.0, 2.5 * number],
            PixelSpacing=[0.7, 0.6],
            SliceThickness=2.5,
        )
    enlarge_series(source, tmp_path / "out", REPEAT)
    volumes = []
    for folder in (source, tmp_path / "out"):
        reader = itk.ImageSeriesReader()
        (series,) = reader.GetGDCMSeriesIDs(str(folder))
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series))
        volumes.append(reader.Execute())
    before, after = volumes
    assert after.GetSize() == (48, 40, 4)
    np.testing.assert_allclose(after.GetSpacing(), [0.15, 0.175, before.GetSpacing()[2]], atol=1e-9)
    for index in ((-0.5, -0.5, 0), (11.5, 9.5, 3), (3.25, 7.0, 2)):
        fine = (4 * index[0] + 1.5, 4 * index[1] + 1.5, index[2])
        here, there = (volume.TransformContinuousIndexToPhysicalPoint(place) for volume, place in ((before, index), (after, fine)))
        np.testing.assert_allclose(there, here, atol=1e-6)
