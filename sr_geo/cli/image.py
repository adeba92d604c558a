"""`sr-geo image`."""

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sr_geo.cli.options import Sectioned
from sr_geo.cli.progress import enhancing, progress_option
from sr_geo.cli.terminal import ERR, OUT, json_line

if TYPE_CHECKING:
    from sr_geo.imaging.run import Outcome

_FILE = click.Path(path_type=Path)


class BoxType(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """``X,Y,WIDTH,HEIGHT`` in pixels."""

    name = "X,Y,WIDTH,HEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:  # noqa: ANN401 - as in click
        """Parse; click reports what fails."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 4 or not all(map(isfinite, numbers)) or numbers[2] <= 0 or numbers[3] <= 0:
            self.fail(f"{value!r}: expected four numbers of pixels, for instance 120,80,96,24", param, ctx)
        return numbers


class _Image(Sectioned):
    sections = {  # noqa: RUF012 - as in the base
        "domain": "Pictures",
        "report": "Outputs",
        "device": "Running",
    }


@click.command(
    cls=_Image,
    epilog="\b\nExamples:\n"
    "  sr-geo image photo.jpg large.png --domain photo --report photo.html\n"
    "  sr-geo image chest.dcm chest-x4.dcm --domain medical\n"
    "  sr-geo image portraits/ finer/ --domain face\n"
    "  sr-geo image street.jpg plate.png --domain plate --read",
)
@click.argument("source", type=_FILE, metavar="INPUT")
@click.argument("output", type=_FILE)
@click.option("--domain", type=click.Choice(["photo", "medical", "plate", "face"]), required=True, help="What the pictures show.")
@click.option("--model", metavar="NAME|FILE", help="A name of `sr-geo models list`, or an .onnx file; default: the domain's.")
@click.option(
    "--fidelity",
    type=click.FloatRange(0.0, 1.0),
    metavar="0…1",
    help="1: made small again, the result is the input; 0: the network's own; default: 1, for plate 0.",
)
@click.option("--aligned", is_flag=True, help="plate, face: INPUT is a crop of one; nothing is searched for.")
@click.option("--box", "boxes", type=BoxType(), multiple=True, help="plate, face: where it is; may be given several times.")
@click.option("--read", is_flag=True, help="plate: read it before and after, too; needs the extra plates.")
@click.option("--background", metavar="NAME|FILE", help="face: network for the rest of the photo; default: interpolation.")
@click.option("--allow-color", is_flag=True, help="medical: take pictures in colour too.")
@click.option(
    "--max-megapixels",
    type=click.FloatRange(0, min_open=True),
    default=500.0,
    show_default=True,
    help="Larger pictures are refused: a damaged or hostile file can claim any size.",
)
@click.option("--report", type=_FILE, metavar="FILE", help="Also write an HTML page: before and after, with a line to drag.")
@click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Where the network runs.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Of the network; default: all processors.")
@progress_option
def image(source: Path, output: Path, *, report: Path | None, progress: str, **options: Any) -> int:  # noqa: ANN401 - the fields of Options
    """Enlarge photos, X-rays, CT, number plates, faces.

    INPUT is a picture, or a folder whose pictures are taken. OUTPUT is a picture (PNG, TIFF, JPEG, WebP; DICOM for DICOM) or a folder.
    """
    from sr_geo.imaging.options import Options
    from sr_geo.imaging.run import enhance_images

    with enhancing(progress) as show:
        outcome = enhance_images(source, output, Options(**options), report=report, progress=show)
    if progress == "json":
        outputs = [str(made.output) for made in outcome.done]
        json_line(
            {
                "stage": "done",
                "outputs": outputs,
                "failed": list(outcome.failed),
                "report": report and str(report),
                "seconds": round(outcome.seconds, 2),
            }
        )
    elif progress == "auto":
        _print(outcome)
    for reason in outcome.failed:
        ERR.print(f"error: {reason}")
    return 1 if outcome.failed else 0


def _print(outcome: "Outcome") -> None:
    """Where the results are."""
    first = outcome.done[0]
    OUT.print(f"{first.output}" if len(outcome.done) == 1 else f"{len(outcome.done)} pictures, the first {first.output}")
    (height, width), (fine_height, fine_width) = first.before, first.after
    OUT.print(f"  {outcome.model}, {width} × {height} → {fine_width} × {fine_height} pixels, {outcome.seconds:.1f} s")
    if outcome.report is not None:
        OUT.print(f"{outcome.report}")
