"""The card of a model: what it was made for, from what, and how well it does. Lives in the ONNX file's metadata."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

METADATA_KEY = "sr_geo_card"
"""Key of the card's JSON in the metadata of an ONNX file."""

Precision = Literal["fp32", "fp16", "int8"]
"""Of the numbers inside a network; what goes in and comes out is float32."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrainingData(_Part):
    """One source that a model was trained on."""

    name: str
    licence: str
    share: float = Field(ge=0.0, le=1.0)
    """Share of the samples drawn from it."""


class Leg(_Part):
    """A run of the training as it went: the recipe says what was asked for, and a run may be stopped before that."""

    start: str = ""
    """What its weights started from; empty: fresh ones."""
    steps: int = Field(ge=0)
    minutes: float = Field(ge=0.0)


class Quality(_Part):
    """One measured figure."""

    test_set: str
    condition: str
    """What the low-resolution input was made with, e.g. ``sigma 1.6``."""
    metric: str
    """With its unit, e.g. ``PSNR gain over bicubic, dB``."""
    value: float


class Card(_Part):
    """Everything that must be known to run a model rightly and to judge what it gives."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    family: str
    domain: Literal["satellite", "photo", "medical", "plate", "face"]
    scale: int = Field(ge=2, le=8)
    bands: tuple[str, ...] = Field(min_length=1)
    """Roles of the channels, in order; an input without these bands is refused."""
    halo: int = Field(ge=0)
    """Input pixels around a window that can influence its output."""
    exact_halo: bool
    """Whether the halo is the whole receptive field, so that tiles equal the whole; otherwise it cannot run on rasters."""
    sigma: tuple[float, float] | None
    """Range of the sensor blur (output pixels) that the network was trained for and takes as input; None: it takes none."""
    alignment: Literal["corner"] = "corner"
    """Which points of input and output pixels coincide: the outer corner of the raster."""
    commutes_with_gain_and_offset: bool
    """Whether ``net(a·x + b) = a·net(x) + b`` for one gain and an offset per band: units then do not matter."""
    standardised: bool = False
    """Of a network that does not commute: whether it takes each band less its level, in units of its spread, both measured over the
    whole scene (`sr_geo.radiometry.Standard`); otherwise it takes 0…1."""
    leaning: Literal["fidelity", "perception"] = "fidelity"
    precision: Precision = "fp32"
    parameters: int = Field(gt=0)
    training: tuple[TrainingData, ...]
    recipe: str
    """The recipe as JSON, whole; of several legs that of the last."""
    legs: tuple[Leg, ...] = ()
    """All that its weights went through, in order; those of a model that it started from come first. Empty: not known."""
    commit: str
    """Commit of the code that trained it."""
    quality: tuple[Quality, ...] = ()
    limits: str
    """Where it must not be used or believed."""
    licence: str
    """Of the weights."""

    @model_validator(mode="after")
    def _consistent(self) -> "Card":
        if len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands {self.bands}: each role may stand once")
        if self.sigma is not None and not 0.0 <= self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma {self.sigma}: expected a range from low to high")
        if self.standardised and self.commutes_with_gain_and_offset:
            raise ValueError("standardised: a network that commutes with gain and offset takes values as they are")
        return self

    @property
    def caution(self) -> str:
        """What users of the model must know, as the rest of a sentence about it; empty where nothing needs to be said."""
        if self.leaning == "fidelity":
            return ""
        return "leans to perception: to look at, not to measure in (results are sharper and less true)"
