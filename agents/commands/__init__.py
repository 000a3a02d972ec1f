"""The commands of `seenn`: one file for each, a dataclass of its options with `run`."""

from backbones.lazy_exports import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
