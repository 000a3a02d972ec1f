"""Deployment: live classification, its energy, and export to ONNX."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
