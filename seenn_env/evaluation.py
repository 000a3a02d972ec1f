"""Exact evaluation: a policy over every row of traces, in T batched calls.

result = evaluate(policy, traces)
result.accuracy, result.mean_timesteps
"""

import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from backbones import Backbone, InputError
from backbones.argument_checks import check_kinds
from backbones.contract import make_keys
from backbones.errors import counted, kind_of, shown, users_own
from seenn_env.observations.observation import AnyObservation, Observation
from seenn_env.rewards import Energy, Reward, pay
from seenn_env.traces.traces import Traces


@runtime_checkable
class Policy(Protocol):
    """A policy with SB3's `predict`; its `observation` names the observation that it reads.

    One with `decides = "start"` reads the images `[B, C, H, W]` before the network runs, and returns timesteps less
    one; one with `decides = "end"` is a `HindsightPolicy`.

    One that draws may have `name_episodes(state, starts, names, deterministic) -> state`, which `evaluate` and `stream`
    call before `predict` where rows `[B]` start: the names `[B]` are the rows' keys (`backbones.contract.make_keys`),
    the same live and in replay.
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
    """A policy that knows its exits in hindsight only (the oracle): `decides = "end"`, without `predict`."""

    def exit_timesteps(self, traces: Traces) -> np.ndarray:
        """`[N]` in 1…T."""


def decides(policy: Any) -> Literal["step", "start", "end"]:
    """When a policy decides: after each step of the network, at the start from the image alone, or in hindsight.

    By its `decides`; by default "step" with `predict`, else "end". An `InputError` for an object that is no policy.
    """
    if isinstance(policy, type):
        raise InputError(f"Expected a policy, got {kind_of(policy)}: make one, such as {policy.__name__}(…).")
    own: Any = getattr(policy, "decides", None)
    if own is None:
        own = "step" if hasattr(policy, "predict") else "end"
    named = isinstance(own, str) and own in ("step", "start", "end")
    if not named or not hasattr(policy, "exit_timesteps" if own == "end" else "predict"):
        remedies: dict[type, str] = {str: "load the policy of that name", list: "pass one policy at a time"}
        remedy = remedies.get(type(policy), "see seenn_env.Policy")
        raise InputError(
            "Expected a policy with predict (decides = 'step' or 'start'), or with exit_timesteps (decides = 'end'), "
            f"got {shown(policy)}: {remedy}."
        )
    checked: Literal["step", "start", "end"] = own
    return checked


@dataclass(frozen=True)
class Evaluation:
    """Exits of a policy on every row of traces."""

    exit_timesteps: np.ndarray
    """`[N]` in 1…T."""
    predictions: np.ndarray
    """`[N]` at the exit."""
    correct: np.ndarray
    """`[N]` bool."""
    timesteps: int
    """T."""
    split: str
    """Of the rows."""
    sample: np.ndarray
    """`[N]` dataset index: rows of one sample are a cluster."""
    rewards: np.ndarray | None = None
    """`[N]` of the reward passed to `evaluate`."""
    energy_pj: np.ndarray | None = None
    """`[N]` up to and including the exit, where the traces have it."""

    def __repr__(self) -> str:
        low, high = self.accuracy_interval
        means = {"reward": self.rewards, "energy_pj": self.energy_pj}
        others = "".join(f", mean_{name}={each.mean():.6g}" for name, each in means.items() if each is not None)
        return (
            f"Evaluation(accuracy={self.accuracy:.4f} [{low:.4f}, {high:.4f}], mean_timesteps={self.mean_timesteps:.3f}"
            f" of {self.timesteps}{others}, split={self.split!r}, rows={len(self.correct)}, "
            f"samples={len(np.unique(self.sample))})"
        )

    @property
    def accuracy(self) -> float:
        """Fraction of correct predictions."""
        return float(self.correct.mean())

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy, over samples (Wilson's, for as many rows as have the clusters' variance)."""
        p, N = self.accuracy, len(self.correct)
        _, cluster = np.unique(self.sample, return_inverse=True)
        variance = float((np.bincount(cluster, self.correct - p) ** 2).sum()) / N**2
        n = p * (1 - p) / variance if variance else cluster.max() + 1
        scale, square = 1 + 1.96**2 / n, 1.96**2 / (4 * n**2)
        middle, half = (p + 1.96**2 / (2 * n)) / scale, 1.96 * math.sqrt(p * (1 - p) / n + square) / scale
        return middle - half, middle + half

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
    """The observation that a policy reads: its own, else the argument, else "features"."""
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
    """The normalisation of observations `[B, F]` of a policy: that of its SB3 VecNormalize, else none; an `InputError`
    for a model that was trained under VecNormalize and has lost its statistics.
    """
    find = getattr(policy, "get_vec_normalize_env", None)
    vec_normalize = None if find is None else find()
    if vec_normalize is None and _was_normalised(policy):
        raise InputError(LOST_STATISTICS)
    normaliser: Callable[[np.ndarray], np.ndarray] = (
        np.asarray if vec_normalize is None else vec_normalize.normalize_obs
    )
    return normaliser


