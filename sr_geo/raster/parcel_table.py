"""Statistics of parcels as a table for spreadsheets (CSV) or maps (GeoPackage)."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
from pyproj import CRS

from sr_geo.errors import OptionError, OutputError
from sr_geo.raster.job import check_side_file
from sr_geo.raster.zonal import ParcelRow


def write_table(rows: Sequence[ParcelRow], path: str | Path, *, crs: CRS | None, overwrite: bool = False) -> None:
    """Write the rows as CSV, or with their outlines as GeoPackage, by the ending of `path`.

    The layer's own columns come last; those whose name is taken are called ``source_…``. The file appears when it is whole.

    Args:
        rows: from `ParcelStatistics.rows`.
        path: ``….csv`` (UTF-8, comma, point) or ``….gpkg`` (layer "parcels").
        crs: of the outlines: `Parcels.crs`.
        overwrite: replace an existing file.

    Raises:
        OutputError: another ending, a file in the way, or no folder to write to.
    """
    target = Path(path)
    check_table(target, (), overwrite=overwrite)
    kind = target.suffix.lower()
    table = _table(rows)
    partial = target.with_name(f".{target.stem}.part{kind}")
    try:
        if kind == ".csv":
            table.to_csv(partial, index=False, encoding="utf-8")
        else:
            partial.unlink(missing_ok=True)
            frame = gpd.GeoDataFrame(table, geometry=[row.geometry for row in rows], crs=crs)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="'crs' was not provided")  # the raster has none either
                frame.to_file(partial, driver="GPKG", layer="parcels", VERSION="1.2")  # GDAL 3.6, as in QGIS 3.22, warns of newer ones
        partial.replace(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({error.strerror or error}): give another place") from error
    finally:
        partial.unlink(missing_ok=True)


def check_table(path: Path, others: Iterable[str | Path | None], *, overwrite: bool) -> None:
    """Refuse a table that cannot be written, or that would take the place of a file of the same run, before any work is done.

    Args:
        path: of the table.
        others: inputs and outputs of the run.
        overwrite: the table may exist.

    Raises:
        OptionError: a name that cannot be meant.
        OutputError: with what to do.
    """
    if path.suffix.lower() not in (".csv", ".gpkg"):
        raise OptionError(f"{path.name}: parcel tables are written as .csv or .gpkg: give the file one of these endings")
    check_side_file(path, others, what="parcel table", overwrite=overwrite)


def _table(rows: Sequence[ParcelRow]) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {}

    def put(name: str, values: list[Any]) -> None:
        columns[name] = [float(f"{value:.7g}") if isinstance(value, float) else value for value in values]

    for name in ("id", "name", "area_ha", "area_method", "width_px", "narrow", "pixels_before", "pixels_after", "valid_share"):
        put(name, [getattr(row, name) for row in rows])
    for band in rows[0].means_before if rows else ():
        put(f"{band}_before", [row.means_before[band] for row in rows])
        put(f"{band}_after", [row.means_after[band] for row in rows])
    for name in ("ndvi_before", "ndvi_after", "ndvi_std_before", "ndvi_std_after", "detail"):
        put(name, [getattr(row, name) for row in rows])
    taken = {name.casefold() for name in columns} | {"fid", "geom", "geometry"}  # GeoPackage keeps the last three for itself
    for name in rows[0].attributes if rows else ():
        free = name
        while free.casefold() in taken:
            free = f"source_{free}"
        taken.add(free.casefold())
        columns[free] = [row.attributes[name] for row in rows]
    return pd.DataFrame(columns)
