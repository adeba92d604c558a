"""Perceptual networks behind one interface: networks, weights and their provenance, bands as pictures, the loss."""

from sr_geo.train.perceptual.backbone import Backbone, Preprocessing
from sr_geo.train.perceptual.bands import Units, band_triples
from sr_geo.train.perceptual.term import PerceptualTerm, build_perceptual
from sr_geo.train.perceptual.weights import NETWORKS, load_backbone

__all__ = ["NETWORKS", "Backbone", "PerceptualTerm", "Preprocessing", "Units", "band_triples", "build_perceptual", "load_backbone"]
