"""Where a run starts: fresh weights, or those of another run, a shipped model or a published network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import numpy_helper
from safetensors.torch import load_file
from torch import Tensor, from_numpy

from sr_geo.errors import TrainingError
from sr_geo.models.card import METADATA_KEY, Card, Leg
from sr_geo.models.catalog import find_entry
from sr_geo.train.folder import legs_of
from sr_geo.train.foreign import load_foreign
from sr_geo.train.nets import Generator, build_generator
from sr_geo.train.recipe import ModelSection, model_of_card, recipe_of_run


@dataclass(frozen=True, slots=True)
class Start:
    """Weights to start from."""

    generator: Mapping[str, Tensor]
    bands: tuple[str, ...]
    """Roles of its bands, in order."""
    discriminator: Mapping[str, Tensor] | None = None
    title: str = ""
    legs: tuple[Leg, ...] = ()
    """What they went through."""


def build(model: ModelSection, *, sees_blur: bool) -> Generator:
    """The generator that a recipe names, with fresh weights."""
    return build_generator(
        model.family,
        bands=len(model.bands),
        scale=model.scale,
        width=model.width,
        blocks=model.blocks,
        growth=model.growth,
        sees_blur=sees_blur,
    )


def find_start(init: str) -> Start:
    """What `init` of a recipe names.

    Raises:
        TrainingError: there is no such thing, or it holds no weights to start from.
    """
    path = Path(init).expanduser()
    if path.is_dir():
        return _of_run(path)
    if path.suffix == ".onnx":
        return _of_onnx(path)
    entry = find_entry(init)
    if entry is not None:
        return _of_onnx(entry.path)
    if "/" in init and not path.exists():
        raise TrainingError(f"init: {path} is missing; train the run that it comes from first, or set init to other weights")
    net, provenance = load_foreign(init)
    return Start(net.state_dict(), provenance.bands, title=str(provenance))


def _of_run(folder: Path) -> Start:
    weights, description = folder / "weights.safetensors", folder / "recipe.json"
    if not weights.exists() or not description.exists():
        raise TrainingError(f"init: {folder} holds no weights.safetensors and recipe.json; give the folder of a run that was saved")
    recipe = recipe_of_run(folder)
    discriminator = folder / "discriminator.safetensors"
    return Start(
        load_file(weights),
        recipe.model.bands,
        load_file(discriminator) if discriminator.exists() else None,
        title=f"run {folder.name}",
        legs=legs_of(folder),
    )


def _of_onnx(path: Path) -> Start:
    """The weights of an exported generator: the export keeps their names."""
    try:
        model = onnx.load(path)
    except OSError as error:
        raise TrainingError(f"init: {path} cannot be read ({error.strerror})") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in metadata:
        raise TrainingError(f"init: {path} has no card of SR Geo; give a model that `sr-geo export` wrote")
    card = Card.model_validate_json(metadata[METADATA_KEY])
    net = build(model_of_card(card.recipe), sees_blur=card.sigma is not None)
    stored = {tensor.name: from_numpy(numpy_helper.to_array(tensor).astype("float32")) for tensor in model.graph.initializer}
    missing = [name for name in net.state_dict() if name not in stored]
    if missing:
        raise TrainingError(f"init: {path} lacks {missing[0]}; start from the run, or from its float32 export")
    return Start({name: stored[name] for name in net.state_dict()}, card.bands, title=f"model {card.name}", legs=card.legs)


def start_from(net: Generator, start: Start, *, ours: Sequence[str]) -> None:
    """Put weights into `net`: those of the body as they are, those at both ends band by band, by role.

    Args:
        net: network of the same family, width, blocks and scale; a band that `start` lacks keeps its fresh weights. A `compact` one may
            have more blocks: the added ones do nothing yet.
        start: where the weights come from.
        ours: roles of this network's bands.

    Raises:
        TrainingError: the networks differ by more than their bands.
    """
    pairs = [(ours.index(role), index) for index, role in enumerate(start.bands) if role in ours]
    own, theirs = net.state_dict(), net.deepened(start.generator)
    if own.keys() != theirs.keys():
        raise TrainingError(f"init: {start.title or 'it'} is another network; give model the same family and blocks")
    for name, value in theirs.items():
        if name in net.band_inputs:
            fits = own[name].shape[0] == value.shape[0]
            for here, there in pairs if fits else ():
                own[name][:, here] = value[:, there]
        elif name in net.band_outputs:
            rows = len(own[name]) // len(ours)
            fits = own[name].shape[1:] == value.shape[1:] and rows * len(start.bands) == len(value)
            for here, there in pairs if fits else ():
                own[name][here * rows : (here + 1) * rows] = value[there * rows : (there + 1) * rows]
        else:
            fits = own[name].shape == value.shape
            own[name] = value if fits else own[name]
        if not fits:
            shapes = f"{tuple(value.shape)} there, {tuple(own[name].shape)} here"
            raise TrainingError(f"init: {name} has another shape ({shapes}); give model the same width and scale")
    net.load_state_dict(own)


def mix_in(net: Generator, other: Start, share: float, *, ours: Sequence[str]) -> None:
    """Move the weights of `net` towards those of another network by `share`: (1 − share) · own + share · other.

    Args:
        net: the network that is changed.
        other: of the same family, width, scale and bands, in the same order, with as many blocks or fewer; `net` was trained on from it,
            or both from one.
        share: 0…1.
        ours: roles of the bands of `net`.

    Raises:
        TrainingError: the other one is not of that kind.
    """
    own, theirs = net.state_dict(), net.deepened(other.generator)
    shapes = {name: value.shape for name, value in own.items()}
    if tuple(other.bands) != tuple(ours) or {name: value.shape for name, value in theirs.items()} != shapes:
        raise TrainingError(f"interpolate.model: {other.title or 'it'} is another network; name the one that this run started from")
    net.load_state_dict({name: value.lerp(theirs[name], share) for name, value in own.items()})
