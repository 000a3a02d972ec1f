"""Adapter of any Gymnasium vector environment to stable-baselines3."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
