"""Where the answers of episodes come from: a table of traces, or the network itself, one timestep at a time.

A source serves any number of slots, of a vector environment or the one of a single environment. Rows, slots and
timesteps are arrays, or numbers for one row alone.

Letters: N rows, B slots, S of them at once, T timesteps, K classes, F columns.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import gymnasium as gym
import numpy as np

import backbones as bb
from backbones import Backbone, InputError, Samples, contract, energy
from backbones.contract import Probed, check_images
from backbones.data import check_fit
from backbones.energy import EnergyModel
from seenn_env.observations.observation import (
    AnyObservation,
    Observation,
    TraceShape,
    make_observation,
    reads_logits_alone,
)
from seenn_env.pictures import still
from seenn_env.rendering.episode import Episode
from seenn_env.rendering.modes import episode_of
from seenn_env.rewards import Energy, Reward, pay
from seenn_env.traces.energy import energy_pj
from seenn_env.traces.fields import check_dtype
from seenn_env.traces.packaged import is_packaged, packaged_file
from seenn_env.traces.traces import Traces

if TYPE_CHECKING:
    from torch import Tensor

Index = np.ndarray | int
"""`[S]`, or one."""


class Source(Protocol):
    """N rows; a slot is given one by `begin`, and asked about it afterwards."""

    labels: np.ndarray
    """`[N]`."""
    sample: np.ndarray
    """`[N]`."""
    shape: TraceShape
    observation: Observation | None
    """What `observe` gives; None gives no columns."""
    reward: Reward
    num_slots: int
    """Of a network that runs live, the rows that it runs at once; of traces, 1."""

    @property
    def traces(self) -> Traces | None:
        """Those replayed."""

    def begin(self, slots: np.ndarray, rows: Index) -> None:
        """These slots `[S]` show these rows `[S]` (or one row, all of them) from now on."""

    def predictions(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """`[S]` the answers of the rows that the slots show; of timestep 0, any."""

    def rewards(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """`[S]` float32, of exits."""

    def observe(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """`[S, F]` fresh columns of the observation."""

    def remember(self) -> None:
        """Keep the activity that `episode` shows; without, a network that runs live has none."""

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """The slot's episode after a timestep (0: before the first), for a picture."""


