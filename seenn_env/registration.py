"""The registered environments, from one table.

A policy has solved one when its mean reward over the rows of split "policy" exceeds the best single threshold's, or the
best fixed timestep's where no threshold applies (`docs/environments` has both).
"""

from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class Registered:
    """One environment of the table: arguments of `gymnasium.register`."""

    entry_point: str
    vector_entry_point: str | None
    reward_threshold: float
    kwargs: dict[str, Any] = field(default_factory=dict)
    """JSON-able arguments."""


_EARLY_EXIT = ("seenn_env.environments.early_exit:EarlyExitEnv", "seenn_env.vector.early_exit:EarlyExitVectorEnv")
_CHOOSE = (
    "seenn_env.environments.choose_timestep:ChooseTimestepEnv",
    "seenn_env.vector.choose_timestep:ChooseTimestepVectorEnv",
)
_HIDDEN = {"traces": "digits-hidden"}
_LIVE = {"backbone": "digits", "repeats": 20, "dtype": "float16"}

REGISTERED: dict[str, Registered] = {
    "seenn_env/EarlyExit-v0": Registered(*_EARLY_EXIT, 0.8204),
    "seenn_env/EarlyExitLogits-v0": Registered(*_EARLY_EXIT, 0.8204, {"observation": "logits"}),
    "seenn_env/EarlyExitLinear-v0": Registered(*_EARLY_EXIT, 0.9587, {"reward": "linear"}),
    "seenn_env/EarlyExitHidden-v0": Registered(*_EARLY_EXIT, 0.8025, {**_HIDDEN, "observation": "hidden"}),
    "seenn_env/EarlyExitMembrane-v0": Registered(*_EARLY_EXIT, 0.8025, {**_HIDDEN, "observation": "membrane"}),
    "seenn_env/EarlyExitLive-v0": Registered(
        _EARLY_EXIT[0], "seenn_env.vector.early_exit:LiveVectorEnv", 0.8204, _LIVE
    ),
    "seenn_env/EarlyExit-Cifar10-v0": Registered(*_EARLY_EXIT, 0.6522, {"traces": "cifar10-jpeg"}),
    "seenn_env/ChooseTimestep-v0": Registered(*_CHOOSE, 0.7893),
    "seenn_env/ChooseTimestepFeatures-v0": Registered(*_CHOOSE, 0.7893, {"observation": "features"}),
}


def register_all() -> None:
    """Register every environment that is not registered yet."""
    for name, entry in REGISTERED.items():
        if name not in gym.registry:
            gym.register(name, **vars(entry))
