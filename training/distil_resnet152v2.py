"""Teach the first blocks of ResNet152V2 the features of a network whose weights are at hand.

No package carries ResNet152V2's ImageNet weights. Where Keras's file cannot be had, this makes a stand-in: the network's blocks up
to strides 4, 8 and 16 learn to tell, through a linear map per tap, what a taught network (VGG16 or MobileNetV2) sees at
the same place. Its features are those of the teacher as this architecture renders them, not those of ImageNet's
ResNet152V2; its provenance says so wherever it is used.

    python training/distil_resnet152v2.py runs/distil --minutes 60            goes on where it stopped, if it did
    python training/distil_resnet152v2.py runs/distil --minutes 20 --device cuda --workers 8 --batch 64
    export SR_GEO_WEIGHTS=runs/distil                                         perceptual networks look there

Writes into the folder: log.csv, state.safetensors (to go on) and resnet152v2-distilled.safetensors (half precision, about 8 MB).
Pictures: the training parts of the open rasters below $SR_GEO_DATA, those in scikit-image, and any folders given with --pictures.
The lowest fifth of each is held out: `r2` in the log is the share of the teacher's variance explained there, in windows of 64 pixels,
so that pictures of 320 rows have some.
"""

import argparse
import csv
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sr_geo.errors import OptionError
from sr_geo.train.perceptual import load_backbone
from sr_geo.train.perceptual.backbone import Backbone
from sr_geo.train.perceptual.bands import to_picture_range
from sr_geo.train.perceptual.weights import DISTILLED
from sr_geo.train.together import choose_device

STUDENT_TAPS = ("conv2_block2_out", "conv3_block7_out", "conv4_block1_out")  # strides 4, 8, 16
TEACHER_TAPS = {
    "vgg16": ("block3_conv3", "block4_conv3", "block5_conv3"),
    "vgg19": ("block3_conv3", "block4_conv3", "block5_conv3"),
    "mobilenetv2": ("block_3_expand_BN", "block_6_expand_BN", "block_13_expand_BN"),
}
# Training parts only: (pattern below the data root, first row, row after the last, column after the last).
RASTERS = (
    ("satellite/hr/naip/*.tif", 0, 520, None),  # but for 2015, one half of a real pair that is for tests
    ("satellite/landsat/agnet_lc8_northdakota_2015245.tif", 0, 2560, None),
    ("satellite/landsat/LC08_L1TP_224078*.[tT][iI][fF]", 0, None, 1400),
)
HELD_OUT = 0.2
PATIENCE = 10_000
"""Windows that may be refused in a row."""
PROBE_SIDE, PROBE_BATCH = 64, 64
"""Windows that r2 is measured in: at most so large, or small pictures would have none below the border."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A raster or a photograph in memory, in its stored type."""

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    """``(bands, H, W)``."""
    photograph: bool
    """8 bits of red, green and blue, taken as they are; anything else is fitted to that range."""


def load_pictures(root: Path | None, folders: list[Path], *, size: int) -> list[Picture]:
    """All pictures for training: of photographs those of 256 pixels a side, or of twice the window's `size` where that is less.

    Raises:
        SystemExit: there are none.
    """
    if root:
        import rasterio  # not needed for folders of pictures
        from rasterio.windows import Window

    pictures = []
    for pattern, first, last, columns in RASTERS if root else ():
        for path in sorted(root.glob(pattern)) if root else ():
            if "20150926" in path.name:
                continue
            with rasterio.open(path) as dataset:
                height, width = (last or dataset.height) - first, columns or dataset.width
                pictures.append(Picture(dataset.read(window=Window(0, first, width, height)), photograph=False))
    try:
        import skimage

        folders = [*folders, Path(skimage.__file__).parent / "data"]
    except ImportError:
        pass
    for folder in folders:
        for path in sorted((*folder.glob("*.png"), *folder.glob("*.jpg"), *folder.glob("*.webp"))):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            if min(pixels.shape[1:]) >= min(256, 2 * size):
                pictures.append(Picture(pixels, photograph=True))
    if not pictures:
        raise SystemExit("no pictures, or none that is large enough: set SR_GEO_DATA, install scikit-image, or give --pictures FOLDER")
    return pictures


def first_rows(picture: Picture, size: int, *, held_out: bool) -> range:
    """Where windows may begin: they lie above the border between training and held-out rows, or below it. Empty where none fits."""
    _, height, width = picture.pixels.shape
    border = round((1.0 - HELD_OUT) * height)
    if width < size:
        return range(0)
    return range(border, height - size + 1) if held_out else range(border - size + 1)


