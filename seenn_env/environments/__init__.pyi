from .choose_timestep import ChooseTimestepEnv
from .early_exit import EarlyExitEnv
from .references import ReferenceScores, reference_scores

__all__ = [
    "ChooseTimestepEnv",
    "EarlyExitEnv",
    "ReferenceScores",
    "reference_scores",
]
