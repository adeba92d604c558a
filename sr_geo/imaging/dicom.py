"""A DICOM picture made finer, from file to file, or a folder of them: frame by frame, strip by strip.

The network sees stored values over the stored range, gray values keep their meaning, and the header says what the picture is
now: derived, finer, by whom, from what, and not for diagnosis. See docs/medical.md.
"""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sr_geo.errors import InputError, OutputError, PictureWarning
from sr_geo.files import whole_file
from sr_geo.grid import Window
from sr_geo.imaging.dicom_geometry import GeometryError
from sr_geo.imaging.dicom_read import DicomPicture, guarded, has_picture, is_dicom, open_dicom, require_pydicom
from sr_geo.imaging.dicom_tags import Derivation, Pixels, derive
from sr_geo.imaging.enlarge import Enlarger
from sr_geo.imaging.photo import Enlarged, Step
from sr_geo.radiometry import Float, Mask, fill_invalid
from sr_geo.raster.target import check_room, check_target

LONGEST_SIDE = 0xFFFF
"""Rows and columns that DICOM can state."""

MOST_BYTES = 0xFFFFFFFE
"""Of uncompressed pixels, all frames together."""

_STRIP_BYTES = 96_000_000
"""Of the result's rows that are kept while a row of tiles is computed."""


def enlarge_dicom(
    source: Path, output: Path, enlarger: Enlarger, *, allow_color: bool = False, overwrite: bool = False, step: Step | None = None
) -> Enlarged:
    """Write a DICOM picture `enlarger.scale` times finer, as DICOM.

    All frames; bits, sign, photometric interpretation, rescale, window and padding are kept, and so is what the header says of the
    patient. The result is Explicit VR Little Endian.

    Args:
        source: the file.
        output: the new file.
        enlarger: a network for gray, or for colour where the picture has some.
        allow_color: take pictures in colour too; the result is RGB.
        overwrite: replace an output that exists.
        step: told how far it is.

    Raises:
        InputError: the picture cannot be read, or is of a kind that must not be enlarged.
        MissingPartError: pydicom or a decoder is not installed.
        OutputError: the result cannot be written.
        ModelError: the network cannot be run.
    """
    picture = open_dicom(source, allow_color=allow_color)
    if output.exists() and output.samefile(source):
        raise OutputError(f"{output}: is the input itself; choose another name")
    check_target(output, overwrite=overwrite)
    run = _Run(picture, enlarger)
    run.check(output.parent)
    return run.write(output, step)


def enlarge_series(
    source: Path, output: Path, enlarger: Enlarger, *, allow_color: bool = False, overwrite: bool = False, step: Step | None = None
) -> list[Enlarged]:
    """Write every DICOM picture of a folder, and of those in it, under the same name into another folder.

    Series stay together: pictures that shared one share a new one. Everything is checked before the first picture is made; either all
    are written or none. Records without a picture (reports, plans, DICOMDIR) are left out with a warning, other files without one.

    Args:
        source: the folder.
        output: a folder, made where there is none.
        enlarger: as in `enlarge_dicom`.
        allow_color: as there.
        overwrite: replace pictures that exist in `output`.
        step: told how far it is.

    Raises:
        InputError: there is no DICOM picture, or one that cannot be enlarged.
        MissingPartError: pydicom or a decoder is not installed.
        OutputError: the result cannot be written.
        ModelError: the network cannot be run.
    """
    paths = _pictures(source)
    if output.exists() and (not output.is_dir() or output.resolve() == source.resolve()):
        raise OutputError(f"{output}: is {'the input itself' if output.is_dir() else 'a file'}, expected another folder, or none yet")
    for path in paths:
        place = output / path.relative_to(source)
        if place.exists() and not overwrite:
            raise OutputError(f"{place}: exists already; choose another folder or add --overwrite")
    total, needed = 0, 0
    for path in paths:
        run = _Run(open_dicom(path, allow_color=allow_color), enlarger)
        run.check(None)
        total, needed = total + run.tiles, needed + run.size
    if not output.parent.is_dir():
        raise OutputError(f"{output.parent}: no such folder; create it or choose another one")
    check_room(output.parent, needed)
    done, enlarged = 0, []
    with TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as name:
        for path in paths:
            draft = Path(name) / path.relative_to(source)
            draft.parent.mkdir(parents=True, exist_ok=True)
            run = _Run(open_dicom(path, allow_color=allow_color), enlarger)
            made = run.write(draft, None if step is None else _later(step, done, total))
            enlarged.append(replace(made, output=output / path.relative_to(source)))
            done += run.tiles
        for made in enlarged:
            made.output.parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / made.source.relative_to(source)).replace(made.output)
    return enlarged


