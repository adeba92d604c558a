"""The stand-in for ResNet152V2: what is held out was never trained on, and a distillation that was cut off goes on as if it was not."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from sr_geo.train.perceptual import load_backbone
from sr_geo.train.perceptual.weights import DISTILLED

HERE = Path(__file__).parents[2] / "training"
TEACHER = "mobilenetv2"
SIZE = 64


@pytest.fixture
def distil(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The script, with random weights for its teacher and without the pictures of scikit-image."""
    monkeypatch.syspath_prepend(str(HERE))
    module = __import__("distil_resnet152v2")
    monkeypatch.setattr(module, "load_backbone", lambda name, source="random", *, taps: load_backbone(name, source, taps=taps))
    monkeypatch.setitem(sys.modules, "skimage", None)
    monkeypatch.delenv("SR_GEO_DATA", raising=False)
    yield module
    sys.modules.pop("distil_resnet152v2", None)


def numbered(module: SimpleNamespace, height: int, width: int = 200) -> SimpleNamespace:
    """A photograph each pixel of which says a quarter of its row."""
    rows = (np.arange(height) // 4).astype(np.uint8)[None, :, None]
    picture: SimpleNamespace = module.Picture(np.broadcast_to(rows, (3, height, width)), photograph=True)
    return picture


def rows_of(x: torch.Tensor) -> tuple[int, int]:
    """The first and the last row that windows of `numbered` pictures show, to four rows."""
    return round(float(x.min()) * 255) * 4, round(float(x.max()) * 255) * 4 + 3


@pytest.mark.parametrize(("height", "size"), [(256, 48), (320, 64), (400, 64), (1000, 128)])
def test_held_out_windows_lie_below_all_that_is_trained_on(distil: SimpleNamespace, height: int, size: int) -> None:
    pictures, border = [numbered(distil, height)], round(0.8 * height)
    _, last = rows_of(distil.draw(pictures, batch=64, size=size, rng=np.random.default_rng(0)))
    first, _ = rows_of(distil.draw(pictures, batch=64, size=size, rng=np.random.default_rng(0), held_out=True))
    assert border - 8 <= last < border + 4
    assert border - 4 <= first


def test_pictures_with_less_held_out_than_a_window_are_passed_over(distil: SimpleNamespace) -> None:
    low, high = numbered(distil, 256), numbered(distil, 1000)
    first, _ = rows_of(distil.draw([low, high], batch=32, size=128, rng=np.random.default_rng(0), held_out=True))
    assert first >= 796
    low_part, _ = rows_of(distil.draw([low, high], batch=32, size=128, rng=np.random.default_rng(0)))
    assert low_part < 100  # while both are trained on


def test_windows_that_fit_nowhere_are_refused(distil: SimpleNamespace) -> None:
    pictures = [numbered(distil, 256, 256), numbered(distil, 512, 256)]
    rng = np.random.default_rng(0)
    with pytest.raises(SystemExit, match=r"windows of 512 pixels fit into no picture's upper four fifths; give a smaller --size"):
        distil.draw(pictures, batch=1, size=512, rng=rng)
    with pytest.raises(SystemExit, match=r"windows of 128 pixels fit into no picture's lowest fifth, which is held out"):
        distil.draw(pictures, batch=1, size=128, rng=rng, held_out=True)
    empty = distil.Picture(np.zeros((4, 640, 200), np.uint16), photograph=False)
    with pytest.raises(SystemExit, match="too large or nodata"):
        distil.draw([empty], batch=1, size=64, rng=rng)


def test_small_photographs_are_taken_for_small_windows(distil: SimpleNamespace, tmp_path: Path) -> None:
    for side in (100, 136, 200, 256):
        Image.new("RGB", (side, side)).save(tmp_path / f"{side}.png")
    for size, sides in ((128, {256}), (64, {136, 200, 256}), (200, {256})):
        found = distil.load_pictures(None, [tmp_path], size=size)
        assert {picture.pixels.shape[1] for picture in found} == sides
    with pytest.raises(SystemExit, match="none that is large enough"):
        distil.load_pictures(None, [tmp_path / "none"], size=128)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two generated pictures of 320 pixels a side, in a folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        blocks = np.random.default_rng(number).integers(0, 256, (20, 20, 3)).astype(np.uint8)
        Image.fromarray(blocks).resize((320, 320)).save(folder / f"{number}.png")
    return folder


def test_a_distillation_goes_on_as_if_it_had_not_been_cut_off(distil: SimpleNamespace, tmp_path: Path, pictures: Path) -> None:
    batches = distil.Batches(distil.load_pictures(None, [pictures], size=SIZE), 1, SIZE)

    def start() -> tuple[torch.nn.Module, torch.optim.Optimizer, str]:
        task, origin = distil.begin(TEACHER)
        return task, torch.optim.AdamW(task.parameters(), lr=1e-3), origin

    def steps(task: torch.nn.Module, optimiser: torch.optim.Optimizer, first: int, count: int) -> list[float]:
        ahead = batches.since(first, workers=0, pinned=False)
        return [distil.update(task, optimiser, next(ahead)) for _ in range(count)]

    whole, optimiser, origin = start()
    assert origin == "mobilenetv2: random"
    losses = steps(whole, optimiser, 0, 4)
    cut, optimiser, _ = start()
    assert steps(cut, optimiser, 0, 2) == losses[:2]
    distil.save(tmp_path, cut, optimiser, {"teacher": origin, "steps": "2", "seconds": "1.5"})
    resumed, optimiser, _ = start()
    assert distil.restore(tmp_path, resumed, optimiser, teacher=origin) == (2, 1.5)
    assert steps(resumed, optimiser, 2, 2) == losses[2:]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(SystemExit, match="was taught by mobilenetv2: random, now by vgg16: random"):
        distil.restore(tmp_path, resumed, optimiser, teacher="vgg16: random")


def test_the_script_writes_a_log_a_state_and_a_student_that_loads_and_goes_on(
    distil: SimpleNamespace, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"

    def run(steps: int) -> list[str]:
        arguments = [str(folder), "--steps", str(steps), "--every", "2", "--batch", "1", "--size", str(SIZE), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["distil", *arguments, "--teacher", TEACHER, "--pictures", str(pictures)])
        monkeypatch.setattr(distil, "PROBE_BATCH", 2)
        distil.main()
        with (folder / "log.csv").open(newline="") as stream:
            return [line["step"] for line in csv.DictReader(stream)]

    assert run(2) == ["2"]
    assert run(3) == ["2", "3"]
    before = load_file(folder / DISTILLED)
    assert run(3) == ["2", "3"]  # nothing is left to do, and what was made stays
    assert sorted(path.name for path in folder.iterdir()) == ["log.csv", DISTILLED, "state.safetensors"]
    with safe_open(folder / DISTILLED, "pt") as file:
        assert file.metadata()["provenance"].startswith("distilled from mobilenetv2: random, 3 steps, held-out r² ")
    net, provenance = load_backbone("resnet152v2", folder / DISTILLED, taps=distil.STUDENT_TAPS)
    assert provenance.startswith("distilled from")
    maps = net(torch.zeros(1, 3, SIZE, SIZE), distil.STUDENT_TAPS)
    assert [tuple(maps[tap].shape[2:]) for tap in distil.STUDENT_TAPS] == [(16, 16), (8, 8), (4, 4)]
    assert {name: value.half() for name, value in net.state_dict().items() if name in before}.keys() == before.keys()
