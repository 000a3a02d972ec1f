"""What a picture shows: an episode as far as it has gone.

episode = Episode(logits, label, timesteps=8, class_names=names, image=image)

Letters: T timesteps, t of them done, K classes, F features of the last hidden layer.
"""

from dataclasses import dataclass, field

import numpy as np

from seenn_env.columns import softmax

MOST_CLASSES = 10
"""Rows of bars; of more classes, those with the highest probability so far are shown."""


@dataclass(frozen=True, eq=False)
class Episode:
    """An episode as far as it has gone."""

    logits: np.ndarray
    """`[t, K]` the running logits, t from 0 to T."""
    label: int
    timesteps: int
    """T."""
    exited: bool = False
    class_names: tuple[str, ...] = ()
    """K names; none stand for 0…K-1."""
    image: np.ndarray | None = None
    """`[C, H, W]` uint8."""
    activity: np.ndarray | None = None
    """`[t, F]` of the last hidden layer."""
    activity_kind: str = "spikes"
    """"spikes" (0…1) or "membrane"."""

    probabilities: np.ndarray = field(init=False)
    """`[t, K]`."""
    predictions: np.ndarray = field(init=False)
    """`[t]`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", softmax(self.logits.astype(np.float32)))
        object.__setattr__(self, "predictions", self.logits.argmax(-1))

    @property
    def timestep(self) -> int:
        """The timesteps done, t."""
        return len(self.logits)

    @property
    def num_classes(self) -> int:
        """K."""
        return self.logits.shape[1]

    @property
    def correct(self) -> bool:
        """Whether the present answer is right."""
        return bool(self.timestep) and int(self.predictions[-1]) == self.label

    @property
    def answer(self) -> str:
        """The name of the present prediction, "?" before the first timestep."""
        return self.name(int(self.predictions[-1])) if self.timestep else "?"

    def name(self, label: int) -> str:
        """Of a class."""
        return self.class_names[label] if label < len(self.class_names) else str(label)

    def confidence(self, timestep: int) -> float:
        """The probability of the answer after a timestep (from 1)."""
        return float(self.probabilities[timestep - 1, self.predictions[timestep - 1]])

    def shown_classes(self) -> np.ndarray:
        """The classes that have rows of bars, in their order."""
        if self.num_classes <= MOST_CLASSES or self.timestep == 0:
            return np.arange(min(self.num_classes, MOST_CLASSES))
        peaks = self.probabilities.max(0)
        peaks[self.predictions[-1]] = np.inf
        return np.sort(np.argsort(-peaks, kind="stable")[:MOST_CLASSES])

    def verdict(self) -> str:
        """How the episode stands, in words."""
        if not self.exited:
            return "still looking" if self.timestep else "not begun"
        return f"exit at {self.timestep} of {self.timesteps}: {'right' if self.correct else 'wrong'}"
