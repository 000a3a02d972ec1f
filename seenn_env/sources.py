"""Where an episode's answers come from: a table of traces, or the network itself, one timestep at a time."""

from typing import Protocol

import numpy as np
import torch

from backbones import Backbone, InputError, Samples, make_keys
from seenn_env.observations import Observation
from seenn_env.traces import Traces


class Source(Protocol):
    """N rows that can be watched, one after the other."""

    labels: np.ndarray
    sample: np.ndarray

    def watch(self, row: int, timestep: int) -> tuple[np.ndarray, int]:
        """The observation `[F]` and the prediction of a row after a timestep; timesteps come in order."""


class Replay:
    """Rows of traces: a look-up."""

    def __init__(self, traces: Traces, observation: Observation) -> None:
        self.labels, self.sample = traces.labels, traces.sample
        self.columns = traces.columns(observation)
        self.predictions = traces.predictions

    def watch(self, row: int, timestep: int) -> tuple[np.ndarray, int]:
        """See `Source.watch`."""
        return self.columns[row, timestep - 1].copy(), int(self.predictions[row, timestep - 1])


class Live:
    """Samples run through the network: each timestep is computed when it is asked for, and no other is.

    Args:
        backbone: the frozen network.
        samples: the images.
        observation: what to make of the logits.
        repeats: rows of each sample, as in `record`.
        batch_size: the network runs this many equal rows: logits then equal those recorded at this
            batch size bit for bit.
        dtype: logits are rounded through this dtype, as a trace of it does.
    """

    def __init__(
        self,
        backbone: Backbone,
        samples: Samples,
        observation: Observation,
        *,
        repeats: int = 1,
        batch_size: int = 1,
        dtype: str = "float32",
    ) -> None:
        self.backbone, self.samples, self.observation = backbone, samples, observation
        self.batch_size, self.dtype = batch_size, dtype
        self.shows = np.repeat(np.arange(len(samples)), repeats)
        self.labels, self.sample = samples.labels[self.shows], samples.index[self.shows]
        self.keys = make_keys(self.sample, np.tile(np.arange(repeats), len(samples)))
        self._row, self._timestep = -1, 0
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
        self._logits = logits[:1].float().cpu().numpy().astype(self.dtype)
        if not np.isfinite(self._logits).all():
            raise InputError(
                f"Expected finite logits, got NaN or infinity for sample {self.sample[row]}: look at the backbone."
            )
        observed = self.observation(self._logits, self._previous, np.array([timestep]))
        return observed[0], int(self._logits[0].argmax())
