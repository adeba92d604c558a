"""What a user can ask of a run, and what a run tells while it goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Literal, get_args

from sr_geo.errors import OptionError
from sr_geo.models.session import Device
from sr_geo.raster.tiles import Consistency
from sr_geo.raster.write import Compression

OtherBands = Literal["guided", "cubic", "drop"]

LARGEST_TILE = 1024
"""Side in input pixels; the memory of a run grows with its square, and from 512 on the halo costs next to nothing."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to enhance. All have defaults that keep physical values."""

    model: str | Path | None = None
    """Name or ONNX file; None takes the shipped model that uses most bands of the input."""
    bands: Mapping[str, int] = field(default_factory=dict)
    """Role → band number from 1, where the file does not say: ``{"r": 3, "g": 2, "b": 1, "nir": 4}``."""
    extra_bands: tuple[str, ...] = ()
    """Further bands of a product, by role: ``("rededge1", "swir1")``."""
    other_bands: OtherBands = "guided"
    """Bands that the network was not trained on: detail transferred from those that it was, cubic convolution, or left away."""
    consistency: Consistency = "psf"
    """Tie the result to the measurement through the sensor's blur, through plain block means, or not."""
    psf: Literal["auto"] | float = "auto"
    """Blur of the sensor, standard deviation in output pixels; ``auto`` measures it per band on edges of the scene."""
    device: Device = "auto"
    threads: int | None = None
    """Of the network; default: all processors."""
    tile: int | None = None
    """Side of a tile in input pixels; the result does not depend on it, up to rounding. Default: the size that computes least."""
    cog: bool = False
    """Write a Cloud Optimized GeoTIFF."""
    compress: Compression = "deflate"
    """Of the rasters: ``deflate`` is read everywhere; ``zstd`` takes two thirds of its time, and not every program reads it."""
    resume: bool = False
    """Go on with a run of the same input and options that was stopped."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        _check_choice("other_bands", self.other_bands, get_args(OtherBands))
        _check_choice("consistency", self.consistency, get_args(Consistency))
        _check_choice("device", self.device, get_args(Device))
        _check_choice("compress", self.compress, get_args(Compression))
        if self.psf != "auto" and not _is_blur(self.psf):
            raise OptionError(f"psf {self.psf}: expected auto or a blur between 0 and 20 output pixels, usually 1 to 3.2")
        if self.tile is not None and not 16 <= self.tile <= LARGEST_TILE:
            raise OptionError(f"tile {self.tile}: expected 16 to {LARGEST_TILE} input pixels")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads {self.threads}: expected 1 or more")


@dataclass(frozen=True, slots=True)
class ParcelOptions:
    """Which parcels, and what to make of them."""

    path: str | Path
    layer: str | None = None
    where: str | None = None
    buffer_m: float = 0.0
    split_by: str | None = None
    """Column whose values name one file each; the output is then a folder."""
    shape: Literal["masked", "box"] = "masked"
    """Without `split_by`: one raster over the parcels' extent, nodata outside the parcels or whole."""

    def __post_init__(self) -> None:
        _check_choice("shape", self.shape, ("masked", "box"))
        if not isfinite(self.buffer_m):
            raise OptionError(f"buffer_m {self.buffer_m}: expected a finite number of metres")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    stage: Literal["enhance", "measure", "write"]
    done: int
    total: int
    seconds_left: float | None


Report = Callable[[Progress], None]


def _is_blur(value: object) -> bool:
    return isinstance(value, int | float) and 0.0 < value < 20.0


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"{name} {value!r}: expected one of {', '.join(choices)}")
