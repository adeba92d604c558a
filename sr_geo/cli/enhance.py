"""`sr-geo enhance`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sr_geo.cli.options import BandsType, PsfType, Sectioned
from sr_geo.cli.progress import enhancing, progress_option
from sr_geo.cli.terminal import OUT, json_line

if TYPE_CHECKING:
    from sr_geo.raster.enhance import Result

_FILE = click.Path(path_type=Path)


class _Enhance(Sectioned):
    sections = {  # noqa: RUF012 - as in the base
        "parcels": "Parcels",
        "model": "Model and bands",
        "detail_map": "Outputs",
        "device": "Running",
    }


@click.command(
    cls=_Enhance,
    epilog="\b\nExamples:\n"
    "  sr-geo enhance scene.tif fine.tif --bands r=3,g=2,b=1,nir=4\n"
    "  sr-geo enhance S2A_MSIL2A_….zip fields.tif --parcels fields.gpkg --buffer-m 20 --report fields.html\n"
    "  sr-geo enhance LC09_L2SP_… parcels/ --parcels fields.shp --split-by field_id",
)
@click.argument("source", metavar="INPUT")
@click.argument("output", type=_FILE)
@click.option("--parcels", metavar="FILE", help="Field parcels in any vector format and CRS: only they are enhanced.")
@click.option("--layer", metavar="NAME", help="Layer of the parcels file; needed where it has several.")
@click.option("--where", metavar="SQL", help="Take only these parcels, e.g. \"crop = 'wheat'\".")
@click.option("--buffer-m", type=float, default=0.0, show_default=True, help="Metres to grow every parcel (shrink: below 0).")
@click.option("--split-by", metavar="FIELD", help="One file per parcel, named by this column; OUTPUT is then a folder.")
@click.option(
    "--parcels-as",
    type=click.Choice(["masked", "box"]),
    default="masked",
    show_default=True,
    help="masked: only the parcels, nodata around them; box: all within the rectangle about them.",
)
@click.option("--model", metavar="NAME|FILE", help="A name of `sr-geo models list`, or an .onnx file; default: by the bands of the input.")
@click.option("--bands", type=BandsType(), default={}, help="Which band is which, numbers from 1: r=3,g=2,b=1,nir=4.")
@click.option("--extra-bands", metavar="ROLE,…", default="", help="Further bands of a Sentinel-2 or Landsat product: rededge1,swir1.")
@click.option(
    "--other-bands",
    type=click.Choice(["guided", "cubic", "drop"]),
    default="guided",
    show_default=True,
    help="Bands the model was not trained on: take over detail of the others, interpolate, or leave out.",
)
@click.option(
    "--consistency",
    type=click.Choice(["psf", "mean", "off"]),
    default="psf",
    show_default=True,
    help="Tie the result to the input: through the sensor's blur, by plain 4 × 4 means, or not.",
)
@click.option(
    "--psf",
    type=PsfType(),
    default="auto",
    show_default=True,
    help="Blur of the sensor in output pixels, usually 1 to 3.2; auto measures it per band.",
)
@click.option("--detail-map", type=_FILE, metavar="FILE", help="Also write how much detail was added, per pixel.")
@click.option("--report", type=_FILE, metavar="FILE", help="Also write an HTML page: before and after, spectra, parcels.")
@click.option(
    "--parcel-table", type=_FILE, metavar="FILE", help="Also write statistics of the parcels: .csv, or .gpkg with their outlines."
)
@click.option("--cog", is_flag=True, help="Write OUTPUT as a Cloud Optimized GeoTIFF, with overviews.")
@click.option(
    "--compress",
    type=click.Choice(["deflate", "zstd", "lzw", "none"]),
    default="deflate",
    show_default=True,
    help="Of the rasters: deflate is read everywhere, zstd is written faster and read by GDAL and QGIS.",
)
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where the network runs.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Of the network; default: all processors.")
@click.option("--tile", type=click.IntRange(16, 1024), metavar="N", help="Side of a tile, input pixels; changes at most the last digit.")
@click.option("--resume", is_flag=True, help="Go on with a stopped run of the same input and options.")
@progress_option
def enhance(
    source: str,
    output: Path,
    *,
    parcels: str | None,
    layer: str | None,
    where: str | None,
    buffer_m: float,
    split_by: str | None,
    parcels_as: Literal["masked", "box"],
    extra_bands: str,
    detail_map: Path | None,
    report: Path | None,
    parcel_table: Path | None,
    progress: str,
    **options: Any,  # noqa: ANN401 - the fields of Options, checked there
) -> None:
    """Enhance a raster ×4: the whole of it, or the field parcels.

    INPUT is anything that GDAL opens (GeoTIFF, COG, VRT, JP2, /vsizip/…), a Sentinel-2 .SAFE folder or zip, or a
    Landsat Collection 2 folder. OUTPUT is a GeoTIFF with the same extent, CRS, type, units and nodata.
    """
    from sr_geo.raster.enhance import enhance_parcels, enhance_raster
    from sr_geo.raster.options import Options, ParcelOptions

    if parcels is None and (layer or where or buffer_m or split_by or parcels_as == "box" or parcel_table):
        raise click.UsageError("--layer, --where, --buffer-m, --split-by, --parcels-as and --parcel-table need --parcels")
    if split_by is not None and parcels_as == "box":
        raise click.UsageError("--split-by masks every file to its parcel; leave --parcels-as box away")
    chosen = Options(extra_bands=tuple(role.strip() for role in extra_bands.split(",") if role.strip()), **options)
    choice = None if parcels is None else ParcelOptions(parcels, layer, where, buffer_m, split_by, parcels_as)
    if parcel_table is not None:
        from sr_geo.raster.parcel_table import check_table, write_table

        check_table(parcel_table, (source, parcels, chosen.model, output, detail_map, report), overwrite=chosen.overwrite)
    with enhancing(progress) as show:

        def run(details: Path | None) -> "Result":
            if choice is None:
                return enhance_raster(source, output, chosen, detail_map=details, progress=show)
            return enhance_parcels(source, choice, output, chosen, detail_map=details, progress=show)

        if report is None:
            result = run(detail_map)
        else:
            from sr_geo.quality.summary import check_report, with_report  # Jinja and Pillow; a preview does without

            check_report(report, (source, parcels, chosen.model, output, detail_map), overwrite=chosen.overwrite)
            result = with_report(run, report, detail_map=detail_map)
        if parcel_table is not None:
            write_table(result.rows, parcel_table, crs=result.crs, overwrite=chosen.overwrite)
    _show_end(progress, result, {"detail_map": detail_map, "report": report, "parcel_table": parcel_table})


def _show_end(progress: str, result: "Result", more: dict[str, Path | None]) -> None:
    """The last words of a run; `more` are the further files that were asked for."""
    if progress == "json":
        files = {name: path and str(path) for name, path in more.items()}
        json_line({"stage": "done", "outputs": [str(path) for path in result.outputs], **files, "seconds": round(result.seconds, 2)})
    elif progress == "auto":
        print_result(result)
        for path in more.values():
            if path is not None:
                OUT.print(f"{path}")


def print_result(result: "Result") -> None:
    """Where the result is, and what was done to each band."""
    count = len(result.outputs)
    OUT.print(f"{result.outputs[0]}" if count == 1 else f"{count} files in {result.outputs[0].parent}")
    OUT.print(f"  {result.model}, {result.tiles} tile(s), {result.seconds:.1f} s")
    for name, band, check, unit in zip(result.band_names, result.planning.bands, result.checks, result.units, strict=True):
        words: list[str] = [band.way]
        if band.way in ("network", "guided"):
            words.append(f"blur {band.sigma:.2f} output pixels ({band.sigma_from})")
        if check.drift is not None:
            amount = f"{check.drift:.2g} {unit}" if unit else f"{check.drift / abs(band.encoding.scale):.2g} in stored values"
            words.append(f"off the measurement by {amount} on average")
        OUT.print(f"  {name}: {', '.join(words)}")
