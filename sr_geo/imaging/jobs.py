"""Which picture becomes which file, and what of that is refused before any work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_geo.errors import InputError, OutputError
from sr_geo.imaging.dicom_read import is_dicom
from sr_geo.imaging.opening import SUFFIXES
from sr_geo.imaging.options import Options
from sr_geo.imaging.plates import outputs_of
from sr_geo.imaging.saving import SUFFIXES as WRITABLE
from sr_geo.imaging.saving import check_format
from sr_geo.raster.target import check_target


@dataclass(frozen=True, slots=True)
class Job:
    """A picture and what is to be made of it."""

    source: Path
    output: Path
    dicom: bool = False


def holds_dicom(folder: Path) -> bool:
    """Whether a DICOM file is in a folder or in one inside it."""
    return any(is_dicom(path) for path in folder.rglob("*") if path.is_file())


def plan_jobs(source: Path, output: Path, options: Options) -> list[Job]:
    """What is to be made of what.

    Args:
        source: a picture or a folder of them.
        output: a file or a folder.
        options: of the run.

    Raises:
        InputError: the folder holds no picture.
        OutputError: an output must not or cannot be written.
    """
    jobs = _of_folder(source, output, options) if source.is_dir() else [_of_file(source, output, options)]
    taken: set[Path] = set()
    for job in jobs:
        for path in written(job.output, options):
            if path in taken:
                raise OutputError(f"{path}: two pictures of {source} would be written to it; rename one of them")
            taken.add(path)
            if path.exists() or not source.is_dir():
                check_target(path, overwrite=options.overwrite)
    return jobs


def written(output: Path, options: Options) -> list[Path]:
    """The files that come with an output, as far as is known before."""
    return [output, *outputs_of(output)] if options.domain == "plate" else [output]


def check_report(report: Path, others: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a page that cannot be written, or that would take the place of a file of the same run.

    Raises:
        OutputError: with what to do.
    """
    if report.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{report}: the report is a page, expected a name that ends in .html")
    if any(report.resolve() == path.resolve() for path in others):
        raise OutputError(f"{report}: is a file of the same run; choose another name for the report")
    check_target(report, overwrite=overwrite)


def _of_file(source: Path, output: Path, options: Options) -> Job:
    dicom = options.domain == "medical" and is_dicom(source)
    target = output / (source.name if dicom else _result_name(source, options)) if output.is_dir() else output
    if not dicom:
        check_format(target)
    elif target.suffix.lower() in WRITABLE:
        raise OutputError(f"{target}: the input is DICOM and stays so; choose a name that ends in .dcm")
    if source.exists() and target.exists() and target.samefile(source):
        raise OutputError(f"{target}: is the input itself; choose another name")
    return Job(source, target, dicom)


def _of_folder(source: Path, output: Path, options: Options) -> list[Job]:
    if output.exists() and (not output.is_dir() or output.samefile(source)):
        raise OutputError(f"{output}: {'is the input itself' if output.is_dir() else 'is a file'}; INPUT is a folder, name another one")
    if not output.parent.is_dir():
        raise OutputError(f"{output.parent}: no such folder; create it or choose another one")
    inside = output.resolve()
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    taken = [path for path in found if inside not in path.resolve().parents]
    if not taken:
        raise InputError(f"{source}: holds no picture; expected files that end in {', '.join(sorted(SUFFIXES))}")
    return [Job(path, output / path.relative_to(source).parent / _result_name(path, options)) for path in taken]


def _result_name(path: Path, options: Options) -> str:
    """The same name; plates, which are small, and what cannot be written become PNG."""
    if options.domain == "plate":
        return f"{path.stem}.png"
    return path.name if path.suffix.lower() in WRITABLE else f"{path.name}.png"
