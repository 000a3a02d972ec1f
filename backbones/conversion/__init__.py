"""Conversion of trained networks without time into spiking networks."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
