"""What rasters a folder holds: bands by role, grid, type, how much of it is data, and what cannot be used."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sr_geo.errors import InputError, OptionError, TrainingDataError
from sr_geo.grid import Window
from sr_geo.raster.bands import Contents, Grid
from sr_geo.raster.dataset import open_checked
from sr_geo.raster.opening import read_contents
from sr_geo.raster.product import METADATA
from sr_geo.train.samples.rasters import SURVEY, Bands, open_bands, survey

LOOKED_AT = 25
"""Most windows of a raster that are read."""
_RASTERS = (".tif", ".tiff", ".jp2", ".vrt", ".img")
_PACKED = (".zip", ".tar", ".gz", ".tgz")
_BAND_IN_NAME = re.compile(r"[_.-](?:SR_)?(?:B(?:AND)?_?\d{1,2}A?|BLUE|GREEN|RED|NIR)(?:_\d\dm)?(?=$|[_.-])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Found:
    """A raster that can be read: one file, or one for each band."""

    name: str
    """Relative to the folder."""
    files: tuple[str, ...]
    """Relative to the folder; several hold one band each."""
    bands: tuple[str, ...]
    """Roles in the order of the file, or of the files; `-` for what is unknown or no picture."""
    grid: Grid
    dtype: str
    sensor: str | None
    valid: float
    """Share of the pixels that hold data, from a sample."""
    fingerprint: str
    """Equal for rasters with the same pixels."""

    @property
    def area(self) -> float:
        """Million pixels with data."""
        return self.valid * self.grid.height * self.grid.width / 1e6


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that looks like a raster and cannot be used."""

    name: str
    reason: str


def survey_folder(folder: Path, *, roles: Mapping[str, int] | None = None) -> tuple[list[Found], list[Refused]]:
    """Look at every raster and product below a folder.

    Args:
        folder: searched to the bottom; hidden folders are passed over.
        roles: role → band number from 1, for rasters that do not tell.

    Raises:
        TrainingDataError: there is no such folder.
    """
    if not folder.is_dir():
        raise TrainingDataError(f"{folder}: no such folder; give the one that holds your rasters")
    found: list[tuple[Contents, str]] = []
    refused: list[Refused] = []
    for path in _candidates(folder):
        name = path.relative_to(folder).as_posix() or path.name
        try:
            if path.suffix.lower() in _PACKED:
                raise InputError("packed; training reads many small windows, so unpack it first")
            single = path.suffix.lower() in _RASTERS
            found.append((read_contents(str(path), roles or {} if single else {}, ()), name))
        except (InputError, OptionError) as error:  # of the roles given, not every raster has the bands
            refused.append(Refused(name, str(error).removeprefix(f"{path}: ")))
    usable = []
    for name, contents in _joined(found):
        try:
            usable.append(_look_at(folder, name, contents))
        except (InputError, TrainingDataError) as error:
            refused.append(Refused(name, re.sub(r"^(source [^:]*: )?(\S+: )?", "", str(error), count=1)))
    return usable, refused


def _candidates(folder: Path) -> Iterator[Path]:
    """Products by their folder or metadata file, and all other raster files, in order of their names."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if here.suffix.upper() == ".SAFE":
            folders.clear()
            yield here
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        described = [name for name in sorted(files) if METADATA.fullmatch(name)]
        members = tuple(name[: -len("MTL.txt")] for name in described if name.endswith("_MTL.txt"))
        yield from (here / name for name in described)
        for name in sorted(files):
            other = not name.startswith(".") and not (members and name.startswith(members))
            if other and name.lower().endswith((*_RASTERS, *_PACKED)):
                yield here / name


def _joined(found: Sequence[tuple[Contents, str]]) -> Iterator[tuple[str, list[Contents]]]:
    """Files of one band each that differ by that band only, taken together; all others alone."""
    groups: dict[object, list[tuple[Contents, str]]] = {}
    for contents, name in found:
        stem = _BAND_IN_NAME.sub("", Path(name).stem)
        alone = len(contents.bands) > 1 or contents.bands[0].role is None or stem == Path(name).stem
        key = name if alone else (Path(name).parent, stem, Path(name).suffix, contents.grid, contents.dtype)
        groups.setdefault(key, []).append((contents, name))
    for group in groups.values():
        roles = [contents.bands[0].role for contents, _ in group]
        if len(group) == 1 or len(set(roles)) < len(roles):
            yield from ((name, [contents]) for contents, name in group)
        else:
            first = group[0][1]
            yield _BAND_IN_NAME.sub("_B*", first), [contents for contents, _ in group]


def _look_at(folder: Path, name: str, parts: list[Contents]) -> Found:
    """One raster, from the contents of its files.

    Raises:
        TrainingDataError: nothing can be learnt from it.
    """
    bands = [band for contents in parts for band in contents.bands]
    layers = [layer for contents in parts for layer in contents.layers]
    paths = tuple(dict.fromkeys(layer.path for layer in layers))
    files = tuple(Path(path).relative_to(folder).as_posix() for path in paths)
    roles = tuple("-" if band.role is None or band.marks else band.role for band in bands)
    used = [index for index, role in enumerate(roles) if role != "-"]
    if not used:
        hint = "say which band is which: --bands r=3,g=2,b=1,nir=4" if len(roles) > 1 else "only colours and near infrared are learnt here"
        raise TrainingDataError(f"none of its {len(roles)} band(s) is known; {hint}")
    opened, shape = open_bands(tuple(map(Path, paths)), roles=len(roles), used=used, source=name)
    windows = survey(Window(0, 0, *shape), SURVEY)
    windows = [windows[index] for index in np.unique(np.linspace(0, len(windows) - 1, LOOKED_AT).round().astype(int))]
    share, digest, varies = _sample(opened, windows)
    if share == 0.0 or not varies:
        raise TrainingDataError("it holds no data" if share == 0.0 else "all its pixels are the same")
    if any(layer.masked for layer in layers):
        _refuse_hidden_holes(paths[0], opened, windows)
    first = parts[0]
    return Found(name, files, roles, replace(first.grid, height=shape[0], width=shape[1]), first.dtype, first.sensor, share, digest)


def _sample(bands: Bands, windows: Sequence[Window]) -> tuple[float, str, bool]:
    """Share of valid pixels, a fingerprint of the values, and whether these differ at all."""
    digest, pixels, valid = hashlib.sha256(), 0, 0
    limits = []  # of each band in each window that holds anything
    for window in windows:
        planes = bands.read(window)
        holds = bands.find_valid(planes)
        pixels, valid = pixels + holds.size, valid + int(holds.sum())
        digest.update(planes.tobytes())
        if holds.any():
            limits.append([planes[:, holds].min(axis=1), planes[:, holds].max(axis=1)])
    return valid / pixels, digest.hexdigest(), bool(limits) and bool((np.ptp(limits, axis=(0, 1)) > 0).any())


def _refuse_hidden_holes(path: str, bands: Bands, windows: Sequence[Window]) -> None:
    """Training knows holes by their value alone.

    Raises:
        TrainingDataError: the mask or alpha band tells of others.
    """
    with open_checked(path) as dataset:
        for window in windows:
            part = ((window.row, window.row_stop), (window.column, window.column_stop))
            if (bands.find_valid(bands.read(window)) & (dataset.dataset_mask(window=part) == 0)).any():
                raise TrainingDataError(
                    "its holes are marked by a mask and hold values; write them as nodata first (gdalwarp -dstnodata 0 IN OUT)"
                )
