"""A photo made finer, from file to file: any size in bounded memory."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import sr_geo
from sr_geo import resample
from sr_geo.grid import Window
from sr_geo.imaging.enlarge import TILE, Enlarger, Interpolator, around
from sr_geo.imaging.opening import MEGAPIXELS, Picture, open_picture
from sr_geo.imaging.saving import Rows, Saving
from sr_geo.imaging.shot import Shot, central, photo_shot
from sr_geo.imaging.unpacking import Pixels
from sr_geo.radiometry import Float
from sr_geo.raster.target import check_room

_STRIP_BYTES = 96_000_000
"""Of the result's rows that are kept while a row of tiles is computed."""

Step = Callable[[int, int], None]
"""Called with the tiles that are done and how many there are."""

Paste = Callable[[Window, Float], Float]
"""Changes a finished tile: its window in input pixels, its colours ``(C, scale·h, scale·w)``; the same shape comes back."""


@dataclass(frozen=True, slots=True)
class Enlarged:
    """What became of a picture."""

    source: Path
    output: Path
    before: tuple[int, int]
    """Height and width."""
    after: tuple[int, int]
    tiles: int
    seconds: float
    shots: tuple[Shot, ...] = ()
    """Windows before and after, for the page."""


def enlarge_photo(
    source: Path,
    output: Path,
    enlarger: Enlarger,
    *,
    remark: str,
    megapixels: float = MEGAPIXELS,
    shoot: bool = False,
    step: Step | None = None,
) -> Enlarged:
    """Write the picture `enlarger.scale` times finer.

    Orientation is applied, profile and EXIF are kept (without preview), opacity is interpolated, depth is kept.

    Args:
        source: PNG, JPEG, TIFF, WebP, BMP, GIF, PPM or JPEG 2000.
        output: PNG, TIFF, JPEG or WebP, by its ending.
        enlarger: of a domain.
        remark: what the file is to say of itself.
        megapixels: largest input.
        shoot: also give a window before and after.
        step: told how far it is.

    Raises:
        InputError: the picture cannot be read or is refused.
        OutputError: the result cannot be written.
        ModelError: the network cannot be run.
    """
    picture = open_picture(source, megapixels=megapixels)
    made = save_enlarged(picture, output, enlarger, made_by=software(enlarger), remark=remark, step=step)
    if not shoot:
        return made
    return replace(made, shots=(photo_shot(picture, enlarger, central(picture.height, picture.width), source.name),))


def save_enlarged(
    picture: Picture,
    output: Path,
    maker: Enlarger | Interpolator,
    *,
    made_by: str,
    remark: str,
    paste: Paste | None = None,
    step: Step | None = None,
) -> Enlarged:
    """The same for a picture that is open already; `paste` may change each tile before it is stored."""
    started = time.monotonic()
    scale = maker.scale
    shape = (picture.height * scale, picture.width * scale, picture.pixels.shape[2])
    dtype = str(picture.pixels.dtype)
    saving = Saving(output, shape, dtype, picture.alpha)
    saving.check()
    check_room(output.parent, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)  # as if nothing could be packed
    row_bytes = shape[1] * shape[2] * np.dtype(dtype).itemsize * scale
    # A multiple of four input rows: the strips of a TIFF are of sixteen.
    sized = replace(maker, tile=max(32, min(maker.tile, TILE, _STRIP_BYTES // row_bytes) // 4 * 4))
    with saving.open(picture.about, scale=scale, software=made_by, remark=remark) as writer:
        _write(picture, sized, writer, paste, step)
    return Enlarged(
        picture.path,
        output,
        (picture.height, picture.width),
        shape[:2],
        sized.count(picture.height, picture.width),
        time.monotonic() - started,
    )


def software(enlarger: Enlarger) -> str:
    """What made a file: this program, and the network with the start of its hash."""
    card = enlarger.upscaler.card
    return f"SR Geo {sr_geo.__version__}, {card.name} ({enlarger.upscaler.sha256[:12]}), x{card.scale}, fidelity {enlarger.held:g}"


def stored(values: Float, top: int) -> Pixels:
    """Values in 0…1 ``(C, h, w)`` as pixels ``(h, w, C)`` of 8 or 16 bits."""
    levels = np.rint(np.clip(values, 0.0, 1.0) * np.float32(top))
    pixels: Pixels = np.nan_to_num(levels).astype(np.uint8 if top == 255 else np.uint16).transpose(1, 2, 0)
    return pixels


def _write(picture: Picture, maker: Enlarger | Interpolator, writer: Rows, paste: Paste | None, step: Step | None) -> None:
    """Tiles into strips as wide as the picture, and those into the file."""
    scale = maker.scale
    total = maker.count(picture.height, picture.width)
    strip: Pixels | None = None
    for done, (tile, fine) in enumerate(_tiles(picture, maker, paste), 1):
        if strip is None:
            strip = np.empty((tile.height * scale, picture.width * scale, picture.pixels.shape[2]), picture.pixels.dtype)
        strip[:, tile.column * scale : tile.column_stop * scale] = stored(fine, picture.top)
        if tile.column_stop == picture.width:
            writer.rows(strip)
            picture.forget()
            strip = None
        if step is not None:
            step(done, total)


def _tiles(picture: Picture, maker: Enlarger | Interpolator, paste: Paste | None) -> Iterator[tuple[Window, Float]]:
    for tile, fine in maker.pieces(picture.read, picture.height, picture.width):
        colours = fine if paste is None else paste(tile, fine)
        if picture.alpha:
            # Opacity has edges but no texture: a network would only add to it what is not there.
            plane = around(lambda window: picture.opacity(window)[None], tile, 2, picture.height, picture.width)[0]
            colours = np.concatenate([colours, resample.cubic(plane, maker.scale)[None]])
        yield tile, colours
