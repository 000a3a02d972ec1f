"""The protocol of policies that can be calibrated: a score, and the level from which on the policy exits.

Letters: B rows, N rows of traces, T timesteps, F columns of an observation.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import fields, replace
from inspect import get_annotations
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from agents.rules.draws import name_episodes, next_draws, uniform
from agents.rules.predicting import checks_arguments
from backbones import InputError
from backbones.argument_checks import check_fields, check_kinds
from backbones.errors import shown, users_own
from seenn_env import Traces, make_observation
from seenn_env.observations import OBSERVATIONS, AnyObservation, Observation, parts_of

COLUMNS = {name: column for column, name in enumerate(make_observation("rich", timesteps=1, num_classes=2).names)}
"""Of the observation "rich", which begins with "features"."""


class ScoredPolicy:
    """Exits as soon as `score(observation) ≥ level`: the base of every policy with one number to calibrate.

    A subclass is a frozen dataclass that names its `observation` and has a field `threshold`, and either `column` or
    a `score` of its own; one without is an `InputError`. The defaults of everything else suit a score of the present
    observation alone:

        @dataclass(frozen=True)
        class Confidence(ScoredPolicy):
            threshold: float = 0.9
            observation = "features"
            column = "confidence"
            largest = 1.0

    `agents.policies` lists the subclasses of this package; a line there makes one known to `save`, `load` and the
    command line.
    """

    observation: AnyObservation
    """The observation that the policy reads."""
    threshold: float
    column: str
    """Of an observation that begins with "features" or "rich": `sign` times it is the score."""
    sign: int = 1
    """+1 exits at or above the threshold, -1 at or below: the level is `sign` times the threshold."""
    largest: float | None = None
    """The threshold is from 0 to this; None is any number."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """JSON-able facts of the training."""
    seed: int = 0
    """Of the draws of `predict(…, deterministic=False)`."""
    decides: Literal["step", "start"] = "step"
    """See `seenn_env.decides`."""
    macs: int = 0
    """Multiplications and additions of one decision."""
    probabilities: bool = False
    """Whether scores are probabilities of exiting, from which `predict(…, deterministic=False)` draws."""
    fitted: bool = True
    """Whether the policy has a score yet; `calibrate` fits a policy without one."""

    def __init_subclass__(cls) -> None:
        bases = cls.__mro__[: cls.__mro__.index(ScoredPolicy)]
        if cls.level is ScoredPolicy.level and not any("threshold" in (*vars(b), *get_annotations(b)) for b in bases):
            raise InputError(f"Expected a field threshold of {cls.__name__}, got none: add threshold: float.")
        if cls.score is not ScoredPolicy.score or cls.score_step is not ScoredPolicy.score_step:
            return
        column, reads = getattr(cls, "column", None), getattr(cls, "observation", None)
        count = {"features": COLUMNS["elapsed"] + 1, "rich": len(COLUMNS)}.get(str(reads).split("+")[0], 0)
        if column not in list(COLUMNS)[:count]:
            raise InputError(
                f"Expected a score of {cls.__name__}, or a column of an observation that begins with 'features' or "
                f"'rich' ({', '.join(COLUMNS)}), got the column {column!r} of {reads!r}."
            )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.decides != "start":
            parts_of(self.observation)  # refuses unknown names
        if "settings" in vars(self):  # copies at other levels share none
            object.__setattr__(self, "settings", deepcopy(self.settings))
        if self.largest is not None and not 0 <= self.threshold <= self.largest:
            raise InputError(f"Expected a threshold in [0, {self.largest:g}], got {self.threshold}.")
        T, fingerprint = self.settings.get("timesteps"), self.settings.get("fingerprint")
        own = vars(self).get("timesteps", T)
        if not isinstance(T, int | None) or T not in (None, own) or not isinstance(fingerprint, str | None):
            raise InputError(
                f"Expected settings with the timesteps of the policy ({own}) and a fingerprint as text, got {T!r} and "
                f"{fingerprint!r}: train it anew."
            )

    @property
    def made_for(self) -> int | None:
        """T of the traces that the policy was fitted to: a field `timesteps`, or that of `settings`; None for any."""
        return vars(self).get("timesteps", self.settings.get("timesteps"))

    @property
    def trained_for(self) -> str | None:
        """Fingerprint of the backbone of its training; None for any. See `seenn_env.evaluation.check_trained_for`."""
        return self.settings.get("fingerprint")

    def fit(self, traces: Traces) -> Self:
        """The policy fitted to traces."""
        return self

    def variants(self, traces: Traces) -> Iterable[Self]:
        """The settings among which `calibrate` chooses, besides the level."""
        return (self,)

    @property
    def level(self) -> float:
        """The score from which on the policy exits."""
        return self.sign * self.threshold

    @check_kinds
    def at_level(self, level: float) -> Self:
        """The same policy with another level; one out of range becomes the nearest in range."""
        threshold = self.sign * float(level)
        if self.largest is not None:
            threshold = float(np.clip(threshold, 0, self.largest))
        return replace(self, threshold=threshold)  # type: ignore[type-var]

    def score(self, observation: np.ndarray) -> np.ndarray:
        """`[B]` float64, higher the more the policy favours exiting, of observations `[B, F]` of a first timestep."""
        return self.sign * observation[:, COLUMNS[self.column]].astype(np.float64)

    def score_step(
        self, observation: np.ndarray, state: Any = None, episode_start: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """`[B]` scores at one step, and the next state (None, unless scores depend on the steps before)."""
        return self.score(observation), None

    def trace_scores(self, traces: Traces) -> np.ndarray:
        """`[N, T-1]` scores at every timestep that has a decision."""
        columns = traces.columns(self.observation)
        N, T, _ = columns.shape
        scores, state, starts = np.empty((N, T - 1)), None, np.ones(N, bool)
        with users_own(f"score(observation) of {type(self).__name__} to return [{N}] numbers"):
            for t in range(T - 1):
                scores[:, t], state = checked_scores(self, columns[:, t].copy(), state, starts)
                starts = np.zeros(N, bool)
        return scores

    @checks_arguments
    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`: 1 where the score is at least the level, or drawn where scores are probabilities."""
        if deterministic or not self.probabilities:
            scores, state = checked_scores(self, observation, state, episode_start)
            return (scores >= self.level).astype(np.int64), state
        draws = next_draws(state, episode_start, len(observation))
        scores, inner = checked_scores(self, observation, draws.inner, episode_start)
        exits = uniform(self.seed, draws.episode, draws.step) < scores
        return exits.astype(np.int64), draws._replace(inner=inner)

    def name_episodes(self, state: Any, starts: np.ndarray, names: np.ndarray, deterministic: bool) -> Any:
        """See `seenn_env.Policy`: the state with names to draw by."""
        return state if deterministic or not self.probabilities else name_episodes(state, starts, names)

    def score_module(self, timesteps: int) -> nn.Module:
        """`module(columns [B, F], at [B] from 0) -> [B] float64`: the score in torch, for `agents.deployment.onnx`; an
        `InputError` for a policy whose score torch does not compute.
        """
        if type(self).score is not ScoredPolicy.score:
            raise no_export(self)
        return _ColumnScore(COLUMNS[self.column], self.sign)

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors (a field `tensors`, and the fields that are arrays) and JSON-able facts, for `from_tensors`."""
        facts = dict(vars(self))
        tensors = dict(facts.pop("tensors", {}))
        for name in [name for name, value in facts.items() if isinstance(value, np.ndarray)]:
            tensors[name] = torch.from_numpy(facts.pop(name))
        return tensors, facts

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], facts: dict[str, Any]) -> Self:
        """The policy of the tensors and facts that `to_tensors` returns."""
        if "tensors" in {entry.name for entry in fields(cls)}:  # type: ignore[arg-type]
            arrays: dict[str, Any] = {"tensors": tensors}
        else:
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        return cls(**arrays, **facts)


def checked_scores(policy: ScoredPolicy, observation: np.ndarray, *memory: Any) -> tuple[np.ndarray, Any]:
    """`score_step` of a policy, with an `InputError` for scores of another shape, or NaN."""
    given, state = policy.score_step(observation, *memory)
    scores, B = np.asarray(given), len(observation)
    if scores.shape != (B,) or scores.dtype.kind not in "fiub" or np.isnan(scores).any():
        nan = scores.dtype.kind == "f" and np.isnan(scores).any()
        raise InputError(
            f"Expected [{B}] numbers as the scores of {type(policy).__name__}, got {'NaN' if nan else shown(given)}."
        )
    return scores, state


def delegated(field: str, name: str) -> Any:
    """A property that is that attribute of the policy in a field."""
    return property(attrgetter(f"{field}.{name}"), doc=f"See `ScoredPolicy.{name}`: that of `{field}`.")


def no_export(policy: Any) -> InputError:
    """The refusal of a policy whose score torch does not compute."""
    return InputError(
        "Expected Confidence, Entropy, Margin, an ExitNetwork, an actor-critic or DQN LearnedPolicy, or PerTimestep of "
        f"them to export, got {type(policy).__name__}."
    )


class _ColumnScore(nn.Module):
    def __init__(self, column: int, sign: int) -> None:
        super().__init__()
        self.column, self.sign = column, sign

    def forward(self, columns: Tensor, at: Tensor) -> Tensor:
        return self.sign * columns[:, self.column].double()


def timestep_of(observation: np.ndarray, name: AnyObservation, T: int, column: int | None = None) -> np.ndarray:
    """`[B]` int64 timesteps, from 1, of an observation: T times that column (None: that of this package's own); an
    `InputError` without a column, for an observation that is not this package's.
    """
    if isinstance(name, str) and name in OBSERVATIONS:
        column = -1 if name == "logits" else COLUMNS["elapsed"]
    elif column is None:
        raise InputError(
            f"Expected an observation of this package, which says the timestep, got {name!r}: use one of them."
        )
    if column >= observation.shape[1]:
        raise InputError(f"Expected the column {column} of {name!r} to say the timestep, got {observation.shape[1]}.")
    timestep = np.rint(observation[:, column] * T)
    if not ((timestep >= 1) & (timestep <= T)).all():
        raise InputError(f"Expected timesteps / {T} in the column elapsed, got {observation[:, column]}.")
    return timestep.astype(np.int64)


def scores_by_timestep(
    observation: np.ndarray, timestep: np.ndarray, score: Callable[[int, np.ndarray], np.ndarray]
) -> np.ndarray:
    """`[B]` float64 scores of observations `[B, …]`, by one call of `score(t, observations at t)` per timestep t."""
    scores = np.empty(len(observation))
    for t in np.unique(timestep):
        rows = timestep == t
        scores[rows] = score(int(t), observation[rows])
    return scores


def elapsed_column(spec: Observation) -> int:
    """The place of the column timestep / T in an observation; an `InputError` where no column is named "elapsed"."""
    if "elapsed" not in spec.names:
        raise InputError(
            f"Expected a column 'elapsed' (timestep / T) of observation {spec.name!r}, got {', '.join(spec.names)}: "
            "add it, so that a policy knows the timestep."
        )
    return spec.names.index("elapsed")
