"""A training run as a value: the YAML recipe, validated; an unknown key is an error."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sr_geo.errors import RecipeError


class Section(BaseModel):
    """Base of every part of a recipe: frozen, and strict about keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(Section):
    """The generator."""

    family: Literal["compact"]
    bands: tuple[str, ...] = Field(min_length=1)
    """Roles of the bands, in the order of the network's channels."""
    width: int = Field(default=48, gt=0, multiple_of=16)
    blocks: int = Field(default=8, gt=0)
    scale: Literal[2, 4] = 4


class Source(Section):
    """High-resolution imagery of one kind. Windows are drawn from all its files in proportion to their area."""

    name: str
    files: tuple[str, ...] = Field(min_length=1)
    """Paths or glob patterns below the data root. With `stack: true` each file is one band, in the order of `bands`."""
    bands: tuple[str, ...] = Field(min_length=1)
    """Roles of the bands in the file, in file order; `-` for a band that is not read."""
    stack: bool = False
    rows: tuple[int, int] | None = None
    """First row and row after the last; what lies outside is never read."""
    columns: tuple[int, int] | None = None
    weight: float = Field(default=1.0, gt=0)
    """Share of the samples, relative to the other sources."""
    licence: str
    """Licence of the imagery: it goes into the card of the model."""


class Degradation(Section):
    """How low-resolution input is made from high-resolution imagery."""

    sigma: tuple[float, float] = (1.0, 3.2)
    """Range of the Gaussian blur, standard deviation in high-resolution pixels; then the mean over each coarse pixel."""
    band_jitter: float = 0.2
    """Largest difference of one band's blur from the common one."""
    turned: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the samples seen on a turned grid and resampled by cubic convolution, as georeferenced products are."""
    turned_by: float = 15.0
    """Largest angle of the turned grid, degrees."""
    noise: float = 0.01
    """Largest noise, as a fraction of the source's spread; drawn uniformly from zero up."""


class LoopSection(Section):
    """Optimisation."""

    iterations: int = Field(gt=0)
    batch: int = Field(default=8, gt=0)
    patch: int = Field(default=40, gt=8)
    """Side of the low-resolution patch in pixels."""
    border: int = 3
    """Low-resolution pixels at the edge of a patch that the loss does not see (they are padded in the network)."""
    learning_rate: float = 2e-3
    """Of Adam, for the first and last layers."""
    body_learning_rate: float = 6e-3
    """Of Muon, for the residual blocks."""
    warmup: int = 100
    clip: float = 1.0
    ema: float = 0.999
    validate_every: int = 500
    seed: int = 0


class Recipe(Section):
    """Everything that a run depends on, besides the data itself."""

    name: str
    title: str
    domain: Literal["satellite"]
    licence: str = "Apache-2.0"
    """Licence of the weights."""
    limits: str
    """Where the model must not be used or believed: goes into its card and every report."""
    init: str | None = None
    """Weights to start from, of the same width and blocks; bands are matched by role, a new one keeps its fresh weights."""
    init_bands: tuple[str, ...] = ()
    """Roles of the bands of `init`, in its order."""
    model: ModelSection
    sources: tuple[Source, ...] = Field(min_length=1)
    validation: tuple[Source, ...] = Field(min_length=1)
    degradation: Degradation = Degradation()
    loop: LoopSection


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and validate a recipe; `overrides` are ``loop.iterations=200`` and the like.

    Raises:
        RecipeError: the file is missing, is not YAML, or does not fit the model.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); give a recipe such as training/recipes/*.yaml") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from error
    for item in overrides:
        key, equals, value = item.partition("=")
        if not equals:
            raise RecipeError(f"--set {item}: expected key=value, for instance loop.iterations=200")
        *parents, leaf = key.split(".")
        node = raw
        for parent in parents:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            raise RecipeError(f"--set {item}: {key} is not a key of this recipe")
        node[leaf] = yaml.safe_load(value)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{path}: {where}: {first['msg']} ({error.error_count()} problem(s) in all)") from error
