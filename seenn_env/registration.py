"""The registered environments, from one table."""

from typing import Any

import gymnasium as gym

REGISTERED: dict[str, dict[str, Any]] = {
    "seenn_env/EarlyExit-v0": {
        "entry_point": "seenn_env.early_exit:EarlyExitEnv",
        "vector_entry_point": "seenn_env.early_exit_vector:EarlyExitVectorEnv",
    },
    "seenn_env/ChooseTimestep-v0": {
        "entry_point": "seenn_env.choose_timestep:ChooseTimestepEnv",
        "vector_entry_point": "seenn_env.choose_timestep_vector:ChooseTimestepVectorEnv",
    },
}


def register_all() -> None:
    """Register what is not registered yet."""
    for name, entry in REGISTERED.items():
        if name not in gym.registry:
            gym.register(name, **entry)
