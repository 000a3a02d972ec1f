"""Gymnasium environments in which an agent decides when a spiking network may stop."""

from seenn_env.check_vector import check_vector_env
from seenn_env.early_exit import EarlyExitEnv
from seenn_env.early_exit_vector import EarlyExitVectorEnv
from seenn_env.evaluation import Evaluation, HindsightPolicy, Policy, evaluate, observation_of
from seenn_env.observations import make_observation
from seenn_env.recording import record
from seenn_env.registration import register_all
from seenn_env.rewards import LinearReward, Reward, SeennReward, make_reward
from seenn_env.sb3 import to_sb3
from seenn_env.traces import Traces

__all__ = [
    "EarlyExitEnv",
    "EarlyExitVectorEnv",
    "Evaluation",
    "HindsightPolicy",
    "LinearReward",
    "Policy",
    "Reward",
    "SeennReward",
    "Traces",
    "check_vector_env",
    "evaluate",
    "make_observation",
    "make_reward",
    "observation_of",
    "record",
    "register_all",
    "to_sb3",
]

register_all()
