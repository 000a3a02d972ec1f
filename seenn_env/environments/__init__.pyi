from .choose_timestep import ChooseTimestepEnv
from .early_exit import EarlyExitEnv
from .reference_policies import ReferenceScores, reference_scores

__all__ = [
    "ChooseTimestepEnv",
    "EarlyExitEnv",
    "ReferenceScores",
    "reference_scores",
]
