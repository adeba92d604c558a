import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sr_geo.cli import cli
from sr_geo.cli.ending import run
from sr_geo.errors import InputError, ModelError, ModelWarning, OptionError, OutputError, PictureWarning
from sr_geo.imaging.domains import MANNERS, Domain, open_enlarger
from sr_geo.imaging.enlarge import Enlarger
from sr_geo.imaging.opening import open_picture
from sr_geo.imaging.options import Options
from sr_geo.imaging.plates import PlateSearch, enlarge_plates
from sr_geo.imaging.run import enhance_images
from sr_geo.models import catalog
from sr_geo.models.catalog import Entry
from tests.onnx_models import card, write_model

RGB = ("red", "green", "blue")


def save(path: Path, height: int = 20, width: int = 24, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def options(model_file: Path) -> Options:
    return Options("photo", model=model_file, device="cpu", threads=1)


def test_one_picture(tmp_path: Path, options: Options, enlarger: Enlarger) -> None:
    source, steps = save(tmp_path / "in.png"), []
    outcome = enhance_images(source, tmp_path / "out.png", options, progress=lambda step: steps.append((step.done, step.total)))
    assert [made.output for made in outcome.done] == [tmp_path / "out.png"]
    assert steps == [(1, 1)]
    assert open_picture(tmp_path / "out.png").width == 96


def test_a_folder_keeps_its_shape_and_a_bad_picture_spoils_no_other(tmp_path: Path, options: Options) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "deep" / "b.bmp")
    (tmp_path / "in" / "bad.jpg").write_text("no picture")
    (tmp_path / "in" / "notes.txt").write_text("left alone")
    outcome = enhance_images(tmp_path / "in", tmp_path / "out", options, report=tmp_path / "page.html")
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {"a.png", str(Path("deep") / "b.bmp.png")}
    assert len(outcome.failed) == 1
    assert "bad.jpg: not a picture" in outcome.failed[0]
    html = (tmp_path / "page.html").read_text("utf-8")
    assert "bad.jpg" in html
    assert html.count('class="shot"') == 2
    assert MANNERS["photo"].warning in html


def test_a_folder_of_bad_pictures_fails(tmp_path: Path, options: Options) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.jpg").write_text("no picture")
    with pytest.raises(InputError, match="none of its 1 pictures"):
        enhance_images(tmp_path / "in", tmp_path / "out", options)
    with pytest.raises(InputError, match="holds no picture"):
        enhance_images(tmp_path / "out", tmp_path / "more", options)


def test_results_in_a_folder_inside_are_no_inputs(tmp_path: Path, options: Options) -> None:
    save(tmp_path / "in" / "a.png")
    for _ in range(2):
        enhance_images(tmp_path / "in", tmp_path / "in" / "finer", Options(**{**_fields(options), "overwrite": True}))
    assert sorted(path.name for path in (tmp_path / "in").rglob("*.png")) == ["a.png", "a.png"]


def _fields(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in Options.__slots__}


