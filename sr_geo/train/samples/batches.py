"""Batches by step number: the same ones however many processes make them, and wherever a run goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sr_geo.errors import SrGeoError
from sr_geo.radiometry import Float
from sr_geo.train.degradations import Degradation, degrade
from sr_geo.train.samples.pool import Pool


class Batch(NamedTuple):
    """Samples of one step."""

    hr: Tensor
    """``(N, C, H, W)`` float32: rasters and pairs in units of the source's spread, all else 0…1."""
    lr: Tensor
    """``(N, C, h, w)`` float32, same unit."""
    sigma: Tensor
    """``(N, C)`` blur of `lr` in pixels of `hr`; 0 where none is known."""


@dataclass(frozen=True)  # no slots: Generic bases of PyTorch's have none
class Batches(Dataset[Batch]):
    """The batch of every step: a sample is a function of seed, rank, step and its position in the batch alone."""

    pool: Pool
    degradation: Degradation
    batch: int
    """Samples of a batch."""
    patch: int
    """Side of the low-resolution patch in pixels."""
    scale: int
    seed: int
    rank: int = 0
    """Number of the process among those that train together."""

    def __getitem__(self, step: int) -> Batch:
        with _one_thread():
            samples = [self.sample(step, position) for position in range(self.batch)]
            hr, lr, sigma = (torch.from_numpy(np.stack(parts)) for parts in zip(*samples, strict=True))
        return Batch(hr, lr, sigma)

    def sample(self, step: int, position: int) -> tuple[Float, Float, Float]:
        """High and low resolution ``(C, H, W)``, ``(C, h, w)`` and blur ``(C,)`` of one sample."""
        rng = np.random.default_rng([self.seed, self.rank, step, position])
        patch = self.pool.draw(self.patch * self.scale, rng)
        if patch.lr is not None:
            return patch.hr, patch.lr, np.full(len(patch.hr), patch.sigma, np.float32)
        lr, sigma = degrade(self.degradation, patch.hr, scale=self.scale, rng=rng)
        return patch.hr, lr, sigma


def make_loader(batches: Batches, steps: range, *, workers: int, pinned: bool = False) -> Iterator[Batch]:
    """The batches of `steps` in order, made ahead by `workers` processes from now on (0: by this one, when asked for).

    Args:
        batches: of every step.
        steps: those that are wanted.
        workers: number of processes.
        pinned: in memory that a GPU reads by itself, while the network goes on.

    Raises:
        SrGeoError: of whichever process made the batch, in its own words.
    """
    made = iter(
        DataLoader(
            _Told(batches),
            batch_size=None,  # a step's batch is one item
            sampler=steps,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            persistent_workers=False,
            pin_memory=pinned,
        )
    )
    return _raising(made)


@dataclass(frozen=True)
class _Told(Dataset["Batch | SrGeoError"]):
    """Batches, with errors handed on as values: PyTorch would put the traceback of the other process into their words."""

    batches: Batches

    def __getitem__(self, step: int) -> Batch | SrGeoError:
        try:
            return self.batches[step]
        except SrGeoError as error:
            return error


def _raising(made: Iterator[Batch | SrGeoError]) -> Iterator[Batch]:
    for batch in made:
        if isinstance(batch, SrGeoError):
            raise batch
        yield batch


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch with one thread, as it has in a worker: sums in another order would differ in their last bits."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
