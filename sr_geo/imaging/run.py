"""`sr-geo image` behind its options: one picture or a folder of them, each by the way of its domain, and the page."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

import sr_geo
from sr_geo.errors import InputError, OptionError, PictureWarning, SrGeoError
from sr_geo.imaging.domains import MANNERS, open_enlarger
from sr_geo.imaging.enlarge import Enlarger, Interpolator
from sr_geo.imaging.face_finder import FaceFinder
from sr_geo.imaging.faces import FaceSearch, enlarge_faces
from sr_geo.imaging.jobs import Job, check_report, holds_dicom, plan_jobs, written
from sr_geo.imaging.options import Options
from sr_geo.imaging.page import MOST, Page, write_page
from sr_geo.imaging.photo import Enlarged, Step, enlarge_photo
from sr_geo.imaging.plates import PlateSearch, enlarge_plates
from sr_geo.imaging.reading import Reader
from sr_geo.imaging.reduction import Bicubic
from sr_geo.imaging.shot import Shot, as_colours, central
from sr_geo.raster.options import Progress, Report

KINDS = {"photo": "photo", "medical": "X-ray or CT", "plate": "number plate", "face": "face"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run."""

    done: tuple[Enlarged, ...]
    failed: tuple[str, ...]
    """Of a folder: pictures that could not be made finer, one line each."""
    model: str
    seconds: float
    report: Path | None = None


def enhance_images(source: Path, output: Path, options: Options, *, report: Path | None = None, progress: Report | None = None) -> Outcome:
    """Make a picture finer, or all pictures of a folder.

    Args:
        source: a picture, or a folder: its pictures and those in folders inside it are taken. A picture that cannot be made finer does not
            keep a folder's others from it.
        output: the new picture, or the folder for new ones, which is made where there is none.
        options: how.
        report: HTML page to write.
        progress: told how far the run is: tiles of a picture, pictures of a folder.

    Raises:
        SrGeoError: nothing could be made: an option, the model, an input or an output does not fit.
    """
    started = time.monotonic()
    if options.boxes and source.is_dir():
        raise OptionError("boxes: the places in one picture, INPUT is a folder; give its pictures one by one")
    series = options.domain == "medical" and source.is_dir() and holds_dicom(source)
    jobs = [] if series else plan_jobs(source, output, options)
    outputs = frozenset(path for job in jobs for path in written(job.output, options))
    if report is not None:
        files = [source, output, *(job.source for job in jobs), *outputs]
        check_report(report, files, overwrite=options.overwrite)
    enlarger = open_enlarger(
        options.domain, options.model, fidelity=options.fidelity, device=options.device, threads=options.threads
    )
    run = _Run(enlarger, _Tools.of(options), options, shoot=report is not None, taken=outputs)
    many = source.is_dir() and not series
    if series:
        run.series(source, output, _steps(progress, started))
    for number, job in enumerate(jobs):
        run.one(job, alone=not many, step=None if many else _steps(progress, started))
        if many and progress is not None:
            gone = time.monotonic() - started
            progress(Progress("enhance", number + 1, len(jobs), gone / (number + 1) * (len(jobs) - number - 1)))
    if not run.done:
        raise InputError(f"{source}: none of its {len(jobs)} pictures could be made finer; the first: {run.failed[0]}")
    card, seconds = enlarger.upscaler.card, time.monotonic() - started
    outcome = Outcome(tuple(run.done), tuple(run.failed), card.name, seconds, report)
    if report is not None:
        write_page(report, _page(source, outcome, enlarger, options))
    return outcome


@dataclass(frozen=True, slots=True)
class _Tools:
    """What plates and faces are searched with."""

    plates: PlateSearch
    faces: FaceSearch
    reader: Reader | None = None
    finder: FaceFinder | None = None
    background: Enlarger | Interpolator = field(default_factory=Interpolator)

    @staticmethod
    def of(options: Options) -> "_Tools":
        """Loads what the options ask for."""
        plates = PlateSearch(options.aligned, options.boxes, options.read, options.threads)
        faces = FaceSearch(options.boxes, options.threads)
        if options.domain == "plate":
            return _Tools(plates, faces, reader=plates.reader())
        if options.domain != "face" or options.aligned:
            return _Tools(plates, faces)
        background: Enlarger | Interpolator = Interpolator()
        if options.background is not None:
            background = open_enlarger(
                "photo", options.background, fidelity=options.fidelity, device=options.device, threads=options.threads
            )
        return _Tools(plates, faces, finder=faces.finder(), background=background)


