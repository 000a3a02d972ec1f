"""Exact evaluation: a policy over every row of traces, in T batched calls.

result = evaluate(policy, traces)
result.accuracy, result.mean_timesteps
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from backbones import InputError
from backbones.argument_checks import check_kinds
from seenn_env.observations.observation import AnyObservation, Observation
from seenn_env.rewards import Reward, pay
from seenn_env.traces.traces import Traces


@runtime_checkable
class Policy(Protocol):
    """Whatever decides, by SB3's `predict`; `observation` names the observation that it reads.

    One with `decides = "start"` sees the images `[B, C, H, W]` alone, before the network runs, and gives timesteps
    less one; one with `decides = "end"` is a `HindsightPolicy`.
    """

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]` (0 continue, 1 exit) and the next state for observations `[B, F]`."""


@runtime_checkable
class HindsightPolicy(Protocol):
    """Knows only afterwards when it would have exited (the oracle); `decides = "end"`, and there is no `predict`."""

    def exit_timesteps(self, traces: Traces) -> np.ndarray:
        """`[N]` in 1…T."""


def decides(policy: Any) -> Literal["step", "start", "end"]:
    """When a policy decides: after each step of the network, at the start from the image alone, or in hindsight.

    As its `decides` says; without, one with `predict` decides after each step, and another one in hindsight.

    Raises:
        InputError: for something that is no policy.
    """
    own: Any = getattr(policy, "decides", None)
    if own is None:
        own = "step" if hasattr(policy, "predict") else "end"
    named = isinstance(own, str) and own in ("step", "start", "end")
    if isinstance(policy, type) or not named or not hasattr(policy, "exit_timesteps" if own == "end" else "predict"):
        raise InputError(
            "Expected a policy with predict (decides = 'step' or 'start'), or with exit_timesteps (decides = 'end'), "
            f"got {policy!r}."
        )
    found: Literal["step", "start", "end"] = own
    return found


@dataclass(frozen=True)
class Evaluation:
    """What a policy does on every row of traces."""

    exit_timesteps: np.ndarray
    """`[N]` in 1…T."""
    predictions: np.ndarray
    """`[N]` the answer given at the exit."""
    correct: np.ndarray
    """`[N]` bool."""
    timesteps: int
    """T."""
    split: str
    """Of the rows."""
    rewards: np.ndarray | None = None
    """`[N]` where a reward was asked for."""
    energy_pj: np.ndarray | None = None
    """`[N]` spent up to and with the exit, where the traces have it."""

    @property
    def accuracy(self) -> float:
        """Fraction of right answers."""
        return float(self.correct.mean())

    @property
    def mean_timesteps(self) -> float:
        """Mean exit timestep."""
        return float(self.exit_timesteps.mean())

    @property
    def mean_energy_pj(self) -> float | None:
        """Mean energy of a row, in picojoules; None where the traces have none."""
        return None if self.energy_pj is None else float(self.energy_pj.mean(dtype=np.float64))

    @property
    def exit_counts(self) -> np.ndarray:
        """`[T]` rows that exit at each timestep."""
        return np.bincount(self.exit_timesteps - 1, minlength=self.timesteps)


@check_kinds
def observation_of(policy: Any, observation: AnyObservation | None = None) -> AnyObservation:
    """The observation that a policy reads: as it says itself, else as the argument says, else "features"."""
    own = getattr(policy, "observation", None)
    if inspect.ismethod(own):
        raise InputError(
            f"Expected the observation of {type(policy).__name__} by name, or a function of a TraceShape, got a method "
            "of its own: make it a staticmethod."
        )
    return own if isinstance(own, str | Observation) or callable(own) else observation or "features"


LOST_STATISTICS = (
    "Expected the statistics of the model's VecNormalize, got a model without its environment: "
    "load it by SB3's load(…, env=VecNormalize.load(…))."
)


def normaliser_of(policy: Any) -> Callable[[np.ndarray], np.ndarray]:
    """What turns observations `[B, F]` into those that a policy was trained on: SB3's VecNormalize, where there is one.

    Raises:
        InputError: for a model that was trained under VecNormalize and has lost its statistics.
    """
    find = getattr(policy, "get_vec_normalize_env", None)
    found = None if find is None else find()
    if found is None and _saw_normalised(policy):
        raise InputError(LOST_STATISTICS)
    normaliser: Callable[[np.ndarray], np.ndarray] = np.asarray if found is None else found.normalize_obs
    return normaliser


