from .config import TrainingConfig
from .epoch import run_epoch, statistics_batches, steps_of
from .loop import calibration_accuracy, check_training, train
from .losses import tet_loss
from .norm_statistics import reestimate_norms
from .optimizer import make_optimizer
from .run_state import RunState

__all__ = [
    "RunState",
    "TrainingConfig",
    "calibration_accuracy",
    "check_training",
    "make_optimizer",
    "reestimate_norms",
    "run_epoch",
    "statistics_batches",
    "steps_of",
    "tet_loss",
    "train",
]