def draw(pictures: list[Picture], *, batch: int, size: int, rng: np.random.Generator, held_out: bool = False) -> Tensor:
    """A batch ``(batch, 3, size, size)`` of RGB in about 0…1, flipped and turned; each picture large enough is as likely as any other.

    Raises:
        SystemExit: none is large enough, or all have nodata nearly everywhere.
    """
    if not any(first_rows(picture, size, held_out=held_out) for picture in pictures):
        part = "lowest fifth, which is held out" if held_out else "upper four fifths"
        raise SystemExit(f"windows of {size} pixels fit into no picture's {part}; give a smaller --size, or larger --pictures")
    out: list[Tensor] = []
    missed = 0
    while len(out) < batch:
        missed += 1
        if missed > PATIENCE:
            raise SystemExit(f"{PATIENCE} windows drawn in a row were too large or nodata; take out rasters that hold little else")
        picture = pictures[rng.integers(len(pictures))]
        bands, _, width = picture.pixels.shape
        rows = first_rows(picture, size, held_out=held_out)
        if not rows:
            continue
        row, column = rng.integers(rows.start, rows.stop), rng.integers(width - size + 1)
        chosen = (0, 1, 2) if picture.photograph else tuple(rng.choice(bands, 3, replace=bands < 3))
        window = picture.pixels[chosen, row : row + size, column : column + size].astype(np.float32)
        if not picture.photograph and (window == 0).all(axis=0).mean() > 0.01:
            continue  # nodata
        x = torch.from_numpy(window / 255.0)[None]
        if not picture.photograph:
            x = to_picture_range(x / x.std().clamp_min(1e-6), x / x.std().clamp_min(1e-6), "spread")
        x = torch.rot90(x, int(rng.integers(4)), (2, 3))
        out.append(x.flip(3) if rng.random() < 0.5 else x)
        missed = 0
    return torch.cat(out)


@dataclass(frozen=True)
class Batches(Dataset[Tensor]):
    """The batch of every step, a function of its number alone."""

    pictures: list[Picture]
    batch: int
    size: int

    def __getitem__(self, step: int) -> Tensor:
        return draw(self.pictures, batch=self.batch, size=self.size, rng=np.random.default_rng([0, step]))

    def since(self, step: int, *, workers: int, pinned: bool) -> Iterator[Tensor]:
        """From this step on, made ahead by `workers` processes (0: by this one, when asked for)."""
        steps = range(step, 2**31)
        return iter(DataLoader(self, batch_size=None, sampler=steps, num_workers=workers, pin_memory=pinned))


