"""Small rasters to draw from."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

GRID = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def write_raster(path: Path, pixels: np.ndarray, *, transform: Affine = GRID, crs: int = 32642, **more: object) -> Path:
    profile = {"driver": "GTiff", "count": len(pixels), "height": pixels.shape[1], "width": pixels.shape[2], "dtype": pixels.dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **more) as dataset:
        dataset.write(pixels)
    return path
