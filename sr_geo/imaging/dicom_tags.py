"""The header of an enlarged DICOM picture, from that of its source: a new, derived object that says where it comes from.

What is not named here or in `dicom_geometry` is kept, byte for byte: the patient, the study, window and rescale, private elements.
docs/medical.md has the whole list.
"""

import copy
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import sr_geo
from sr_geo.imaging.dicom_encoding import make_explicit
from sr_geo.imaging.dicom_geometry import make_finer

if TYPE_CHECKING:
    from pydicom import Dataset

NOT_FOR_DIAGNOSIS = "NOT FOR DIAGNOSIS"
"""Stands in every result, where viewers show it (Series Description, Image Comments) and where it is looked up (Derivation Description)."""

_NAMESPACE = uuid.UUID("9c4ac263-ee68-5f36-9122-43bdb43c138b")

_DROPPED = (
    "DigitalSignaturesSequence",  # they sign what has changed
    "MACParametersSequence",
    "ExtendedOffsetTable",  # of the pixels that are replaced
    "ExtendedOffsetTableLengths",
    "IconImageSequence",  # a small picture of another object
    "InstanceCreatorUID",  # who made the source
    "SmallestPixelValueInSeries",  # not known before the last picture of the series is made
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "ImagePosition",  # retired, and in coordinates of ACR-NEMA
    "ImageOrientation",
    "PixelDataProviderURL",
)

# Transfer syntaxes that may lose something, with the name of the method as LossyImageCompressionMethod has it.
_LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}

_SURELY_LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
"""The others may be without loss in a file: near-lossless by nothing, wavelets that can be turned back."""

_ENHANCED = tuple(
    f"1.2.840.10008.5.1.4.1.1.{suffix}"
    for suffix in ("2.1", "2.2", "4.1", "4.3", "4.4", "12.1.1", "12.2.1", "6.2", "13.1.1", "13.1.2", "13.1.3", "130", "128.1")
)
"""Enhanced CT, MR, XA, XRF, ultrasound volumes, X-ray in three dimensions, PET, and those converted to them."""

