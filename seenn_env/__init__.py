"""Gymnasium environments in which an agent decides when a spiking network may stop."""

from seenn_env.checking.check import check_vector_env
from seenn_env.environments.choose_timestep import ChooseTimestepEnv
from seenn_env.vector.choose_timestep import ChooseTimestepVectorEnv
from seenn_env.environments.early_exit import EarlyExitEnv
from seenn_env.vector.early_exit import EarlyExitVectorEnv
from seenn_env.evaluation import Evaluation, HindsightPolicy, Policy, decides, evaluate, observation_of
from seenn_env.vector.live import LiveVectorEnv
from seenn_env.observations.observation import Observation, TraceShape, make_observation
from seenn_env.traces.recording import record
from seenn_env.environments.references import ReferenceScores, reference_scores
from seenn_env.registration import register_all
from seenn_env.rendering.text import ansi
from seenn_env.rendering.episode import Episode
from seenn_env.rendering.frame import rgb_array
from seenn_env.rewards import Energy, EnergyReward, LinearReward, Reward, SeennReward, make_reward
from seenn_env.sb3.vec_env import to_sb3
from seenn_env.streaming import ArrayFeed, Exits, stream
from seenn_env.traces.energy import synaptic_operations, with_energy
from seenn_env.traces.traces import Traces

__all__ = [
    "ArrayFeed",
    "ChooseTimestepEnv",
    "ChooseTimestepVectorEnv",
    "EarlyExitEnv",
    "EarlyExitVectorEnv",
    "Energy",
    "EnergyReward",
    "Episode",
    "Evaluation",
    "Exits",
    "HindsightPolicy",
    "LinearReward",
    "LiveVectorEnv",
    "Observation",
    "Policy",
    "ReferenceScores",
    "Reward",
    "SeennReward",
    "TraceShape",
    "Traces",
    "ansi",
    "check_vector_env",
    "decides",
    "evaluate",
    "make_observation",
    "make_reward",
    "observation_of",
    "record",
    "reference_scores",
    "register_all",
    "rgb_array",
    "stream",
    "synaptic_operations",
    "to_sb3",
    "with_energy",
]

register_all()
