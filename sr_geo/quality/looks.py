"""How an enhanced raster looks beside the truth: LPIPS and DISTS over scenes spread evenly over it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from sr_geo.errors import EvaluationError, OptionError
from sr_geo.grid import TilePlan, Window
from sr_geo.quality import dists, lpips
from sr_geo.quality.pairing import Selection
from sr_geo.radiometry import Float, Mask

JUDGED = 512
"""Side in fine pixels of the scenes that are judged, as in the data sets of opensr-test."""
SMALLEST = 64
"""Side in pixels of the smallest one."""
_MOST = 64

Judge = Callable[[Float, Float], float]


def judges_for(truth: Selection, *, perceptual: bool | None, with_dists: bool, each_band: bool) -> dict[str, Judge]:
    """The perceptual measures to take, by name; their networks are loaded, so that nothing is found missing after the work.

    Raises:
        MissingPartError: LPIPS or DISTS needs a part that is not installed.
        EvaluationError: there is no picture to show.
        OptionError: figures of each band are asked for, and no measure to take them with.
    """
    if each_band and perceptual is False and not with_dists:
        raise OptionError("each_band: neither LPIPS nor DISTS is to be taken of the bands; leave out perceptual=False or add with_dists")
    shown = shown_bands(truth)
    asked = perceptual or with_dists or each_band
    if shown is None and asked and not each_band:
        known = ", ".join(truth.names)
        raise EvaluationError(f"{truth.name}: LPIPS and DISTS need red, green and blue, known are {known}; describe the bands")
    judges: dict[str, Judge] = {}
    if perceptual or (perceptual is None and (each_band or (shown is not None and lpips.is_available()))):
        lpips.check_available()
        judges["lpips"] = lpips.lpips
    if with_dists:
        dists.check_available()
        judges["dists"] = dists.dists
    return judges


def shown_bands(truth: Selection) -> tuple[int, int, int] | None:
    """Bands of the picture that is judged: red, green and blue, or a single band as gray; None where neither is there."""
    if len(truth.bands) == 1:
        return (0, 0, 0)
    if not {"red", "green", "blue"} <= set(truth.roles):
        return None
    red, green, blue = (truth.roles.index(role) for role in ("red", "green", "blue"))
    return red, green, blue


def look(
    truth: Selection, enhanced: Selection, data_range: float, judges: Mapping[str, Judge], *, each_band: bool
) -> dict[str, list[float | None]]:
    """For each measure its mean over the ground that is judged: of the picture, then of each band as gray where that is asked for."""
    shown = shown_bands(truth)
    triples = [shown, *((band,) * 3 for band in range(len(truth.bands)) if each_band)]
    found = {name: [_Average() for _ in triples] for name in judges}
    for number, triple in enumerate(triples):
        if triple is None or not judges:
            continue
        # Read for themselves: a pixel counts where the bands that are shown are valid, whatever the others are.
        distinct = sorted(set(triple))
        pair = [raster.only(distinct) for raster in (truth, enhanced)]
        planes = [distinct.index(index) for index in triple]
        for window in scenes(truth, side=JUDGED, smallest=SMALLEST):
            (x, x_valid), (y, y_valid) = (raster.read_like(window, pair[0].encodings) for raster in pair)
            a, b = (np.clip(picture[planes] / data_range, 0.0, 1.0).astype(np.float32) for picture in (x, y))
            valid: Mask = np.logical_and.reduce(x_valid & y_valid, axis=0)
            for part in whole_parts(valid):
                rows, columns = part.slices()
                for name, judge in judges.items():
                    found[name][number].add(judge(a[:, rows, columns], b[:, rows, columns]), part.height * part.width)
    return {name: [average.value for average in each] for name, each in found.items()}


def whole_parts(valid: Mask, *, smallest: int = SMALLEST) -> list[Window]:
    """Where ``(H, W)`` holds no gap: all of it, else what is whole of its quarters and theirs, down to `smallest` pixels a side."""
    pending, found = [Window(0, 0, *valid.shape)], []
    while pending:
        part = pending.pop()
        if valid[part.slices()].all():
            found.append(part)
        elif min(part.shape) >= 2 * smallest:
            top, left = part.height // 2, part.width // 2
            for row, height in ((part.row, top), (part.row + top, part.height - top)):
                pending += [
                    Window(row, column, height, width)
                    for column, width in ((part.column, left), (part.column + left, part.width - left))
                ]
    return found


@dataclass(slots=True)
class _Average:
    """Mean of figures, each with the weight of its pixels."""

    total: float = 0.0
    pixels: int = 0

    def add(self, figure: float, pixels: int) -> None:
        self.total += figure * pixels
        self.pixels += pixels

    @property
    def value(self) -> float | None:
        return self.total / self.pixels if self.pixels else None


def scenes(raster: Selection, *, side: int, smallest: int) -> list[Window]:
    """At most `_MOST` windows spread evenly; those at the edge that are smaller than `smallest` are left out."""
    windows = [window for window in TilePlan(raster.height, raster.width, side) if min(window.shape) >= smallest]
    return windows[:: max(1, -(-len(windows) // _MOST))]
