"""Reading DICOM pictures frame by frame, and refusing by name what cannot be enlarged.

A header is about a person. What pydicom says of a damaged one may quote it, so that none of its words are passed on: not
as an error, not as a warning, not to a log. Messages name the file and what is wrong with it, and no value of the header
but technical ones.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import InputError, MissingPartError, SrGeoError
from sr_geo.imaging.dicom_apart import decode_apart
from sr_geo.imaging.dicom_checks import check_kind, check_layout, check_syntax, read_sizes
from sr_geo.imaging.dicom_streams import walk_fragments
from sr_geo.imaging.dicom_values import StoredRange, stored_range

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import Decoder
    from pydicom.uid import UID

LARGEST_INFLATED = 2**30
"""Bytes that a deflated file may have when unpacked."""

@dataclass(frozen=True, slots=True)
class DicomPicture:
    """A file whose frames can be enlarged."""

    path: Path
    header: "Dataset" = field(repr=False)
    """Everything but the pixels, as read; about a person."""
    syntax: "UID"
    """How the pixels are stored."""
    frames: int
    height: int
    width: int
    bands: int
    """1: gray; 3: red, green and blue."""
    dtype: np.dtype[Any]
    span: StoredRange
    start: int
    """Where the value of the pixels starts in the file."""
    pixel_vr: str
    pixel_bytes: int
    """Of all frames, as they are stored (compressed or not); 0 where it is not known."""

    def read_frames(self) -> Iterator[NDArray[Any]]:
        """One frame after the other ``(C, h, w)``, stored values (colour: as RGB); only one is in memory.

        Raises:
            InputError: the pixels are damaged, or beyond the stored bits.
        """
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.pixels.utils import as_pixel_options

        with guarded(self.path, "its pixels cannot be decoded"):
            decoder = get_decoder(self.syntax)
            options = as_pixel_options(self.header, pixel_keyword="PixelData", pixel_vr=self.pixel_vr) | {"raw": self.bands == 1}
        plugins = [name for name in decoder.available_plugins if name != "gdcm"]
        decoded = self._here(decoder, plugins, options) if plugins or decoder.is_native else self._apart(options)
        for number in range(1, self.frames + 1):
            with guarded(self.path, f"frame {number} of {self.frames} cannot be decoded"):
                pixels = next(decoded)
            yield self._checked(pixels, number)

    def _here(self, decoder: "Decoder", plugins: list[str], options: dict[str, Any]) -> Iterator[NDArray[Any]]:
        """Frames, each by the first decoder that can."""
        with closing(self._open_pixels()) as source:
            for index in range(self.frames):
                for plugin in plugins or [""]:
                    try:
                        source.seek(self.start)
                        pixels = decoder.as_array(source.content, index=index, decoding_plugin=plugin, **options)[0]
                        break
                    except Exception:
                        if plugin in plugins[:-1]:
                            continue
                        raise
                yield pixels

    def _apart(self, options: dict[str, Any]) -> Iterator[NDArray[Any]]:
        plain = {name: value for name, value in options.items() if name != "extended_offsets"}  # which it finds without, too
        return decode_apart(self.path, str(self.syntax), self.start, self.frames, plain)

    def _checked(self, pixels: NDArray[Any], number: int) -> NDArray[Any]:
        planes = pixels[None] if self.bands == 1 else np.moveaxis(pixels, -1, 0)
        expected = (self.bands, self.height, self.width)
        if planes.shape != expected or planes.dtype.kind not in "iu":
            raise InputError(f"{self.path}: frame {number} is {planes.shape} of {planes.dtype}, its header says {expected}")
        try:
            self.span.check(planes)
        except ValueError as error:
            raise InputError(f"{self.path}: frame {number} {error}; the header does not fit the pixels") from None
        return planes

    def _open_pixels(self) -> "_Pixels":
        import pydicom

        if not self.syntax.is_deflated:
            return _Pixels(self.path.open("rb"))
        with guarded(self.path, "its pixels cannot be read"):
            return _Pixels(pydicom.dcmread(self.path))  # of limited size: see `_check_deflated`


@dataclass(frozen=True, slots=True)
class _Pixels:
    """What pydicom takes frames from: an open file, or a dataset in memory."""

    content: Any

    def seek(self, place: int) -> None:
        if isinstance(self.content, BufferedReader):
            self.content.seek(place)

    def close(self) -> None:
        if isinstance(self.content, BufferedReader):
            self.content.close()


@contextmanager
def guarded(path: Path, what: str, *, writing: bool = False) -> Iterator[None]:
    """Turn whatever pydicom and its decoders raise into one line that quotes nothing; their warnings and logs are dropped.

    Args:
        path: the picture.
        what: goes wrong, in words.
        writing: let errors of the file system through, which are not the picture's.
    """
    log = logging.getLogger("pydicom")
    disabled = log.disabled
    log.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SrGeoError:
        raise
    except OSError as error:
        if writing:
            raise
        raise InputError(f"{path}: {what} ({error.strerror or type(error).__name__})") from None
    except Exception as error:  # decoders of many packages raise many kinds of error; all mean "not this file"
        raise InputError(f"{path}: {what} ({type(error).__name__}); the file is damaged or of an unusual kind: get it anew") from None
    finally:
        log.disabled = disabled


def is_dicom(path: Path) -> bool:
    """Whether a file has the mark of DICOM, whatever its name."""
    try:
        with path.open("rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def require_pydicom() -> None:
    """Raise where DICOM cannot be read here.

    Raises:
        MissingPartError: with the command that adds it.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise MissingPartError("DICOM files need pydicom; add it with: pip install 'sr-geo[medical]'") from None


