"""Where an episode's answers come from: a table of traces, or the network itself, one timestep at a time.

Letters: N rows, T timesteps, K classes, F columns.
"""

from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch

from backbones import (
    Backbone,
    EnergyModel,
    InputError,
    Metered,
    MeteredState,
    Probed,
    Samples,
    check_fit,
    check_images,
    load,
    load_dataset,
    make_keys,
    probe,
    probe_sizes,
)
from seenn_env.observations import AnyObservation, Observation, TraceShape, make_observation, reads_logits_alone
from seenn_env.packaged import is_packaged, packaged_file
from seenn_env.pictures import still
from seenn_env.rendering import episode_of
from seenn_env.rendering_episode import Episode, History
from seenn_env.rewards import Energy
from seenn_env.trace_energy import energy_pj
from seenn_env.trace_fields import check_dtype
from seenn_env.traces import Traces


class Source(Protocol):
    """N rows that can be watched, one after the other."""

    labels: np.ndarray
    sample: np.ndarray
    shape: TraceShape
    observation: Observation | None
    """What `watch` shows; None shows no columns."""

    def watch(self, row: int, timestep: int) -> tuple[np.ndarray, int]:
        """The observation `[F]` and the prediction of a row after a timestep; timesteps come in order."""

    def energy(self, row: int, timestep: int) -> Energy | None:
        """The energy that a row spends by a timestep; None if unknown."""

    def meter(self) -> None:
        """Count what `energy` needs; without, a network that runs live has no energy."""

    def remember(self) -> None:
        """Keep what `episode` needs; without, nothing is kept."""

    def episode(self, row: int, timestep: int, exited: bool) -> Episode:
        """What a picture of the row after that timestep shows: the one watched last, or 0."""


class Replay:
    """Rows of traces: a look-up."""

    def __init__(self, traces: Traces, observation: AnyObservation | None) -> None:
        self.traces, self.labels, self.sample = traces, traces.labels, traces.sample
        self.shape = traces.shape
        self.observation = None if observation is None else traces.observation(observation)
        N, T = traces.predictions.shape
        self.columns = np.empty((N, T, 0), np.float32) if observation is None else traces.columns(observation)
        self.predictions = traces.predictions

    def watch(self, row: int, timestep: int) -> tuple[np.ndarray, int]:
        """See `Source.watch`."""
        return self.columns[row, timestep - 1].copy(), int(self.predictions[row, timestep - 1])

    def energy(self, row: int, timestep: int) -> Energy | None:
        """See `Source.energy`."""
        pj = self.traces.energy_pj
        return None if pj is None else Energy(pj[row, timestep - 1], pj[row, -1])

    def meter(self) -> None:
        """See `Source.meter`: the traces have it, or not."""

    def remember(self) -> None:
        """See `Source.remember`: the traces have everything."""

    def episode(self, row: int, timestep: int, exited: bool) -> Episode:
        """See `Source.episode`."""
        return episode_of(self.traces, row, timestep, exited)


