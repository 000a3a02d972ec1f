"""Dynamics of episodes, replayed from traces or run live: predictions, observations and rewards at each timestep.

One object serves all slots of a vector environment, or the one of a single environment. Rows, slots and timesteps are
arrays, or numbers for one row alone.

Letters: N rows, B slots, S of them at once, T timesteps, K classes, F columns.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import gymnasium as gym
import numpy as np

import backbones as bb
from backbones import Backbone, InputError, Samples, contract, energy
from backbones.argument_checks import Positive, check_kinds
from backbones.contract import Probed, check_images
from backbones.data import check_fit
from backbones.energy import EnergyModel
from backbones.packaged_files import is_packaged
from seenn_env.environments.static_observation import (
    OneShotObservation,
    StaticObservation,
    is_static,
    make_static_observation,
)
from seenn_env.event_frames import mean_over_frames
from seenn_env.observations.observation import (
    AnyObservation,
    Observation,
    TraceShape,
    make_observation,
    reads_logits_alone,
)
from seenn_env.rendering.episode import Episode, recorded_episode
from seenn_env.rewards import AnyReward, Energy, Reward, make_reward, now_and_at_first, pay
from seenn_env.traces.energy import energy_pj
from seenn_env.traces.fields import Dtype, finite_array
from seenn_env.traces.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Index = np.ndarray | int
"""`[S]`, or one."""


@dataclass(frozen=True)
class Origin:
    """The backbone behind episodes, for rows that are evaluated beside them."""

    timesteps: int
    """T."""
    num_classes: int
    """K."""
    fingerprints: tuple[str, ...]
    """Of the form that runs, and of its plain form; none where they are unknown."""

    def check_rows(self, traces: Traces) -> None:
        """Refuse traces of another T, K or backbone."""
        for name in ("timesteps", "num_classes"):
            own, other = getattr(self, name), getattr(traces, name)
            if own != other:
                raise InputError(
                    f"Expected traces of {name} = {own}, as in the environment, got {other}: take rows of its backbone."
                )
        if traces.info.get("fingerprint") not in self.fingerprints:
            traces.check_backbone(next(iter(self.fingerprints), None))


class Dynamics(Protocol):
    """N rows; `begin` assigns them to slots, which the other methods take."""

    labels: np.ndarray
    """`[N]`."""
    sample: np.ndarray
    """`[N]`."""
    shape: TraceShape
    origin: Origin
    observation: Observation | None
    """Of `observe`, where it has columns after a timestep."""
    static: StaticObservation | None
    """Of `observe`, where it is the same at every timestep."""
    reward: Reward
    num_slots: int
    """Rows that the network runs at once; 1 of traces."""

    @property
    def traces(self) -> Traces | None:
        """The replayed traces."""

    def begin(self, slots: np.ndarray, rows: Index) -> None:
        """Start episodes of these rows `[S]` (or of one row) in these slots `[S]`."""

    def predictions(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """`[S]` predictions; of timestep 0, any."""

    def rewards(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """`[S]` float32 rewards of exits."""

    def observe(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """`[S, …]` observations, fresh."""

    def keep_activity(self) -> None:
        """Keep the hidden layer's activity from now on, for `episode`."""

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """The slot's episode after a timestep (0: before the first), for rendering."""


