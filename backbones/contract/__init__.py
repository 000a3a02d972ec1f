"""The backbone contract: its protocol, its check, and the loops that drive any backbone by it."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
