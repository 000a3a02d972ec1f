"""Rewards of an exit: pure functions of the prediction's correctness, the timestep and the energy.

    reward = make_reward("linear", {"cost": 0.02})
    reward(correct, timestep, T)              # arrays of any one shape

A reward is given once, at the end of the episode; timesteps count from 1. A user's own is an object with `__call__`
and `range`; "module:name" names one, or a class or function that makes one of `reward_options`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, Protocol

import numpy as np

from backbones import InputError
from backbones.argument_checks import FromZero, Positive, check_fields, check_kinds
from backbones.errors import USAGE_ERRORS, refusing, shown, unknown_name, users_own
from backbones.tensors import returned_floats
from seenn_env.entry_points import is_entry_point, load_entry_point


class Energy(NamedTuple):
    """Energy of exits in picojoules; both fields broadcast to the shape of `correct`."""

    spent_pj: np.ndarray
    """Up to and including the exit."""
    full_pj: np.ndarray
    """Of all T timesteps of the same row."""


class Reward(Protocol):
    """A named reward; one that requires the energy also has `needs_energy = True`."""

    name: str

    def __call__(
        self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None = None
    ) -> np.ndarray:
        """float32, in the shape of `correct`; `energy` is None where it was not recorded."""

    def range(self, timesteps: int) -> tuple[float, float]:
        """The lowest and the highest reward of an episode."""


AnyReward = str | Reward | Any
"""A name, or a user's own; `make_reward` checks it."""


class _NamedReward(ABC):
    """A reward of this package: checks its options and the arguments of a call."""

    def __post_init__(self) -> None:
        check_fields(self)

    @check_kinds
    def __call__(
        self, correct: np.ndarray, timestep: np.ndarray, timesteps: Positive, energy: Energy | None = None
    ) -> np.ndarray:
        """See `Reward`."""
        correct, timestep = np.asarray(correct), np.asarray(timestep)
        if correct.dtype.kind != "b" or timestep.dtype.kind not in "iu":
            raise InputError(
                f"Expected correct of True or False and timestep of whole numbers, got {correct.dtype} and "
                f"{timestep.dtype}: convert them."
            )
        if timestep.size and not 1 <= timestep.min() <= timestep.max() <= timesteps:
            raise InputError(f"Expected timestep in 1…{timesteps}, got {timestep.min()}…{timestep.max()}.")
        with refusing("Expected correct, timestep and energy of shapes that fit", errors=USAGE_ERRORS):
            return self._of(correct, timestep, timesteps, energy).astype(np.float32)

    @abstractmethod
    def _of(self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None) -> np.ndarray:
        """`__call__` of checked arguments."""

    @abstractmethod
    def range(self, timesteps: Positive) -> tuple[float, float]:
        """See `Reward`."""


@dataclass(frozen=True)
class SeennReward(_NamedReward):
    """2^-(t-1) if correct, else -β (SEENN, Li et al. 2023, section 3.3).

    Continuing from timestep 1 to 2 pays only if β·(p₂ - p₁) > p₁ - p₂/2, with p_t the accuracy at t.
    """

    beta: FromZero = 1.0
    name = "seenn"

    def _of(self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None) -> np.ndarray:
        return np.where(correct, 0.5 ** (timestep - 1.0), -self.beta)

    @check_kinds
    def range(self, timesteps: Positive) -> tuple[float, float]:
        """From -β to 1."""
        return -self.beta, 1.0


@dataclass(frozen=True)
class LinearReward(_NamedReward):
    """correct - cost·(t - 1) / max(T - 1, 1): `cost` is that of all T timesteps, in units of accuracy."""

    cost: FromZero = 0.1
    name = "linear"

    def _of(self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None) -> np.ndarray:
        return correct - self.cost * (timestep - 1.0) / max(timesteps - 1, 1)

    @check_kinds
    def range(self, timesteps: Positive) -> tuple[float, float]:
        """From -cost to 1."""
        return (-self.cost if timesteps > 1 else 0.0), 1.0


