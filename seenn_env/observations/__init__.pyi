from .columns import LOGITS_RANGE, softmax
from .observation import OBSERVATIONS, AnyObservation, Observation, TraceShape, make_observation, parts_of

__all__ = [
    "LOGITS_RANGE",
    "OBSERVATIONS",
    "AnyObservation",
    "Observation",
    "TraceShape",
    "make_observation",
    "parts_of",
    "softmax",
]
