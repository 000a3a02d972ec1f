from .calibration.level_search import calibrate
from .comparison.comparison import compare
from .deployment.classification import classify
from .deployment.onnx import export
from .learners.exact.policy import ExitNetwork
from .learners.one_shot.policy import TimestepNetwork
from .learners.sb3.evaluation_callback import EvaluationCallback
from .learners.stopping.policy import OptimalStopping
from .learners.training import train
from .policy_files import load, save
from .rules.per_timestep import PerTimestep
from .rules.thresholds import Confidence, Entropy, FixedTimestep, Margin, Oracle, Patience, Uniform

__all__ = [
    "Confidence",
    "Entropy",
    "EvaluationCallback",
    "ExitNetwork",
    "FixedTimestep",
    "Margin",
    "OptimalStopping",
    "Oracle",
    "Patience",
    "PerTimestep",
    "TimestepNetwork",
    "Uniform",
    "calibrate",
    "classify",
    "compare",
    "export",
    "load",
    "save",
    "train",
]
