"""Every policy of this package: a line makes one known to `save`, `load` and, of threshold rules, the command line."""

import re

from agents.calibration.randomised import Mixed
from agents.learners.exact.policy import ExitNetwork
from agents.learners.one_shot.policy import TimestepNetwork
from agents.learners.sb3.policy import LearnedPolicy
from agents.learners.stopping.policy import OptimalStopping
from agents.learners.stopping.tabular import TabularStopping
from agents.rules.conformal import ConformalSets
from agents.rules.fitted import PerformanceConfidence, ScaledConfidence
from agents.rules.per_timestep import PerTimestep
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
"""What `load` gives."""

SINGLE_RULES: tuple[type[ScoredPolicy], ...] = (
    Confidence,
    Entropy,
    Margin,
    Gap,
    SummedConfidence,
    ScaledConfidence,
    PerformanceConfidence,
    Patience,
    ConformalSets,
)
"""Rules that can be made without an argument."""

RULE_KINDS = (*SINGLE_RULES, PerTimestep)
"""Threshold rules, as opposed to learned policies."""

POLICIES: dict[str, type[AnyPolicy]] = {
    kind.__name__: kind
    for kind in (
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
"""By the name that a file has for them."""

RULES: dict[str, ScoredPolicy] = {
    re.sub("(?<!^)(?=[A-Z])", "-", kind.__name__).lower(): kind() for kind in SINGLE_RULES
}
"""Threshold rules by their name on the command line; "per-timestep-" comes before those with T - 1 thresholds."""
RULES |= {f"per-timestep-{name}": PerTimestep(rule) for name, rule in RULES.items()}
