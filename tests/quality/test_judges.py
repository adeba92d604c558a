"""The frozen judges of `sr-geo identify`, on pictures of scikit-image and drawn plates. Skipped where the extra `identify` is missing."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from sr_geo.errors import MissingPartError
from sr_geo.quality.identify import Entry, Probe, identify, identify_folders, open_colours, read_table
from sr_geo.quality.identify_networks import Colours, Descriptor, Faces, patch_descriptors

data = pytest.importorskip("skimage.data", reason="scikit-image has the pictures")

SAME = 0.6
"""Of dlib's embedding, as its authors say: two pictures of one person are nearer to each other than this, of two persons farther apart."""


@pytest.fixture(scope="module")
def faces() -> Faces:
    try:
        return Faces()
    except MissingPartError:
        pytest.skip("dlib or its models are not installed (extra `identify`)")


@pytest.fixture(scope="module")
def patches() -> tuple[Descriptor, ...]:
    try:
        return patch_descriptors()
    except MissingPartError as error:
        pytest.skip(str(error))


def portrait(shift: int = 0) -> Colours:
    """Eileen Collins (NASA, in the public domain), 256 × 256 pixels, her face in the middle or so many pixels to the right of it."""
    return np.ascontiguousarray(data.astronaut()[:256, 100 - shift : 356 - shift])


def strangers(count: int) -> list[Colours]:
    """Other faces, 25 × 25 pixels."""
    return [np.repeat(np.rint(face * 255.0).astype(np.uint8)[..., None], 3, axis=2) for face in data.lfw_subset()[:count]]


def as_jpeg(picture: Colours, quality: int) -> Colours:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def resized(picture: Colours, side: int) -> Colours:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def distance(faces: Faces, picture: Colours, truth: Colours) -> float:
    """From the portrait."""
    return float(np.linalg.norm(faces.describe(picture, truth) - faces.describe(portrait(), portrait())))


def test_a_face_has_one_embedding(faces: Faces) -> None:
    described = faces.describe(portrait(), portrait())
    assert described.shape == (128,)
    assert described.dtype == np.float32
    assert distance(faces, portrait(), portrait()) == 0.0


def test_a_face_stays_itself_and_others_are_others(faces: Faces) -> None:
    mirrored = np.ascontiguousarray(portrait()[:, ::-1])
    assert distance(faces, as_jpeg(portrait(), 30), portrait()) < SAME / 2
    assert distance(faces, (portrait() * 0.6).astype(np.uint8), portrait()) < SAME / 2
    assert distance(faces, resized(portrait(), 128), portrait()) < SAME / 2
    assert distance(faces, mirrored, mirrored) < SAME / 2
    assert min(distance(faces, other, other) for other in strangers(12)) > SAME


def test_a_face_is_cut_out_where_the_truth_has_it(faces: Faces) -> None:
    assert distance(faces, portrait(shift=30), portrait(shift=30)) < SAME / 4
    assert distance(faces, portrait(shift=30), portrait()) > SAME / 2  # beside its place
    nothing = np.full_like(portrait(), 128)
    assert np.isfinite(faces.describe(nothing, nothing)).all()  # no face is found: the picture as a whole


def test_a_face_is_identified_among_others(faces: Faces) -> None:
    gallery = [Entry("own", portrait(), "own"), *(Entry(f"{n}", face, f"{n}") for n, face in enumerate(strangers(12)))]
    coarse = [resized(resized(portrait(), side), 256) for side in (128, 64, 32)]
    assert identify(gallery, [Probe("own", one, portrait(), "own") for one in coarse], faces) == [True] * 3
    other = strangers(13)[-1]
    assert identify(gallery, [Probe("own", other, other, "own")], faces) == [False]


def test_people_are_identified_by_another_picture(faces: Faces, data_root: Path) -> None:
    rows = [(name, row) for name, row in read_table(data_root / "faces" / "labels.csv").items() if row["split"] == "test"][:12]
    shown = {name: resized(open_colours(data_root / "faces" / row["file"]), 400) for name, row in rows}
    gallery = [Entry(name, shown[name], row["identity"]) for name, row in rows if row["role"] == "gallery"]
    probes = [Probe(name, shown[name], shown[name], row["identity"]) for name, row in rows if row["role"] == "probe"]
    assert len(gallery) == len(probes) == 6
    assert all(identify(gallery, probes, faces, apart=True))


def test_patches_are_told_apart(patches: tuple[Descriptor, ...]) -> None:
    cup, corners = data.coffee(), [(row, column) for row in (50, 250) for column in (60, 260, 460)]
    windows = {f"{row}-{column}": np.ascontiguousarray(cup[row : row + 96, column : column + 96]) for row, column in corners}
    gallery = [Entry(name, window, name) for name, window in windows.items()]
    packed = [Probe(name, as_jpeg(window, 50), window, name) for name, window in windows.items()]
    names = [*windows]
    moved = [Probe(name, windows[other], windows[other], name) for name, other in zip(names, names[1:] + names[:1], strict=True)]
    for descriptor in patches:
        assert all(identify(gallery, packed, descriptor)), descriptor.name
        assert not any(identify(gallery, moved, descriptor)), descriptor.name


def plate(text: str, *, blur: int = 1) -> Image.Image:
    image = Image.new("RGB", (320, 80), (235, 235, 235))
    ImageDraw.Draw(image).text((20, 12), text, (20, 20, 20), ImageFont.load_default(size=52))
    return image.resize((320 // blur, 80 // blur), Image.Resampling.BICUBIC).resize((320, 80), Image.Resampling.BICUBIC)


def test_plates_are_read(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="the reader is not installed (extra `identify`)", exc_type=ImportError)
    texts = {"a": "KA 723 BE", "b": "FH 450 TN", "c": "RX 918 UK"}
    for folder in ("truth", "good", "bad"):
        (tmp_path / folder).mkdir()
    for name, text in texts.items():
        plate(text).save(tmp_path / "truth" / f"{name}.png")
        plate(text, blur=2).save(tmp_path / "good" / f"{name}.png")
    plate(texts["a"]).save(tmp_path / "bad" / "a.png")
    plate("FH 460 TN").save(tmp_path / "bad" / "b.png")  # one character is another
    plate(texts["c"], blur=40).save(tmp_path / "bad" / "c.png")  # nothing is left
    with (tmp_path / "plates.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("file", "text"), *((f"{name}.png", text) for name, text in texts.items())])
    (found,) = identify_folders("plate", tmp_path / "truth", tmp_path / "bad", labels=tmp_path / "plates.csv", before=tmp_path / "good")
    assert found.truth is not None
    assert found.of_readable is not None
    assert found.compared is not None
    assert (found.truth.hits, found.enhanced.hits, found.of_readable.count) == (3, 1, 3)
    assert found.missed == ("b", "c")
    assert (found.compared.before.hits, found.compared.gained, found.compared.lost) == (3, 0, 2)
