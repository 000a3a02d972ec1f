"""The episode so far, as data for rendering.

episode = Episode(logits, label, timesteps=8, class_names=names, image=image)

Letters: T timesteps, t of them done, K classes, F features of the last hidden layer.
"""

from dataclasses import dataclass, field

import numpy as np

from backbones import InputError
from backbones.argument_checks import Natural, Positive, check_fields, check_kinds
from backbones.errors import counted
from seenn_env.observations.columns import softmax
from seenn_env.traces.fields import as_array
from seenn_env.traces.traces import Traces

MOST_CLASSES = 10
"""Rows of bars; of more classes, those with the highest probabilities so far."""


@dataclass(frozen=True, eq=False)
class Score:
    """The number that a policy compares with its threshold."""

    name: str
    values: np.ndarray
    """`[s]` after timesteps 1…s; the policy does not decide at the others."""
    threshold: float | None = None
    """None of a number that nothing is compared with."""
    below: bool = False
    """Whether the policy exits at or below the threshold, instead of at or above."""

    def __post_init__(self) -> None:
        check_fields(self)
        if np.ndim(self.values) != 1 or np.isnan(np.append(self.values, self.threshold or 0.0)).any():
            raise InputError(
                f"Expected scores [s] and a threshold without NaN, got {self.values} and {self.threshold}."
            )

    def exits(self, value: float) -> bool:
        """Whether the policy exits at this score."""
        return self.threshold is not None and (value <= self.threshold if self.below else value >= self.threshold)

    def rule(self) -> str:
        """The condition of an exit in words."""
        return (
            ""
            if self.threshold is None
            else f"exit {'≤' if self.below else '≥'} {self.threshold:.3g}".replace("-", "−")
        )

    def comparison(self) -> str:
        """The last value beside the threshold, in as many decimals as tell them apart."""
        if not len(self.values):
            return ""
        value = float(self.values[-1])
        if self.threshold is None:
            return f"{value:.2f}".replace("-", "−")
        sign = ("<≥", ">≤")[self.below][self.exits(value)]
        decimals = next((d for d in range(2, 7) if f"{value:.{d}f}" != f"{self.threshold:.{d}f}"), 2)
        return f"{value:.{decimals}f} {sign} {self.threshold:.{decimals}f}".replace("-", "−")

    def heights(self) -> np.ndarray:
        """`[s + 1]` the values, and the threshold (or 0), as shares of a scale that has all of them, 0 and 1."""
        all_values = np.append(self.values, self.threshold or 0.0)
        finite = all_values[np.isfinite(all_values)]
        low, high = min(0.0, *finite), max(1.0, *finite)
        return (all_values.clip(low, high) - low) / (high - low)


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
    spikes: np.ndarray | None = None
    """`[t, F]` of the last hidden layer, 0…1."""
    potentials: np.ndarray | None = None
    """`[t, F]` of the same layer's membranes."""
    score: Score | None = None
    """Of the policy that decides; without one, the margin is shown."""
    rewards: tuple[float, float] | None = None
    """Of an exit at timestep t, paid where `exited`, and of one at timestep 1 with the same answer."""

    probabilities: np.ndarray = field(init=False)
    """`[t, K]`."""
    predictions: np.ndarray = field(init=False)
    """`[t]`."""

    def __post_init__(self) -> None:
        for name in ("logits", "image", "spikes", "potentials"):
            object.__setattr__(self, name, as_array(getattr(self, name)))
        check_fields(self)
        values = None if self.score is None else self.score.values
        arrays = (self.logits, self.image, self.spikes, self.potentials, values)
        logits, image, *strips, scores = (None if given is None else np.shape(given) for given in arrays)
        assert logits is not None
        fits = len(logits) == 2 and logits[0] <= self.timesteps and self.label < logits[1]
        fits &= image is None or len(image) == 3
        fits &= all(strip is None or (len(strip) == 2 and strip[0] == logits[0]) for strip in strips)
        if not fits or (scores is not None and scores[0] > logits[0]):
            raise InputError(
                f"Expected logits [t, K], t ≤ T = {self.timesteps}, label {self.label} < K, an image [C, H, W], spikes "
                f"and potentials [t, F] and scores of t timesteps at most, got {logits}, {image}, "
                f"{strips[0]}, {strips[1]} and {scores}."
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

    def shown_score(self) -> Score:
        """The policy's score, or the margin."""
        if self.score is not None:
            return self.score
        ranked = np.sort(self.probabilities, -1)
        return Score("margin", ranked[:, -1] - (ranked[:, -2] if ranked.shape[1] > 1 else 0))

    def reason(self) -> str:
        """The score beside its threshold, in words."""
        score = self.shown_score()
        undecided = score.threshold is not None and len(score.values) < self.timestep == self.timesteps
        return "last timestep" if undecided else score.comparison()

    def reward_so_far(self) -> tuple[str, str]:
        """The reward paid and the part of it that time costs, in words."""
        if self.rewards is None:
            return "", ""
        now, at_first = self.rewards
        return _signed(now if self.exited else 0.0), _signed(now - at_first)

    @check_kinds
    def right(self, column: int) -> bool:
        """Whether the prediction of a column (a timestep, from 0) is correct."""
        if not -self.timestep <= column < self.timestep:
            raise InputError(f"Expected a column of the {counted(self.timestep, 'timestep')} done, got {column}.")
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


def recorded_episode(
    traces: Traces, row: int, timestep: int, exited: bool, rewards: tuple[float, float] | None = None
) -> Episode:
    """The episode of a row of traces after a timestep (0: before the first)."""
    image = None
    if traces.images is not None and traces.image_index is not None:
        place = np.flatnonzero(traces.image_index == traces.sample[row])
        image = np.asarray(traces.images[place[0]]) if len(place) else None
    spikes, potentials = (
        None if activity is None else np.asarray(activity[row, :timestep])
        for activity in (traces.hidden, traces.membrane)
    )
    return Episode(
        logits=np.asarray(traces.logits[row, :timestep]),
        label=int(traces.labels[row]),
        timesteps=traces.timesteps,
        exited=exited,
        class_names=tuple(str(name) for name in traces.info.get("class_names") or ()),
        image=image,
        spikes=spikes,
        potentials=potentials,
        rewards=rewards,
    )


def _signed(number: float) -> str:
    """In three digits, or fewer where that is longer than six characters."""
    if not number:
        return "0"
    forms = (f"{number:+.{digits}g}" for digits in (3, 2, 1))
    return next((form for form in forms if len(form) <= 6), f"{number:+.0e}").replace("-", "−")
