"""The training loop, for all three stages: what a recipe's losses ask for decides what a step does."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from sr_geo.errors import OptionError, TrainingError
from sr_geo.train import folder
from sr_geo.train.losses import Objective
from sr_geo.train.losses.adversarial import Kind, fake_part, generator_loss, real_part
from sr_geo.train.losses.objective import total
from sr_geo.train.muon import Muon
from sr_geo.train.nets import Generator, build_discriminator
from sr_geo.train.perceptual.bands import to_picture_range
from sr_geo.train.recipe import LoopSection, Recipe
from sr_geo.train.samples.batches import Batch, Batches, make_loader
from sr_geo.train.samples.pool import Pool, open_pool
from sr_geo.train.start import Start, build, find_start, start_from
from sr_geo.train.state import State
from sr_geo.train.together import average_gradients, careful, choose_device, end_others, is_first, latest, one_end
from sr_geo.train.validate import conditions, draw_sheet, require_pieces, validate

SAVE_EVERY = 120.0
"""Seconds after which the state is saved, besides at every validation: a killed run loses no more."""


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run after a step, for whoever shows it."""

    step: int
    iterations: int
    loss: float
    """NaN before the first step."""
    gain_db: float | None
    """Mean PSNR over bicubic on the held-out imagery, where it was measured at this step."""
    seconds_left: float


