"""Identification: is what a picture shows still told apart after enhancement? Matching, reading and their intervals.

**Rank 1.** An enhanced picture is identified where its descriptor is nearer to that of its own true picture than to that of every other
picture of the test set (a tie is a miss). With a table of identities its own are all gallery pictures of the same person, the truth of
the picture itself excepted.

**Plates.** An enhanced plate is identified where it is read exactly: the same letters and digits in the same order, nothing else counted.

Descriptors and reader are frozen, and no loss of the training uses them. An enhanced picture is no evidence, whatever the figures.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field
from threadpoolctl import threadpool_limits

from sr_geo.errors import EvaluationError, InputError, MissingPartError
from sr_geo.quality.identify_networks import Colours, Descriptor
from sr_geo.radiometry import Float

Kind = Literal["patch", "face", "plate"]
Z = 1.959964
"""Of an interval of 95 %."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Share(_Part):
    """So many of so many."""

    hits: int = Field(ge=0)
    count: int = Field(ge=0)

    @property
    def value(self) -> float:
        """Hits by count; NaN of nothing."""
        return self.hits / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval after Wilson (1927): right for few pictures and for shares near one, never beyond 0 and 1."""
        if not self.count:
            return 0.0, 1.0
        share, n = self.value, self.count
        middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
        half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
        # The ends are exact where all or none are hits; rounding must not move them.
        return (0.0 if not self.hits else middle - half), (1.0 if self.hits == n else middle + half)

    def text(self) -> str:
        """As percent with the interval."""
        if not self.count:
            return "–"
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.1f}–{100 * high:.1f}), {self.hits} of {self.count}"


class Compared(_Part):
    """What changed from other pictures of the same, for instance interpolated ones, to the enhanced ones."""

    before: Share
    gained: int
    """Identified now and not before."""
    lost: int
    """Identified before and not now: correct turned wrong."""

    p_value: float
    """How often chance alone makes gained and lost differ as much as this or more; see `chance`."""


class Identified(_Part):
    """What one descriptor, or the reader, found."""

    by: str
    gallery: int
    """Pictures that were to choose from; for plates, those with a text."""
    truth: Share | None = None
    """The same of the true pictures themselves; None where it is 1 by definition."""
    enhanced: Share
    of_readable: Share | None = None
    """For plates: of those whose true picture is read exactly."""
    compared: Compared | None = None
    missed: tuple[str, ...]
    """Names of the pictures that were not identified."""

    def rows(self) -> list[tuple[str, str]]:
        """A table as text."""
        table = [(self.by, self.enhanced.text())]
        if self.of_readable is not None:
            table.append(("of those whose truth is read", self.of_readable.text()))
        if self.truth is not None:
            table.append(("true pictures", self.truth.text()))
        if self.compared is not None:
            table.append(("before", self.compared.before.text()))
            table.append(("gained, lost", f"{self.compared.gained}, {self.compared.lost} (p = {self.compared.p_value:.2g})"))
        return table


@dataclass(frozen=True, slots=True)
class Probe:
    """A picture that is to be identified."""

    name: str
    picture: Colours
    truth: Colours
    """The true picture on the same grid."""
    identity: str
    """What counts as its own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A true picture that probes are compared with."""

    name: str
    picture: Colours
    identity: str


def rank_one(gallery: Sequence[Float], probe: Float, own: Sequence[bool]) -> bool:
    """Whether one of its own is strictly nearer to the probe than all the others.

    Args:
        gallery: descriptors of one length.
        probe: descriptor.
        own: for each of the gallery whether it is the probe's.
    """
    distances = np.array([float(np.sum(np.square(probe - one), dtype=np.float64)) for one in gallery])
    mine = np.array(own, bool)
    return bool(mine.any() and distances[mine].min() < distances[~mine].min(initial=math.inf))


def identify(gallery: Sequence[Entry], probes: Sequence[Probe], descriptor: Descriptor, *, apart: bool = False) -> list[bool]:
    """For each probe whether it is identified.

    Args:
        gallery: true pictures.
        probes: enhanced pictures.
        descriptor: frozen.
        apart: leave a probe's own true picture out of the gallery (identities are then those of a table).
    """
    known = [descriptor.describe(entry.picture, entry.picture) for entry in gallery]
    found = []
    for probe in probes:
        seen = descriptor.describe(probe.picture, probe.truth)
        kept = [index for index, entry in enumerate(gallery) if not (apart and entry.name == probe.name)]
        found.append(rank_one([known[i] for i in kept], seen, [gallery[i].identity == probe.identity for i in kept]))
    return found


def plain(text: str) -> str:
    """Letters and digits alone, in capitals; Cyrillic letters of plates as the Latin ones that they look like."""
    return re.sub(r"[^A-Z0-9]", "", text.upper().translate(str.maketrans("АВЕКМНОРСТУХІ", "ABEKMHOPCTYXI")))


def share(found: Sequence[bool]) -> Share:
    """How many."""
    return Share(hits=sum(found), count=len(found))


def compare(before: Sequence[bool], now: Sequence[bool]) -> Compared:
    """What changed, picture by picture."""
    pairs = list(zip(before, now, strict=True))
    gained, lost = sum(new and not old for old, new in pairs), sum(old and not new for old, new in pairs)
    return Compared(before=share(before), gained=gained, lost=lost, p_value=chance(gained, lost))


def chance(gained: int, lost: int) -> float:
    """Exact test of McNemar (1947), two-sided; it takes the pictures for independent of each other."""
    from scipy.stats import binomtest  # takes half a second

    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def identify_folders(
    kind: Kind, truth: Path, enhanced: Path, *, labels: Path | None = None, before: Path | None = None, threads: int | None = 1
) -> list[Identified]:
    """Identify the pictures of a folder.

    Args:
        kind: patch: by EfficientNet-Lite0 and by LPIPS-AlexNet; face: by dlib's embedding; plate: by reading.
        truth: folder of true pictures.
        enhanced: folder of enhanced pictures of the same names (without suffix) and sizes; it may hold fewer.
        labels: table (CSV) with a column `file` and, for plates, `text`; else `identity`, of every picture that is compared, and, if
            only some are the gallery, `role` (``gallery`` or ``probe``).
        before: folder of other pictures of the same, for instance interpolated ones, to compare with.
        threads: of the reader, and of linear algebra, whose threads wait for each other where the processor is busy; None: as many as
            there are.

    Raises:
        InputError: a folder or a picture is missing or cannot be read.
        EvaluationError: names, sizes or columns do not belong together.
        MissingPartError: a descriptor or the reader is not installed.
    """
    table = {} if labels is None else read_table(labels)
    if kind == "plate" and labels is None:
        raise EvaluationError("plates: give --labels, a table with the columns file and text")
    theirs, ours = pictures_in(truth), pictures_in(enhanced)
    earlier = None if before is None else pictures_in(before)
    names = sorted(name for name in ours if not table or (name in table and table[name].get("role") != "gallery"))
    for name in names:
        for folder, files in ((truth, theirs), (before, earlier)):
            if files is not None and name not in files:
                raise EvaluationError(f"{enhanced / ours[name].name}: no picture of that name in {folder}")
    if not names:
        raise EvaluationError(f"{enhanced}: no picture that is named in the table; its column `file` has the names")
    if kind == "plate":
        return [_read_plates(names, theirs, ours, earlier, table, threads=threads)]
    known = [name for name in sorted(theirs) if not table or (name in table and table[name].get("role") != "probe")]
    if len(known) < 2:
        raise EvaluationError(f"{truth}: {len(known)} picture(s) to choose from; give two at least, among one nothing is told apart")
    used = {name: table[name] for name in sorted({*names, *known}) if name in table}
    apart = any(row.get("identity") for row in used.values())
    if labels is not None and (apart or any(row.get("role") == "probe" for row in used.values())):
        _check_identities(labels, used)
    entries = [Entry(name, open_colours(theirs[name]), _identity(table, name)) for name in known]
    found = []
    with threadpool_limits(threads, user_api="blas"):
        for descriptor in _descriptors(kind):
            now = identify(entries, list(_probes(names, theirs, ours, table)), descriptor, apart=apart)
            true = identify(entries, list(_probes(names, theirs, theirs, table)), descriptor, apart=apart) if apart else None
            old = None if earlier is None else identify(entries, list(_probes(names, theirs, earlier, table)), descriptor, apart=apart)
            found.append(
                Identified(
                    by=descriptor.name,
                    gallery=len(entries),
                    truth=None if true is None else share(true),
                    enhanced=share(now),
                    compared=None if old is None else compare(old, now),
                    missed=tuple(name for name, hit in zip(names, now, strict=True) if not hit),
                )
            )
    return found


def _read_plates(
    names: Sequence[str],
    theirs: Mapping[str, Path],
    ours: Mapping[str, Path],
    earlier: Mapping[str, Path] | None,
    table: Mapping[str, Mapping[str, str]],
    *,
    threads: int | None,
) -> Identified:
    from sr_geo.imaging.reading import Reader

    try:
        reader = Reader(threads)
    except MissingPartError as error:
        raise MissingPartError(
            'reading plates needs rapidocr-onnxruntime; add it with: pip install "sr-geo[identify]" (for Python before 3.13)'
        ) from error
    for name in names:
        if not plain(table[name].get("text", "")):
            raise EvaluationError(f"{name}: no text in the table; its column `text` says what the plate reads")

    def exact(files: Mapping[str, Path]) -> list[bool]:
        return [plain(reader.read(open_colours(files[name])).text) == plain(table[name]["text"]) for name in names]

    true, now = exact(theirs), exact(ours)
    return Identified(
        by=reader.name,
        gallery=len(names),
        truth=share(true),
        enhanced=share(now),
        of_readable=share([hit for hit, readable in zip(now, true, strict=True) if readable]),
        compared=None if earlier is None else compare(exact(earlier), now),
        missed=tuple(name for name, hit in zip(names, now, strict=True) if not hit),
    )


def _descriptors(kind: Kind) -> tuple[Descriptor, ...]:
    from sr_geo.quality.identify_networks import Faces, patch_descriptors

    return (Faces(),) if kind == "face" else patch_descriptors()


def _probes(
    names: Sequence[str], theirs: Mapping[str, Path], pictures: Mapping[str, Path], table: Mapping[str, Mapping[str, str]]
) -> Iterator[Probe]:
    for name in names:
        picture, truth = open_colours(pictures[name]), open_colours(theirs[name])
        if picture.shape != truth.shape:
            sizes = f"{picture.shape[0]} × {picture.shape[1]} pixels, the true one {truth.shape[0]} × {truth.shape[1]}"
            raise EvaluationError(f"{pictures[name]}: {sizes}; give pictures of one size")
        yield Probe(name, picture, truth, _identity(table, name))


def _check_identities(labels: Path, used: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse pictures without an identity among those that have one: each would be counted as missed, whatever it shows.

    Raises:
        EvaluationError: naming those that have none.
    """
    lacking = [row["file"] for row in used.values() if not row.get("identity")]
    if lacking:
        more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
        raise EvaluationError(
            f"{labels}: no identity for {', '.join(lacking[:5])}{more}; fill the column `identity` for every picture that is compared, "
            "or give a table with neither `identity` nor `role`"
        )


