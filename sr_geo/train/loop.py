"""The training loop of stage 1: L1 on what the network makes of degraded imagery."""

import csv
import json
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sr_geo.errors import TrainingError
from sr_geo.train.data import Pool, draw, load_pool
from sr_geo.train.degrade import draw_sigma, see, see_turned
from sr_geo.train.muon import Muon
from sr_geo.train.nets import Compact
from sr_geo.train.recipe import ModelSection, Recipe

VALIDATION_SIGMAS = (1.2, 1.6, 2.0, 2.8)


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run after a step, for whoever shows it."""

    step: int
    iterations: int
    loss: float
    gain_db: float | None
    """Mean PSNR over bicubic on the validation windows, where it was measured at this step."""
    seconds_left: float


@dataclass(slots=True)
class State:
    """What a run changes as it goes: kept on disk so that it can go on."""

    net: Compact
    average: dict[str, Tensor]
    """Exponential moving average of the weights: what is validated and exported."""
    optimisers: tuple[torch.optim.Optimizer, torch.optim.Optimizer]
    step: int = 0
    seconds: float = 0.0

    def follow(self, decay: float) -> None:
        """Let the average follow the weights; quicker in the first steps, when it still holds the initial ones."""
        decay = min(decay, (1.0 + self.step) / (10.0 + self.step))
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                self.average[name].lerp_(value, 1.0 - decay)


def build(model: ModelSection) -> Compact:
    """The generator that a recipe names, with fresh weights."""
    return Compact(len(model.bands), width=model.width, blocks=model.blocks, scale=model.scale)


def make_pair(hr: Tensor, recipe: Recipe, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Low-resolution input and the blur it was made with, ``(N, C, h, w)`` and ``(N, C)``, from ``hr``."""
    low, high = recipe.degradation.sigma
    n, c = hr.shape[:2]
    sigma = draw_sigma(n, c, low=low, high=high, jitter=recipe.degradation.band_jitter, generator=generator)
    lr = see(hr, sigma, scale=recipe.model.scale)
    turned = round(recipe.degradation.turned * n)
    if turned:
        angle = (torch.rand(turned, generator=generator) * 2.0 - 1.0) * math.radians(recipe.degradation.turned_by)
        shift = (torch.rand(turned, 2, generator=generator) - 0.5) * recipe.model.scale
        lr[:turned] = see_turned(hr[:turned], sigma[:turned], angle, shift, scale=recipe.model.scale)
    level = torch.rand(n, 1, 1, 1, generator=generator) * recipe.degradation.noise
    return lr + level * torch.randn(lr.shape, generator=generator), sigma


