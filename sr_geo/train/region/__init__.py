"""A first recipe for somebody's own rasters: what they are, what to hold out, and where to start from."""

from sr_geo.train.region.plan import Plan, make_plan
from sr_geo.train.region.survey import Found, Refused, survey_folder
from sr_geo.train.region.writing import explain, write_recipe

__all__ = ["Found", "Plan", "Refused", "explain", "make_plan", "survey_folder", "write_recipe"]
