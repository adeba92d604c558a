"""`sr-geo …`: parse, call, exit code. The only module that prints."""

import importlib.util
import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.table import Table

import sr_geo
from sr_geo.errors import MissingPartError, OptionError, SrGeoError

if TYPE_CHECKING:
    from sr_geo.raster.enhance import Result

# No markup: brackets and colons in the name of a file are meant as they stand.
_ERR = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)
_OUT = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)

STAGES = {"enhance": "Enhancing", "measure": "Measuring parcels", "write": "Writing"}


class BandsType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """``r=3,g=2,b=1,nir=4`` as a mapping."""

    name = "ROLE=NUMBER,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int]:  # noqa: ANN401 - as in click
        """Parse; click reports what fails."""
        if isinstance(value, dict):
            return value
        bands: dict[str, int] = {}
        for item in value.split(","):
            role, equals, number = item.partition("=")
            role = role.strip().lower()
            if not equals or not role or not number.strip().isdecimal() or int(number) < 1:
                self.fail(f"{item!r}: expected role=number with numbers from 1, for instance r=3,g=2,b=1,nir=4", param, ctx)
            if role in bands:
                self.fail(f"{role} is given twice; name each role once", param, ctx)
            bands[role] = int(number)
        return bands


class PsfType(click.ParamType):  # type: ignore[type-arg]  # as above
    """``auto`` or a positive number."""

    name = "auto|SIGMA"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Literal["auto"] | float:  # noqa: ANN401
        """Parse; click reports what fails."""
        if value == "auto" or isinstance(value, float):
            return cast("Literal['auto'] | float", value)
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r}: expected auto or a number of output pixels, usually 1 to 3.2", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(sr_geo.__version__, prog_name="sr-geo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    r"""×4 super-resolution for satellite rasters: same place, same units, nodata kept, inventions shown.

    \b
    Examples:
      sr-geo demo                                      see it work on the sample data
      sr-geo enhance scene.tif fine.tif                a whole raster
      sr-geo enhance S2B_….SAFE fields.tif --parcels fields.gpkg --report fields.html
    """
    del debug  # read in main(), where errors end up


