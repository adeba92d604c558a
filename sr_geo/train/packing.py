"""What a recipe reads, and no more, as a folder that can be carried to another machine.

Files keep their names and rasters their size, so that the recipe runs on the folder as it is: pixels and bands that it never
reads are left empty and take no room. What is kept is stored without loss.
"""

import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from safetensors.torch import save_file

from sr_geo.errors import OutputError, TrainingDataError
from sr_geo.grid import Window
from sr_geo.train.perceptual.weights import DEFAULT_TAPS, PACKED, load_backbone
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.batches import Batches
from sr_geo.train.samples.imagery import Imagery
from sr_geo.train.samples.pairs import Pair
from sr_geo.train.samples.pool import Pool, open_pool
from sr_geo.train.samples.rasters import Bands, Raster
from sr_geo.train.samples.sections import FileSource

BLOCK = 256
"""Side of a block of the packed rasters: what is needed of a raster is kept by whole blocks."""
DRAWN = 32
"""Samples of a recipe that are compared between the pack and what it was made from."""
SEEN = 4
"""Pieces of each raster or picture of its validation that are."""


@dataclass(frozen=True, slots=True)
class Need:
    """What is read of one raster."""

    bands: set[int] = field(default_factory=set)
    """From 0."""
    parts: set[Window] = field(default_factory=set)


