# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the panel has done in the background: a preview of one place, and the run itself. They touch no widget."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from osgeo import gdal
from qgis.core import QgsPointXY, QgsRasterLayer, QgsRectangle

from sr_geo_plugin import settings
from sr_geo_plugin.environment import Runtime
from sr_geo_plugin.layers import RasterSource, or_none, raster_source
from sr_geo_plugin.panel.task import BackgroundTask
from sr_geo_plugin.translation import tr
from sr_geo_plugin.worker import Cancelled, WorkerError, no_leftovers, run, work_folder

PREVIEW_SIDE = 160
"""Pixels of the input that a preview shows along each side."""
PREVIEW_MARGIN = 24
"""More of them on every side, computed but not shown: what the network sees there is cut off by the piece's border."""


class NotSetUpError(WorkerError):
    """SR Geo itself is not installed, or not where it was."""


def worker() -> Runtime:
    """The Python that was chosen in Set up, or that it made.

    Raises:
        NotSetUpError: there is none.
    """
    found = settings.runtime()
    if found is None:
        raise NotSetUpError(settings.not_set_up())
    return found


def look(task: BackgroundTask) -> list[tuple[str, str]]:
    """Names of the worker's models for satellite imagery, and what each is for.

    Raises:
        NotSetUpError: there is no worker.
        WorkerError: it does not answer.
    """
    answer = run(worker(), ["models", "list", "--json"], cancelled=task.isCanceled, log=task.log)
    models = [model for model in answer.get("models", ()) if isinstance(model, dict)]
    settings.remember_models(models)
    purposes = {str(model.get("name")): str(model.get("purpose", "")) for model in models}
    return [(name, purposes.get(name, "")) for name in settings.known_models()]


@dataclass(frozen=True)
class Choice:
    """What the user chose in the panel."""

    model: str = ""
    """Empty: by the bands of the input."""
    bands: dict[str, int] = field(default_factory=dict)
    """Role → number from 1; empty: what the file says."""
    blur: float | None = None
    """Standard deviation in output pixels; None: measured."""
    buffer_m: float = 0.0
    whole_box: bool = False
    """Also what lies between the parcels."""
    detail_map: bool = False

    def words(self, source: RasterSource) -> list[str]:
        """The options for the command line that hold with and without parcels."""
        bands = self.bands or source.bands
        words = ["--bands", ",".join(f"{role}={number}" for role, number in bands.items())] if bands else []
        if self.model:
            words += ["--model", self.model]
        if self.blur is not None:
            words += ["--psf", f"{self.blur:g}"]
        return words

    def parcel_words(self, parcels: Path, table: Path) -> list[str]:
        """Those with parcels."""
        words = ["--parcels", str(parcels), "--buffer-m", f"{self.buffer_m:g}", "--parcel-table", str(table)]
        return [*words, "--parcels-as", "box"] if self.whole_box else words


@dataclass(frozen=True)
class Preview:
    """One place before and after."""

    before: Path
    after: Path
    seconds: float
    """From the click to the pictures being there to draw."""


@dataclass(frozen=True)
class Made:
    """What a run made."""

    output: Path
    detail_map: Path | None
    table: Path | None
    seconds: float


def preview(
    task: BackgroundTask, runtime: Runtime, layer: QgsRasterLayer, choice: Choice, *, centre: QgsPointXY, folder: Path
) -> Preview:
    """Enhance the piece of a layer about a point.

    Args:
        task: that this runs in.
        runtime: the worker's Python.
        layer: a clone, of this thread.
        choice: model, bands and blur hold; the rest does not.
        centre: in the layer's CRS.
        folder: for the files; it is there and empty.

    Raises:
        WorkerError: with what to do.
    """
    started = time.monotonic()
    side = PREVIEW_SIDE + 2 * PREVIEW_MARGIN
    reach = (side / 2 * layer.rasterUnitsPerPixelX(), side / 2 * layer.rasterUnitsPerPixelY())
    extent = QgsRectangle(centre.x() - reach[0], centre.y() - reach[1], centre.x() + reach[0], centre.y() + reach[1])
    source = raster_source(layer, folder, extent=extent, feedback=task.feedback)
    before, after = folder / "before.tif", folder / "after.tif"
    cut(source.path, centre, before, side=side, name=layer.name())
    words = ["enhance", str(before), str(after), "--progress", "json", *choice.words(source)]
    run(runtime, words, progress=task.progressed, cancelled=task.isCanceled, log=task.log)
    return Preview(before, after, time.monotonic() - started)


