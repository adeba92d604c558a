"""Models of the user's own: a folder of ONNX files that are found by name as the shipped ones are."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sr_geo.errors import ModelError, OutputError
from sr_geo.files import clear_stale, whole_file
from sr_geo.models.session import open_model
from sr_geo.raster.lock import take_lock

VARIABLE = "SR_GEO_MODELS"
"""Environment variable that names another folder."""
_INDEX = "index.json"
_LOCK = "index.lock"
_PATIENCE = 60.0
"""Seconds to wait for another install, which copies one file."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A file in the folder."""

    path: Path
    sha256: str | None
    """What the file must hash to; None where it was copied here by hand, or its install was stopped."""


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
    models = sorted(path for path in folder.glob("*.onnx") if not path.name.startswith("."))  # an unfinished copy has a dot
    return {path.stem: Installed(path, index.get(path.stem, {}).get("sha256")) for path in models}


def install(model: Path, *, shipped: frozenset[str], overwrite: bool = False) -> Installed:
    """Copy a model into the folder under the name on its card, and keep its hash.

    A model that came from the same file before is replaced: a run that went on. Any other one of that name is left alone
    unless `overwrite`. Installs take turns; one that is stopped leaves the old model or the new one, never a wrong hash.

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
        with _turn(folder):
            clear_stale(target)
            index = _read_index(folder)
            known = index.get(name, {})
            if target.exists() and not overwrite and origin != known.get("from") and upscaler.sha256 != known.get("sha256"):
                raise ModelError(f"{target}: another model of that name is there; `sr-geo models install {model} --overwrite` replaces it")
            if target.resolve() != model.resolve():
                with whole_file(target) as draft:
                    shutil.copyfile(model, draft)
                    # Two files do not change at once: while the model does, the index has no hash of it.
                    _write_index(folder, {**index, name: {"from": origin}})
            _write_index(folder, {**index, name: {"sha256": upscaler.sha256, "from": origin}})
    except OSError as error:
        said = str(error) if isinstance(error, OutputError) else f"{folder}: cannot be written ({error.strerror})"
        raise ModelError(f"{said}; set {VARIABLE} to another folder") from error
    return Installed(target, upscaler.sha256)


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait for other installs into the folder and keep them waiting."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            lock = take_lock(folder / _LOCK)
            break
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise ModelError(f"{folder}: another install is still running; run again when it has ended") from error
            time.sleep(0.05)
    with lock:
        yield


def _read_index(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / _INDEX
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: {key: str(value) for key, value in entry.items()} for name, entry in content.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: not an index of models; delete it and install them again (`sr-geo models install FILE`)") from error


def _write_index(folder: Path, index: Mapping[str, Mapping[str, str]]) -> None:
    with whole_file(folder / _INDEX) as draft:
        draft.write_text(json.dumps(dict(sorted(index.items())), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
