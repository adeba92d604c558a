"""Identification by size: at which size of the input does an enhanced picture stop being told apart?

    python training/benchmark_identify.py --data DIR                                         bicubic only
    python training/benchmark_identify.py --data DIR --method face-rgb-x4 --domain face      and a model, by name or as .onnx

Test pictures are reduced so that the input has the given side, brought down by the domain's degradation, enlarged by each method,
and matched with the true pictures of the test set (sr_geo/quality/identify.py says how). Writes training/results/identification.csv: rows
of the same domain, side, method and judge are replaced, all others stay.

Domains: `medical` (test X-rays and CT slices), `satellite` (test rows of NAIP and of the Landsat mosaic, for
inputs of 100 pixels test scenes, natural colours, blur of 1.6),
`face` (test people, each picture by its own), `face-person` (smiling ones among the neutral ones), `plate` (real ones, by reading:
sides are widths), `plate-rendered` (rendered ones with texts that training never draws; what is chosen by, so that real ones stay unseen).
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmark_pictures import bytes_of
from enlarging import SCALE, SIGMA, Method, ours
from PIL import Image
from result_table import Row, put, read_rows, write_rows
from scenes import SPAIN, open_scene

from sr_geo.consistency import Sensor, seen
from sr_geo.models.catalog import load_model
from sr_geo.quality.identify import Entry, Probe, Share, compare, identify, open_colours, plain, read_table, share
from sr_geo.quality.identify_networks import Colours, Descriptor, Faces, patch_descriptors
from sr_geo.radiometry import Float

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("domain", "side", "method", "by", "gallery", "hits", "count", "share", "low", "high", "gained", "lost")
SIDES = {
    "medical": (100, 50, 25, 16, 12, 8, 6),
    "satellite": (100, 25, 12),
    "face": (100, 64, 50, 32, 25, 20, 16),
    "face-person": (100, 50, 32, 25, 20, 16),
    "plate": (100, 64, 48, 32, 25, 20),
    "plate-rendered": (64, 48, 40, 32, 25),
}
"""Sizes of the input that docs/identify.md has; `--side` measures others."""
RENDERED = 120
Strip = tuple[Path, tuple[int, int, int], tuple[int, int | None], tuple[int, int | None]]
"""A file, its bands, and which rows and columns; None: to the end."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A test picture: red, green, blue ``(3, H, W)``, 0…1, as large as it comes."""

    name: str
    picture: Float
    identity: str
    gallery: bool = True
    probe: bool = True


def medical(data: Path) -> Iterator[Truth]:
    """The middle 400 × 400 of every test picture."""
    for name, row in read_table(data / "medical/labels.csv").items():
        path = data / "medical" / row["file"]
        if row["split"] == "test" and path.exists() and row["modality"] in {"CR", "DX", "CT"}:
            yield Truth(name, _middle(_unit(open_colours(path)), 400), name)


def faces(data: Path, *, by_person: bool) -> Iterator[Truth]:
    """Test people; neutral pictures are the gallery and smiling ones the probes where it goes by person."""
    for name, row in read_table(data / "faces/labels.csv").items():
        if row["split"] == "test":
            picture = _unit(open_colours(data / "faces" / row["file"]))
            if by_person:
                yield Truth(name, picture, row["identity"], gallery=row["role"] == "gallery", probe=row["role"] == "probe")
            else:
                yield Truth(name, picture, name)


