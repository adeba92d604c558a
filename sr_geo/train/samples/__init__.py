"""What a network learns from: imagery of any kind, drawn by seed, rank, step and position."""

from sr_geo.train.samples.batches import Batch, Batches, make_loader
from sr_geo.train.samples.pool import Pool, open_pool
from sr_geo.train.samples.sections import Source

__all__ = ["Batch", "Batches", "Pool", "Source", "make_loader", "open_pool"]
