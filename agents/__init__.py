"""Policies that decide when a spiking network may stop: rules, learners, calibration, comparison."""

from agents.calibration import calibrate
from agents.classification import Answer, Classification, answers, classify
from agents.comparison import compare
from agents.conformal import ConformalSets
from agents.curves import Curve, exit_curve
from agents.export import export
from agents.fitted_confidence import PerformanceConfidence, ScaledConfidence
from agents.learned import LearnedPolicy
from agents.learning import train
from agents.mixed import Mixed
from agents.per_timestep import PerTimestep
from agents.policy import ScoredPolicy
from agents.rules import Confidence, Entropy, FixedTimestep, Gap, Margin, Oracle, Patience, SummedConfidence, Uniform
from agents.storage import load, save
from agents.tables import Comparison

__all__ = [
    "Answer",
    "Classification",
    "Comparison",
    "Confidence",
    "ConformalSets",
    "Curve",
    "Entropy",
    "FixedTimestep",
    "Gap",
    "LearnedPolicy",
    "Margin",
    "Mixed",
    "Oracle",
    "Patience",
    "PerTimestep",
    "PerformanceConfidence",
    "ScaledConfidence",
    "ScoredPolicy",
    "SummedConfidence",
    "Uniform",
    "answers",
    "calibrate",
    "classify",
    "compare",
    "exit_curve",
    "export",
    "load",
    "save",
    "train",
]
