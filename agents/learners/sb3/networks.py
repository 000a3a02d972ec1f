"""How much a network of stable-baselines3 wants to exit, for each kind of network, and how to make one anew.

Letters: B rows, F columns, H hidden units.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from backbones import InputError


class Head(Protocol):
    """A kind of network."""

    name: ClassVar[str]
    own_threshold: ClassVar[float]
    """The score from which on the network itself exits."""
    probabilities: ClassVar[bool]
    """Whether scores are probabilities."""

    def scores(self, network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None) -> tuple[Tensor, Any]:
        """`[B]` of inputs `[B, F]`, and the next state."""

    def score_module(self, network: Any) -> nn.Module | None:
        """See `ScoredPolicy.score_module`; None where the score is not exported."""

    def arguments(self, network: Any) -> dict[str, Any]:
        """JSON-able arguments that make a network of the same shape."""

    def make(self, box: gym.spaces.Box, arguments: dict[str, Any]) -> BasePolicy:
        """A network of that shape."""


@dataclass(frozen=True)
class ActorCriticHead:
    """The probability of exiting (PPO, A2C)."""

    name: ClassVar[str] = "actor-critic"
    own_threshold: ClassVar[float] = 0.5
    probabilities: ClassVar[bool] = True

    def scores(self, network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None) -> tuple[Tensor, Any]:
        """See `Head.scores`."""
        return _probability(network.get_distribution(inputs)), None

    def score_module(self, network: Any) -> nn.Module:
        """See `Head.score_module`."""
        return _ExitOverContinue(True, network.mlp_extractor.policy_net, network.action_net)

    def arguments(self, network: Any) -> dict[str, Any]:
        """See `Head.arguments`."""
        return {"net_arch": network.net_arch}

    def make(self, box: gym.spaces.Box, arguments: dict[str, Any]) -> BasePolicy:
        """See `Head.make`."""
        return ActorCriticPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, **arguments)


@dataclass(frozen=True)
class RecurrentHead:
    """The probability of exiting, of an LSTM that remembers the steps before (RecurrentPPO)."""

    name: ClassVar[str] = "recurrent"
    own_threshold: ClassVar[float] = 0.5
    probabilities: ClassVar[bool] = True

    def scores(self, network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None) -> tuple[Tensor, Any]:
        """See `Head.scores`; the state is a pair of arrays `[layers, B, H]`, as in sb3-contrib."""
        B, lstm = len(inputs), network.lstm_actor
        if state is None:
            state = (np.zeros((lstm.num_layers, B, lstm.hidden_size), np.float32),) * 2
        starts = np.zeros(B, bool) if episode_start is None else episode_start
        given = tuple(torch.as_tensor(part, dtype=torch.float32) for part in state)
        distribution, given = network.get_distribution(inputs, given, torch.as_tensor(starts, dtype=torch.float32))
        return _probability(distribution), tuple(part.numpy() for part in given)

    def score_module(self, network: Any) -> None:
        """See `Head.score_module`."""
        return

    def arguments(self, network: Any) -> dict[str, Any]:
        """See `Head.arguments`."""
        lstm = network.lstm_actor
        return {
            "net_arch": network.net_arch,
            "lstm_hidden_size": lstm.hidden_size,
            "n_lstm_layers": lstm.num_layers,
            "shared_lstm": network.shared_lstm,
            "enable_critic_lstm": network.enable_critic_lstm,
        }

    def make(self, box: gym.spaces.Box, arguments: dict[str, Any]) -> BasePolicy:
        """See `Head.make`."""
        kind = contrib("sb3_contrib.common.recurrent.policies", "RecurrentActorCriticPolicy")
        made: BasePolicy = kind(box, gym.spaces.Discrete(2), lambda _: 0.0, **arguments)
        return made


@dataclass(frozen=True)
class ValueHead:
    """The value of exiting less that of going on (DQN)."""

    name: ClassVar[str] = "value"
    own_threshold: ClassVar[float] = 0.0
    probabilities: ClassVar[bool] = False

    def scores(self, network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None) -> tuple[Tensor, Any]:
        """See `Head.scores`."""
        values = network.q_net(inputs)
        return values[:, 1] - values[:, 0], None

    def score_module(self, network: Any) -> nn.Module:
        """See `Head.score_module`."""
        return _ExitOverContinue(False, network.q_net.q_net)

    def arguments(self, network: Any) -> dict[str, Any]:
        """See `Head.arguments`."""
        return {"net_arch": network.net_arch}

    def make(self, box: gym.spaces.Box, arguments: dict[str, Any]) -> BasePolicy:
        """See `Head.make`."""
        return DQNPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, **arguments)


@dataclass(frozen=True)
class QuantileHead:
    """The mean of the quantiles of exiting less that of going on (QR-DQN)."""

    name: ClassVar[str] = "quantile"
    own_threshold: ClassVar[float] = 0.0
    probabilities: ClassVar[bool] = False

    def scores(self, network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None) -> tuple[Tensor, Any]:
        """See `Head.scores`."""
        values = network.quantile_net(inputs).mean(1)
        return values[:, 1] - values[:, 0], None

    def score_module(self, network: Any) -> None:
        """See `Head.score_module`."""
        return

    def arguments(self, network: Any) -> dict[str, Any]:
        """See `Head.arguments`."""
        return {"net_arch": network.net_arch, "n_quantiles": network.n_quantiles}

    def make(self, box: gym.spaces.Box, arguments: dict[str, Any]) -> BasePolicy:
        """See `Head.make`."""
        kind = contrib("sb3_contrib.qrdqn.policies", "QRDQNPolicy")
        made: BasePolicy = kind(box, gym.spaces.Discrete(2), lambda _: 0.0, **arguments)
        return made


HEADS: dict[str, Head] = {head.name: head for head in (ActorCriticHead(), RecurrentHead(), ValueHead(), QuantileHead())}


def head_of(network: BasePolicy) -> Head:
    """The kind of a network.

    Raises:
        InputError: for a network of another kind.
    """
    if isinstance(network, ActorCriticPolicy):
        return HEADS["recurrent" if hasattr(network, "lstm_actor") else "actor-critic"]
    if isinstance(network, DQNPolicy):
        return HEADS["value"]
    if hasattr(network, "quantile_net"):
        return HEADS["quantile"]
    raise InputError(
        "Expected an actor-critic, recurrent or value-based model (PPO, A2C, RecurrentPPO, DQN, QRDQN), "
        f"got a {type(network).__name__}."
    )


def contrib(module: str, name: str) -> Any:
    """Something of sb3-contrib.

    Raises:
        InputError: where it is not installed.
    """
    if importlib.util.find_spec("sb3_contrib") is None:
        raise InputError(f"Expected sb3-contrib for {name}, but it is not installed: pip install 'seenn-env[contrib]'.")
    return getattr(importlib.import_module(module), name)


def _probability(distribution: Any) -> Tensor:
    logits = distribution.distribution.logits.double()
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


class _ExitOverContinue(nn.Module):
    """The second output less the first, or the probability of the second."""

    def __init__(self, probability: bool, *layers: nn.Module) -> None:
        super().__init__()
        self.probability, self.network = probability, nn.Sequential(*layers)

    def forward(self, columns: Tensor, at: Tensor) -> Tensor:
        outputs = self.network(columns).double()
        difference = outputs[:, 1] - outputs[:, 0]
        return torch.sigmoid(difference) if self.probability else difference
