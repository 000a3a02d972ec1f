"""SEENN-II (sequential), a small network that gives the probability of exiting now.

    policy = train("exact", traces, target_timesteps=1.5)
    policy = ExitNetwork.fit(traces.select("policy"), cost=0.1)

Letters: M members, B rows, F columns of the observation, T timesteps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.perceptrons import count_macs, run_perceptrons
from agents.policy import drawing, own_settings, timestep_of
from backbones import InputError
from backbones.kinds import Natural, Positive, check_fields, check_kinds
from seenn_env import Traces
from seenn_env.observations import AnyObservation

COST_RANGE = (0.003, 1.0)
"""Time costs on which a network that takes the cost as an input is trained."""
_COSTS = np.geomspace(*COST_RANGE, 25)


@dataclass(frozen=True, eq=False)
class ExitNetwork:
    """Exits when the network gives exiting a probability of at least the threshold.

    The network sees the columns of an observation, standardised, and one-hot the timestep; an ensemble's exit
    logits are averaged. `agents.train("exact", …)` makes it.

    Args:
        tensors: weights (see `perceptrons`), and "mean" and "scale" `[F]` of the columns.
        observation: name of the observation.
        timesteps: T.
        threshold: ½ is the network's own choice; `calibrate` moves it.
        cost: the time cost given to a network that takes it as an input; None for others.
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

    def __post_init__(self) -> None:
        check_fields(self)
        own_settings(self)

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return self.threshold

    @property
    def members(self) -> int:
        """M."""
        return len(self.tensors["weight_0"])

    @property
    def macs(self) -> int:
        """Multiplications and additions of one decision."""
        return count_macs(self.tensors)

    def inputs(self, observation: np.ndarray, costs: Tensor | None = None) -> Tensor:
        """`[B, …]` what the network sees of an observation `[B, F]` (with costs `[B]` where it takes them)."""
        mean, scale = self.tensors["mean"], self.tensors["scale"]
        columns = (torch.from_numpy(np.array(observation, np.float32)) - mean) / scale
        at = torch.from_numpy(timestep_of(observation, self.observation, self.timesteps, self.elapsed)) - 1
        steps = torch.nn.functional.one_hot(at.clamp(max=self.timesteps - 1), self.timesteps).float()
        parts = [steps, columns]
        if self.cost is not None:
            parts.insert(0, cost_column(torch.full((len(columns),), self.cost) if costs is None else costs))
        return torch.cat(parts, dim=1)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the probability of exiting, in float64 so that large ones stay apart."""
        with torch.no_grad():
            logits = run_perceptrons(self.tensors, self.inputs(observation))[..., 0].mean(0)
            return torch.sigmoid(logits.double()).numpy()

    @check_kinds
    def at_level(self, level: float) -> "ExitNetwork":
        """See `ScoredPolicy.at_level`."""
        return replace(self, threshold=float(level))

    @check_kinds
    def at_cost(self, cost: float) -> "ExitNetwork":
        """At another time cost: what all T timesteps cost, in units of accuracy.

        Raises:
            InputError: for a network that does not take the cost as an input, or a cost out of its range.
        """
        if self.cost is None:
            raise InputError("Expected a network that takes the cost as an input: train it with cost_input=True.")
        low, high = COST_RANGE
        if not low <= cost <= high:
            raise InputError(f"Expected a time cost from {low} to {high}, as in training, got {cost}.")
        return replace(self, cost=float(cost), threshold=0.5)

    def variants(self, traces: Traces) -> Iterator["ExitNetwork"]:
        """Itself, or, if it takes the cost as an input, itself at each of many costs."""
        if self.cost is None:
            yield self
        else:
            yield from (self.at_cost(float(np.clip(cost, *COST_RANGE))) for cost in _COSTS)

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`: at the threshold, or drawn from the network's own probabilities."""
        score = self.score(observation)
        if deterministic:
            return (score >= self.threshold).astype(np.int64), None
        drawn = drawing(state, episode_start, self.seed)
        return (drawn.rng.random(len(score)) < score).astype(np.int64), drawn


def cost_column(costs: Tensor) -> Tensor:
    """`[B, 1]` the logarithm of costs `[B]`, from -1 to 1 over the range of training."""
    low, high = np.log(COST_RANGE)
    return (2 * (torch.log(costs.float()) - low) / (high - low) - 1)[:, None]
