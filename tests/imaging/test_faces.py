from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sr_geo.errors import InputError, MissingPartError
from sr_geo.imaging import face_finder
from sr_geo.imaging.enlarge import Enlarger, Interpolator
from sr_geo.imaging.face_finder import FaceFinder, apart
from sr_geo.imaging.faces import FaceSearch, enlarge_faces
from sr_geo.imaging.opening import open_picture

REMARK = "No evidence of identity."


def test_a_face_is_laid_softly_over_the_photo(tmp_path: Path, enlarger: Enlarger) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    search = FaceSearch(boxes=((50.0, 30.0, 40.0, 40.0),))
    done = enlarge_faces(
        tmp_path / "in.png", tmp_path / "out.png", enlarger, search, None, background=Interpolator(tile=40), remark=REMARK, shoot=True
    )
    values = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    written = open_picture(tmp_path / "out.png").pixels.transpose(2, 0, 1).astype(np.float32)
    (face, background) = (np.clip(made, 0, 1) * 255 for made in (enlarger(values), _interpolated(values)))
    core, outside = (slice(None), slice(120, 280), slice(200, 360)), (slice(None), slice(0, 60), slice(None))
    np.testing.assert_allclose(written[core], face[core], atol=0.6)
    np.testing.assert_allclose(written[outside], background[outside], atol=0.6)
    assert np.abs(face[core] - background[core]).mean() > 2  # the two can be told apart
    # Between the two the share falls without a step: 14 pixels around the box, of which the outer 8 fade.
    moved, whole = (values[:, 200, 142:180:4] - background[:, 200, 142:180:4] for values in (written, face))
    share = moved.sum(axis=0) / whole.sum(axis=0)
    assert share[0] < 0.1
    assert share[-1] > 0.9
    assert len(done.shots) == 1
    assert done.shots[0].after.shape == (360, 480, 3)


def _interpolated(values: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    maker = Interpolator()
    (piece,) = maker.pieces(lambda window: values[(slice(None), *window.slices())], *values.shape[1:])
    return piece[1]


def test_at_the_edge_of_the_picture_a_face_does_not_fade(tmp_path: Path, enlarger: Enlarger) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    search = FaceSearch(boxes=((0.0, 0.0, 40.0, 40.0),))
    enlarge_faces(tmp_path / "in.png", tmp_path / "out.png", enlarger, search, None, background=Interpolator(), remark=REMARK)
    face = np.clip(enlarger(pixels.transpose(2, 0, 1).astype(np.float32) / 255), 0, 1) * 255
    np.testing.assert_allclose(open_picture(tmp_path / "out.png").pixels.transpose(2, 0, 1), face, atol=0.6)


def test_boxes_that_share_too_much_are_thinned_out() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 4, 4], [20, 20, 30, 30]], np.float64)
    scores = np.array([0.8, 0.9, 0.7, 0.6])
    assert apart(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert apart(boxes, scores, 0.5, by_smaller=True).tolist() == [1, 3]
    assert apart(np.empty((0, 4)), np.empty(0), 0.5).tolist() == []


def test_without_the_weights_their_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_finder, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"sr-geo\[faces\]"):
        FaceSearch().finder()
    assert FaceSearch(boxes=((0, 0, 1, 1),)).finder() is None


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    try:
        return FaceFinder(threads=1)
    except MissingPartError:
        pytest.skip("the extra faces is not installed")


@pytest.mark.parametrize("size", [40, 100])
def test_a_face_is_found_where_it_is(finder: FaceFinder, data_root: Path, size: int) -> None:
    with Image.open(data_root / "faces" / "test" / "london_007_neutral.jpg") as image:
        face = image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (3 * size, 2 * size), (110, 120, 130))
    canvas.paste(face, (size, size // 2))
    (found,) = finder.find(np.asarray(canvas))
    assert abs(found.x + found.width / 2 - 1.5 * size) < 0.1 * size
    assert size < found.y + found.height / 2 + 0.1 * size < 1.3 * size
    assert 0.35 < found.width / size < 0.75
    assert found.confidence > 0.8


def test_no_face_no_result(tmp_path: Path, enlarger: Enlarger, finder: FaceFinder) -> None:
    Image.new("RGB", (80, 60), (90, 120, 90)).save(tmp_path / "in.png")
    with pytest.raises(InputError, match="no face was found"):
        enlarge_faces(tmp_path / "in.png", tmp_path / "out.png", enlarger, FaceSearch(), finder, background=Interpolator(), remark=REMARK)
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
