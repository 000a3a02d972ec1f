"""SEENN-II (sequential): a small network with the probability of exiting now.

    policy = train("exact", traces, target_timesteps=1.5)

Letters: B rows, F columns of the observation, T timesteps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.learners.perceptrons import count_macs, run_perceptron
from agents.rules.score import ScoredPolicy, timestep_of
from backbones import InputError
from backbones.argument_checks import Natural, Positive, check_kinds
from backbones.one_line import one_line
from seenn_env import Traces
from seenn_env.observations import AnyObservation

COST_RANGE = (0.003, 1.0)
"""Time costs on which a network that takes the cost as an input is trained."""
_COSTS = np.geomspace(*COST_RANGE, 25)


@dataclass(frozen=True, eq=False)
class ExitNetwork(ScoredPolicy):
    """Exits when a network's probability of exiting reaches the threshold: SEENN-II (sequential), on the exact reward.

    The inputs of the network are the standardised columns of an observation and the timestep, one-hot. Made by
    `agents.train("exact", …)`.

    Args:
        tensors: weights (see `make_perceptron`), and "mean" and "scale" `[F]` of the columns.
        observation: name of the observation.
        timesteps: T.
        threshold: ½ is the network's own choice; `calibrate` moves it.
        cost: the input of a network conditioned on the time cost; None for others.
        settings: JSON-able facts of the training, saved with the policy.
        elapsed: the observation's column of timestep / T; None: that of this package's observations.
        seed: of the draws of `predict(…, deterministic=False)`.
    """

    tensors: dict[str, Tensor]
    observation: AnyObservation
    timesteps: Positive
    threshold: float = 0.5
    cost: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    elapsed: Natural | None = None
    seed: Natural = 0

    __repr__ = one_line
    probabilities = True

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = self.tensors.get("weight_0", torch.empty(0))
        if weights.ndim != 2:
            raise InputError(f"Expected weight_0 [inputs, H], got {list(weights.shape)}: train the policy anew.")

    @property
    def macs(self) -> int:  # type: ignore[override]
        """See `ScoredPolicy.macs`."""
        return count_macs(self.tensors)

    def inputs(self, observation: np.ndarray, costs: Tensor | None = None) -> Tensor:
        """`[B, …]` inputs of the network for an observation `[B, F]`, with costs `[B]` if conditioned on them."""
        mean, scale = self.tensors["mean"], self.tensors["scale"]
        columns = (torch.from_numpy(np.array(observation, np.float32)) - mean) / scale
        at = torch.from_numpy(timestep_of(observation, self.observation, self.timesteps, self.elapsed)) - 1
        steps = torch.nn.functional.one_hot(at.clamp(max=self.timesteps - 1), self.timesteps).float()
        parts = [steps, columns]
        if self.cost is not None:
            parts.insert(0, cost_column(torch.full((len(columns),), self.cost) if costs is None else costs))
        return torch.cat(parts, dim=1)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the probability of exiting, in float64 so that those near 1 differ."""
        with torch.no_grad():
            return torch.sigmoid(run_perceptron(self.tensors, self.inputs(observation)).double()).numpy()

    @check_kinds
    def at_cost(self, cost: float) -> "ExitNetwork":
        """The policy at another time cost, that of all T timesteps in units of accuracy.

        Raises:
            InputError: for a network that is not conditioned on the cost, or a cost out of its range.
        """
        if self.cost is None:
            raise InputError("Expected a network that takes the cost as an input: train it with cost_input=True.")
        low, high = COST_RANGE
        if not low <= cost <= high:
            raise InputError(f"Expected a time cost from {low} to {high}, as in training, got {cost}.")
        return replace(self, cost=float(cost), threshold=0.5)

    def variants(self, traces: Traces) -> Iterator["ExitNetwork"]:
        """The policy itself; if conditioned on the time cost, the policy at each of many costs."""
        if self.cost is None:
            yield self
        else:
            yield from (self.at_cost(float(np.clip(cost, *COST_RANGE))) for cost in _COSTS)

    def score_module(self, timesteps: int) -> nn.Module:
        """See `ScoredPolicy.score_module`."""
        if self.timesteps != timesteps:
            raise InputError(f"Expected a policy for T = {timesteps}, the network's, got one for {self.timesteps}.")
        return _Perceptron(self)


class _Perceptron(nn.Module):
    """`ExitNetwork.score` in torch, at the policy's time cost."""

    mean: Tensor
    scale: Tensor
    cost: Tensor | None

    def __init__(self, policy: ExitNetwork) -> None:
        super().__init__()
        self.T = policy.timesteps
        self.names = [name for name in policy.tensors if name not in ("mean", "scale")]
        for name, tensor in policy.tensors.items():
            self.register_buffer(name, tensor)
        cost = None if policy.cost is None else cost_column(torch.tensor([policy.cost]))
        self.register_buffer("cost", cost)

    def forward(self, columns: Tensor, at: Tensor) -> Tensor:
        steps = (at[:, None] == torch.arange(self.T)).float()
        parts = [steps, (columns - self.mean) / self.scale]
        if self.cost is not None:
            parts.insert(0, self.cost.expand(len(columns), 1))
        weights = {name: self.get_buffer(name) for name in self.names}
        return torch.sigmoid(run_perceptron(weights, torch.cat(parts, 1)).double())


def cost_column(costs: Tensor) -> Tensor:
    """`[B, 1]` the logarithm of costs `[B]`, scaled to -1…1 over the range of training."""
    low, high = np.log(COST_RANGE)
    return (2 * (torch.log(costs.float()) - low) / (high - low) - 1)[:, None]
