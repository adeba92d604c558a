"""What is known of a raster before any pixel is read: its grid and its bands."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from affine import Affine
from rasterio.crs import CRS

from sr_geo.radiometry import Encoding

Domains = Mapping[str, Mapping[str, str]]
"""Metadata domain → tags, as GDAL keeps them; "" is the default domain."""


@dataclass(frozen=True, slots=True)
class Band:
    """One band of a scene."""

    role: str | None
    """What it shows ("blue", "nir", "swir1", …, see `sr_geo.raster.roles.ROLES`); None where unknown, and for alpha and marks."""
    description: str
    """Band description as GDAL keeps it; "" if none."""
    encoding: Encoding
    """Stored value → reflectance, and nodata."""
    dtype: str
    """NumPy name of the type in the file."""
    color: str
    """Name of the rasterio ColorInterp: "red", "gray", "alpha", "undefined", …"""
    unit: str
    """Unit of the decoded values; "" if none."""
    metres: float | None
    """Native pixel size in metres where the band was brought to the scene's finer grid, else None."""
    stated: bool = False
    """Whether the file or product states the encoding; otherwise it is the usual one of the type."""
    marks: bool = False
    """Whether it holds classes, bits, a mask, a probability or the like: to be repeated, never mixed or enhanced."""
    domains: Domains = field(default_factory=dict, hash=False)
    """Tags of the band that stay true of a band made from it."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Where the pixels of one band lie."""

    path: str
    """What GDAL opens."""
    number: int
    """Of the band in that file, from 1."""
    resampled: bool
    """Whether it lies on a coarser grid than the scene."""
    masked: bool
    """Whether a mask or alpha band tells of validity, beside nodata."""
    nodata: float | None


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels lie."""

    height: int
    width: int
    transform: Affine
    crs: CRS | None

    @property
    def metres(self) -> float | None:
        """Side of a pixel in metres, from its area; None without a projected CRS (degrees would be too rough a clue)."""
        if self.crs is None or not self.crs.is_projected:
            return None
        return float(abs(self.transform.determinant) ** 0.5 * self.crs.linear_units_factor[1])

    def nests(self, coarse: "Grid") -> bool:
        """Whether `coarse` has the same CRS and corner and one pixel of it is a whole number of pixels here.

        It may reach less than one of its pixels beyond: 60 m pixels do not always divide a tile.
        """
        ratio = ~self.transform @ coarse.transform
        scale = round(ratio.a)
        aligned = scale >= 1 and ratio.almost_equals(Affine.scale(scale), precision=1e-6)
        sides = ((coarse.height, self.height), (coarse.width, self.width))
        covers = all(0 <= large * scale - small < scale for large, small in sides)
        return aligned and covers and coarse.crs == self.crs and self.crs is not None


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a scene is made of, but for its path."""

    name: str
    sensor: str | None
    grid: Grid
    dtype: str
    bands: tuple[Band, ...]
    layers: tuple[Layer, ...]
    """For each band."""
    tags: dict[str, str]
    described_by: tuple[str, ...]
    """GDAL names of the metadata files that were read beside the pixels."""
    domains: Domains = field(default_factory=dict, hash=False)
    """Tags in named domains that stay true of a raster made from this one."""
