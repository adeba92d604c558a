"""Which DICOM pictures can be enlarged, by their headers. Each refusal has a name, and quotes no word about a person."""

from pathlib import Path
from typing import TYPE_CHECKING

from sr_geo.errors import InputError, MissingPartError

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

LARGEST_FRAME = 2**26
"""Pixels of a frame (8192 × 8192); more than any detector has, and less than a lying header may make a decoder allocate."""

_GRAY = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")

_NO_PICTURES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation: labels, not a picture",
    "1.2.840.10008.5.1.4.1.1.66.7": "a label map: labels, not a picture",
    "1.2.840.10008.5.1.4.1.1.30": "a parametric map: measured figures, not a picture",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose: planned figures, not a picture",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a slide in tiles: seams would show; enlarge the slide with a tool for slides",
    "1.2.840.10008.5.1.4.1.1.77.1.9": "a microscope's picture in tiles: seams would show",
}
"""SOP classes that have pixels and still are no pictures of a kind that may be made finer."""

_RECORDS = {
    "SR": "a structured report",
    "PR": "a presentation state",
    "KO": "a selection of key objects",
    "DOC": "a document",
    "ECG": "a waveform",
    "REG": "a registration",
    "RTPLAN": "a radiotherapy plan",
    "RTSTRUCT": "radiotherapy structures",
    "RTRECORD": "a radiotherapy record",
}
"""By modality: what has no pixels."""

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"

_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation", "SOPInstanceUID", "SOPClassUID")


def check_kind(path: Path, header: "Dataset", *, allow_color: bool) -> None:
    """Raise where the file is no picture, or one of a kind that is not enlarged.

    Raises:
        InputError: with the reason.
    """
    if "Rows" not in header or "Columns" not in header:
        modality = str(header.get("Modality", "") or "")
        what = _RECORDS.get(modality, "a report, plan or other record")
        raise InputError(f"{path}: holds no picture, but {what}; give the images")
    reason = _NO_PICTURES.get(str(header.get("SOPClassUID")))
    if reason is not None:
        raise InputError(f"{path}: {reason}")
    missing = [name for name in _NEEDED if header.get(name) in (None, "")]
    if missing:
        raise InputError(f"{path}: its header lacks {', '.join(missing)}; get the file anew")
    photometric = str(header.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        raise InputError(f"{path}: PALETTE COLOR, its pixels are numbers of colours and no brightness; convert it to RGB first")
    if photometric not in _GRAY + _COLOUR:
        raise InputError(f"{path}: of a photometric interpretation that is not known; expected {' or '.join(_GRAY)}")
    colour = photometric in _COLOUR
    if colour and not allow_color:
        raise InputError(f"{path}: {photometric}, a picture in colour (such as a secondary capture); expected gray, or --allow-color")
    if int(header.get("SamplesPerPixel", 1) or 1) != (3 if colour else 1):
        raise InputError(f"{path}: {photometric} with {int(header.SamplesPerPixel)} samples a pixel; the header is damaged")


def check_layout(path: Path, header: "Dataset") -> None:
    """Raise where the pixels are laid out in a way that is not read here.

    Raises:
        InputError: with the reason.
    """
    if header.get("PixelPresentation") in ("COLOR", "MIXED", "TRUE_COLOR"):
        raise InputError(f"{path}: gray with coloured values above a limit (supplemental palette); such pixels must not be mixed")
    allocated, stored = int(header.BitsAllocated), int(header.BitsStored)
    if allocated not in (8, 16):
        raise InputError(f"{path}: {allocated} bits a sample; expected 8 or 16")
    if int(header.get("HighBit", stored - 1)) != stored - 1:
        raise InputError(f"{path}: its highest bit is not that of its {stored} stored bits, as it was before DICOM 2014; convert it first")


def check_syntax(path: Path, header: "Dataset", syntax: "UID") -> None:
    """Raise where the pixels are stored in a way that cannot be unpacked here.

    Raises:
        InputError: nobody can, or nobody may freely.
        MissingPartError: a decoder that is not installed could.
    """
    from pydicom.pixels.decoders.base import get_decoder

    if not syntax or not syntax.is_valid:
        raise InputError(f"{path}: does not say how its pixels are stored (no transfer syntax); get the file anew")
    name = syntax.name if syntax.name != syntax else "unknown"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(
            f"{path}: pixels in the transfer syntax {syntax} ({name}), which is not supported; unpack them first, with `gdcmconv --raw`"
        ) from None
    if syntax == _JPEG_EXTENDED and int(header.BitsStored) > 8 and "pylibjpeg" not in decoder.available_plugins:
        raise InputError(
            f"{path}: {int(header.BitsStored)} bits compressed as JPEG Extended, for which there is no free decoder; unpack it first, "
            "with `dcmdjpeg`"
        )
    if not decoder.is_available:
        raise MissingPartError(f"{path}: pixels are compressed as {name}; add the decoder with: pip install 'sr-geo[medical]'")


def read_sizes(path: Path, header: "Dataset") -> tuple[int, int, int]:
    """How many frames of how many rows and columns.

    Raises:
        InputError: none, too many, or not as many frames as are described.
    """
    frames, height, width = int(header.get("NumberOfFrames", 1) or 1), int(header.Rows), int(header.Columns)
    if frames < 1 or height < 1 or width < 1:
        raise InputError(f"{path}: {frames} frames of {height} × {width} pixels; the header is damaged")
    if height * width > LARGEST_FRAME:
        raise InputError(f"{path}: frames of {height} × {width} pixels, the limit is {LARGEST_FRAME} pixels")
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups is not None and len(groups) != frames:
        raise InputError(f"{path}: {frames} frames, but {len(groups)} descriptions of frames; the header is damaged")
    return frames, height, width
