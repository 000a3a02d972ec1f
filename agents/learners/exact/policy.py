"""SEENN-II (sequential): a small network with the probability of exiting now.

    policy = train("exact", traces, target_timesteps=1.5)

Letters: B rows, F columns of the observation, T timesteps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.learners.perceptrons import check_perceptron, run_perceptron
from agents.rules.score import ScoredPolicy, timestep_of
from backbones import InputError
from backbones.argument_checks import Natural, Positive
from backbones.errors import counted
from backbones.one_line import one_line
from seenn_env.observations import AnyObservation


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
        settings: JSON-able facts of the training, saved with the policy.
        elapsed: the observation's column of timestep / T; None: that of this package's observations.
        seed: of the draws of `predict(…, deterministic=False)`.
    """

    tensors: dict[str, Tensor]
    observation: AnyObservation
    timesteps: Positive
    threshold: float = 0.5
    settings: dict[str, Any] = field(default_factory=dict)
    elapsed: Natural | None = None
    seed: Natural = 0

    __repr__ = one_line
    probabilities = True

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = dict(self.tensors)
        mean, scale = (weights.pop(name, torch.empty(0)) for name in ("mean", "scale"))
        if mean.ndim != 1 or mean.shape != scale.shape or not (scale > 0).all():
            raise InputError(
                f"Expected mean [F] and scale [F] above 0, got {list(mean.shape)} and {list(scale.shape)}: train the "
                "policy anew."
            )
        check_perceptron(weights, self.timesteps + len(mean))

    @property
    def macs(self) -> int:  # type: ignore[override]
        """See `ScoredPolicy.macs`."""
        return sum(tensor.numel() for name, tensor in self.tensors.items() if name.startswith("weight_"))

    def inputs(self, observation: np.ndarray) -> Tensor:
        """`[B, T + F]` inputs of the network for an observation `[B, F]`."""
        if observation.shape[1:] != (F := self.tensors["mean"].shape):
            raise InputError(
                f"Expected the observation that the policy was trained on, with {counted(F[0], 'column')}, got "
                f"{self.observation!r} with {observation.shape[1]}: name it by observation=…."
            )
        at = torch.from_numpy(timestep_of(observation, self.observation, self.timesteps, self.elapsed)) - 1
        columns = torch.from_numpy(np.array(observation, np.float32))
        return _inputs(self.tensors, columns, at.clamp(max=self.timesteps - 1), self.timesteps)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the probability of exiting, in float64 so that those near 1 differ."""
        with torch.no_grad():
            return torch.sigmoid(run_perceptron(self.tensors, self.inputs(observation)).double()).numpy()

    def score_module(self, timesteps: int) -> nn.Module:
        """See `ScoredPolicy.score_module`."""
        if self.timesteps != timesteps:
            raise InputError(f"Expected a policy for T = {timesteps}, the network's, got one for {self.timesteps}.")
        return _Perceptron(self)


class _Perceptron(nn.Module):
    """`ExitNetwork.score` in torch."""

    def __init__(self, policy: ExitNetwork) -> None:
        super().__init__()
        self.T, self.names = policy.timesteps, list(policy.tensors)
        for name, tensor in policy.tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, columns: Tensor, at: Tensor) -> Tensor:
        tensors = {name: self.get_buffer(name) for name in self.names}
        return torch.sigmoid(run_perceptron(tensors, _inputs(tensors, columns, at, self.T)).double())


def _inputs(tensors: Mapping[str, Tensor], columns: Tensor, at: Tensor, T: int) -> Tensor:
    """`[B, T + F]`: place `at` `[B]` among the timesteps, one-hot, and the standardised columns `[B, F]`."""
    return torch.cat([(at[:, None] == torch.arange(T)).float(), (columns - tensors["mean"]) / tensors["scale"]], dim=1)
