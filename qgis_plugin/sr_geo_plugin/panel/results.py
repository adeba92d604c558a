# SPDX-FileCopyrightText: The SR Geo authors
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the panel has made, newest first, each of which can be taken back."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qgis.core import QgsProject

from sr_geo_plugin.panel.table import ParcelTable


@dataclass(frozen=True)
class Result:
    """A run that was added to the project."""

    name: str
    source_id: str
    """Id of the layer that it was made from."""
    layer_ids: tuple[str, ...]
    """Of its layers; the enhanced image first."""
    folder: Path | None
    """Its own temporary folder; None where the user named the file."""
    output: Path
    table: ParcelTable | None


class Results:
    """The results in the order in which they came."""

    def __init__(self) -> None:
        self._results: list[Result] = []

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, index: int) -> Result:
        return self._results[index]

    def add(self, result: Result) -> None:
        """Put one on top."""
        self._results.insert(0, result)

    def forget(self, layer_ids: Sequence[str]) -> bool:
        """Drop the results whose image left the project by another way; their files stay.

        Returns:
            Whether there were any.
        """
        kept = [result for result in self._results if result.layer_ids[0] not in layer_ids]
        changed = len(kept) != len(self._results)
        self._results = kept
        return changed

    def undo(self, result: Result, project: QgsProject) -> None:
        """Take the layers out of the project, and delete files that are temporary. A file that the user named stays."""
        self._results = [kept for kept in self._results if kept is not result]
        project.removeMapLayers([layer_id for layer_id in result.layer_ids if project.mapLayer(layer_id) is not None])
        if result.folder is not None:
            shutil.rmtree(result.folder, ignore_errors=True)  # on Windows a file may still be open; it goes with the session then