def test_outputs_are_refused_before_any_work(tmp_path: Path, options: Options) -> None:
    source = save(tmp_path / "in.png")
    before = source.read_bytes()
    with pytest.raises(OutputError, match="is the input itself"):
        enhance_images(source, source, Options(**{**_fields(options), "overwrite": True}))
    existing = save(tmp_path / "old.png", seed=1)
    old = existing.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        enhance_images(source, existing, options)
    with pytest.raises(OutputError, match="no such folder"):
        enhance_images(source, tmp_path / "none" / "out.png", options)
    with pytest.raises(OutputError, match=r"expected \.png"):
        enhance_images(source, tmp_path / "out.gif", options)
    with pytest.raises(OutputError, match=r"ends in \.html"):
        enhance_images(source, tmp_path / "out.png", options, report=tmp_path / "page.txt")
    with pytest.raises(InputError, match="no such file"):
        enhance_images(tmp_path / "none.png", tmp_path / "out.png", options)
    assert source.read_bytes() == before
    assert existing.read_bytes() == old
    assert {path.name for path in tmp_path.iterdir()} == {"in.png", "old.png"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"domain": "photo", "allow_color": True}, "medical"),
        ({"domain": "medical", "aligned": True}, "plate and face"),
        ({"domain": "photo", "boxes": ((0, 0, 1, 1),)}, "plate and face"),
        ({"domain": "face", "read": True}, "domain plate"),
        ({"domain": "plate", "background": "x"}, "faces in photos"),
        ({"domain": "face", "aligned": True, "boxes": ((0, 0, 1, 1),)}, "one of the two"),
        ({"domain": "photo", "max_megapixels": 0}, "above 0"),
        ({"domain": "photo", "fidelity": 1.5}, "from 0 to 1"),
        ({"domain": "photo", "fidelity": float("nan")}, "from 0 to 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        Options(**wrong)


def test_a_domain_takes_its_own_shipped_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {}
    for name, domain, leaning in (
        ("face-gan-x4", "face", "perception"),
        ("face-rgb-x4", "face", "fidelity"),
        ("face-odd-x4", "photo", "fidelity"),  # named after faces, made for photos
    ):
        look = card(name=name, bands=RGB, sigma=None, commutes_with_gain_and_offset=False, domain=domain, leaning=leaning)
        made[name] = Entry(name, write_model(tmp_path / f"{name}.onnx", look), None)
    monkeypatch.setattr(catalog, "entries", lambda: made)
    monkeypatch.setattr("sr_geo.imaging.domains.entries", lambda: made)
    assert open_enlarger("face", device="cpu", threads=1).upscaler.card.name == "face-rgb-x4"
    with pytest.warns(ModelWarning, match="model face-gan-x4 leans to perception"):
        open_enlarger("face", made["face-gan-x4"].path, device="cpu", threads=1)
    with pytest.warns(ModelWarning, match="model face-rgb-x4 was made for domain face, not plate"):
        open_enlarger("plate", made["face-rgb-x4"].path, device="cpu", threads=1)
    open_enlarger("plate", made["face-odd-x4"].path, device="cpu", threads=1)  # for photos of whatever
    with pytest.raises(ModelError, match=r"domain medical: no model for it is shipped.*--model"):
        open_enlarger("medical", device="cpu", threads=1)
    look = card(name="plate-own-x4", bands=RGB, sigma=None, commutes_with_gain_and_offset=False, domain="plate")
    made["plate-own-x4"] = Entry("plate-own-x4", write_model(tmp_path / "plate-own-x4.onnx", look), None)
    assert open_enlarger("plate", device="cpu", threads=1).upscaler.card.name == "plate-own-x4"
    with pytest.raises(ModelError, match="domain photo: no model for it is shipped"):
        open_enlarger("photo", device="cpu", threads=1)
    with pytest.raises(OptionError, match="expected one of photo"):
        open_enlarger("cats", device="cpu", threads=1)  # type: ignore[arg-type]


def test_satellite_bands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="pictures have gray, or red, green and blue"):
        open_enlarger("photo", "satellite-rgbn-x4", device="cpu", threads=1)


def test_networks_that_want_a_scene_measured_are_refused(tmp_path: Path) -> None:
    look = card(name="scene-x4", bands=RGB, sigma=None, commutes_with_gain_and_offset=False, standardised=True)
    with pytest.raises(ModelError, match=r"level and spread.*sr-geo enhance"):
        open_enlarger("photo", write_model(tmp_path / "scene-x4.onnx", look), device="cpu", threads=1)


def test_of_a_network_that_sees_beyond_its_halo_that_is_said(tmp_path: Path) -> None:
    look = card(name="deep-x4", bands=RGB, sigma=None, commutes_with_gain_and_offset=False, domain="photo", exact_halo=False)
    with pytest.warns(PictureWarning, match="edges may show faintly"):
        open_enlarger("photo", write_model(tmp_path / "deep-x4.onnx", look), device="cpu", threads=1)


