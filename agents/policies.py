"""Tables of this package's policies.

A new policy is one class, a `ScoredPolicy`, and one line here: a rule without arguments in `SINGLE_RULES`, which the
command line knows too, any other in `POLICIES`. `save`, `load`, `calibrate`, `compare` and `classify` then take it.
"""

import re

from agents.calibration.randomised import Mixed
from agents.learners.exact.policy import ExitNetwork
from agents.learners.one_shot.policy import TimestepNetwork
from agents.learners.sb3.policy import LearnedPolicy
from agents.learners.stopping.policy import OptimalStopping
from agents.learners.stopping.tabular import TabularStopping
from agents.rules.conformal import ConformalSets
from agents.rules.per_timestep import PerTimestep
from agents.rules.scaled_confidence import ScaledConfidence
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import (
    Confidence,
    Entropy,
    FixedTimestep,
    Gap,
    Margin,
    Oracle,
    Patience,
    SummedConfidence,
    Uniform,
)

AnyPolicy = ScoredPolicy | FixedTimestep | Oracle | Uniform
"""A policy that `load` returns."""

SINGLE_RULES: tuple[type[ScoredPolicy], ...] = (
    Confidence,
    Entropy,
    Margin,
    Gap,
    SummedConfidence,
    ScaledConfidence,
    Patience,
    ConformalSets,
)
"""Threshold rules without arguments."""

RULE_KINDS = (*SINGLE_RULES, PerTimestep)
"""Threshold rules, `PerTimestep` ones included; all other policies are learned or fixed."""

POLICIES: dict[str, type[AnyPolicy]] = {
    policy.__name__: policy
    for policy in (
        *RULE_KINDS,
        ExitNetwork,
        FixedTimestep,
        LearnedPolicy,
        Mixed,
        OptimalStopping,
        Oracle,
        TabularStopping,
        TimestepNetwork,
        Uniform,
    )
}
"""Policies by the name of their class, which their files hold."""

RULES: dict[str, ScoredPolicy] = {
    re.sub("(?<!^)(?=[A-Z])", "-", rule.__name__).lower(): rule() for rule in SINGLE_RULES
}
"""Threshold rules by their name on the command line; the prefix "per-timestep-" names those with T - 1 thresholds."""
RULES |= {f"per-timestep-{name}": PerTimestep(rule) for name, rule in RULES.items()}
