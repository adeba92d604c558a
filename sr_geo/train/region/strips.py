"""Which part of every raster is held out: a strip along its lower or upper edge that no training sample touches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform_bounds

from sr_geo.grid import Window
from sr_geo.raster.bands import Grid
from sr_geo.train.region.survey import Found
from sr_geo.train.samples.imagery import lay_windows
from sr_geo.train.samples.rasters import Bands, open_bands

Box = tuple[float, float, float, float]
"""West, south, east, north."""

LARGEST_STRIP = (512, 1024)
"""Most rows and columns of a raster that validation looks at: more would take minutes each time."""
SMALLEST_STRIP = 32
PIECE = 512
"""Side of the pieces that validation cuts a strip into; those with a hole are not used."""
SCALE = 4


@dataclass(frozen=True, slots=True)
class Use:
    """What a raster is for."""

    found: Found
    rows: tuple[int, int]
    """Training draws from these."""
    held_out: Window | None = None
    """Validation looks at this, and at nothing else."""


def rest_of(height: int) -> int:
    """Rows that are left for training when a strip is held out."""
    return height - strip_of(height) - gap_of(height)


def strip_of(height: int) -> int:
    """Rows that are held out: 15 %, within limits, a multiple of the scale."""
    return min(max(round(0.15 * height / SCALE) * SCALE, SMALLEST_STRIP), LARGEST_STRIP[0])


def gap_of(height: int) -> int:
    """Rows between training and validation that neither sees: neighbouring pixels are too much alike."""
    return min(max(round(0.04 * height / SCALE) * SCALE, SCALE), 64)


def hold_out(folder: Path, rasters: Sequence[Found], *, side: int, most: int) -> list[Use]:
    """A strip of the largest rasters for validation; the same one for rasters on the same grid, which show the same ground.

    A strip that another raster trains on is given up.

    Args:
        folder: of the rasters.
        rasters: those that are used.
        side: of a training sample in pixels: rasters that would be too low without the strip are trained on whole.
        most: validation looks at so many rasters.
    """
    grids: dict[Grid, list[Found]] = {}
    for raster in sorted(rasters, key=lambda raster: -raster.area):
        grids.setdefault(raster.grid, []).append(raster)
    uses: list[Use] = []
    for grid, members in grids.items():
        whole = (0, grid.height)
        room = most - sum(use.held_out is not None for use in uses)
        if room <= 0 or rest_of(grid.height) < side:
            uses += [Use(member, whole) for member in members]
            continue
        part = _best_part(folder, members[0])
        if part is None:
            uses += [Use(member, whole) for member in members]
            continue
        kept = strip_of(grid.height) + gap_of(grid.height)
        rows = (0, grid.height - kept) if part.row >= grid.height // 2 else (kept, grid.height)
        checked = [member for member in members if whole_pixels(bands_of(folder, member), part)][:room]
        uses += [Use(member, rows, part if member in checked else None) for member in members]
    return _without_seen_strips(uses)


def bands_of(folder: Path, raster: Found) -> Bands:
    """Its bands as training reads them."""
    used = [index for index, role in enumerate(raster.bands) if role != "-"]
    return open_bands(tuple(folder / file for file in raster.files), roles=len(raster.bands), used=used, source=raster.name)[0]


def whole_pixels(bands: Bands, strip: Window) -> int:
    """Pixels of the pieces of a strip that have no hole."""
    pieces = list(lay_windows(strip, PIECE, SCALE))
    return sum(piece.height * piece.width for piece in pieces if bands.find_valid(bands.read(piece)).all())


def _best_part(folder: Path, raster: Found) -> Window | None:
    """What to look at in the strip at the lower or the upper edge: as much without holes as there is; None where there is nothing.

    Footprints of satellites stand askew in their rasters, so smaller parts at the strip's inner border are tried as well.
    """
    bands, grid = bands_of(folder, raster), raster.grid
    strip = strip_of(grid.height)
    best: Window | None = None
    most = 0
    for part in (1, 2, 4):
        height, width = max(strip // part // SCALE * SCALE, SMALLEST_STRIP), min(grid.width, LARGEST_STRIP[1] // part)
        steps = max(1, min(8 * part, grid.width // width))
        columns = [round(step * (grid.width - width) / max(steps - 1, 1)) for step in range(steps)]
        for place in (Window(row, column, height, width) for row in (grid.height - strip, strip - height) for column in columns):
            pixels = whole_pixels(bands, place)
            if pixels > most:
                best, most = place, pixels
            if pixels >= 0.95 * height * width:
                return best
    return best


def _without_seen_strips(uses: list[Use]) -> list[Use]:
    """Give up strips whose ground another raster trains on; the last one stays, whatever it is."""
    while True:
        seen = [use for use in uses if is_seen(use, uses)]
        if not seen or len({use.found.grid for use in uses if use.held_out is not None}) == 1:
            return uses
        grid = seen[-1].found.grid
        uses = [replace(use, rows=(0, grid.height), held_out=None) if use.found.grid == grid else use for use in uses]


def is_seen(use: Use, uses: Sequence[Use]) -> bool:
    """Whether a raster on another grid trains on the ground that `use` holds out."""
    if use.held_out is None:
        return False
    others = [other for other in uses if other.found.grid != use.found.grid]
    return any(overlap(use.found.grid, use.held_out, other.found.grid, trained(other)) for other in others)


def trained(use: Use) -> Window:
    """The part that samples are drawn from."""
    return Window(use.rows[0], 0, use.rows[1] - use.rows[0], use.found.grid.width)


def overlap(one: Grid, window: Window, other: Grid, other_window: Window) -> bool:
    """Whether two windows share ground; false where that cannot be known."""
    if one.crs is None or other.crs is None:
        return False
    common = one.crs if one.crs == other.crs else CRS.from_epsg(4326)
    a, b = _box(one, window, common), _box(other, other_window, common)
    return a is not None and b is not None and a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _box(grid: Grid, window: Window, crs: CRS) -> Box | None:
    corners = [grid.transform @ (column, row) for row in (window.row, window.row_stop) for column in (window.column, window.column_stop)]
    west, east = min(x for x, _ in corners), max(x for x, _ in corners)
    south, north = min(y for _, y in corners), max(y for _, y in corners)
    if grid.crs == crs:
        return west, south, east, north
    try:
        box: Box = transform_bounds(grid.crs, crs, west, south, east, north)
    except RasterioError:
        return None
    return box
