"""Damaged DICOM files: a result that can be read, or one line; never a crash, never a traceback, never half a file."""

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sr_geo.errors import SrGeoError

pydicom = pytest.importorskip("pydicom", reason="DICOM needs pydicom")

from sr_geo.imaging.dicom import enlarge_dicom  # noqa: E402
from tests.imaging.dicom_files import FILES, REPEAT, enhanced  # noqa: E402

NAMES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_small_odd.dcm",
    "enhanced",
)


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes changed, taken out, put in or cut off, mostly in the header."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 12))):
        last = len(damaged) - 1
        place = draw(st.one_of(st.integers(132, min(last, 3000)), st.integers(132, last), st.integers(max(132, last - 400), last)))
        kind = draw(st.sampled_from(["change", "change", "change", "take", "put", "cut"]))
        if kind == "change":
            damaged[place] = draw(st.integers(0, 255))
        elif kind == "take":
            del damaged[place : place + draw(st.integers(1, 40))]
        elif kind == "put":
            damaged[place:place] = draw(st.binary(min_size=1, max_size=20))
        else:
            del damaged[place:]
        if len(damaged) < 400:
            break
    return bytes(damaged)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files(name: str, data: st.DataObject, tmp_path: Path) -> None:
    fares_well(name, data, tmp_path)


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_files_that_are_decoded_apart(data: st.DataObject, tmp_path: Path) -> None:
    fares_well("SC_rgb_jpeg_gdcm.dcm", data, tmp_path)


def fares_well(name: str, data: st.DataObject, tmp_path: Path) -> None:
    origin = tmp_path / "origin.dcm"
    if not origin.exists():
        origin.write_bytes(enhanced(tmp_path / "enhanced").read_bytes() if name == "enhanced" else (FILES / name).read_bytes())
    source, output = tmp_path / "damaged.dcm", tmp_path / "output.dcm"
    source.write_bytes(data.draw(damage(origin.read_bytes())))
    output.unlink(missing_ok=True)
    message = ""
    try:
        enlarge_dicom(source, output, REPEAT, allow_color=True)
    except SrGeoError as error:
        message = str(error)
    assert output.exists() == (message == "")
    assert "\n" not in message
    if not message:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of odd values that are passed on
            assert pydicom.dcmread(output).pixel_array.size > 0
    assert {path.name for path in tmp_path.iterdir()} <= {"origin.dcm", "enhanced", "damaged.dcm", "output.dcm"}
