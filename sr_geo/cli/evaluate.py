"""`sr-geo evaluate`."""

from pathlib import Path

import click
from rich.table import Table

from sr_geo.cli.terminal import ERR, OUT, print_table


@click.command(
    epilog="\b\nExamples:\n"
    "  sr-geo enhance sample_data/rendered_farm.tif farm.tif\n"
    "  sr-geo evaluate sample_data/rendered_farm_truth.tif farm.tif --lr sample_data/rendered_farm.tif\n"
    "  sr-geo evaluate truth.tif farm.tif --border 8 --json figures.json"
)
@click.argument("reference")
@click.argument("enhanced")
@click.option("--lr", metavar="INPUT", help="The raster that was enhanced: adds sensor consistency and the opensr-test figures.")
@click.option(
    "--psf",
    type=float,
    metavar="SIGMA",
    help="Blur of the sensor in output pixels, for --lr; default: what the enhanced raster's tags say.",
)
@click.option(
    "--data-range",
    type=float,
    metavar="VALUE",
    help="Peak of PSNR and SSIM; default: 255 for 8 bits, else the 99.5th percentile of REFERENCE.",
)
@click.option("--border", type=click.IntRange(0), metavar="N", default=0, show_default=True, help="Pixels left out on every side.")
@click.option("--dists", is_flag=True, help="Add DISTS; needs the extra `train`, and takes seconds a scene.")
@click.option("--each-band", is_flag=True, help="Add LPIPS, and DISTS with --dists, of each band as a gray picture.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write the figures as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace the JSON file if it exists.")
def evaluate(
    reference: str,
    enhanced: str,
    *,
    lr: str | None,
    psf: float | None,
    data_range: float | None,
    border: int,
    dists: bool,
    each_band: bool,
    json_file: Path | None,
    overwrite: bool,
) -> None:
    """Compare an enhanced raster with the truth.

    REFERENCE and ENHANCED lie on the same grid. Prints PSNR, SSIM, MS-SSIM, errors, spectral angle, ERGAS and, where its weights are
    installed, LPIPS: for all bands together and for each. Pixels without data in either raster are left out.
    """
    from sr_geo.quality.evaluate import evaluate_rasters
    from sr_geo.quality.evaluation import write_json
    from sr_geo.quality.lpips import INSTALL, is_available
    from sr_geo.raster.target import check_target

    if json_file is not None:
        if any(json_file.absolute() == Path(name).absolute() for name in (reference, enhanced, lr) if name is not None):
            raise click.UsageError(f"--json {json_file}: is a raster of this comparison; choose another name")
        check_target(json_file, overwrite=overwrite)
    result = evaluate_rasters(
        reference, enhanced, lr=lr, psf=psf, border=border, data_range=data_range, with_dists=dists, each_band=each_band
    )
    header, *rows = result.rows()
    table = Table(*header, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    print_table(table)
    if not is_available():
        ERR.print(f"LPIPS is left out, its weights are not installed: {INSTALL}")
    if json_file is not None:
        write_json(json_file, result, overwrite=overwrite)
        OUT.print(f"{json_file}")
