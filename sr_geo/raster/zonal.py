"""Statistics of parcels before and after enhancement, summed tile by tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod

from sr_geo.grid import Window, finer
from sr_geo.radiometry import Float, Mask
from sr_geo.raster.parcels import Parcels
from sr_geo.raster.shapes import Shapes, converted, densified, on_earth

NARROW = 4.0
"""Parcels whose largest inscribed circle is less than so many input pixels across hold hardly a pixel without a neighbour's light."""


class ZonalSums:
    """Running sums over the pixels of each parcel; the same, up to rounding in float64, whatever the tiling.

    NDVI is (nir − red) / (nir + red) of every pixel, then averaged. Reflectances below zero count as zero there, so that
    it stays within ±1, and pixels where both are zero have none.
    """

    def __init__(self, parcels: int, bands: int, *, red: int | None = None, nir: int | None = None) -> None:
        self._bands = bands
        self._red_nir = None if red is None or nir is None else (red, nir)
        self.pixels: NDArray[np.int64] = np.zeros(parcels, dtype=np.int64)
        """Pixels with the parcel's label."""
        self.valid: NDArray[np.int64] = np.zeros(parcels, dtype=np.int64)
        """Those of them that are valid in every band."""
        self._count: NDArray[np.int64] = np.zeros((bands, parcels), dtype=np.int64)
        self._total: NDArray[np.float64] = np.zeros((bands, parcels))
        self._ndvi: NDArray[np.float64] = np.zeros((3, parcels))  # number, sum, sum of squares

    def add(self, labels: NDArray[np.int32], values: Float, valid: Mask) -> None:
        """Count one block.

        Args:
            labels: ``(h, w)``, parcel index + 1, 0 for none.
            values: ``(C, h, w)``, reflectance.
            valid: ``(C, h, w)`` or ``(h, w)``; values that are not finite are never valid.
        """
        if values.shape != (self._bands, *labels.shape):
            raise ValueError(f"values {values.shape} for {self._bands} bands and labels {labels.shape}")
        inside = labels > 0
        present, place = np.unique(labels[inside], return_inverse=True)
        if not present.size:
            return
        parcel = present.astype(np.intp) - 1
        inner = values[:, inside].astype(np.float64)
        good = np.broadcast_to(valid, values.shape)[:, inside] & np.isfinite(inner)
        self.pixels[parcel] += np.bincount(place)
        self.valid[parcel] += np.bincount(place[good.all(axis=0)], minlength=parcel.size)
        for band in range(self._bands):
            where = place[good[band]]
            self._count[band, parcel] += np.bincount(where, minlength=parcel.size)
            self._total[band, parcel] += np.bincount(where, weights=inner[band, good[band]], minlength=parcel.size)
        if self._red_nir is not None:
            red, nir = (np.maximum(inner[band], 0) for band in self._red_nir)
            defined = good[list(self._red_nir)].all(axis=0) & (red + nir > 0)
            ndvi = (nir[defined] - red[defined]) / (nir[defined] + red[defined])
            for power in range(3):
                self._ndvi[power, parcel] += np.bincount(place[defined], weights=ndvi**power, minlength=parcel.size)

    def means(self) -> NDArray[np.float64]:
        """Mean of each band over its valid pixels, ``(C, parcels)``; NaN where there are none."""
        return _divided(self._total, self._count)

    def ndvi(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation (of the pixels, not of the mean) of NDVI, ``(parcels,)`` each; NaN where there is none."""
        number, total, squares = self._ndvi
        mean = _divided(total, number)
        return mean, np.sqrt(np.maximum(_divided(squares, number) - mean**2, 0))


@dataclass(frozen=True, slots=True)
class ParcelRow:
    """What was measured of one parcel; None where there was nothing to measure."""

    id: str
    name: str
    area_ha: float
    """Of the whole parcel, also where it reaches beyond the raster; without a positive buffer."""
    area_method: Literal["geodesic", "planar"]
    """Planar where the raster has no CRS: its unit is taken to be the metre."""
    width_px: float
    """Diameter of the largest circle inside the parcel, in input pixels."""
    narrow: bool
    """Whether `width_px` is less than NARROW: every pixel then carries light of the neighbours."""
    pixels_before: float
    """Valid input pixels, each weighted by the share of it that lies in the parcel."""
    pixels_after: int
    """Valid enhanced pixels."""
    valid_share: float
    """Area of the valid enhanced pixels over that of the parcel, at most 1; less where it reaches beyond the raster, into
    nodata or under a smaller parcel."""
    means_before: dict[str, float | None]
    """Mean reflectance by band."""
    means_after: dict[str, float | None]
    ndvi_before: float | None
    ndvi_after: float | None
    ndvi_std_before: float | None
    ndvi_std_after: float | None
    detail: float | None
    """Mean of the map of added detail."""
    attributes: dict[str, Any]
    """The layer's own columns."""
    geometry: shapely.Geometry
    """In the CRS of the raster."""


class ParcelStatistics:
    """Collects the statistics of all parcels while the tiles go by; holds a few numbers a parcel, never the scene."""

    def __init__(self, parcels: Parcels, bands: Sequence[str], *, scale: int = 4) -> None:
        """Start at zero.

        Args:
            parcels: on the input raster.
            bands: role or another unique name of each band, in order; NDVI needs "red" and "nir" (or "nir08").
            scale: enhanced pixels per input pixel along each axis.
        """
        self._parcels, self._bands, self._scale = parcels, tuple(bands), scale
        nir = next((role for role in ("nir", "nir08") if role in bands), None)
        both = {} if nir is None or "red" not in bands else {"red": bands.index("red"), "nir": bands.index(nir)}
        self._before = ZonalSums(len(parcels), len(bands), **both)
        self._after = ZonalSums(len(parcels), len(bands), **both)
        self._detail = ZonalSums(len(parcels), 1)

    def add(
        self, window: Window, *, before: Float, before_valid: Mask, after: Float, after_valid: Mask, detail: Float | None = None
    ) -> None:
        """Count one tile; tiles must not overlap.

        Both sides are measured over the same area: the pixels of the finer grid whose centre lies in the parcel, each
        taking the value of the input pixel that it is a part of.

        Args:
            window: in input pixels.
            before: ``(C, h, w)``, reflectance of the input in `window`.
            before_valid: ``(C, h, w)`` or ``(h, w)``.
            after: ``(C, s·h, s·w)``, reflectance of the result.
            after_valid: ``(C, s·h, s·w)`` or ``(s·h, s·w)``.
            detail: ``(s·h, s·w)``, added detail; not finite where unknown.
        """
        grid = finer(self._parcels.transform, self._scale)
        labels = self._parcels.labels(window.scaled(self._scale), grid)
        if not labels.any():
            return
        for row in range(self._scale):  # the s × s parts of an input pixel, one after the other, so that nothing is enlarged
            for column in range(self._scale):
                self._before.add(labels[row :: self._scale, column :: self._scale], before, before_valid)
        self._after.add(labels, after, after_valid)
        if detail is not None:
            whole = after_valid if after_valid.ndim == 2 else np.asarray(after_valid.all(axis=0))
            self._detail.add(labels, detail[np.newaxis], whole)

    def rows(self) -> list[ParcelRow]:
        """What was measured so far, one row a parcel in the order of the parcels."""
        parcels, parts = self._parcels, self._scale**2
        areas, method = hectares(parcels.cores, parcels.crs, parcels.pixel)
        share = _divided(self._after.valid / parts, shapely.area(parcels.cores) / abs(parcels.transform.determinant))
        widths = parcels.widths()
        before, after = self._before.means(), self._after.means()
        (ndvi_before, std_before), (ndvi_after, std_after) = self._before.ndvi(), self._after.ndvi()
        detail = self._detail.means()[0]
        attributes = parcels.attributes.to_dict("records")
        return [
            ParcelRow(
                id=parcels.ids[index],
                name=parcels.names[index],
                area_ha=float(areas[index]),
                area_method=method,
                width_px=float(widths[index]),
                narrow=bool(widths[index] < NARROW),
                pixels_before=float(self._before.valid[index] / parts),
                pixels_after=int(self._after.valid[index]),
                valid_share=float(np.clip(np.nan_to_num(share[index]), 0, 1)),
                means_before={band: _known(value) for band, value in zip(self._bands, before[:, index], strict=True)},
                means_after={band: _known(value) for band, value in zip(self._bands, after[:, index], strict=True)},
                ndvi_before=_known(ndvi_before[index]),
                ndvi_after=_known(ndvi_after[index]),
                ndvi_std_before=_known(std_before[index]),
                ndvi_std_after=_known(std_after[index]),
                detail=_known(detail[index]),
                attributes={str(key): value for key, value in attributes[index].items()} if attributes else {},
                geometry=parcels.cores[index],
            )
            for index in range(len(parcels))
        ]


def hectares(shapes: Shapes, crs: CRS | None, step: float) -> tuple[NDArray[np.float64], Literal["geodesic", "planar"]]:
    """Area of each shape on the WGS 84 ellipsoid, or in the plane where the CRS is none of the Earth's.

    Args:
        shapes: polygons and multipolygons.
        crs: of their coordinates.
        step: edges longer than this get vertices before longitude and latitude are taken, in units of `crs`.
    """
    if not on_earth(crs):
        return shapely.area(shapes) / 1e4, "planar"
    geod = Geod(ellps="WGS84")
    lonlat = shapely.orient_polygons(converted(densified(shapes, step), crs, CRS.from_epsg(4326)))  # Geod wants holes the other way round
    parts, owner = shapely.get_parts(lonlat, return_index=True)
    areas = [geod.geometry_area_perimeter(part)[0] / 1e4 for part in parts]
    return np.bincount(owner, weights=areas, minlength=len(shapes)).astype(np.float64), "geodesic"


def _divided(total: NDArray[Any], number: NDArray[Any]) -> NDArray[np.float64]:
    """`total` / `number`, NaN where that is zero."""
    out: NDArray[np.float64] = np.full(np.shape(total), np.nan)
    np.divide(total, number, out=out, where=np.asarray(number) > 0)
    return out


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
