"""A policy by what is typed for it: a file, or a rule and its threshold."""

from dataclasses import replace
from pathlib import Path

from agents.policies import RULES, AnyPolicy
from agents.policy_files import load
from backbones import InputError
from backbones.errors import unknown_name
from seenn_env.evaluation import decides


def named_policy(name: str, threshold: float | None = None) -> AnyPolicy:
    """The policy of a file, a packaged policy, or a rule with nothing to fit.

    Args:
        name: a file that `agents.save` wrote, the name of a packaged policy (digits/ppo), or of a rule.
        threshold: where it exits (default: its own threshold).

    Raises:
        InputError: for an unknown name, or a policy without one threshold, or that does not decide as it goes.
    """
    policy: AnyPolicy
    if name in RULES:
        policy = RULES[name]
        if "threshold" not in vars(policy) or not policy.fitted:
            raise InputError(
                f"Expected a rule with one threshold and nothing to fit, or a policy file, got {name!r}: calibrate it."
            )
    elif not Path(name).suffix and not Path(name).exists() and "/" not in name:
        raise unknown_name("rule (or a policy file)", name, RULES)
    else:
        policy = load(name)
    if decides(policy) == "end":
        raise InputError(f"Expected a policy that decides as it goes, got {type(policy).__name__}: choose another.")
    if threshold is None:
        return policy
    if "threshold" not in vars(policy):
        raise InputError(f"Expected a policy with one threshold, got {type(policy).__name__}: leave --threshold out.")
    return replace(policy, threshold=threshold)  # type: ignore[type-var]