@pytest.mark.parametrize(("domain", "default"), [("photo", 1.0), ("medical", 1.0), ("plate", 0.0), ("face", 1.0)])
def test_fidelity_as_each_domain_has_it_and_as_it_is_asked_for(model_file: Path, domain: Domain, default: float) -> None:
    def held(fidelity: float | None) -> float:
        return open_enlarger(domain, model_file, fidelity=fidelity, device="cpu", threads=1).held

    assert [held(fidelity) for fidelity in (None, 0.0, 0.3, 1.0)] == [default, 0.0, 0.3, 1.0]


def test_fidelity_through_the_command(tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, pictures = save(tmp_path / "in.png"), {}
    for fidelity in ("0", "0.5", "1"):
        output, page = tmp_path / f"{fidelity}.png", tmp_path / f"{fidelity}.html"
        options = ("--domain", "plate", "--aligned", "--model", model_file, "--fidelity", fidelity, "--report", page)
        assert command(source, output, *options) == 0
        pictures[fidelity] = open_picture(output).pixels.astype(int)
        assert json.loads(output.with_suffix(".json").read_text("utf-8"))["fidelity"] == float(fidelity)
        assert f"fidelity {fidelity}".encode() in output.read_bytes()
        words = {"0": "the network’s own", "0.5": "50% of the way", "1": "made small again by bicubic reduction"}[fidelity]
        assert words in page.read_text("utf-8")
    assert np.abs(pictures["1"] - pictures["0"]).max() > 4
    half = (pictures["1"] + pictures["0"]) / 2
    inside = (pictures["0"] % 255 > 0) & (pictures["1"] % 255 > 0)  # neither was cut at black or white
    np.testing.assert_allclose(pictures["0.5"][inside], half[inside], atol=1)
    capsys.readouterr()
    assert command(source, tmp_path / "more.png", "--domain", "photo", "--model", model_file, "--fidelity", "2") == 2
    assert "--fidelity" in capsys.readouterr().err


def test_faces_aligned_are_enlarged_whole(tmp_path: Path, model_file: Path, enlarger: Enlarger) -> None:
    source = save(tmp_path / "face.png")
    enhance_images(source, tmp_path / "out.png", Options("face", model=model_file, aligned=True, device="cpu", threads=1))
    content = (tmp_path / "out.png").read_bytes()
    assert MANNERS["face"].warning.encode() in content
    assert open_picture(tmp_path / "out.png").height == 80


def test_two_pictures_that_would_be_one_file_are_refused(tmp_path: Path, model_file: Path) -> None:
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "a.bmp")
    with pytest.raises(OutputError, match="two pictures"):
        enhance_images(tmp_path / "in", tmp_path / "out", Options("plate", model=model_file, aligned=True, device="cpu", threads=1))
    assert not (tmp_path / "out").exists()


def command(*words: object) -> int:
    return run(cli, ["image", *map(str, words), "--device", "cpu", "--threads", "1"])