def train(
    recipe: Recipe,
    *,
    data_root: Path,
    run: Path,
    resume: bool = False,
    max_minutes: float | None = None,
    device: str = "auto",
    devices: int = 1,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Run a recipe and return the path of the final weights (the moving average, safetensors).

    The learning rate follows its schedule over the iterations or over `max_minutes`, whichever is further along, so that a
    run that is cut by time still ends annealed. Batches depend on the seed and the step only: a resumed run of
    iterations repeats an uninterrupted one exactly on a CPU.

    Args:
        recipe: what to do.
        data_root: folder that the recipe's files are below.
        run: folder to make.
        resume: go on with the run in the folder.
        max_minutes: stop in time, with usable weights; above zero.
        device: `auto`, `cpu` or `cuda`.
        devices: how many GPUs, or processes on a CPU, share the work; the batch is for each of them. Fabric starts the
            others by calling the program of this process again, with its arguments.
        report: called after every step.

    Raises:
        TrainingDataError: the data does not fit the recipe.
        TrainingError: the run folder is taken or belongs to another recipe, memory does not suffice, or the loss is no number any more.
        OptionError: there is no such device, or no time.
    """
    if max_minutes is not None and not max_minutes > 0.0:
        raise OptionError(f"--max-minutes {max_minutes:g}: give a number above zero")
    accelerator = choose_device(device, devices)
    changed = folder.take(run, recipe, resume=resume) if is_first() else {}
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=choose_precision(recipe.loop, accelerator))
    fabric.launch()
    try:
        with one_end(fabric):
            work = _prepare(recipe, fabric, data_root, run, resume=resume, changed=changed)
        with careful():  # an optimiser asks for memory in its first step, and of a worker's end PyTorch tells wherever it happens to be
            _run(recipe, fabric, work, run, max_minutes=max_minutes, report=report)
    except BaseException:
        end_others(fabric)
        raise
    return run / "weights.safetensors"


@dataclass(frozen=True, slots=True)
class _Work:
    """A run that is ready for its next step."""

    state: State
    start: Start | None
    """What it started from, where it starts now."""
    batches: Batches
    held_out: Pool


def _prepare(recipe: Recipe, fabric: Fabric, data_root: Path, run: Path, *, resume: bool, changed: folder.Changes) -> _Work:
    """Open the imagery, make the networks or take them up again, and write down what goes in."""
    loop, bands, scale = recipe.loop, recipe.model.bands, recipe.model.scale
    opened = partial(open_pool, root=data_root, bands=bands, scale=scale, standardised=recipe.standardised, units=recipe.units)
    pool, held_out = opened(recipe.sources, size=loop.patch * scale), opened(recipe.validation, size=8 * scale)
    require_pieces(held_out, scale)
    goes_on = resume and (run / "state.safetensors").exists()
    start = None if goes_on or recipe.init is None else find_start(recipe.init)  # a resumed run does not need where it came from
    state = begin(recipe, fabric, start)
    if goes_on:
        state.restore(run)
    if fabric.is_global_zero and not goes_on:
        networks = state.objective.describe()
        title, legs = ("", ()) if start is None else (start.title, start.legs)
        folder.describe(run, recipe, (pool, held_out), root=data_root, networks=networks, start=title, legs=legs)
    elif fabric.is_global_zero:
        folder.note_resumed(run, recipe, changed, step=state.step)
    batches = Batches(pool, recipe.degradation, loop.batch, loop.patch, scale, loop.seed, fabric.global_rank)
    return _Work(state, start, batches, held_out)


def _run(recipe: Recipe, fabric: Fabric, work: _Work, run: Path, *, max_minutes: float | None, report: Callable[[Progress], None]) -> None:
    """All steps."""
    loop, state, held_out = recipe.loop, work.state, work.held_out
    ahead = make_loader(work.batches, range(state.step, loop.iterations), workers=loop.workers, pinned=fabric.device.type == "cuda")
    started, saved, running = time.monotonic() - state.seconds, time.monotonic(), math.nan
    checked = state.step
    with folder.Log(run, [condition.column for condition in conditions(recipe)], kept=fabric.is_global_zero) as log:
        with one_end(fabric):
            if work.start is not None and fabric.is_global_zero:  # what training has to be better than
                report(Progress(0, loop.iterations, math.nan, _check(recipe, state, held_out, log, math.nan), math.nan))
        while (done := fraction_done(state, loop.iterations, max_minutes)) < 1.0:
            with one_end(fabric):
                batch = fabric.to_device(next(ahead))
            set_rates(state, recipe, done)
            terms = train_step(fabric, state, batch, recipe)
            running = terms["all"] if math.isnan(running) else 0.98 * running + 0.02 * terms["all"]
            state.follow(loop.ema)
            state.step += 1
            state.seconds = latest(fabric, time.monotonic() - started)
            gain = None
            log.terms(state.step, terms)
            with one_end(fabric):
                if fabric.is_global_zero and (state.step % loop.validate_every == 0 or state.step == loop.iterations):
                    gain, checked = _check(recipe, state, held_out, log, running), state.step
                elif fabric.is_global_zero and time.monotonic() - saved > SAVE_EVERY:
                    state.save(run)
                    saved = time.monotonic()
            done = fraction_done(state, loop.iterations, max_minutes)
            report(Progress(state.step, loop.iterations, running, gain, max(0.0, state.seconds * (1.0 - done) / done)))
        with one_end(fabric):
            if state.step > checked and fabric.is_global_zero:  # stopped by time
                report(Progress(state.step, loop.iterations, running, _check(recipe, state, held_out, log, running), 0.0))


def _check(recipe: Recipe, state: State, held_out: Pool, log: folder.Log, loss: float) -> float:
    """Validate, draw a sheet and save; the mean gain."""
    device = next(state.net.parameters()).device
    gains = validate(recipe, state, held_out, device=device)
    log.validation(state.step, state.seconds, loss, gains)
    draw_sheet(recipe, state, held_out, log.run / "samples" / f"{state.step:07d}.png", device=device)
    state.save(log.run)
    return sum(gains) / len(gains)


def begin(recipe: Recipe, fabric: Fabric, start: Start | None) -> State:
    """A run before its first step, on the device of `fabric`."""
    torch.manual_seed(recipe.loop.seed)
    net = build(recipe.model, sees_blur=recipe.blur is not None)
    if start is not None:
        start_from(net, start, ours=recipe.model.bands)
    net = net.to(fabric.device).to(memory_format=torch.channels_last)
    objective = Objective(recipe.losses, recipe.model.bands, units=recipe.units, scale=recipe.model.scale).to(fabric.device)
    average = {name: value.detach().clone() for name, value in net.state_dict().items()}
    state = State(net, average, make_optimisers(net, recipe.loop), objective)
    adversarial = recipe.losses.adversarial
    if adversarial is not None:
        size = (recipe.loop.patch - 2 * recipe.loop.border) * recipe.model.scale
        choice = adversarial.discriminator
        discriminator = build_discriminator(choice.family, bands=len(recipe.model.bands), size=size, width=choice.width)
        if start is not None and start.discriminator is not None:
            try:
                discriminator.load_state_dict(dict(start.discriminator))
            except RuntimeError as error:
                hint = "give losses.adversarial.discriminator the same family and width, and the loop the same patch"
                raise TrainingError(f"init: the discriminator of {start.title} is another one; {hint}") from error
        state.discriminator = discriminator.to(fabric.device)
        state.discriminator_optimiser = Adam(discriminator.parameters(), lr=adversarial.learning_rate, betas=(0.9, 0.99))
    return state


def make_optimisers(net: Generator, loop: LoopSection) -> tuple[Optimizer, ...]:
    """Adam for everything; or Muon for the kernels of the residual blocks and Adam for the rest."""
    if loop.optimiser == "adam":
        return (Adam(net.parameters(), lr=loop.learning_rate, betas=(0.9, 0.99)),)
    kernels = {name for name, value in net.named_parameters() if name.startswith("body.") and value.ndim == 4}
    body = [value for name, value in net.named_parameters() if name in kernels]
    rest = [value for name, value in net.named_parameters() if name not in kernels]
    return Muon(body, lr=loop.body_learning_rate), Adam(rest, lr=loop.learning_rate, betas=(0.9, 0.99))


def fraction_done(state: State, iterations: int, max_minutes: float | None) -> float:
    """How far a run is, by its steps or by its time, whichever is further."""
    by_steps = state.step / iterations
    return by_steps if max_minutes is None else max(by_steps, state.seconds / (60.0 * max_minutes))


def set_rates(state: State, recipe: Recipe, done: float) -> None:
    """Learning rates of a step: warm-up, then the schedule."""
    loop = recipe.loop
    factor = min(1.0, (state.step + 1) / loop.warmup)
    if loop.schedule == "cosine":
        factor *= 0.5 * (1.0 + math.cos(math.pi * done))
    rates = [loop.learning_rate] if loop.optimiser == "adam" else [loop.body_learning_rate, loop.learning_rate]
    if recipe.losses.adversarial is not None:
        rates.append(recipe.losses.adversarial.learning_rate)
    for optimiser, rate in zip(state.everything, rates, strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rate * factor


def train_step(fabric: Fabric, state: State, batch: Batch, recipe: Recipe) -> dict[str, float]:
    """One update of the generator, and of the discriminator where there is one; the terms of the loss.

    Raises:
        TrainingError: memory does not suffice or a term is no number, here or in another process.
    """
    adversarial = recipe.losses.adversarial
    with one_end(fabric):
        terms, pictures = _objective(fabric, state, batch, recipe)
        loss = total(terms)
        for optimiser in state.optimisers:
            optimiser.zero_grad(set_to_none=True)
        fabric.backward(loss)
    average_gradients(fabric, state.net, *state.objective.magnitudes)
    norm = nn.utils.clip_grad_norm_(state.net.parameters(), recipe.loop.clip)
    for optimiser in state.optimisers:
        optimiser.step()
    values = {name: value.detach() for name, value in terms.items()} | {"all": loss.detach()}
    slopes = {"gradient": norm}  # one that is no number spoils the weights while the loss still is one
    if adversarial is not None and pictures is not None and state.discriminator is not None and state.discriminator_optimiser is not None:
        with one_end(fabric):
            state.discriminator_optimiser.zero_grad(set_to_none=True)
            values["discriminator"] = _judge(fabric, state.discriminator, pictures[0].detach(), pictures[1], kind=adversarial.kind)
        average_gradients(fabric, state.discriminator)
        slopes["gradient of the discriminator"] = nn.utils.get_total_norm(
            [value.grad for value in state.discriminator.parameters() if value.grad is not None]
        )
        state.discriminator_optimiser.step()
    both = values | slopes
    told = dict(zip(both, torch.stack(list(both.values())).tolist(), strict=True))  # one wait for the GPU and not one for each
    with one_end(fabric):
        _require_numbers({name: told[name] for name in values}, "loss", state.step)
    _require_numbers({name: told[name] for name in slopes}, "gradient", state.step)  # the same in all processes
    return {name: told[name] for name in values}


def _require_numbers(values: Mapping[str, float], what: str, step: int) -> None:
    """Stop before what is no number gets into what is saved; the discriminator's too."""
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        found = f"{what} is {values[bad[0]]} ({', '.join(bad)}) at step {step}"
        raise TrainingError(f"{found}; the last good state is kept: lower loop.learning_rate, then --resume")


Pictures = tuple[Tensor, Tensor]
"""What the discriminator sees: enhanced and true, ``(N, C, H, W)``."""


def _objective(fabric: Fabric, state: State, batch: Batch, recipe: Recipe) -> tuple[dict[str, Tensor], Pictures | None]:
    """The terms of the generator's loss, and the pictures that the discriminator is to judge."""
    hr, lr, sigma = batch
    lr = lr.contiguous(memory_format=torch.channels_last)
    edge = recipe.loop.border
    coarse = (..., slice(edge, -edge or None), slice(edge, -edge or None))
    edge *= recipe.model.scale
    fine = (..., slice(edge, -edge or None), slice(edge, -edge or None))
    average = state.averaged(lr, sigma)[fine] if recipe.losses.artifacts else None
    sr, hr = _through(fabric, state.net, lr, sigma)[fine], hr[fine]
    with fabric.autocast():
        terms = state.objective(sr, hr, lr[coarse], sigma, average)
    adversarial = recipe.losses.adversarial
    if adversarial is None or state.discriminator is None:
        return terms, None
    pictures = (to_picture_range(sr, hr, recipe.units), to_picture_range(hr, hr, recipe.units))
    if weight := adversarial.weight_at(state.step):
        terms["adversarial"] = weight * _fooling(fabric, state.discriminator, pictures, adversarial.kind)
    return terms, pictures


def _through(fabric: Fabric, net: nn.Module, *inputs: Tensor) -> Tensor:
    """What a network makes of something, computed in the precision of the run, as float32."""
    with fabric.autocast():
        result: Tensor = net(*inputs)
    return result.float()


def _fooling(fabric: Fabric, judge: nn.Module, pictures: Pictures, kind: Kind) -> Tensor:
    """The generator's adversarial loss; the discriminator's weights take no gradient from it."""
    judge.requires_grad_(False)
    with torch.no_grad():
        real = _through(fabric, judge, pictures[1])
    return generator_loss(_through(fabric, judge, pictures[0]), real, kind)


def _judge(fabric: Fabric, judge: nn.Module, sr: Tensor, hr: Tensor, *, kind: Kind) -> Tensor:
    """The discriminator's gradients, true and enhanced pictures in passes of their own as BasicSR does it; its loss."""
    judge.requires_grad_(True)
    with torch.no_grad():
        fake = _through(fabric, judge, sr)
    real = _through(fabric, judge, hr)
    first = real_part(real, fake, kind)
    fabric.backward(first)
    second = fake_part(_through(fabric, judge, sr), real, kind)
    fabric.backward(second)
    return (first + second).detach()


def choose_precision(loop: LoopSection, device: str) -> Literal["32-true", "bf16-mixed"]:
    """`auto`: bf16 where the GPU or the CPU does it in hardware; elsewhere it would only be slower.

    Of CPUs those with AVX512-BF16 do (AMD from Zen 4 on, Intel's Xeons since Cooper Lake): 1.6 to 2 times the steps of float32.
    """
    if loop.precision != "auto":
        return loop.precision
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "32-true"
    tell: Callable[[], Mapping[str, object]] = getattr(torch.cpu, "get_capabilities", dict)  # older releases do not tell
    return "bf16-mixed" if tell().get("avx512_bf16") else "32-true"