def has_picture(path: Path) -> bool:
    """Whether a DICOM file has an element with pixels; reports, plans, DICOMDIR and the like have none.

    Raises:
        InputError: the file cannot be read.
    """
    return "Rows" in _read_header(path)[0]


def open_dicom(path: Path, *, allow_color: bool = False) -> DicomPicture:
    """Read the header of a DICOM file and check that its frames can be enlarged.

    Args:
        path: the file.
        allow_color: take pictures in colour too.

    Raises:
        InputError: the file cannot be read, is damaged, or is of a kind that must not be enlarged.
        MissingPartError: the decoder for its compression is not installed.
    """
    require_pydicom()
    header, start = _read_header(path)
    with guarded(path, "its header makes no sense"):
        check_kind(path, header, allow_color=allow_color)
        check_layout(path, header)
        syntax = header.file_meta.TransferSyntaxUID
        check_syntax(path, header, syntax)
        frames, height, width = read_sizes(path, header)
        try:
            span = stored_range(header)
        except ValueError as error:
            raise InputError(f"{path}: {error}; the header is damaged") from None
        allocated, signed = int(header.BitsAllocated), span.low < 0
        bands = int(header.get("SamplesPerPixel", 1) or 1)
        found = _Found(0, "OW", 0)
        if not syntax.is_deflated:  # of those, a truncated one cannot be unpacked at all
            expected = _native_bytes(header, frames, height * width, allocated * bands)
            found = _find_pixels(path, start, syntax, expected, (height, width, bands))
        dtype = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    return DicomPicture(path, header, syntax, frames, height, width, bands, dtype, span, found.start, found.vr, found.bytes)


def _read_header(path: Path) -> tuple["Dataset", int]:
    """The header and where in the file the pixels start."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    if not path.is_file():
        raise InputError(f"{path}: no such file; check the name")
    with guarded(path, "its header cannot be read"), path.open("rb") as file:
        try:
            _check_deflated(path, file)
            header = pydicom.dcmread(file, stop_before_pixels=True)
        except InvalidDicomError:
            raise InputError(f"{path}: not a DICOM file (no mark DICM after 128 bytes); expected one with the DICOM file header") from None
        return header, file.tell()


def _check_deflated(path: Path, file: BinaryIO) -> None:
    """Refuse a file that is small packed and huge unpacked, before anyone unpacks it."""
    from pydicom.filereader import read_file_meta_info  # reads nothing but the first group
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if not is_dicom(path):
        return
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    file.seek(128 + 4 + 12 + int(meta.get("FileMetaInformationGroupLength", 0)))
    inflate, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    packed = file.read(2**20)
    while packed and not inflate.eof:
        size += len(inflate.decompress(packed, 2**24))
        if size > LARGEST_INFLATED:
            raise InputError(f"{path}: unpacks to more than {LARGEST_INFLATED} bytes, the limit for deflated DICOM files")
        packed = inflate.unconsumed_tail or file.read(2**20)
    file.seek(0)


def _native_bytes(header: "Dataset", frames: int, pixels: int, bits: int) -> int:
    """Bytes of uncompressed pixels."""
    if header.PhotometricInterpretation == "YBR_FULL_422":
        bits = bits * 2 // 3  # each two pixels share their colour
    return frames * pixels * bits // 8


@dataclass(frozen=True, slots=True)
class _Found:
    """The element with the pixels."""

    start: int
    vr: str
    bytes: int


def _find_pixels(path: Path, start: int, syntax: "UID", expected: int, shape: tuple[int, int, int]) -> _Found:
    """Where the value of the pixels is; pixels that end early are refused."""
    size = path.stat().st_size
    order = "<" if syntax.is_little_endian else ">"
    vr = b"OW"
    with path.open("rb") as file:
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            raise InputError(f"{path}: holds no pixels; the file is truncated: get it anew")
        group, element, length = struct.unpack(f"{order}HHL", head)
        if (group, element) in ((0x7FE0, 0x0008), (0x7FE0, 0x0009)):
            raise InputError(f"{path}: its pixels are floating-point numbers; expected whole ones")
        if (group, element) != (0x7FE0, 0x0010):
            raise InputError(f"{path}: holds no pixels; the file is damaged: get it anew")
        if not syntax.is_implicit_VR:
            vr = head[4:6]
            (length,) = struct.unpack(f"{order}L", file.read(4).ljust(4, b"\0"))
        if vr not in (b"OB", b"OW"):
            raise InputError(f"{path}: its pixels are of an unknown kind; the file is damaged: get it anew")
        begin = file.tell()
        jpeg = syntax.startswith("1.2.840.10008.1.2.4.")
        packed = syntax.is_encapsulated
        there = walk_fragments(path, file, size, length, shape if jpeg else None) if packed else min(length, size - begin)
    if not syntax.is_encapsulated and there < expected:
        raise InputError(f"{path}: {there} of {expected} bytes of pixels; the file is truncated: get it anew")
    return _Found(begin, vr.decode(), there)
