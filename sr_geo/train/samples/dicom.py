"""DICOM files: stored values over the stored range, never stretched by what one picture happens to hold."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sr_geo.errors import MissingPartError, TrainingDataError
from sr_geo.imaging.dicom_values import stored_range
from sr_geo.train.samples.decoded import Decoded, Picture
from sr_geo.train.samples.imagery import Skipped
from sr_geo.train.samples.sections import DicomSource
from sr_geo.train.samples.splits import list_files

if TYPE_CHECKING:
    from pydicom import Dataset


def open_dicom(source: DicomSource, root: Path, bands: Sequence[str], *, size: int) -> tuple[list[Picture], list[Skipped]]:
    """Decode every file once; each frame of a file is a picture.

    Returns:
        The pictures, and the files that are left out with the reason.

    Raises:
        MissingPartError: pydicom is not installed.
        TrainingDataError: no file matches, none can be used, or the model is not gray.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise MissingPartError("DICOM files need pydicom; add it with: pip install 'sr-geo[train]'") from error
    if tuple(bands) != ("gray",):
        raise TrainingDataError(f"source {source.name}: DICOM pictures are gray, the model has {list(bands)}; set model.bands to [gray]")
    pictures, skipped = [], []
    for path in list_files(source, root):
        try:
            shapes = [decode_frame(path, frame).pixels.shape for frame in range(_count_frames(path))]
        except Exception as error:  # decoders of many packages raise many kinds of error; all mean "not this file"
            skipped.append(Skipped(path, " ".join(str(error).split()) or type(error).__name__))
            continue
        if min(shapes[0][1:]) < size:
            skipped.append(Skipped(path, f"{shapes[0][1]} × {shapes[0][2]} pixels, samples take {size} × {size}"))
            continue
        pictures += [Picture(path, frame, shape[1], shape[2], None, decode_frame, source.turns) for frame, shape in enumerate(shapes)]
    if not pictures:
        raise TrainingDataError(f"source {source.name}: none of {len(skipped)} file(s) can be used; {skipped[0].path}: {skipped[0].reason}")
    return pictures, skipped


def decode_frame(path: Path, frame: int) -> Decoded:
    """Stored values ``(1, H, W)`` of one frame, with what stands for 0 and 1: the same as when DICOM files are enlarged.

    Padding is not valid.

    Raises:
        ValueError: no picture in the file, or one in colour.
        Exception: whatever the decoder of the file's compression raises.
    """
    from pydicom.pixels.utils import pixel_array

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom has to say of odd headers does not change the pixels
        header = _read_header(path)
        stored: NDArray[Any] = pixel_array(path, index=frame, raw=True)
    span = stored_range(header)
    span.check(stored)
    return Decoded(stored[None], float(span.dark), float(span.bright), span.valid(stored))


def _read_header(path: Path) -> "Dataset":
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True)
    if "Rows" not in header or "BitsStored" not in header:
        raise ValueError(f"no picture in it ({header.get('Modality', 'of unknown kind')})")
    if header.PhotometricInterpretation not in {"MONOCHROME1", "MONOCHROME2"}:
        raise ValueError(f"{header.PhotometricInterpretation} picture; expected MONOCHROME1 or MONOCHROME2")
    return header


def _count_frames(path: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return int(_read_header(path).get("NumberOfFrames", 1) or 1)