def _identity(table: Mapping[str, Mapping[str, str]], name: str) -> str:
    return (table[name].get("identity") if name in table else None) or name


def pictures_in(folder: Path) -> dict[str, Path]:
    """The pictures of a folder and those below by name without suffix.

    Raises:
        InputError: there is no such folder, or no picture in it.
        EvaluationError: two pictures have one name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with pictures")
    found: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        if path.stem in found:
            raise EvaluationError(f"{path}: {found[path.stem]} has the same name; give a folder in which names differ")
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no picture in it; PNG, JPEG and TIFF of 8 bits are read")
    return found


def open_colours(path: Path) -> Colours:
    """A picture of 8 bits as red, green, blue.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise InputError(f"{path}: more than 8 bits a band; give pictures as they are shown")
            return np.ascontiguousarray(np.asarray(image.convert("RGB")))
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: no picture that can be read; give PNG, JPEG or TIFF") from error


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """Rows of a table by the name, without folder and suffix, in their column `file`.

    Raises:
        InputError: the table cannot be read.
        EvaluationError: it has no column `file`, a row names no picture, or two rows name one.
    """
    try:
        # Excel writes a mark before the first column and, where a comma parts decimals, semicolons between columns.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline()
            stream.seek(0)
            reader = csv.DictReader(stream, delimiter=";" if ";" in head and "," not in head else ",")
            rows = [(reader.line_num, {key: value or "" for key, value in row.items() if key}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no table that can be read; give a CSV file") from error
    if not rows or "file" not in rows[0][1]:
        raise EvaluationError(f"{path}: no column `file`; it names the picture of each row")
    found: dict[str, dict[str, str]] = {}
    for line, row in rows:
        if not any(row.values()):
            continue  # spreadsheets end with such rows
        if not row["file"]:
            raise EvaluationError(f"{path}: line {line} names no picture in its column `file`; fill it or delete the row")
        name = Path(row["file"]).stem
        if name in found:
            raise EvaluationError(f"{path}: {found[name]['file']} and {row['file']} have the same name; give a table in which names differ")
        found[name] = row
    return found
