"""A slanted rectangle in a picture made straight. Pure numbers, no I/O."""

import numpy as np
from numpy.typing import NDArray

from sr_geo.grid import Window
from sr_geo.imaging.reading import Corners
from sr_geo.radiometry import Float


def grown(corners: Corners, *, along: float, across: float) -> Corners:
    """A quadrangle grown by shares of its height: `along` at its left and right end, `across` above and below."""
    upper_left, upper_right, lower_right, lower_left = corners
    right = (upper_right + lower_right - upper_left - lower_left) / 2.0
    down = (lower_left + lower_right - upper_left - upper_right) / 2.0
    height = float(np.hypot(*down))
    aside = right / max(float(np.hypot(*right)), 1e-9) * height * along
    below = down * across
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.stack([corner + x * aside + y * below for corner, (x, y) in zip(corners, signs, strict=True)])


def sides(corners: Corners) -> tuple[float, float]:
    """Height and width of a quadrangle: its longer sides."""
    upper, right, lower, left = (float(np.hypot(*(corners[(i + 1) % 4] - corners[i]))) for i in range(4))
    return max(left, right), max(upper, lower)


def about(corners: Corners, height: int, width: int, *, margin: int) -> Window:
    """The window around a quadrangle with `margin` pixels on every side, cut to the picture; empty where it lies outside."""
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    box = Window(int(low[1]), int(low[0]), int(high[1] - low[1]), int(high[0] - low[0]))
    return box.padded(margin).intersection(Window(0, 0, height, width))


def straightened(values: Float, corners: Corners, height: int, width: int) -> Float:
    """The content of a quadrangle as an upright rectangle.

    Args:
        values: ``(C, h, w)``; beyond its edge it is continued with the edge.
        corners: x, y from the corner of `values`, in its pixels.
        height: of the result.
        width: of the result.

    Returns:
        ``(C, height, width)``, by cubic splines.
    """
    from scipy.ndimage import map_coordinates

    onto = _projection(np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64), corners)
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    points = onto @ np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    x, y = points[:2] / points[2]
    places = np.stack([y, x]).reshape(2, height, width) - 0.5
    return np.stack([map_coordinates(plane, places, np.float32, order=3, mode="nearest") for plane in values])


def _projection(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ``(3, 3)`` projective map that brings four points onto four others."""
    rows, right = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)
