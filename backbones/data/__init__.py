"""Datasets by name, with disjoint, recorded splits."""
