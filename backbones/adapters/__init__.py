"""Other frameworks' spiking modules, as they are, made `Backbone`s: `wrap(module, example_inputs, timesteps)`."""

from backbones.adapters.backbone import AdaptedBackbone, AdaptedState, ProbedBackbone
from backbones.adapters.wrapping import wrap

__all__ = ["AdaptedBackbone", "AdaptedState", "ProbedBackbone", "wrap"]
