"""Policies that decide when a spiking network may stop: rules, learners, calibration, comparison."""

from agents.calibration import calibrate
from agents.classification import Answer, Classification, answers, classify
from agents.comparison import compare
from agents.conformal import ConformalSets
from agents.curves import Curve, exit_curve
from agents.exit_network import ExitNetwork
from agents.export import export
from agents.fitted_confidence import PerformanceConfidence, ScaledConfidence
from agents.learned import LearnedPolicy
from agents.learning import train
from agents.mixed import Mixed
from agents.optimal_stopping import OptimalStopping
from agents.per_timestep import PerTimestep
from agents.policy import ScoredPolicy
from agents.rules import Confidence, Entropy, FixedTimestep, Gap, Margin, Oracle, Patience, SummedConfidence, Uniform
from agents.sb3_training import load_sb3
from agents.storage import load, save
from agents.tables import Comparison
from agents.tabular_stopping import TabularStopping
from agents.timestep_network import TimestepNetwork

__all__ = [
    "Answer",
    "Classification",
    "Comparison",
    "Confidence",
    "ConformalSets",
    "Curve",
    "Entropy",
    "ExitNetwork",
    "FixedTimestep",
    "Gap",
    "LearnedPolicy",
    "Margin",
    "Mixed",
    "OptimalStopping",
    "Oracle",
    "Patience",
    "PerTimestep",
    "PerformanceConfidence",
    "ScaledConfidence",
    "ScoredPolicy",
    "SummedConfidence",
    "TabularStopping",
    "TimestepNetwork",
    "Uniform",
    "answers",
    "calibrate",
    "classify",
    "compare",
    "exit_curve",
    "export",
    "load",
    "load_sb3",
    "save",
    "train",
]
