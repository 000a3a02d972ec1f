"""Rewards: pure functions of whether the answer is right and of when it was given.

    reward = make_reward("linear", {"cost": 0.02})
    reward(correct, timestep, T)              # arrays of any one shape

A reward comes once, when the episode ends; timesteps count from 1.
"""

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from backbones import InputError, unknown_name


class Reward(Protocol):
    """A named reward."""

    name: str

    def __call__(self, correct: np.ndarray, timestep: np.ndarray, timesteps: int) -> np.ndarray:
        """float32, in the shape of `correct`."""

    def range(self, timesteps: int) -> tuple[float, float]:
        """The least and the most that an episode can give."""


@dataclass(frozen=True)
class SeennReward:
    """2^-(t-1) if right, -β if wrong (SEENN, Li et al. 2023, section 3.3).

    Going from timestep 1 to 2 pays only if β·(p₂ - p₁) > p₁ - p₂/2, with p_t the chance to be right at t.
    """

    beta: float = 1.0
    name = "seenn"

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise InputError(f"Expected beta ≥ 0, got {self.beta}.")

    def __call__(self, correct: np.ndarray, timestep: np.ndarray, timesteps: int) -> np.ndarray:
        """See the class."""
        return np.where(correct, 0.5 ** (np.asarray(timestep) - 1.0), -self.beta).astype(np.float32)

    def range(self, timesteps: int) -> tuple[float, float]:
        """From -β to 1."""
        return -self.beta, 1.0


@dataclass(frozen=True)
class LinearReward:
    """correct - cost·(t - 1) / max(T - 1, 1): `cost` is what all T timesteps cost, in units of accuracy."""

    cost: float = 0.1
    name = "linear"

    def __post_init__(self) -> None:
        if not self.cost >= 0:
            raise InputError(f"Expected cost ≥ 0, got {self.cost}.")

    def __call__(self, correct: np.ndarray, timestep: np.ndarray, timesteps: int) -> np.ndarray:
        """See the class."""
        spent = (np.asarray(timestep) - 1.0) / max(timesteps - 1, 1)
        return (np.asarray(correct) - self.cost * spent).astype(np.float32)

    def range(self, timesteps: int) -> tuple[float, float]:
        """From -cost to 1."""
        return (-self.cost if timesteps > 1 else 0.0), 1.0


REWARDS: dict[str, type] = {"seenn": SeennReward, "linear": LinearReward}


def make_reward(reward: "str | Reward", options: dict[str, Any] | None = None) -> Reward:
    """The reward of that name with those options (a reward itself is taken as it is).

    Raises:
        InputError: for an unknown name or option, or an option out of range.
    """
    if not isinstance(reward, str):
        return reward
    if reward not in REWARDS:
        raise unknown_name("reward", reward, REWARDS)
    try:
        made: Reward = REWARDS[reward](**(options or {}))
    except TypeError as error:
        known = ", ".join(option.name for option in fields(REWARDS[reward]))
        raise InputError(f"Expected options of the reward {reward!r} ({known}), got {options}.") from error
    return made
