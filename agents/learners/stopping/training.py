"""Fitting of `OptimalStopping`: from the last decision backwards, a regression of the gain of exiting.

Letters: N rows, T timesteps, F columns.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from agents.learners.stopping.policy import OptimalStopping, gains
from agents.learners.stopping.trees import fit_trees
from agents.rules.score import elapsed_column
from backbones import InputError
from backbones.argument_checks import AboveZero, AtLeast, Natural, Positive, check_fields, check_kinds
from seenn_env import Traces, make_reward
from seenn_env.observations import AnyObservation
from seenn_env.rewards import AnyReward


@dataclass(frozen=True)
class StoppingSettings:
    """Settings of the fit of `OptimalStopping`."""

    trees: Positive = 60
    """Boosting rounds of scikit-learn's histogram gradient boosting."""
    leaves: Annotated[int, AtLeast(2)] = 8
    """Leaves of a tree."""
    smallest_leaf: Positive = 60
    """Rows of a leaf, at least."""
    learning_rate: AboveZero = 0.08
    """Of boosting."""
    rounds: Natural = 7
    """Bisections of the time cost towards a target, from 0.001 to T - 1 (where a timestep costs as much as a correct
    answer earns); 0 keeps the cost of the reward."""

    def __post_init__(self) -> None:
        check_fields(self)


@check_kinds
def fit_optimal_stopping(
    traces: Traces,
    settings: StoppingSettings,
    *,
    observation: AnyObservation = "features",
    reward: AnyReward = "linear",
    reward_options: dict[str, Any] | None = None,
    target_timesteps: float | None = None,
    seed: int = 0,
    on_progress: Callable[[float, Callable[[], OptimalStopping]], None] | None = None,
) -> OptimalStopping:
    """A policy by the least squares of Longstaff and Schwartz (2001), on the gain of exiting over continuing.

    At t = T-1, …, 1 the target of a row is its reward now minus its later reward under the decisions already fitted;
    the policy exits where the fit is positive.

    All rows are fitted; with a target and the reward "linear", its cost is bisected towards the target. The other
    arguments are those of `agents.train`; `on_progress` is called with the fraction done and a function that returns
    the policy at this time. An `InputError` for a target together with options of the reward.
    """
    searched = target_timesteps is not None and reward == "linear" and settings.rounds > 0
    make_reward(reward, reward_options)  # refuses unknown options
    if searched and reward_options:
        raise InputError(
            f"Expected no cost of the reward with a target, which searches for the cost, got {reward_options}: "
            "remove one of them."
        )
    rounds = settings.rounds if searched else 1
    low, high = np.log(0.001), np.log(max(traces.timesteps - 1, 1))
    policy: OptimalStopping | None = None
    for round_ in range(rounds):
        options = {"cost": float(np.exp((low + high) / 2))} if searched else reward_options
        policy, mean_timesteps = _fit(traces, settings, observation, reward, options, seed)
        if target_timesteps is not None and mean_timesteps > target_timesteps:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
        if on_progress is not None:
            for tree in range(1, settings.trees + 1):
                on_progress((round_ + tree / settings.trees) / rounds, partial(policy.of_first, tree))
    assert policy is not None
    return policy


def _fit(
    traces: Traces, settings: StoppingSettings, observation: AnyObservation, reward: AnyReward, options: Any, seed: int
) -> tuple[OptimalStopping, float]:
    """A policy, and its mean timesteps on its own rows."""
    N, T = traces.predictions.shape
    rewards = traces.rewards(reward, options)
    columns, elapsed = traces.columns(observation), elapsed_column(traces.observation(observation))
    later, timesteps = rewards[:, -1].astype(np.float64), np.full(N, T)
    tensors: dict[str, Tensor] = {}
    for t in reversed(range(T - 1)):
        target = rewards[:, t] - later
        trees, base = fit_trees(
            columns[:, t],
            target,
            max_iter=settings.trees,
            max_leaf_nodes=settings.leaves,
            min_samples_leaf=settings.smallest_leaf,
            learning_rate=settings.learning_rate,
            random_state=seed,
        )
        tensors |= {f"tree_{t}": torch.from_numpy(trees), f"base_{t}": torch.from_numpy(base)}
        exits = gains(tensors, t, columns[:, t]) >= 0
        later, timesteps = np.where(exits, rewards[:, t], later), np.where(exits, t + 1, timesteps)
    facts = {"optimal-stopping": asdict(settings), "fitted_options": options or {}}
    return OptimalStopping(tensors, observation, T, settings=facts, elapsed=elapsed), float(timesteps.mean())
