"""Calibration: sets the level of a policy so that it meets a target on traces.

rule = calibrate(Confidence(), traces.select("calibration"), target_timesteps=1.5)
"""

import warnings
from dataclasses import replace
from typing import Any, Literal, overload

from agents.calibration.curve import exit_curve
from agents.calibration.guarantees import Scored, control_risk
from agents.calibration.randomised import Mixed
from agents.calibration.targets import make_target
from agents.rules.thresholds import FixedTimestep
from backbones import InputError
from backbones.argument_checks import Natural, check_kinds
from seenn_env import Traces
from seenn_env.evaluation import check_trained_for


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
def calibrate(policy: Scored, traces: Traces, **options: Any) -> Scored | Mixed | FixedTimestep: ...


@check_kinds  # type: ignore[misc]  # options are checked at run time
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

    A policy without a score is first fitted to the same traces; of one with several settings (the thresholds of
    `PerTimestep`, the time costs of an `ExitNetwork`), the best at the target is taken.

    Args:
        policy: a rule or a learned policy.
        traces: of any split but "test".
        target_timesteps: mean timesteps, from 1 to T: the level whose mean is nearest, with a warning where that is
            not near.
        target_accuracy: a fraction: the cheapest level that reaches it, or else, with a warning, the most accurate one.
        target_energy_pj: mean energy, the policy's own (its `macs`) included.
        target_cost: mean of the `costs`.
        costs: `[T]` or `[N, T]` cumulative costs of exits at each timestep, such as measured milliseconds.
        max_risk: in place of a target: the boldest level whose early exits cost at most this, with a guarantee
            (see `agents.calibration.guarantees.control_risk`, which also returns the guarantee).
        confidence: of that guarantee.
        risk: "accuracy" lost, or "consistency" with the predictions after all timesteps.
        randomise: draw one of two levels in each episode, so that the mean meets the target (a `Mixed` policy), also
            where many rows have equal scores.
        seed: of those draws.

    Raises:
        InputError: for traces of split "test", none or several targets, one out of range, or a policy without
            a score or for another T.
    """
    traces.refuse_test("calibration")
    targets = {
        "target_timesteps": target_timesteps,
        "target_accuracy": target_accuracy,
        "target_energy_pj": target_energy_pj,
        "target_cost": target_cost,
    }
    if max_risk is not None:
        for name, value in targets.items():
            if value is not None:
                raise InputError(f"Expected either max_risk or a target, got both, {max_risk} and {name} = {value}.")
        return control_risk(policy, traces, max_risk=max_risk, confidence=confidence, risk=risk).policy
    target = make_target(traces, targets, costs)
    plain: Any = policy.policy if isinstance(policy, Mixed) else policy
    plain = plain if plain.fitted else plain.fit(traces)
    charged = target.costs(plain)
    best: Any = None
    for variant in plain.variants(traces):
        curve = exit_curve(variant, traces, charged)
        entry = target.entry(curve)
        rank = target.rank(curve, entry)
        if best is None or rank > best[0]:
            best = rank, variant, curve, entry
    _, variant, curve, entry = best
    variant = _bound(variant, traces)
    check_trained_for(variant, traces, transfer=True)
    if (target.accuracy or not randomise) and (missed := target.missed(curve, entry, type(plain).__name__)):
        warnings.warn(missed, stacklevel=3)
    if not randomise:
        return variant.at_level(float(curve.levels[entry]))
    first, second, share = target.bracket(curve)
    return Mixed(variant.at_level(float(curve.levels[first])), float(curve.levels[second]), share, seed)


def _bound(policy: Any, traces: Traces) -> Any:
    """A learned policy that states its backbone and T; one of a user's own script learns them when it is calibrated."""
    if "settings" not in vars(policy) or "fingerprint" in policy.settings:
        return policy
    facts = {"fingerprint": traces.info.get("fingerprint"), "timesteps": traces.timesteps}
    return replace(policy, settings={**policy.settings, **facts})
