"""What is made of the finished tiles: statistics of parcels, checks, and files."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import sr_geo
from sr_geo.consistency import Sensor, seen
from sr_geo.errors import OutputError
from sr_geo.grid import Window, finer
from sr_geo.models.session import Upscaler
from sr_geo.radiometry import Float, Mask
from sr_geo.raster.options import Options, Progress, Report
from sr_geo.raster.parcels import Parcels
from sr_geo.raster.scene import Scene
from sr_geo.raster.spool import Spool
from sr_geo.raster.tiles import BandPlan, TilePlanning
from sr_geo.raster.write import BandLabel, Look, Piece, pieces_of, write_image
from sr_geo.raster.zonal import ParcelRow, ParcelStatistics

CHECKED = 16
"""Tiles that the result is checked on."""


@dataclass(frozen=True, slots=True)
class BandCheck:
    """One band of the result against the input, in physical units, over up to `CHECKED` tiles spread over the run."""

    before: float | None
    """Mean of the input's valid pixels."""
    after: float | None
    """Mean of the result's valid pixels."""
    drift: float | None
    """Mean |Δ| between the input and the result seen through the sensor again; None where the band has no blur."""


@dataclass(frozen=True, slots=True)
class Harvest:
    """Finished tiles, and what is made of them: statistics, checks, files."""

    scene: Scene
    upscaler: Upscaler
    planning: TilePlanning
    spool: Spool
    wanted: list[int]
    parcels: Parcels | None
    extent: Window
    progress: Report

    def measure(self) -> tuple[ParcelRow, ...]:
        """Statistics of all parcels before and after."""
        if self.parcels is None:
            return ()
        names = band_names(self.planning)
        statistics = ParcelStatistics(self.parcels, names, scale=self.planning.card.scale)
        indices = [band.index for band in self.planning.bands]
        for number, index in enumerate(self.wanted):
            window, tile = self.spool.layout.plan[index], self.spool.get(index)
            stored, valid = self.scene.read(window, indices)
            statistics.add(
                window,
                before=self._decode(stored),
                before_valid=valid,
                after=self._decode(tile.image),
                after_valid=valid.repeat(self.planning.card.scale, axis=1).repeat(self.planning.card.scale, axis=2),
                detail=tile.detail,
            )
            self.progress(Progress("measure", number + 1, len(self.wanted), None))
        return tuple(statistics.rows())

    def nothing_valid(self) -> bool:
        """Whether the result is all nodata."""
        pictures = [position for position, band in enumerate(self.planning.bands) if band.way != "nearest"]
        return not any(self.spool.get(index).valid[pictures].any() for index in self.wanted)

    def check(self) -> tuple[BandCheck, ...]:
        """Means before and after and the drift, over a few tiles."""
        chosen = self.wanted[:: -(-len(self.wanted) // CHECKED)]
        indices = [band.index for band in self.planning.bands]
        sums = np.zeros((len(indices), 3, 2))  # before, after, drift; number and total
        for index in chosen:
            stored, valid = self.scene.read(self.spool.layout.plan[index], indices)
            tile = self.spool.get(index)
            before, after = self._decode(stored), self._decode(tile.image)
            for position, band in enumerate(self.planning.bands):
                sums[position] += _compare(before[position], after[position], valid[position], band, self.planning.card.scale)
        return tuple(BandCheck(*(None if not number else total / number for number, total in band)) for band in sums.tolist())

    def write(self, path: Path, options: Options, *, masked_to_parcels: bool) -> Path:
        """One raster over the extent."""
        holes = masked_to_parcels or self._has_holes()
        look = self._look(options, holes=holes)
        inside = self._inside() if masked_to_parcels else None
        pieces = pieces_of(self._tiles(self.wanted), inside, nodata=look.nodata, scale=look.scale)
        _replace_image(path, look, self.extent, pieces, masked=holes and _needs_mask(look))
        return path

    def write_split(self, folder: Path, options: Options) -> tuple[Path, ...]:
        """One raster for each parcel, named by it."""
        if self.parcels is None:
            return ()
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}); choose another folder") from error
        look = self._look(options, holes=True)
        paths = []
        for number, (name, window) in enumerate(zip(self.parcels.names, self.parcels.windows(), strict=True)):
            path = folder / f"{name}.tif"
            tiles = [index for index in self.spool.layout.plan.touching(window) if index in self.spool.done]
            pieces = pieces_of(self._tiles(tiles, quiet=True), self._inside(number), nodata=look.nodata, scale=look.scale)
            _replace_image(path, look, window, pieces, masked=_needs_mask(look))
            paths.append(path)
            self.progress(Progress("write", number + 1, len(self.parcels), None))
        return tuple(paths)

    def write_detail(self, path: Path, options: Options, *, masked_to_parcels: bool) -> None:
        """The map of added detail over the extent."""
        label = BandLabel(description="added detail", unit="reflectance")
        look = Look(
            (label,),
            "float32",
            float("nan"),
            self.scene.crs,
            self.scene.transform,
            self.planning.card.scale,
            self._tags(options),
            options.cog,
        )
        inside = self._inside() if masked_to_parcels else None
        tiles = ((window, detail[np.newaxis], valid) for window, detail, valid in self._details())
        _replace_image(path, look, self.extent, pieces_of(tiles, inside, nodata=look.nodata, scale=look.scale), masked=False)

    def _tiles(self, indices: list[int], *, quiet: bool = False) -> Iterator[tuple[Window, NDArray[Any], Mask]]:
        for number, index in enumerate(indices):
            tile = self.spool.get(index)
            yield self.spool.layout.plan[index], tile.image, tile.valid
            if not quiet:
                self.progress(Progress("write", number + 1, len(indices), None))

    def _details(self) -> Iterator[tuple[Window, Float, Mask]]:
        for index in self.wanted:
            tile = self.spool.get(index)
            yield self.spool.layout.plan[index], tile.detail, tile.valid

    def _inside(self, only: int | None = None) -> Callable[[Window], Mask]:
        parcels = self.parcels
        if parcels is None:
            raise ValueError("no parcels")
        grid = finer(self.scene.transform, self.planning.card.scale)
        return lambda window: parcels.mask(window, grid, only=None if only is None else [only])

    def _decode(self, stored: NDArray[Any]) -> Float:
        return np.stack([band.encoding.decode(plane) for band, plane in zip(self.planning.bands, stored, strict=True)])

    def _has_holes(self) -> bool:
        return any(not self.spool.get(index).valid.all() for index in self.wanted)

    def _look(self, options: Options, *, holes: bool) -> Look:
        labels = []
        for plan in self.planning.bands:
            band = self.scene.bands[plan.index]
            labels.append(BandLabel(band.description, band.unit, band.color, band.encoding if band.stated else None))
        nodata = self.planning.bands[0].encoding.nodata  # the same for all
        if nodata is None and holes and np.dtype(self.scene.dtype).kind == "f":
            nodata = float("nan")  # what `to_stored` writes there
        return Look(
            tuple(labels),
            self.scene.dtype,
            nodata,
            self.scene.crs,
            self.scene.transform,
            self.planning.card.scale,
            self._tags(options),
            options.cog,
        )

    def _tags(self, options: Options) -> dict[str, str]:
        """The input's tags, and how the output was made."""
        ways = {name: band.way for name, band in zip(band_names(self.planning), self.planning.bands, strict=True)}
        blurs = {
            name: f"{band.sigma:.3f} ({band.sigma_from})"
            for name, band in zip(band_names(self.planning), self.planning.bands, strict=True)
            if band.way in ("network", "guided")
        }
        return {
            **self.scene.tags,
            "SR_GEO_VERSION": sr_geo.__version__,
            "SR_GEO_MODEL": self.upscaler.card.name,
            "SR_GEO_MODEL_SHA256": self.upscaler.sha256,
            "SR_GEO_SCALE": str(self.planning.card.scale),
            "SR_GEO_INPUT": self.scene.name,
            "SR_GEO_CONSISTENCY": options.consistency,
            "SR_GEO_BANDS": json.dumps(ways),
            "SR_GEO_PSF": json.dumps(blurs),
        }


