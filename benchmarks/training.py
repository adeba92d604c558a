"""What the training loop costs beside the same step written plainly, how long the network waits for data, and how much memory it takes.

    python benchmarks/training.py                            tables for docs/training.md
    python benchmarks/training.py --nets light --steps 5     without the generator of the ESRGAN paper

Stage 2 is measured in a process for each generator: first our steps alone, for their memory; then, in turn and on the same batches,
our step and one in the order of operations that BasicSR published, as a ratio. Stage 1 is `compact`, with its loader. The imagery
is sample_data/, the perceptual weights are random: neither changes the time.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sr_geo.train.loop import begin, choose_precision, train_step
from sr_geo.train.perceptual import PerceptualTerm
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.batches import Batch, Batches, make_loader
from sr_geo.train.samples.pool import open_pool
from sr_geo.train.state import State
from sr_geo.train.together import choose_device

SAMPLES = Path(__file__).resolve().parents[1] / "sample_data"
BLOCKS = {"light": 6, "full": 23}
"""Of the generators: ours, and that of the ESRGAN paper."""


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
            "loop": {"iterations": 10**6, "batch": batch, "patch": patch, "border": 0 if stage == 2 else 3},
        }
    )


def make_batches(recipe: Recipe) -> Batches:
    """Batches of the recipe."""
    size, scale = recipe.loop.patch * recipe.model.scale, recipe.model.scale
    pool = open_pool(recipe.sources, SAMPLES, recipe.model.bands, size=size, scale=scale, standardised=recipe.standardised)
    return Batches(pool, recipe.degradation, recipe.loop.batch, recipe.loop.patch, scale, recipe.loop.seed)


def make_fabric(recipe: Recipe) -> Fabric:
    """As the loop makes it."""
    device = choose_device("auto", 1)
    return Fabric(accelerator=device, devices=1, precision=choose_precision(recipe.loop, device))


def plain_step(fabric: Fabric, state: State, batch: Batch) -> None:
    """Stage 2 in the order of BasicSR's ESRGANModel.optimize_parameters: generator, then both halves of the discriminator."""
    judge, (optimiser,), other = state.discriminator, state.optimisers, state.discriminator_optimiser
    assert judge is not None
    assert other is not None
    term = state.objective.perceptual[0]
    assert isinstance(term, PerceptualTerm)
    hr, lr, sigma = batch

    def through(net: nn.Module, *inputs: Tensor) -> Tensor:
        with fabric.autocast():
            result: Tensor = net(*inputs)
        return result.float()

    judge.requires_grad_(False)
    optimiser.zero_grad()
    sr = through(state.net, lr, sigma)
    loss = 0.01 * nn.functional.l1_loss(sr, hr) + term(sr, hr)
    real, fake = through(judge, hr).detach(), through(judge, sr)
    loss = loss + 5e-3 * 0.5 * (_bce(real - fake.mean(), 0.0) + _bce(fake - real.mean(), 1.0))
    loss.backward()
    optimiser.step()
    judge.requires_grad_(True)
    other.zero_grad()
    fake = through(judge, sr).detach()
    real = through(judge, hr)
    (0.5 * _bce(real - fake.mean(), 1.0)).backward()
    fake = through(judge, sr.detach())
    (0.5 * _bce(fake - real.detach().mean(), 0.0)).backward()
    other.step()
    for name, value in state.net.state_dict().items():
        state.average[name].mul_(0.999).add_(value, alpha=0.001)


