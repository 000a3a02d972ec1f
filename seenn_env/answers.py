"""What the network says of the rows that the slots of a vector environment show: looked up in traces, or run live.

Letters: N rows, B slots, S of them at once, T timesteps, F columns.
"""

from typing import Protocol

import numpy as np

from backbones import SlotPool
from seenn_env.pictures import still
from seenn_env.rendering_episode import Episode
from seenn_env.rewards import Energy, Reward, pay
from seenn_env.sources import Live, Replay
from seenn_env.streaming import rounded
from seenn_env.trace_energy import energy_pj


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

    def look(self, slots: np.ndarray | slice, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """`[S, F]` fresh columns of the observation."""

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """What a picture of a slot shows."""


class TraceAnswers:
    """Everything that an episode can meet, one entry a (row, timestep): steps only look up."""

    def __init__(self, source: Replay, reward: Reward) -> None:
        traces = source.traces
        N, T = len(traces), traces.timesteps
        self.source, self.timesteps, self.reward = source, T, reward
        self.labels, self.sample = np.asarray(traces.labels), np.asarray(traces.sample)
        timestep = np.broadcast_to(np.arange(1, T + 1), (N, T))
        self._rewards = pay(reward, traces.correct, timestep, T, traces.energy()).reshape(-1)
        self._predictions = traces.predictions.reshape(-1)
        self._columns = source.columns.reshape(N * T, -1)

    def begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        """See `Answers.begin`: nothing to do."""

    def predictions(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.predictions`."""
        return self._predictions.take(rows * self.timesteps + timestep - 1)

    def rewards(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.rewards`."""
        return self._rewards.take(rows * self.timesteps + timestep - 1)

    def look(self, slots: np.ndarray | slice, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.look`."""
        return self._columns.take(rows * self.timesteps + timestep - 1, axis=0)

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Answers.episode`."""
        return self.source.episode(row, timestep, exited)


class LiveAnswers:
    """What a pool's rows have said since they began, kept until they begin anew.

    A step of the pool moves all rows. Where only some are asked for, the others run ahead, and are not
    stepped again until they are asked for more.
    """

    def __init__(self, source: Live, num_envs: int, reward: Reward) -> None:
        shape = source.shape
        T = shape.timesteps
        metered = getattr(reward, "needs_energy", False)
        pay(reward, np.array(True), np.array(1), T, Energy(np.ones(()), np.ones(())) if metered else None)  # or refuse
        if metered:
            source.meter()
        self.source, self.spec, self.reward, self.timesteps = source, source.observation, reward, T
        self.labels, self.sample = source.labels, source.sample
        self.pool = SlotPool(source.backbone, num_envs)
        self.logits = np.zeros((num_envs, T, shape.num_classes), source.dtype)
        self.columns = np.zeros((num_envs, T, len(self.spec.names) if self.spec else 0), np.float32)
        self.energy_pj = np.zeros((num_envs, T), np.float32)
        self._full_pj = np.full(len(self.labels), np.nan, np.float32)  # of each row, once it has run to T
        self._every = np.arange(num_envs)

    def begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        """See `Answers.begin`."""
        source = self.source
        self.pool.refill(slots, source.samples.images[source.shows[rows]], source.keys[rows])

    def reach(self, slots: np.ndarray | slice, timestep: np.ndarray | int) -> None:
        """Step the pool until these slots have done that many timesteps."""
        while (self.pool.timestep[slots] < timestep).any():
            logits = rounded(self.pool.step(), self.source.dtype)
            now = np.minimum(self.pool.timestep, self.timesteps)
            within = self.pool.timestep <= self.timesteps  # the others run on for nothing
            at = self._every[within], now[within] - 1
            self.logits[at] = logits[within]
            if self.spec is not None:
                given = self.pool.probe(self.spec.needs)
                needs = {name: rounded(values, self.source.dtype, name) for name, values in given.items()}
                previous = self.logits[self._every, np.maximum(now - 2, 0)]
                self.columns[at] = self.spec(logits, previous, now, **needs)[within]
            if self.source.model is not None:
                counts = self.pool.state.operations.counts.cpu().numpy()
                self.energy_pj[at] = energy_pj(counts, self.source.model)[within]

    def predictions(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.predictions`."""
        self.reach(slots, timestep)
        return self.logits[slots, timestep - 1].argmax(-1)

    def rewards(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.rewards`; what all T timesteps cost is known once a row has run them, for the account alone."""
        correct, energy = self.predictions(slots, rows, timestep) == self.labels[rows], None
        if self.source.model is not None:
            new = np.isnan(self._full_pj[rows])
            self.reach(slots[new], self.timesteps)
            self._full_pj[rows[new]] = self.energy_pj[slots[new], -1]
            energy = Energy(self.energy_pj[slots, timestep - 1], self._full_pj[rows])
        return pay(self.reward, correct, timestep, self.timesteps, energy)

    def look(self, slots: np.ndarray | slice, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.look`."""
        self.reach(slots, timestep)
        return self.columns[self._every[slots], timestep - 1]

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Answers.episode`."""
        samples = self.source.samples
        image = still(samples.images[self.source.shows[row]][None])[0]
        return Episode(
            logits=self.logits[slot, :timestep].astype(np.float32),
            label=int(self.labels[row]),
            timesteps=self.timesteps,
            exited=exited,
            class_names=samples.class_names,
            image=image if image.ndim == 3 and image.dtype == np.uint8 else None,
        )


def open_answers(source: Replay | Live, num_envs: int, reward: Reward) -> TraceAnswers | LiveAnswers:
    """The answers of a source for so many slots."""
    return TraceAnswers(source, reward) if isinstance(source, Replay) else LiveAnswers(source, num_envs, reward)
