"""Policies that decide when a spiking network may stop: rules, learners, calibration, comparison."""

from agents.calibration import calibrate
from agents.comparison import compare
from agents.curves import Curve, exit_curve
from agents.learned import LearnedPolicy
from agents.learning import train
from agents.per_timestep import PerTimestep
from agents.policy import ScoredPolicy
from agents.rules import Confidence, Entropy, FixedTimestep, Margin, Oracle, Uniform
from agents.storage import load, save
from agents.tables import Comparison

__all__ = [
    "Comparison",
    "Confidence",
    "Curve",
    "Entropy",
    "FixedTimestep",
    "LearnedPolicy",
    "Margin",
    "Oracle",
    "PerTimestep",
    "ScoredPolicy",
    "Uniform",
    "calibrate",
    "compare",
    "exit_curve",
    "load",
    "save",
    "train",
]