def _bce(logits: Tensor, target: float) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def seconds(call: Callable[[], object]) -> float:
    """Time of a call, everything on a GPU included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak_mib() -> float:
    """Memory that was taken at most: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def stage_two(net: str, *, batch: int, patch: int, steps: int) -> dict[str, float]:
    """Memory of our step, and median times of it and of the plain one, taken in turn."""
    recipe = make_recipe(stage=2, blocks=BLOCKS[net], batch=batch, patch=patch)
    fabric = make_fabric(recipe)
    state = begin(recipe, fabric, None)
    batches = make_batches(recipe)

    def ours(sample: Batch) -> None:
        train_step(fabric, state, sample, recipe)
        state.follow(0.999)

    def plain(sample: Batch) -> None:
        plain_step(fabric, state, sample)

    for step in range(2):  # the first ones make room and choose kernels
        ours(fabric.to_device(batches[step]))
    peak = peak_mib()
    plain(fabric.to_device(batches[0]))
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for step in range(steps):
        sample = fabric.to_device(batches[step])
        both = (("ours", ours), ("plain", plain))
        for name, call in both if step % 2 else both[::-1]:
            times[name].append(seconds(lambda call=call, sample=sample: call(sample)))
    return {
        "parameters": sum(value.numel() for value in state.net.parameters()),
        "ours": statistics.median(times["ours"]),
        "plain": statistics.median(times["plain"]),
        "ratio": statistics.median(a / b for a, b in zip(times["ours"], times["plain"], strict=True)),
        "peak_mib": peak,
    }


def stage_one(*, workers: int, batch: int, patch: int, steps: int) -> dict[str, float]:
    """Steps per second of `compact`, and the share of the time that it waits for a batch."""
    recipe = make_recipe(stage=1, blocks=0, batch=batch, patch=patch)
    fabric = make_fabric(recipe)
    state = begin(recipe, fabric, None)
    waited = worked = 0.0
    loader = make_loader(make_batches(recipe), range(steps + 5), workers=workers, pinned=fabric.device.type == "cuda")
    before = time.perf_counter()
    for step, sample in enumerate(loader):
        arrived = time.perf_counter()
        used = seconds(lambda sample=sample: train_step(fabric, state, fabric.to_device(sample), recipe))
        if step >= 5:  # the first ones find the queue empty
            waited += arrived - before
            worked += used
        before = time.perf_counter()
    return {"workers": workers, "steps_per_second": steps / (waited + worked), "waits": waited / (waited + worked)}


def apart(arguments: argparse.Namespace, net: str) -> dict[str, float]:
    """`stage_two` in a process of its own, so that its memory is its own."""
    sizes = ["--batch", str(arguments.batch), "--patch", str(arguments.patch), "--steps", str(arguments.steps)]
    done = subprocess.run([sys.executable, __file__, "--only", net, *sizes], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="*", choices=sorted(BLOCKS), default=list(BLOCKS), help="generators of stage 2")
    parser.add_argument("--workers", nargs="*", type=int, default=[0, 1, 2], help="numbers of workers that stage 1 is tried with")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=32, help="side in low-resolution pixels; a multiple of 8")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", choices=sorted(BLOCKS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = {"batch": arguments.batch, "patch": arguments.patch, "steps": arguments.steps}
    if arguments.only:
        print(json.dumps(stage_two(arguments.only, **sizes)))
        return
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"{where}, PyTorch {torch.__version__}; {arguments.steps} steps of {arguments.batch} × {arguments.patch}² pixels\n")
    if arguments.nets:
        print("| stage 2, ESRGAN | parameters | ours, s per step | BasicSR's order, s | ratio | memory at most |")
        print("| --- | --- | --- | --- | --- | --- |")
    for net in arguments.nets:
        row = apart(arguments, net)
        cells = [f"{row['parameters'] / 1e6:.1f} M", f"{row['ours']:.3g}", f"{row['plain']:.3g}", f"{row['ratio']:.2f}"]
        print(f"| {net}, {BLOCKS[net]} blocks | {' | '.join(cells)} | {row['peak_mib'] / 1024:.1f} GiB |", flush=True)
    if arguments.workers:
        print("\n| stage 1, `compact` | steps per second | waits for data |\n| --- | --- | --- |")
    for workers in arguments.workers:
        row = stage_one(workers=workers, **sizes)
        print(f"| {workers} worker(s) | {row['steps_per_second']:.3g} | {row['waits']:.1%} |", flush=True)


if __name__ == "__main__":
    main()