def pack(recipes: Sequence[Recipe], root: Path, target: Path) -> None:
    """Copy what recipes read to train and to validate, and make sure that they draw the same samples from the copy.

    Args:
        recipes: each with a patch and bands of its own.
        root: of the imagery.
        target: a folder to make; it becomes the root of the imagery on the other machine.

    Raises:
        TrainingDataError: imagery is missing, or lies outside `root`.
        OutputError: `target` exists, or differs from the imagery it was made from.
    """
    if target.exists() and any(target.iterdir()):
        raise OutputError(f"{target}: is not empty; name a folder to make")
    rasters: dict[Path, Need] = {}
    whole: set[Path] = set()
    for recipe in recipes:
        for pool in _pools(recipe, root):
            for imagery in pool.imagery:
                _collect(imagery, rasters, whole)
        for source in (*recipe.sources, *recipe.validation):
            if isinstance(source, FileSource) and source.labels is not None:
                whole.add(root / source.labels)
    for path in sorted({*rasters, *whole}):
        copy = target / _inside(path, root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path in whole:
            shutil.copyfile(path, copy)
        else:
            _pack_raster(path, rasters[path], copy)
    target.mkdir(parents=True, exist_ok=True)
    for recipe in recipes:
        compare(recipe, root, target)


def compare(recipe: Recipe, root: Path, target: Path) -> None:
    """Draw samples from both folders.

    Raises:
        OutputError: they are not the same to the last bit.
    """
    (drawn, checked), (drawn_there, checked_there) = _pools(recipe, root), _pools(recipe, target)
    loop = recipe.loop
    one, other = (Batches(pool, recipe.degradation, 1, loop.patch, recipe.model.scale, loop.seed) for pool in (drawn, drawn_there))
    same = np.array_equal(drawn.probability, drawn_there.probability)
    same = same and all(torch.equal(a, b) for step in range(DRAWN) for a, b in zip(one[step], other[step], strict=True))
    for ours, theirs in zip(checked.imagery, checked_there.imagery, strict=True):
        pieces = (islice(imagery.held_out(512, recipe.model.scale), SEEN) for imagery in (ours, theirs))
        same = same and all(np.array_equal(a.hr, b.hr) for a, b in zip(*pieces, strict=True))
    if not same:
        raise OutputError(f"{target}: {recipe.name} draws other samples from it than from {root}; report this")


def pack_networks(recipes: Sequence[Recipe], target: Path) -> list[str]:
    """Write the perceptual networks of recipes in halves, as deep as they are used, for `auto` to find in $SR_GEO_WEIGHTS.

    Returns:
        Name and provenance of each.

    Raises:
        TrainingError: there are no weights of one.
        OptionError: the weights do not reach a tap.
    """
    taps: dict[str, set[str]] = {}
    for recipe in recipes:
        for section in recipe.losses.perceptual:
            if section.weights == "auto" and not section.network.startswith("timm:"):
                taps.setdefault(section.network, set()).update(section.taps or DEFAULT_TAPS[section.network])
    told = []
    for name, wanted in taps.items():
        network, provenance = load_backbone(name, taps=sorted(wanted))
        deepest = max(wanted, key=network.taps.index)
        state = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
        target.mkdir(parents=True, exist_ok=True)
        about = {"until": deepest, "provenance": f"{provenance}, stored in halves"}
        save_file({key: value.contiguous() for key, value in state.items()}, target / f"{name}{PACKED}", metadata=about)
        told.append(f"{name}: {about['provenance']}")
    return told


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _pools(recipe: Recipe, root: Path) -> tuple[Pool, Pool]:
    """Imagery of training and validation, as the loop opens it."""
    bands, scale, standardised = recipe.model.bands, recipe.model.scale, recipe.standardised
    return (
        open_pool(recipe.sources, root, bands, size=recipe.loop.patch * scale, scale=scale, standardised=standardised),
        open_pool(recipe.validation, root, bands, size=8 * scale, scale=scale, standardised=standardised),
    )


def _collect(imagery: Imagery, rasters: dict[Path, Need], whole: set[Path]) -> None:
    """What a piece of imagery reads: parts of rasters, or whole files."""
    if isinstance(imagery, Raster):
        _need(imagery.bands, imagery.extent, rasters)
    elif isinstance(imagery, Pair):
        _need(imagery.coarse, imagery.extent, rasters)
        fine = imagery.extent.scaled(imagery.scale)
        _need(imagery.fine, Window(fine.row + imagery.offset[0], fine.column + imagery.offset[1], fine.height, fine.width), rasters)
    else:
        whole.update(imagery.files)


def _need(bands: Bands, part: Window, rasters: dict[Path, Need]) -> None:
    for file, band in bands.places:
        need = rasters.setdefault(bands.files[file], Need())
        need.bands.add(band)
        need.parts.add(part)


def _inside(path: Path, root: Path) -> Path:
    try:
        return path.relative_to(root)
    except ValueError as error:
        raise TrainingDataError(f"{path}: lies outside of {root}, so its place in the pack is unknown; give a --data above it") from error


def _pack_raster(path: Path, need: Need, copy: Path) -> None:
    """A GeoTIFF of the raster's size, type and grid with what is needed of it, in the form that takes least room."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with tempfile.TemporaryDirectory(dir=copy.parent) as folder, rasterio.open(path) as dataset:
            tried = [Path(folder) / f"{number}.tif" for number in range(len(_FORMS))]
            made = [file for file, form in zip(tried, _FORMS, strict=True) if _write(dataset, need, file, form)]
            if made:
                min(made, key=lambda file: file.stat().st_size).replace(copy)
            else:  # bands of several types, say
                shutil.copyfile(path, copy)


_FORMS: tuple[Mapping[str, str | int], ...] = (
    {"compress": "deflate", "zlevel": 6, "predictor": 2},
    {"compress": "lerc_zstd"},
    {"compress": "webp", "webp_lossless": "yes"},  # of 8 bits in three or four bands
)


def _write(dataset: rasterio.DatasetReader, need: Need, copy: Path, form: Mapping[str, str | int]) -> bool:
    """Write the blocks that are needed; false where this GDAL, or the type, does not go with the form."""
    profile: dict[str, Any] = {name: dataset.profile[name] for name in ("width", "height", "count", "dtype", "nodata", "crs", "transform")}
    profile |= {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK, "sparse_ok": True, **form}
    if form.get("predictor") == 2 and np.dtype(profile["dtype"]).kind == "f":
        profile["predictor"] = 3
    try:
        with rasterio.open(copy, "w", **profile) as target:
            for row in range(0, dataset.height, BLOCK):
                for column in range(0, dataset.width, BLOCK):
                    block = Window(row, column, BLOCK, BLOCK).intersection(Window(0, 0, dataset.height, dataset.width))
                    pixels = _needed(dataset, need, block)
                    if pixels is not None:
                        target.write(pixels, window=_window(block))
        with rasterio.open(copy) as again:
            wanted = {"indexes": _numbers(need)}
            pairs = ([one.read(**wanted, window=_window(part)) for one in (again, dataset)] for part in need.parts)
            return all(np.array_equal(one, other, equal_nan=one.dtype.kind == "f") for one, other in pairs)
    except RasterioError:
        return False


def _needed(dataset: rasterio.DatasetReader, need: Need, block: Window) -> NDArray[Any] | None:
    """All bands of a block, empty where nothing is needed; None where all is empty."""
    empty = 0 if dataset.nodata is None else dataset.nodata  # what GDAL reads where nothing was written
    pixels = np.full((dataset.count, *block.shape), empty, dataset.dtypes[0])
    for part in need.parts:
        shared = part.intersection(block)
        if not shared.empty:
            rows = slice(shared.row - block.row, shared.row_stop - block.row)
            columns = slice(shared.column - block.column, shared.column_stop - block.column)
            pixels[sorted(need.bands), rows, columns] = dataset.read(_numbers(need), window=_window(shared))
    return None if (pixels == empty).all() else pixels


def _numbers(need: Need) -> list[int]:
    return [band + 1 for band in sorted(need.bands)]


def _window(window: Window) -> rasterio.windows.Window:
    return rasterio.windows.Window(window.column, window.row, window.width, window.height)
