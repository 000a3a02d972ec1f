"""Gymnasium environments in which an agent decides when a spiking network may stop."""

from backbones.lazy_exports import attach
from seenn_env.registration import register_all

__getattr__, __dir__, __all__ = attach(__name__, __file__)

register_all()
