"""What each domain of pictures is run with: the shipped network, what its input was made small by, and what must be said."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

from sr_geo.errors import ModelError, ModelWarning, OptionError, PictureWarning
from sr_geo.imaging.enlarge import Enlarger, colour_order
from sr_geo.imaging.reduction import Bicubic, Optics
from sr_geo.models.catalog import entries, load_model
from sr_geo.models.session import Device, Upscaler

Domain = Literal["photo", "medical", "plate", "face"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How the pictures of a domain are enlarged."""

    optics: Optics | None
    """What the input is taken to have been made small by; the result, made small again, equals the input then. None: the
    network's result as it is. docs/image.md has the measurements behind each choice."""
    warning: str
    """What every output says."""


MANNERS: Mapping[Domain, Manner] = MappingProxyType(
    {
        "photo": Manner(Bicubic(), "Detail finer than a pixel of the input is an estimate that nobody measured."),
        # What was measured stays as it was measured; on real CT, CR and MR that is worth 0.1 to 2.6 dB (docs/medical.md).
        "medical": Manner(Bicubic(), "Not for diagnosis. Detail finer than a pixel of the input is an estimate that nobody measured."),
        # Noise and traces of compression are in the input: a result that is held to it takes them over.
        "plate": Manner(None, "Enhanced characters are no evidence: where the input does not tell two apart, the network picks one."),
        "face": Manner(Bicubic(), "An enhanced face is no evidence of identity: its detail is likely, and not the person's."),
    }
)


def open_enlarger(
    domain: Domain,
    model: str | Path | None = None,
    *,
    fidelity: float | None = None,
    device: Device = "auto",
    threads: int | None = None,
) -> Enlarger:
    """The network for a domain, ready to run.

    Args:
        domain: of the pictures.
        model: name or ONNX file; None takes the shipped model of the domain.
        fidelity: 0 for the network's own result, 1 for one that is tied to the input, or between them; None: as the domain has it.
        device: where it runs.
        threads: of the network; None takes all processors.

    Raises:
        ModelError: there is no such model, or it is not one for pictures.
        OptionError: there is no such domain.
    """
    if domain not in get_args(Domain):
        raise OptionError(f"domain {domain!r}: expected one of {', '.join(get_args(Domain))}")
    upscaler = _default(domain, device, threads) if model is None else load_model(model, device=device, threads=threads)
    card = upscaler.card
    colour_order(card)
    if card.standardised:
        raise ModelError(f"model {card.name}: wants level and spread of a scene measured first, as `sr-geo enhance` does; pictures are not")
    if card.domain not in (domain, "photo"):  # what is made for photos is made for all kinds of pictures
        said = f"model {card.name} was made for domain {card.domain}, not {domain}: what it draws here may be wrong; look for another one"
        warnings.warn(f"{said} in `sr-geo models list`", ModelWarning, stacklevel=2)
    if card.caution:
        warnings.warn(f"model {card.name} {card.caution}", ModelWarning, stacklevel=2)
    if not card.exact_halo:
        said = f"model {card.name}: sees further than the {card.halo} pixels by which tiles overlap, so that their edges may show faintly"
        warnings.warn(PictureWarning(said), stacklevel=2)
    optics = MANNERS[domain].optics if fidelity is None else Bicubic() if fidelity > 0.0 else None
    if isinstance(optics, Bicubic) and optics.scale != card.scale:
        optics = Bicubic(card.scale)
    return Enlarger(upscaler, optics, fidelity=1.0 if fidelity is None else fidelity)


def _default(domain: Domain, device: Device, threads: int | None) -> Upscaler:
    """The shipped model of a domain; one that leans to fidelity, in full precision, where there are several."""
    named = [name for name in entries() if name.startswith(f"{domain}-")]
    models = [load_model(name, device=device, threads=threads) for name in named]
    fit = [model for model in models if model.card.domain == domain]
    if not fit:
        raise ModelError(
            f"domain {domain}: no model for it is shipped; give one of your own by --model (docs/training.md has the recipes, "
            "`sr-geo models list` what there is)"
        )
    return min(fit, key=lambda model: (model.card.leaning != "fidelity", model.card.precision != "fp32"))
