from .converter import activations_of, convert
from .tracing import trace

__all__ = [
    "activations_of",
    "convert",
    "trace",
]
