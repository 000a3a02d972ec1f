from .checking.check import check_vector_env
from .environments.choose_timestep import ChooseTimestepEnv
from .environments.early_exit import EarlyExitEnv
from .evaluation import Evaluation, Policy, evaluate
from .observations.observation import make_observation
from .rewards import make_reward
from .sb3.vec_env import to_sb3
from .streaming import stream
from .traces.recording import record
from .traces.traces import Traces
from .vector.choose_timestep import ChooseTimestepVectorEnv
from .vector.early_exit import EarlyExitVectorEnv, LiveVectorEnv

__all__ = [
    "ChooseTimestepEnv",
    "ChooseTimestepVectorEnv",
    "EarlyExitEnv",
    "EarlyExitVectorEnv",
    "Evaluation",
    "LiveVectorEnv",
    "Policy",
    "Traces",
    "check_vector_env",
    "evaluate",
    "make_observation",
    "make_reward",
    "record",
    "stream",
    "to_sb3",
]
