"""Risk control: the boldest level whose early exits provably cost little, tested on finitely many samples.

    guarantee = control_risk(Confidence(), traces, max_risk=0.005, confidence=0.95)
    print(guarantee)              # "with 95 % confidence …"
    policy = guarantee.policy

Letters: n samples (all repeats of an image are one), L levels from cautious to bold, N rows, T timesteps.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np

from agents.calibration.curve import exits_at, level_curve
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import FixedTimestep
from backbones import InputError
from backbones.argument_checks import Above, AtLeast, Below, check_kinds
from backbones.errors import counted
from seenn_env import Traces

Scored = TypeVar("Scored", bound=ScoredPolicy)

Chance = Annotated[float, Above(0), Below(1)]


@dataclass(frozen=True)
class Guarantee(Generic[Scored]):
    """A policy with a bound on the risk of its early exits."""

    policy: Scored | FixedTimestep
    """At the boldest level that keeps the bound; `FixedTimestep(T)` where none does."""
    risk: str
    """"accuracy": accuracy at T minus accuracy at the exit; "consistency": share of predictions unlike T's."""
    max_risk: float
    """Bound of the risk of new samples."""
    confidence: float | None
    """Probability of the bound over the calibration samples; None: it holds in expectation over them."""
    samples: int
    """n of the test of the level."""
    empirical_risk: float
    """On those samples."""
    mean_timesteps: float
    """On those samples."""
    timesteps: int
    """T."""

    @property
    def is_full(self) -> bool:
        """Whether no early exit keeps the bound: all T timesteps are run."""
        return isinstance(self.policy, FixedTimestep)

    def __str__(self) -> str:
        """The guarantee as a sentence."""
        percent, T = f"{100 * self.max_risk:g}", self.timesteps
        if self.risk == "accuracy":
            bound = f"accuracy is within {percent} points of all {T} timesteps'"
        else:
            bound = f"at most {percent} % of answers differ from those of all {T} timesteps"
        certainty = "In expectation" if self.confidence is None else f"With {100 * self.confidence:g} % confidence"
        samples, allow = counted(self.samples, "sample"), "allows" if self.samples == 1 else "allow"
        if self.is_full:
            return f"{certainty}, {bound}: {samples} {allow} no early exit, so all timesteps are run."
        return f"{certainty}, {bound}: {self.mean_timesteps:.3f} timesteps on {samples}."


@check_kinds
def control_risk(
    policy: Scored,
    traces: Traces,
    *,
    max_risk: Chance,
    confidence: Chance = 0.95,
    risk: Literal["accuracy", "consistency"] = "accuracy",
    method: Literal["learn-then-test", "conformal"] = "learn-then-test",
    levels_from: Traces | None = None,
    num_levels: Annotated[int, AtLeast(2)] = 200,
) -> Guarantee[Scored]:
    """The boldest level of a policy whose early exits provably cost little.

    "learn-then-test" (Angelopoulos et al., *Learn then Test*, 2021, with fixed-sequence testing): levels are
    tested from cautious to bold, each at 1 - confidence, until the first that fails: the family-wise error
    stays 1 - confidence, since the first wrong rejection has to happen before any other. Losses of 0 and 1
    are tested by the exact binomial tail; others, in [-1, 1], by betting (Waudby-Smith & Ramdas, 2024).

    "conformal" (Angelopoulos et al., *Conformal Risk Control*, ICLR 2024): the expected risk is at most
    `max_risk`; losses are made monotone by their running maximum from cautious to bold. `confidence` is unused.

    The levels must not depend on the rows of the test: they come from the traces' rows of split "policy" if there
    are any, else from a fifth of the samples, which the test then excludes.

    Args:
        policy: a rule or learned policy with a score; a `PerTimestep` rule's thresholds move together.
        traces: of any split but "test".
        max_risk: a fraction, in (0, 1).
        confidence: in (0, 1).
        risk: "accuracy", or "consistency", which needs no labels.
        method: "learn-then-test" or "conformal".
        levels_from: other traces to take the levels from.
        num_levels: L.

    Raises:
        InputError: for traces of split "test", a number out of range, or an unknown name.
    """
    traces.refuse_test("calibration")
    source, tested = _divide(traces, levels_from)
    policy = policy if policy.fitted else policy.fit(source)
    curve = level_curve(policy.trace_scores(source), source.correct)
    targets = np.linspace(source.timesteps, 1, num_levels)
    levels = np.unique(curve.levels[_nearest(curve.mean_timesteps, targets)])[::-1]
    levels = levels[np.isfinite(levels)]

    scores = policy.trace_scores(tested)
    losses, mean_timesteps = _losses(scores, levels, tested, risk)
    if method == "conformal":
        n = len(losses)
        bound = np.maximum.accumulate(losses, axis=1).mean(0) * n / (n + 1) + 1 / (n + 1)
        passed = bound <= max_risk
    else:
        passed = p_values(losses, max_risk, 1 - confidence) <= 1 - confidence
    count = len(passed) if passed.all() else int(passed.argmin())
    T = traces.timesteps
    facts: dict[str, Any] = {
        "risk": risk,
        "max_risk": max_risk,
        "confidence": None if method == "conformal" else confidence,
        "samples": len(losses),
        "timesteps": T,
    }
    if count == 0:
        return Guarantee(FixedTimestep(T), empirical_risk=0.0, mean_timesteps=float(T), **facts)
    chosen = count - 1
    return Guarantee(
        policy.at_level(float(levels[chosen])),
        empirical_risk=float(losses[:, chosen].mean()),
        mean_timesteps=float(mean_timesteps[chosen]),
        **facts,
    )