def _replace_image(path: Path, look: Look, window: Window, pieces: Iterator[Piece], *, masked: bool) -> None:
    """Write, and drop what lies beside: the half-written file of a killed run, statistics and overviews of an older one."""
    for half in path.parent.glob(f".{escape(path.stem)}.*{escape(path.suffix)}"):
        if half.stem.rpartition(".")[2].isdecimal():
            half.unlink()
    write_image(path, look, window, pieces, masked=masked)
    for suffix in (".aux.xml", ".ovr", ".msk"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def _needs_mask(look: Look) -> bool:
    """Whether nothing else in the file could say where there are holes."""
    return look.nodata is None and all(band.color != "alpha" for band in look.bands)


def _compare(before: Float, after: Float, valid: Mask, band: BandPlan, scale: int) -> NDArray[np.float64]:
    """Number and total of: valid input, valid output, |Δ| of the output seen again; ``(3, 2)``."""
    fine = valid.repeat(scale, axis=0).repeat(scale, axis=1)
    out = np.zeros((3, 2))
    out[0] = np.count_nonzero(valid), before[valid].sum(dtype=np.float64)
    out[1] = np.count_nonzero(fine), after[fine].sum(dtype=np.float64)
    sensor = Sensor(band.sigma, scale)
    reach = sensor.reach
    if band.way not in ("network", "guided") or min(before.shape) <= 2 * reach:
        return out
    # Only places whose whole support is valid: what lies in a hole was never measured.
    sound = seen(fine.astype(np.float32), sensor) > 1.0 - 1e-4
    again = seen(np.where(fine, after, np.float32(0.0)), sensor)
    inner = before[reach : before.shape[0] - reach, reach : before.shape[1] - reach]
    out[2] = np.count_nonzero(sound), np.abs(again - inner)[sound].sum(dtype=np.float64)
    return out


def band_names(planning: TilePlanning) -> tuple[str, ...]:
    """Role of each band of the output, or its number in the input."""
    return tuple(band.role or f"band {band.index + 1}" for band in planning.bands)
