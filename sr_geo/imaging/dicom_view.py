"""DICOM pictures as they are looked at: through their modality transformation and window, in 8 bits. For reports, never for files."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import InputError
from sr_geo.grid import Window
from sr_geo.imaging.dicom_read import DicomPicture, guarded, open_dicom

if TYPE_CHECKING:
    from pydicom import Dataset

Shown = NDArray[np.uint8]

_EXPLICIT = "1.2.840.10008.1.2.1"
"""Transfer syntax of what SR Geo writes."""


def show_pair(source: Path, output: Path, *, frame: int = 0, part: Window | None = None) -> tuple[Shown, Shown]:
    """The same frame of a picture and of its enlarged one, through the same window.

    Where the header has no window, both are shown over the range that the source's frame has, padding aside. Of the enlarged one no
    more is read than is shown.

    Args:
        source: the picture.
        output: its enlarged one, as SR Geo writes it.
        frame: from 0.
        part: of the source that is shown; None: the whole.

    Returns:
        ``(h, w)`` gray, or ``(h, w, 3)``, bright where it is to be bright; the second one finer.

    Raises:
        InputError: one of the files cannot be read, or has no such frame.
    """
    before, after = (open_dicom(path, allow_color=True) for path in (source, output))
    shown = part or Window(0, 0, before.height, before.width)
    whole = _frame(before, frame)
    values, finer = whole[(slice(None), *shown.slices())], _written(after, frame, shown.scaled(after.height // before.height))
    if before.bands == 3:
        return _colours(values, before), _colours(finer, after)
    with guarded(source, "its window makes no sense"):
        valid = before.span.valid(whole[0])
        held = whole if valid is None or not valid.any() else whole[0][valid]
        ends = _physical(np.array([[[held.min(), held.max()]]], whole.dtype), before.header, frame)
        limits = (float(ends.min()), float(ends.max()))
        physical, finer_physical = _physical(values, before.header, frame), _physical(finer, before.header, frame)
        return _gray(physical, before, frame, limits), _gray(finer_physical, before, frame, limits)


def shown_through(source: Path, *, frame: int = 0) -> str:
    """What `show_pair` shows a picture through, in a sentence."""
    picture = open_dicom(source, allow_color=True)
    if picture.bands == 3:
        return "Colours as they are stored."
    window = _window(picture.header, frame)
    if _has_limits(window):
        return "Shown through the window of the file."
    if window.get("VOILUTSequence"):
        return "Shown through the table of the file."
    return "Shown over the range of its values: the file has no window."


def _written(picture: DicomPicture, frame: int, part: Window) -> NDArray[Any]:
    """A part of a frame of a picture that is not compressed and fills no unused bits, ``(C, h, w)``."""
    if picture.syntax != _EXPLICIT or frame >= picture.frames:
        return _frame(picture, frame)[(slice(None), *part.slices())]
    shape = (picture.height, picture.width, picture.bands)
    start = picture.start + frame * math.prod(shape) * picture.dtype.itemsize
    with guarded(picture.path, "its pixels cannot be read"):
        pixels = np.memmap(picture.path, picture.dtype.newbyteorder("<"), "r", offset=start, shape=shape)
        return np.moveaxis(np.array(pixels[part.slices()], picture.dtype), -1, 0)


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
    window = _window(picture.header, frame)
    if _has_limits(window):
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


def _window(header: "Dataset", frame: int) -> "Dataset":
    """The part of a header that may hold the window of a frame."""
    return _group(header, frame, "FrameVOILUTSequence") or header


def _has_limits(window: "Dataset") -> bool:
    return window.get("WindowCenter") not in (None, "") and window.get("WindowWidth") not in (None, "")


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
