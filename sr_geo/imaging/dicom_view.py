"""DICOM pictures as they are looked at: through their modality transformation and window, in 8 bits. For reports, never for files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import InputError
from sr_geo.imaging.dicom_read import DicomPicture, guarded, open_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

Shown = NDArray[np.uint8]


def show_pair(source: Path, output: Path, *, frame: int = 0) -> tuple[Shown, Shown]:
    """The same frame of a picture and of its enlarged one, through the same window.

    Where the header has no window, both are shown over the range that the source's frame has.

    Args:
        source: the picture.
        output: its enlarged one.
        frame: from 0.

    Returns:
        ``(h, w)`` gray, or ``(h, w, 3)``, bright where it is to be bright; the second one finer.

    Raises:
        InputError: one of the files cannot be read, or has no such frame.
    """
    before, after = (open_dicom(path, allow_color=True) for path in (source, output))
    values, finer = _frame(before, frame), _frame(after, frame)
    if before.bands == 3:
        return _colours(values, before), _colours(finer, after)
    with guarded(source, "its window makes no sense"):
        physical, finer_physical = _physical(values, before.header, frame), _physical(finer, before.header, frame)
        limits = (float(physical.min()), float(physical.max()))
        return _gray(physical, before, frame, limits), _gray(finer_physical, before, frame, limits)


def _frame(picture: DicomPicture, frame: int) -> NDArray[Any]:
    for number, values in enumerate(picture.read_frames()):
        if number == frame:
            return values
    raise InputError(f"{picture.path}: has {picture.frames} frames, none with the number {frame + 1}")


def _colours(values: NDArray[Any], picture: DicomPicture) -> Shown:
    shown: Shown = np.rint(picture.span.network(values) * 255.0).astype(np.uint8)
    return np.moveaxis(shown, 0, -1)


def _physical(values: NDArray[Any], header: "Dataset", frame: int) -> NDArray[np.float64]:
    """Stored values as what they stand for: Hounsfield units, say."""
    from pydicom.pixels.processing import apply_modality_lut

    rescale = _group(header, frame, "PixelValueTransformationSequence")
    physical: NDArray[np.float64] = apply_modality_lut(values[0], header if rescale is None else rescale).astype(np.float64)
    return physical


def _gray(physical: NDArray[np.float64], picture: DicomPicture, frame: int, limits: tuple[float, float]) -> Shown:
    """Through the first window of the header, else its table, else over `limits`."""
    header = picture.header
    window = _group(header, frame, "FrameVOILUTSequence") or header
    if window.get("WindowCenter") not in (None, "") and window.get("WindowWidth") not in (None, ""):
        centre, width = (float(np.atleast_1d(window[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
        part = _through_window(physical, centre, width, str(window.get("VOILUTFunction") or "LINEAR"))
    elif window.get("VOILUTSequence"):
        part = _through_table(physical, window)
    else:
        low, high = limits
        part = (physical - low) / max(high - low, 1e-9)
    bright = 1.0 - part if picture.span.inverted else part
    shown: Shown = np.rint(np.clip(bright, 0.0, 1.0) * 255.0).astype(np.uint8)
    return shown


def _through_window(physical: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """0…1 by the three functions of PS3.3 C.11.2.1."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (physical - centre) / width, -500.0, 500.0)))
    if function == "LINEAR_EXACT":
        return (physical - centre) / width + 0.5
    return (physical - (centre - 0.5)) / max(width - 1.0, 1e-9) + 0.5


def _through_table(physical: NDArray[np.float64], window: "Dataset") -> NDArray[np.float64]:
    from pydicom.pixels.processing import apply_voi_lut

    table = window.VOILUTSequence[0]
    shown: NDArray[np.float64] = apply_voi_lut(np.rint(physical).astype(np.int32), window) / float(2 ** int(table.LUTDescriptor[2]) - 1)
    return shown


def _group(header: "Dataset", frame: int, name: str) -> "Dataset | None":
    """What functional groups say of a frame, where they say it."""
    for groups, place in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = header.get(groups)
        if items and len(items) > place and items[place].get(name):
            found: Dataset = items[place][name].value[0]
            return found
    return None
