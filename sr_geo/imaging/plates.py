"""Number plates: found or given, enlarged, straightened, read before and after if wanted. No evidence, and every output says so.

The network sees the plate as the camera gave it and the straightening comes after it, at the finer pixels: turned and
resampled first, noise and compression would no longer look as those that it was trained on.
"""

import json
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

import sr_geo
from sr_geo.errors import InputError, OutputError
from sr_geo.files import whole_file
from sr_geo.imaging.enlarge import Enlarger, Interpolator
from sr_geo.imaging.opening import MEGAPIXELS, Picture, open_picture
from sr_geo.imaging.photo import Enlarged, software, stored
from sr_geo.imaging.reading import Corners, Line, Reader, Text
from sr_geo.imaging.saving import Saving
from sr_geo.imaging.shot import Shot, overview, shown
from sr_geo.imaging.straighten import about, grown, sides, straightened
from sr_geo.quality.colours import Picture as Colours
from sr_geo.radiometry import Float
from sr_geo.raster.target import check_target

MARGIN = 4
"""Pixels around a plate that are enlarged with it, for the straightening."""

LARGEST = 1600
"""Longest side of a plate in input pixels; a larger one needs no enlarging."""

LONGEST = 2000
"""Plates are searched for in a picture of about this length; the finder itself takes no longer one."""

_TEXT = re.compile(r"(?=[A-Z0-9]*[0-9])[A-Z0-9]{4,10}")

Box = tuple[float, float, float, float]
"""x, y of the upper left corner, width, height in pixels of the upright picture."""


@dataclass(frozen=True, slots=True)
class PlateSearch:
    """Where plates are, and whether they are read.

    Args:
        aligned: the whole picture is the plate.
        boxes: the places of the plates; none: they are searched for.
        read: read them before and after.
        threads: of finder and reader.
    """

    aligned: bool = False
    boxes: tuple[Box, ...] = ()
    read: bool = False
    threads: int | None = None

    def reader(self) -> Reader | None:
        """The finder and reader, where one is needed.

        Raises:
            MissingPartError: it is not installed.
        """
        return None if (self.aligned or self.boxes) and not self.read else Reader(self.threads)


@dataclass(frozen=True, slots=True, eq=False)
class _Plate:
    """One plate, straight."""

    corners: Corners
    coarse: Float
    """``(C, h, w)``: the input's own pixels, straight."""
    plain: Float
    """``(C, scale·h, scale·w)``, by cubic convolution."""
    fine: Float
    """``(C, scale·h, scale·w)``, by the network."""
    before: Text | None
    after: Text | None


def outputs_of(output: Path) -> tuple[Path, Path]:
    """The JSON and the side-by-side picture that go with an output."""
    return output.with_suffix(".json"), output.with_name(f"{output.stem}.compare.png")


def enlarge_plates(
    source: Path,
    output: Path,
    enlarger: Enlarger,
    search: PlateSearch,
    reader: Reader | None,
    *,
    remark: str,
    megapixels: float = MEGAPIXELS,
    overwrite: bool = False,
    taken: Collection[Path] = (),
) -> Enlarged:
    """Write each plate of a picture, straight and finer; a JSON file with places and readings; and before beside after.

    Args:
        source: a photo, or a crop of a plate.
        output: of the first plate; further ones get a number (``name-2.png``).
        enlarger: of the domain.
        search: where the plates are.
        reader: of `search`.
        remark: what every output is to say.
        megapixels: largest input.
        overwrite: replace files of further plates that exist; `output` and what goes with it are the caller's to check.
        taken: files that the same run writes of other pictures.

    Raises:
        InputError: the picture cannot be read, or there is no plate.
        OutputError: an output cannot be written.
    """
    started = time.monotonic()
    picture = open_picture(source, megapixels=megapixels)
    found, how = _places(picture, search, reader)
    names = [output if number == 1 else output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, len(found) + 1)]
    for name in names[1:]:  # how many there are is not known before
        if name in taken:
            raise OutputError(f"{name}: is the result of another picture, and {source} holds several plates; rename one of the two")
        check_target(name, overwrite=overwrite)
    plates = [_plate(picture, corners, enlarger, reader if search.read else None) for corners in found]
    for name, plate in zip(names, plates, strict=True):
        _save(picture, plate, name, enlarger, remark)
    table, compared = outputs_of(output)
    with whole_file(compared) as draft:
        Image.fromarray(_side_by_side(plates, enlarger.scale, remark)).save(draft, format="PNG")
    with whole_file(table) as draft:
        facts = _facts(picture, plates, names, enlarger, how=how, reader=reader, remark=remark)
        draft.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    largest = plates[0]
    height, width = largest.coarse.shape[1:]
    shots = tuple(_shot(source.name, plate, number, len(plates)) for number, plate in enumerate(plates, 1))
    after = (largest.fine.shape[1], largest.fine.shape[2])
    return Enlarged(source, output, (height, width), after, len(plates), time.monotonic() - started, shots)


def find_plates(lines: Sequence[Line]) -> list[Corners]:
    """Which lines of text look like plates, the most likely first: capitals and digits, four to ten, and in the shape of one.

    Args:
        lines: of a picture, read.

    Returns:
        Their corners, grown from the characters to the plate.
    """
    rated = []
    for line in lines:
        height, width = sides(line.corners)
        if _TEXT.fullmatch(plain_text(line.read.text)) and 1.5 <= width / max(height, 1e-9) <= 12.0:
            rated.append((line.read.confidence * height * width, line))
    return [grown(line.corners, along=0.35, across=0.2) for _, line in sorted(rated, key=lambda entry: -entry[0])]


def plain_text(text: str) -> str:
    """Capitals and digits only, as plates are compared."""
    return "".join(letter for letter in text.upper() if letter.isascii() and letter.isalnum())


