"""Enhancing rasters: the two functions that users call, and the order in which a run does things."""

import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from threadpoolctl import threadpool_limits

import sr_geo
from sr_geo.errors import NoDataWarning, OutputError
from sr_geo.grid import TilePlan, Window
from sr_geo.models.session import Upscaler
from sr_geo.raster.harvest import BandCheck, Harvest, band_names
from sr_geo.raster.options import Options, ParcelOptions, Progress, Report
from sr_geo.raster.parcels import Parcels, read_parcels
from sr_geo.raster.planning import choose_model, find_blurs, plan_bands
from sr_geo.raster.scene import Scene
from sr_geo.raster.spool import Layout, Spool
from sr_geo.raster.stream import Stream
from sr_geo.raster.tiles import TilePlanning
from sr_geo.raster.write import check_room, check_target
from sr_geo.raster.zonal import ParcelRow

TILES = (128, 256, 384)
"""Tile sizes to choose from, input pixels: multiples of 128, so that enhanced tiles fill whole blocks of the file."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run made and what it went by."""

    source: str | Path
    options: Options
    parcels: ParcelOptions | None
    outputs: tuple[Path, ...]
    planning: TilePlanning
    model: str
    model_sha256: str
    tiles: int
    seconds: float
    rows: tuple[ParcelRow, ...]
    """Statistics of the parcels; empty without parcels."""
    checks: tuple[BandCheck, ...]
    """For each band of the output."""
    detail_map: Path | None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Role of each band of the output, or its number in the input."""
        return band_names(self.planning)


@dataclass(frozen=True, slots=True)
class _Job:
    """What was asked for."""

    source: str | Path
    output: Path
    options: Options
    choice: ParcelOptions | None
    detail_map: Path | None

    @property
    def split(self) -> bool:
        """Whether the output is a folder with a file for each parcel."""
        return self.choice is not None and self.choice.split_by is not None

    @property
    def spool_folder(self) -> Path:
        return self.output.with_name(f"{self.output.name}.part")

    @property
    def _replaces(self) -> bool:
        """Whether outputs may exist: a run that was stopped while it wrote may have left the first of them."""
        return self.options.overwrite or (self.options.resume and (self.spool_folder / "run.json").exists())

    def check_outputs(self) -> None:
        """Refuse outputs that must not or cannot be written, before any work is done."""
        if not self.output.name:
            raise OutputError(f"{self.output}: expected the name of a {'folder to make' if self.split else 'file'}")
        for path in (self.output, self.detail_map):
            if path is None:
                continue
            if is_input(path, self.source, None if self.choice is None else self.choice.path, self.options.model):
                raise OutputError(f"{path}: is an input itself; choose another name")
            if not (self.split and path is self.output):
                check_target(path, overwrite=self._replaces)
        if self.detail_map is not None and self.output.resolve() == self.detail_map.resolve():
            raise OutputError(f"{self.detail_map}: is the output itself; choose another name for the detail map")
        if self.split and self.output.exists() and not self.output.is_dir():
            raise OutputError(f"{self.output}: with --split-by the output is a folder, this is a file; choose another name")
        if self.split and not self.output.parent.is_dir():
            raise OutputError(f"{self.output.parent}: no such folder; create it or choose another one")

    def check_split(self, names: Sequence[str]) -> None:
        """The same for the files of the parcels."""
        for name in names if self.output.is_dir() else ():
            path = self.output / f"{name}.tif"
            if is_input(path, self.source):
                raise OutputError(f"{path}: is the input itself; choose another folder")
            check_target(path, overwrite=self._replaces)

    def identity(self, upscaler: Upscaler, planning: TilePlanning, plan: TilePlan) -> dict[str, Any]:
        """What the tiles depend on."""
        path = existing_file(self.source)
        state = None if path is None else path.stat()
        return {
            "version": sr_geo.__version__,
            "source": str(self.source if path is None else path.resolve()),
            "size": None if state is None else state.st_size,
            "changed": None if state is None else state.st_mtime_ns,
            "model": upscaler.sha256,
            "provider": upscaler.provider,
            "tile": plan.tile,
            "consistency": planning.consistency,
            "inputs": planning.inputs,
            "bands": [[band.index, band.way, band.channels, round(band.sigma, 6)] for band in planning.bands],
        }


def existing_file(source: str | Path) -> Path | None:
    """The file or folder that `source` names; None where it is a GDAL name, a VRT given as text or nothing at all."""
    try:
        path = Path(source)
        return path if path.exists() else None
    except (OSError, ValueError):  # too long for a path, or with characters that none can hold
        return None


def is_input(path: Path, *inputs: str | Path | None) -> bool:
    """Whether `path` is one of the files that a run reads, by whatever name."""
    files = (existing_file(source) for source in inputs if source is not None)
    return path.exists() and any(path.samefile(file) for file in files if file is not None)


def enhance_raster(
    source: str | Path,
    output: str | Path,
    options: Options | None = None,
    *,
    detail_map: str | Path | None = None,
    progress: Report | None = None,
) -> Result:
    """Enhance a whole raster four times along each axis.

    The output covers exactly the input's extent, in its CRS, with its type, nodata, labels and tags.

    Args:
        source: anything that GDAL opens, a Sentinel-2 SAFE folder or zip, a Landsat Collection 2 folder.
        output: GeoTIFF to write.
        options: see `Options`.
        detail_map: GeoTIFF (float32, physical units) of how much was added beyond what the sensor measured.
        progress: called after every tile.

    Example:
        >>> from sr_geo import Options, enhance_raster
        >>> result = enhance_raster("sample_data/rendered_farm.tif", "build/farm.tif", Options(overwrite=True))
        >>> result.model
        'satellite-rgbn-x4'

    Raises:
        SrGeoError: with one line that says what to do; nothing half-written is left at `output`.

    Warns:
        NoCrsWarning: the input has no coordinate reference system; the output has none either.
        NoDataWarning: the input holds no valid pixel, as tiles at the edge of a swath do; the output is all nodata.
    """
    return _run(_Job(source, Path(output), options or Options(), None, _path(detail_map)), progress or _silent)


def enhance_parcels(
    source: str | Path,
    parcels: str | Path | ParcelOptions,
    output: str | Path,
    options: Options | None = None,
    *,
    detail_map: str | Path | None = None,
    progress: Report | None = None,
) -> Result:
    """Enhance a raster where there are field parcels; only tiles that touch one are computed.

    Args:
        source: as in `enhance_raster`.
        parcels: vector file, or `ParcelOptions`.
        output: GeoTIFF, or a folder where the parcels are split by a column.
        options: see `Options`.
        detail_map: as in `enhance_raster`, over the parcels.
        progress: called after every tile.

    Example:
        >>> from sr_geo import Options, enhance_parcels
        >>> result = enhance_parcels(
        ...     "sample_data/rendered_farm.tif", "sample_data/rendered_farm_parcels.geojson", "build/fields.tif", Options(overwrite=True)
        ... )
        >>> all(row.area_ha > 0 for row in result.rows)
        True

    Raises:
        SrGeoError: with one line that says what to do.
    """
    chosen = parcels if isinstance(parcels, ParcelOptions) else ParcelOptions(parcels)
    return _run(_Job(source, Path(output), options or Options(), chosen, _path(detail_map)), progress or _silent)


def _run(job: _Job, progress: Report) -> Result:
    started = time.monotonic()
    options, choice = job.options, job.choice
    job.check_outputs()
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, user_api="blas"))
        scene = stack.enter_context(Scene.open(job.source, roles=options.bands, extra=options.extra_bands))
        upscaler = choose_model(scene, options.model, device=options.device, threads=options.threads)
        blurs = find_blurs(scene, options.psf, upscaler.card)
        planning = plan_bands(scene, upscaler.card, blurs, other_bands=options.other_bands, consistency=options.consistency)
        parcels = None if choice is None else _read_parcels(choice, scene)
        if parcels is not None and job.split:
            job.check_split(parcels.names)
        extent = Window(0, 0, scene.height, scene.width) if parcels is None else parcels.extent()
        only_parcels = choice is not None and (job.split or choice.shape == "masked")
        plan, wanted = choose_tiles(scene, planning, options.tile, parcels if only_parcels else None, extent)
        layout = Layout(plan, len(planning.bands), upscaler.card.scale, scene.dtype)
        check_room(job.output.parent, layout.slot * len(wanted) * 2)
        spool = Spool(job.spool_folder, layout, job.identity(upscaler, planning, plan), resume=options.resume)
        stack.enter_context(_Leave(spool))
        Stream(scene, upscaler, planning, spool).run(wanted, progress)
        harvest = Harvest(scene, upscaler, planning, spool, wanted, parcels, extent, progress)
        if harvest.nothing_valid():
            warnings.warn(f"{job.source}: no valid pixel where it was enhanced, so the result is all nodata", NoDataWarning, stacklevel=3)
        rows = harvest.measure()
        checks = harvest.check()
        if job.split:
            outputs = harvest.write_split(job.output, options)
        else:
            outputs = (harvest.write(job.output, options, masked_to_parcels=only_parcels),)
        if job.detail_map is not None:
            harvest.write_detail(job.detail_map, options, masked_to_parcels=only_parcels)
    return Result(
        source=job.source,
        options=options,
        parcels=choice,
        outputs=outputs,
        planning=planning,
        model=upscaler.card.name,
        model_sha256=upscaler.sha256,
        tiles=len(wanted),
        seconds=time.monotonic() - started,
        rows=rows,
        checks=checks,
        detail_map=job.detail_map,
    )


def choose_tiles(
    scene: Scene, planning: TilePlanning, tile: int | None, parcels: Parcels | None, extent: Window
) -> tuple[TilePlan, list[int]]:
    """The plan and the tiles to compute: those that touch a parcel, or all that touch the extent.

    Of the sizes in `TILES` the one is taken that runs the network over the fewest pixels, halo included.
    """
    candidates = []
    for size in TILES if tile is None else (tile,):
        plan = TilePlan(scene.height, scene.width, size)
        wanted = plan.touching(extent) if parcels is None else parcels.tiles(plan)
        around = 2 * planning.halo
        cost = sum((plan[index].height + around) * (plan[index].width + around) for index in wanted)
        candidates.append((cost, -size, plan, wanted))
    _, _, plan, wanted = min(candidates, key=lambda candidate: candidate[:2])
    return plan, wanted


def _read_parcels(choice: ParcelOptions, scene: Scene) -> Parcels:
    return read_parcels(
        choice.path,
        raster_crs=scene.crs,
        raster_transform=scene.transform,
        raster_shape=(scene.height, scene.width),
        layer=choice.layer,
        where=choice.where,
        split_by=choice.split_by,
        buffer_m=choice.buffer_m,
    )


class _Leave:
    """Deletes the finished tiles at the end, but for a run that can be taken up again: stopped by hand, or out of room."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.spool.done and isinstance(error, KeyboardInterrupt | OutputError):
            self.spool.close()
        else:
            self.spool.remove()


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _silent(progress: Progress) -> None:
    del progress
