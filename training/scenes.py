"""Opens satellite imagery of the tests on the grid of its sensor."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

SPAIN = "sen1floods11_spain_7370579_S2_13band.tif"
"""The Sentinel-2 scene of Spain. Its file lies on a grid in degrees, 7.9 m wide and 10 m high, filled with the nearest of the sensor's
pixels of 10 m: every fifth column is that beside it, and borders are stairs, which nothing should be asked to draw."""
TAKEN = {"crs": "EPSG:32630", "transform": Affine(10.0, 0.0, 694_530.0, 0.0, -10.0, 4_222_430.0), "width": 392, "height": 501}
"""The sensor's own grid, UTM zone 30, and the largest part of it without a gap (it is turned by a degree against the file's).
The file's grid is finer, so that it has each of the sensor's pixels, and the nearest pixel of the file is that pixel again (99.7 % of
them, since GDAL projects to an eighth of a pixel)."""


@contextmanager
def open_scene(path: Path) -> Iterator[DatasetReader | WarpedVRT]:
    """A raster to read from."""
    with rasterio.open(path) as stored:
        if path.name != SPAIN:
            yield stored
            return
        with WarpedVRT(stored, **TAKEN) as taken:
            yield taken
