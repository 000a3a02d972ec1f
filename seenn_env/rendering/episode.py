"""The episode so far, as data for rendering.

episode = Episode(logits, label, timesteps=8, class_names=names, image=image)

Letters: T timesteps, t of them done, K classes, F features of the last hidden layer.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from backbones import InputError
from backbones.argument_checks import Natural, Positive, check_fields, check_kinds
from seenn_env.observations.columns import softmax
from seenn_env.traces.traces import Traces

MOST_CLASSES = 10
"""Rows of bars; of more classes, those with the highest probabilities so far."""


@dataclass(frozen=True, eq=False)
class Episode:
    """An episode up to a timestep."""

    logits: np.ndarray
    """`[t, K]` the running logits, t from 0 to T."""
    label: Natural
    timesteps: Positive
    """T."""
    exited: bool = False
    class_names: tuple[str, ...] = ()
    """K names, or none for 0…K-1."""
    image: np.ndarray | None = None
    """`[C, H, W]` uint8."""
    activity: np.ndarray | None = None
    """`[t, F]` of the last hidden layer."""
    activity_kind: Literal["spikes", "membrane"] = "spikes"
    """"spikes" (0…1) or "membrane"."""

    probabilities: np.ndarray = field(init=False)
    """`[t, K]`."""
    predictions: np.ndarray = field(init=False)
    """`[t]`."""

    def __post_init__(self) -> None:
        check_fields(self)
        arrays = (self.logits, self.image, self.activity)
        logits, image, activity = (() if given is None else given.shape for given in arrays)
        fits = len(logits) == 2 and logits[0] <= self.timesteps and self.label < logits[1]
        fits &= (self.image is None or len(image) == 3) and (self.activity is None or activity[:1] == logits[:1])
        if not fits or self.activity_kind not in ("spikes", "membrane"):
            raise InputError(
                f"Expected logits [t, K], t ≤ T = {self.timesteps}, label {self.label} < K, an image [C, H, W] and "
                f"activity [t, F] of spikes or membrane, got {list(logits)}, {list(image)} and {list(activity)}."
            )
        object.__setattr__(self, "probabilities", softmax(self.logits.astype(np.float32)))
        object.__setattr__(self, "predictions", self.logits.argmax(-1))

    @property
    def timestep(self) -> int:
        """The timesteps done, t."""
        return len(self.logits)

    @property
    def correct(self) -> bool:
        """Whether the present prediction is correct."""
        return bool(self.timestep) and self.right(-1)

    @property
    def answer(self) -> str:
        """The name of the present prediction, "?" before the first timestep."""
        return self.name(int(self.predictions[-1])) if self.timestep else "?"

    @check_kinds
    def name(self, label: Natural) -> str:
        """The name of a class."""
        return self.class_names[label] if label < len(self.class_names) else str(label)

    @check_kinds
    def confidence(self, timestep: Positive) -> float:
        """The probability of the prediction after a timestep (from 1)."""
        if timestep > self.timestep:
            raise InputError(f"Expected a timestep up to {self.timestep}, the last one done, got {timestep}.")
        return float(self.probabilities[timestep - 1, self.predictions[timestep - 1]])

    def right(self, column: int) -> bool:
        """Whether the prediction of a column (a timestep, from 0) is correct."""
        return int(self.predictions[column]) == self.label

    def shown_classes(self) -> np.ndarray:
        """The classes with a row of bars, in their order."""
        K = self.logits.shape[1]
        if K <= MOST_CLASSES or self.timestep == 0:
            return np.arange(min(K, MOST_CLASSES))
        peaks = self.probabilities.max(0)
        peaks[self.predictions[-1]] = np.inf
        return np.sort(np.argsort(-peaks, kind="stable")[:MOST_CLASSES])

    def verdict(self) -> str:
        """The state of the episode in words."""
        if not self.exited:
            return "running" if self.timestep else "not begun"
        return f"exit at {self.timestep} of {self.timesteps}: {'right' if self.correct else 'wrong'}"


def recorded_episode(traces: Traces, row: int, timestep: int, exited: bool) -> Episode:
    """The episode of a row of traces after a timestep (0: before the first)."""
    image = None
    if traces.images is not None and traces.image_index is not None:
        place = np.flatnonzero(traces.image_index == traces.sample[row])
        image = np.asarray(traces.images[place[0]]) if len(place) else None
    kind: Literal["spikes", "membrane"] = "spikes" if traces.hidden is not None else "membrane"
    activity = traces.hidden if traces.hidden is not None else traces.membrane
    return Episode(
        logits=np.asarray(traces.logits[row, :timestep]),
        label=int(traces.labels[row]),
        timesteps=traces.timesteps,
        exited=exited,
        class_names=tuple(str(name) for name in traces.info.get("class_names", ())),
        image=image,
        activity=None if activity is None else np.asarray(activity[row, :timestep]),
        activity_kind=kind,
    )
