"""A training run as a value: the YAML recipe, validated; an unknown key is an error that names the nearest one."""

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from sr_geo.errors import RecipeError, TrainingError
from sr_geo.train.degradations import Degradation, SensorDegradation
from sr_geo.train.degradations.sections import NoDegradation, XrayDegradation
from sr_geo.train.losses.sections import LossSection
from sr_geo.train.nets.compact import SIGMA_RANGE
from sr_geo.train.perceptual import Units
from sr_geo.train.samples.sections import Source
from sr_geo.train.section import Section


class ModelSection(Section):
    """The generator."""

    family: Literal["compact", "rrdbnet", "srresnet"]
    bands: tuple[str, ...] = Field(min_length=1)
    """Roles of the bands, in the order of the network's channels."""
    width: int = Field(default=48, gt=0)
    blocks: int = Field(default=8, gt=0)
    growth: int | None = Field(default=None, gt=0)
    """Channels that a convolution inside a dense block adds, for rrdbnet; by default half the width."""
    scale: Literal[2, 4] = 4
    sees_blur: bool = True
    """For compact, where the degradation states a blur: whether the network is told it. A network that is not must do for all."""


class LoopSection(Section):
    """Optimisation."""

    iterations: int = Field(gt=0)
    batch: int = Field(default=8, gt=0)
    patch: int = Field(default=40, gt=8)
    """Side of the low-resolution patch in pixels."""
    border: int = Field(default=3, ge=0)
    """Low-resolution pixels at the edge of a patch that the loss does not see (the network sees zeros beyond them)."""
    optimiser: Literal["muon", "adam"] = "adam"
    """`muon`: for the kernels of the residual blocks, with Adam for all else; fewer steps to the same loss for small networks."""
    learning_rate: float = Field(default=2e-4, gt=0.0)
    """Of Adam."""
    body_learning_rate: float = Field(default=6e-3, gt=0.0)
    """Of Muon."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """`cosine` runs down to zero over the iterations or the minutes, whichever end first."""
    warmup: int = Field(default=100, gt=0)
    clip: float = Field(default=1.0, gt=0.0)
    """Largest norm of the generator's gradient."""
    ema: float = Field(default=0.999, ge=0.0, lt=1.0)
    """Of the averaged weights: the ones that are validated and exported."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """`auto`: bf16-mixed on a GPU or CPU that has it in hardware, else 32-true."""
    workers: int = Field(default=1, ge=0)
    """Processes that make batches ahead; 0 makes them in between, which leaves the network waiting."""
    validate_every: int = Field(default=500, gt=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _something_counts(self) -> "LoopSection":
        if self.patch <= 2 * self.border:
            raise ValueError(f"patch {self.patch} with a border of {self.border} on each side leaves nothing; enlarge patch")
        return self


class InterpolateSection(Section):
    """Weights of another network of the same kind to mix into the exported ones.

    Of two networks one of which was trained on from the other all those in between work, too: a fidelity model and one that leans
    to perception give whatever balance is wanted, without further training ("network interpolation", ESRGAN, Wang et al. 2018, 3.4).
    """

    model: str
    """As in `init`."""
    share: float = Field(gt=0.0, lt=1.0)
    """Of the other network's weights."""


