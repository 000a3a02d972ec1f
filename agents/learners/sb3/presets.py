"""Presets of stable-baselines3 and sb3-contrib for short episodes; neither is imported before its use."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from backbones import InputError
from backbones.errors import unknown_name

_FIXED = ("policy", "env", "seed", "device", "tensorboard_log", "verbose", "_init_setup_model")
"""Arguments that `make_model` and `train_sb3` set."""


@dataclass(frozen=True)
class Preset:
    """An algorithm, and arguments that suit episodes of one to T steps."""

    kind: str
    """Name of the class."""
    num_envs: int
    arguments: dict[str, Any]
    policy: str = "MlpPolicy"
    package: str = "stable_baselines3"

    def algorithm(self) -> Any:
        """The class; an `InputError` where sb3-contrib is needed and not installed."""
        return imported(self.package, self.kind)

    def check(self, overrides: Mapping[str, Any]) -> None:
        """Raise an `InputError` for arguments of `make_model` that replace none of the preset's."""
        accepted = ["num_envs", *(name for name in signature(self.algorithm()).parameters if name not in _FIXED)]
        if unknown := sorted(overrides.keys() - set(accepted)):
            raise unknown_name(f"argument of {self.kind}", unknown[0], accepted)


_NETWORK = {"policy_kwargs": {"net_arch": [64, 64]}}
_ROLLOUTS: dict[str, Any] = {"n_steps": 16, "n_epochs": 4, "learning_rate": 3e-3, "gamma": 1.0}
_REPLAY: dict[str, Any] = {
    "learning_rate": 1e-3,
    "buffer_size": 200_000,
    "learning_starts": 10_000,
    "batch_size": 1024,
    "gradient_steps": 4,
    "gamma": 1.0,
    "exploration_fraction": 0.3,
    "exploration_final_eps": 0.1,
}
_QUANTILES = {"policy_kwargs": {"net_arch": [64, 64], "n_quantiles": 25}}
_MEMORY = {"policy_kwargs": {"net_arch": [32], "lstm_hidden_size": 32, "enable_critic_lstm": True}}

PRESETS: dict[str, Preset] = {
    "ppo": Preset("PPO", 1024, {**_ROLLOUTS, "batch_size": 4096, **_NETWORK}),
    "a2c": Preset("A2C", 512, {"n_steps": 4, "learning_rate": 3e-3, "gamma": 1.0, **_NETWORK}),
    "dqn": Preset("DQN", 128, {**_REPLAY, **_NETWORK}),
    "qrdqn": Preset("QRDQN", 128, {**_REPLAY, **_QUANTILES}, package="sb3_contrib"),
    "recurrent-ppo": Preset(
        "RecurrentPPO", 256, {**_ROLLOUTS, "batch_size": 2048, **_MEMORY}, "MlpLstmPolicy", "sb3_contrib"
    ),
}
VALUE_BASED = [name for name, preset in PRESETS.items() if "buffer_size" in preset.arguments]


def imported(module: str, name: str) -> Any:
    """A class of stable-baselines3 or sb3-contrib; an `InputError` where sb3-contrib is needed and not installed."""
    if module.startswith("sb3_contrib") and importlib.util.find_spec("sb3_contrib") is None:
        raise InputError(f"Expected sb3-contrib for {name}, but it is not installed: pip install 'seenn-env[contrib]'.")
    return getattr(importlib.import_module(module), name)
