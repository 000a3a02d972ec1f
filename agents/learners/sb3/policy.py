"""Policies trained by stable-baselines3, with an exit score that can be calibrated.

policy = LearnedPolicy.of(model, observation="features")
actions, state = policy.predict(observation)
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from agents.learners.macs import count_multiplications
from agents.rules.score import ScoredPolicy, no_export
from backbones import InputError
from backbones.argument_checks import AboveZero, Finite, Natural, check_fields, check_kinds
from backbones.one_line import one_line
from backbones.tensor_files import check_weights
from seenn_env.evaluation import check_columns, normaliser_of
from seenn_env.observations import AnyObservation


@dataclass(frozen=True)
class Normaliser:
    """SB3's VecNormalize of observations: (observation - mean) / scale, clipped to ± clip."""

    mean: tuple[Finite, ...]
    """`[F]`."""
    scale: tuple[AboveZero, ...]
    """`[F]`."""
    clip: AboveZero

    def __post_init__(self) -> None:
        check_fields(self)
        if len(self.mean) != len(self.scale):
            raise InputError(f"Expected mean [F] and scale [F], got {len(self.mean)} and {len(self.scale)}.")

    @classmethod
    def of(cls, model: Any) -> "Normaliser | None":
        """The normaliser of a model, None without VecNormalize; an `InputError` where its statistics are lost."""
        normaliser_of(model)
        env = model.get_vec_normalize_env()
        if env is None or not env.norm_obs:
            return None
        statistics: Any = env.obs_rms
        scale = np.sqrt(statistics.var + env.epsilon)
        return cls(tuple(statistics.mean.tolist()), tuple(scale.tolist()), float(env.clip_obs))

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """`[B, F]` float32."""
        scaled = (observation - np.array(self.mean)) / np.array(self.scale)
        return np.clip(scaled, -self.clip, self.clip).astype(np.float32)


@dataclass(frozen=True)
class LearnedPolicy(ScoredPolicy):
    """Exits when the probability or the advantage of exiting, by a network of stable-baselines3, reaches the threshold.

    Args:
        network: a policy over `Discrete(2)`: an actor-critic (the score is the probability of exiting), a recurrent
            one, or a value-based one (the value of exiting minus that of continuing).
        observation: name of the observation that it was trained on.
        threshold: ½ of a probability, 0 of an advantage, is the network's own choice; `calibrate` moves it.
        settings: JSON-able facts of the training, saved with the policy.
        normaliser: of the observation, where the network was trained under VecNormalize.
        seed: of the draws of `predict(…, deterministic=False)`.
    """

    network: nn.Module
    observation: AnyObservation = "features"
    threshold: float = 0.5
    settings: dict[str, Any] = field(default_factory=dict)
    normaliser: Normaliser | None = None
    seed: Natural = 0

    __repr__ = one_line

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normaliser is not None and (len(self.normaliser.mean),) != self.observation_space.shape:
            raise InputError(
                f"Expected a normaliser of the network's {self.observation_space.shape[0]} columns, got one of "
                f"{len(self.normaliser.mean)}."
            )

    @classmethod
    @check_kinds
    def of(cls, model: Any, *, observation: AnyObservation, settings: dict[str, Any] | None = None) -> "LearnedPolicy":
        """A copy of the policy of a trained SB3 model (PPO, A2C, DQN, and sb3-contrib's QRDQN and RecurrentPPO); an
        `InputError` for a model with another kind of policy, or without the statistics of its VecNormalize.
        """
        from agents.learners.sb3.networks import copy_network, head_of  # imports stable-baselines3, which is slow

        head, normaliser = head_of(getattr(model, "policy", model)), Normaliser.of(model)
        return cls(copy_network(model.policy), observation, head.own_threshold, settings or {}, normaliser)

    @property
    def head(self) -> Any:
        """The kind of the network, a `Head`."""
        from agents.learners.sb3.networks import head_of

        return head_of(self.network)

    @property
    def observation_space(self) -> gym.spaces.Box:
        """Of the network."""
        box: Any = self.network.observation_space
        return box

    @property
    def macs(self) -> int:  # type: ignore[override]
        """See `ScoredPolicy.macs`: of the layers of the score, without the critic's."""
        one = np.zeros((1, *self.observation_space.shape), np.float32)
        return count_multiplications(self.network, lambda: self.score(one))

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`."""
        return self.score_step(observation)[0]

    def score_step(
        self, observation: np.ndarray, state: Any = None, episode_start: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """See `ScoredPolicy`; the state is that of a recurrent network."""
        check_columns(self, self.observation, observation.shape[1:])
        with torch.no_grad():
            columns = observation if self.normaliser is None else self.normaliser(observation)
            inputs = torch.from_numpy(np.array(columns, np.float32))  # a copy: torch takes no read-only arrays
            scores, state = self.head.scores(self.network, inputs, state, episode_start)
            return scores.double().numpy(), state

    @property
    def probabilities(self) -> bool:  # type: ignore[override]
        """See `ScoredPolicy.probabilities`."""
        return self.head.probabilities

    def score_module(self, timesteps: int) -> nn.Module:
        """See `ScoredPolicy.score_module`."""
        if self.normaliser is not None:
            raise InputError(
                "Expected a policy that reads observations as they are to export, got one trained under VecNormalize."
            )
        module: nn.Module | None = self.head.score_module(self.network)
        if module is None:
            raise no_export(self)
        return module

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `ScoredPolicy.to_tensors`."""
        facts = {**vars(self), "normaliser": self.normaliser and asdict(self.normaliser)}
        del facts["network"]
        facts |= {
            "head": self.head.name,
            "low": self.observation_space.low.tolist(),
            "high": self.observation_space.high.tolist(),
        }
        return self.network.state_dict(), facts | self.head.arguments(self.network)

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Self:
        """See `ScoredPolicy.from_tensors`."""
        from agents.learners.sb3.networks import HEADS

        box = gym.spaces.Box(np.float32(facts.pop("low")), np.float32(facts.pop("high")), dtype=np.float32)
        own = {name: facts.pop(name) for name in ("observation", "threshold", "settings", "normaliser", "seed")}
        if own["normaliser"] is not None:
            own["normaliser"] = Normaliser(**own["normaliser"])
        network = HEADS[facts.pop("head")].make(box, facts, sum(tensor.numel() for tensor in tensors.values()))
        check_weights(network, tensors, "the policy's network")
        network.load_state_dict(tensors)
        return cls(network.eval(), **own)
