"""The files on disk that a raster is read from: sidecars, sources of a VRT, archives."""

import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from rasterio.errors import RasterioError

from sr_geo.raster.dataset import open_dataset

_ARCHIVED = re.compile(r"/vsi(?:(?:zip|tar|gzip|7z|rar|sparse)/|subfile/[^,/]*,)(\{?)(.*)", re.IGNORECASE | re.DOTALL)
_NO_RASTERS = (".aux.xml", ".msk", ".ovr", ".txt", ".json")
"""Endings of sidecars that have no sidecars themselves."""


def files_of(names: Iterable[str], *, described_by: Iterable[str] = ()) -> tuple[Path, ...]:
    """Files that GDAL reads for the rasters `names`, each once, resolved, in the order in which they are met.

    Files beside a raster that GDAL reads with it (``.aux.xml``, ``.msk``, ``.ovr``, world files) are among them, and the
    sources of a VRT at any depth. For what lies in an archive it is the archive. What is no file of this machine (a
    VRT given as text, memory, a web address) or is missing is left out.

    Args:
        names: what GDAL opens.
        described_by: GDAL names of metadata files, which are read as they are.
    """
    given = list(dict.fromkeys(names))
    found: dict[Path, None] = {}
    met = {*given}
    waiting = deque(given)
    while waiting:
        name = waiting.popleft()
        file = file_on_disk(name)
        if file is not None:
            found[file] = None
        # What is elsewhere is never fetched, only to ask.
        if name in given or (file is not None and not name.lower().endswith(_NO_RASTERS)):
            new = [other for other in _read_with(name) if other not in met]
            met.update(new)
            waiting.extend(new)
    found.update(dict.fromkeys(file for name in described_by if (file := file_on_disk(name)) is not None))
    return tuple(found)


def file_on_disk(name: str) -> Path | None:
    """The file that a GDAL name leads to, resolved: itself, or the archive that holds it; None where there is none."""
    packed = False
    while match := _ARCHIVED.fullmatch(name):
        packed, name = True, match.group(2).replace("}", "", len(match.group(1)))
    try:
        path = Path(name)
        return next((here.resolve() for here in ((path, *path.parents) if packed else (path,)) if here.is_file()), None)
    except (OSError, ValueError):  # too long for a path, or with characters that none can hold
        return None


def _read_with(name: str) -> list[str]:
    """What GDAL says it reads when it opens `name`: one level, not the sources of a source."""
    try:
        with open_dataset(name) as dataset:
            return [file for file in dataset.files if file != name]
    except (RasterioError, OSError):
        return []  # a sidecar that is no raster
