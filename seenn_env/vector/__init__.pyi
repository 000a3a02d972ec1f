from .choose_timestep import ChooseTimestepVectorEnv
from .early_exit import EarlyExitVectorEnv
from .live import LiveVectorEnv

__all__ = [
    "ChooseTimestepVectorEnv",
    "EarlyExitVectorEnv",
    "LiveVectorEnv",
]