@dataclass(slots=True)
class _Run:
    """Pictures one after the other."""

    enlarger: Enlarger
    tools: _Tools
    options: Options
    shoot: bool
    taken: frozenset[Path] = frozenset()
    """Files that will be written anyway."""
    done: list[Enlarged] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def one(self, job: Job, *, alone: bool, step: Step | None) -> None:
        """Make one picture finer; in a folder its failure is noted only."""
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
            made = self._enlarge(job, step)
        except (SrGeoError, MemoryError) as error:
            if alone:
                raise
            self.failed.append(" ".join(str(error).split()) or f"{job.source}: the memory does not suffice")
        else:
            self.done.append(made)

    def _enlarge(self, job: Job, step: Step | None) -> Enlarged:
        shoot = self.shoot and sum(len(made.shots) for made in self.done) < MOST
        remark = MANNERS[self.options.domain].warning
        if job.dicom:
            from sr_geo.imaging.dicom import enlarge_dicom

            made = enlarge_dicom(
                job.source, job.output, self.enlarger, allow_color=self.options.allow_color, overwrite=self.options.overwrite, step=step
            )
            return _with_shot(made) if shoot else made
        limit = self.options.max_megapixels
        if self.options.domain == "plate":
            search, reader = self.tools.plates, self.tools.reader
            return enlarge_plates(
                job.source,
                job.output,
                self.enlarger,
                search,
                reader,
                remark=remark,
                megapixels=limit,
                overwrite=self.options.overwrite,
                taken=self.taken,
            )
        if self.options.domain == "face" and not self.options.aligned:
            return enlarge_faces(
                job.source,
                job.output,
                self.enlarger,
                self.tools.faces,
                self.tools.finder,
                background=self.tools.background,
                remark=remark,
                megapixels=limit,
                shoot=shoot,
                step=step,
            )
        return enlarge_photo(job.source, job.output, self.enlarger, remark=remark, megapixels=limit, shoot=shoot, step=step)

    def series(self, source: Path, output: Path, step: Step | None) -> None:
        """Make all DICOM pictures of a folder finer, or none."""
        from sr_geo.imaging.dicom import enlarge_series

        made = enlarge_series(
            source, output, self.enlarger, allow_color=self.options.allow_color, overwrite=self.options.overwrite, step=step
        )
        spread = set(np.linspace(0, len(made) - 1, min(MOST, len(made))).round().astype(int)) if self.shoot else set()
        self.done += [_with_shot(one) if number in spread else one for number, one in enumerate(made)]


def _with_shot(made: Enlarged) -> Enlarged:
    """With the middle of the first frame, through the window of the file; without it, and a warning, where that makes no sense."""
    from sr_geo.imaging.dicom_view import show_pair, shown_through

    window = central(*made.before)
    try:
        before, after = (as_colours(picture) for picture in show_pair(made.source, made.output, part=window))
    except InputError as error:  # the result is written and right; only the page cannot show it
        warnings.warn(PictureWarning(f"{error}; the page does not show it"), stacklevel=2)
        return made
    words = [shown_through(made.source)]
    if window.shape != made.before:
        words.append(f"{window.width} × {window.height} of its {made.before[1]} × {made.before[0]} pixels.")
    shot = Shot(made.source.name, before, after, tuple(words))
    return replace(made, shots=(shot,))


def _steps(progress: Report | None, started: float) -> Callable[[int, int], None] | None:
    if progress is None:
        return None

    def step(done: int, total: int) -> None:
        left = (time.monotonic() - started) / done * (total - done)
        progress(Progress("enhance", done, total, left))

    return step


def tied(enlarger: Enlarger) -> str:
    """How results are held to inputs, in words; "" where they are not."""
    if enlarger.optics is None:
        return ""
    way = "" if enlarger.fidelity == 1.0 else f"{enlarger.fidelity:.0%} of the way from the network’s own result to where this holds: "
    if isinstance(enlarger.optics, Bicubic):
        return f"{way}made small again by bicubic reduction, the result is the input"
    return f"{way}seen again through a blur of {enlarger.optics.sigma:g} output pixels, the result is the input"


def _page(source: Path, outcome: Outcome, enlarger: Enlarger, options: Options) -> Page:
    card = enlarger.upscaler.card
    sizes = [f"{made.source.name}: {made.before[1]} × {made.before[0]} → {made.after[1]} × {made.after[0]}" for made in outcome.done[:3]]
    return Page(
        title=source.name or str(source.resolve()),
        kind=KINDS[options.domain],
        warning=MANNERS[options.domain].warning,
        shots=[shot for made in outcome.done for shot in made.shots],
        pictures=len(outcome.done),
        seconds=outcome.seconds,
        model=card.name,
        model_sha256=enlarger.upscaler.sha256,
        limits=card.limits,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=sr_geo.__version__,
        scale=card.scale,
        tied=tied(enlarger),
        failed=outcome.failed,
        facts={"Size": "; ".join(sizes) + (" …" if len(outcome.done) > 3 else "")},
    )