@cli.command(
    epilog="\b\nExamples:\n  sr-geo enhance scene.tif fine.tif --bands r=3,g=2,b=1,nir=4\n"
    "  sr-geo enhance S2A_MSIL2A_….zip fields.tif --parcels fields.gpkg --buffer-m 20 --report fields.html\n"
    "  sr-geo enhance LC09_L2SP_… parcels/ --parcels fields.shp --split-by field_id"
)
@click.argument("source", metavar="INPUT")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME|FILE.onnx", help="Default: the shipped model that uses most bands of the input.")
@click.option("--parcels", metavar="FILE", help="Field parcels in any vector format and CRS: only they are enhanced.")
@click.option("--layer", help="Layer of the parcels file.")
@click.option("--where", metavar="SQL", help="Filter of the parcels, e.g. \"crop = 'wheat'\".")
@click.option("--buffer-m", type=float, default=0.0, show_default=True, help="Metres to grow every parcel (shrink: below 0).")
@click.option("--split-by", metavar="FIELD", help="One file per parcel, named by this column; OUTPUT is then a folder.")
@click.option(
    "--parcels-as",
    type=click.Choice(["masked", "box"]),
    default="masked",
    show_default=True,
    help="Outside the parcels: nodata, or enhanced too.",
)
@click.option("--bands", type=BandsType(), default={}, help="Which band is which, from 1: r=3,g=2,b=1,nir=4.")
@click.option("--extra-bands", metavar="ROLE,…", default="", help="Further bands of a product: rededge1,swir1.")
@click.option(
    "--other-bands",
    type=click.Choice(["guided", "cubic", "drop"]),
    default="guided",
    show_default=True,
    help="Bands the model was not trained on.",
)
@click.option(
    "--consistency",
    type=click.Choice(["psf", "mean", "off"]),
    default="psf",
    show_default=True,
    help="Tie the result to what the sensor measured.",
)
@click.option(
    "--psf", type=PsfType(), default="auto", show_default=True, help="Blur of the sensor in output pixels; auto measures it per band."
)
@click.option("--detail-map", type=click.Path(path_type=Path), metavar="FILE", help="Also write how much detail was added, per pixel.")
@click.option("--report", type=click.Path(path_type=Path), metavar="FILE.html", help="Also write a page to look at.")
@click.option("--cog", is_flag=True, help="Write a Cloud Optimized GeoTIFF.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Of the network; default: all processors.")
@click.option("--tile", type=click.IntRange(16, 4096), help="Side of a tile in input pixels; the result does not depend on it.")
@click.option("--resume", is_flag=True, help="Go on with a run of the same input and options that was stopped.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "json", "none"]),
    default="auto",
    show_default=True,
    help="json: one object a line, for programs.",
)
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
    progress: str,
    **options: Any,  # noqa: ANN401 - the fields of Options, checked there
) -> None:
    """Enhance a raster ×4: the whole of it, or the field parcels.

    INPUT is anything that GDAL opens (GeoTIFF, COG, VRT, JP2, /vsizip/…), a Sentinel-2 .SAFE folder or zip, or a
    Landsat Collection 2 folder. OUTPUT is a GeoTIFF with the same extent, CRS, type, units and nodata.
    """
    from sr_geo.quality.summary import check_report, with_report
    from sr_geo.raster.enhance import enhance_parcels, enhance_raster
    from sr_geo.raster.options import Options, ParcelOptions

    if parcels is None and (layer or where or buffer_m or split_by or parcels_as == "box"):
        raise click.UsageError("--layer, --where, --buffer-m, --split-by and --parcels-as need --parcels")
    if split_by is not None and parcels_as == "box":
        raise click.UsageError("--split-by masks every file to its parcel; leave --parcels-as box away")
    chosen = Options(extra_bands=tuple(role.strip() for role in extra_bands.split(",") if role.strip()), **options)
    choice = None if parcels is None else ParcelOptions(parcels, layer, where, buffer_m, split_by, parcels_as)
    with _shown(progress) as show:

        def run(details: Path | None) -> "Result":
            if choice is None:
                return enhance_raster(source, output, chosen, detail_map=details, progress=show)
            return enhance_parcels(source, choice, output, chosen, detail_map=details, progress=show)

        if report is None:
            result = run(detail_map)
        else:
            check_report(report, (source, parcels, chosen.model, output, detail_map), overwrite=chosen.overwrite)
            result = with_report(run, report, detail_map=detail_map)
    if progress == "json":
        _line({"stage": "done", "outputs": [str(path) for path in result.outputs], "seconds": round(result.seconds, 2)})
    elif progress == "auto":
        _print_result(result)
        for path in (detail_map, report):
            if path is not None:
                _OUT.print(f"{path}")


def _print_result(result: "Result") -> None:
    count = len(result.outputs)
    _OUT.print(f"{result.outputs[0]}" if count == 1 else f"{count} files in {result.outputs[0].parent}")
    _OUT.print(f"  {result.model}, {result.tiles} tile(s), {result.seconds:.1f} s")
    for name, band, check in zip(result.band_names, result.planning.bands, result.checks, strict=True):
        words: list[str] = [band.way]
        if band.way in ("network", "guided"):
            words.append(f"blur {band.sigma:.2f} output pixels ({band.sigma_from})")
        if check.drift is not None:
            words.append(f"off the measurement by {check.drift:.2g} on average")
        _OUT.print(f"  {name}: {', '.join(words)}")


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("sr-geo-demo"), metavar="[DIR]")
def demo(folder: Path) -> None:
    """The main job on the sample data: a Landsat 8 scene under field parcels. Writes result, report and picture into DIR."""
    from sr_geo.quality.summary import run_demo

    with _shown("auto") as show:
        paths = run_demo(folder, progress=show)
    _OUT.print("Enhanced a Landsat 8 crop (30 m → 7.5 m) under its field parcels:")
    for what, path in paths.items():
        _OUT.print(f"  {what:<12} {path}")


@cli.group()
def models() -> None:
    """The models that there are."""


@models.command("list")
def models_list() -> None:
    """Name, bands, size and purpose of every model."""
    from sr_geo.models.catalog import entries, load_model

    table = Table("model", "bands", "parameters", "file", "what for", box=None, header_style="bold")
    for name, entry in entries().items():
        card = load_model(name, device="cpu", threads=1).card
        table.add_row(
            name, ", ".join(card.bands), f"{card.parameters / 1e6:.2f} M", f"{entry.path.stat().st_size / 1e6:.1f} MB", card.title
        )
    _OUT.print(table)