def _later(step: Step, before: int, total: int) -> Step:
    """For one file of many: counts on from the files before."""

    def count_on(done: int, _: int) -> None:
        step(before + done, total)

    return count_on


def _pictures(folder: Path) -> list[Path]:
    """The DICOM files of a folder that hold pictures."""
    require_pydicom()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)]
    pictures = [path for path in files if has_picture(path)]
    if not pictures:
        raise InputError(f"{folder}: holds no DICOM picture; expected a folder with the files of a series")
    if len(pictures) < len(files):
        first = min(set(files) - set(pictures))
        warnings.warn(
            PictureWarning(f"{folder}: {len(files) - len(pictures)} DICOM record(s) without a picture are left out ({first.name} …)"),
            stacklevel=3,
        )
    return pictures


@dataclass(frozen=True, slots=True)
class _Run:
    """One file on its way."""

    picture: DicomPicture
    enlarger: Enlarger

    @property
    def tiles(self) -> int:
        return self.picture.frames * self._sized.count(self.picture.height, self.picture.width)

    @property
    def size(self) -> int:
        """Bytes of the new pixels."""
        picture = self.picture
        return picture.frames * picture.bands * picture.height * picture.width * self.enlarger.scale**2 * picture.dtype.itemsize

    @property
    def derivation(self) -> Derivation:
        upscaler, optics, share = self.enlarger.upscaler, self.enlarger.optics, self.enlarger.fidelity
        manner = "" if optics is None else f"consistent through {type(optics).__name__.lower()}"
        if optics is not None and share < 1.0:
            manner += f", fidelity {share:g}"
        return Derivation(upscaler.card.scale, upscaler.card.name, upscaler.sha256, manner)

    @property
    def _sized(self) -> Enlarger:
        """With tiles whose row of results fits the memory."""
        row = self.picture.width * self.picture.bands * self.enlarger.scale**2 * 4
        return replace(self.enlarger, tile=max(16, min(self.enlarger.tile, _STRIP_BYTES // row)))

    def check(self, folder: Path | None) -> None:
        """Refuse what cannot be written, before any work is done; room is looked for in `folder`."""
        picture, scale = self.picture, self.enlarger.scale
        if max(picture.height, picture.width) * scale > LONGEST_SIDE:
            raise InputError(
                f"{picture.path}: {picture.height} × {picture.width} pixels; ×{scale} has more than the {LONGEST_SIDE} "
                "rows or columns that DICOM can state: cut it first"
            )
        if self.size > MOST_BYTES:
            raise InputError(
                f"{picture.path}: {picture.frames} frames would have {self.size} bytes of pixels, DICOM ends at {MOST_BYTES}: "
                "split it into files with fewer frames"
            )
        self._derive(0, 0)  # what speaks against the header is said before the network runs
        if folder is not None:
            check_room(folder, 2 * self.size)

    def write(self, output: Path, step: Step | None) -> Enlarged:
        """Compute all frames into a temporary file, then write the header and the pixels behind it."""
        import pydicom

        started = time.monotonic()
        with whole_file(output) as draft, NamedTemporaryFile(prefix=f".{output.stem}.", dir=output.parent) as spool:
            pixels = spool.file
            smallest, largest = self._compute(pixels, step)
            pixels.seek(0)
            header, dropped = self._derive(smallest, largest)
            header.add_new(0x7FE00010, "OW" if self.picture.dtype.itemsize == 2 else "OB", pixels)
            with guarded(self.picture.path, "its header cannot be written again", writing=True):
                pydicom.dcmwrite(draft, header, enforce_file_format=True, implicit_vr=False, little_endian=True)
        for what in dropped:
            warnings.warn(PictureWarning(f"{self.picture.path}: {what} is left out"), stacklevel=3)
        picture, scale = self.picture, self.enlarger.scale
        before = (picture.height, picture.width)
        after = (picture.height * scale, picture.width * scale)
        return Enlarged(picture.path, output, before, after, self.tiles, time.monotonic() - started)

    def _derive(self, smallest: int, largest: int) -> tuple[Any, list[str]]:
        picture = self.picture
        unpacked = picture.frames * picture.bands * picture.height * picture.width * picture.dtype.itemsize
        ratio = unpacked / picture.pixel_bytes if picture.pixel_bytes else None
        pixels = Pixels(picture.dtype.itemsize * 8, picture.bands == 3, smallest, largest, str(picture.syntax), ratio)
        with guarded(picture.path, "its header makes no sense"):
            try:
                return derive(picture.header, self.derivation, pixels, now=datetime.now().astimezone())
            except GeometryError as error:
                raise InputError(f"{picture.path}: {error}; the header is damaged or of an unusual kind") from None

    def _compute(self, pixels: IO[bytes], step: Step | None) -> tuple[int, int]:
        """Write the pixels of all frames; the smallest and the largest value of them."""
        smallest, largest, done, total = 0xFFFF, -0x8000, 0, self.tiles
        for frame in self.picture.read_frames():
            for strip, tiles in self._strips(frame):
                smallest, largest = min(smallest, int(strip.min())), max(largest, int(strip.max()))
                pixels.write(strip.astype(strip.dtype.newbyteorder("<")).tobytes())
                done += tiles
                if step is not None:
                    step(done, total)
        if pixels.tell() % 2:
            pixels.write(b"\0")
        return smallest, largest

    def _strips(self, frame: NDArray[Any]) -> Iterator[tuple[NDArray[Any], int]]:
        """Rows of the enlarged frame ``(rows, columns)`` or ``(rows, columns, 3)``, and how many tiles they took."""
        span, scale, dtype = self.picture.span, self.enlarger.scale, self.picture.dtype
        bands, height, width = frame.shape
        valid = span.valid(frame[0]) if bands == 1 else None
        values = span.network(frame)
        if valid is not None:
            values = fill_invalid(values, valid)

        def read(window: Window) -> Float:
            return values[(slice(None), *window.slices())]

        strip: NDArray[Any] | None = None
        tiles = 0
        for tile, fine in self._sized.pieces(read, height, width):
            if strip is None:
                strip = np.empty((bands, tile.height * scale, width * scale), dtype)
            place = slice(tile.column * scale, tile.column_stop * scale)
            strip[:, :, place] = span.stored(np.nan_to_num(fine), dtype)
            if valid is not None:
                _restore_padding(strip[0, :, place], frame[0][tile.slices()], valid[tile.slices()], scale)
            tiles += 1
            if tile.column_stop == width:
                yield strip[0] if bands == 1 else np.moveaxis(strip, 0, -1), tiles
                strip, tiles = None, 0


def _restore_padding(fine: NDArray[Any], stored: NDArray[Any], valid: Mask, scale: int) -> None:
    """Put back what stood in each pixel of padding, into all the finer pixels in its place."""
    hole = ~valid.repeat(scale, axis=0).repeat(scale, axis=1)
    fine[hole] = stored.repeat(scale, axis=0).repeat(scale, axis=1)[hole]
