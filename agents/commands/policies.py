"""Policies and rules by name or file; both need the whole of `agents.policies`, which is imported at the first use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agents
from agents import rules
from backbones import InputError
from backbones.errors import unknown_name
from seenn_env.evaluation import decides

if TYPE_CHECKING:
    from agents.policies import AnyPolicy


def named_policy(name: str, threshold: float | None = None) -> AnyPolicy:
    """The policy of a file, a packaged policy, or a rule with nothing to fit.

    Args:
        name: a file that `agents.save` wrote, the name of a packaged policy (digits/ppo), or of a rule.
        threshold: where it exits (default: its own threshold).

    Raises:
        InputError: for an unknown name, or a policy without one threshold, or that does not decide as it goes.
    """
    from agents.policies import RULES

    policy: AnyPolicy
    ready = [each for each, rule in RULES.items() if rule.fitted and "threshold" in vars(rule)]
    if name in RULES:
        policy = RULES[name]
        if name not in ready:
            raise InputError(
                f"Expected a rule with one threshold and nothing to fit, or a policy file, got {name!r}: calibrate it."
            )
    elif not Path(name).suffix and not Path(name).exists() and "/" not in name:
        raise unknown_name("rule (or a policy file)", name, ready)
    else:
        policy = agents.load(name)
    if decides(policy) == "end":
        raise InputError(f"Expected a policy that decides as it goes, got {type(policy).__name__}: choose another.")
    if threshold is None:
        return policy
    if "threshold" not in vars(policy):
        raise InputError(f"Expected a policy with one threshold, got {type(policy).__name__}: leave --threshold out.")
    return replace(policy, threshold=threshold)  # type: ignore[type-var]


def named_rules(names: Iterable[str]) -> dict[str, AnyPolicy]:
    """Threshold rules to calibrate, by name; an `InputError` for an unknown name."""
    from agents.policies import RULES

    names = list(names)
    for name in names:
        if name not in RULES:
            raise unknown_name("rule", name, RULES)
    return {name: RULES[name] for name in names}


def check_calibratable(policy: Any) -> None:
    """Raise an `InputError` for a policy without a threshold."""
    if not isinstance(policy, rules.ScoredPolicy):
        raise InputError(f"Expected a policy with a threshold to calibrate, got {type(policy).__name__}.")
