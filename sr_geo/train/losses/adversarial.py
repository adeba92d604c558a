"""Adversarial losses on logits, for the generator and for its discriminator."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["relativistic", "standard"]


def generator_loss(fake: Tensor, real: Tensor, kind: Kind) -> Tensor:
    """What the generator minimises.

    Args:
        fake: logits of enhanced pictures, any shape.
        real: logits of true pictures; no gradient should flow to them.
        kind: `relativistic`: relativistic average GAN (Jolicoeur-Martineau 2018, as in ESRGAN, eq. 3);
            `standard`: ``-log D(fake)``.
    """
    if kind == "standard":
        return _is_real(fake, 1.0)
    return 0.5 * (_is_real(real - fake.mean(), 0.0) + _is_real(fake - real.mean(), 1.0))


def real_part(real: Tensor, fake: Tensor, kind: Kind) -> Tensor:
    """Half of the discriminator's loss, for which only `real` needs a gradient."""
    return 0.5 * _is_real(real if kind == "standard" else real - fake.detach().mean(), 1.0)


def fake_part(fake: Tensor, real: Tensor, kind: Kind) -> Tensor:
    """The other half, for which only `fake` needs a gradient: both backward passes apart hold one graph at a time."""
    return 0.5 * _is_real(fake if kind == "standard" else fake - real.detach().mean(), 0.0)


def _is_real(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