class Distillation(nn.Module):
    """Student, teacher and the linear maps between their taps.

    Teacher's maps are brought to mean zero and variance one per channel, so that the error of a map that says nothing is 1.
    """

    teacher: Backbone

    def __init__(self, student: Backbone, teacher: Backbone, teacher_taps: tuple[str, ...]) -> None:
        super().__init__()
        self.student, self.teacher_taps = student, teacher_taps
        self.__dict__["teacher"] = teacher  # no part of what is kept
        x = torch.zeros(1, 3, 64, 64)
        with torch.no_grad():
            given, wanted = student(x, STUDENT_TAPS), teacher(x, teacher_taps)
        widths = [(given[a].shape[1], wanted[b].shape[1]) for a, b in zip(STUDENT_TAPS, teacher_taps, strict=True)]
        # The norm before each map does what the next block's own would; the student's taps stay before it.
        self.maps = nn.ModuleList(nn.Sequential(nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, b, 1)) for a, b in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b, affine=False, momentum=None) for _, b in widths)

    def move(self, device: str) -> "Distillation":
        """To a device, with the teacher."""
        self.__dict__["teacher"].to(device)
        return self.to(device)

    def set_training(self, training: bool) -> None:
        """Batch statistics move in training only; the student itself refuses `.train()`, being a backbone."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(training)

    def forward(self, x: Tensor) -> Tensor:
        """Unexplained variance at each tap, ``(3,)``."""
        with torch.no_grad():
            wanted = self.teacher(x, self.teacher_taps)
        given = self.student(x, STUDENT_TAPS)
        errors = [
            nn.functional.mse_loss(translate(given[a]), norm(wanted[b]))
            for a, b, translate, norm in zip(STUDENT_TAPS, self.teacher_taps, self.maps, self.norms, strict=True)
        ]
        return torch.stack(errors)


def save(folder: Path, task: Distillation, optimiser: torch.optim.Optimizer, about: dict[str, str]) -> None:
    """Write what is needed to go on, last, and the student for use: where the state says that all is done, the student is there."""
    tensors = {f"task/{key}": value for key, value in task.state_dict().items()}
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{key}": value for key, value in values.items()}
    tensors["progress"] = torch.tensor([float(about["steps"]), float(about["seconds"])], dtype=torch.float64)
    student = {key: value.half() for key, value in task.student.state_dict().items() if value.is_floating_point()}
    for name, content in ((DISTILLED, student), ("state.safetensors", tensors)):
        save_file({key: value.detach().cpu().contiguous() for key, value in content.items()}, folder / f"{name}.tmp", metadata=about)
        (folder / f"{name}.tmp").replace(folder / name)


def restore(folder: Path, task: Distillation, optimiser: torch.optim.Optimizer, *, teacher: str) -> tuple[int, float]:
    """Go on from `state.safetensors`: steps and seconds done."""
    with safe_open(folder / "state.safetensors", "pt") as file:
        before = file.metadata()["teacher"]
    if before != teacher:
        raise SystemExit(f"{folder}: was taught by {before}, now by {teacher}; name another folder or give the same --teacher")
    tensors = load_file(folder / "state.safetensors")
    task.load_state_dict({key.removeprefix("task/"): value for key, value in tensors.items() if key.startswith("task/")})
    content = optimiser.state_dict()
    for key, value in tensors.items():
        if key.startswith("optimiser/"):
            _, index, name = key.split("/")
            content["state"].setdefault(int(index), {})[name] = value
    optimiser.load_state_dict(content)
    steps, seconds = tensors["progress"].tolist()
    return int(steps), seconds


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0, help="of all runs into this folder together")
    parser.add_argument("--steps", type=int, help="at most so many")
    parser.add_argument("--teacher", choices=sorted(TEACHER_TAPS), default="vgg16")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--every", type=int, default=100, help="steps between two lines of the log")
    parser.add_argument("--pictures", type=Path, action="append", default=[])
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches ahead")
    return parser.parse_args()


def begin(teacher_name: str) -> tuple[Distillation, str]:
    """A student with fresh weights beside its teacher, and where the teacher comes from."""
    taps = TEACHER_TAPS[teacher_name]
    teacher, origin = load_backbone(teacher_name, taps=taps)
    student, _ = load_backbone("resnet152v2", "random", taps=STUDENT_TAPS)
    student.requires_grad_(True)
    with torch.no_grad():
        for name, module in student.named_modules():
            if name.endswith("_3_conv"):
                module.get_parameter("weight").mul_(0.2)  # small residual branches, or the sums grow with depth
    torch.manual_seed(0)
    return Distillation(student, teacher, taps), f"{teacher_name}: {origin}"


def update(task: Distillation, optimiser: torch.optim.Optimizer, x: Tensor) -> float:
    """One step; the loss."""
    task.set_training(True)
    loss = task(x).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(task.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def main() -> None:
    """Distil for the time given on the command line."""
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    root = os.environ.get("SR_GEO_DATA")
    pictures = load_pictures(Path(root) if root else None, arguments.pictures, size=arguments.size)
    draw(pictures, batch=1, size=arguments.size, rng=np.random.default_rng(1))  # refuses here, and not in a process that makes batches
    side = min(arguments.size, PROBE_SIDE)
    probe = draw(pictures, batch=PROBE_BATCH, size=side, rng=np.random.default_rng(1), held_out=True)
    try:
        device = choose_device(arguments.device, 1)
    except OptionError as error:
        raise SystemExit(f"error: {error}") from error
    task, origin = begin(arguments.teacher)
    task = task.move(device)
    optimiser = torch.optim.AdamW(task.parameters(), lr=arguments.rate, weight_decay=1e-4)
    step, seconds = 0, 0.0
    if (arguments.folder / "state.safetensors").exists():
        step, seconds = restore(arguments.folder, task, optimiser, teacher=origin)
    batches = Batches(pictures, arguments.batch, arguments.size).since(step, workers=arguments.workers, pinned=device == "cuda")
    probe = probe.to(device)
    about = {"until": STUDENT_TAPS[-1], "teacher": origin}

    def done() -> float:
        return max(seconds / (60.0 * float(arguments.minutes)), step / int(arguments.steps) if arguments.steps else 0.0)

    started, running = time.monotonic() - seconds, math.nan
    with (arguments.folder / "log.csv").open("a", newline="") as stream:
        log = csv.writer(stream)
        if stream.tell() == 0:
            log.writerow(["step", "seconds", "loss", *(f"r2_{tap}" for tap in STUDENT_TAPS)])
        while done() < 1.0:
            optimiser.param_groups[0]["lr"] = arguments.rate * min(1.0, (step + 1) / 200) * 0.5 * (1.0 + math.cos(math.pi * done()))
            loss = update(task, optimiser, next(batches).to(device, non_blocking=True))
            if not math.isfinite(loss):
                raise SystemExit(f"loss is {loss} at step {step}; give a lower --rate (the state of the last log line is kept)")
            running = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
            step, seconds = step + 1, time.monotonic() - started
            if step % arguments.every == 0 or done() >= 1.0:
                task.set_training(False)
                with torch.no_grad():
                    r2 = [1.0 - float(value) for value in task(probe)]
                log.writerow([step, round(seconds, 1), f"{running:.4f}", *(f"{value:.4f}" for value in r2)])
                stream.flush()
                about |= {"steps": str(step), "seconds": f"{seconds:.1f}", "held_out_r2": " ".join(f"{value:.3f}" for value in r2)}
                about["provenance"] = f"distilled from {origin}, {step} steps, held-out r² {about['held_out_r2']}"
                save(arguments.folder, task, optimiser, about)
                print(step, f"{seconds:.0f} s", f"loss {running:.4f}", "r2", about["held_out_r2"], flush=True)


if __name__ == "__main__":
    main()
