"""What is made of the finished tiles: statistics of parcels, checks, and files."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
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
from sr_geo.raster.plain import ROLE_TAG
from sr_geo.raster.scene import Scene
from sr_geo.raster.spool import Spool
from sr_geo.raster.target import SIDECARS
from sr_geo.raster.tiles import BandPlan, Finished, TilePlanning
from sr_geo.raster.units import common_unit
from sr_geo.raster.write import BandLabel, Look, Piece, pieces_of, write_image
from sr_geo.raster.zonal import ParcelRow, ParcelStatistics

CHECKED = 16
"""Tiles that the result is checked on."""


@dataclass(frozen=True, slots=True)
class BandCheck:
    """One band of the result against the input, in physical units, on up to `CHECKED` tiles spread over the run."""

    before: float | None
    """Mean of the input's valid pixels."""
    after: float | None
    """Mean of the result's valid pixels."""
    drift: float | None
    """Mean |Δ| between the input and the result seen through the sensor again; None where the band has no blur."""
    span: float | None = None
    """Largest minus smallest of the input's valid pixels."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of the result before it is written."""

    rows: tuple[ParcelRow, ...]
    """Statistics of the parcels before and after; empty without parcels."""
    checks: tuple[BandCheck, ...]
    """For each band."""
    nothing_valid: bool
    """Whether no picture band has a valid pixel anywhere."""
    holes: bool
    """Whether some pixel is missing; not looked for, and true, where the result has a nodata value anyway."""


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

    @property
    def has_nodata(self) -> bool:
        """Whether holes have a value of their own, so that the file is the same whether there are some or not."""
        return self.planning.bands[0].encoding.nodata is not None  # the same for all

    def survey(self) -> Survey:
        """Statistics of the parcels and checks, in one pass over the tiles; only over a few where nothing needs all."""
        chosen = set(self.wanted[:: -(-len(self.wanted) // CHECKED)])
        pictures = [position for position, band in enumerate(self.planning.bands) if band.way != "nearest"]
        statistics = None
        if self.parcels is not None:
            statistics = ParcelStatistics(self.parcels, band_names(self.planning), scale=self.planning.card.scale)
        anything, holes = False, self.has_nodata
        sums = np.zeros((len(self.planning.bands), 3, 2))  # before, after, drift; number and total
        lows, highs = np.full(len(sums), np.inf), np.full(len(sums), -np.inf)
        for number, index in enumerate(self.wanted):
            if statistics is None and index not in chosen and anything and holes:
                continue
            tile = self.spool.get(index)
            anything = anything or bool(tile.valid[pictures].any())
            holes = holes or not tile.valid.all()
            if statistics is not None or index in chosen:
                stored, _ = self.scene.read(self.spool.layout.plan[index], [band.index for band in self.planning.bands])
                if statistics is not None:
                    self._measure(statistics, index, stored, tile)
                    self.progress(Progress("measure", number + 1, len(self.wanted), None))
                if index in chosen:
                    sums += self._check(stored, tile)
                    for position, plane in enumerate(self._decode(stored)):
                        inside = tile.valid[position]
                        lows[position] = min(lows[position], plane.min(where=inside, initial=np.inf))
                        highs[position] = max(highs[position], plane.max(where=inside, initial=-np.inf))
                del stored
            del tile  # before the next one is read
        means = ([None if not number else total / number for number, total in band] for band in sums.tolist())
        spans = (None if span < 0.0 else span for span in (highs - lows).tolist())
        checks = tuple(BandCheck(before, after, drift, span) for (before, after, drift), span in zip(means, spans, strict=True))
        return Survey(() if statistics is None else tuple(statistics.rows()), checks, not anything, holes)

    def _measure(self, statistics: ParcelStatistics, index: int, stored: NDArray[Any], tile: Finished) -> None:
        scale = self.planning.card.scale
        statistics.add(
            self.spool.layout.plan[index],
            before=self._decode(stored),
            before_valid=tile.valid,
            after=self._decode(tile.image),
            after_valid=tile.valid.repeat(scale, axis=1).repeat(scale, axis=2),
            detail=tile.detail,
        )

    def _check(self, stored: NDArray[Any], tile: Finished) -> NDArray[np.float64]:
        """For each band what `_compare` tells of a tile, ``(C, 3, 2)``."""
        scale, found = self.planning.card.scale, []
        for band, before, after, valid in zip(self.planning.bands, stored, tile.image, tile.valid, strict=True):
            found.append(_compare(band.encoding.decode(before), band.encoding.decode(after), valid, band, scale))
        return np.stack(found)

    def write(self, path: Path, options: Options, *, holes: bool, masked_to_parcels: bool, indices: Iterable[int] | None = None) -> Path:
        """One raster over the extent.

        Args:
            path: of the raster.
            options: of the run.
            holes: whether there are any, as found by `survey`; where holes have a value of their own it does not matter.
            masked_to_parcels: whether what lies outside the parcels is left away.
            indices: numbers of the tiles, where they are not all there yet; the caller then claims `path` before the last one.
        """
        if indices is None:
            self.spool.claim(path)
        holes = holes or masked_to_parcels
        look = self._look(options, holes=holes)
        inside = self._inside() if masked_to_parcels else None
        tiles = self._tiles(self.wanted) if indices is None else self._tiles(indices, quiet=True)
        pieces = pieces_of(tiles, inside, nodata=look.nodata, scale=look.scale)
        self._replace(path, look, self.extent, pieces, masked=holes and _needs_mask(look))
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
            self.spool.claim(path)
            tiles = [index for index in self.spool.layout.plan.touching(window) if index in self.spool.done]
            pieces = pieces_of(self._tiles(tiles, quiet=True), self._inside(number), nodata=look.nodata, scale=look.scale)
            self._replace(path, look, window, pieces, masked=_needs_mask(look))
            paths.append(path)
            self.progress(Progress("write", number + 1, len(self.parcels), None))
        return tuple(paths)

    def write_detail(self, path: Path, options: Options, *, masked_to_parcels: bool) -> None:
        """The map of added detail over the extent."""
        self.spool.claim(path)
        network = [self.scene.bands[band.index] for band in self.planning.bands if band.way == "network"]
        label = BandLabel(description="added detail", unit=common_unit(network))
        look = Look(
            (label,),
            "float32",
            float("nan"),
            self.scene.crs,
            self.scene.transform,
            self.planning.card.scale,
            self._tags(options),
            options.compress,
            options.cog,
        )
        inside = self._inside() if masked_to_parcels else None
        tiles = ((window, detail[np.newaxis], valid) for window, detail, valid in self._details())
        self._replace(path, look, self.extent, pieces_of(tiles, inside, nodata=look.nodata, scale=look.scale), masked=False)

    def _replace(self, path: Path, look: Look, window: Window, pieces: Iterator[Piece], *, masked: bool) -> None:
        """Write, and drop statistics and overviews of an older file of that name."""
        write_image(path, look, window, pieces, masked=masked)
        for suffix in SIDECARS:
            path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)

    def _tiles(self, indices: Iterable[int], *, quiet: bool = False) -> Iterator[tuple[Window, NDArray[Any], Mask]]:
        for number, index in enumerate(indices):
            tile = self.spool.get(index)
            yield self.spool.layout.plan[index], tile.image, tile.valid
            if not quiet:
                self.progress(Progress("write", number + 1, len(self.wanted), None))

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

    def _look(self, options: Options, *, holes: bool) -> Look:
        labels = []
        for plan in self.planning.bands:
            band = self.scene.bands[plan.index]
            # The result is to tell its bands, however the input's became known: by its pixel size or its name, for instance.
            told = {} if plan.role is None else {ROLE_TAG: plan.role}
            domains = {**band.domains, "": {**band.domains.get("", {}), **told}}
            labels.append(
                BandLabel(band.description or plan.role or "", band.unit, band.color, band.encoding if band.stated else None, domains)
            )
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
            options.compress,
            options.cog,
            self.scene.domains,
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


def drifting(planning: TilePlanning, checks: Sequence[BandCheck]) -> tuple[str, ...]:
    """Bands that are further from the measurement than consistency promises: 0.5 DN for 8 bits, else 0.2 % of the range of values."""
    names = []
    for name, band, check in zip(band_names(planning), planning.bands, checks, strict=True):
        if check.drift is None or check.span is None:
            continue
        promised = 0.5 * abs(band.encoding.scale) if np.dtype(planning.dtype).itemsize == 1 else 0.002 * check.span
        if check.drift > promised:
            names.append(name)
    return tuple(names)


def _needs_mask(look: Look) -> bool:
    """Whether nothing else in the file could say where there are holes."""
    return look.nodata is None and all(band.color != "alpha" for band in look.bands)


def _compare(before: Float, after: Float, valid: Mask, band: BandPlan, scale: int) -> NDArray[np.float64]:
    """Number and total of: valid input, valid output, |Δ| of the output seen again; ``(3, 2)``."""
    fine = None if valid.all() else valid.repeat(scale, axis=0).repeat(scale, axis=1)
    if fine is not None:
        before, after = np.where(valid, before, np.float32(0.0)), np.where(fine, after, np.float32(0.0))
    out, count = np.zeros((3, 2)), np.count_nonzero(valid)
    out[0] = count, before.sum(dtype=np.float64)
    out[1] = count * scale**2, after.sum(dtype=np.float64)
    sensor = Sensor(band.sigma, scale)
    reach = sensor.reach
    if band.way not in ("network", "guided") or min(before.shape) <= 2 * reach:
        return out
    inner = before[reach : before.shape[0] - reach, reach : before.shape[1] - reach]
    # Only places whose whole support is valid: what lies in a hole was never measured.
    sound = slice(None) if fine is None else seen(fine.astype(np.float32), sensor) > 1.0 - 1e-4
    difference = np.abs(seen(after, sensor) - inner)[sound]
    out[2] = difference.size, difference.sum(dtype=np.float64)
    return out


def band_names(planning: TilePlanning) -> tuple[str, ...]:
    """Role of each band of the output, or its number in the input."""
    return tuple(band.role or f"band {band.index + 1}" for band in planning.bands)
