"""Generator networks, built from the `model` section of a recipe or a card by `build`."""

from sr_geo.train.nets.compact import Compact

__all__ = ["Compact"]
