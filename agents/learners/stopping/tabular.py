"""The floor of every learner: Bellman's backward induction on a table of (timestep, bin of confidence).

    policy = TabularStopping.fit(traces.select("policy"), cost=0.1)

Letters: B rows, N rows of the traces, T timesteps, M bins.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.rules.score import COLUMNS, ScoredPolicy, timestep_of
from backbones import InputError
from backbones.argument_checks import Positive, check_kinds
from seenn_env import Traces, make_reward
from seenn_env.rewards import pay

_CONFIDENCE = COLUMNS["confidence"]


@dataclass(frozen=True, eq=False)
class TabularStopping(ScoredPolicy):
    """Exits when a table of (timestep, confidence) gives exiting at least this gain: the floor of every learner.

    Args:
        edges: `[T-1, M-1]` ascending, between the bins of confidence.
        gains: `[T-1, M]` expected reward of exiting in that bin less that of going on.
        threshold: a gain in reward; 0 is the optimum of the table. Rows of a bin are alike: near a target,
            `calibrate(…, randomise=True)`.
        settings: JSON-able facts, saved with the policy.
    """

    edges: np.ndarray
    gains: np.ndarray
    threshold: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    observation = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        T = len(self.gains) + 1
        if self.gains.ndim != 2 or self.edges.shape != (T - 1, self.gains.shape[1] - 1):
            raise InputError(f"Expected gains [T-1, M], edges [T-1, M-1], got {self.gains.shape}, {self.edges.shape}.")

    @classmethod
    @check_kinds
    def fit(
        cls, traces: Traces, *, bins: Positive = 20, reward: str = "linear", **reward_options: Any
    ) -> "TabularStopping":
        """The optimal table of these traces, as a Markov chain of bins that hold equally many rows.

        Args:
            traces: all rows are learned from.
            bins: M, at each timestep.
            reward: a name.
            reward_options: its options, such as `cost=0.1`.

        Raises:
            InputError: for traces of split "test", or fewer than one bin.
        """
        traces.refuse_test("fitting a table")
        N, T = traces.predictions.shape
        steps = np.broadcast_to(np.arange(1, T + 1), (N, T))
        paid = pay(make_reward(reward, reward_options), traces.correct, steps, T, traces.energy()).astype(np.float64)
        confidence = traces.columns(cls.observation)[..., _CONFIDENCE].astype(np.float64)
        edges = np.quantile(confidence[:, : T - 1], np.arange(1, bins) / bins, axis=0).T.reshape(max(T - 1, 0), -1)
        gains = np.zeros((T - 1, bins))
        later = paid[:, -1]  # a row's value of being at t + 1: that of its bin there
        for t in reversed(range(T - 1)):
            place = np.searchsorted(edges[t], confidence[:, t], side="right")
            count = np.maximum(np.bincount(place, minlength=bins), 1)
            stops = np.bincount(place, paid[:, t], bins) / count
            goes_on = np.bincount(place, later, bins) / count
            gains[t] = stops - goes_on
            later = np.maximum(stops, goes_on)[place]
        return cls(edges, gains, settings={"reward": reward, "reward_options": reward_options})

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the gain of the row's bin."""
        T = len(self.gains) + 1
        at = np.minimum(timestep_of(observation, self.observation, T), max(T - 1, 1)) - 1
        found = np.empty(len(observation))
        for t in np.unique(at):
            rows = at == t
            confidence = observation[rows, _CONFIDENCE].astype(np.float64)
            found[rows] = self.gains[t][np.searchsorted(self.edges[t], confidence, side="right")]
        return found