def train(
    recipe: Recipe,
    *,
    data_root: Path,
    run: Path,
    resume: bool = False,
    max_minutes: float | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Run a recipe and return the path of the final weights (the moving average, safetensors).

    The learning rate follows a cosine over the iterations or over `max_minutes`, whichever is further along, so that a
    run that is cut by time still ends annealed. Batches depend on the seed and the step only: a resumed run of
    iterations repeats an uninterrupted one exactly.

    Raises:
        TrainingDataError: the data does not fit the recipe.
        TrainingError: the run folder is taken, or the loss is no number any more.
    """
    if run.exists() and any(run.iterdir()) and not resume:
        raise TrainingError(f"{run}: holds a run already; go on with it (--resume) or name another folder")
    run.mkdir(parents=True, exist_ok=True)
    pool = load_pool(recipe.sources, data_root, recipe.model.bands)
    held_out = load_pool(recipe.validation, data_root, recipe.model.bands)
    state = begin(recipe)
    if resume and (run / "state.safetensors").exists():
        _restore(run, state)
    else:
        _describe(run, recipe, pool, held_out)
    started = time.monotonic() - state.seconds
    loop, running = recipe.loop, math.nan
    with (run / "metrics.csv").open("a", newline="") as stream:
        table = csv.writer(stream)
        if stream.tell() == 0:
            table.writerow(["step", "seconds", "loss", *(f"gain_db_sigma_{sigma}" for sigma in VALIDATION_SIGMAS)])
        while (done := fraction_done(state, loop.iterations, max_minutes)) < 1.0:
            factor = min(1.0, (state.step + 1) / loop.warmup) * 0.5 * (1.0 + math.cos(math.pi * done))
            for optimiser, rate in zip(state.optimisers, (loop.body_learning_rate, loop.learning_rate), strict=True):
                optimiser.param_groups[0]["lr"] = rate * factor
            loss = train_step(state.net, state.optimisers, pool, recipe, state.step)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"loss is {loss} at step {state.step}; the last good state is in {run}; lower loop.learning_rate and body_learning_rate"
                )
            running = loss if math.isnan(running) else 0.98 * running + 0.02 * loss
            state.follow(loop.ema)
            state.step += 1
            state.seconds = time.monotonic() - started
            gain = None
            if state.step % loop.validate_every == 0 or state.step == loop.iterations:
                gains = validate(recipe, state.average, held_out)
                gain = float(np.mean(gains))
                table.writerow([state.step, round(state.seconds, 1), f"{running:.5f}", *(f"{value:.3f}" for value in gains)])
                stream.flush()
                _save(run, state)
            report(Progress(state.step, loop.iterations, running, gain, state.seconds * (1.0 - done) / max(done, 1e-6)))
    _save(run, state)
    return run / "weights.safetensors"


def begin(recipe: Recipe) -> State:
    """A run before its first step."""
    torch.manual_seed(recipe.loop.seed)
    net = build(recipe.model)
    if recipe.init is not None:
        path = Path(recipe.init).expanduser()
        if not path.exists():
            raise TrainingError(f"init: {path} is missing; train the model that it comes from first, or set init to other weights")
        start_from(net, load_file(path), theirs=recipe.init_bands, ours=recipe.model.bands)
    net = net.to(memory_format=torch.channels_last)
    return State(net, {name: value.detach().clone() for name, value in net.state_dict().items()}, make_optimisers(net, recipe))


def fraction_done(state: State, iterations: int, max_minutes: float | None) -> float:
    """How far a run is, by its steps or by its time, whichever is further."""
    by_steps = state.step / iterations
    return by_steps if max_minutes is None else max(by_steps, state.seconds / (60.0 * max_minutes))


def make_optimisers(net: Compact, recipe: Recipe) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Muon for the residual blocks, Adam for the layers at both ends."""
    body = list(net.body.parameters())
    ends = [value for name, value in net.named_parameters() if not name.startswith("body.")]
    return Muon(body, lr=recipe.loop.body_learning_rate), torch.optim.Adam(ends, lr=recipe.loop.learning_rate, betas=(0.9, 0.99))


def train_step(net: Compact, optimisers: Sequence[torch.optim.Optimizer], pool: Pool, recipe: Recipe, step: int) -> float:
    """One update on the batch that belongs to `step`; the loss."""
    loop, scale = recipe.loop, recipe.model.scale
    rng = np.random.default_rng([loop.seed, step])
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    hr = torch.from_numpy(draw(pool, batch=loop.batch, size=loop.patch * scale, rng=rng))
    lr, sigma = make_pair(hr, recipe, generator)
    sr = net(lr.contiguous(memory_format=torch.channels_last), sigma)
    edge = loop.border * scale
    inside = (..., slice(edge, -edge or None), slice(edge, -edge or None))
    loss = F.l1_loss(sr[inside], hr[inside])
    net.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), loop.clip)
    for optimiser in optimisers:
        optimiser.step()
    return float(loss.detach())