_SPATIAL_RESAMPLING = ("113085", "Spatial resampling")
_SOURCE_FOR_PROCESSING = ("121322", "Source image for image processing operation")
_PROCESSING_EQUIPMENT = ("109102", "Processing Equipment")


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a picture was made from its source."""

    scale: int
    model: str
    """Name of the network."""
    sha256: str
    """Of its file."""
    manner: str = ""
    """Options that change pixels, in words; part of what the new identifiers follow from."""

    @property
    def words(self) -> str:
        """For Derivation Description."""
        manner = f", {self.manner}" if self.manner else ""
        return (
            f"x{self.scale} super-resolution by SR Geo {sr_geo.__version__}, network {self.model} "
            f"(sha256 {self.sha256[:16]}){manner}; detail finer than a source pixel is estimated. {NOT_FOR_DIAGNOSIS}"
        )

    def uid(self, source: str, kind: str) -> str:
        """A new identifier (2.25, from a UUID) that is the same whenever the same is made from the same source.

        So pictures of a series that are enlarged one by one still share their new series, and doing it again gives no
        second object.
        """
        parts = (source, kind, str(self.scale), self.model, self.sha256, self.manner, sr_geo.__version__)
        return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(parts)).int}"


@dataclass(frozen=True, slots=True)
class Pixels:
    """What the header has to say of the new pixels."""

    bits_allocated: int
    colour: bool
    smallest: int
    largest: int
    lossy_syntax: str
    """Transfer syntax of the source."""
    ratio: float | None
    """Bytes unpacked to bytes packed, of the source; None where they are not known."""


def derive(source: "Dataset", derivation: Derivation, pixels: Pixels, *, now: datetime) -> tuple["Dataset", list[str]]:
    """The header of the enlarged picture, with the file's own, as Explicit VR Little Endian; without pixels.

    Returns:
        The header, and what of the source had to be dropped, in words.

    Raises:
        GeometryError: the source's geometry cannot be brought to finer pixels.
    """
    header = copy.deepcopy(source)
    make_explicit(header, signed=source.get("PixelRepresentation") == 1)
    dropped = make_finer(header, derivation.scale)
    for name in _DROPPED:
        if name in header:
            del header[name]
    _describe_pixels(header, derivation.scale, pixels)
    _mark_derived(header)
    _name_source(header, source, derivation)
    _name_equipment(header, derivation, now)
    _name_anew(header, derivation, now)
    header.file_meta = _file_meta(header)
    header.preamble = b"\0" * 128  # that of the source may hold another file's header (TIFF)
    return header, dropped


def _describe_pixels(header: "Dataset", scale: int, pixels: Pixels) -> None:
    header["Rows"].value, header["Columns"].value = int(header.Rows) * scale, int(header.Columns) * scale
    header.BitsAllocated, header.HighBit = pixels.bits_allocated, int(header.BitsStored) - 1
    if pixels.colour:
        header.PhotometricInterpretation, header.PlanarConfiguration = "RGB", 0
    for name, value in (("SmallestImagePixelValue", pixels.smallest), ("LargestImagePixelValue", pixels.largest)):
        if name in header:
            header[name].VR = "SS" if header.get("PixelRepresentation") == 1 else "US"
            header[name].value = value
    method = _LOSSY.get(pixels.lossy_syntax)
    said = header.get("LossyImageCompression")
    if method is not None and (said not in ("00", "01") or (said == "00" and pixels.lossy_syntax in _SURELY_LOSSY)):
        header.LossyImageCompression = "01"  # never reset, and here the source forgot to set it
        header.LossyImageCompressionMethod = method
        if pixels.ratio is not None:
            header.LossyImageCompressionRatio = f"{pixels.ratio:.4g}"


def _mark_derived(header: "Dataset") -> None:
    """Image Type, and Frame Type wherever it is: derived, made after the examination; the rest as it was."""
    enhanced = str(header.SOPClassUID) in _ENHANCED or "SharedFunctionalGroupsSequence" in header
    header.ImageType = derived_type(header.get("ImageType"), enhanced=enhanced)
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in header.get(name) or ():
            for tag in list(group.keys()):
                if group.get_item(tag).VR == "SQ":
                    for item in group[tag].value:
                        if "FrameType" in item:
                            item.FrameType = derived_type(item.FrameType, enhanced=True)


def derived_type(values: Any, *, enhanced: bool) -> list[str]:  # noqa: ANN401 - text, several or nothing
    """Image Type or Frame Type of the result.

    The second value says SECONDARY; objects with functional groups allow PRIMARY only there, and say by the fourth value what was
    done: RESAMPLED, where nothing was done before.
    """
    old = [] if values is None else [values] if isinstance(values, str) else list(values)
    new = ["DERIVED", "PRIMARY" if enhanced else "SECONDARY", *(str(value) for value in old[2:])]
    if enhanced and len(new) > 3 and new[3] == "NONE":
        new[3] = "RESAMPLED"
    return new


def _name_source(header: "Dataset", source: "Dataset", derivation: Derivation) -> None:
    """Say what was done, and to what."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if frames:
        shared = header.get("SharedFunctionalGroupsSequence")
        if shared and "DerivationImageSequence" in shared[0]:
            _append(shared[0], "DerivationImageSequence", _derivation_item(source, derivation, None))
        else:
            for number, group in enumerate(frames, start=1):
                _append(group, "DerivationImageSequence", _derivation_item(source, derivation, number))
        _append(header, "SourceImageEvidenceSequence", _evidence(source))
        return
    earlier = _text(header, "DerivationDescription")
    header.DerivationDescription = _joined(earlier, derivation.words, 1024)
    _append(header, "DerivationCodeSequence", _code(*_SPATIAL_RESAMPLING))
    header.SourceImageSequence = [_reference(source, None)]


def _derivation_item(source: "Dataset", derivation: Derivation, frame: int | None) -> "Dataset":
    from pydicom import Dataset

    item = Dataset()
    item.DerivationDescription = derivation.words
    item.DerivationCodeSequence = [_code(*_SPATIAL_RESAMPLING)]
    item.SourceImageSequence = [_reference(source, frame)]
    return item


