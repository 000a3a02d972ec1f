"""Turning a policy's one number until it spends what it should, on traces that may be chosen on.

rule = calibrate(Confidence(), traces.select("calibration"), target_timesteps=1.5)
"""

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np

from agents.calibration.curve import exit_curve
from agents.calibration.guarantees import Scored, control_risk, fitted
from agents.calibration.randomised import Mixed
from agents.calibration.targets import make_goal
from agents.rules.thresholds import FixedTimestep
from backbones import InputError
from backbones.argument_checks import Natural, check_kinds
from seenn_env import Traces


@overload
def calibrate(
    policy: Scored,
    traces: Traces,
    *,
    target_timesteps: float | None = None,
    target_accuracy: float | None = None,
    target_energy_pj: float | None = None,
    target_cost: float | None = None,
    costs: Any = None,
) -> Scored: ...


@overload
def calibrate(
    policy: Scored,
    traces: Traces,
    *,
    target_timesteps: float | None = None,
    target_accuracy: float | None = None,
    target_energy_pj: float | None = None,
    target_cost: float | None = None,
    costs: np.ndarray | Sequence[Any] | None = None,
    max_risk: float | None = None,
    confidence: float = 0.95,
    risk: Literal["accuracy", "consistency"] = "accuracy",
    randomise: bool = False,
    seed: int = 0,
) -> Scored | Mixed | FixedTimestep: ...


@check_kinds
def calibrate(
    policy: Scored,
    traces: Traces,
    *,
    target_timesteps: float | None = None,
    target_accuracy: float | None = None,
    target_energy_pj: float | None = None,
    target_cost: float | None = None,
    costs: Any = None,
    max_risk: float | None = None,
    confidence: float = 0.95,
    risk: Literal["accuracy", "consistency"] = "accuracy",
    randomise: bool = False,
    seed: Natural = 0,
) -> Scored | Mixed | FixedTimestep:
    """The policy at the level that meets the target on these traces.

    What has to be fitted first is fitted on the same traces; of a policy with several settings (the thresholds
    of `PerTimestep`, the time costs of an `ExitNetwork`), the best one at the target is taken.

    Args:
        policy: a rule or a learned policy.
        traces: of any split but "test".
        target_timesteps: mean timesteps, from 1 to T: the level whose mean is nearest.
        target_accuracy: a fraction: the cheapest level that reaches it, or else the most accurate one.
        target_energy_pj: mean energy, that of the policy itself (its `macs`) included.
        target_cost: mean of the `costs`.
        costs: `[T]` or `[N, T]` what exits at each timestep cost in all, such as measured milliseconds.
        max_risk: in place of a target: the boldest level whose early exits cost at most this, with a guarantee
            (see `agents.calibration.guarantees.control_risk`, which also says what was promised).
        confidence: of that guarantee.
        risk: what it is about: "accuracy" lost, or "consistency" with the answer after all timesteps.
        randomise: between two levels, choose by chance in each episode, so that the target is met on average
            (a `Mixed` policy), also where many rows have equal scores.
        seed: of that chance.

    Raises:
        InputError: for traces of split "test", none or several targets, one out of range, or a policy without
            a score.
    """
    traces.refuse_test("calibration")
    if max_risk is not None:
        for target in (target_timesteps, target_accuracy, target_energy_pj, target_cost):
            if target is not None:
                raise InputError(f"Expected either max_risk or a target, got both, {max_risk} and {target}.")
        return control_risk(policy, traces, max_risk=max_risk, confidence=confidence, risk=risk).policy
    goal = make_goal(
        traces,
        target_timesteps=target_timesteps,
        target_accuracy=target_accuracy,
        target_energy_pj=target_energy_pj,
        target_cost=target_cost,
        costs=costs,
    )
    plain: Any = policy.policy if isinstance(policy, Mixed) else policy
    plain = fitted(plain, traces)
    charged = goal.costs(plain)
    best: Any = None
    for variant in plain.variants(traces):
        curve = exit_curve(variant, traces, charged)
        entry = goal.entry(curve)
        worth = goal.worth(curve, entry)
        if best is None or worth > best[0]:
            best = worth, variant, curve, entry
    _, variant, curve, entry = best
    if not randomise:
        return variant.at_level(float(curve.levels[entry]))
    first, second, share = goal.bracket(curve)
    return Mixed(variant.at_level(float(curve.levels[first])), float(curve.levels[second]), share, seed)
