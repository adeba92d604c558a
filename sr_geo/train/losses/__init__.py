"""What a generator is trained for, one small function for each term; `Objective` puts together what a recipe asks for."""

from sr_geo.train.losses.objective import Objective
from sr_geo.train.losses.sections import AdversarialSection, DiscriminatorSection, LossSection, PerceptualSection

__all__ = ["AdversarialSection", "DiscriminatorSection", "LossSection", "Objective", "PerceptualSection"]
