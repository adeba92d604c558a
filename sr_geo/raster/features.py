"""From the features of a layer to parcels: polygons only, joined by a column, each with an id and a file name."""

import re
import unicodedata
import warnings
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from sr_geo.errors import ParcelError, ParcelWarning
from sr_geo.radiometry import Mask
from sr_geo.raster.layer import nearest_name
from sr_geo.raster.shapes import Shapes, valid_polygons


def polygons(table: gpd.GeoDataFrame, title: str, unread: int) -> tuple[Shapes, gpd.GeoDataFrame, dict[str, int]]:
    """Valid polygons and multipolygons in two dimensions with their rows of the table, and counts of the rest."""
    if not len(table):
        raise ParcelError(f"{title}: no features {'near the raster' if unread else 'in the layer'}; expected at least one field parcel")
    shapes: Shapes = shapely.force_2d(np.asarray(table.geometry.array, dtype=object))
    empty = shapely.is_missing(shapes) | shapely.is_empty(shapes)
    polygonal = np.isin(shapely.get_type_id(shapes), (3, 6, 7))
    broken = ~empty & polygonal & ~shapely.is_valid(shapes)
    shapes = valid_polygons(shapes)
    lines = ~empty & (~polygonal | shapely.is_empty(shapes))
    kept = ~empty & ~lines
    mended, total = broken & kept, f"of {len(table)} features of {title}"
    _tell(lines, f"{total} are no polygons: left out")
    _tell(empty, f"{total} have no geometry: left out")
    if not kept.any():
        raise ParcelError(f"{title}: none of {len(table)} features is a polygon; expected the outlines of field parcels")
    _tell(mended, f"{total} had invalid outlines: repaired")
    counts = {
        "features": len(table) + unread,
        "not_polygons": int(lines.sum()),
        "empty": int(empty.sum()),
        "repaired": int(mended.sum()),
    }
    return shapes[kept], table[kept], counts


def _tell(chosen: Mask, message: str) -> None:
    """Warn about the chosen features by their number, where there are any."""
    if chosen.any():
        warnings.warn(f"{np.count_nonzero(chosen)} {message}", ParcelWarning, stacklevel=4)


def joined(shapes: Shapes, table: gpd.GeoDataFrame, split_by: str | None, title: str) -> tuple[Shapes, tuple[str, ...], pd.DataFrame]:
    """Shapes, ids and attributes, one for each value of `split_by`, or one for each feature where that is None."""
    attributes = pd.DataFrame(table.drop(columns=table.geometry.name))
    if split_by is None:
        return shapes, _identifiers(attributes), attributes.reset_index(drop=True)
    if split_by not in attributes.columns:
        raise ParcelError(f"{title} has no field {split_by!r}{nearest_name(split_by, list(map(str, attributes.columns)))}")
    values = _texts(attributes[split_by], missing=f"no_{split_by}")
    groups: dict[str, list[int]] = {}
    for index, value in enumerate(values):
        groups.setdefault(value, []).append(index)
    first = attributes.iloc[[rows[0] for rows in groups.values()]].reset_index(drop=True)
    written = attributes.map(repr).to_numpy()
    same = np.array([[len(set(written[rows, column])) == 1 for column in range(written.shape[1])] for rows in groups.values()])
    united = np.array([shapely.union_all(shapes[rows]) if len(rows) > 1 else shapes[rows[0]] for rows in groups.values()], dtype=object)
    return united, tuple(groups), first.where(same)


def _identifiers(attributes: pd.DataFrame) -> tuple[str, ...]:
    """Values of the column `id` or `fid` where they tell the features apart, otherwise the feature numbers."""
    for wanted in ("id", "fid"):
        for column in attributes.columns:
            values = attributes[column]
            if str(column).lower() == wanted and values.notna().all() and values.astype(str).is_unique:
                return _texts(values, missing="")
    return tuple(str(index) for index in attributes.index)


def _texts(values: pd.Series, *, missing: str) -> tuple[str, ...]:
    """The values as text, whole numbers without a decimal point (a column with gaps comes as floats)."""
    texts = []
    for value in values:
        if pd.isna(value) or not str(value).strip():
            texts.append(missing)
        elif isinstance(value, float) and value.is_integer():
            texts.append(str(int(value)))
        else:
            texts.append(str(value).strip())
    return tuple(texts)


def file_names(values: Sequence[str]) -> tuple[str, ...]:
    """One file name (without extension) for each value: safe on every system, unique even where case does not count.

    Separators, reserved and control characters become ``_``; letters of any script stay. A name that is taken gets
    ``_2``, ``_3``, ….
    """
    taken: set[str] = set()
    names = []
    for value in values:
        plain = unicodedata.normalize("NFC", value)
        plain = "".join("_" if unicodedata.category(letter)[0] == "C" else letter for letter in plain)
        plain = re.sub(r'[<>:"/\\|?*\s]+', "_", plain).strip("._ ")
        plain = plain.encode()[:120].decode(errors="ignore") or "unnamed"  # file systems allow 255 bytes in all
        if re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", plain):
            plain = f"_{plain}"  # Windows keeps these for devices
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return tuple(names)
