"""The origin of a comparison's figures: its data, versions, command and policies."""

from collections.abc import Sequence
from typing import Any

from agents.comparison.report.curves import PolicyCurve
from agents.comparison.result import Comparison
from seenn_env import Traces


def facts_of(comparison: Comparison, traces: Traces) -> dict[str, Any]:
    """Facts of a comparison and its traces by name."""
    facts = {
        "dataset": comparison.dataset,
        "split": comparison.split,
        "samples": comparison.samples,
        "timesteps (T)": comparison.timesteps,
        "classes (K)": traces.num_classes,
        "traces": traces.path.name if traces.path else None,
        "resamples of the bootstrap": comparison.resamples,
        **comparison.provenance,
    }
    facts |= {f"traces: {name}": value for name, value in traces.info.items() if name not in (*facts, "class_names")}
    return {name.replace("_", " "): value for name, value in facts.items() if value is not None}


def policy_facts(curve: PolicyCurve, policies: Sequence[Any]) -> dict[str, Any]:
    """Facts of a policy over its seeds by name."""
    settings = [dict(getattr(policy, "settings", {})) for policy in policies]
    observation = getattr(policies[0], "observation", "")
    steps = settings[0].get("total_timesteps")
    return {
        "curve": curve,
        "algorithm": settings[0].get("algorithm", type(policies[0]).__name__),
        "observation": observation if isinstance(observation, str) else getattr(observation, "__name__", "own"),
        "reward": settings[0].get("reward", ""),
        "steps": "" if steps is None else f"{steps:,}",
        "seeds": ", ".join(str(each["seed"]) for each in settings if "seed" in each),
    }
