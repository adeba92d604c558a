"""Faces in photos: found or given, enlarged by a network for faces, and laid softly over the enlarged photo.

No generative model of faces is involved: what is added follows from the pixels at hand, and still is no evidence.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sr_geo.errors import InputError
from sr_geo.grid import Window
from sr_geo.imaging.enlarge import Enlarger, Interpolator
from sr_geo.imaging.face_finder import LONGEST, FaceFinder
from sr_geo.imaging.opening import MEGAPIXELS, Picture, open_picture
from sr_geo.imaging.photo import Enlarged, Paste, Step, save_enlarged, software
from sr_geo.imaging.plates import Box
from sr_geo.imaging.shot import Shot, central, overview, part_of, shown
from sr_geo.radiometry import Float

GROWN = 0.35
"""Of the box of a face: what is enlarged with it on every side, for hair, chin and neck."""

FEATHER = 0.6
"""Of what was grown: the outer part, over which the face fades into the photo."""


@dataclass(frozen=True, slots=True)
class FaceSearch:
    """Where faces are.

    Args:
        boxes: their places; none: they are searched for.
        threads: of the finder.
    """

    boxes: tuple[Box, ...] = ()
    threads: int | None = None

    def finder(self) -> FaceFinder | None:
        """The finder, where it is needed.

        Raises:
            MissingPartError: its weights are not installed.
        """
        return None if self.boxes else FaceFinder(self.threads)


@dataclass(frozen=True, slots=True)
class _Region:
    """Where a face is laid over the photo."""

    window: Window
    """In input pixels, inside the picture."""
    fade: int
    """Input pixels at each edge over which it fades out; not at the edges of the picture."""


def enlarge_faces(
    source: Path,
    output: Path,
    enlarger: Enlarger,
    search: FaceSearch,
    finder: FaceFinder | None,
    *,
    background: Enlarger | Interpolator,
    remark: str,
    megapixels: float = MEGAPIXELS,
    shoot: bool = False,
    step: Step | None = None,
) -> Enlarged:
    """Write a photo finer: its faces by the network for faces, all else by `background`.

    Args:
        source: the photo.
        output: as in `sr_geo.imaging.photo.enlarge_photo`.
        enlarger: of the domain.
        search: where the faces are.
        finder: of `search`.
        background: for what is no face.
        remark: what the file is to say of itself.
        megapixels: largest input.
        shoot: also give a window with each face, before and after.
        step: told how far it is.

    Raises:
        InputError: the picture cannot be read, or there is no face.
        OutputError: the result cannot be written.
    """
    picture = open_picture(source, megapixels=megapixels)
    regions = [_region(picture, box) for box in _boxes(picture, search, finder)]
    paste = _paste(picture, enlarger, regions)
    made_by = software(enlarger)
    made = save_enlarged(picture, output, background, made_by=made_by, remark=remark, paste=paste, step=step)
    if not shoot:
        return made
    return replace(made, shots=tuple(_shot(picture, background, paste, region, number) for number, region in enumerate(regions, 1)))


def _boxes(picture: Picture, search: FaceSearch, finder: FaceFinder | None) -> list[Box]:
    if search.boxes:
        return list(search.boxes)
    assert finder is not None
    small, side = overview(picture, LONGEST)
    faces = finder.find(small)
    if not faces:
        raise InputError(
            f"{picture.path}: no face was found; give its place by --box X,Y,WIDTH,HEIGHT, or --aligned where the picture is nothing else"
        )
    return [(face.x * side, face.y * side, face.width * side, face.height * side) for face in faces]


def _region(picture: Picture, box: Box) -> _Region:
    x, y, width, height = box
    margin = GROWN * max(width, height)
    row, column = int(np.floor(y - margin)), int(np.floor(x - margin))
    stop_row, stop_column = int(np.ceil(y + height + margin)), int(np.ceil(x + width + margin))
    window = Window(row, column, stop_row - row, stop_column - column).intersection(Window(0, 0, picture.height, picture.width))
    if window.empty:
        raise InputError(
            f"{picture.path}: --box {box} lies outside its {picture.width} × {picture.height} pixels; x and y start at the upper left"
        )
    return _Region(window, max(1, round(margin * FEATHER)))


def _paste(picture: Picture, enlarger: Enlarger, regions: list[_Region]) -> Paste:
    """What lays the faces over a finished tile."""

    def paste(tile: Window, fine: Float) -> Float:
        for region in regions:
            shared = tile.intersection(region.window)
            if shared.empty:
                continue
            face = enlarger.part(picture.read, shared, picture.height, picture.width)
            share = _share(region, shared, picture, enlarger.scale)
            place = (slice(None), *shared.relative_to(tile).scaled(enlarger.scale).slices())
            fine = fine.copy()
            fine[place] += share * (face - fine[place])
        return fine

    return paste


def _share(region: _Region, part: Window, picture: Picture, scale: int) -> Float:
    """How much of the face shows in each fine pixel of a part, ``(scale·h, scale·w)``: 1 inside, softly to 0 at its edges."""
    rows = _ramp(region.window.row, region.window.row_stop, picture.height, region.fade, (part.row, part.row_stop), scale)
    columns = _ramp(region.window.column, region.window.column_stop, picture.width, region.fade, (part.column, part.column_stop), scale)
    share: Float = rows[:, None] * columns[None]
    return share


def _ramp(start: int, stop: int, size: int, fade: int, wanted: tuple[int, int], scale: int) -> Float:  # noqa: PLR0917 - numbers of one axis
    place = (np.arange(wanted[0] * scale, wanted[1] * scale) + 0.5) / scale
    ends = [np.inf if start == 0 else place - start, np.inf if stop == size else stop - place]
    inside = np.clip(np.minimum(*np.broadcast_arrays(*ends)) / fade, 0.0, 1.0)
    smooth: Float = (inside * inside * (3.0 - 2.0 * inside) * np.ones(len(place))).astype(np.float32)
    return smooth


def _shot(picture: Picture, background: Enlarger | Interpolator, paste: Paste, region: _Region, number: int) -> Shot:
    centre = region.window
    window = central(picture.height, picture.width, row=centre.row + centre.height / 2, column=centre.column + centre.width / 2)
    fine = paste(window, background.part(picture.read, window, picture.height, picture.width))
    return Shot(f"{picture.path.name}, face {number}", shown(picture.read(window)), shown(fine), (part_of(window, picture),))
