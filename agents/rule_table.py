"""Every threshold rule by its name on the command line; with T - 1 thresholds, "per-timestep-" comes first."""

from agents.conformal import ConformalSets
from agents.fitted_confidence import PerformanceConfidence, ScaledConfidence
from agents.per_timestep import PerTimestep
from agents.policy import ScoredPolicy
from agents.rules import Confidence, Entropy, Gap, Margin, Patience, SummedConfidence

RULES: dict[str, ScoredPolicy] = {
    "confidence": Confidence(),
    "entropy": Entropy(),
    "margin": Margin(),
    "gap": Gap(),
    "summed-confidence": SummedConfidence(),
    "scaled-confidence": ScaledConfidence(),
    "performance-confidence": PerformanceConfidence(),
    "patience": Patience(),
    "conformal-sets": ConformalSets(),
}
RULES |= {f"per-timestep-{name}": PerTimestep(rule) for name, rule in RULES.items()}

RULE_KINDS = tuple({type(rule) for rule in RULES.values()})
"""The classes of threshold rules, as opposed to what is learned."""
