"""Two processes train as one with all their samples would, from the command line too, and a failure of one ends both."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file

from sr_geo.errors import OptionError, TrainingError
from sr_geo.train import loop
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.batches import Batch, Batches
from sr_geo.train.together import choose_device, is_first, one_end

ROOT = Path(__file__).parents[2]


def start(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, as a user starts it."""
    free = {name: value for name, value in os.environ.items() if name not in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")}
    own = {"PYTHONPATH": str(ROOT), "SR_GEO_MODELS": str(folder / "models"), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *arguments], env=free | own, capture_output=True, text=True, timeout=500, check=False)


class BothRanks(Batches):
    """The samples of two processes as one batch."""

    def __getitem__(self, step: int) -> Batch:
        parts = [Batches(**{**vars(self), "rank": rank})[step] for rank in (0, 1)]
        return Batch(*(torch.cat(pair) for pair in zip(*parts, strict=True)))


def test_two_processes_of_the_command_line_train_as_one_with_both_batches(
    recipe: Recipe, imagery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.yaml").write_text(recipe.model_dump_json())
    command = ["-m", "sr_geo.cli", "train", str(tmp_path / "r.yaml"), "--data", str(imagery), "--run", str(tmp_path / "two")]
    done = start([*command, "--device", "cpu", "--devices", "2"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("installed as tiny-x4") == 1  # one process speaks
    assert done.stderr.count("step 6 of 6") == 1
    assert (tmp_path / "models" / "tiny-x4.onnx").exists()
    monkeypatch.setattr(loop, "Batches", BothRanks)
    loop.train(recipe, data_root=imagery, run=tmp_path / "both", device="cpu")
    monkeypatch.setattr(loop, "Batches", Batches)
    loop.train(recipe, data_root=imagery, run=tmp_path / "alone", device="cpu")
    two, both, alone = (load_file(tmp_path / run / "weights.safetensors") for run in ("two", "both", "alone"))

    def apart(weights: dict[str, torch.Tensor]) -> float:
        return max(float((two[name] - value).abs().max()) for name, value in weights.items())

    assert apart(both) < 1e-4
    assert apart(alone) > 1e-3


SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from sr_geo.train import loop
from sr_geo.train.recipe import Recipe

torch.set_num_threads(1)
total, calls = loop.total, []

def broken(terms):
    calls.append(1)
    if len(calls) < 3 or os.environ["LOCAL_RANK"] == "0":
        return total(terms)
    if sys.argv[3] == "nan":
        return total(terms) * float("nan")
    os._exit(3)

loop.total = broken
recipe = Recipe.model_validate_json(Path(sys.argv[1]).read_text())
try:
    loop.train(recipe, data_root=Path(sys.argv[2]), run=Path(sys.argv[1]).parent / "run", device="cpu", devices=2)
except Exception as error:
    print(os.environ["LOCAL_RANK"], type(error).__name__, error, flush=True)
    raise SystemExit(1)
"""


@pytest.mark.parametrize(
    ("way", "told"),  # by the first process, which ends the other one: that may or may not come to say its own words
    [
        ("nan", "0 TrainingError another process: loss is nan (all) at step 2"),
        ("death", "0 TrainingError another process ended without a word, perhaps for lack of memory"),
    ],
)
def test_a_failure_of_one_process_ends_both(way: str, told: str, recipe: Recipe, imagery: Path, tmp_path: Path) -> None:
    raw = recipe.model_dump(mode="json")
    perceptual = [{"network": "vgg16", "weights": "random", "taps": {"block1_conv2": 1.0}}]
    raw["losses"] = {"perceptual": perceptual, "adversarial": {"discriminator": {"family": "unet", "width": 2}}}
    raw["loop"] |= {"patch": 22, "validate_every": 2}
    (tmp_path / "r.json").write_text(json.dumps(raw))
    (tmp_path / "program.py").write_text(SCRIPT)
    done = start([str(tmp_path / "program.py"), str(tmp_path / "r.json"), str(imagery), way], tmp_path)
    assert done.returncode == 1, done.stderr
    assert told in done.stdout
    assert (tmp_path / "run" / "state.safetensors").exists()  # that of step 2


def test_one_process_keeps_its_own_errors() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    with pytest.raises(TrainingError, match=r"^out of memory: lower loop\.batch"), one_end(fabric):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    with pytest.raises(TrainingError, match=r"^out of memory: lower loop\.batch"), one_end(fabric):
        raise MemoryError("Unable to allocate 9 GiB for an array")  # NumPy's words
    killed = "DataLoader worker (pid(s) 9) exited unexpectedly"
    with pytest.raises(TrainingError, match=r"^a process that makes batches was ended, .* lower loop\.workers"), one_end(fabric):
        raise RuntimeError(killed)
    with pytest.raises(RuntimeError, match="something else"), one_end(fabric):
        raise RuntimeError("something else")


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", 2) == "cpu"
    with pytest.raises(OptionError, match="PyTorch finds no GPU"):
        choose_device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert (choose_device("auto", 1), choose_device("cpu", 2)) == ("cuda", "cpu")
    with pytest.raises(OptionError, match=r"--devices 2: PyTorch finds 1 GPU\(s\)"):
        choose_device("auto", 2)


def test_the_first_process_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert is_first()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first()
