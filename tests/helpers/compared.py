"""Policies to compare: rules at two targets, a learned one of two seeds, references."""

from dataclasses import dataclass

from agents import Confidence, FixedTimestep, Margin, Oracle, PerTimestep, calibrate
from agents.rules import ScoredPolicy
from tests.helpers.traces import make_traces


@dataclass(frozen=True)
class Outsider(ScoredPolicy):
    """A policy with a score that is none of the rules: it counts as learned."""

    threshold: float
    observation = "features"
    column = "margin"


def entries() -> dict:
    calibration = make_traces(1000, split="calibration", seed=6)
    rules = {
        "confidence": Confidence(),
        "margin": Margin(),
        "per-timestep": PerTimestep(Margin()),
    }
    found = {
        f"{name} @ {t}": calibrate(rule, calibration, target_timesteps=t)
        for t in (1.3, 2.0)
        for name, rule in rules.items()
    }
    return {"fixed t=2": FixedTimestep(2), **found, "learned": [Outsider(0.5), Outsider(0.6)], "oracle": Oracle()}