class Recipe(Section):
    """Everything that a run depends on, besides the data itself."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str
    domain: Literal["satellite", "photo", "medical", "plate", "face"]
    licence: str = "Apache-2.0"
    """Licence of the weights."""
    limits: str
    """Where the model must not be used or believed: goes into its card and every report."""
    leaning: Literal["fidelity", "perception"] = "fidelity"
    init: str | None = None
    """What to start from: the folder of another run (its generator, and its discriminator where both runs have one), the name
    or the path of a model made by SR Geo (.onnx), or a published ESRGAN (`realsr-df2k`, a .pth file …). Bands are matched by role."""
    model: ModelSection
    sources: tuple[Source, ...] = Field(min_length=1)
    validation: tuple[Source, ...] = Field(min_length=1)
    degradation: Degradation
    losses: LossSection = LossSection()
    loop: LoopSection
    interpolate: InterpolateSection | None = None
    """Only the export obeys it: validation during the run is of the weights as they were trained."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        if len(set(self.model.bands)) < len(self.model.bands):
            raise ValueError(f"model.bands {list(self.model.bands)}: each role may stand once")
        if self.losses.consistency and not isinstance(self.degradation, SensorDegradation):
            raise ValueError("losses.consistency needs a degradation of kind sensor: no other one tells its blur")
        if self.losses.spectral_angle and self.standardised:
            raise ValueError("losses.spectral_angle: rrdbnet and srresnet get satellite bands without their level; leave it out")
        if isinstance(self.degradation, XrayDegradation) and self.degradation.clean and self.blur is not None:
            raise ValueError("degradation.clean: such samples have no blur to tell; set model.sees_blur to false")
        if isinstance(self.degradation, NoDegradation) and any(source.kind != "pairs" for source in (*self.sources, *self.validation)):
            raise ValueError("degradation.kind is none: then every source must be of kind pairs")
        return self

    @property
    def units(self) -> Units:
        """Of the samples: see `sr_geo.train.samples.batches.Batch`."""
        return "spread" if self.domain == "satellite" else "unit"

    @property
    def standardised(self) -> bool:
        """Whether the network is given each band less its level, in units of its spread: rasters, to one that does not commute."""
        return self.domain == "satellite" and self.model.family != "compact"

    @property
    def blur(self) -> tuple[float, float] | None:
        """Range of the blur that the network is told, in output pixels; None where it is told none."""
        if self.model.family != "compact" or not self.model.sees_blur:
            return None
        if isinstance(self.degradation, SensorDegradation | XrayDegradation):
            return self.degradation.sigma
        return SIGMA_RANGE if isinstance(self.degradation, NoDegradation) else None


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and validate a recipe; `overrides` are ``loop.iterations=200`` and the like.

    A file can stand on others: ``extends: base/satellite.yaml``, or a list of files, paths relative to its own. They are read
    in order and then the file itself; what comes later wins, key by key in mappings, as a whole in lists and all else.

    Raises:
        RecipeError: a file is missing, is not YAML or extends itself, or the whole does not fit the model.
    """
    raw = _read(path)
    for item in overrides:
        _override(raw, item)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_first_problem(error)}") from error


def recipe_of_run(run: Path) -> Recipe:
    """The recipe in the folder of a run, which an earlier release may have written.

    Raises:
        TrainingError: it is missing, damaged, or asks for what this release does not know.
    """
    path = run / "recipe.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(raw, dict) and isinstance(raw.get("model"), dict):
            raw["model"] = _of_today(raw["model"])
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise TrainingError(f"{path}: not a recipe of this release: {_first_problem(error)}") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(f"{path}: cannot be read ({reason}); give the folder of a run of `sr-geo train`") from error


def model_of_card(recipe: str) -> ModelSection:
    """The network in the recipe of a card, which an earlier release may have written.

    Raises:
        TrainingError: it is none that this release knows.
    """
    try:
        return ModelSection.model_validate(_of_today(json.loads(recipe)["model"]))
    except (ValueError, KeyError, TypeError) as error:
        problem = _first_problem(error) if isinstance(error, ValidationError) else "it states no network"
        raise TrainingError(f"the recipe in the card is none of this release: {problem}") from error


def _of_today(model: dict[str, Any]) -> dict[str, Any]:
    """Section `model` without a key that was dropped where it asked for nothing: shipped cards and old runs have it."""
    return {key: value for key, value in model.items() if (key, value) != ("biases", False)}


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=140)


def _read(path: Path, chain: tuple[Path, ...] = ()) -> object:
    """What a file says on top of those that it extends; `chain` are the files that led here."""
    chain = (*chain, path.resolve())
    if chain[-1] in chain[:-1]:
        raise RecipeError(f"{path}: extends itself ({' → '.join(one.name for one in chain)}); take out one `extends`")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise RecipeError(f"{path}: cannot be read ({reason}); give a recipe such as training/recipes/*.yaml") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: no keys and values in it; give a recipe such as training/recipes/*.yaml")
    bases = raw.pop("extends", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise RecipeError(f"{path}: extends is {bases!r}; give the path of a recipe, relative to this one, or a list of paths")
    below: object = {}
    for base in bases:
        below = _merge(below, _read(path.parent / base, chain))
    return _merge(below, raw)


def _merge(below: object, above: object) -> object:
    """`above` over `below`: key by key where both are mappings."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: _merge(below[key], value) if key in below else value for key, value in above.items()}


def _override(raw: object, item: str) -> None:
    key, equals, value = item.partition("=")
    if not equals:
        raise RecipeError(f"--set {item}: expected key=value, for instance loop.iterations=200")
    *parents, leaf = key.split(".")
    node = raw
    for parent in parents:
        if isinstance(node, list) and parent.isdigit() and int(parent) < len(node):
            node = node[int(parent)]
        else:
            node = node.setdefault(parent, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise RecipeError(f"--set {item}: {key} is not a key of this recipe")
    try:
        node[leaf] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {item}: {value} is not a YAML value") from error


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][-1]), sorted(set(_keys(Recipe))), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; leave it out"
        return f"{where}: no such key{hint}{more}"
    return f"{where}: {first['msg']}{more}".removeprefix(": ")


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """All keys of a section and of those in it."""
    for name, field in model.model_fields.items():
        yield name
        yield from _keys_in(field.annotation)


def _keys_in(annotation: object) -> Iterator[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from _keys(annotation)
    for part in get_args(annotation):
        yield from _keys_in(part)
