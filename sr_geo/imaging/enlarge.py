"""The seam between pictures and networks: float32 0…1 in, four times as fine out, whole or tile by tile. No files.

Photos, DICOM frames, plates and faces all come through here, with the same `Upscaler` and the same tiles as rasters.
Tiles bring the network's halo, and the picture is continued as its mirror image, so that for a network with an exact
halo the result does not depend on the tiles. One with a halo that is not exact may show their edges faintly.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sr_geo import resample
from sr_geo.errors import ModelError
from sr_geo.grid import TilePlan, Window
from sr_geo.imaging.reduction import Optics, put_right
from sr_geo.models.card import Card
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float

TILE = 256
"""Side of a tile in input pixels."""

COLOURS = ("red", "green", "blue")

Read = Callable[[Window], Float]
"""Values of a window that lies inside the picture: ``(C, h, w)``, float32, 0…1."""

Piece = tuple[Window, Float]
"""A tile in input pixels, and its result ``(C, scale·h, scale·w)``: about 0…1, not clipped."""


@dataclass(frozen=True, slots=True)
class Enlarger:
    """A network, and how its result is tied to the input.

    Args:
        upscaler: the network; its card says the bands.
        optics: what the input is taken to have been made small by: the result, made small again, then equals it.
            None: the result is the network's own.
        tile: side of a tile in input pixels.
        fidelity: share of the way from the network's own result, 0, to the one that is tied to the input, 1.
    """

    upscaler: Upscaler
    optics: Optics | None = None
    tile: int = TILE
    fidelity: float = 1.0

    @property
    def held(self) -> float:
        """How far the result is tied to the input: 0 where it is the network's own."""
        return 0.0 if self.optics is None else self.fidelity

    @property
    def scale(self) -> int:
        """How many times finer the result is."""
        return self.upscaler.card.scale

    @property
    def halo(self) -> int:
        """Input pixels around a tile that can influence it."""
        return self.upscaler.card.halo + self.margin

    @property
    def margin(self) -> int:
        """Input pixels around a tile that the step after the network uses up."""
        return 0 if self.optics is None else self.optics.halo

    def pieces(self, read: Read, height: int, width: int) -> Iterator[Piece]:
        """Enlarge a picture of any size: tile after tile, row by row, so that memory does not grow with it.

        Args:
            read: gives the values of a window, gray (one band) or red, green and blue.
            height: of the picture.
            width: of the picture.

        Raises:
            ModelError: the network cannot be run on such a picture.
        """
        for tile in TilePlan(height, width, self.tile):
            yield tile, self._tile(around(read, tile, self.halo, height, width))

    def part(self, read: Read, window: Window, height: int, width: int) -> Float:
        """Enlarge a window of a picture, which sees its true surroundings.

        Args:
            read: as in `pieces`.
            window: inside the picture.
            height: of the picture.
            width: of the picture.

        Returns:
            ``(C, scale·h, scale·w)``, equal to the same part of the whole picture's result.
        """
        first = read(Window(window.row, window.column, 1, 1))
        out = np.empty((len(first), window.height * self.scale, window.width * self.scale), np.float32)
        for tile in TilePlan(window.height, window.width, self.tile):
            here = Window(window.row + tile.row, window.column + tile.column, tile.height, tile.width)
            out[(slice(None), *tile.scaled(self.scale).slices())] = self._tile(around(read, here, self.halo, height, width))
        return out

    def count(self, height: int, width: int) -> int:
        """Tiles that `pieces` will yield."""
        return len(TilePlan(height, width, self.tile))

    def __call__(self, frame: Float) -> Float:
        """Enlarge a picture in memory.

        Args:
            frame: ``(C, h, w)``, float32, 0…1; gray (one band) or red, green and blue.

        Returns:
            ``(C, scale·h, scale·w)``, float32, about 0…1: not clipped, so that the caller may round first.

        Raises:
            ModelError: the network cannot be run on such a picture.
        """
        bands, height, width = frame.shape
        out = np.empty((bands, height * self.scale, width * self.scale), np.float32)
        for tile, fine in self.pieces(lambda window: frame[(slice(None), *window.slices())], height, width):
            out[(slice(None), *tile.scaled(self.scale).slices())] = fine
        return out

    def _tile(self, values: Float) -> Float:
        """From a tile with `halo` to its result."""
        edge = self.upscaler.card.halo
        fine = _inner(self._network(values), edge * self.scale)
        if self.optics is None:
            return fine
        measured = _inner(values, edge)
        right = np.stack([put_right(rough, plane, self.optics) for rough, plane in zip(fine, measured, strict=True)])
        if self.fidelity == 1.0:
            return right
        own = _inner(fine, self.margin * self.scale)
        return own + np.float32(self.fidelity) * (right - own)

    def _network(self, image: Float) -> Float:
        """What the network makes of gray or colour, whichever of the two it was made for.

        A network for colour sees gray three times, and its three answers are averaged. One for gray sees each colour by
        itself: that assumes nothing of the colours, and gray stored as colour stays gray.
        """
        bands = self.upscaler.card.bands
        if len(bands) == 1:
            return np.concatenate([self._run(plane[None]) for plane in image])
        order = colour_order(self.upscaler.card)
        if len(image) == 1:
            mean: Float = self._run(np.repeat(image, len(bands), axis=0)).mean(axis=0, keepdims=True, dtype=np.float32)
            return mean
        fine = self._run(image[order])
        return fine[np.argsort(order)]

    def _run(self, image: Float) -> Float:
        card = self.upscaler.card
        try:
            fine = self.upscaler.run(image)
        except Exception as error:  # ONNX Runtime raises a class of its own for each cause, without a common public base
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"model {card.name}: cannot be run on {image.shape[1]} × {image.shape[2]} pixels ({reason})") from error
        expected = (len(card.bands), image.shape[1] * card.scale, image.shape[2] * card.scale)
        if fine.shape != expected:
            raise ModelError(f"model {card.name}: gave {fine.shape} where its card promises {expected}; export it again")
        return fine


