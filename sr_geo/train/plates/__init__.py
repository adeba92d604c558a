"""Rendered licence plates whose text is known: layouts of four regions, seen by a camera in a street."""

from sr_geo.train.plates.render import RenderedPlate, render_plate

__all__ = ["RenderedPlate", "render_plate"]
