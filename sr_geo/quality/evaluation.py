"""What a comparison of two rasters found: figures, as a table and as JSON."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sr_geo.files import whole_file
from sr_geo.raster.target import check_target


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Measures(_Part):
    """Agreement of a band, or of all; None where nothing was compared, or where equal pictures have no finite PSNR."""

    name: str
    psnr: float | None
    """dB."""
    ssim: float | None
    rmse: float | None
    mae: float | None
    bias: float | None
    """Enhanced − reference."""
    ms_ssim: float | None = None
    """None for rasters below 176 pixels a side too."""
    lpips: float | None = None
    """Of a band as a gray picture; None where it was not asked for."""
    dists: float | None = None
    """Likewise."""


class Consistency(_Part):
    """The enhanced raster seen through the sensor again, against the raster that it was made from."""

    psf: tuple[float, ...]
    """Standard deviation of the blur of each band, pixels of the enhanced raster."""
    mean_absolute: float | None
    per_band: tuple[float | None, ...]
    bias: float | None


class Trust(_Part):
    """The opensr-test figures, means over scenes of up to 512 × 512 pixels without gaps; None where a figure could not be found."""

    scenes: int
    reflectance: float | None
    spectral: float | None
    spatial: float | None
    synthesis: float | None
    improvement: float | None
    omission: float | None
    hallucination: float | None


class Evaluation(_Part):
    """How an enhanced raster compares with a reference on the same grid.

    Figures other than PSNR, SSIM, angles and the opensr-test ones are in the stored values of the reference.
    """

    reference: str
    enhanced: str
    lr: str | None
    height: int
    width: int
    border: int
    """Pixels left out on every side."""
    compared: float = Field(ge=0.0, le=1.0)
    """Share of values inside the border that are valid in both rasters."""
    data_range: float
    """Peak of PSNR and SSIM, in stored values of the reference."""
    data_range_rule: str
    """Where it comes from."""
    together: Measures
    bands: tuple[Measures, ...]
    interpolation: tuple[Measures, ...] = ()
    """The same figures of the input enlarged by cubic convolution: of all bands together, then of each; empty without the input."""
    sam: float | None
    """Mean spectral angle, degrees."""
    ergas: float | None
    ergas_scale: int
    """Ratio of pixel sizes that ERGAS was computed with."""
    lpips: float | None = None
    """Perceptual distance of red, green and blue, or of a single band as gray, over the data range; mean over scenes of up to 512 × 512
    pixels, of which those with gaps count with their whole quarters."""
    dists: float | None = None
    """Likewise; None where it was not asked for."""
    consistency: Consistency | None = None
    trust: Trust | None = None

    def rows(self) -> list[tuple[str, ...]]:
        """A table as text: the header, then one row a measure: its name with the unit, all bands together, each band."""
        columns = (self.together, *self.bands)
        table: list[tuple[str, ...]] = [("", "all", *(band.name for band in self.bands))]
        equal = all(column.rmse == 0.0 for column in columns)
        for label, attribute, form in _LINES:
            values = [getattr(column, attribute) for column in columns]
            if attribute == "ms_ssim" and all(value is None for value in values):
                continue  # rasters below its smallest size
            blank = "∞" if attribute == "psnr" and equal else "–"
            table.append((label, *(blank if value is None else format(value, form) for value in values)))
        for label, attribute, form in _LINES[:3] if self.interpolation else ():
            values = [getattr(column, attribute) for column in self.interpolation]
            if attribute == "ms_ssim" and all(value is None for value in values):
                continue
            table.append((f"{label}: cubic only", *("–" if value is None else format(value, form) for value in values)))
        blanks = ("",) * len(self.bands)
        table.append(("peak of PSNR and SSIM", f"{self.data_range:.6g}", *blanks))
        single: list[tuple[str, float | None, str]] = [
            ("spectral angle, °", self.sam, ".3f"),
            (f"ERGAS (×{self.ergas_scale})", self.ergas, ".3f"),
        ]
        if self.compared < 1.0:
            single.append(("valid in both, %", 100.0 * self.compared, ".1f"))
        for label, whole, each_band in (
            ("LPIPS ↓", self.lpips, [band.lpips for band in self.bands]),
            ("DISTS ↓", self.dists, [band.dists for band in self.bands]),
        ):
            if any(value is not None for value in (whole, *each_band)):
                table.append((label, _four(whole, "–"), *(_four(value, "") for value in each_band)))
        if self.consistency is not None:
            each = (self.consistency.mean_absolute, *self.consistency.per_band)
            table.append(("seen again, mean |Δ|", *("–" if value is None else format(value, ".4g") for value in each)))
        if self.trust is not None:
            single += [(label, getattr(self.trust, name), form) for label, name, form in TRUST_LINES]
        table += [(label, "–" if value is None else format(value, form), *blanks) for label, value, form in single]
        return table


def _four(value: float | None, blank: str) -> str:
    """Four decimals."""
    return blank if value is None else format(value, ".4f")


_LINES = (
    ("PSNR, dB", "psnr", ".2f"),
    ("SSIM", "ssim", ".4f"),
    ("MS-SSIM", "ms_ssim", ".4f"),
    ("RMSE", "rmse", ".4g"),
    ("mean |Δ|", "mae", ".4g"),
    ("bias", "bias", "+.4g"),
)
TRUST_LINES = (
    ("opensr reflectance ↓", "reflectance", ".5f"),
    ("opensr spectral ↓, °", "spectral", ".3f"),
    ("opensr spatial ↓, input pixels", "spatial", ".3f"),
    ("opensr synthesis ↑", "synthesis", ".5f"),
    ("opensr improvement ↑", "improvement", ".3f"),
    ("opensr omission ↓", "omission", ".3f"),
    ("opensr hallucination ↓", "hallucination", ".3f"),
)


def write_json(path: Path, found: Evaluation, *, overwrite: bool = False) -> None:
    """Write the figures as JSON; the file appears when it is whole.

    Raises:
        OutputError: the file exists and must not be replaced, or cannot be written.
    """
    check_target(path, overwrite=overwrite)
    with whole_file(path) as draft:
        draft.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
