"""What a DICOM header says in pixels, brought to pixels `scale` times finer.

The outer corner of the picture stays where it is: pixels get smaller, and the centre of the first one moves towards the
corner. Elements are changed wherever they are: at the top, for all frames, for each frame, for each detector.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

SPACINGS = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "ImagePlanePixelSpacing",
    "ObjectPixelSpacingInCenterOfBeam",
    "PhysicalDeltaX",
    "PhysicalDeltaY",
)
"""Sizes of a pixel: divided."""

LENGTHS = (
    "RadiusOfCircularShutter",
    "RadiusOfCircularCollimator",
    "RadiusOfCircularExposureControlSensingRegion",
    "MaskSubPixelShift",
)
"""Distances in pixels: multiplied."""

FIRST_PIXELS = (
    "ShutterLeftVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "CollimatorLeftVerticalEdge",
    "CollimatorUpperHorizontalEdge",
    "ExposureControlSensingRegionLeftVerticalEdge",
    "ExposureControlSensingRegionUpperHorizontalEdge",
)
"""Left and upper edges, counted from 1: the first of the finer pixels."""

LAST_PIXELS = (
    "ShutterRightVerticalEdge",
    "ShutterLowerHorizontalEdge",
    "CollimatorRightVerticalEdge",
    "CollimatorLowerHorizontalEdge",
    "ExposureControlSensingRegionRightVerticalEdge",
    "ExposureControlSensingRegionLowerHorizontalEdge",
)
"""Right and lower edges, counted from 1: the last of the finer pixels."""

CENTRES = (
    "CenterOfCircularShutter",
    "VerticesOfThePolygonalShutter",
    "CenterOfCircularCollimator",
    "VerticesOfThePolygonalCollimator",
    "CenterOfCircularExposureControlSensingRegion",
    "VerticesOfThePolygonalExposureControlSensingRegion",
    "VerticesOfTheRegion",
)
"""Points, counted from 1: the finer pixel that holds the centre."""

_PIXELS = (
    "DopplerSampleVolumeXPosition",
    "DopplerSampleVolumeYPosition",
    "TMLinePositionX0",
    "TMLinePositionY0",
    "TMLinePositionX1",
    "TMLinePositionY1",
)
"""Points of ultrasound, counted from 0: the finer pixel that holds the centre."""

_UNTOUCHED = ("OriginalAttributesSequence", "IconImageSequence", "SourceImageSequence", "ReferencedImageSequence")
"""Sequences that speak of other pictures, or of how things were."""


class GeometryError(ValueError):
    """A header whose places cannot be brought to finer pixels; its words quote nothing of the header."""


def make_finer(header: "Dataset", scale: int) -> list[str]:
    """Change all sizes, places and overlays of a header in place.

    Returns:
        What had to be dropped, in words.

    Raises:
        GeometryError: a position is given without what is needed to move it, or an element is damaged.
    """
    _move_positions(header, scale)  # first: it needs the spacing as it was
    _rescale(header, scale)
    return _enlarge_overlays(header, scale)


@dataclass(frozen=True, slots=True)
class _Plane:
    """Size and direction of the pixels, as far as known."""

    spacing: Sequence[Any] | None = None
    """Between rows, between columns; mm."""
    orientation: Sequence[Any] | None = None
    """Directions of a row and of a column."""

    def within(self, dataset: "Dataset") -> "_Plane":
        """The same for a part of the header that may state them anew."""
        measures = _first(dataset, "PixelMeasuresSequence") or dataset
        planes = _first(dataset, "PlaneOrientationSequence") or _first(dataset, "PlaneOrientationVolumeSequence") or dataset
        return _Plane(
            measures.get("PixelSpacing") or self.spacing,
            planes.get("ImageOrientationPatient") or planes.get("ImageOrientationVolume") or self.orientation,
        )

    def moved(self, position: Sequence[Any], scale: int) -> list[float]:
        """The centre of the first of the finer pixels, from that of the first pixel."""
        if not self.spacing or not self.orientation or len(self.spacing) != 2 or len(self.orientation) != 6:
            raise GeometryError("has a position but not the size and direction of its pixels, so that it cannot be moved")
        if len(position) not in (2, 3):
            raise GeometryError("has a position that is no point")
        back = (1.0 / scale - 1.0) / 2.0  # of an old pixel, along rows and along columns
        row, column = (np.array([float(x) for x in part]) for part in (self.orientation[:3], self.orientation[3:]))
        step = row * float(self.spacing[1]) + column * float(self.spacing[0])
        point = [float(x) + back * float(d) for x, d in zip(position, step, strict=False)]
        if not all(math.isfinite(x) for x in point):
            raise GeometryError("has a position that is no point")
        return point


def _move_positions(header: "Dataset", scale: int) -> None:
    plane = _Plane().within(header)
    _move(header, "ImagePositionPatient", plane, scale)
    shared = _first(header, "SharedFunctionalGroupsSequence")
    if shared is not None:
        plane = plane.within(shared)
        _move_group(shared, plane, scale)
    for group in header.get("PerFrameFunctionalGroupsSequence") or ():
        _move_group(group, plane.within(group), scale)
    for detector in header.get("DetectorInformationSequence") or ():
        _move(detector, "ImagePositionPatient", plane.within(detector), scale)
    # A portal image: the plane of the detector, y upwards unless the header says otherwise.
    portal = _Plane(header.get("ImagePlanePixelSpacing"), header.get("RTImageOrientation") or (1, 0, 0, 0, -1, 0))
    _move(header, "RTImagePosition", portal, scale)


def _move_group(group: "Dataset", plane: _Plane, scale: int) -> None:
    for sequence, name in (("PlanePositionSequence", "ImagePositionPatient"), ("PlanePositionVolumeSequence", "ImagePositionVolume")):
        position = _first(group, sequence)
        if position is not None:
            _move(position, name, plane, scale)


def _move(dataset: "Dataset", name: str, plane: _Plane, scale: int) -> None:
    position = dataset.get(name)
    if position:
        _set_numbers(dataset, name, plane.moved(position, scale))


def _rescale(dataset: "Dataset", scale: int) -> None:
    """Spacings, lengths and places of a dataset and all that it holds."""
    rules: tuple[tuple[tuple[str, ...], Callable[[float], float]], ...] = (
        (SPACINGS, lambda value: value / scale),
        (LENGTHS, lambda value: value * scale),
        (FIRST_PIXELS, lambda value: (value - 1) * scale + 1),
        (LAST_PIXELS, lambda value: value * scale),
        (CENTRES, lambda value: (value - 1) * scale + scale // 2 + 1),
        (_PIXELS, lambda value: value * scale + scale // 2),
    )
    _rescale_region(dataset, scale)
    for names, rule in rules:
        for name in names:
            if dataset.get(name) not in (None, ""):
                value = dataset[name].value
                _set_numbers(dataset, name, [rule(float(x)) for x in (value if dataset[name].VM > 1 else [value])])
    for sequence in _sequences(dataset):
        for item in sequence:
            _rescale(item, scale)


def _rescale_region(region: "Dataset", scale: int) -> None:
    """An ultrasound region: corners counted from 0, and a reference pixel with its physical place."""
    for axis, first, last in (("X", "RegionLocationMinX0", "RegionLocationMaxX1"), ("Y", "RegionLocationMinY0", "RegionLocationMaxY1")):
        if region.get(first) is not None and region.get(last) is not None:
            region[first].value = int(region[first].value) * scale
            region[last].value = int(region[last].value) * scale + scale - 1
        reference, place, delta = f"ReferencePixel{axis}0", f"ReferencePixelPhysicalValue{axis}", f"PhysicalDelta{axis}"
        if region.get(reference) is None:
            continue
        region[reference].value = int(region[reference].value) * scale + scale // 2
        if region.get(place) is not None and region.get(delta) is not None:
            beyond = scale // 2 - (scale - 1) / 2.0  # finer pixels between the old centre and that of the new reference
            region[place].value = float(region[place].value) + beyond * float(region[delta].value) / scale


def _enlarge_overlays(header: "Dataset", scale: int) -> list[str]:
    """Repeat the bits of overlays; drop those that lie in unused bits of the pixels, and curves, with a word about it."""
    dropped = []
    for group in _groups(header, 0x6000):
        if (group, 0x3000) in header and int(_value(header, group, 0x0100, 1)) == 1:
            _enlarge_overlay(header, group, scale)
        else:
            dropped.append(f"the overlay {group:04X}, which lies in unused bits of the pixels")
            _drop_group(header, group)
    for group in _groups(header, 0x5000):
        dropped.append(f"the curve {group:04X}")
        _drop_group(header, group)
    return dropped


def _enlarge_overlay(header: "Dataset", group: int, scale: int) -> None:
    rows, columns = int(_value(header, group, 0x0010, 0)), int(_value(header, group, 0x0011, 0))
    frames = int(_value(header, group, 0x0015, 1) or 1)
    packed = header[group, 0x3000].value
    count = frames * rows * columns
    if count < 1 or len(packed) * 8 < count or rows * scale > 0xFFFF or columns * scale > 0xFFFF:
        raise GeometryError(f"has an overlay {group:04X} of {frames} × {rows} × {columns} bits that is truncated or too large")
    bits: NDArray[np.uint8] = np.unpackbits(np.frombuffer(packed, np.uint8), count=count, bitorder="little")
    fine = bits.reshape(frames, rows, columns).repeat(scale, axis=1).repeat(scale, axis=2)
    content = np.packbits(fine, bitorder="little").tobytes()
    header[group, 0x3000].value = content + b"\0" * (len(content) % 2)
    header[group, 0x0010].value, header[group, 0x0011].value = rows * scale, columns * scale
    if (group, 0x0050) in header:
        header[group, 0x0050].value = [(int(x) - 1) * scale + 1 for x in header[group, 0x0050].value]
    if (group, 0x1301) in header and header[group, 0x1301].value is not None:  # area of the region, in pixels
        header[group, 0x1301].value = int(header[group, 0x1301].value) * scale**2
    for statistic in (0x1302, 0x1303):  # mean and deviation of the pixels in it
        if (group, statistic) in header:
            del header[group, statistic]


def _value(header: "Dataset", group: int, element: int, default: object) -> Any:  # noqa: ANN401 - as in the file
    return header[group, element].value if (group, element) in header else default


def _groups(header: "Dataset", first: int) -> list[int]:
    """The public ones of a repeating group that the header has."""
    numbers = {tag.group for tag in list(header.keys())}
    return sorted(number for number in numbers if first <= number <= first + 0xFF and number % 2 == 0)


def _drop_group(header: "Dataset", group: int) -> None:
    for tag in list(header.keys()):
        if tag.group == group:
            del header[tag]


def _first(dataset: "Dataset", name: str) -> "Dataset | None":
    items = dataset.get(name)
    return items[0] if items else None


def _sequences(dataset: "Dataset") -> list[Sequence["Dataset"]]:
    """The sequences that may speak of pixels of this picture; text stays unread, and what is private stays as it is."""
    from pydicom.datadict import keyword_for_tag

    found = []
    for tag in list(dataset.keys()):
        if dataset.get_item(tag).VR == "SQ" and not tag.is_private and keyword_for_tag(tag) not in _UNTOUCHED:
            found.append(dataset[tag].value)
    return found


def _set_numbers(dataset: "Dataset", name: str, values: list[float]) -> None:
    """Write numbers with the precision that their type has."""
    from pydicom.valuerep import DSfloat

    element = dataset[name]
    if element.VR == "DS":
        numbers: list[Any] = [DSfloat(value, auto_format=True) for value in values]
    elif element.VR in ("FL", "FD"):
        numbers = values
    else:
        numbers = [math.floor(value + 0.5) for value in values]
    element.value = numbers if len(numbers) > 1 else numbers[0]