def _places(picture: Picture, search: PlateSearch, reader: Reader | None) -> tuple[list[Corners], str]:
    """The corners of the plates, and how they were found."""
    height, width = picture.height, picture.width
    if search.aligned:
        _check_size(picture, height, width)
        return [_corners((0.0, 0.0, float(width), float(height)))], "the whole picture"
    if search.boxes:
        for box in search.boxes:
            if about(_corners(box), height, width, margin=0).empty:
                raise InputError(f"{picture.path}: --box {box} lies outside its {width} × {height} pixels; x and y start at the upper left")
            _check_size(picture, box[3], box[2])
        return [_corners(box) for box in search.boxes], "a given box"
    assert reader is not None
    small, side = overview(picture, LONGEST)
    found = [corners * side for corners in find_plates(reader.lines(small))]
    if not found:
        raise InputError(
            f"{picture.path}: no plate was found; give its place by --box X,Y,WIDTH,HEIGHT, or --aligned where the picture is nothing else"
        )
    return found, f"searched for with {reader.name}"


def _check_size(picture: Picture, height: float, width: float) -> None:
    if max(height, width) > LARGEST:
        raise InputError(f"{picture.path}: a plate of {width:g} × {height:g} pixels; from {LARGEST} on it needs no enlarging")


def _corners(box: Box) -> Corners:
    x, y, width, height = box
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float64)


def _plate(picture: Picture, corners: Corners, enlarger: Enlarger, reader: Reader | None) -> _Plate:
    scale = enlarger.scale
    window = about(corners, picture.height, picture.width, margin=MARGIN)
    inside = corners - (window.column, window.row)
    height, width = (max(1, round(side)) for side in sides(corners))
    coarse = straightened(picture.read(window), inside, height, width)
    fine, plain = (
        straightened(maker.part(picture.read, window, picture.height, picture.width), inside * scale, height * scale, width * scale)
        for maker in (enlarger, Interpolator(scale))
    )
    before = after = None
    if reader is not None:
        before, after = reader.read(shown(plain)), reader.read(shown(fine))
    return _Plate(corners, coarse, plain, fine, before, after)


def _save(picture: Picture, plate: _Plate, path: Path, enlarger: Enlarger, remark: str) -> None:
    pixels = stored(plate.fine, picture.top)
    saving = Saving(path, pixels.shape, str(pixels.dtype), alpha=False)
    saving.check()
    with saving.open(picture.about, scale=enlarger.scale, software=software(enlarger), remark=remark) as writer:
        writer.rows(pixels)


def _shot(name: str, plate: _Plate, number: int, count: int) -> Shot:
    words = []
    if plate.before is not None and plate.after is not None:
        words.append(
            f"Read as {plate.before.text or 'nothing'} before (confidence {plate.before.confidence:.2f}) and as "
            f"{plate.after.text or 'nothing'} after ({plate.after.confidence:.2f})."
        )
    return Shot(name if count == 1 else f"{name}, plate {number}", shown(plate.coarse), shown(plate.fine), tuple(words))


def _facts(
    picture: Picture, plates: Sequence[_Plate], names: Sequence[Path], enlarger: Enlarger, *, how: str, reader: Reader | None, remark: str
) -> dict[str, Any]:
    card = enlarger.upscaler.card
    return {
        "warning": remark,
        "input": picture.path.name,
        "size": [picture.width, picture.height],
        "model": card.name,
        "sha256": enlarger.upscaler.sha256,
        "scale": card.scale,
        "fidelity": enlarger.held,
        "limits": card.limits,
        "version": sr_geo.__version__,
        "found": how,
        "reader": None if reader is None or plates[0].before is None else reader.name,
        "plates": [
            {
                "image": name.name,
                "corners": np.round(plate.corners, 2).tolist(),
                "before": _words(plate.before),
                "after": _words(plate.after),
                "changed": None
                if plate.before is None or plate.after is None
                else plain_text(plate.before.text) != plain_text(plate.after.text),
            }
            for plate, name in zip(plates, names, strict=True)
        ],
    }


def _words(read: Text | None) -> dict[str, Any] | None:
    return None if read is None else {"text": read.text, "confidence": read.confidence}


def _side_by_side(plates: Sequence[_Plate], scale: int, remark: str) -> Colours:
    """Input pixels, cubic convolution and result of each plate in a row, captions above and the warning below."""
    gap, line = 12, 16
    rows = []
    for plate in plates:
        squares = shown(plate.coarse).repeat(scale, axis=0).repeat(scale, axis=1)
        texts = ["input", "cubic" if plate.before is None else f"cubic: {plate.before.text}"]
        texts.append("result" if plate.after is None else f"result: {plate.after.text}")
        rows.append(([squares, shown(plate.plain), shown(plate.fine)], texts))
    width = max(6 * len(remark) + 2 * gap, *(3 * pictures[0].shape[1] + 4 * gap for pictures, _ in rows))
    height = sum(pictures[0].shape[0] + gap + line for pictures, _ in rows) + 2 * gap + line
    sheet = Image.new("RGB", (width, height), (250, 250, 247))
    draw = ImageDraw.Draw(sheet)
    y = gap
    for pictures, texts in rows:
        for number, (picture, text) in enumerate(zip(pictures, texts, strict=True)):
            x = gap + number * (picture.shape[1] + gap)
            draw.text((x, y), text.encode("latin-1", "replace").decode("latin-1"), fill=(30, 35, 38))
            sheet.paste(Image.fromarray(picture), (x, y + line))
        y += line + pictures[0].shape[0] + gap
    draw.text((gap, y), remark, fill=(138, 75, 22))
    return np.asarray(sheet)
