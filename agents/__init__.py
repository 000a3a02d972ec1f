"""Policies that decide when a spiking network may stop: rules, learners, calibration, comparison."""

from agents.calibration.levels import calibrate
from agents.deployment.classification import Answer, Classification, answers, classify
from agents.comparison.comparison import compare
from agents.rules.conformal import ConformalSets
from agents.calibration.curve import Curve, exit_curve
from agents.learners.exact.policy import ExitNetwork
from agents.deployment.onnx import export
from agents.rules.fitted import PerformanceConfidence, ScaledConfidence
from agents.calibration.guarantees import Guarantee, control_risk
from agents.comparison.learning_headroom import Headroom, headroom
from agents.learners.sb3.policy import LearnedPolicy
from agents.learners.training import train
from agents.calibration.randomised import Mixed
from agents.learners.stopping.policy import OptimalStopping
from agents.rules.per_timestep import PerTimestep
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import Confidence, Entropy, FixedTimestep, Gap, Margin, Oracle, Patience, SummedConfidence, Uniform
from agents.learners.sb3.training import load_sb3
from agents.policy_files import load, save
from agents.comparison.result import Comparison
from agents.learners.stopping.tabular import TabularStopping
from agents.learners.one_shot.policy import TimestepNetwork

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
    "Guarantee",
    "Headroom",
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
    "control_risk",
    "exit_curve",
    "export",
    "headroom",
    "load",
    "load_sb3",
    "save",
    "train",
]
