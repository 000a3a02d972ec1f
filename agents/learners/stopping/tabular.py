"""Tabular backward induction over (timestep, bin of confidence): the baseline of every learner.

    policy = TabularStopping.fit(traces.select("policy"), cost=0.1)

Letters: B rows, N rows of the traces, T timesteps, M bins.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agents.rules.score import COLUMNS, ScoredPolicy, scores_by_timestep, timestep_of
from backbones import InputError
from backbones.argument_checks import Positive, check_kinds
from backbones.tensors import as_array
from seenn_env import Traces

_CONFIDENCE = COLUMNS["confidence"]


@dataclass(frozen=True, eq=False)
class TabularStopping(ScoredPolicy):
    """Exits when the gain of exiting in a table over (timestep, confidence) is at least the threshold.

    Args:
        edges: `[T-1, M-1]` ascending, between the bins of confidence.
        gains: `[T-1, M]` expected reward of exiting in that bin minus that of continuing.
        threshold: a gain in reward; 0 is the optimum of the table. Rows of a bin have equal scores: a target between
            them needs `calibrate(…, randomise=True)`.
        settings: JSON-able facts, saved with the policy.
    """

    edges: np.ndarray
    gains: np.ndarray
    threshold: float = 0.0
    settings: dict[str, Any] = field(default_factory=dict)
    observation = "features"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("edges", "gains"):
            object.__setattr__(self, name, as_array(vars(self)[name], name))  # of a tensor
        T = len(self.gains) + 1
        if self.gains.ndim != 2 or self.edges.shape != (T - 1, self.gains.shape[1] - 1):
            raise InputError(f"Expected gains [T-1, M], edges [T-1, M-1], got {self.gains.shape}, {self.edges.shape}.")
        if {self.gains.dtype.kind, self.edges.dtype.kind} != {"f"} or (np.diff(self.edges, axis=1) < 0).any():
            raise InputError("Expected gains and edges of floats, and edges in ascending order, got others.")

    @property
    def made_for(self) -> int:
        """See `ScoredPolicy.made_for`."""
        return len(self.gains) + 1

    @classmethod
    @check_kinds
    def fit(
        cls, traces: Traces, *, bins: Positive = 20, reward: str = "linear", **reward_options: Any
    ) -> "TabularStopping":
        """The optimal policy of the Markov chain of bins, each with equally many rows, on these traces.

        Args:
            traces: all rows are fitted.
            bins: M, at each timestep.
            reward: a name.
            reward_options: its options, such as `cost=0.1`.

        Raises:
            InputError: for traces of split "test", or fewer than one bin.
        """
        traces.refuse_test("fitting a table")
        T = traces.timesteps
        rewards = traces.rewards(reward, reward_options).astype(np.float64)
        confidence = traces.columns(cls.observation)[..., _CONFIDENCE].astype(np.float64)
        edges = np.quantile(confidence[:, : T - 1], np.arange(1, bins) / bins, axis=0).T.reshape(max(T - 1, 0), -1)
        gains = np.zeros((T - 1, bins))
        value = rewards[:, -1]  # of each row at t + 1: that of its bin
        for t in reversed(range(T - 1)):
            place = np.searchsorted(edges[t], confidence[:, t], side="right")
            count = np.maximum(np.bincount(place, minlength=bins), 1)
            exits = np.bincount(place, rewards[:, t], bins) / count
            continues = np.bincount(place, value, bins) / count
            gains[t] = exits - continues
            value = np.maximum(exits, continues)[place]
        facts = {"fingerprint": traces.info.get("fingerprint"), "timesteps": traces.timesteps}
        return cls(edges, gains, settings={"reward": reward, "reward_options": reward_options, **facts})

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the gain of the row's bin."""
        T = len(self.gains) + 1
        at = np.minimum(timestep_of(observation, self.observation, T), max(T - 1, 1)) - 1
        confidence = observation[:, _CONFIDENCE].astype(np.float64)
        return scores_by_timestep(
            confidence, at, lambda t, own: self.gains[t][np.searchsorted(self.edges[t], own, side="right")]
        )
