"""Enhancing rasters: the two functions that users call, and the order in which a run does things."""

import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from pyproj import CRS
from threadpoolctl import threadpool_limits

from sr_geo.errors import ConsistencyWarning, NoDataWarning, SrGeoError
from sr_geo.files import clear_stale
from sr_geo.grid import TilePlan, Window
from sr_geo.raster.ahead import Ahead
from sr_geo.raster.harvest import BandCheck, Harvest, band_names, drifting
from sr_geo.raster.job import Job
from sr_geo.raster.options import Options, ParcelOptions, Progress, Report
from sr_geo.raster.parcels import Parcels, read_parcels
from sr_geo.raster.planning import choose_model, find_blurs, plan_bands
from sr_geo.raster.scene import Scene
from sr_geo.raster.spool import Layout, Spool
from sr_geo.raster.stream import Stream
from sr_geo.raster.target import check_room
from sr_geo.raster.tiles import TilePlanning
from sr_geo.raster.units import unit_of
from sr_geo.raster.workers import Workers
from sr_geo.raster.write import block_cache, check_compression
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
    crs: CRS | None
    """Of the outlines in `rows`; None without parcels, too."""
    checks: tuple[BandCheck, ...]
    """For each band of the output."""
    units: tuple[str, ...]
    """Of the figures in `checks` and `rows`, for each band of the output; "" where the input states none."""
    detail_map: Path | None

    @property
    def band_names(self) -> tuple[str, ...]:
        """Role of each band of the output, or its number in the input."""
        return band_names(self.planning)


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
        >>> result = enhance_raster("sample_data/rendered_farm.tif", "farm.tif", Options(overwrite=True))
        >>> result.model
        'satellite-rgbn-x4'

    Raises:
        SrGeoError: with one line that says what to do; nothing half-written is left at `output`.

    Warns:
        NoCrsWarning: the input has no coordinate reference system; the output has none either.
        NoDataWarning: the input holds no valid pixel, as tiles at the edge of a swath do; the output is all nodata.
    """
    return _run(Job(source, Path(output), options or Options(), None, _path(detail_map)), progress or _silent)


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
        ...     "sample_data/rendered_farm.tif", "sample_data/rendered_farm_parcels.geojson", "fields.tif", Options(overwrite=True)
        ... )
        >>> all(row.area_ha > 0 for row in result.rows)
        True

    Raises:
        SrGeoError: with one line that says what to do.
    """
    chosen = parcels if isinstance(parcels, ParcelOptions) else ParcelOptions(parcels)
    return _run(Job(source, Path(output), options or Options(), chosen, _path(detail_map)), progress or _silent)


def _run(job: Job, progress: Report) -> Result:
    started = time.monotonic()
    options, choice = job.options, job.choice
    job.check_names()
    check_compression(options.compress)
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1, user_api="blas"))
        scene = stack.enter_context(Scene.open(job.source, roles=options.bands, extra=options.extra_bands))
        upscaler = choose_model(scene, options.model, device=options.device, threads=options.threads)
        blurs = find_blurs(scene, options.psf, scale=upscaler.card.scale)
        planning = plan_bands(
            scene,
            upscaler.card,
            blurs,
            other_bands=options.other_bands,
            consistency=options.consistency,
            detail=choice is not None or job.detail_map is not None,
        )
        parcels = None if choice is None else _read_parcels(choice, scene)
        files, names = scene.files(), () if parcels is None else tuple(parcels.names)
        job.check_images(files, names)
        extent = Window(0, 0, scene.height, scene.width) if parcels is None else parcels.extent()
        only_parcels = choice is not None and (job.split or choice.shape == "masked")
        plan, wanted = choose_tiles(scene, planning, options.tile, parcels if only_parcels else None, extent)
        layout = Layout(plan, len(planning.bands), upscaler.card.scale, scene.dtype, planning.detail)
        stack.enter_context(block_cache(plan.tile, scale=layout.scale, bands=layout.bands, dtype=layout.dtype))
        spool = Spool(job.spool_folder, layout, job.identity(scene, files, upscaler, planning, plan), resume=options.resume)
        stack.enter_context(_Leave(spool))
        for path in job.images(names):
            clear_stale(path)
        missing = sum(index not in spool.done for index in wanted)
        check_room(job.output.parent, missing * layout.slot + result_size(job, layout, wanted))
        harvest = Harvest(scene, upscaler, planning, spool, wanted, parcels, extent, progress)
        workers = stack.enter_context(Workers())
        ahead: Ahead | None = None
        if not job.split and not options.cog and (harvest.has_nodata or only_parcels):  # how the file looks is known before its pixels
            ahead = Ahead(spool, wanted, workers)
            ahead.start(lambda indices: harvest.write(job.output, options, holes=True, masked_to_parcels=only_parcels, indices=indices))
        Stream(scene, upscaler, planning, spool, workers).run(wanted, progress)
        survey = harvest.survey()
        if survey.nothing_valid:
            warnings.warn(f"{job.source}: no valid pixel where it was enhanced, so the result is all nodata", NoDataWarning, stacklevel=3)
        drifted = drifting(planning, survey.checks) if options.consistency == "psf" else ()
        if drifted:
            warnings.warn(
                f"{job.source}: {', '.join(drifted)}: the blur does not explain what is measured (sharper than it allows, as after "
                "resampling or sharpening), so the result is tied to it less closely than promised; see --psf and the report",
                ConsistencyWarning,
                stacklevel=3,
            )
        if job.split:
            outputs = harvest.write_split(job.output, options)
        elif ahead is not None:
            spool.claim(job.output)
            ahead.finish(progress)
            outputs = (job.output,)
        else:
            outputs = (harvest.write(job.output, options, holes=survey.holes, masked_to_parcels=only_parcels),)
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
        rows=survey.rows,
        crs=None if parcels is None else parcels.crs,
        checks=survey.checks,
        units=tuple(unit_of(scene.bands[band.index]) for band in planning.bands),
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


def result_size(job: Job, layout: Layout, wanted: Sequence[int]) -> int:
    """Bytes that the files of a run take at most: as if nothing could be compressed, and with the files that a COG is made from."""
    pixels = sum(layout.plan[index].height * layout.plan[index].width for index in wanted) * layout.scale**2
    each = layout.bands * np.dtype(layout.dtype).itemsize + (0 if job.detail_map is None else 4)
    return pixels * each * 8 // 3 if job.options.cog else pixels * each  # overviews are a third more


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
    """Deletes the finished tiles at the end of a run, but keeps those of one that was stopped or failed, and says so."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None or not self.spool.done:
            self.spool.remove()
            return
        self.spool.close()
        words = "finished tiles are kept: run again with --resume to go on"
        if isinstance(error, SrGeoError) and "--resume" not in str(error):
            error.args = (f"{error}; {words}",)
        elif not isinstance(error, SrGeoError):
            error.__dict__.setdefault("__notes__", []).append(words)  # add_note() came with Python 3.11


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


def _silent(progress: Progress) -> None:
    del progress
