"""Traces: the recorded logits of a frozen backbone after each timestep."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
