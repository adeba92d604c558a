"""Which models there are: those shipped with the package, each with the hash that its file must have."""

import difflib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sr_geo.errors import ModelError
from sr_geo.models.session import Device, Upscaler, open_model

_WEIGHTS = Path(str(files("sr_geo.models") / "weights"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that can be named."""

    name: str
    path: Path
    sha256: str


def entries() -> dict[str, Entry]:
    """All shipped models by name."""
    index: dict[str, str] = json.loads((_WEIGHTS / "index.json").read_text(encoding="utf-8"))
    return {name: Entry(name, _WEIGHTS / f"{name}.onnx", sha256) for name, sha256 in sorted(index.items())}


def load_model(model: str | Path, *, device: Device = "auto", threads: int | None = None) -> Upscaler:
    """The model of that name, or the ONNX file at that path.

    Example:
        >>> upscaler = load_model("satellite-rgbn-x4", threads=1)
        >>> upscaler.card.bands
        ('blue', 'green', 'red', 'nir')

    Raises:
        ModelError: there is no such model, or its file is damaged.
    """
    known = entries()
    name = str(model)
    if name in known:
        entry = known[name]
        return open_model(entry.path, device=device, threads=threads, sha256=entry.sha256)
    if isinstance(model, Path) or name.endswith(".onnx") or "/" in name or "\\" in name:
        return open_model(Path(model), device=device, threads=threads)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise ModelError(f"model {name!r}: no model of that name; {hint} (or give the path of an .onnx file)")


def for_bands(roles: set[str]) -> Entry | None:
    """The shipped satellite model that uses most of the bands at hand; None where none can run on them."""
    best: Entry | None = None
    most = 0
    for entry in entries().values():
        if not entry.name.startswith("satellite-"):
            continue
        bands = open_model(entry.path, device="cpu", threads=1).card.bands
        if set(bands) <= roles and len(bands) > most:
            best, most = entry, len(bands)
    return best


def verify(name: str) -> Upscaler:
    """Open a shipped model and check its hash; raises `ModelError` where it is not whole."""
    return load_model(name, device="cpu", threads=1)
