"""Adversarial losses: symmetries of the relativistic one, values by hand, and who gets a gradient."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from sr_geo.errors import RecipeError
from sr_geo.train.losses.adversarial import Kind, fake_part, generator_loss, real_part
from sr_geo.train.losses.sections import AdversarialSection
from sr_geo.train.nets import build_discriminator

KINDS: tuple[Kind, ...] = ("relativistic", "standard")


def logits(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 1, generator=generator) - 1.0, torch.randn(4, 1, generator=generator) + 1.0


def judged(real: Tensor, fake: Tensor, kind: Kind) -> Tensor:
    return real_part(real, fake, kind) + fake_part(fake, real, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_who_cannot_tell_loses_log_two(kind: Kind) -> None:
    same = torch.full((3, 1), 1.7 if kind == "relativistic" else 0.0)
    assert judged(same, same, kind) == pytest.approx(math.log(2))
    assert generator_loss(same, same, kind) == pytest.approx(math.log(2))


def test_the_relativistic_roles_are_symmetric() -> None:
    fake, real = logits()
    # What the generator minimises is what the discriminator would, were true and enhanced exchanged.
    torch.testing.assert_close(generator_loss(fake, real, "relativistic"), judged(fake, real, "relativistic"))
    # Only differences matter.
    torch.testing.assert_close(judged(real + 9.0, fake + 9.0, "relativistic"), judged(real, fake, "relativistic"))
    torch.testing.assert_close(generator_loss(fake + 9.0, real + 9.0, "relativistic"), generator_loss(fake, real, "relativistic"))


def test_values_are_those_of_the_papers() -> None:
    fake, real = logits()
    above, below = torch.sigmoid(real - fake.mean()), torch.sigmoid(fake - real.mean())
    # ESRGAN, eq. 1 and 2; halved, as BasicSR does it.
    torch.testing.assert_close(judged(real, fake, "relativistic"), -(above.log().mean() + (1 - below).log().mean()) / 2)
    torch.testing.assert_close(generator_loss(fake, real, "relativistic"), -((1 - above).log().mean() + below.log().mean()) / 2)
    torch.testing.assert_close(generator_loss(fake, real, "standard"), -torch.sigmoid(fake).log().mean())
    expected = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean()) / 2
    torch.testing.assert_close(judged(real, fake, "standard"), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_better_pictures_lower_the_generators_loss_and_raise_the_judges(kind: Kind) -> None:
    fake, real = logits()
    assert generator_loss(fake + 1.0, real, kind) < generator_loss(fake, real, kind)
    assert judged(real, fake + 1.0, kind) > judged(real, fake, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_logits_give_finite_losses_and_gradients(kind: Kind) -> None:
    fake, real = torch.full((2, 1), -1e4, requires_grad=True), torch.full((2, 1), 1e4)
    loss = generator_loss(fake, real, kind)
    loss.backward()
    assert loss.isfinite()
    assert fake.grad is not None
    assert fake.grad.isfinite().all()
    assert (fake.grad < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_half_has_a_gradient_for_its_own_pictures_only(kind: Kind) -> None:
    fake, real = (x.requires_grad_() for x in logits())
    real_part(real, fake, kind).backward()
    assert fake.grad is None
    assert real.grad is not None
    real.grad = None
    fake_part(fake, real, kind).backward()
    assert real.grad is None
    assert fake.grad is not None


def test_the_halves_together_are_the_loss_of_one_pass() -> None:
    """With no gradient through the means, as BasicSR has it."""
    net = build_discriminator("unet", bands=1, size=16, width=4)
    net.eval()  # spectral norm then stands still
    one, other = torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16)
    real, fake = net(one), net(other)
    judged(real, fake, "relativistic").backward()
    apart = [parameter.grad.clone() for parameter in net.parameters() if parameter.grad is not None]
    net.zero_grad()
    real, fake = net(one), net(other)
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    loss = cross_entropy(real - fake.mean().detach(), ones)
    loss = 0.5 * (loss + cross_entropy(fake - real.mean().detach(), zeros))
    loss.backward()
    together = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert len(apart) == len(together) > 0
    for a, b in zip(apart, together, strict=True):
        torch.testing.assert_close(a, b)


def test_the_weight_waits_then_rises() -> None:
    section = AdversarialSection(weight=0.1, start=10, ramp=4)
    weights = [section.weight_at(step) for step in (0, 9, 10, 11, 13, 14, 1000)]
    assert weights == pytest.approx([0.0, 0.0, 0.025, 0.05, 0.1, 0.1, 0.1])
    assert AdversarialSection(weight=0.1).weight_at(0) == pytest.approx(0.1)


def test_unknown_discriminators_are_named() -> None:
    with pytest.raises(RecipeError, match="vgg, unet"):
        build_discriminator("resnet", bands=3, size=32)
