# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the plugin remembers: the chosen Python in QGIS's settings, the list of models in the private folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qgis.core import QgsSettings

from sr_geo_plugin.environment import Host, Runtime, data_folder, find_runtime
from sr_geo_plugin.translation import tr

_PYTHON = "sr_geo/python"
SHIPPED = ("satellite-rgb-x4", "satellite-rgbn-x4", "satellite-rgb-perceptual-x4", "satellite-rgbn-perceptual-x4")
"""Models that every release brings; the list of a worker is asked for once it is there."""


def chosen_python() -> str:
    """The interpreter that the user chose; empty: the private environment. The variable SR_GEO_PYTHON goes before it."""
    return os.environ.get("SR_GEO_PYTHON") or QgsSettings().value(_PYTHON, "", type=str)


def choose_python(path: str) -> None:
    """Remember an interpreter; empty: take the private environment."""
    if path:
        QgsSettings().setValue(_PYTHON, path)
    else:
        QgsSettings().remove(_PYTHON)


def runtime() -> Runtime | None:
    """The Python to work with; None where Set up is still to be done."""
    return find_runtime(chosen_python())


def not_set_up() -> str:
    """What to do where `runtime` finds none."""
    if chosen_python():
        words = tr("{python} has no SR Geo any more: open SR Geo, Set up… in the menu Raster, and repair it or choose another Python.")
        return words.format(python=chosen_python())
    return tr("SR Geo itself is not installed yet: open SR Geo, Set up… in the menu Raster. It takes a few minutes, once.")


def known_models() -> list[str]:
    """Names of models for satellite imagery: those that a worker told last, those that every release brings, and the user's files.

    No program is started: Processing asks for this whenever it shows an algorithm.
    """
    names = [*SHIPPED, *(str(model["name"]) for model in _remembered() if model.get("domain") == "satellite" and not model.get("fault"))]
    names += [path.stem for path in sorted(_own_folder().glob("[!.]*.onnx"))]  # what is being installed has a dot before its name
    return list(dict.fromkeys(names))


def remember_models(models: Sequence[Mapping[str, Any]]) -> None:
    """Keep what ``sr-geo models list --json`` said."""
    path = _models_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(list(models)), encoding="utf-8")
    except OSError:  # it is asked for again next time
        return


def _remembered() -> list[dict[str, Any]]:
    try:
        content = json.loads(_models_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [model for model in content if isinstance(model, dict) and "name" in model] if isinstance(content, list) else []


def _models_file() -> Path:
    return data_folder() / "models.json"


def _own_folder(host: Host | None = None) -> Path:
    """Where the worker keeps models of the user's own."""
    host = host or Host.here()
    named = host.environ.get("SR_GEO_MODELS")
    return (
        Path(named).expanduser()
        if named
        else data_folder(Host(host.system, {k: v for k, v in host.environ.items() if k != "SR_GEO_QGIS_DATA"}, host.home)).parent / "models"
    )
