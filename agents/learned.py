"""A policy that stable-baselines3 has trained, with an exit score that can be calibrated.

policy = LearnedPolicy.of(model, observation="features")
actions, state = policy.predict(observation)
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from backbones import InputError


@dataclass(frozen=True)
class LearnedPolicy:
    """Exits when the network gives exiting a probability of at least the threshold.

    Args:
        network: an actor-critic policy over `Discrete(2)`.
        observation: name of the observation that it was trained on.
        threshold: ½ is the network's own choice; `calibrate` moves it.
        settings: JSON-able facts of the training, saved with the policy.
    """

    network: BasePolicy
    observation: str = "features"
    threshold: float = 0.5
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: BaseAlgorithm, *, observation: str, settings: dict[str, Any] | None = None) -> "LearnedPolicy":
        """The policy of a trained SB3 model.

        Raises:
            InputError: for a model whose policy is not an actor-critic one.
        """
        if not isinstance(model.policy, ActorCriticPolicy):
            raise InputError(f"Expected an actor-critic model (PPO, A2C), got {type(model).__name__}.")
        return cls(model.policy.cpu().eval(), observation, settings=settings or {})

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return self.threshold

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the probability of exiting."""
        with torch.no_grad():
            inputs = torch.as_tensor(np.asarray(observation), dtype=torch.float32)
            distribution = self.network.get_distribution(inputs).distribution  # type: ignore[operator]
            logits = distribution.logits.double()
            return torch.sigmoid(logits[:, 1] - logits[:, 0]).numpy()

    def at_level(self, level: float) -> "LearnedPolicy":
        """See `ScoredPolicy.at_level`."""
        return replace(self, threshold=float(level))

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, None]:
        """Actions `[B]`: at the threshold, or drawn from the network's own probabilities."""
        score = self.score(observation)
        if deterministic:
            return (score >= self.threshold).astype(np.int64), None
        return (torch.rand(len(score)).numpy() < score).astype(np.int64), None
