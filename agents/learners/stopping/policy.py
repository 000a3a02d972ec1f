"""Optimal stopping by fitted backward induction: exits where continuing has no expected gain.

    policy = train("optimal-stopping", traces, target_timesteps=1.5)

Letters: B rows, F columns, T timesteps, R trees, J nodes of the largest tree.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from agents.learners.stopping.trees import check_trees, run_trees
from agents.rules.score import ScoredPolicy, scores_by_timestep, timestep_of
from backbones import InputError
from backbones.argument_checks import Natural, Positive
from backbones.errors import counted
from backbones.one_line import one_line
from seenn_env.observations import AnyObservation


@dataclass(frozen=True, eq=False)
class OptimalStopping(ScoredPolicy):
    """Exits when the gain of exiting, fitted by backward induction, is at least the threshold.

    Args:
        tensors: for each timestep t, trees "tree_t" `[R, J, 5]` and "base_t" (see `fit_trees`).
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
        """See `ScoredPolicy.macs`: the comparisons and additions on one path of each tree."""
        trees, nodes, _ = self.tensors["tree_0"].shape if self.timesteps > 1 else (0, 1, 0)
        return trees * (int(np.ceil(np.log2(nodes))) + 1)

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Self:
        """See `ScoredPolicy.from_tensors`."""
        policy = super().from_tensors(tensors, facts)
        steps = range(policy.timesteps - 1) if policy.timesteps <= len(tensors) + 1 else ()
        if set(tensors) != {f"{name}_{t}" for t in steps for name in ("tree", "base")}:
            raise InputError(f"Expected trees and a base for each of {counted(policy.timesteps - 1, 'timestep')}.")
        for t in steps:
            check_trees(tensors[f"tree_{t}"].numpy())
            if tensors[f"base_{t}"].shape != (1,) or tensors[f"base_{t}"].dtype != torch.float64:
                raise InputError(f"Expected base_{t} [1] of float64, got {list(tensors[f'base_{t}'].shape)}.")
        return policy

    def of_first(self, trees: int) -> "OptimalStopping":
        """The policy of the first trees of every timestep."""
        tensors = {name: value[:trees] if name.startswith("tree_") else value for name, value in self.tensors.items()}
        return replace(self, tensors=tensors)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the expected reward of exiting now minus that of continuing."""
        timestep = timestep_of(observation, self.observation, self.timesteps, self.elapsed)
        at = np.minimum(timestep, max(self.timesteps - 1, 1)) - 1
        return scores_by_timestep(observation, at, lambda t, columns: gains(self.tensors, t, columns))


def gains(tensors: dict[str, Tensor], t: int, columns: np.ndarray) -> np.ndarray:
    """`[B]` float64 the fitted gain at place `t` (timestep t + 1), of columns `[B, F]`."""
    return run_trees(tensors[f"tree_{t}"].numpy(), columns) + float(tensors[f"base_{t}"])
