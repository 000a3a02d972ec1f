from .config import make_optimizer
from .epoch import run_epoch, statistics_batches, steps_of
from .loop import TrainingConfig, calibration_accuracy, check_training, train
from .losses import tet_loss
from .norm_statistics import reestimate_norms
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
