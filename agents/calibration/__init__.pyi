from .curve import Curve, exit_curve, exits_at, level_curve
from .guarantees import Guarantee, control_risk, least_samples
from .level_search import calibrate
from .randomised import Mixed

__all__ = [
    "Curve",
    "Guarantee",
    "Mixed",
    "calibrate",
    "control_risk",
    "exit_curve",
    "exits_at",
    "least_samples",
    "level_curve",
]