def enhance(
    task: BackgroundTask,
    runtime: Runtime,
    layer: QgsRasterLayer,
    choice: Choice,
    output: Path,
    *,
    parcels: Path | None = None,
) -> Made:
    """Enhance a layer, or the parcels on it. What was there at `output` is replaced once the result is whole.

    Args:
        task: that this runs in.
        runtime: the worker's Python.
        layer: a clone, of this thread.
        choice: what the user chose.
        output: GeoTIFF to write; further files stand beside it, with endings of their own.
        parcels: polygons.

    Raises:
        WorkerError: with what to do; no half-written file is left.
    """
    started = time.monotonic()
    detail = output.with_name(f"{output.stem}_detail.tif") if choice.detail_map else None
    table = output.with_name(f"{output.stem}_parcels.gpkg") if parcels is not None else None
    with work_folder() as folder, no_leftovers(output, *(path for path in (detail, table) if path is not None)):
        source = raster_source(layer, folder, feedback=task.feedback)
        words = ["enhance", source.path, str(output), "--overwrite", "--progress", "json", *choice.words(source)]
        if detail is not None:
            words += ["--detail-map", str(detail)]
        if parcels is not None and table is not None:
            words += choice.parcel_words(parcels, table)
        done = run(runtime, words, progress=task.progressed, cancelled=task.isCanceled, log=task.log)
        if task.isCanceled():  # after the worker's last word
            raise Cancelled
    _finish(done, output)
    return Made(output, detail, table, time.monotonic() - started)


def cut(path: str, centre: QgsPointXY, target: Path, *, side: int, name: str) -> None:
    """Write the square about a point as a GeoTIFF: pixels, labels, scales and nodata unchanged.

    Args:
        path: what GDAL opens.
        centre: in the raster's CRS.
        target: to write.
        side: of the square, pixels; less at the raster's border.
        name: of the layer, for errors.

    Raises:
        WorkerError: with what to do.
    """
    raster = or_none(gdal.Open, path)
    if raster is None:
        raise WorkerError(tr("{layer}: the layer cannot be read; repair its source or remove it.").format(layer=name))
    inverse = gdal.InvGeoTransform(raster.GetGeoTransform())
    if inverse is None:
        raise WorkerError(tr("{layer}: the raster has no place on the map; georeference it first.").format(layer=name))
    middle = gdal.ApplyGeoTransform(inverse, centre.x(), centre.y())
    window = [*_span(middle[0], raster.RasterXSize, side), *_span(middle[1], raster.RasterYSize, side)]
    if min(window[1], window[3]) < 1:
        raise WorkerError(tr("{layer} does not lie under the middle of the map; move the map over it.").format(layer=name))
    size = [window[0], window[2], window[1], window[3]]
    made = or_none(gdal.Translate, str(target), raster, format="GTiff", srcWin=size)
    if made is None:
        words = tr("The piece for the preview cannot be written ({reason}).")
        raise WorkerError(words.format(reason=gdal.GetLastErrorMsg()))
    made.FlushCache()


def _span(middle: float, count: int, side: int) -> tuple[int, int]:
    """First pixel and number of pixels of the part of a line that is nearest to being centred; none where the middle is outside."""
    if not 0 <= middle < count:
        return 0, 0
    number = min(side, count)
    return min(max(round(middle - number / 2), 0), count - number), number


def _finish(done: dict[str, Any], output: Path) -> None:
    outputs: Sequence[str] = done.get("outputs") or ()
    if str(output) not in outputs or not output.exists():
        raise WorkerError(tr("The worker ended without a result; repair it in Set up."))
