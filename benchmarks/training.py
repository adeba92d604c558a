"""What the training loop costs beside the same step written plainly, how long the network waits for data, and how much memory it takes.

    python benchmarks/training.py --data imagery/            tables for docs/training.md: ten minutes on two cores
    python benchmarks/training.py --nets light --steps 5     without the generator of the ESRGAN paper

Stage 2 is measured in a process for each generator: first our steps alone, for their memory; then, in turn and on the same batches,
our step and one in the order of operations that BasicSR published, as a ratio. The imagery is sample_data/. Then the recipes of
each domain run with their loader, where --data or $SR_GEO_DATA has their imagery (plates are rendered and need none), and `compact`
with more and fewer workers. Perceptual weights are random: that does not change the time.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sr_geo.errors import SrGeoError
from sr_geo.train.loop import begin, choose_precision, train_step
from sr_geo.train.perceptual import PerceptualTerm
from sr_geo.train.recipe import Recipe, load_recipe
from sr_geo.train.samples.batches import Batch, Batches, make_loader
from sr_geo.train.samples.pool import open_pool
from sr_geo.train.state import State
from sr_geo.train.together import choose_device

SAMPLES = Path(__file__).resolve().parents[1] / "sample_data"
RECIPES = Path(__file__).resolve().parents[1] / "training" / "recipes"
DOMAINS = {"satellite": "satellite-rgbn-x4", "medical": "medical-gray-x4", "plate": "plate-rgb-x4", "face": "face-rgb-x4"}
"""And the small network of each; of its ESRGAN the recipe is DOMAIN-esrgan-x4."""
ON_CPU = ("loop.batch=4", "loop.patch=22")
"""Of an ESRGAN where there is no GPU, as docs/training.md advises."""
AHEAD = 5
"""Steps that do not count: a worker begins with an empty queue, and then has one of four batches."""
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


def make_batches(recipe: Recipe, root: Path = SAMPLES) -> Batches:
    """Batches of the recipe."""
    size, scale = recipe.loop.patch * recipe.model.scale, recipe.model.scale
    pool = open_pool(recipe.sources, root, recipe.model.bands, size=size, scale=scale, standardised=recipe.standardised)
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
    torch.autograd.backward(0.5 * _bce(real - fake.mean(), 1.0))
    fake = through(judge, sr.detach())
    torch.autograd.backward(0.5 * _bce(fake - real.detach().mean(), 0.0))
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
            times[name].append(seconds(partial(call, sample)))
    return {
        "parameters": sum(value.numel() for value in state.net.parameters()),
        "ours": statistics.median(times["ours"]),
        "plain": statistics.median(times["plain"]),
        "ratio": statistics.median(a / b for a, b in zip(times["ours"], times["plain"], strict=True)),
        "peak_mib": peak,
    }


def with_loader(recipe: Recipe, batches: Batches, *, workers: int, steps: int) -> dict[str, float]:
    """Steps per second, and the share of the time that the network waits for a batch."""
    fabric = make_fabric(recipe)
    state = begin(recipe, fabric, None)
    waited = worked = 0.0

    def step_on(sample: Batch) -> None:
        train_step(fabric, state, fabric.to_device(sample), recipe)

    loader = make_loader(batches, range(steps + AHEAD), workers=workers, pinned=fabric.device.type == "cuda")
    before = time.perf_counter()
    for step, sample in enumerate(loader):
        arrived = time.perf_counter()
        used = seconds(partial(step_on, sample))
        if step >= AHEAD:
            waited += arrived - before
            worked += used
        before = time.perf_counter()
    return {"steps_per_second": steps / (waited + worked), "waits": waited / (waited + worked)}


def sample_ms(batches: Batches) -> float:
    """Milliseconds of one core that a sample costs, once files are open and kept plates are drawn."""
    count = max(1, 24 // batches.batch)
    for step in range(count):
        batches[step]
    return 1000.0 * seconds(lambda: [batches[count + step] for step in range(count)]) / (count * batches.batch)


def by_domain(domains: Sequence[str], root: Path, *, workers: int, steps: int) -> Iterator[str]:
    """Rows of a table: each domain's small network and its ESRGAN, as their recipes have them."""
    on_cpu = not torch.cuda.is_available()
    for domain in domains:
        for name in (DOMAINS[domain], f"{domain}-esrgan-x4"):
            small = name == DOMAINS[domain]
            changes = () if small else ("losses.perceptual.0.weights=random", *(ON_CPU if on_cpu else ()))
            recipe = load_recipe(RECIPES / f"{name}.yaml", changes)
            try:
                batches = make_batches(recipe, root)
            except SrGeoError as error:
                print(f"{name}: left out: {error}", file=sys.stderr)
                continue
            cost = sample_ms(batches)
            row = with_loader(recipe, batches, workers=workers, steps=6 * steps if small else steps)
            size = f"{recipe.loop.batch} × {recipe.loop.patch}²"
            yield f"| `{name}` | {size} | {cost:.3g} | {row['steps_per_second']:.3g} | {row['waits']:.1%} |"