class ReplayedDynamics:
    """Table look-ups by (row, timestep) in traces; an `InputError` for a reward that the traces cannot pay."""

    num_slots = 1
    static: StaticObservation | None = None

    def __init__(self, traces: Traces, observation: AnyObservation | None, reward: Reward) -> None:
        self.traces, self.reward, self.shape = traces, reward, traces.shape
        self.labels, self.sample = np.asarray(traces.labels), np.asarray(traces.sample)
        self.observation = None if observation is None else traces.observation(observation)
        self.origin = _origin(self.shape, traces.info.get("fingerprint"))
        N, self._timesteps = traces.predictions.shape
        self._rewards = traces.rewards(reward).reshape(-1)
        self._predictions = traces.predictions.reshape(-1)
        columns = np.empty((N, self._timesteps, 0), np.float32) if observation is None else traces.columns(observation)
        self._columns = columns.reshape(N * self._timesteps, columns.shape[-1])

    def begin(self, slots: np.ndarray, rows: Index) -> None:
        """Nothing to do."""

    def predictions(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Dynamics`."""
        return self._predictions.take(rows * self._timesteps + timestep - 1)

    def rewards(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Dynamics`."""
        return self._rewards.take(rows * self._timesteps + timestep - 1)

    def observe(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Dynamics`."""
        if self.static is not None:
            return self.static.of(rows)
        return self._columns.take(rows * self._timesteps + timestep - 1, axis=0)

    def keep_activity(self) -> None:
        """Nothing to do: the traces have it."""

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Dynamics`."""
        rewards = None
        if timestep:
            correct, energy = bool(self.traces.correct[row, timestep - 1]), self.traces.energy_pj
            energy_pj = None if energy is None else np.asarray(energy[row])
            rewards = now_and_at_first(self.reward, correct, timestep, self._timesteps, energy_pj)
        return recorded_episode(self.traces, row, timestep, exited, rewards)


class LiveDynamics:
    """Samples run through the network, lazily: a timestep is computed when it is first read.

    All slots step together, and a slot's results are kept until its next `begin`. A step for some slots runs the others
    ahead, which are stepped again only for a later timestep. Logits equal those of `record` at a batch of `num_slots`
    and the same `repeats` and `dtype`, bit for bit. Operations are counted for a reward that needs energy.

    An `InputError` for samples that do not fit the backbone, operations that cannot be counted, or a reward that cannot
    pay.
    """

    traces = None
    static: StaticObservation | None = None

    def __init__(
        self,
        backbone: Backbone,
        samples: Samples,
        observation: AnyObservation | None,
        reward: Reward,
        *,
        num_slots: int = 1,
        repeats: int = 1,
        dtype: Dtype = "float32",
    ) -> None:
        shape, names = getattr(backbone, "sample_shape", None), getattr(backbone, "class_names", ())
        check_fit(samples, backbone.num_classes, backbone.timesteps, shape, class_names=names)
        check_images(samples.images, backbone, what="samples")
        self.samples, self.reward, self.num_slots, self.dtype = samples, reward, num_slots, dtype
        self._image_index = np.repeat(np.arange(len(samples)), repeats)  # of each row, its image
        self.labels, self.sample = samples.labels[self._image_index], samples.index[self._image_index]
        self.keys = contract.make_keys(self.sample, np.tile(np.arange(repeats), len(samples)))
        plain = observation is None or reads_logits_alone(observation)
        sizes = {} if plain else contract.probe_sizes(backbone, samples.images[[0] * num_slots])
        T, K = backbone.timesteps, backbone.num_classes
        self.shape = TraceShape(T, K, **sizes)
        forms = (backbone, getattr(backbone, "plain", backbone))
        self.origin = _origin(self.shape, *(getattr(form, "fingerprint", None) for form in forms))
        self.observation = None if observation is None else make_observation(observation, **vars(self.shape))
        metered = getattr(reward, "needs_energy", False)
        outcomes = np.meshgrid((False, True), np.arange(1, T + 1))
        pay(reward, *outcomes, T, Energy(np.ones(()), np.ones(())) if metered else None)  # or refuse
        self._model = EnergyModel() if metered else None
        self.backbone = energy.Metered(backbone) if metered and not isinstance(backbone, energy.Metered) else backbone
        if metered:  # step once, to refuse a backbone that cannot be counted
            trial = bb.SlotPool(self.backbone, 1)
            trial.refill(np.zeros(1, np.int64), samples.images[:1], self.keys[:1])
            trial.step()
        self.pool = bb.SlotPool(self.backbone, num_slots)
        self._slots, self._rows = np.arange(num_slots), np.zeros(num_slots, np.int64)
        self._sample = self.sample[self._rows]
        self._logits = np.zeros((num_slots, T + 1, K), dtype)
        self._columns = np.zeros((num_slots, T + 1, len(self.observation.names) if self.observation else 0), np.float32)
        self._before: Any = None  # prepared logits of the last step
        self._energy_pj = np.zeros((num_slots, T + 1), np.float32)
        self._full_pj = np.full(len(self.labels), np.nan, np.float32)  # of each row, once it has run to T
        self._keeps_activity = False
        self._activity: dict[str, np.ndarray] = {}

    def begin(self, slots: np.ndarray, rows: Index) -> None:
        """See `Dynamics`."""
        self._rows[slots] = rows
        rows = self._rows[slots]
        self._sample[slots] = self.sample[rows]
        self.pool.refill(slots, self.samples.images[self._image_index[rows]], self.keys[rows])

    def predictions(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Dynamics`."""
        self._run_to(slots, timestep)
        return self._logits[slots, timestep - 1].argmax(-1)

    def rewards(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Dynamics`; at its first exit a row runs on to T where the reward needs the energy of all T timesteps."""
        correct, cost = np.asarray(self.predictions(slots, rows, timestep) == self.labels[rows]), None
        if self._model is not None:
            new = np.isnan(self._full_pj[rows])
            new_slots, new_rows = np.asarray(slots)[new], np.asarray(rows)[new]
            self._run_to(new_slots, self.shape.timesteps)
            self._full_pj[new_rows] = self._energy_pj[new_slots, self.shape.timesteps - 1]
            cost = Energy(self._energy_pj[slots, timestep - 1], self._full_pj[rows])
        return pay(self.reward, correct, np.asarray(timestep), self.shape.timesteps, cost)

    def observe(self, slots: Index, rows: Index, timestep: Index) -> np.ndarray:
        """See `Dynamics`."""
        if self.static is not None:
            return self.static.of(rows)
        self._run_to(slots, timestep)
        return np.array(self._columns[slots, timestep - 1])

    def keep_activity(self) -> None:
        """See `Dynamics`."""
        self._keeps_activity = True

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Dynamics`."""
        image = mean_over_frames(self.samples.images[self._image_index[row]][None])[0]
        rewards = None
        if timestep:
            energy_pj = None
            if self._model is not None:
                self._run_to(slot, self.shape.timesteps)
                energy_pj = self._energy_pj[slot, : self.shape.timesteps]
            correct = bool(self.predictions(slot, row, timestep) == self.labels[row])
            rewards = now_and_at_first(self.reward, correct, timestep, self.shape.timesteps, energy_pj)
        activity = {name: values[slot, :timestep].copy() for name, values in self._activity.items()}
        return Episode(
            logits=self._logits[slot, :timestep].copy(),
            label=int(self.labels[row]),
            timesteps=self.shape.timesteps,
            exited=exited,
            class_names=self.samples.class_names,
            image=image if image.ndim == 3 and image.dtype == np.uint8 else None,
            spikes=activity.get("hidden"),
            potentials=activity.get("membrane"),
            rewards=rewards,
        )

    def _run_to(self, slots: Index, timestep: Index) -> None:
        """Step the pool until these slots have done that many timesteps."""
        T = self.shape.timesteps
        while np.count_nonzero(self.pool.timestep[slots] < timestep):
            logits = finite_array(self.pool.step(), self.dtype, "logits", self._sample)
            entry = np.minimum(self.pool.timestep - 1, T)  # the last is for slots that run past T
            self._logits[self._slots, entry] = logits
            if self.observation is not None:
                probed = self.pool.probe(self.observation.probes)
                probes = {name: finite_array(values, self.dtype, name, self._sample) for name, values in probed.items()}
                now, reached = self.observation.prepared(logits), np.minimum(self.pool.timestep, T)
                before = now if self._before is None else self._before
                self._columns[self._slots, entry] = self.observation.of_prepared(
                    now, before, reached, self.num_slots, probes
                )
                self._before = now
            if self._model is not None:
                counts = self.pool.state.operations.counts.cpu().numpy()
                self._energy_pj[self._slots, entry] = energy_pj(counts, self._model)
            if self._keeps_activity and isinstance(self.backbone, Probed):
                self._store_activity(self.backbone.probe(self.pool.state), entry)

    def _store_activity(self, probed: "Mapping[str, Tensor]", entry: np.ndarray) -> None:
        """The last hidden layer's spikes and potentials `[B, F]`, as far as the backbone gives them."""
        for name in {"hidden", "membrane"} & set(probed):
            values = finite_array(probed[name], self.dtype, name, self._sample)
            if name not in self._activity:
                self._activity[name] = np.zeros((*self._logits.shape[:2], values.shape[1]), values.dtype)
            self._activity[name][self._slots, entry] = values


def _origin(shape: TraceShape, *fingerprints: str | None) -> Origin:
    return Origin(shape.timesteps, shape.num_classes, tuple(each for each in fingerprints if each))


class Settings(TypedDict, total=False):
    """Arguments of every environment beside the traces; see `EarlyExitEnv`."""

    backbone: Backbone | str | Path | None
    samples: Samples | str | None
    split: str
    observation: OneShotObservation | None
    reward: AnyReward
    reward_options: dict[str, Any] | None
    repeats: Positive
    batch_size: Positive | None
    dtype: Dtype


@check_kinds
def make_dynamics(
    traces: Traces | str | Path | None,
    *,
    one_shot: bool,
    num_envs: int | None = None,
    backbone: Backbone | str | Path | None = None,
    samples: Samples | str | None = None,
    split: str = "policy",
    observation: OneShotObservation | None = None,
    reward: AnyReward = "seenn",
    reward_options: dict[str, Any] | None = None,
    repeats: Positive = 1,
    batch_size: Positive | None = None,
    dtype: Dtype = "float32",
) -> Dynamics:
    """Traces to replay (by default the packaged digits), or a backbone to run live.

    One-shot environments also take static observations, whose images may be `samples` beside traces. The `num_envs`
    rows of a vector environment are the batch of a live network. An `InputError` for both, a backbone without samples,
    or samples or settings of a live network without one; or a batch of another size than `num_envs`.
    """
    if observation is None:
        observation = "image" if one_shot else "features"
    static = one_shot and is_static(observation)
    columns: Any = None if static else observation
    checked = make_reward(reward, reward_options)
    dynamics: Dynamics
    if num_envs is not None and batch_size not in (None, num_envs):
        raise InputError(
            f"Expected batch_size = num_envs = {num_envs}, the rows that the network runs at once, got {batch_size}."
        )
    if backbone is None:
        if samples is not None and not one_shot:
            raise InputError("Expected a backbone with the samples, got samples alone: pass backbone=….")
        if (repeats, dtype) != (1, "float32") or batch_size not in (None, num_envs or 1):
            raise InputError(
                "Expected repeats, batch_size and dtype with a backbone alone, as traces were recorded with theirs, "
                f"got {repeats}, {batch_size} and {dtype!r}: omit them."
            )
        replayed = Traces.load("digits" if traces is None else traces, split=split)
        dynamics = ReplayedDynamics(replayed, columns, checked)
        images, index, of_frames = replayed.images, replayed.image_index, "frames" in replayed.info
    else:
        if samples is None and is_packaged(backbone):
            samples = str(backbone)
        if traces is not None:
            raise InputError("Expected either traces, or a backbone and samples, got traces and a backbone: omit one.")
        if samples is None:
            raise InputError(
                "Expected samples for the backbone to run on, got none: pass samples=…, Samples or a dataset's name."
            )
        network = bb.load(backbone) if isinstance(backbone, str | Path) else backbone
        samples, num_slots = _load_samples(samples, split), num_envs or batch_size or 1
        dynamics = LiveDynamics(network, samples, columns, checked, num_slots=num_slots, repeats=repeats, dtype=dtype)
    if static:
        if samples is not None:
            samples = _load_samples(samples, split)
            images, index, of_frames = samples.images, samples.index, False
        dynamics.static = make_static_observation(observation, dynamics.sample, images, index, of_frames=of_frames)
    return dynamics


def observation_space(dynamics: Dynamics) -> tuple[tuple[str, ...], gym.spaces.Box]:
    """Names `[F]` of the columns, and space, of `observe`."""
    if dynamics.static is not None:
        return dynamics.static.names, dynamics.static.space
    columns = dynamics.observation
    assert columns is not None
    return columns.names, gym.spaces.Box(columns.low, columns.high, dtype=np.float32)


def _load_samples(samples: Samples | str, split: str) -> Samples:
    """Samples as they are, or those of a split of the dataset of that name."""
    return bb.load_dataset(samples)[split] if isinstance(samples, str) else samples
