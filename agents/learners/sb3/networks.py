"""Networks of stable-baselines3 and sb3-contrib: their exit scores, their outputs for training, and their construction.

The only file that reads inner layers of those networks, as versions 2.7 to 2.9 name them.

Letters: B rows, F columns, H hidden units, Q quantiles.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise, starmap
from operator import attrgetter, mul
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from agents.learners.sb3.presets import imported
from backbones import InputError
from backbones.errors import kind_of
from seenn_env.evaluation import check_actions

Scores = Callable[[Any, Tensor, Any, np.ndarray | None], tuple[Tensor, Any]]


def exit_probability(network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None) -> tuple[Tensor, Any]:
    """`[B]` probability of exiting, of an actor-critic (PPO, A2C)."""
    return _probability(network.get_distribution(inputs)), None


def recurrent_probability(
    network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None
) -> tuple[Tensor, Any]:
    """`[B]` probability of exiting, of an LSTM (RecurrentPPO); the state is a pair of arrays `[layers, B, H]`."""
    B, lstm = len(inputs), network.lstm_actor
    if state is None:
        state = (np.zeros((lstm.num_layers, B, lstm.hidden_size), np.float32),) * 2
    starts = np.zeros(B, bool) if episode_start is None else episode_start
    memory = tuple(torch.as_tensor(part, dtype=torch.float32) for part in state)
    distribution, memory = network.get_distribution(inputs, memory, torch.as_tensor(starts, dtype=torch.float32))
    return _probability(distribution), tuple(part.numpy() for part in memory)


def value_advantage(network: Any, inputs: Tensor, state: Any, episode_start: np.ndarray | None) -> tuple[Tensor, Any]:
    """`[B]` value of exiting minus that of continuing (DQN; QR-DQN by the mean of its quantiles)."""
    values = action_values(network, inputs).mean(1)
    return values[:, 1] - values[:, 0], None


@dataclass(frozen=True)
class Head:
    """A kind of network over `Discrete(2)`."""

    name: str
    network: type[BasePolicy] | tuple[str, str]
    """Its class, or module and name of it in sb3-contrib."""
    scores: Scores
    """`[B]` of inputs `[B, F]`, and the next state."""
    probabilities: bool
    """Whether scores are probabilities."""
    layers: tuple[str, ...] = ()
    """The attributes that compute both outputs in order; none where the score is not exported."""
    options: dict[str, str] = field(default_factory=lambda: {"net_arch": "net_arch"})
    """JSON-able arguments of the class, and the attributes that hold them."""

    @property
    def own_threshold(self) -> float:
        """The score from which on the network itself exits."""
        return 0.5 if self.probabilities else 0.0

    def score_module(self, network: BasePolicy) -> nn.Module | None:
        """See `ScoredPolicy.score_module`; None where the score is not exported."""
        layers = [attrgetter(name)(network) for name in self.layers]
        return _ExitOverContinue(self.probabilities, *layers) if layers else None

    def arguments(self, network: BasePolicy) -> dict[str, Any]:
        """JSON-able arguments that make a network of the same shape."""
        return {name: attrgetter(attribute)(network) for name, attribute in self.options.items()}

    def make(self, box: gym.spaces.Box, arguments: dict[str, Any], parameters: int) -> BasePolicy:
        """A new network of that shape, for observations of the box; an `InputError` for other arguments than those of
        `arguments`, or those of more than that many parameters.
        """
        widths: Any = arguments.get("net_arch")
        chains: list[Any] = list(widths.values()) if isinstance(widths, dict) else [widths]
        chains = [[*box.shape, *chain, 2 * arguments.get("n_quantiles", 1)] for chain in chains]
        if "lstm_hidden_size" in arguments:
            chains.append([arguments["lstm_hidden_size"]] * (1 + arguments["n_lstm_layers"]))
        least = max(sum(starmap(mul, pairwise(chain))) for chain in chains)
        if set(arguments) != set(self.options) or least > parameters:
            raise InputError(f"Expected {', '.join(self.options)} of a network of {parameters} parameters, got others.")
        network: Any = imported(*self.network) if isinstance(self.network, tuple) else self.network
        return network(box, gym.spaces.Discrete(2), lambda _: 0.0, **arguments)


_RECURRENT_OPTIONS = {
    "net_arch": "net_arch",
    "lstm_hidden_size": "lstm_actor.hidden_size",
    "n_lstm_layers": "lstm_actor.num_layers",
    "shared_lstm": "shared_lstm",
    "enable_critic_lstm": "enable_critic_lstm",
}
_RECURRENT = ("sb3_contrib.common.recurrent.policies", "RecurrentActorCriticPolicy")
_QUANTILE = ("sb3_contrib.qrdqn.policies", "QRDQNPolicy")
_ACTOR_LAYERS = ("mlp_extractor.policy_net", "action_net")
HEADS = {
    head.name: head
    for head in (
        Head("actor-critic", ActorCriticPolicy, exit_probability, True, _ACTOR_LAYERS),
        Head("recurrent", _RECURRENT, recurrent_probability, True, options=_RECURRENT_OPTIONS),
        Head("value", DQNPolicy, value_advantage, False, ("q_net.q_net",)),
        Head(
            "quantile",
            _QUANTILE,
            value_advantage,
            False,
            options={"net_arch": "net_arch", "n_quantiles": "n_quantiles"},
        ),
    )
}
"""Kinds of networks by the name that saved policies hold."""


def head_of(network: Any) -> Head:
    """The kind of a network; an `InputError` for a network of another kind, or over other actions."""
    check_actions(network)
    if isinstance(network, ActorCriticPolicy):
        return HEADS["recurrent" if hasattr(network, "lstm_actor") else "actor-critic"]
    if isinstance(network, DQNPolicy):
        return HEADS["value"]
    if hasattr(network, "quantile_net"):
        return HEADS["quantile"]
    raise InputError(
        "Expected an actor-critic, recurrent or value-based model (PPO, A2C, RecurrentPPO, DQN, QRDQN), "
        f"got {kind_of(network)}."
    )


def copy_network(network: BasePolicy) -> BasePolicy:
    """A copy on the CPU, in evaluation mode, without the distribution of its last batch, which cannot be copied."""
    distribution = getattr(getattr(network, "action_dist", None), "distribution", None)
    return deepcopy(network, {id(distribution): None}).cpu().eval()


def actor_and_critic(network: Any, inputs: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """`[B]` logits of exiting minus those of continuing, and `[B]` values, of an actor-critic, recurrent or not.

    The inputs `[B, F]` are those of as many whole episodes as `rows`, one after the other.
    """
    memory: tuple[Any, ...] = ()
    if hasattr(network, "lstm_actor"):
        zeros = torch.zeros(network.lstm_actor.num_layers, rows, network.lstm_actor.hidden_size)
        memory = (zeros, zeros), torch.zeros(len(inputs))
    distribution = network.get_distribution(inputs, *memory)
    logits = (distribution[0] if memory else distribution).distribution.logits
    return logits[:, 1] - logits[:, 0], network.predict_values(inputs, *memory)[:, 0]


def action_values(network: Any, inputs: Tensor) -> Tensor:
    """`[B, Q, 2]` quantiles of the values of continuing and exiting; Q = 1 of a network without quantiles."""
    return network.q_net(inputs)[:, None] if hasattr(network, "q_net") else network.quantile_net(inputs)


def _probability(distribution: Any) -> Tensor:
    logits = distribution.distribution.logits.double()
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


class _ExitOverContinue(nn.Module):
    """The second output minus the first, or the probability of the second."""

    def __init__(self, probability: bool, *layers: nn.Module) -> None:
        super().__init__()
        self.probability, self.network = probability, nn.Sequential(*layers)

    def forward(self, columns: Tensor, at: Tensor) -> Tensor:
        outputs = self.network(columns).double()
        difference = outputs[:, 1] - outputs[:, 0]
        return torch.sigmoid(difference) if self.probability else difference
