"""Georeferenced rasters: opened as scenes, enhanced as a stream of tiles, cut to parcels, written whole."""
