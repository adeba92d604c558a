"""What was asked for, which files it makes, and what of that is refused before any work is done."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rasterio.errors import RasterioError

import sr_geo
from sr_geo.errors import OptionError, OutputError
from sr_geo.grid import TilePlan
from sr_geo.models.session import Upscaler
from sr_geo.raster.dataset import open_dataset
from sr_geo.raster.options import Options, ParcelOptions
from sr_geo.raster.product import METADATA
from sr_geo.raster.scene import Scene
from sr_geo.raster.spool import claimed_outputs, plain_name
from sr_geo.raster.target import SIDECARS, check_target
from sr_geo.raster.tiles import TilePlanning

_BESIDE_THE_POINT = (".aux.xml", ".ovr")
"""Sidecars that tiles do not depend on: viewers add them. What they say of bands is in the identity by itself."""


@dataclass(frozen=True, slots=True)
class Job:
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
        """Where finished tiles are kept."""
        return self.output.with_name(f"{self.output.name}.part")

    def images(self, parcel_names: Sequence[str]) -> tuple[Path, ...]:
        """All rasters that the run writes; `parcel_names` count where there is a file for each parcel."""
        images = tuple(self.output / f"{name}.tif" for name in parcel_names) if self.split else (self.output,)
        return images if self.detail_map is None else (*images, self.detail_map)

    def check_names(self) -> None:
        """Refuse outputs that must not or cannot be written, as far as can be told before the input is opened.

        Raises:
            OptionError: names that cannot be meant.
            OutputError: with what to do.
        """
        if not self.output.name:
            raise OutputError(f"{self.output}: expected the name of a {'folder to make' if self.split else 'file'}")
        started = claimed_outputs(self.spool_folder) if self.options.resume else frozenset()
        for path in (self.output, self.detail_map):
            if path is None:
                continue
            if is_input(path, self.source, None if self.choice is None else self.choice.path, self.options.model):
                raise OptionError(f"{path}: is an input itself; choose another name")
            if not (self.split and path is self.output):
                self._check_image(path, started)
        if self.detail_map is not None and _same_name(self.output, self.detail_map):
            raise OptionError(f"{self.detail_map}: is the output itself; choose another name for the detail map")
        if self.split and self.output.suffix.lower() in (".tif", ".tiff") and not self.output.exists():
            raise OptionError(f"{self.output}: with --split-by the output is a folder with a file for each parcel; leave the ending away")
        if self.split and self.output.exists() and not self.output.is_dir():
            raise OutputError(f"{self.output}: with --split-by the output is a folder, this is a file; choose another name")
        if self.split and not self.output.parent.is_dir():
            raise OutputError(f"{self.output.parent}: no such folder; create it or choose another one")

    def check_images(self, files: Sequence[Path], parcel_names: Sequence[str]) -> None:
        """The same once it is known which files the input is read from, and how the parcels are called.

        Args:
            files: of the scene.
            parcel_names: names of the files of the parcels, where there is one for each.

        Raises:
            OptionError: the detail map would be the file of a parcel.
            OutputError: with what to do.
        """
        started = claimed_outputs(self.spool_folder) if self.options.resume else frozenset()
        read = {key for path in files if (key := _key(path)) is not None}
        product = self._product_folder()
        for path in self.images(parcel_names):
            for replaced in (path, *(path.with_name(f"{path.name}{suffix}") for suffix in SIDECARS)):
                if (key := _key(replaced)) is not None and key in read:
                    raise OutputError(f"{replaced}: is a part of the input, which would be lost; choose another name for the output")
            if product is not None and product in path.resolve().parents and path.exists() and not _is_result(path):
                raise OutputError(f"{path}: is a part of the product, which would be lost; choose another name for the output")
        if self.split:
            for path in self.images(parcel_names)[: len(parcel_names)]:
                if self.detail_map is not None and _same_name(path, self.detail_map):
                    raise OptionError(f"{path}: is the file of a parcel; choose another name for the detail map")
                if self.output.is_dir():
                    self._check_image(path, started)

    def identity(self, scene: Scene, files: Sequence[Path], upscaler: Upscaler, planning: TilePlanning, plan: TilePlan) -> dict[str, Any]:
        """What the tiles depend on."""
        states = [(path, path.stat()) for path in files if not path.name.lower().endswith(_BESIDE_THE_POINT)]
        source = existing_file(self.source)
        bands = []
        for band in planning.bands:
            look = scene.bands[band.index]
            values = [band.encoding.scale, band.encoding.offset, look.encoding.nodata, band.encoding.nodata]
            bands.append([band.index, look.description, look.dtype, values, band.way, band.channels, round(band.sigma, 6)])
        return {
            "version": sr_geo.__version__,
            "source": str(self.source if source is None else source.resolve()),
            "files": [[str(path), state.st_size, state.st_mtime_ns] for path, state in states],
            "size": [scene.height, scene.width],
            "dtype": scene.dtype,
            "model": upscaler.sha256,
            "provider": upscaler.provider,
            "tile": plan.tile,
            "consistency": planning.consistency,
            "inputs": planning.inputs,
            "standard": None if planning.standard is None else [planning.standard.level, planning.standard.spread],
            "detail": planning.detail,
            "bands": bands,
        }

    def _check_image(self, path: Path, started: frozenset[str]) -> None:
        """A run that was stopped while it wrote may have left some of its outputs: those may be written again."""
        found = existing_file(path)
        if path.suffix.lower() not in (".tif", ".tiff") and (found is None or not found.is_dir()):
            raise OptionError(f"{path}: GeoTIFF is written, expected a name that ends in .tif or .tiff; choose another name")
        check_target(path, overwrite=self.options.overwrite or plain_name(path) in started)

    def _product_folder(self) -> Path | None:
        """The folder of a product, given by itself or by the file that describes it."""
        source = existing_file(self.source)
        if source is None or not (source.is_dir() or METADATA.fullmatch(source.name)):
            return None
        return source.resolve() if source.is_dir() else source.resolve().parent


def existing_file(source: str | Path) -> Path | None:
    """The file or folder that `source` names; None where it is a GDAL name, a VRT given as text or nothing at all."""
    try:
        path = Path(source)
        return path if path.exists() else None
    except (OSError, ValueError):  # too long for a path, or with characters that none can hold
        return None


def is_input(path: Path, *inputs: str | Path | None) -> bool:
    """Whether `path` is one of the files that a run is given, by whatever name."""
    return (key := _key(path)) is not None and key in _keys(source for source in inputs if source is not None)


def _keys(sources: Iterable[str | Path]) -> set[tuple[int, int]]:
    files = (existing_file(source) for source in sources)
    return {key for file in files if file is not None and (key := _key(file)) is not None}


def _key(path: Path) -> tuple[int, int] | None:
    """What is the same for all names of a file; None where there is none."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return state.st_dev, state.st_ino


def _same_name(one: Path, other: Path) -> bool:
    """Whether both would be one file; names that differ by case only are one on some disks."""
    return plain_name(one).casefold() == plain_name(other).casefold()


def _is_result(path: Path) -> bool:
    """Whether an earlier run made this file."""
    try:
        with open_dataset(str(path)) as dataset:
            return "SR_GEO_VERSION" in dataset.tags()
    except (RasterioError, OSError):
        return False


def check_side_file(path: Path, others: Iterable[str | Path | None], *, what: str, overwrite: bool) -> None:
    """Refuse a further file of a run that cannot be written, or that would take the place of another file of it, before any work is done.

    Args:
        path: of the file.
        others: inputs and outputs of the run.
        what: the file is, in words.
        overwrite: the file may exist.

    Raises:
        OptionError: a name that cannot be meant.
        OutputError: with what to do.
    """
    check_target(path, overwrite=overwrite)
    for other in others:
        if other is not None and (is_input(path, other) or str(Path(other).absolute()) == str(path.absolute())):
            raise OptionError(f"{path}: is another file of this run; choose another name for the {what}")
