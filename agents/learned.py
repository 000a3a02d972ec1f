"""A policy that stable-baselines3 has trained, with an exit score that can be calibrated.

policy = LearnedPolicy.of(model, observation="features")
actions, state = policy.predict(observation)
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from agents.heads import head_of
from agents.multiplications import count_multiplications


@dataclass(frozen=True)
class LearnedPolicy:
    """Exits when the network gives exiting a probability, or an advantage, of at least the threshold.

    Args:
        network: a policy over `Discrete(2)`: an actor-critic (the score is the probability of exiting), a recurrent
            one, or a value-based one (the value of exiting less that of going on).
        observation: name of the observation that it was trained on.
        threshold: ½ of a probability, 0 of an advantage, is the network's own choice; `calibrate` moves it.
        settings: JSON-able facts of the training, saved with the policy.
    """

    network: BasePolicy
    observation: str = "features"
    threshold: float = 0.5
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: BaseAlgorithm, *, observation: str, settings: dict[str, Any] | None = None) -> "LearnedPolicy":
        """The policy of a trained SB3 model (PPO, A2C, DQN, and sb3-contrib's QRDQN and RecurrentPPO).

        Raises:
            InputError: for a model with another kind of policy.
        """
        head = head_of(model.policy)
        return cls(model.policy.cpu().eval(), observation, head.own_threshold, settings or {})

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return self.threshold

    @property
    def macs(self) -> int:
        """Multiplications and additions of one decision: of the layers that the score needs, not the critic's."""
        shape = self.network.observation_space.shape
        assert shape is not None
        one = np.zeros((1, *shape), np.float32)
        return count_multiplications(self.network, lambda: self.score(one))

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`."""
        return self.score_step(observation, None, None)[0]

    def score_step(
        self, observation: np.ndarray, state: Any, episode_start: np.ndarray | None
    ) -> tuple[np.ndarray, Any]:
        """See `ScoredPolicy`; the state is that of a recurrent network."""
        with torch.no_grad():
            inputs = torch.as_tensor(np.asarray(observation), dtype=torch.float32)
            scores, state = head_of(self.network).scores(self.network, inputs, state, episode_start)
            return scores.double().numpy(), state

    def at_level(self, level: float) -> "LearnedPolicy":
        """See `ScoredPolicy.at_level`."""
        return replace(self, threshold=float(level))

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`: at the threshold, or drawn from the network's own probabilities, where it has any."""
        score, state = self.score_step(observation, state, episode_start)
        if deterministic or not head_of(self.network).probabilities:
            return (score >= self.threshold).astype(np.int64), state
        return (torch.rand(len(score)).numpy() < score).astype(np.int64), state
