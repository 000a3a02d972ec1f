from .choose_timestep import ChooseTimestepEnv
from .dynamics import Origin
from .early_exit import EarlyExitEnv

__all__ = [
    "ChooseTimestepEnv",
    "EarlyExitEnv",
    "Origin",
]
