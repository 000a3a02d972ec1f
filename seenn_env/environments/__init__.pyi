from .choose_timestep import ChooseTimestepEnv
from .early_exit import EarlyExitEnv

__all__ = [
    "ChooseTimestepEnv",
    "EarlyExitEnv",
]
