"""Windows, tiles with a halo, and the geotransform at the finer scale. Pure numbers, no I/O.

Order is (row, column) and (height, width) throughout; windows are half open and may reach outside the raster.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from affine import Affine


@dataclass(frozen=True, slots=True)
class Window:
    """Rows ``row ≤ r < row + height``, columns ``column ≤ c < column + width``."""

    row: int
    column: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise ValueError(f"window of {self.height} × {self.width} pixels: sizes must not be negative")

    @property
    def row_stop(self) -> int:
        """Row after the last."""
        return self.row + self.height

    @property
    def column_stop(self) -> int:
        """Column after the last."""
        return self.column + self.width

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def empty(self) -> bool:
        """Whether no pixel is inside."""
        return self.height == 0 or self.width == 0

    def padded(self, margin: int) -> "Window":
        """Grown by `margin` pixels on every side (shrunk where negative)."""
        return Window(self.row - margin, self.column - margin, self.height + 2 * margin, self.width + 2 * margin)

    def scaled(self, scale: int) -> "Window":
        """The same ground on the grid that is `scale` times finer."""
        return Window(self.row * scale, self.column * scale, self.height * scale, self.width * scale)

    def intersection(self, other: "Window") -> "Window":
        """What both cover; empty (at the nearer corner) where nothing is."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        height = max(0, min(self.row_stop, other.row_stop) - row)
        width = max(0, min(self.column_stop, other.column_stop) - column)
        return Window(row, column, height, width)

    def relative_to(self, other: "Window") -> "Window":
        """The same pixels counted from the corner of `other`."""
        return Window(self.row - other.row, self.column - other.column, self.height, self.width)

    def slices(self) -> tuple[slice, slice]:
        """Row and column slices into an array whose first pixel is (0, 0); the window must not start before it."""
        if self.row < 0 or self.column < 0:
            raise ValueError(f"{self} starts before the array: take `relative_to` the array's window first")
        return slice(self.row, self.row_stop), slice(self.column, self.column_stop)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """A raster cut into square tiles, anchored at its first pixel, numbered row by row.

    Sizes and positions depend on the raster and on `tile` only, so that a run can be continued, split over machines
    or restricted to some tiles and every pixel still comes from the same computation.
    """

    height: int
    width: int
    tile: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.tile < 1:
            raise ValueError(f"a plan of {self.height} × {self.width} pixels in tiles of {self.tile}: all must be positive")

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // self.tile)

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // self.tile)

    def __len__(self) -> int:
        return self.rows * self.columns

    def __getitem__(self, index: int) -> Window:
        """Window of tile `index`; tiles at the right and lower edge are cut to the raster."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        row, column = divmod(index, self.columns)
        full = Window(row * self.tile, column * self.tile, self.tile, self.tile)
        return full.intersection(Window(0, 0, self.height, self.width))

    def __iter__(self) -> Iterator[Window]:
        return (self[index] for index in range(len(self)))

    def touching(self, window: Window) -> list[int]:
        """Numbers of the tiles that share a pixel with `window`, ascending."""
        inside = window.intersection(Window(0, 0, self.height, self.width))
        if inside.empty:
            return []
        rows = range(inside.row // self.tile, -(-inside.row_stop // self.tile))
        columns = range(inside.column // self.tile, -(-inside.column_stop // self.tile))
        return [row * self.columns + column for row in rows for column in columns]


def finer(transform: Affine, scale: int) -> Affine:
    """Geotransform of the grid `scale` times finer over the same ground: same corner, also rotated or south-up."""
    return transform @ Affine.scale(1.0 / scale)


def shifted(transform: Affine, window: Window) -> Affine:
    """Geotransform of the raster that starts at the corner of `window`."""
    return transform @ Affine.translation(window.column, window.row)
