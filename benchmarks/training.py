"""What the training loop costs beside the same step written plainly, and how long the network waits for data.

    python benchmarks/training.py                    a step of stage 2 against the order of operations that BasicSR published
    python benchmarks/training.py --data             share of the time that a step of stage 1 waits for its batch

Both networks, the perceptual network and the batches are the same; times are taken in turn in one process and given as
ratios. The imagery is sample_data/, the perceptual weights are random: neither changes the time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sr_geo.train.loop import Wrapped, begin, train_step
from sr_geo.train.perceptual import PerceptualTerm
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.batches import Batch, Batches, make_loader
from sr_geo.train.samples.pool import open_pool
from sr_geo.train.state import State

SAMPLES = Path(__file__).resolve().parents[1] / "sample_data"


def make_recipe(*, stage: int, blocks: int, batch: int, patch: int) -> Recipe:
    """A recipe on the sample imagery: stage 1 of `compact`, or stage 2 of a light ESRGAN."""
    bands = ["blue", "green", "red"]
    source = {"kind": "rasters", "name": "Itaipu", "files": ["itaipu_landsat8.tif"], "bands": bands, "licence": "public domain"}
    gan = {
        "pixel": 0.01,
        "perceptual": [{"network": "vgg19", "weights": "random"}],
        "adversarial": {"weight": 5e-3, "discriminator": {"family": "vgg"}},
    }
    model = {"family": "compact"} if stage == 1 else {"family": "rrdbnet", "width": 64, "growth": 32, "blocks": blocks}
    return Recipe.model_validate(
        {
            "name": "benchmark",
            "title": "Benchmark",
            "domain": "satellite",
            "limits": "None.",
            "model": {**model, "bands": bands},
            "sources": [source],
            "validation": [source],
            "degradation": {"kind": "sensor"},
            "losses": {} if stage == 1 else gan,
            "loop": {"iterations": 10**6, "batch": batch, "patch": patch, "border": 0 if stage == 2 else 3, "precision": "32-true"},
        }
    )


def make_batches(recipe: Recipe) -> Batches:
    """Batches of the recipe."""
    size, scale = recipe.loop.patch * recipe.model.scale, recipe.model.scale
    pool = open_pool(recipe.sources, SAMPLES, recipe.model.bands, size=size, scale=scale)
    return Batches(pool, recipe.degradation, recipe.loop.batch, recipe.loop.patch, scale, recipe.loop.seed)


def plain_step(state: State, batch: Batch) -> None:
    """Stage 2 in the order of BasicSR's ESRGANModel.optimize_parameters: generator, then both halves of the discriminator."""
    judge, (optimiser,), other = state.discriminator, state.optimisers, state.discriminator_optimiser
    assert judge is not None
    assert other is not None
    term = state.objective.perceptual[0]
    assert isinstance(term, PerceptualTerm)
    hr, lr, sigma = batch
    judge.requires_grad_(False)
    optimiser.zero_grad()
    sr = state.net(lr, sigma)
    loss = 0.01 * nn.functional.l1_loss(sr, hr) + term(sr, hr)
    real, fake = judge(hr).detach(), judge(sr)
    loss = loss + 5e-3 * 0.5 * (_bce(real - fake.mean(), 0.0) + _bce(fake - real.mean(), 1.0))
    loss.backward()
    optimiser.step()
    judge.requires_grad_(True)
    other.zero_grad()
    fake = judge(sr).detach()
    real = judge(hr)
    (0.5 * _bce(real - fake.mean(), 1.0)).backward()
    fake = judge(sr.detach())
    (0.5 * _bce(fake - real.detach().mean(), 0.0)).backward()
    other.step()
    for name, value in state.net.state_dict().items():
        state.average[name].mul_(0.999).add_(value, alpha=0.001)


def _bce(logits: Tensor, target: float) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def seconds(call: Callable[[], object]) -> float:
    """Time of a call, everything on an accelerator included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def against_plain(*, blocks: int, batch: int, patch: int, steps: int) -> dict[str, float]:
    """Median time of our step over that of the plain one."""
    recipe = make_recipe(stage=2, blocks=blocks, batch=batch, patch=patch)
    fabric = Fabric(accelerator="auto", devices=1, precision="32-true")
    state = begin(recipe, fabric, None)
    assert state.discriminator is not None
    wrapped = Wrapped(fabric.setup_module(state.net), fabric.setup_module(state.discriminator))
    batches = make_batches(recipe)
    ours, plain = [], []
    for step in range(steps + 1):
        sample = fabric.to_device(batches[step])

        def our_step(sample: Batch = sample) -> None:
            train_step(fabric, state, wrapped, sample, recipe)
            state.follow(0.999)

        ours.append(seconds(our_step))
        plain.append(seconds(lambda sample=sample: plain_step(state, sample)))
    return {
        "blocks": blocks,
        "batch": batch,
        "patch": patch,
        "our_steps_per_second": round(1.0 / statistics.median(ours[1:]), 3),
        "plain_steps_per_second": round(1.0 / statistics.median(plain[1:]), 3),
        "ratio": round(statistics.median(a / b for a, b in zip(ours[1:], plain[1:], strict=True)), 3),
    }


def data_wait(*, workers: int, steps: int, batch: int, patch: int) -> dict[str, float]:
    """Share of the time of stage 1 that is spent waiting for a batch."""
    recipe = make_recipe(stage=1, blocks=0, batch=batch, patch=patch)
    fabric = Fabric(accelerator="auto", devices=1, precision="32-true")
    state = begin(recipe, fabric, None)
    wrapped = Wrapped(fabric.setup_module(state.net), None)
    waited = worked = 0.0
    before = time.perf_counter()
    for step, sample in enumerate(make_loader(make_batches(recipe), range(steps + 5), workers=workers)):
        arrived = time.perf_counter()
        used = seconds(lambda sample=sample: train_step(fabric, state, wrapped, fabric.to_device(sample), recipe))
        if step >= 5:  # the first ones find the queue empty
            waited += arrived - before
            worked += used
        before = time.perf_counter()
    share = waited / (waited + worked)
    return {"workers": workers, "steps_per_second": round(steps / (waited + worked), 3), "waits_for_data": round(share, 4)}


def main() -> None:
    """Measure, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="store_true", help="measure the wait for data instead")
    parser.add_argument("--blocks", type=int, default=6, help="of the light ESRGAN; 23 is the paper's")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    sizes = {"batch": arguments.batch, "patch": arguments.patch, "steps": arguments.steps}
    if arguments.data:
        for workers in (0, 1, 2):
            print(json.dumps(data_wait(workers=workers, **sizes)), flush=True)
    else:
        print(json.dumps(against_plain(blocks=arguments.blocks, **sizes)), flush=True)


if __name__ == "__main__":
    main()
