"""Every policy of this package: a line makes one known to `save`, `load` and, of threshold rules, the command line."""

import re

from agents.conformal import ConformalSets
from agents.exit_network import ExitNetwork
from agents.fitted_confidence import PerformanceConfidence, ScaledConfidence
from agents.learned import LearnedPolicy
from agents.mixed import Mixed
from agents.optimal_stopping import OptimalStopping
from agents.per_timestep import PerTimestep
from agents.policy import ScoredPolicy
from agents.rules import Confidence, Entropy, FixedTimestep, Gap, Margin, Oracle, Patience, SummedConfidence, Uniform
from agents.tabular_stopping import TabularStopping
from agents.timestep_network import TimestepNetwork

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