@models.command("info")
@click.argument("model")
def models_info(model: str) -> None:
    """The card of a model: data, licences, measured quality, limits."""
    from sr_geo.models.catalog import load_model

    upscaler = load_model(model, device="cpu", threads=1)
    card = upscaler.card
    _OUT.print(f"{card.name}: {card.title}", style="bold")
    blur = "none" if card.sigma is None else f"{card.sigma[0]} to {card.sigma[1]} output pixels"
    for label, text in (
        ("sha256", upscaler.sha256),
        ("bands", ", ".join(card.bands)),
        ("scale", f"×{card.scale}"),
        ("network", f"{card.family}, {card.parameters} parameters"),
        ("halo", f"{card.halo} input pixels ({'exact' if card.exact_halo else 'blended'})"),
        ("blur", blur),
        ("licence", card.licence),
        ("limits", card.limits),
    ):
        _OUT.print(f"  {label:<10} {text}")
    for data in card.training:
        _OUT.print(f"  trained on {data.share:.0%} {data.name} ({data.licence})")
    for figure in card.quality:
        _OUT.print(f"  {figure.test_set}, {figure.condition}: {figure.metric} {figure.value:g}")


@models.command("verify")
@click.argument("name", required=False)
def models_verify(name: str | None) -> None:
    """Check that the files of the shipped models are whole."""
    from sr_geo.models.catalog import entries, verify

    for model in [name] if name else list(entries()):
        _OUT.print(f"{model}: sha256 {verify(model).sha256[:16]}… is right")


@models.command("export-card")
@click.argument("model")
def models_export_card(model: str) -> None:
    """The card of a model as JSON."""
    from sr_geo.models.catalog import load_model

    click.echo(load_model(model, device="cpu", threads=1).card.model_dump_json(indent=2))


@cli.command()
@click.argument("reference")
@click.argument("enhanced")
@click.option("--lr", metavar="INPUT", help="The raster that was enhanced: adds sensor consistency and the opensr-test figures.")
@click.option("--psf", type=float, help="Blur of the sensor in output pixels, for --lr; default: what the enhanced raster's tags say.")
@click.option("--border", type=click.IntRange(0), default=0, show_default=True, help="Pixels left out on every side.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write the figures as JSON.")
def evaluate(reference: str, enhanced: str, *, lr: str | None, psf: float | None, border: int, json_file: Path | None) -> None:
    """Compare an enhanced raster with the truth on the same grid."""
    from sr_geo.quality.evaluate import evaluate_rasters

    result = evaluate_rasters(reference, enhanced, lr=lr, psf=psf, border=border)
    header, *rows = result.rows()
    table = Table(*header, box=None, header_style="bold")
    for row in rows:
        table.add_row(*row)
    _OUT.print(table)
    if json_file is not None:
        json_file.write_text(result.model_dump_json(indent=2) + "\n", encoding="utf-8")


