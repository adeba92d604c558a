import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sr_geo.errors import InputError, MissingPartError
from sr_geo.imaging.enlarge import Enlarger
from sr_geo.imaging.opening import open_picture
from sr_geo.imaging.plates import PlateSearch, enlarge_plates, find_plates, plain_text
from sr_geo.imaging.reading import Line, Text
from sr_geo.imaging.straighten import about, grown, sides, straightened

REMARK = "Enhanced characters are no evidence."
UPRIGHT = np.array([[10.0, 20.0], [50.0, 20.0], [50.0, 30.0], [10.0, 30.0]])


def line(text: str, *, confidence: float = 0.9, width: float = 40.0, height: float = 10.0) -> Line:
    return Line(np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]), Text(text, confidence))


def test_lines_that_look_like_plates_are_found_the_likeliest_first() -> None:
    lines = [
        line("PEUGEOT"),  # no digit
        line("RK·875 AE"),
        line("123"),  # too short
        line("A1B2C3D4E5F6"),  # too long
        line("FWE50", width=80.0, height=20.0),
        line("24H1", width=10.0, height=12.0),  # upright
    ]
    found = find_plates(lines)
    assert [round(sides(corners)[0] / 1.4) for corners in found] == [20, 10]


def test_a_plate_is_grown_from_its_characters() -> None:
    np.testing.assert_allclose(grown(UPRIGHT, along=0.5, across=0.2), [[5, 18], [55, 18], [55, 32], [5, 32]])
    turned = UPRIGHT[:, ::-1] * (-1, 1)  # by a quarter
    assert sides(grown(turned, along=0.5, across=0.2)) == pytest.approx(sides(grown(UPRIGHT, along=0.5, across=0.2)))


def test_an_upright_box_is_cut_out_as_it_is() -> None:
    values = np.random.default_rng(0).random((3, 60, 70), np.float32)
    np.testing.assert_allclose(straightened(values, UPRIGHT, 10, 40), values[:, 20:30, 10:50], atol=1e-5)


def test_a_slanted_plate_becomes_straight() -> None:
    rows, columns = np.mgrid[0:80, 0:120] + 0.5
    corners = np.array([[20.0, 30.0], [90.0, 18.0], [95.0, 44.0], [24.0, 58.0]])
    # A picture whose value is the distance from the upper edge of the plate along its left one.
    down, along = corners[3] - corners[0], corners[1] - corners[0]
    share = np.linalg.solve(np.stack([along, down], 1), np.stack([columns - 20.0, rows - 30.0]).reshape(2, -1))[1].reshape(80, 120)
    straight = straightened(share[None].astype(np.float32), corners, 24, 70)[0]
    assert np.abs(straight[0]).max() < 0.06  # the upper edge lies in the first row
    assert straight[:, 0] == pytest.approx((np.arange(24) + 0.5) / 24, abs=0.03)
    window = about(corners, 80, 120, margin=4)
    assert (window.row, window.column, window.row_stop, window.column_stop) == (14, 16, 62, 99)


def test_boxes_and_aligned_need_no_finder(tmp_path: Path, enlarger: Enlarger) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 90, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    search = PlateSearch(boxes=((10.0, 8.0, 40.0, 12.0), (50.0, 20.0, 30.0, 10.0)))
    assert search.reader() is None
    done = enlarge_plates(tmp_path / "street.png", tmp_path / "plate.png", enlarger, search, None, remark=REMARK)
    assert (done.before, done.after, done.tiles) == ((12, 40), (48, 160), 2)
    whole = enlarger(pixels.transpose(2, 0, 1).astype(np.float32) / 255)
    written = open_picture(tmp_path / "plate.png").pixels.transpose(2, 0, 1)
    np.testing.assert_allclose(written, np.clip(whole[:, 32:80, 40:200], 0, 1) * 255, atol=0.6)
    facts = json.loads((tmp_path / "plate.json").read_text("utf-8"))
    assert facts["warning"] == REMARK
    assert [plate["image"] for plate in facts["plates"]] == ["plate.png", "plate-2.png"]
    assert facts["plates"][0]["corners"] == [[10, 8], [50, 8], [50, 20], [10, 20]]
    assert facts["plates"][0]["before"] is None
    assert facts["reader"] is None
    for name in ("plate.png", "plate-2.png"):
        assert REMARK.encode() in (tmp_path / name).read_bytes()
    with Image.open(tmp_path / "plate.compare.png") as sheet:
        assert sheet.width >= 3 * 160
    aligned = enlarge_plates(tmp_path / "street.png", tmp_path / "all.png", enlarger, PlateSearch(aligned=True), None, remark=REMARK)
    assert aligned.after == (160, 360)


def test_a_box_outside_is_refused(tmp_path: Path, enlarger: Enlarger) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="outside its 30 × 20 pixels"):
        enlarge_plates(tmp_path / "small.png", tmp_path / "out.png", enlarger, PlateSearch(boxes=((40, 0, 9, 9),)), None, remark=REMARK)
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]


def test_without_the_finder_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_onnxruntime", None)
    with pytest.raises(MissingPartError, match=r"sr-geo\[plates\]"):
        PlateSearch().reader()


@pytest.mark.slow
def test_a_real_plate_is_found_and_read(tmp_path: Path, enlarger: Enlarger, data_root: Path) -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra plates is not installed", exc_type=ImportError)
    search = PlateSearch(read=True, threads=1)
    photo = data_root / "plates" / "scenes" / "test_022.jpg"
    done = enlarge_plates(photo, tmp_path / "plate.png", enlarger, search, search.reader(), remark=REMARK)
    facts = json.loads((tmp_path / "plate.json").read_text("utf-8"))
    (plate,) = facts["plates"]
    corners = np.array(plate["corners"])
    middle = corners.mean(axis=0)
    assert np.abs(middle - (186 + 122 / 2, 262 + 28 / 2)).max() < 6  # of the labelled box
    assert plain_text(plate["before"]["text"]) == "RK875AE"
    assert 0.5 < plate["before"]["confidence"] <= 1
    assert "RK875AE" in done.shots[0].words[0]


@pytest.mark.slow
def test_a_picture_without_a_plate_is_refused(tmp_path: Path, enlarger: Enlarger) -> None:
    pytest.importorskip("rapidocr_onnxruntime", reason="the extra plates is not installed", exc_type=ImportError)
    image = Image.new("RGB", (200, 120), (90, 120, 90))
    ImageDraw.Draw(image).ellipse((60, 30, 140, 100), fill=(200, 180, 20))
    image.save(tmp_path / "in.png")
    search = PlateSearch(threads=1)
    with pytest.raises(InputError, match="no plate was found"):
        enlarge_plates(tmp_path / "in.png", tmp_path / "out.png", enlarger, search, search.reader(), remark=REMARK)
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]
