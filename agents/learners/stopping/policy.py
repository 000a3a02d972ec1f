"""Optimal stopping by fitted backward induction: exit where going on is not expected to pay.

    policy = train("optimal-stopping", traces, target_timesteps=1.5)

Letters: B rows, F columns, T timesteps, R trees, J nodes of the largest tree.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.learners.perceptrons import count_macs, run_perceptron
from agents.rules.score import ScoredPolicy, timestep_of
from backbones.argument_checks import Natural, Positive
from seenn_env.observations import AnyObservation


@dataclass(frozen=True, eq=False)
class OptimalStopping(ScoredPolicy):
    """Exits when the gain of exiting, fitted by backward induction, is at least the threshold.

    Args:
        tensors: for each timestep t, of trees "tree_t" `[R, J, 5]` (column, split, left, right, value) and "base_t",
            or of a network the weights with "t." before them, and "mean" and "scale" `[F]`.
        observation: name of the observation.
        timesteps: T.
        threshold: a gain in reward; 0 is the optimum at the time cost that it was fitted for.
        settings: JSON-able facts of the fit, saved with the policy.
        elapsed: the observation's column of timestep / T; None: that of this package's observations.
    """

    tensors: dict[str, Tensor]
    observation: AnyObservation
    timesteps: Positive
    threshold: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    elapsed: Natural | None = None

    @property
    def made_for(self) -> int:
        """See `ScoredPolicy.made_for`."""
        return self.timesteps

    @property
    def macs(self) -> int:
        """Multiplications and additions of one decision (of trees: comparisons and additions on one path each)."""
        trees = self.tensors.get("tree_0")
        if trees is not None:
            return int(trees.shape[0]) * (int(np.ceil(np.log2(trees.shape[1]))) + 1)
        first = {name[2:]: tensor for name, tensor in self.tensors.items() if name.startswith("0.")}
        return count_macs(first)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the expected reward of exiting now less that of going on."""
        timestep = timestep_of(observation, self.observation, self.timesteps, self.elapsed)
        at = np.minimum(timestep, max(self.timesteps - 1, 1)) - 1
        found = np.zeros(len(observation))
        for t in np.unique(at):
            rows = at == t
            found[rows] = gains(self.tensors, int(t), observation[rows])
        return found


def gains(tensors: dict[str, Tensor], t: int, columns: np.ndarray) -> np.ndarray:
    """`[B]` float64 the fitted gain at place `t` (timestep t + 1), of columns `[B, F]`."""
    trees = tensors.get(f"tree_{t}")
    if trees is not None:
        return run_trees(trees.numpy(), columns) + float(tensors[f"base_{t}"])
    weights = {name.split(".", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(f"{t}.")}
    with torch.no_grad():
        inputs = (torch.from_numpy(np.array(columns, np.float32)) - tensors["mean"]) / tensors["scale"]
        found: np.ndarray = run_perceptron(weights, inputs).double().numpy()
    return found


def run_trees(trees: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """`[B]` the sum of trees `[R, J, 5]` (column, split, left, right, value; a leaf has column -1) over `[B, F]`."""
    total, rows = np.zeros(len(columns)), np.arange(len(columns))
    for tree in trees:
        feature, left, right = (tree[:, place].astype(np.int64) for place in (0, 2, 3))
        node = np.zeros(len(columns), np.int64)
        while True:
            split = feature[node] >= 0
            if not split.any():
                break
            goes_left = columns[rows, feature[node].clip(0)] <= tree[node, 1]
            node = np.where(split, np.where(goes_left, left[node], right[node]), node)
        total += tree[node, 4]
    return total
