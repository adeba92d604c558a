"""From a run to its page and picture, and the demonstration."""

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from glob import escape
from importlib.resources import files
from pathlib import Path

import sr_geo
from sr_geo.errors import InputError, NoCrsWarning, OptionError, OutputError
from sr_geo.models.catalog import load_model
from sr_geo.quality.quicklook import write_quicklook
from sr_geo.quality.report import BandFacts, ReportData, write_report
from sr_geo.quality.view import View, read_view
from sr_geo.raster.bands import Band
from sr_geo.raster.enhance import Result, enhance_parcels
from sr_geo.raster.job import check_side_file
from sr_geo.raster.options import Options, ParcelOptions, Progress
from sr_geo.raster.scene import Scene
from sr_geo.raster.units import common_unit, described_unit

CREDITS = {"itaipu_landsat8": "Landsat-8 image courtesy of the U.S. Geological Survey"}
"""Credit lines of the sample data, by name."""


def with_report(run: Callable[[Path | None], Result], path: Path, *, detail_map: Path | None) -> Result:
    """Run and write the page. It needs a detail map: where the user wants none, one is made and thrown away.

    Args:
        run: runs, writing the detail map to the path that it is given.
        path: of the page.
        detail_map: where the user wants the detail map.
    """
    if detail_map is not None:
        result = run(detail_map)
        write_run_report(result, path)
        return result
    for left in path.parent.glob(f".{escape(path.stem)}.detail-*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}.detail-") as folder:
        result = run(Path(folder) / "detail.tif")
        write_run_report(result, path)
    return result


def check_report(path: Path, others: Iterable[str | Path | None], *, overwrite: bool) -> None:
    """Refuse a page that cannot be written, or that would take the place of a file of the same run.

    Args:
        path: of the page.
        others: inputs and outputs of the run.
        overwrite: the page may exist.

    Raises:
        OptionError: a name that cannot be meant.
        OutputError: with what to do.
    """
    check_side_file(path, others, what="report", overwrite=overwrite)
    if path.suffix.lower() not in (".html", ".htm"):  # nor could it be one of the files of the parcels, whose names are not known yet
        raise OptionError(f"{path}: an HTML page is written, expected a name that ends in .html; choose another name for the report")


def write_run_report(result: Result, path: Path) -> None:
    """Write the page of a run.

    Raises:
        OutputError: the page cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoCrsWarning)  # said when the run opened the raster
        write_report(path, report_of(result))


def report_of(result: Result) -> ReportData:
    """Everything that the page of a run says."""
    card = load_model(result.options.model or result.model, device="cpu", threads=1).card
    view, measured = _view(result)
    units = [described_unit(band) for band in measured]
    network = [band for plan, band in zip(result.planning.bands, measured, strict=True) if plan.way == "network"] or measured
    bands = [
        BandFacts(name, band.way, check.before, check.after, band.sigma or None, band.sigma_from, check.drift, unit)
        for name, band, check, unit in zip(result.band_names, result.planning.bands, result.checks, units, strict=True)
    ]
    name = Path(result.source).name
    options = {"consistency": result.options.consistency, "other bands": result.options.other_bands, "blur": str(result.options.psf)}
    if result.parcels is not None:
        options |= {"parcels": Path(result.parcels.path).name, "buffer": f"{result.parcels.buffer_m:g} m"}
    provenance = {
        "licence of the weights": card.licence,
        "trained on": "; ".join(f"{data.name} ({data.licence})" for data in card.training),
    }
    credit = CREDITS.get(Path(result.source).stem)
    return ReportData(
        input_name=name,
        output_name=result.outputs[0].name
        if len(result.outputs) == 1
        else f"{len(result.outputs)} files in {result.outputs[0].parent.name}",
        model=f"{card.name}, which {card.caution}" if card.caution else card.name,
        model_sha256=result.model_sha256,
        bands=bands,
        tiles=result.tiles,
        seconds=result.seconds,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=sr_geo.__version__,
        view=view,
        scale=card.scale,
        input_metres=None if view.metres is None else view.metres * card.scale,
        unit=described_unit(network[0]),
        detail_unit=common_unit(network) or (described_unit(network[0]) if len({described_unit(band) for band in network}) == 1 else ""),
        stated=all(band.stated for band in measured),
        options=options,
        parcels=result.rows,
        provenance=provenance if credit is None else {**provenance, "imagery": credit},
        limits=[card.limits],
        consistent=result.options.consistency != "off",
    )


def _view(result: Result) -> tuple[View, list[Band]]:
    """The window about the parcels, with their outlines (of many files, the first), and the bands of the input that were enhanced."""
    # What the user or a file beside the input told of the bands, the result does not tell.
    roles = {plan.role: number for number, plan in enumerate(result.planning.bands, 1) if plan.role is not None}
    with (
        Scene.open(result.source, roles=result.options.bands, extra=result.options.extra_bands) as before,
        Scene.open(result.outputs[0], roles=roles) as after,
    ):
        bands = [before.bands[plan.index] for plan in result.planning.bands]
        rows = result.rows if len(result.outputs) == 1 else result.rows[:1]
        outlines, names = [row.geometry for row in rows], [row.name for row in rows]
        if result.detail_map is None:
            return read_view(before, after, outlines=outlines, names=names), bands
        with Scene.open(result.detail_map) as detail:
            return read_view(before, after, detail, outlines=outlines, names=names), bands


def sample(name: str) -> Path:
    """A file of the sample data, in the package or beside it.

    Raises:
        InputError: it is not there.
    """
    for folder in (Path(str(files("sr_geo"))) / "sample_data", Path(str(files("sr_geo"))).parent / "sample_data"):
        if (folder / name).exists():
            return folder / name
    raise InputError(f"sample_data/{name}: not found beside the package; install sr-geo again, or run in its source folder")


def run_demo(folder: Path, *, progress: Callable[[Progress], None]) -> dict[str, Path]:
    """Enhance the sample scene under its parcels into `folder`; what was written, by kind."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); give another folder") from error
    paths = {
        "result": folder / "itaipu_fields.tif",
        "detail map": folder / "itaipu_detail.tif",
        "report": folder / "report.html",
        "picture": folder / "quicklook.png",
    }
    source = sample("itaipu_landsat8.tif")
    choice = ParcelOptions(sample("itaipu_parcels.gpkg"), buffer_m=60.0)
    result = enhance_parcels(source, choice, paths["result"], Options(overwrite=True), detail_map=paths["detail map"], progress=progress)
    write_run_report(result, paths["report"])
    write_quicklook(
        paths["picture"],
        source,
        paths["result"],
        paths["detail map"],
        outlines=[row.geometry for row in result.rows],
        side=512,
        unit="reflectance",  # as the sample states
    )
    return paths