def _was_normalised(model: Any) -> bool:
    """Whether the last observations of an SB3 model without an environment were of a VecNormalize."""
    last, raw = getattr(model, "_last_obs", None), getattr(model, "_last_original_obs", None)
    if last is None or raw is None:
        return False
    space = model.observation_space  # off-policy models keep `raw` in any case
    return hasattr(model, "rollout_buffer") or not ((last >= space.low) & (last <= space.high)).all()


def timesteps_at_start(policy: Any, images: Any, timesteps: int, *, deterministic: bool = True) -> np.ndarray:
    """`[B]` in 1…T: the timesteps that a policy with `decides = "start"` chooses for images `[B, C, H, W]`; an
    `InputError` for actions out of range.
    """
    images = images.cpu().numpy() if hasattr(images, "cpu") else np.asarray(images)
    if observation_of(policy) == "image_float" and images.dtype == np.uint8:
        images = images.astype(np.float32) / np.float32(255)
    meaning = f"in 0…{timesteps - 1} (timesteps less one)"
    return predicted(policy, images, timesteps, meaning, deterministic=deterministic)[0] + 1


STEP_ACTIONS = "of 0 (continue) or 1 (exit)"


def predicted(policy: Any, observation: Any, choices: int, meaning: str, **memory: Any) -> tuple[np.ndarray, Any]:
    """Actions `[B]` int64 below `choices` of a policy for observations `[B, …]`, and its next state.

    `meaning` is that of the actions in words; `memory` holds the further arguments of `predict`. An `InputError` for a
    `predict` that takes or returns something else.
    """
    B = len(observation)
    with users_own(
        f"predict(observation, state=None, episode_start=None, deterministic=True) of {shown(policy)} to return "
        f"actions [{B}] and the next state"
    ):
        given, state = policy.predict(observation, **memory)
        actions = np.asarray(given)
    known = actions.shape == (B,) and actions.dtype.kind in "biuf"
    if not known or not ((actions >= 0) & (actions < choices) & (actions % 1 == 0)).all():
        actual = repr(given) if actions.size < 2 else f"{actions.dtype} {list(actions.shape)}"
        raise InputError(f"Expected actions [{B}] {meaning} from {shown(policy)}, got {actual}.")
    return actions.astype(np.int64), state


def name_episodes(policy: Any, state: Any, starts: np.ndarray, names: np.ndarray, deterministic: bool) -> Any:
    """The state of `predict`, with the names of the rows that start for a policy that draws; see `Policy`."""
    own = getattr(policy, "name_episodes", None)
    return state if own is None else own(state, starts, names, deterministic)


