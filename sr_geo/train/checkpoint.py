"""What `sr-geo export` takes: a run, or a network that others trained; from its weights to ONNX, with a card."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file

from sr_geo.errors import TrainingError
from sr_geo.models.card import Card, Leg, Precision, Quality, TrainingData
from sr_geo.models.heavier import PACKAGED
from sr_geo.train import pieces
from sr_geo.train.export import Exported, export_onnx
from sr_geo.train.folder import legs_of
from sr_geo.train.foreign import Provenance, load_foreign
from sr_geo.train.nets import Generator, RRDBNet
from sr_geo.train.recipe import Recipe, recipe_of_run
from sr_geo.train.start import build, find_start, mix_in

FARTHEST = 64
"""Input pixels that a network for pictures gets around a window at most. The receptive field of 23 blocks is 349, and no picture is
worth enlarging that much of its mirror image. Measured on RealSR DF2K, one photo: a pixel that sees 48 pixels around it instead of 73
differs by 0.0008, a fifth of an 8-bit step."""


def export_checkpoint(
    checkpoint: str | Path, path: Path, *, precision: Precision = "fp32", data: Path | None = None, quality: Sequence[Quality] = ()
) -> Exported:
    """Write a run or a network of others as ONNX with a card.

    Args:
        checkpoint: folder of a run, or anything that `load_foreign` takes.
        path: of the ONNX file.
        precision: of the numbers inside.
        data: imagery for int8: root of what a run's recipe validates on, or for networks of others a folder of pictures.
        quality: measured figures for the card.

    Raises:
        TrainingError: there is no such checkpoint, or its export is not exact enough; nothing is written.
        TrainingDataError: the imagery is missing.
    """
    source = Path(checkpoint).expanduser()
    if source.is_dir():
        return _export_run(source, path, precision=precision, data=data, quality=quality)
    if source.suffix == ".onnx":
        raise TrainingError(f"{source}: is an export already; give the folder of the run that it comes from")
    if str(checkpoint) not in PACKAGED and not source.exists():
        raise TrainingError(
            f"{checkpoint}: no such file or folder; give the folder of a run of `sr-geo train`, a .pth, .safetensors or ncnn file "
            f"with an ESRGAN, or one of {', '.join(PACKAGED)}"
        )
    net, provenance = load_foreign(checkpoint)
    name = str(checkpoint) if str(checkpoint) in PACKAGED else path.stem
    card = card_of_foreign(net, provenance, name=name)
    imagery = pieces.of_folder(data, card.bands, scale=card.scale) if precision == "int8" and data is not None else []
    return export_onnx(net, card, path, precision=precision, pieces=imagery)


def card_of(recipe: Recipe, net: Generator, *, commit: str, legs: Sequence[Leg] = (), quality: Sequence[Quality] = ()) -> Card:
    """The card of the model that a recipe makes."""
    total = sum(source.weight for source in recipe.sources)
    halo, exact = _surroundings(net, for_rasters=recipe.domain == "satellite")
    return Card(
        name=recipe.name,
        title=recipe.title,
        family=recipe.model.family,
        domain=recipe.domain,
        scale=recipe.model.scale,
        bands=recipe.model.bands,
        halo=halo,
        exact_halo=exact,
        sigma=recipe.blur,
        commutes_with_gain_and_offset=net.commutes,
        standardised=recipe.standardised,
        leaning=recipe.leaning,
        parameters=_parameters(net),
        training=tuple(
            TrainingData(name=source.name, licence=source.licence, share=round(source.weight / total, 4)) for source in recipe.sources
        ),
        recipe=recipe.model_dump_json(),
        legs=tuple(legs),
        commit=commit,
        quality=tuple(quality),
        limits=recipe.limits,
        licence=recipe.licence,
    )


def card_of_foreign(net: Generator, provenance: Provenance, *, name: str) -> Card:
    """The card of a network that others trained: what is known of it, and that the rest is not.

    Args:
        net: as `load_foreign` gives it.
        provenance: likewise.
        name: of the model; what a name cannot hold is replaced.
    """
    assert isinstance(net, RRDBNet)
    halo, exact = _surroundings(net, for_rasters=False)
    model = {
        "family": "rrdbnet",
        "bands": provenance.bands,
        "width": net.conv_first.out_channels,
        "blocks": net.blocks,
        "growth": net.growth,
        "scale": net.scale,
    }
    return Card(
        name=re.sub(r"[^a-z0-9._-]+", "-", name.lower()).lstrip("._-") or "foreign",
        title=f"{provenance.title}; trained by others",
        family="rrdbnet",
        domain="photo",
        scale=net.scale,
        bands=provenance.bands,
        halo=halo,
        exact_halo=exact,
        sigma=None,
        commutes_with_gain_and_offset=net.commutes,
        leaning="perception",
        parameters=_parameters(net),
        training=(TrainingData(name="not stated", licence="not stated", share=1.0),),
        recipe=json.dumps({"model": model, "provenance": str(provenance)}),
        commit="",
        limits="For pictures in 0…1. It invents texture: not for measuring, not for evidence, not for satellite imagery. "
        f"Not trained and not measured by SR Geo. Weights: {provenance}.",
        licence=provenance.licence,
    )


def _export_run(run: Path, path: Path, *, precision: Precision, data: Path | None, quality: Sequence[Quality]) -> Exported:
    weights, description, about = run / "weights.safetensors", run / "recipe.json", run / "data.json"
    if not weights.exists() or not description.exists():
        raise TrainingError(f"{run}: no weights.safetensors and recipe.json in it; give the folder of a run of `sr-geo train`")
    recipe = recipe_of_run(run)
    commit = json.loads(about.read_text(encoding="utf-8"))["commit"] if about.exists() else ""
    net = build(recipe.model, sees_blur=recipe.blur is not None)
    net.load_state_dict(load_file(weights))
    if recipe.interpolate is not None:
        try:
            other = find_start(recipe.interpolate.model)
        except TrainingError as error:
            raise TrainingError(str(error).replace("init:", "interpolate.model:", 1)) from error
        mix_in(net, other, recipe.interpolate.share, ours=recipe.model.bands)
    wanted = precision == "int8" and data is not None and recipe.domain != "satellite"
    imagery = pieces.of_recipe(recipe, data) if wanted and data is not None else []
    card = card_of(recipe, net, commit=commit, legs=legs_of(run), quality=quality)
    return export_onnx(net, card, path, precision=precision, pieces=imagery)


def _surroundings(net: Generator, *, for_rasters: bool) -> tuple[int, bool]:
    """Halo for the card, and whether it is the whole receptive field, as rasters need it."""
    if for_rasters or net.halo <= FARTHEST:
        return net.halo, True
    return FARTHEST, False


def _parameters(net: Generator) -> int:
    return sum(parameter.numel() for parameter in net.parameters())