def _reference(source: "Dataset", frame: int | None) -> "Dataset":
    from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    if frame is not None:
        item.ReferencedFrameNumber = frame
    item.PurposeOfReferenceCodeSequence = [_code(*_SOURCE_FOR_PROCESSING)]
    return item


def _evidence(source: "Dataset") -> "Dataset":
    """Study, series and object, as objects with functional groups want their sources listed once more."""
    from pydicom import Dataset

    picture, series, study = Dataset(), Dataset(), Dataset()
    picture.ReferencedSOPClassUID, picture.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    series.SeriesInstanceUID = source.get("SeriesInstanceUID", "")
    series.ReferencedSOPSequence = [picture]
    study.StudyInstanceUID = source.get("StudyInstanceUID", "")
    study.ReferencedSeriesSequence = [series]
    return study


def _name_equipment(header: "Dataset", derivation: Derivation, now: datetime) -> None:
    from pydicom import Dataset

    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [_code(*_PROCESSING_EQUIPMENT)]
    item.Manufacturer = "The SR Geo authors"
    item.ManufacturerModelName = "SR Geo"
    item.SoftwareVersions = [sr_geo.__version__, f"{derivation.model} {derivation.sha256[:16]}".strip()]
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S")
    item.ContributionDescription = f"x{derivation.scale} super-resolution. {NOT_FOR_DIAGNOSIS}"
    _append(header, "ContributingEquipmentSequence", item)


def _name_anew(header: "Dataset", derivation: Derivation, now: datetime) -> None:
    """New identifiers for the object and its series; study and frame of reference stay."""
    instance = str(header.SOPInstanceUID)
    header.SOPInstanceUID = derivation.uid(instance, "instance")
    header.SeriesInstanceUID = derivation.uid(str(header.get("SeriesInstanceUID") or instance), "series")
    for name, kind in (("ConcatenationUID", "concatenation"), ("SOPInstanceUIDOfConcatenationSource", "instance")):
        if header.get(name):
            setattr(header, name, derivation.uid(str(header[name].value), kind))
    if header.get("SeriesNumber") not in (None, ""):
        header.SeriesNumber = min(int(header.SeriesNumber) + 1000, 2**31 - 1)  # which is the largest that DICOM can write
    header.SeriesDescription = _joined(_text(header, "SeriesDescription"), f"SRx{derivation.scale} {NOT_FOR_DIAGNOSIS}", 64)
    header.ImageComments = _joined(_text(header, "ImageComments"), f"x{derivation.scale} super-resolution: {NOT_FOR_DIAGNOSIS}", 10240)
    local = now.astimezone(_zone(header))
    header.InstanceCreationDate, header.InstanceCreationTime = local.strftime("%Y%m%d"), local.strftime("%H%M%S")


def _file_meta(header: "Dataset") -> Any:  # noqa: ANN401 - pydicom has no public name for it below 3.1
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(f"2.25.{_NAMESPACE.int}")
    meta.ImplementationVersionName = f"SR_GEO_{sr_geo.__version__}"[:16]
    return meta


def _zone(header: "Dataset") -> timezone | None:
    """The time zone that the header's times are in; None where it does not say: local time."""
    match = re.fullmatch(r"([+-])(\d\d)(\d\d)", str(header.get("TimezoneOffsetFromUTC", "")).strip())
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def _code(value: str, meaning: str) -> "Dataset":
    from pydicom import Dataset

    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _append(dataset: "Dataset", name: str, item: "Dataset") -> None:
    setattr(dataset, name, [*(dataset.get(name) or ()), item])


def _text(header: "Dataset", name: str) -> str:
    """What an element says, or nothing where its characters are not those that the header names: they could not be written again."""
    value = str(header.get(name, "") or "").strip()
    return "" if "\ufffd" in value else value


def _joined(earlier: str, added: str, most: int) -> str:
    """Both, the earlier text cut where they are too long together."""
    room = most - len(added) - 2
    kept = earlier[:room].rstrip(" ;") if room > 0 else ""
    return f"{kept}; {added}" if kept else added