class Live:
    """Samples run through the network: each timestep is computed when it is asked for, and no other is.

    Args:
        backbone: the frozen network.
        samples: the images.
        observation: what to make of the logits.
        repeats: rows of each sample, as in `record`.
        batch_size: the network runs this many equal rows: logits then equal those recorded at this
            batch size bit for bit.
        dtype: logits, spikes and potentials are rounded through this dtype, as a trace of it does.
    """

    def __init__(
        self,
        backbone: Backbone,
        samples: Samples,
        observation: AnyObservation | None,
        *,
        repeats: int = 1,
        batch_size: int = 1,
        dtype: str = "float32",
    ) -> None:
        check_dtype(dtype)
        shape, names = getattr(backbone, "sample_shape", None), getattr(backbone, "class_names", ())
        check_fit(samples, backbone.num_classes, backbone.timesteps, shape, class_names=names)
        check_images(samples.images, backbone, what="samples")
        self.backbone, self.samples = backbone, samples
        self.batch_size, self.dtype = batch_size, dtype
        self.shows = np.repeat(np.arange(len(samples)), repeats)
        self.labels, self.sample = samples.labels[self.shows], samples.index[self.shows]
        self.keys = make_keys(self.sample, np.tile(np.arange(repeats), len(samples)))
        plain = observation is None or reads_logits_alone(observation)
        sizes = {} if plain else probe_sizes(backbone, samples.images[[0] * batch_size])
        self.shape = TraceShape(backbone.timesteps, backbone.num_classes, **sizes)
        self.observation = None if observation is None else make_observation(observation, **vars(self.shape))
        self._row, self._timestep = -1, 0
        self.model: EnergyModel | None = None
        """What an operation costs, once `meter` was called."""
        self._full: dict[int, np.ndarray] = {}
        self._history: History | None = None
        self._logits = self._previous = np.zeros((1, backbone.num_classes), dtype)

    def watch(self, row: int, timestep: int) -> tuple[np.ndarray, int]:
        """See `Source.watch`."""
        if timestep == 1:
            image = torch.from_numpy(self.samples.images[self.shows[row]])
            images = image.expand(self.batch_size, *image.shape)
            keys = torch.full((self.batch_size,), int(self.keys[row]))
            self._state = self.backbone.start(images, keys)
        elif (row, timestep) != (self._row, self._timestep + 1):
            raise RuntimeError(f"Timestep {timestep} of row {row} was asked for out of order.")
        logits, self._state = self.backbone.step(self._state)
        self._row, self._timestep, self._previous = row, timestep, self._logits
        self._logits = self._rounded(logits, "logits")
        if self._history is not None:
            self._history.add(timestep, self._logits[0], self._spikes())
        prediction = int(self._logits[0].argmax())
        if self.observation is None:
            return np.empty(0, np.float32), prediction
        given = probe(self.backbone, self._state, self.observation.needs)
        needs = {name: self._rounded(values, name) for name, values in given.items()}
        return self.observation(self._logits, self._previous, np.array([timestep]), **needs)[0], prediction

    def meter(self, model: EnergyModel | None = None) -> None:
        """See `Source.meter`; `model` says what an operation costs.

        Raises:
            InputError: for a backbone whose operations cannot be counted.
        """
        if not isinstance(self.backbone, Metered):
            self.backbone = Metered(self.backbone)
        self.model, self._full = model or EnergyModel(), {}

    def energy(self, row: int, timestep: int) -> Energy | None:
        """See `Source.energy`: of the row and timestep watched last.

        What all T timesteps cost is known once they have run: the rest of them runs for the account alone,
        once for each row.
        """
        if self.model is None:
            return None
        if (row, timestep) != (self._row, self._timestep):
            self.watch(row, timestep)
        if row not in self._full:
            state = self._state
            for _ in range(timestep, self.shape.timesteps):
                _, state = self.backbone.step(state)
            self._full[row] = self._energy_of(state, self.model)
        return Energy(self._energy_of(self._state, self.model), self._full[row])

    @staticmethod
    def _energy_of(state: MeteredState, model: EnergyModel) -> np.ndarray:
        """Of the first row so far, as a trace has it."""
        return energy_pj(state.operations.counts[0].cpu().numpy(), model)

    def remember(self) -> None:
        """See `Source.remember`."""
        self._history = History(self.shape.num_classes)

    def episode(self, row: int, timestep: int, exited: bool) -> Episode:
        """See `Source.episode`."""
        assert self._history is not None, "remember() comes first"
        image = still(self.samples.images[self.shows[row]][None])[0]
        return Episode(
            logits=self._history.logits(timestep),
            label=int(self.labels[row]),
            timesteps=self.shape.timesteps,
            exited=exited,
            class_names=self.samples.class_names,
            image=image if image.ndim == 3 and image.dtype == np.uint8 else None,
            activity=self._history.spikes(timestep),
        )

    def _spikes(self) -> np.ndarray | None:
        """`[F]` of the last hidden layer, where the backbone gives them."""
        hidden = self.backbone.probe(self._state).get("hidden") if isinstance(self.backbone, Probed) else None
        return None if hidden is None else self._rounded(hidden, "hidden")[0]

    def _rounded(self, values: torch.Tensor, name: str) -> np.ndarray:
        rounded = values[:1].float().cpu().numpy().astype(self.dtype)
        if not np.isfinite(rounded).all():
            raise InputError(
                f"Expected finite {name}, got NaN or infinity for sample {self.sample[self._row]}: "
                "look at the backbone."
            )
        return rounded


def open_source(
    traces: Traces | str | Path | None,
    *,
    backbone: Backbone | str | Path | None,
    samples: Samples | str | None,
    split: str,
    observation: AnyObservation | None,
    repeats: int,
    batch_size: int,
    dtype: str,
) -> Replay | Live:
    """Traces to replay (by default the packaged digits), or a backbone to run live.

    Raises:
        InputError: for both, a backbone without samples, or samples or settings of a live network without one.
    """
    if backbone is None:
        if samples is not None:
            raise InputError("Expected a backbone with the samples, got samples alone: pass backbone=….")
        if (repeats, batch_size, dtype) != (1, 1, "float32"):
            raise InputError(
                "Expected repeats, batch_size and dtype with a backbone alone, as traces were recorded with theirs, "
                f"got {repeats}, {batch_size} and {dtype!r}: leave them out."
            )
        return Replay(Traces.load("digits" if traces is None else traces, split=split), observation)
    if samples is None and is_packaged("backbone", backbone):
        samples = str(backbone)
    if traces is not None or samples is None:
        raise InputError("Expected either traces, or a backbone and samples: pass one or the other.")
    network = load(packaged_file("backbone", backbone)) if isinstance(backbone, str | Path) else backbone
    samples = open_samples(samples, split)
    return Live(network, samples, observation, repeats=repeats, batch_size=batch_size, dtype=dtype)


def open_vector_source(
    num_envs: int, traces: Traces | str | Path | None, *, batch_size: int | None, **settings: Any
) -> Replay | Live:
    """`open_source` for a vector environment, whose rows are the batch of a network that runs live.

    Raises:
        InputError: as `open_source`, and for a batch of another size.
    """
    if batch_size not in (None, num_envs):
        raise InputError(
            f"Expected batch_size = num_envs = {num_envs}, the rows that the network runs at once, got {batch_size}."
        )
    return open_source(traces, batch_size=1, **settings)


def columns_of(source: Source) -> tuple[tuple[str, ...], gym.spaces.Box]:
    """Names `[F]` and space of the columns that a source shows."""
    spec = source.observation
    assert spec is not None
    return spec.names, gym.spaces.Box(spec.low, spec.high, dtype=np.float32)


def open_samples(samples: Samples | str, split: str) -> Samples:
    """Samples as they are, or those of a split of the dataset of that name."""
    return load_dataset(samples)[split] if isinstance(samples, str) else samples