def evaluated_rows(traces: Traces, split: str | None = None) -> Traces:
    """The rows of the split of that name; by default all of them, or "test" of several splits. An `InputError` for a
    split of which there are no rows, or several without "test".
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
    """Run a policy over every row of one split, exactly; observations of an SB3 model pass its VecNormalize.

    Args:
        policy: anything with `predict` or `exit_timesteps` (see `decides`).
        traces: the rows.
        split: of the rows (default: "test", where the traces have several).
        observation: that of a policy without an `observation` of its own (a bare SB3 model).
        deterministic: passed to `predict`.
        reward: to compute for each row.

    Raises:
        InputError: for actions or exit timesteps out of range, several splits without "test", or a policy that was
            made for another T; of one that was trained for another backbone, a warning (see `check_trained_for`).
    """
    traces = evaluated_rows(traces, split)
    N, T = len(traces), traces.timesteps
    check_trained_for(policy, traces, transfer=True)
    when = decides(policy)
    if when != "step" and isinstance(policy, HindsightPolicy):
        with users_own(f"exit_timesteps(traces) of {shown(policy)} to return [{N}] timesteps"):
            exits = np.asarray(policy.exit_timesteps(traces))
        if exits.shape != (N,) or exits.dtype.kind not in "iu" or exits.min() < 1 or exits.max() > T:
            raise InputError(f"Expected exit timesteps [{N}] of whole numbers in 1…{T} from {shown(policy)}.")
    elif when == "start":
        images = traces.still_images[traces.image_places]
        exits = timesteps_at_start(policy, images, T, deterministic=deterministic)
    else:
        reads, normalised = observation_of(policy, observation), normaliser_of(policy)
        columns = traces.columns(reads)
        check_columns(policy, reads, columns.shape[2:])
        exits = np.full(N, T)
        running = np.ones(N, bool)
        starts = np.ones(N, bool)
        state = name_episodes(policy, None, starts, make_keys(traces.sample, traces.repeat), deterministic)
        for t in range(1, T):
            memory = {"state": state, "episode_start": starts, "deterministic": deterministic}
            actions, state = predicted(policy, normalised(columns[:, t - 1].copy()), 2, STEP_ACTIONS, **memory)
            exiting = running & (actions == 1)
            exits[exiting] = t
            running &= ~exiting
            starts = np.zeros(N, bool)
    rows = np.arange(N)
    energy = None
    if traces.energy_pj is not None:
        energy = Energy(traces.energy_pj[rows, exits - 1], traces.energy_pj[:, -1])
    correct = traces.correct[rows, exits - 1]
    return Evaluation(
        exit_timesteps=exits,
        predictions=traces.predictions[rows, exits - 1],
        correct=correct,
        timesteps=T,
        split=traces.split,
        sample=traces.sample,
        rewards=None if reward is None else pay(reward, correct, exits, T, energy),
        energy_pj=None if energy is None else energy.spent_pj,
    )


def check_trained_for(policy: Any, network: Backbone | Traces, *, transfer: bool = False) -> None:
    """Refuse a policy that was made for another T or backbone; an inference form counts as its plain form too.

    A policy states T as `made_for`, or as `least_timesteps` the fewest that it needs, and its backbone's fingerprint
    as `trained_for`; one without them, such as a threshold rule, is for any.

    Args:
        policy: any.
        network: a backbone, or traces of one.
        transfer: warn of another backbone: `evaluate`, `stream` and `calibrate` also measure the transfer of a policy
            between backbones, whereas a comparison or a deployment states one backbone.

    Raises:
        InputError: naming both T, or both fingerprints.
    """
    decides(policy)  # refuses an object that is none
    if not isinstance(network, Traces):
        from backbones.contract import check_protocol  # imports PyTorch

        check_protocol(network)
    T = network.timesteps
    least = getattr(policy, "least_timesteps", 0)
    if least > T:
        raise InputError(
            f"Expected a policy for the network's {counted(T, 'timestep')}, got {shown(policy)}, which needs "
            f"{least}: choose an earlier timestep."
        )
    made_for = getattr(policy, "made_for", None)
    if made_for and made_for != T:
        raise InputError(
            f"Expected a policy for the network's {counted(T, 'timestep')}, got one that was made "
            f"for {made_for}: train or calibrate it on traces of this network."
        )
    trained = getattr(policy, "trained_for", None)
    if not trained:
        return
    if isinstance(network, Traces):
        own = [network.info.get("fingerprint")]
    else:
        own = [getattr(network, "plain", network).fingerprint, network.fingerprint]
    if not own[0] or trained in own:
        return
    sentence = f"Expected a policy for the backbone {own[0]}, got one that was trained for {trained}"
    if not transfer:
        raise InputError(f"{sentence}: train it on traces of this backbone, or run the backbone of its training.")
    warnings.warn(f"{sentence}: the result is that of its transfer to this backbone.", stacklevel=4)


def check_columns(policy: Any, observation: AnyObservation, shape: tuple[int, ...]) -> None:
    """Refuse a policy of other actions (`check_actions`), or with an `observation_space` of another shape."""
    check_actions(policy)
    space = getattr(policy, "observation_space", None)
    if space is not None and space.shape != shape:
        raise InputError(
            f"Expected the observation that the policy was trained on, of shape {list(space.shape)}, got "
            f"{observation!r} of {list(shape)}: name it by observation=…."
        )


def check_actions(policy: Any) -> None:
    """Refuse a policy with an `action_space` of other than the two actions of each timestep.

    Raises:
        InputError: naming it.
    """
    actions = getattr(policy, "action_space", None)
    if actions is not None and getattr(actions, "n", None) != 2:
        raise InputError(
            f"Expected a policy over Discrete(2), 0 (continue) and 1 (exit), got one over {actions}: train it in "
            "EarlyExit; one of ChooseTimestep that reads images needs decides = 'start'."
        )
