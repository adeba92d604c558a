"""Which models there are: those shipped with the package, each with the hash that its file must have, and the user's own."""

import difflib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sr_geo.errors import ModelError
from sr_geo.models.heavier import heavier
from sr_geo.models.own import install, own_models
from sr_geo.models.session import Device, Upscaler, open_model

_WEIGHTS = Path(str(files("sr_geo.models") / "weights"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be named."""

    name: str
    path: Path
    sha256: str | None
    """What the file must hash to; None for an own model that was copied into its folder by hand."""
    own: bool = False
    """Whether it is the user's."""


def entries() -> dict[str, Entry]:
    """All shipped models by name."""
    index: dict[str, str] = json.loads((_WEIGHTS / "index.json").read_text(encoding="utf-8"))
    return {name: Entry(name, _WEIGHTS / f"{name}.onnx", sha256) for name, sha256 in sorted(index.items())}


def own_entries() -> dict[str, Entry]:
    """The user's own models by name; one with the name of a shipped model is not among them: see `hidden_models`.

    Raises:
        ModelError: their index cannot be read.
    """
    shipped = entries()
    return {name: Entry(name, model.path, model.sha256, own=True) for name, model in own_models().items() if name not in shipped}


def hidden_models() -> list[Path]:
    """Files among the user's own models that cannot be named, since a shipped model has their name."""
    shipped = entries()
    return [model.path for name, model in own_models().items() if name in shipped]


def find_entry(name: str) -> Entry | None:
    """The shipped model of that name, or else the user's own; None where there is neither.

    Raises:
        ModelError: the index of the user's own models cannot be read.
    """
    return entries().get(name) or own_entries().get(name)


def load_model(model: str | Path, *, device: Device = "auto", threads: int | None = None) -> Upscaler:
    """The model of that name, shipped or the user's own, or the ONNX file at that path.

    Example:
        >>> upscaler = load_model("satellite-rgbn-x4", threads=1)
        >>> upscaler.card.bands
        ('blue', 'green', 'red', 'nir')

    Raises:
        ModelError: there is no such model, or its file is damaged.
    """
    name = str(model)
    is_path = isinstance(model, Path) or name.endswith(".onnx") or "/" in name or "\\" in name
    entry = entries().get(name) if is_path else find_entry(name)
    if entry is None and is_path:
        return open_model(Path(model), device=device, threads=threads)
    if entry is not None:
        return open_model(entry.path, device=device, threads=threads, sha256=entry.sha256)
    if made := next((one for one in heavier() if one.name == name), None):
        raise ModelError(f"model {name}: too large to be shipped; `{made.command}` makes it, then give the path of the .onnx file")
    known = [*entries(), *own_entries()]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise ModelError(f"model {name!r}: no model of that name; {hint} (or give the path of an .onnx file)")


def for_bands(roles: set[str]) -> Entry | None:
    """The shipped satellite model that uses most of the bands at hand, of those that lean to fidelity; None where none can run on them."""
    best: Entry | None = None
    most = 0
    for entry in entries().values():
        if not entry.name.startswith("satellite-"):
            continue
        card = open_model(entry.path, device="cpu", threads=1).card
        if card.leaning == "fidelity" and set(card.bands) <= roles and len(card.bands) > most:
            best, most = entry, len(card.bands)
    return best


def install_model(path: Path, *, overwrite: bool = False) -> Entry:
    """Put an ONNX file with a card among the user's own models; see `sr_geo.models.own.install`.

    Raises:
        ModelError: it is no usable model, its name is taken, or the folder cannot be written.
    """
    installed = install(path, shipped=frozenset(entries()), overwrite=overwrite)
    return Entry(installed.path.stem, installed.path, installed.sha256, own=True)