@cli.command()
@click.argument("recipe", type=click.Path(path_type=Path), metavar="RECIPE.yaml")
@click.option("--run", type=click.Path(path_type=Path), help="Folder of the run; default: runs/NAME.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="SR_GEO_DATA",
    default=Path("data"),
    show_default=True,
    help="Root of the training imagery.",
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a key of the recipe, e.g. loop.iterations=200.")
@click.option("--max-minutes", type=float, help="Stop in time; the learning rate still runs down to zero.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--progress", type=click.Choice(["auto", "json", "none"]), default="auto", show_default=True)
def train(
    recipe: Path, *, run: Path | None, data: Path, overrides: tuple[str, ...], max_minutes: float | None, resume: bool, progress: str
) -> None:
    """Train a model from a recipe, and write it as ONNX with its card into the folder of the run."""
    _need_training()
    from sr_geo.train.command import train_and_export

    with _shown_training(progress) as show:
        path = train_and_export(recipe, run, data=data, overrides=overrides, max_minutes=max_minutes, resume=resume, report=show)
    _OUT.print(f"{path}")


@cli.command("export")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("output", type=click.Path(path_type=Path), metavar="OUT.onnx")
def export_(run: Path, output: Path) -> None:
    """Write the weights of a training run as ONNX with a card; checked against PyTorch."""
    _need_training()
    from sr_geo.train.command import export_run

    difference = export_run(run, output)
    _OUT.print(f"{output}: differs from PyTorch by at most {difference:.1e}")


@cli.command()
def doctor() -> None:
    """What is installed, what is missing, and the command that adds it."""
    from sr_geo.doctor import diagnose

    checks = diagnose()
    colours = {"ok": "green", "warn": "yellow", "missing": "red"}
    for check in checks:
        _OUT.print(f"{check.state:<8}", style=colours[check.state], end=" ")
        _OUT.print(f"{check.name:<16} {check.detail}")
        if check.remedy:
            _OUT.print(f"{'':<26}→ {check.remedy}")
    sys.exit(1 if any(check.state == "missing" for check in checks) else 0)


def _need_training() -> None:
    """Training needs packages that enhancing does not."""
    missing = [name for name in ("torch", "safetensors", "yaml", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPartError(f"training needs {', '.join(missing)}: pip install 'sr-geo[train]'")


def main() -> None:
    """Entry point: errors end as one line and an exit code (1 failure, 2 usage, 130 stopped)."""
    debug = "--debug" in sys.argv
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # the rest of its arguments are not needed
    signal.signal(signal.SIGTERM, _stop)
    try:
        cli.main(prog_name="sr-geo", standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        command = "sr-geo" if not isinstance(error, click.UsageError) or error.ctx is None else error.ctx.command_path
        _ERR.print(f"error: {' '.join(error.format_message().split())} (see `{command} --help`)")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        resumes = any(command in sys.argv[1:] for command in ("enhance", "train"))
        _ERR.print("stopped; the same command with --resume goes on where this one ended" if resumes else "stopped")
        sys.exit(130)
    except BrokenPipeError:  # `sr-geo … | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (SrGeoError, OSError) as error:
        if debug:
            traceback.print_exc()
        _ERR.print(f"error: {_one_line(error)}")
        sys.exit(2 if isinstance(error, OptionError) else 1)
    except Exception as error:  # the last resort: no traceback reaches a user who did not ask for one
        if debug:
            traceback.print_exc()
        _ERR.print(f"error: {type(error).__name__}: {_one_line(error)} (unexpected: run with `sr-geo --debug …` and report it)")
        sys.exit(1)


class _shown:  # noqa: N801 - used as a function
    """A progress function for a run: a bar on a terminal, JSON lines for programs, or nothing."""

    def __init__(self, how: str) -> None:
        self.how = how
        terminal = how == "auto" and _ERR.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self.bar = Bar(*columns, console=_ERR, transient=True) if terminal else None
        self.tasks: dict[str, Any] = {}

    def __enter__(self) -> Callable[[Any], None]:
        if self.bar is not None:
            self.bar.start()
        return self._report

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def _report(self, progress: Any) -> None:  # noqa: ANN401 - Progress of a module that is not loaded yet
        if self.how == "json":
            left = None if progress.seconds_left is None else round(progress.seconds_left, 1)
            _line({"done": progress.done, "total": progress.total, "stage": progress.stage, "seconds_left": left})
        elif self.bar is not None:
            if progress.stage not in self.tasks:
                self.tasks[progress.stage] = self.bar.add_task(STAGES[progress.stage], total=progress.total, left="")
            left = "" if not progress.seconds_left else f"{_duration(progress.seconds_left)} left"
            self.bar.update(self.tasks[progress.stage], completed=progress.done, total=progress.total, left=left)


class _shown_training(_shown):  # noqa: N801 - used as a function
    """The same for a training run."""

    def _report(self, progress: Any) -> None:  # noqa: ANN401 - as above
        gain = "" if progress.gain_db is None else f", {progress.gain_db:+.2f} dB over bicubic"
        if self.how == "json":
            _line(
                {"done": progress.step, "total": progress.iterations, "stage": "train", "loss": progress.loss, "gain_db": progress.gain_db}
            )
        elif self.bar is not None:
            if not self.tasks:
                self.tasks["train"] = self.bar.add_task("Training", total=progress.iterations, left="")
            self.bar.update(
                self.tasks["train"],
                completed=progress.step,
                left=f"{_duration(progress.seconds_left)} left, loss {progress.loss:.4f}{gain}",
            )
        elif self.how == "auto" and progress.gain_db is not None:
            _ERR.print(f"step {progress.step} of {progress.iterations}: loss {progress.loss:.4f}{gain}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _line(content: Mapping[str, object]) -> None:
    click.echo(json.dumps(content))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or "no further word"


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    if category.__module__.startswith("sr_geo"):
        _ERR.print(f"warning: {' '.join(str(message).split())}")


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