def satellite(data: Path, *, side: int) -> Iterator[Truth]:
    """Windows of test imagery in natural colours, stretched as a whole file is by its 1st and 99th percentile.

    Below 400 pixels of NAIP's test rows and the Landsat mosaic's, side by side. These hold none that is larger: there windows
    of whole scenes, which overlap by three quarters, so that the rivals of each show most of the same ground.
    """
    strips: list[Strip] = [(path, (1, 2, 3), (572, 723), (0, None)) for path in sorted((data / "satellite/hr/naip").glob("*.tif"))]
    strips.append((data / "satellite/landsat/agnet_lc8_northdakota_2015245.tif", (3, 2, 1), (2560, 3328), (0, None)))
    scenes: list[Strip] = [
        (data / "satellite/landsat/LC08_L1TP_224078_20200518_20200518_01_RT.TIF", (3, 2, 1), (0, None), (1400, None)),
        (data / "satellite/sentinel2/denmark_20160508_BGR_B2B3B4_uint16_10m.tif", (3, 2, 1), (0, None), (0, None)),
        (data / "satellite/sentinel2" / SPAIN, (4, 3, 2), (0, None), (0, None)),
    ]
    large = side >= 400
    for path, bands, (top, bottom), (left, right) in scenes if large else strips:
        with open_scene(path) as dataset:
            part = ((top, min(bottom or dataset.height, dataset.height)), (left, right or dataset.width))
            values = dataset.read(bands, window=part).astype(np.float32)
        valid = (values > 0).all(axis=0)
        if not valid.any():
            continue
        low, high = np.percentile(values[:, valid], (1, 99))
        picture = np.clip((values - low) / (high - low), 0.0, 1.0)
        rows, columns = (range(0, length - side + 1, side // 4 if large else side) for length in values.shape[1:])
        whole = [(row, column) for row in rows for column in columns if valid[row : row + side, column : column + side].all()]
        for row, column in whole[:: max(1, -(-len(whole) // 24))]:
            name = f"{path.stem}-{row}-{column}"
            yield Truth(name, picture[:, row : row + side, column : column + side], name)


def plates(data: Path) -> Iterator[Truth]:
    """Test crops with a text."""
    for name, row in read_table(data / "plates/labels.csv").items():
        path = data / "plates" / row["file"]
        if row["split"] == "test" and plain(row["text"]) and path.exists() and "scenes" not in row["file"]:
            yield Truth(name, _unit(open_colours(path)), row["text"])


def rendered(side: int) -> Iterator[Truth]:
    """Plates with held-out texts, framed like the crops of real ones: their line of characters and little else."""
    from sr_geo.train.plates import render_plate

    height = round(0.3 * side / SCALE) * SCALE
    for number in range(RENDERED):
        rng = np.random.default_rng([723, number])
        countries = ("kz", "ru", "eu", "us", "br")
        plate = render_plate(rng, size=(height, side), width=0.77 * side, countries=countries, held_out=True, centred=True)
        yield Truth(f"{number:03d}", _unit(_bytes(plate.picture)), plate.text)


def truths(domain: str, data: Path, side: int) -> list[Truth]:
    """Test pictures of a domain at the size that makes an input of `side`."""
    fine = side * SCALE
    if domain == "satellite":
        return list(satellite(data, side=fine))
    if domain == "plate-rendered":
        return list(rendered(fine))
    found = {"medical": medical, "plate": plates}.get(domain, lambda root: faces(root, by_person=domain == "face-person"))(data)
    sized = []
    for truth in found:
        height, width = truth.picture.shape[1:]
        if domain == "plate":  # narrower ones are left out: enlarging them would not make them sharper
            if width < fine:
                continue
            across, down = fine, max(SCALE, round(height * fine / width / SCALE) * SCALE)
        else:
            across = down = fine
        sized.append(Truth(truth.name, _sized(truth.picture, down, across), truth.identity, truth.gallery, truth.probe))
    return sized


def coarse(domain: str, fine: Float, *, sigma: float = SIGMA) -> Float:
    """The input, in steps of 8 bits."""
    if domain == "satellite":
        sensor = Sensor(sigma, SCALE)
        margin = sensor.reach * SCALE
        around = np.pad(fine, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
        low = np.stack([seen(plane, sensor) for plane in around])
    else:
        low = _sized(fine, fine.shape[1] // SCALE, fine.shape[2] // SCALE)
    return bytes_of(low)


def bicubic(low: Float) -> Float:
    """Enlarged by cubic interpolation."""
    return _sized(low, low.shape[1] * SCALE, low.shape[2] * SCALE)


def network(name: str, domain: str) -> Method:
    """Enlarged by a model, and held to the input as `sr-geo` does it; a gray one works on the luminance."""
    model = load_model(name, device="cpu", threads=1)
    enlarge = ours(model, domain.partition("-")[0])
    if model.card.bands != ("gray",):
        return enlarge
    return lambda low: np.repeat(enlarge(np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), low, 1)[None]), 3, axis=0)


def _unit(picture: Colours) -> Float:
    return picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255.0)


def _bytes(picture: Float) -> Colours:
    return np.ascontiguousarray(np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8).transpose(1, 2, 0))


def _middle(picture: Float, side: int) -> Float:
    row, column = ((length - side) // 2 for length in picture.shape[1:])
    return picture[:, max(row, 0) :, max(column, 0) :][:, :side, :side]


def _sized(picture: Float, height: int, width: int) -> Float:
    planes = [Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC) for plane in np.ascontiguousarray(picture)]
    sized: Float = np.clip(np.stack([np.asarray(plane) for plane in planes]), 0.0, 1.0)
    return sized


def by_descriptor(domain: str, found: Sequence[Truth], pictures: Sequence[Float], descriptor: Descriptor) -> list[bool]:
    """Identified or not, for each probe."""
    gallery = [Entry(truth.name, _bytes(truth.picture), truth.identity) for truth in found if truth.gallery]
    probes = [
        Probe(truth.name, _bytes(picture), _bytes(truth.picture), truth.identity)
        for truth, picture in zip(found, pictures, strict=True)
        if truth.probe
    ]
    return identify(gallery, probes, descriptor, apart=domain == "face-person")


def by_reading(found: Sequence[Truth], pictures: Sequence[Float]) -> list[bool]:
    """Read exactly or not, for each plate."""
    from sr_geo.imaging.reading import Reader

    reader = Reader(1)
    return [plain(reader.read(_bytes(picture)).text) == plain(truth.identity) for truth, picture in zip(found, pictures, strict=True)]


def measure(domain: str, side: int, data: Path, methods: dict[str, Method], descriptors: Sequence[Descriptor]) -> Iterator[Row]:
    """Rows of the table."""
    found = truths(domain, data, side)
    if len(found) < 10:
        return
    inputs = [coarse(domain, truth.picture) for truth in found]
    made = {"truth": [truth.picture for truth in found]} | {name: [method(low) for low in inputs] for name, method in methods.items()}
    judges = {"reader": None} if domain.startswith("plate") else {descriptor.name: descriptor for descriptor in descriptors}
    for by, descriptor in judges.items():
        hits = {
            name: by_reading(found, pictures) if descriptor is None else by_descriptor(domain, found, pictures, descriptor)
            for name, pictures in made.items()
        }
        if domain.startswith("plate"):  # of those whose truth is read
            readable = hits["truth"]
            hits |= {f"{name}, readable": [hit for hit, known in zip(each, readable, strict=True) if known] for name, each in hits.items()}
        gallery = sum(truth.gallery for truth in found)
        for name, each in hits.items():
            before = hits["bicubic, readable" if name.endswith("readable") else "bicubic"]
            change = compare(before, each)
            what = {"domain": domain, "side": side, "method": name, "by": by, "gallery": gallery}
            yield what | _figures(share(each)) | {"gained": change.gained, "lost": change.lost}


def _figures(found: Share) -> Row:
    low, high = found.interval
    return {"hits": found.hits, "count": found.count, "share": round(found.value, 4), "low": round(low, 4), "high": round(high, 4)}


def in_order(rows: Sequence[Row]) -> list[Row]:
    """The table by domain, the larger sides first, the judges as they come."""
    domains = list(SIDES)
    judges = list(dict.fromkeys(str(row["by"]) for row in rows))

    def place(row: Row) -> tuple[int, int, int]:
        return domains.index(str(row["domain"])), -int(str(row["side"])), judges.index(str(row["by"]))

    return sorted(rows, key=place)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--domain", action="append", choices=tuple(SIDES))
    parser.add_argument("--side", action="append", type=int, help="of the input in pixels; plates: its width")
    parser.add_argument("--method", action="append", default=[], help="a model beside bicubic, by name or as .onnx")
    parser.add_argument("--out", type=Path, default=ROOT / "training/results/identification.csv")
    given = parser.parse_args()
    rows = read_rows(given.out)
    for domain in given.domain or SIDES:
        methods: dict[str, Method] = {"bicubic": bicubic} | {Path(name).stem: network(name, domain) for name in given.method}
        descriptors = () if domain.startswith("plate") else (Faces(),) if domain.startswith("face") else patch_descriptors()
        for side in given.side or SIDES[domain]:
            for row in measure(domain, side, given.data, methods, descriptors):
                rows = put(rows, [row | {"side": str(side)}], ("domain", "side", "method", "by"))
                print(*row.values(), flush=True)
            write_rows(given.out, COLUMNS, in_order(rows))


if __name__ == "__main__":
    main()
