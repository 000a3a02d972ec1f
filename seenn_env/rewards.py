"""Rewards: pure functions of whether the answer is right and of when it was given.

    reward = make_reward("linear", {"cost": 0.02})
    reward(correct, timestep, T)              # arrays of any one shape

A reward comes once, when the episode ends; timesteps count from 1. A user's own is an object with
`__call__` and `range`, or what makes one of the options; "module:name" names the latter, or a class.
"""

from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, NamedTuple, Protocol

import numpy as np

from backbones import InputError
from backbones.argument_checks import check_kinds
from backbones.errors import unknown_name
from seenn_env.entry_points import is_entry_point, load_entry_point


class Energy(NamedTuple):
    """What the exits cost, in picojoules; both broadcast to the shape of `correct`."""

    spent_pj: np.ndarray
    """Up to and with the exit."""
    full_pj: np.ndarray
    """Had the same row run all T timesteps."""


class Reward(Protocol):
    """A named reward; one that cannot do without the energy also has `needs_energy = True`."""

    name: str

    def __call__(
        self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None = None
    ) -> np.ndarray:
        """float32, in the shape of `correct`; `energy` is None where it was not recorded."""

    def range(self, timesteps: int) -> tuple[float, float]:
        """The least and the most that an episode can give."""


AnyReward = str | Reward | Any
"""A name, or a user's own; `make_reward` refuses what is neither."""


def _check_not_negative(option: str, value: float) -> None:
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise InputError(f"Expected {option} ≥ 0, got {value}.")


@dataclass(frozen=True)
class SeennReward:
    """2^-(t-1) if right, -β if wrong (SEENN, Li et al. 2023, section 3.3).

    Going from timestep 1 to 2 pays only if β·(p₂ - p₁) > p₁ - p₂/2, with p_t the chance to be right at t.
    """

    beta: float = 1.0
    name = "seenn"

    def __post_init__(self) -> None:
        _check_not_negative("beta", self.beta)

    def __call__(
        self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None = None
    ) -> np.ndarray:
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
        _check_not_negative("cost", self.cost)

    def __call__(
        self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None = None
    ) -> np.ndarray:
        """See the class."""
        spent = (np.asarray(timestep) - 1.0) / max(timesteps - 1, 1)
        return (np.asarray(correct) - self.cost * spent).astype(np.float32)

    def range(self, timesteps: int) -> tuple[float, float]:
        """From -cost to 1."""
        return (-self.cost if timesteps > 1 else 0.0), 1.0


@dataclass(frozen=True)
class EnergyReward:
    """correct - cost·energy / energy of all T timesteps of the same row: like "linear", in measured energy."""

    cost: float = 0.1
    name = "energy"
    needs_energy = True

    def __post_init__(self) -> None:
        _check_not_negative("cost", self.cost)

    def __call__(
        self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None = None
    ) -> np.ndarray:
        """See the class."""
        if energy is None:
            raise InputError("Expected the energy of the exits for the reward 'energy', got none.")
        spent, full = np.broadcast_arrays(np.asarray(energy.spent_pj, np.float64), energy.full_pj)
        share = np.divide(spent, full, out=np.zeros(spent.shape), where=full > 0)  # a row may do nothing at all
        return (np.asarray(correct) - self.cost * share).astype(np.float32)

    def range(self, timesteps: int) -> tuple[float, float]:
        """From -cost to 1, which an exit that costs next to nothing comes near."""
        return -self.cost, 1.0


REWARDS: dict[str, type] = {"seenn": SeennReward, "linear": LinearReward, "energy": EnergyReward}


@check_kinds
def make_reward(reward: AnyReward, options: dict[str, Any] | None = None) -> Reward:
    """The reward of that name ("module:name" is a user's own) with those options; a reward itself stays as it is.

    Raises:
        InputError: for an unknown name or option, an option out of range, or an object that is no reward.
    """
    made: Any = reward
    if isinstance(reward, str):
        if is_entry_point(reward):
            maker = load_entry_point(reward, "reward")
        elif reward in REWARDS:
            maker = REWARDS[reward]
        else:
            raise unknown_name("reward", reward, REWARDS)
        if isinstance(maker, type) or not hasattr(maker, "range"):
            try:
                return make_reward(maker(**(options or {})))
            except TypeError as error:
                known = ", ".join(option.name for option in fields(maker)) if reward in REWARDS else "its own"
                raise InputError(f"Expected options of the reward {reward!r} ({known}), got {options}.") from error
        made = maker
    if options:
        raise InputError(f"Expected no reward_options beside a reward object, got {options}: give them to the object.")
    if isinstance(made, type) or not callable(made) or not callable(getattr(made, "range", None)):
        raise InputError(
            f"Expected a reward with __call__ and range, methods (see rewards.Reward), got {made!r}: "
            "give a name, or an object of such a class."
        )
    checked: Reward = made
    return checked


def pay(
    reward: Reward, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None = None
) -> np.ndarray:
    """The reward of exits, float32 in the shape of `correct`, checked.

    Raises:
        InputError: for a reward that needs energy where there is none, takes other arguments than these, or gives
            no numbers, another shape, or NaN.
    """
    if energy is None and getattr(reward, "needs_energy", False):
        raise InputError(
            f"Expected traces with energy_pj for the reward {reward.name!r}, got none: use other traces or reward."
        )
    try:
        paid = np.asarray(reward(correct, timestep, timesteps, energy), np.float32)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            f"Expected numbers from {reward!r} of (correct, timestep, timesteps, energy), but {error}: "
            "see rewards.Reward."
        ) from error
    if paid.shape != np.shape(correct) or not np.isfinite(paid).all():
        raise InputError(
            f"Expected finite rewards {list(np.shape(correct))} from {reward!r}, got {list(paid.shape)}: "
            "give one for each of `correct`."
        )
    return paid
