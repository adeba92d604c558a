"""`sr-geo demo`."""

from pathlib import Path

import click

from sr_geo.cli.progress import enhancing
from sr_geo.cli.terminal import OUT


@click.command(epilog="\b\nExample:\n  sr-geo demo my-folder")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("sr-geo-demo"), metavar="[DIR]")
def demo(folder: Path) -> None:
    """The main job on the sample data, in about half a minute.

    Enhances a real Landsat 8 scene under its field parcels, 30 m to 7.5 m, and writes the result, the map of added
    detail, a report and a picture into DIR (default: sr-geo-demo). Files of an earlier demo there are replaced.
    """
    from sr_geo.quality.summary import run_demo

    with enhancing("auto") as show:
        paths = run_demo(folder, progress=show)
    OUT.print("Enhanced a Landsat 8 crop (30 m → 7.5 m) under its field parcels:")
    for what, path in paths.items():
        OUT.print(f"  {what:<12} {path}")
