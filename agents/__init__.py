"""Policies that decide when a spiking network may stop: rules, learners, calibration, comparison."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
