"""Fitting `OptimalStopping`: from the last decision back, regress what exiting gains over going on.

Letters: N rows, T timesteps, F columns.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor

from agents.learners.perceptrons import make_perceptron, run_perceptron
from agents.learners.stopping.policy import OptimalStopping, gains
from agents.rules.score import elapsed_column
from backbones import InputError
from backbones.argument_checks import check_fields
from backbones.machine import torch_threads
from seenn_env import Traces, make_reward
from seenn_env.observations import AnyObservation
from seenn_env.rewards import pay


@dataclass(frozen=True)
class StoppingSettings:
    """How `OptimalStopping` is fitted."""

    regressor: str = "trees"
    """Trees (scikit-learn's histogram gradient boosting), or a network: "trees" or "network"."""
    trees: int = 60
    """Boosting rounds."""
    leaves: int = 8
    """Leaves of a tree."""
    smallest_leaf: int = 60
    """Rows of a leaf."""
    learning_rate: float = 0.08
    """Of boosting."""
    hidden: tuple[int, ...] = (32, 32)
    """Units of a network's hidden layers."""
    steps: int = 200
    """Of the gradient, for a network."""
    rounds: int = 7
    """Times that the time cost is bisected towards a target, from 0.001 to T - 1 (where a timestep costs as much as
    being right is worth); 0 leaves it."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.regressor not in ("trees", "network"):
            raise InputError(f"Expected the regressor 'trees' or 'network', got {self.regressor!r}.")
        if min(self.trees, self.leaves - 1, self.smallest_leaf, self.steps) < 1 or self.rounds < 0:
            raise InputError(f"Expected trees, smallest_leaf and steps of at least 1 and 2 leaves, got {self}.")


def fit_optimal_stopping(
    traces: Traces,
    settings: StoppingSettings,
    *,
    observation: AnyObservation = "features",
    reward: str = "linear",
    reward_options: dict[str, Any] | None = None,
    target_timesteps: float | None = None,
    seed: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> OptimalStopping:
    """A policy by Longstaff and Schwartz's least squares (2001), of the difference between exiting and going on.

    At t = T-1, …, 1 each row's target is its reward now less the reward that it gets later under the decisions
    already fitted; a positive fit means: exit.

    Args:
        traces: all rows are learned from.
        settings: see `StoppingSettings`.
        observation: what it sees.
        reward: a name, or a reward.
        reward_options: its options.
        target_timesteps: with the reward "linear", bisect its cost towards this mean.
        seed: of the fits.
        on_progress: called with the fraction done.
    """
    searched = target_timesteps is not None and reward == "linear" and settings.rounds > 0
    make_reward(reward, reward_options)  # refuses unknown options
    if searched and reward_options:
        raise InputError(
            f"Expected no cost of the reward with a target, towards which it is searched, got {reward_options}: "
            "leave one of them out."
        )
    rounds = settings.rounds if searched else 1
    low, high = np.log(0.001), np.log(max(traces.timesteps - 1, 1))
    policy: OptimalStopping | None = None
    for round_ in range(rounds):
        options = {"cost": float(np.exp((low + high) / 2))} if searched else reward_options
        policy, spent = _fit(traces, settings, observation, reward, options, seed)
        if target_timesteps is not None and spent > target_timesteps:
            low = (low + high) / 2
        else:
            high = (low + high) / 2
        if on_progress is not None:
            on_progress((round_ + 1) / rounds)
    assert policy is not None
    return policy


def _fit(
    traces: Traces, settings: StoppingSettings, observation: AnyObservation, reward: str, options: Any, seed: int
) -> tuple[OptimalStopping, float]:
    """A policy, and the mean timesteps that it spends on its own rows."""
    N, T = traces.predictions.shape
    made = make_reward(reward, options)
    paid = pay(made, traces.correct, np.broadcast_to(np.arange(1, T + 1), (N, T)), T, traces.energy())
    columns, elapsed = traces.columns(observation), elapsed_column(traces.observation(observation))
    later, exits = paid[:, -1].astype(np.float64), np.full(N, T)
    tensors = _scales(columns, settings)
    for t in reversed(range(T - 1)):
        tensors |= _regress(columns[:, t], paid[:, t] - later, settings, t, seed, tensors)
        leaves = gains(tensors, t, columns[:, t]) >= 0
        later, exits = np.where(leaves, paid[:, t], later), np.where(leaves, t + 1, exits)
    facts = {"optimal-stopping": {**asdict(settings), "hidden": list(settings.hidden)}, "fitted_options": options or {}}
    return OptimalStopping(tensors, observation, T, settings=facts, elapsed=elapsed), float(exits.mean())


def _scales(columns: np.ndarray, settings: StoppingSettings) -> dict[str, Tensor]:
    """What a network's columns are scaled by."""
    if settings.regressor == "trees":
        return {}
    flat = columns.reshape(-1, columns.shape[-1])
    return {"mean": torch.from_numpy(flat.mean(0)), "scale": torch.from_numpy(np.maximum(flat.std(0), 1e-3))}


def _regress(
    columns: np.ndarray, target: np.ndarray, settings: StoppingSettings, t: int, seed: int, scales: dict[str, Tensor]
) -> dict[str, Tensor]:
    if settings.regressor == "trees":
        return _fit_trees(columns, target, settings, t, seed)
    return _fit_network(columns, target, settings, t, seed, scales)


def _fit_trees(
    columns: np.ndarray, target: np.ndarray, settings: StoppingSettings, t: int, seed: int
) -> dict[str, Tensor]:
    model = HistGradientBoostingRegressor(
        max_iter=settings.trees,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=settings.smallest_leaf,
        learning_rate=settings.learning_rate,
        early_stopping=False,
        random_state=seed,
    ).fit(columns, target)
    # scikit-learn has no public way to a fitted tree; a test holds these arrays against its own predictions.
    nodes = [rounds[0].nodes for rounds in model._predictors]
    trees = np.zeros((len(nodes), max(map(len, nodes)), 5))
    for place, tree in enumerate(nodes):
        leaf = tree["is_leaf"] == 1
        trees[place, : len(tree)] = np.stack(
            [
                np.where(leaf, -1, tree["feature_idx"]),
                tree["num_threshold"],
                tree["left"],
                tree["right"],
                tree["value"],
            ],
            axis=1,
        )
    base = np.asarray(model._baseline_prediction, np.float64).reshape(-1)
    return {f"tree_{t}": torch.from_numpy(trees), f"base_{t}": torch.from_numpy(base)}


def _fit_network(
    columns: np.ndarray,
    target: np.ndarray,
    settings: StoppingSettings,
    t: int,
    seed: int,
    norm: dict[str, Tensor],
) -> dict[str, Tensor]:
    inputs = (torch.from_numpy(np.ascontiguousarray(columns)) - norm["mean"]) / norm["scale"]
    wanted = torch.from_numpy(target.astype(np.float32))
    weights = make_perceptron(columns.shape[-1], hidden=settings.hidden, seed=seed + t)
    for tensor in weights.values():
        tensor.requires_grad_(True)
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-2, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    generator = torch.Generator().manual_seed(seed)
    with torch_threads(1):
        for _ in range(settings.steps):
            rows = torch.randint(len(wanted), (min(2048, len(wanted)),), generator=generator)
            loss = (run_perceptron(weights, inputs[rows]) - wanted[rows]).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return {f"{t}.{name}": tensor.detach() for name, tensor in weights.items()}
