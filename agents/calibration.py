"""Turning a policy's one number until it spends what it should, on traces that may be chosen on.

rule = calibrate(Confidence(), traces.select("calibration"), target_timesteps=1.5)
"""

from typing import TypeVar

from agents.curves import exit_curve
from agents.per_timestep import PerTimestep, fit_thresholds
from agents.policy import ScoredPolicy
from backbones import InputError
from seenn_env import Traces

AnyPolicy = TypeVar("AnyPolicy", bound=ScoredPolicy)


def calibrate(policy: AnyPolicy, traces: Traces, *, target_timesteps: float) -> AnyPolicy:
    """The policy at the level whose mean timesteps on these traces are nearest to the target.

    Args:
        policy: a rule or a learned policy; `PerTimestep` has all its thresholds fitted.
        traces: of any split but "test".
        target_timesteps: from 1 to T.

    Raises:
        InputError: for traces of split "test", a target out of range, or a policy without a score.
    """
    traces.refuse_test("calibration")
    if not 1 <= target_timesteps <= traces.timesteps:
        raise InputError(f"Expected target_timesteps from 1 to T = {traces.timesteps}, got {target_timesteps}.")
    if isinstance(policy, PerTimestep):
        return fit_thresholds(policy, traces, target_timesteps)  # type: ignore[return-value]
    if not isinstance(policy, ScoredPolicy):
        raise InputError(f"Expected a policy with a score to calibrate, got {policy!r}, which has none.")
    curve = exit_curve(policy, traces)
    return policy.at_level(float(curve.levels[curve.nearest(target_timesteps)]))
