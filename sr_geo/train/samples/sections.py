"""The sources that a recipe can name, told apart by `kind`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sr_geo.train.section import Section

Turns = Literal["all", "mirror", "none"]
"""How a window is turned at random: by all eight symmetries of the square, mirrored left to right, or not at all."""


class AnySource(Section):
    """What every source has."""

    name: str
    weight: float = Field(default=1.0, gt=0)
    """Share of the samples, relative to the other sources."""
    licence: str
    """Licence of the imagery: it goes into the card of the model."""


class FileSource(AnySource):
    """A source whose imagery lies in files, drawn in proportion to their area."""

    files: tuple[str, ...] = Field(min_length=1)
    """Paths or glob patterns below the data root."""
    labels: str | None = None
    """Table (CSV) below the data root with columns `file` (relative to the table) and `split`."""
    split: str | None = None
    """Only files of this split are read; the table must name it."""

    @model_validator(mode="after")
    def _both_or_none(self) -> "FileSource":
        if (self.labels is None) != (self.split is None):
            raise ValueError("labels and split belong together: give both or none")
        return self


class RasterSource(FileSource):
    """Georeferenced rasters, read in windows from wherever they lie. Samples are in units of the raster's spread."""

    kind: Literal["rasters"] = "rasters"
    bands: tuple[str, ...] = Field(min_length=1)
    """Roles of the bands in the file, in file order; `-` for a band that is not read."""
    stack: bool = False
    """Each file is one band, in the order of `bands`."""
    rows: tuple[int, int] | None = None
    """First row and row after the last; what lies outside is never read."""
    columns: tuple[int, int] | None = None
    turns: Turns = "all"


class ImageSource(FileSource):
    """Pictures: PNG, JPEG, TIFF and what else Pillow reads, 8 or 16 bits, gray or RGB. Samples are 0…1."""

    kind: Literal["images"] = "images"
    turns: Turns = "all"
    reduced: tuple[float, float] = (1.0, 1.0)
    """Range of factors by which pictures are made smaller before a sample is cut, drawn by ratio and limited by their size, so that a
    network sees its subject at all sizes; validation takes the upper end."""

    @model_validator(mode="after")
    def _reduces(self) -> "ImageSource":
        if not 1.0 <= self.reduced[0] <= self.reduced[1]:
            raise ValueError(f"reduced {list(self.reduced)}: expected a range [low, high] with 1 ≤ low ≤ high")
        return self


class DicomSource(FileSource):
    """DICOM files, gray. Samples are stored values, 0…1 over the stored range, dark where the radiation passed."""

    kind: Literal["dicom"] = "dicom"
    turns: Turns = "all"


class PairSource(AnySource):
    """Pairs of a coarse and a fine raster of the same ground on nested grids; no degradation is applied to them."""

    kind: Literal["pairs"] = "pairs"
    fine: tuple[str, ...] = Field(min_length=1)
    """Paths or glob patterns of the fine rasters; the n-th belongs to the n-th of `coarse`."""
    coarse: tuple[str, ...] = Field(min_length=1)
    fine_bands: tuple[str, ...] = Field(min_length=1)
    """Roles of the bands of the fine rasters, in file order; `-` for a band that is not read."""
    coarse_bands: tuple[str, ...] = Field(min_length=1)
    rows: tuple[int, int] | None = None
    """Rows of the coarse raster: first, and the one after the last; what lies outside is never read."""
    columns: tuple[int, int] | None = None
    match: Literal["linear", "none"] = "linear"
    """`linear`: each coarse band gets the mean and spread that the fine band has at the coarse resolution."""
    sigma: float = Field(default=0.0, ge=0.0)
    """Blur of the coarse sensor in fine pixels, told to networks that ask for it; 0 for unknown."""
    turns: Turns = "all"


class PlateSource(AnySource):
    """Rendered licence plates in a rendered scene. Samples are 0…1, RGB."""

    kind: Literal["plates"] = "plates"
    licence: str = "rendered; Barlow, Overpass, Roboto and Saira fonts, OFL-1.1"
    countries: tuple[Literal["kz", "ru", "eu", "us", "br"], ...] = Field(default=("kz", "ru", "eu", "us"), min_length=1)
    """Equally likely, whatever the number of their layouts."""
    width: tuple[float, float] = (110.0, 300.0)
    """Range of a plate's width in high-resolution pixels."""
    stacked: int = Field(default=1, gt=0)
    """Plates of a sample, one above the other, so that most of its pixels are characters and not the car; training only."""
    count: int = Field(default=64, gt=0)
    """Plates of this source where it validates; training draws without end."""
    held_out: bool = False
    """Draw texts that training never sees: a tenth of all texts is kept back, told apart by a checksum."""
    kept: int = Field(default=0, ge=0)
    """Number of different pictures of plates that training cuts its samples from, each drawn once by a process and then kept; 0: a new one
    for every sample, which takes a core 30 ms a plate."""


class FieldSource(AnySource):
    """Rendered ground of flat pieces with clean edges, in the units of the domain: see `sr_geo.train.samples.fields`."""

    kind: Literal["fields"] = "fields"
    name: str = "rendered fields"
    licence: str = "rendered"
    count: int = Field(default=16, gt=0)
    """Pictures of this source where it validates; training draws without end."""


Source = Annotated[
    RasterSource | ImageSource | DicomSource | PairSource | PlateSource | FieldSource,
    Field(discriminator="kind"),
]
