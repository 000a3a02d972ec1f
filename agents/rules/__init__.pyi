from .conformal import ConformalSets
from .per_timestep import PerTimestep
from .scaled_confidence import ScaledConfidence
from .score import ScoredPolicy
from .thresholds import Confidence, Entropy, FixedTimestep, Gap, Margin, Oracle, Patience, SummedConfidence, Uniform

__all__ = [
    "Confidence",
    "ConformalSets",
    "Entropy",
    "FixedTimestep",
    "Gap",
    "Margin",
    "Oracle",
    "Patience",
    "PerTimestep",
    "ScaledConfidence",
    "ScoredPolicy",
    "SummedConfidence",
    "Uniform",
]