def validate(recipe: Recipe, weights: dict[str, Tensor], pool: Pool) -> list[float]:
    """PSNR over bicubic in dB at each of `VALIDATION_SIGMAS`, mean over the rasters of the validation sources."""
    net = build(recipe.model)
    net.load_state_dict(weights)
    net.eval()
    scale = recipe.model.scale
    inside = (..., slice(2 * scale, -2 * scale), slice(2 * scale, -2 * scale))
    gains = np.zeros((len(pool.images), len(VALIDATION_SIGMAS)))
    for row, image in zip(gains, pool.images, strict=True):
        channels = [0 if channel is None else channel for channel in image.channels]
        height, width = (size // scale * scale for size in image.pixels.shape[1:])
        hr = torch.from_numpy(image.pixels[None, channels, :height, :width].astype(np.float32) / np.float32(image.spread))
        for column, value in enumerate(VALIDATION_SIGMAS):
            sigma = torch.full(hr.shape[:2], value)
            lr = see(hr, sigma, scale=scale)
            # Mirrored surroundings, as everywhere outside training: zeros there would count against the network.
            around = torch.from_numpy(np.pad(lr.numpy(), ((0, 0), (0, 0), (net.halo,) * 2, (net.halo,) * 2), mode="symmetric"))
            with torch.no_grad():
                sr = net(around, sigma)[..., net.halo * scale : -net.halo * scale, net.halo * scale : -net.halo * scale]
            bicubic = F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
            ratio = F.mse_loss(bicubic[inside], hr[inside]) / F.mse_loss(sr[inside], hr[inside])
            row[column] = 10.0 * float(ratio.log10())
    return [float(value) for value in gains.mean(axis=0)]


def start_from(net: Compact, weights: dict[str, Tensor], *, theirs: Sequence[str], ours: Sequence[str]) -> None:
    """Put weights into `net`: those of the body as they are, those at both ends band by band, by role.

    Args:
        net: network of the same width, blocks and scale.
        weights: state of the other network.
        theirs: roles of the other network's bands.
        ours: roles of this network's bands.
    """
    pairs = [(ours.index(role), index) for index, role in enumerate(theirs) if role in ours]
    phases = net.scale**2
    own = net.state_dict()
    for name, value in weights.items():
        if own[name].shape == value.shape:
            own[name] = value
            continue
        for here, there in pairs:
            if name == "tail.weight":
                own[name][here * phases : (here + 1) * phases] = value[there * phases : (there + 1) * phases]
            else:  # head.weight and gate.hidden.weight: one column per band
                own[name][:, here] = value[:, there]
    net.load_state_dict(own)


def _describe(run: Path, recipe: Recipe, pool: Pool, held_out: Pool) -> None:
    (run / "recipe.json").write_text(recipe.model_dump_json(indent=2) + "\n")
    hashes = {path.name: sha256(path.read_bytes()).hexdigest() for path in (*pool.files, *held_out.files)}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    (run / "data.json").write_text(json.dumps({"commit": commit, "torch": torch.__version__, "files": hashes}, indent=2) + "\n")


def _save(run: Path, state: State) -> None:
    tensors = {f"net/{name}": value for name, value in state.net.state_dict().items()}
    tensors |= {f"average/{name}": value for name, value in state.average.items()}
    for which, optimiser in enumerate(state.optimisers):
        for index, values in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{which}/{index}/{name}": value for name, value in values.items()}
    header = {"step": str(state.step), "seconds": f"{state.seconds:.3f}"}
    for name, content in (("state", tensors), ("weights", state.average)):
        save_file({key: value.contiguous() for key, value in content.items()}, run / f"{name}.tmp", metadata=header)
        (run / f"{name}.tmp").replace(run / f"{name}.safetensors")


def _restore(run: Path, state: State) -> None:
    with safe_open(run / "state.safetensors", "pt") as file:
        header = file.metadata()
    tensors = load_file(run / "state.safetensors")
    state.net.load_state_dict({key.removeprefix("net/"): value for key, value in tensors.items() if key.startswith("net/")})
    for name, value in state.average.items():
        value.copy_(tensors[f"average/{name}"])
    for which, optimiser in enumerate(state.optimisers):
        content = optimiser.state_dict()
        kept: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"optimiser/{which}/"):
                index, name = key.split("/")[2:]
                kept.setdefault(int(index), {})[name] = value
        content["state"] = kept
        optimiser.load_state_dict(content)
    state.step, state.seconds = int(header["step"]), float(header["seconds"])
