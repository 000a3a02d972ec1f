from .choose_timestep import ChooseTimestepVectorEnv
from .early_exit import EarlyExitVectorEnv, LiveVectorEnv

__all__ = [
    "ChooseTimestepVectorEnv",
    "EarlyExitVectorEnv",
    "LiveVectorEnv",
]
