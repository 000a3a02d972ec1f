from .conformal import ConformalSets
from .per_timestep import PerTimestep
from .rescaled_confidence import PerformanceConfidence, ScaledConfidence
from .score import ScoredPolicy, fingerprint_of
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
    "PerformanceConfidence",
    "ScaledConfidence",
    "ScoredPolicy",
    "SummedConfidence",
    "Uniform",
    "fingerprint_of",
]