class Replay:
    """Rows of traces: every answer is an entry of a table of (row, timestep).

    Raises:
        InputError: for a reward that the traces cannot pay.
    """

    num_slots = 1

    def __init__(self, traces: Traces, observation: AnyObservation | None, reward: Reward) -> None:
        self.traces, self.reward, self.shape = traces, reward, traces.shape
        self.labels, self.sample = np.asarray(traces.labels), np.asarray(traces.sample)
        self.observation = None if observation is None else traces.observation(observation)
        N, self._timesteps = traces.predictions.shape
        timestep = np.broadcast_to(np.arange(1, self._timesteps + 1), traces.predictions.shape)
        self._rewards = pay(reward, traces.correct, timestep, self._timesteps, traces.energy()).reshape(-1)
        self._predictions = traces.predictions.reshape(-1)
        columns = np.empty((N, self._timesteps, 0), np.float32) if observation is None else traces.columns(observation)
        self._columns = columns.reshape(N * self._timesteps, columns.shape[-1])

    def begin(self, slots: np.ndarray, rows: Index) -> None:
        """See `Source.begin`: nothing to do."""

    def predictions(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Source.predictions`."""
        return self._predictions.take(rows * self._timesteps + timestep - 1)

    def rewards(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Source.rewards`."""
        return self._rewards.take(rows * self._timesteps + timestep - 1)

    def observe(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Source.observe`."""
        return self._columns.take(rows * self._timesteps + timestep - 1, axis=0)

    def remember(self) -> None:
        """See `Source.remember`: the traces have everything."""

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Source.episode`."""
        return episode_of(self.traces, row, timestep, exited)


class Live:
    """Samples run through the network: a timestep is computed when it is asked for.

    The slots step together, and their answers are kept until they begin anew. Where only some are asked for, the
    others run ahead, and are not stepped again until they are asked for more.

    Args:
        backbone: the frozen network.
        samples: the images.
        observation: what to make of the logits.
        reward: what exits are paid; one that needs energy has the operations counted.
        num_slots: B: logits equal those recorded at this batch size bit for bit.
        repeats: rows of each sample, as in `record`.
        dtype: logits, spikes and potentials are rounded through this dtype, as a trace of it does.

    Raises:
        InputError: for samples that do not fit the backbone, one whose operations cannot be counted for a reward that
            needs energy, or a reward that cannot pay.
    """

    traces = None

    def __init__(
        self,
        backbone: Backbone,
        samples: Samples,
        observation: AnyObservation | None,
        reward: Reward,
        *,
        num_slots: int = 1,
        repeats: int = 1,
        dtype: str = "float32",
    ) -> None:
        check_dtype(dtype)
        shape, names = getattr(backbone, "sample_shape", None), getattr(backbone, "class_names", ())
        check_fit(samples, backbone.num_classes, backbone.timesteps, shape, class_names=names)
        check_images(samples.images, backbone, what="samples")
        self.samples, self.reward, self.num_slots, self.dtype = samples, reward, num_slots, dtype
        self.shows = np.repeat(np.arange(len(samples)), repeats)
        self.labels, self.sample = samples.labels[self.shows], samples.index[self.shows]
        self.keys = contract.make_keys(self.sample, np.tile(np.arange(repeats), len(samples)))
        plain = observation is None or reads_logits_alone(observation)
        sizes = {} if plain else contract.probe_sizes(backbone, samples.images[[0] * num_slots])
        T, K = backbone.timesteps, backbone.num_classes
        self.shape = TraceShape(T, K, **sizes)
        self.observation = None if observation is None else make_observation(observation, **vars(self.shape))
        metered = getattr(reward, "needs_energy", False)
        pay(reward, np.array(True), np.array(1), T, Energy(np.ones(()), np.ones(())) if metered else None)  # or refuse
        self._model = EnergyModel() if metered else None
        self.backbone = energy.Metered(backbone) if metered and not isinstance(backbone, energy.Metered) else backbone
        if metered:
            self.backbone.step(self.backbone.start(contract.as_tensor(samples.images[:1])))  # or refuse to count it
        self.pool = bb.SlotPool(self.backbone, num_slots)
        self._every, self._rows = np.arange(num_slots), np.zeros(num_slots, np.int64)
        self._logits = np.zeros((num_slots, T + 1, K), dtype)
        self._columns = np.zeros((num_slots, T + 1, len(self.observation.names) if self.observation else 0), np.float32)
        self._energy_pj = np.zeros((num_slots, T + 1), np.float32)
        self._full_pj = np.full(len(self.labels), np.nan, np.float32)  # of each row, once it has run to T
        self._remembers = False
        self._activity: np.ndarray | None = None

    def begin(self, slots: np.ndarray, rows: Index) -> None:
        """See `Source.begin`."""
        self._rows[slots] = rows
        rows = self._rows[slots]
        self.pool.refill(slots, self.samples.images[self.shows[rows]], self.keys[rows])

    def predictions(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Source.predictions`."""
        self._reach(slots, timestep)
        answers: np.ndarray = self._logits[slots, timestep - 1].argmax(-1)
        return answers

    def rewards(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Source.rewards`; for its energy at T a row runs on at its first exit, for the account alone."""
        correct, energy = np.asarray(self.predictions(slots, rows, timestep) == self.labels[rows]), None
        if self._model is not None:
            new = np.isnan(self._full_pj[rows])
            of, its = np.asarray(slots)[new], np.asarray(rows)[new]
            self._reach(of, self.shape.timesteps)
            self._full_pj[its] = self._energy_pj[of, self.shape.timesteps - 1]
            energy = Energy(self._energy_pj[slots, timestep - 1], self._full_pj[rows])
        return pay(self.reward, correct, np.asarray(timestep), self.shape.timesteps, energy)

    def observe(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Source.observe`."""
        self._reach(slots, timestep)
        return np.array(self._columns[slots, timestep - 1])

    def remember(self) -> None:
        """See `Source.remember`."""
        self._remembers = True

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Source.episode`."""
        image = still(self.samples.images[self.shows[row]][None])[0]
        return Episode(
            logits=self._logits[slot, :timestep].copy(),
            label=int(self.labels[row]),
            timesteps=self.shape.timesteps,
            exited=exited,
            class_names=self.samples.class_names,
            image=image if image.ndim == 3 and image.dtype == np.uint8 else None,
            activity=None if self._activity is None or timestep == 0 else self._activity[slot, :timestep].copy(),
        )

    def _reach(self, slots: Index, timestep: Index) -> None:
        """Step the pool until these slots have done that many timesteps."""
        while (self.pool.timestep[slots] < timestep).any():
            logits = self._rounded(self.pool.step(), "logits")
            entry = np.minimum(self.pool.timestep - 1, self.shape.timesteps)  # the last is for those that run on
            self._logits[self._every, entry] = logits
            if self.observation is not None:
                given = self.pool.probe(self.observation.needs)
                needs = {name: self._rounded(values, name) for name, values in given.items()}
                previous = self._logits[self._every, np.maximum(entry - 1, 0)]
                now = np.minimum(self.pool.timestep, self.shape.timesteps)
                self._columns[self._every, entry] = self.observation(logits, previous, now, **needs)
            if self._model is not None:
                counts = self.pool.state.operations.counts.cpu().numpy()
                self._energy_pj[self._every, entry] = energy_pj(counts, self._model)
            if self._remembers and isinstance(self.backbone, Probed):
                self._keep_activity(self.backbone.probe(self.pool.state).get("hidden"), entry)

    def _keep_activity(self, hidden: "Tensor | None", entry: np.ndarray) -> None:
        """Of the last hidden layer `[B, F]`, where the backbone gives it."""
        if hidden is not None:
            values = self._rounded(hidden, "hidden")
            if self._activity is None:
                self._activity = np.zeros((*self._logits.shape[:2], values.shape[1]), values.dtype)
            self._activity[self._every, entry] = values

    def _rounded(self, values: "Tensor", name: str) -> np.ndarray:
        """`[B, …]` rounded as by traces of the dtype."""
        result: np.ndarray = values.float().cpu().numpy().astype(self.dtype)
        if not (finite := np.isfinite(result)).all():
            row = self._rows[finite.reshape(len(result), -1).all(1).argmin()]
            raise InputError(
                f"Expected finite {name}, got NaN or infinity for sample {self.sample[row]}: look at the backbone."
            )
        return result


def open_source(
    traces: Traces | str | Path | None,
    *,
    backbone: Backbone | str | Path | None,
    samples: Samples | str | None,
    split: str,
    observation: AnyObservation | None,
    reward: Reward,
    repeats: int,
    batch_size: int | None,
    dtype: str,
    num_envs: int | None = None,
) -> Replay | Live:
    """Traces to replay (by default the packaged digits), or a backbone to run live.

    The rows of a vector environment of `num_envs` are the batch of a network that runs live.

    Raises:
        InputError: for both, a backbone without samples, or samples or settings of a live network without one; fewer
            environments than 1, or a batch of another size.
    """
    if num_envs is not None and num_envs < 1:
        raise InputError(f"Expected num_envs ≥ 1, got {num_envs}.")
    if num_envs is not None and batch_size not in (None, num_envs):
        raise InputError(
            f"Expected batch_size = num_envs = {num_envs}, the rows that the network runs at once, got {batch_size}."
        )
    if backbone is None:
        if samples is not None:
            raise InputError("Expected a backbone with the samples, got samples alone: pass backbone=….")
        if (repeats, dtype) != (1, "float32") or batch_size not in (None, num_envs or 1):
            raise InputError(
                "Expected repeats, batch_size and dtype with a backbone alone, as traces were recorded with theirs, "
                f"got {repeats}, {batch_size} and {dtype!r}: leave them out."
            )
        return Replay(Traces.load("digits" if traces is None else traces, split=split), observation, reward)
    if samples is None and is_packaged("backbone", backbone):
        samples = str(backbone)
    if traces is not None or samples is None:
        raise InputError("Expected either traces, or a backbone and samples: pass one or the other.")
    network = bb.load(packaged_file("backbone", backbone)) if isinstance(backbone, str | Path) else backbone
    samples, num_slots = open_samples(samples, split), num_envs or batch_size or 1
    return Live(network, samples, observation, reward, num_slots=num_slots, repeats=repeats, dtype=dtype)


def columns_of(source: Source) -> tuple[tuple[str, ...], gym.spaces.Box]:
    """Names `[F]` and space of the columns that a source shows."""
    spec = source.observation
    assert spec is not None
    return spec.names, gym.spaces.Box(spec.low, spec.high, dtype=np.float32)


def open_samples(samples: Samples | str, split: str) -> Samples:
    """Samples as they are, or those of a split of the dataset of that name."""
    return bb.load_dataset(samples)[split] if isinstance(samples, str) else samples