def test_the_command_tells_where_the_result_is(tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = save(tmp_path / "in.png")
    code = command(source, tmp_path / "out.png", "--domain", "photo", "--model", model_file, "--report", tmp_path / "page.html")
    out = capsys.readouterr().out
    assert code == 0
    assert "24 × 20 → 96 × 80 pixels" in out
    assert "page.html" in out


def test_progress_as_json(tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"")
    code = command(tmp_path / "in", tmp_path / "out", "--domain", "photo", "--model", model_file, "--progress", "json")
    captured = capsys.readouterr()
    lines = [json.loads(line) for line in captured.out.splitlines()]
    assert code == 1  # one picture could not be made finer
    assert "bad.png: the file is empty" in captured.err
    assert [(line.get("done"), line.get("total")) for line in lines[:-1]] == [(1, 2), (2, 2)]
    assert lines[-1]["outputs"] == [str(tmp_path / "out" / "a.png")]
    assert len(lines[-1]["failed"]) == 1


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "1,2,0,4", "1,2,nan,4"])
def test_boxes_that_are_none_are_refused(tmp_path: Path, model_file: Path, box: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = command(save(tmp_path / "in.png"), tmp_path / "out.png", "--domain", "plate", "--model", model_file, "--box", box)
    assert code == 2
    assert "expected four numbers" in capsys.readouterr().err


def test_a_plate_by_its_box(tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = command(save(tmp_path / "in.png"), tmp_path / "out.png", "--domain", "plate", "--model", model_file, "--box", "2,3,12,5")
    assert code == 0
    assert "12 × 5 → 48 × 20" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"in.png", "out.png", "out.json", "out.compare.png"}


def test_further_plates_replace_nothing_unasked(tmp_path: Path, model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, mine = save(tmp_path / "in.png"), save(tmp_path / "out-2.png", seed=1)
    before = mine.read_bytes()
    words = (source, tmp_path / "out.png", "--domain", "plate", "--model", model_file, "--box", "2,3,12,5", "--box", "3,9,12,5")
    assert command(*words) == 1
    assert "out-2.png: exists already" in capsys.readouterr().err
    assert mine.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"in.png", "out-2.png"}
    assert command(*words, "--overwrite") == 0
    assert open_picture(mine).pixels.shape == (20, 48, 3)


def test_further_plates_take_no_other_pictures_name(tmp_path: Path, enlarger: Enlarger) -> None:
    source, other = save(tmp_path / "in.png"), tmp_path / "out-2.png"
    search = PlateSearch(boxes=((2, 3, 12, 5), (3, 9, 12, 5)))
    with pytest.raises(OutputError, match="the result of another picture"):
        enlarge_plates(source, tmp_path / "out.png", enlarger, search, None, remark="", overwrite=True, taken=frozenset({other}))
    assert {path.name for path in tmp_path.iterdir()} == {"in.png"}


def test_dicom_through_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pytest.importorskip("pydicom.data", reason="pydicom is not installed")
    import pydicom

    shutil.copy(data.get_testdata_file("CT_small.dcm"), tmp_path / "ct.dcm")
    gray = card(name="tiny-gray", bands=("gray",), sigma=None, commutes_with_gain_and_offset=False, domain="medical")
    model = write_model(tmp_path / "gray.onnx", gray)
    assert command(tmp_path / "ct.dcm", tmp_path / "out.png", "--domain", "medical", "--model", model) == 1
    assert "choose a name that ends in .dcm" in capsys.readouterr().err
    report = tmp_path / "page.html"
    assert command(tmp_path / "ct.dcm", tmp_path / "out.dcm", "--domain", "medical", "--model", model, "--report", report) == 0
    assert command(tmp_path / "ct.dcm", tmp_path / "held.dcm", "--domain", "medical", "--model", model, "--fidelity", "0.25") == 0
    own, held = (pydicom.dcmread(tmp_path / name) for name in ("out.dcm", "held.dcm"))
    assert own.SOPInstanceUID != held.SOPInstanceUID  # another picture
    assert "consistent through bicubic;" in own.DerivationDescription
    assert "consistent through bicubic, fidelity 0.25" in held.DerivationDescription
    assert "128 × 128 → 512 × 512" in capsys.readouterr().out
    assert "Not for diagnosis" in report.read_text("utf-8")
    (tmp_path / "series").mkdir()
    shutil.copy(tmp_path / "ct.dcm", tmp_path / "series" / "1.dcm")
    assert command(tmp_path / "series", tmp_path / "finer", "--domain", "medical", "--model", model, "--report", tmp_path / "s.html") == 0
    assert (tmp_path / "finer" / "1.dcm").exists()
