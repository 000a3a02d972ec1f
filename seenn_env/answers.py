"""What the network says of the rows that the slots of a vector environment show: looked up in traces.

Letters: N rows, S slots at once, T timesteps.
"""

from typing import Protocol

import numpy as np

from seenn_env.rendering import episode_of
from seenn_env.rendering_episode import Episode
from seenn_env.rewards import Reward, pay
from seenn_env.traces import Traces


class Answers(Protocol):
    """N rows; a slot is given one by `begin`, and asked about it afterwards."""

    labels: np.ndarray
    """`[N]`."""
    sample: np.ndarray
    """`[N]`."""
    timesteps: int
    """T."""
    reward: Reward

    def begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        """These slots `[S]` show these rows `[S]` from now on."""

    def predictions(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """`[S]` the answers of the rows that the slots show; of timestep 0, whatever."""

    def rewards(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """`[S]` what exits are paid."""

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """What a picture of a slot shows."""


class TraceAnswers:
    """Everything that an episode can meet, one entry a (row, timestep): steps only look up."""

    def __init__(self, traces: Traces, reward: Reward) -> None:
        N, T = len(traces), traces.timesteps
        self.traces, self.timesteps, self.reward = traces, T, reward
        self.labels, self.sample = np.asarray(traces.labels), np.asarray(traces.sample)
        timestep = np.broadcast_to(np.arange(1, T + 1), (N, T))
        self._rewards = pay(reward, traces.correct, timestep, T, traces.energy()).reshape(-1)
        self._predictions = traces.predictions.reshape(-1)

    def begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        """See `Answers.begin`: nothing to do."""

    def predictions(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.predictions`."""
        return self._predictions.take(rows * self.timesteps + timestep - 1)

    def rewards(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.rewards`."""
        return self._rewards.take(rows * self.timesteps + timestep - 1)

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Answers.episode`."""
        return episode_of(self.traces, row, timestep, exited)