def apart(arguments: argparse.Namespace, net: str) -> dict[str, float]:
    """`stage_two` in a process of its own, so that its memory is its own."""
    sizes = ["--batch", str(arguments.batch), "--patch", str(arguments.patch), "--steps", str(arguments.steps)]
    done = subprocess.run([sys.executable, __file__, "--only", net, *sizes], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, and print three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="*", choices=sorted(BLOCKS), default=list(BLOCKS), help="generators of stage 2")
    parser.add_argument("--domains", nargs="*", choices=list(DOMAINS), default=list(DOMAINS), help="whose recipes run with their loader")
    data = Path(os.environ.get("SR_GEO_DATA", "data"))
    parser.add_argument("--data", type=Path, default=data, help="root of their imagery ($SR_GEO_DATA)")
    parser.add_argument("--workers", nargs="*", type=int, default=[0, 1, 2], help="numbers of workers that `compact` is tried with")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=32, help="side in low-resolution pixels; a multiple of 8")
    parser.add_argument("--steps", type=int, default=6, help="of an ESRGAN that count; small networks take more")
    parser.add_argument("--only", choices=sorted(BLOCKS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = {"batch": arguments.batch, "patch": arguments.patch, "steps": arguments.steps}
    started = time.perf_counter()
    if arguments.only:
        print(json.dumps(stage_two(arguments.only, **sizes)))
        return
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"{where}, PyTorch {torch.__version__}\n")
    if arguments.nets:
        what = f"ESRGAN, {arguments.batch} × {arguments.patch}²"
        print(f"| {what} | parameters | ours, s per step | BasicSR's order, s | ratio | memory at most |")
        print("| --- | --- | --- | --- | --- | --- |")
    for net in arguments.nets:
        row = apart(arguments, net)
        cells = [f"{row['parameters'] / 1e6:.1f} M", f"{row['ours']:.3g}", f"{row['plain']:.3g}", f"{row['ratio']:.2f}"]
        print(f"| {net}, {BLOCKS[net]} blocks | {' | '.join(cells)} | {row['peak_mib'] / 1024:.1f} GiB |", flush=True)
    if arguments.domains:
        workers = max(1, (os.cpu_count() or 2) - 2) if torch.cuda.is_available() else 1
        print(f"\n| recipe, {workers} worker(s) | batch | ms a sample | steps per second | waits for data |")
        print("| --- | --- | --- | --- | --- |")
        for line in by_domain(arguments.domains, arguments.data, workers=workers, steps=arguments.steps):
            print(line, flush=True)
    if arguments.workers:
        print("\n| `compact`, 8 × 40² | steps per second | waits for data |\n| --- | --- | --- |")
    for workers in arguments.workers:
        recipe = make_recipe(stage=1, blocks=0, batch=8, patch=40)
        row = with_loader(recipe, make_batches(recipe), workers=workers, steps=2 * arguments.steps)
        print(f"| {workers} worker(s) | {row['steps_per_second']:.3g} | {row['waits']:.1%} |", flush=True)
    print(f"\n{(time.perf_counter() - started) / 60:.0f} minutes", file=sys.stderr)


if __name__ == "__main__":
    main()