@dataclass(frozen=True)
class EnergyReward(_NamedReward):
    """correct - cost·energy / energy of all T timesteps of the same row: like "linear", in measured energy."""

    cost: FromZero = 0.1
    name = "energy"
    needs_energy = True

    def _of(self, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None) -> np.ndarray:
        if energy is None:
            raise InputError("Expected the energy of the exits for the reward 'energy', got none.")
        spent, full = np.broadcast_arrays(np.asarray(energy.spent_pj, np.float64), energy.full_pj)
        share = np.divide(spent, full, out=np.zeros(spent.shape), where=full > 0)  # a row may have no operations
        return correct - self.cost * share

    @check_kinds
    def range(self, timesteps: Positive) -> tuple[float, float]:
        """From -cost to 1, the limit of an exit without energy."""
        return -self.cost, 1.0


REWARDS: dict[str, type] = {"seenn": SeennReward, "linear": LinearReward, "energy": EnergyReward}


@check_kinds
def make_reward(reward: AnyReward, options: dict[str, Any] | None = None) -> Reward:
    """The reward of that name ("module:name" is a user's own) with those options; a reward is returned as it is. An
    `InputError` for an unknown name or option, an option out of range, or an object that is no reward.
    """
    made: Any = reward
    if isinstance(reward, str):
        if is_entry_point(reward):
            maker = load_entry_point(reward, "reward")
        elif reward in REWARDS:
            maker = REWARDS[reward]
        else:
            raise unknown_name("reward", reward, REWARDS)
        if reward in REWARDS:
            known = [option.name for option in fields(maker)]
            for option in options or {}:
                if option not in known:
                    raise unknown_name(f"option of the reward {reward!r}", option, known)
        if isinstance(maker, type) or not hasattr(maker, "range"):
            with users_own(f"options of the reward {reward!r}, got {shown(options)}"):
                return make_reward(maker(**(options or {})))
        made = maker
    if options:
        raise InputError(
            f"Expected no reward_options beside a reward object, got {shown(options)}: give them to the object."
        )
    if isinstance(made, type) or not callable(made) or not callable(getattr(made, "range", None)):
        raise InputError(
            f"Expected a reward with __call__ and range, methods (see rewards.Reward), got {shown(made)}: "
            "give a name, or an object of such a class."
        )
    return made


def pay(
    reward: Reward, correct: np.ndarray, timestep: np.ndarray, timesteps: int, energy: Energy | None = None
) -> np.ndarray:
    """The rewards of exits, float32 in the shape of `correct`, checked; an `InputError` for a reward that needs energy
    where there is none, takes other arguments, or returns another shape, NaN, no numbers or numbers outside of its
    range.
    """
    if energy is None and getattr(reward, "needs_energy", False):
        raise InputError(
            f"Expected traces with energy_pj for the reward {reward.name!r}, got none: use other traces or reward."
        )
    with users_own(f"numbers from {shown(reward)} of (correct, timestep, timesteps, energy)"):
        paid = returned_floats(reward(correct, timestep, timesteps, energy))
    with users_own(f"the lowest and the highest reward from range(timesteps) of {shown(reward)}"):
        low, high = (float(bound) for bound in reward.range(timesteps))
    if paid.shape != np.shape(correct):
        raise InputError(
            f"Expected rewards {list(np.shape(correct))} from {shown(reward)}, got {list(paid.shape)}: give one for "
            "each of `correct`."
        )
    rounding = 1e-6 * max(abs(low), abs(high))
    fits = np.isfinite(paid) & (paid >= low - rounding) & (paid <= high + rounding)
    if not fits.all():
        value, right, t = (np.broadcast_to(values, paid.shape)[~fits][0] for values in (paid, correct, timestep))
        raise InputError(
            f"Expected finite rewards in the range {low:g}…{high:g} of {shown(reward)}, got {value:g} for a "
            f"{'correct' if right else 'wrong'} prediction at timestep {t}: correct the reward or its range."
        )
    return paid


def now_and_at_first(
    reward: Reward, correct: bool, timestep: int, timesteps: int, energy_pj: np.ndarray | None = None
) -> tuple[float, float]:
    """The rewards of an exit, and of one at timestep 1 with the same answer: less by the cost of time.

    `energy_pj` `[T]` is that of the row, up to each timestep.
    """
    exits = np.array([timestep, 1])
    energy = None if energy_pj is None else Energy(energy_pj[exits - 1], energy_pj[-1:])
    now, at_first = pay(reward, np.full(2, correct), exits, timesteps, energy).tolist()
    return now, at_first
