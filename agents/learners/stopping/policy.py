"""Optimal stopping by fitted backward induction: exits where continuing has no expected gain.

    policy = train("optimal-stopping", traces, target_timesteps=1.5)

Letters: B rows, F columns, T timesteps, R trees, J nodes of the largest tree.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.learners.perceptrons import count_macs, run_perceptron
from agents.learners.stopping.trees import run_trees
from agents.rules.score import ScoredPolicy, scores_by_timestep, timestep_of
from backbones.argument_checks import Natural, Positive
from backbones.one_line import one_line
from seenn_env.observations import AnyObservation


@dataclass(frozen=True, eq=False)
class OptimalStopping(ScoredPolicy):
    """Exits when the gain of exiting, fitted by backward induction, is at least the threshold.

    Args:
        tensors: for each timestep t, trees "tree_t" `[R, J, 5]` and "base_t" (see `fit_trees`), or the weights of a
            network with the prefix "t.", and "mean" and "scale" `[F]`.
        observation: name of the observation.
        timesteps: T.
        threshold: a gain in reward; 0 is the optimum at the time cost of the fit.
        settings: JSON-able facts of the fit, saved with the policy.
        elapsed: the observation's column of timestep / T; None: that of this package's observations.
    """

    tensors: dict[str, Tensor]
    observation: AnyObservation
    timesteps: Positive
    threshold: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    elapsed: Natural | None = None

    __repr__ = one_line

    @property
    def macs(self) -> int:  # type: ignore[override]
        """See `ScoredPolicy.macs`; of trees, the comparisons and additions on one path each."""
        trees = self.tensors.get("tree_0")
        if trees is not None:
            return int(trees.shape[0]) * (int(np.ceil(np.log2(trees.shape[1]))) + 1)
        first = {name[2:]: tensor for name, tensor in self.tensors.items() if name.startswith("0.")}
        return count_macs(first)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the expected reward of exiting now minus that of continuing."""
        timestep = timestep_of(observation, self.observation, self.timesteps, self.elapsed)
        at = np.minimum(timestep, max(self.timesteps - 1, 1)) - 1
        return scores_by_timestep(observation, at, lambda t, columns: gains(self.tensors, t, columns))


def gains(tensors: dict[str, Tensor], t: int, columns: np.ndarray) -> np.ndarray:
    """`[B]` float64 the fitted gain at place `t` (timestep t + 1), of columns `[B, F]`."""
    trees = tensors.get(f"tree_{t}")
    if trees is not None:
        return run_trees(trees.numpy(), columns) + float(tensors[f"base_{t}"])
    weights = {name.split(".", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(f"{t}.")}
    with torch.no_grad():
        inputs = (torch.from_numpy(np.array(columns, np.float32)) - tensors["mean"]) / tensors["scale"]
        gain: np.ndarray = run_perceptron(weights, inputs).double().numpy()
    return gain
