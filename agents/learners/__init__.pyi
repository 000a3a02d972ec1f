from .exact.policy import ExitNetwork
from .exact.training import ExitSettings, train_exit_network
from .learning_curve import finish_runs, write_means
from .one_shot.policy import TimestepNetwork
from .sb3.evaluation_callback import EvaluationCallback
from .sb3.policy import LearnedPolicy
from .sb3.training import load_sb3
from .stopping.policy import OptimalStopping
from .stopping.tabular import TabularStopping
from .stopping.training import StoppingSettings, fit_optimal_stopping
from .training import ALGORITHMS, TRAINERS, check_training, train

__all__ = [
    "ALGORITHMS",
    "TRAINERS",
    "EvaluationCallback",
    "ExitNetwork",
    "ExitSettings",
    "LearnedPolicy",
    "OptimalStopping",
    "StoppingSettings",
    "TabularStopping",
    "TimestepNetwork",
    "check_training",
    "finish_runs",
    "fit_optimal_stopping",
    "load_sb3",
    "train",
    "train_exit_network",
    "write_means",
]