@check_kinds
def least_samples(
    max_risk: Annotated[float, AtLeast(1e-12), Below(1)], confidence: Annotated[float, Above(0), Below(1)]
) -> int:
    """The fewest samples on which `control_risk` allows an early exit that costs none of them anything.

    n samples without a loss reject a mean loss above `max_risk` where (1 - max_risk)^n ≤ 1 - confidence.
    """
    return int(np.ceil(np.log1p(-confidence) / np.log1p(-max_risk)))


def p_values(losses: np.ndarray, max_risk: float, level: float) -> np.ndarray:
    """`[L]` p-values of "the mean loss is above `max_risk`", for losses `[n, L]` in [-1, 1], one row a sample.

    `level` is the significance to test at, for which the bets of the betting test are sized.
    """
    if np.isin(losses, (0.0, 1.0)).all():
        from scipy import stats  # slow to import

        return stats.binom.cdf(losses.sum(0), len(losses), max_risk)
    # Waudby-Smith & Ramdas, section 4: capital Π_i (1 - λ_i (x_i - m)) of bets on x < m; p = 1 / its maximum.
    x, m = (losses + 1) / 2, (max_risk + 1) / 2
    n = len(x)
    count = np.arange(1, n + 1)[:, None]
    mean = (0.5 + np.cumsum(x, 0)) / (count + 1)
    variance = (0.25 + np.cumsum((x - mean) ** 2, 0)) / (count + 1)
    before = np.concatenate([np.full((1, x.shape[1]), 0.25), variance[:-1]])
    bets = np.minimum(np.sqrt(2 * np.log(1 / level) / (n * before)), 0.99 / (1 - m))
    capital = np.cumsum(np.log1p(-bets * (x - m)), 0).max(0)
    return np.exp(-np.maximum(capital, 0))


def _divide(traces: Traces, levels_from: Traces | None) -> tuple[Traces, Traces]:
    """Traces to take the levels from and traces to test them on, of different samples."""
    if levels_from is not None:
        levels_from.refuse_test("calibration")
        return levels_from, traces
    splits = traces.split.split("+")
    if "policy" in splits and len(splits) > 1:
        rest = np.isin(traces.split_codes, np.unique(traces.select("policy").split_codes), invert=True)
        return traces.select("policy"), traces[rest]
    _, place = np.unique(traces.sample, return_inverse=True)
    fifth = place % 5 == 0
    if fifth.all() or not fifth.any():
        raise InputError(f"Expected at least 2 samples to calibrate on, got {len(np.unique(traces.sample))}.")
    return traces[fifth], traces[~fifth]


def _nearest(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Places of the entries nearest to the values."""
    at = np.searchsorted(ascending, values).clip(1, len(ascending) - 1)
    return np.where(values - ascending[at - 1] < ascending[at] - values, at - 1, at)


def _losses(scores: np.ndarray, levels: np.ndarray, traces: Traces, risk: str) -> tuple[np.ndarray, np.ndarray]:
    """`[n, L]` each sample's mean loss, and `[L]` mean timesteps."""
    rows = np.arange(len(traces))
    predictions, T = traces.predictions, traces.timesteps
    _, sample = np.unique(traces.sample, return_inverse=True)
    repeats = np.bincount(sample)
    losses = np.empty((len(repeats), len(levels)))
    mean_timesteps = np.empty(len(levels))
    for column, level in enumerate(levels):
        at = exits_at(scores, float(level)) - 1
        if risk == "consistency":
            loss = (predictions[rows, at] != predictions[:, T - 1]).astype(float)
        else:
            loss = traces.correct[:, T - 1].astype(float) - traces.correct[rows, at]
        losses[:, column] = np.bincount(sample, loss) / repeats
        mean_timesteps[column] = at.mean() + 1
    return losses, mean_timesteps
