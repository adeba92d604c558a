"""Models of the user's own: a folder of ONNX files that are found by name as the shipped ones are."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sr_geo.errors import ModelError
from sr_geo.models.session import open_model

VARIABLE = "SR_GEO_MODELS"
"""Environment variable that names another folder."""
_INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Installed:
    """A file in the folder."""

    path: Path
    sha256: str | None
    """What the file must hash to; None where it was copied here by hand."""


def own_folder() -> Path:
    """Where own models lie: ``$SR_GEO_MODELS``, else ``sr-geo/models`` in the folder that the system keeps for data of the user."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("sr-geo", appauthor=False) / "models"


def own_models() -> dict[str, Installed]:
    """Every ``NAME.onnx`` in the folder by its name; nothing where there is no folder.

    Raises:
        ModelError: the index cannot be read.
    """
    folder = own_folder()
    if not folder.is_dir():
        return {}
    index = _read_index(folder)
    return {path.stem: Installed(path, index.get(path.stem, {}).get("sha256")) for path in sorted(folder.glob("*.onnx"))}


def install(model: Path, *, shipped: frozenset[str], overwrite: bool = False) -> Installed:
    """Copy a model into the folder under the name on its card, and keep its hash.

    A model that came from the same file before is replaced: a run that went on. Any other one of that name is left alone
    unless `overwrite`.

    Args:
        model: ONNX file with a card.
        shipped: names that are taken.
        overwrite: replace another model of that name.

    Raises:
        ModelError: it is no usable model, its name is taken, or the folder cannot be written.
    """
    upscaler = open_model(model, device="cpu", threads=1)
    name, folder = upscaler.card.name, own_folder()
    if name in shipped:
        raise ModelError(f"{model}: {name} is the name of a shipped model; give the recipe another name and export again")
    target, origin = folder / f"{name}.onnx", str(model.resolve())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        index = _read_index(folder)
        known = index.get(name, {})
        if target.exists() and not overwrite and origin != known.get("from") and upscaler.sha256 != known.get("sha256"):
            raise ModelError(f"{target}: another model of that name is there; `sr-geo models install {model} --overwrite` replaces it")
        if target.resolve() != model.resolve():
            _write(target, model)
        index[name] = {"sha256": upscaler.sha256, "from": origin}
        _write(folder / _INDEX, json.dumps(dict(sorted(index.items())), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{folder}: cannot be written ({error.strerror}); set {VARIABLE} to another folder") from error
    return Installed(target, upscaler.sha256)


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / _INDEX
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: {key: str(value) for key, value in entry.items()} for name, entry in content.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not an index of models; delete it and install them again (`sr-geo models install FILE`)") from error


def _write(target: Path, content: Path | str) -> None:
    """Copy a file or write text under a temporary name first, so that what is there is whole."""
    part = target.with_name(f"{target.name}.part")
    if isinstance(content, Path):
        shutil.copyfile(content, part)
    else:
        part.write_text(content, encoding="utf-8")
    part.replace(target)
