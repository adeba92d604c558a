"""Training: recipes, data, networks and export. Needs the extra `train` (PyTorch)."""