@dataclass(frozen=True, slots=True)
class Interpolator:
    """Cubic convolution in the place of a network: for what is not to be changed."""

    scale: int = 4
    tile: int = TILE

    def pieces(self, read: Read, height: int, width: int) -> Iterator[Piece]:
        """As `Enlarger.pieces`."""
        for tile in TilePlan(height, width, self.tile):
            yield tile, self._tile(around(read, tile, 2, height, width))

    def part(self, read: Read, window: Window, height: int, width: int) -> Float:
        """As `Enlarger.part`."""
        return self._tile(around(read, window, 2, height, width))

    def count(self, height: int, width: int) -> int:
        """As `Enlarger.count`."""
        return len(TilePlan(height, width, self.tile))

    def _tile(self, values: Float) -> Float:
        return np.stack([resample.cubic(plane, self.scale) for plane in values])


def colour_order(card: Card) -> list[int]:
    """For each band of the network, which of red, green and blue it is.

    Raises:
        ModelError: it takes other bands than gray, or red, green and blue.
    """
    if len(card.bands) == 1:
        return [0]
    if sorted(card.bands) != sorted(COLOURS):
        raise ModelError(f"model {card.name}: takes {', '.join(card.bands)}; pictures have gray, or red, green and blue")
    return [COLOURS.index(band) for band in card.bands]


def _inner(planes: Float, margin: int) -> Float:
    return planes[:, margin : planes.shape[1] - margin, margin : planes.shape[2] - margin]


def around(read: Read, tile: Window, halo: int, height: int, width: int) -> Float:
    """The tile with `halo` pixels on every side, continued as the mirror image beyond the picture."""
    rows = _mirrored(tile.row - halo, tile.row_stop + halo, height)
    columns = _mirrored(tile.column - halo, tile.column_stop + halo, width)
    first_row, first_column = int(rows.min()), int(columns.min())
    inside = Window(first_row, first_column, int(rows.max()) + 1 - first_row, int(columns.max()) + 1 - first_column)
    values = read(inside)
    if inside == tile.padded(halo):
        return values
    mirrored: Float = values[:, rows - first_row][:, :, columns - first_column]
    return mirrored


def _mirrored(start: int, stop: int, size: int) -> NDArray[np.intp]:
    """Places start ≤ i < stop reflected into 0 ≤ i < size about the outer border of the edge pixels, as often as it takes."""
    place = np.arange(start, stop) % (2 * size)
    return np.where(place < size, place, 2 * size - 1 - place)
