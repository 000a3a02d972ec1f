"""Other frameworks' spiking modules, as they are, made `Backbone`s: `wrap(module, example_inputs, timesteps)`."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
