from .backbone import AdaptedBackbone, ProbedBackbone
from .wrapping import wrap

__all__ = [
    "AdaptedBackbone",
    "ProbedBackbone",
    "wrap",
]
