"""Training pairs made once: with them in memory a step waits for no data, on a GPU or on two cores."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_geo.files import whole_file
from sr_geo.train.recipe import Recipe
from sr_geo.train.samples.batches import Batch, Batches
from sr_geo.train.samples.pool import open_pool

PIECE = 100
"""Pairs that a process makes at a time."""
STREAM = 99
"""Seed of the bank: the same pairs for all systems and seeds."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Pairs in 8 bits on the device of the training."""

    hr: Tensor
    """``(N, C, H, W)`` uint8."""
    lr: Tensor
    mirrored: bool
    """Whether samples may be mirrored: plates may not, and are never asked to be."""

    def draw(self, count: int, *, seed: int, step: int) -> Batch:
        """A batch; it depends on the seed and the step alone."""
        chance = np.random.default_rng([seed, step])
        index = torch.from_numpy(chance.integers(len(self.hr), size=count)).to(self.hr.device)
        hr, lr = (x[index].float() / 255.0 for x in (self.hr, self.lr))
        if self.mirrored:
            turned = torch.from_numpy(chance.random(count) < 0.5).to(hr.device)[:, None, None, None]
            hr, lr = torch.where(turned, hr.flip(3), hr), torch.where(turned, lr.flip(3), lr)
        return Batch(hr, lr, torch.zeros(hr.shape[:2], device=hr.device))


def make_bank(recipe: Recipe, pictures: Path, path: Path, *, pairs: int, workers: int) -> None:
    """Draw and degrade `pairs` windows with the code of the training, and write them to `path`; a bank that is there stays.

    Raises:
        SystemExit: the bank that is there has another number or size of pairs, as one of a trial has.
    """
    if path.exists():
        with np.load(path) as content:
            count, _, patch, _ = content["lr"].shape
        if (count, patch) != (pairs, recipe.loop.patch):
            found, wanted = f"{count} pairs of {patch} px", f"{pairs} of {recipe.loop.patch} px"
            raise SystemExit(f"{path}: {found}, planned are {wanted}; remove it if it is of a trial, or give another --runs")
        return
    starts = range(0, pairs, PIECE)
    counts = [min(PIECE, pairs - start) for start in starts]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            parts = list(pool.map(_piece, repeat(recipe.model_dump_json()), repeat(pictures), starts, counts))
    else:
        parts = [_piece(recipe.model_dump_json(), pictures, start, count) for start, count in zip(starts, counts, strict=True)]
    with whole_file(path) as draft:
        np.savez(draft, hr=np.concatenate([part[0] for part in parts]), lr=np.concatenate([part[1] for part in parts]))


def load_bank(path: Path, *, device: torch.device, mirrored: bool) -> Bank:
    """What `make_bank` wrote."""
    with np.load(path) as content:
        hr, lr = (torch.from_numpy(content[name]).to(device) for name in ("hr", "lr"))
    return Bank(hr, lr, mirrored)


def _piece(recipe: str, pictures: Path, start: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    torch.set_num_threads(1)
    chosen = Recipe.model_validate_json(recipe)
    side = chosen.loop.patch * chosen.model.scale
    pool = open_pool(chosen.sources, pictures, chosen.model.bands, size=side, scale=chosen.model.scale)
    batches = Batches(pool, chosen.degradation, 1, chosen.loop.patch, chosen.model.scale, STREAM)
    samples = list(_in_bytes(batches.sample(start + number, 0)[:2] for number in range(count)))
    return np.stack([hr for hr, _ in samples]), np.stack([lr for _, lr in samples])


def _in_bytes(pairs: "Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]") -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    for pair in pairs:
        hr, lr = (np.rint(np.clip(x, 0.0, 1.0) * 255.0).astype(np.uint8) for x in pair)
        yield hr, lr