def _saw_normalised(model: Any) -> bool:
    """Whether an SB3 model without an environment keeps what it saw last under VecNormalize."""
    seen, raw = getattr(model, "_last_obs", None), getattr(model, "_last_original_obs", None)
    if seen is None or raw is None:
        return False
    space = model.observation_space  # off-policy, `raw` is there anyway
    return hasattr(model, "rollout_buffer") or not ((seen >= space.low) & (seen <= space.high)).all()


def timesteps_at_start(policy: Any, images: Any, timesteps: int, *, deterministic: bool = True) -> np.ndarray:
    """`[B]` in 1…T: what a policy that decides at the start chooses for images `[B, C, H, W]` (uint8, or in [0, 1]).

    Raises:
        InputError: for actions out of range.
    """
    images = images.cpu().numpy() if hasattr(images, "cpu") else np.asarray(images)
    if observation_of(policy) == "image_float" and images.dtype == np.uint8:
        images = images.astype(np.float32) / np.float32(255)
    actions = np.asarray(policy.predict(images, deterministic=deterministic)[0])
    if (
        actions.shape != (len(images),)
        or actions.dtype.kind not in "iu"
        or not np.isin(actions, range(timesteps)).all()
    ):
        raise InputError(f"Expected actions [{len(images)}] in 0…{timesteps - 1} (timesteps less one) from {policy!r}.")
    return actions.astype(np.int64) + 1


def evaluated_rows(traces: Traces, split: str | None = None) -> Traces:
    """The rows of one split to evaluate on: the one of that name, or by default "test", where there are several.

    Raises:
        InputError: for a split of which there are no rows, or several without "test".
    """
    if split is not None:
        return traces.select(split)
    names = traces.split.split("+")
    if len(names) > 1 and "test" not in names:
        raise InputError(
            f"Expected traces of one split to evaluate on, or with rows of 'test', got split {traces.split!r}: "
            "choose one by split=…."
        )
    return traces.select("test") if len(names) > 1 else traces


@check_kinds
def evaluate(
    policy: Policy | HindsightPolicy | Any,
    traces: Traces,
    *,
    split: str | None = None,
    observation: AnyObservation | None = None,
    deterministic: bool = True,
    reward: Reward | None = None,
) -> Evaluation:
    """Run a policy over every row of one split, exactly; an SB3 model sees observations as its VecNormalize has them.

    Args:
        policy: anything with `predict` or `exit_timesteps` (see `decides`).
        traces: what to run it over.
        split: whose rows to run it over (default: "test", where the traces have several).
        observation: what it reads, where it does not say so itself (a bare SB3 model).
        deterministic: passed on to `predict`.
        reward: also compute each row's reward.

    Raises:
        InputError: for actions or exit timesteps out of range, or several splits without "test".
    """
    traces = evaluated_rows(traces, split)
    N, T = len(traces), traces.timesteps
    when = decides(policy)
    if when != "step" and isinstance(policy, HindsightPolicy):
        exits = np.asarray(policy.exit_timesteps(traces))
        if exits.shape != (N,) or exits.min() < 1 or exits.max() > T:
            raise InputError(f"Expected exit timesteps [{N}] in 1…{T} from {policy!r}.")
    elif when == "start":
        images = np.asarray(traces.images)[traces.image_places]
        exits = timesteps_at_start(policy, images, T, deterministic=deterministic)
    else:
        columns, normalised = traces.columns(observation_of(policy, observation)), normaliser_of(policy)
        exits = np.full(N, T)
        running = np.ones(N, bool)
        state, starts = None, np.ones(N, bool)
        for t in range(1, T):
            actions, state = policy.predict(  # type: ignore[union-attr]
                normalised(columns[:, t - 1].copy()), state=state, episode_start=starts, deterministic=deterministic
            )
            if np.shape(actions) != (N,) or not np.isin(actions, (0, 1)).all():
                raise InputError(f"Expected actions [{N}] of 0 (continue) or 1 (exit) from {policy!r}.")
            leaving = running & (np.asarray(actions) == 1)
            exits[leaving] = t
            running &= ~leaving
            starts = np.zeros(N, bool)
    rows = np.arange(N)
    energy = traces.energy(exits)
    correct = traces.correct[rows, exits - 1]
    return Evaluation(
        exit_timesteps=exits,
        predictions=traces.predictions[rows, exits - 1],
        correct=correct,
        timesteps=T,
        split=traces.split,
        rewards=None if reward is None else pay(reward, correct, exits, T, energy),
        energy_pj=None if energy is None else np.asarray(energy.spent_pj),
    )
