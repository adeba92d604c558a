"""`sr-geo …`: parse, call, print, exit code. The only package that prints.

Each command has a module of its own; they share the terminal, the progress and the one place where errors become exit codes.
"""

import sys

import click

import sr_geo
from sr_geo.cli import demo, doctor, enhance, evaluate, export, identify, image, models, train
from sr_geo.cli.ending import run


class _Commands(click.Group):
    """Commands whose names may have two words: `train new-region` beside `train`."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments call, and what is left of them."""
        two = " ".join(args[:2])
        return (two, self.commands[two], args[2:]) if two in self.commands else super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="\b\nExamples:\n"
    "  sr-geo demo                                      see it work on the sample data\n"
    "  sr-geo enhance scene.tif fine.tif                a whole raster\n"
    "  sr-geo enhance S2B_….SAFE fields.tif --parcels fields.gpkg --report fields.html\n"
    "  sr-geo train new-region imagery/                 write a recipe for a model of your own region",
)
@click.version_option(sr_geo.__version__, prog_name="sr-geo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
def cli(debug: bool) -> None:
    """×4 super-resolution for satellite rasters: same place, same units, nodata kept, inventions shown.

    `sr-geo COMMAND --help` has the options and examples of a command. No command uses the internet by itself.
    """
    del debug  # read in `run`, where errors end up


for _command in (enhance.enhance, image.image, demo.demo, evaluate.evaluate, identify.identify, models.models, doctor.doctor):
    cli.add_command(_command)
for _command in (train.train, train.new_region, export.export):
    cli.add_command(_command)


def main() -> None:
    """Entry point: run the command line of this process and exit."""
    sys.exit(run(cli, sys.argv[1:]))
