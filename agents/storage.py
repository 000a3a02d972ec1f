"""Policies on disk: configuration and safetensors in one file, never pickle.

save(policy, "policy.safetensors")
policy = load("policy.safetensors")
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.learned import LearnedPolicy
from agents.per_timestep import PerTimestep
from agents.rules import Confidence, Entropy, FixedTimestep, Margin, Oracle, Uniform
from backbones import InputError, load_tensor_file, save_tensor_file, unknown_name

FORMAT = "seenn_env.policy/1"
RULES: dict[str, type] = {kind.__name__: kind for kind in (Confidence, Entropy, FixedTimestep, Margin, Oracle, Uniform)}


def save(policy: Any, path: str | Path) -> Path:
    """Write a policy of this package to one file, atomically.

    Raises:
        InputError: for a policy of another kind.
    """
    tensors, config = _taken_apart(policy)
    return save_tensor_file(path, tensors, {"format": FORMAT, "config": json.dumps(config, sort_keys=True)})


def load(path: str | Path) -> Any:
    """Read a policy that `save` wrote.

    Raises:
        InputError: for a file that is missing, not whole, or no policy.
    """
    tensors, metadata = load_tensor_file(path, kind="a policy", format=FORMAT)
    return _put_together(json.loads(metadata["config"]), tensors)


def _taken_apart(policy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    kind = type(policy).__name__
    if isinstance(policy, LearnedPolicy):
        network = policy.network
        assert isinstance(network, ActorCriticPolicy)
        box = network.observation_space
        assert isinstance(box, gym.spaces.Box)
        config = {
            "kind": kind,
            "observation": policy.observation,
            "threshold": policy.threshold,
            "settings": policy.settings,
            "low": box.low.tolist(),
            "high": box.high.tolist(),
            "net_arch": network.net_arch,
        }
        return network.state_dict(), config
    if isinstance(policy, PerTimestep):
        rule = _taken_apart(policy.rule)[1]
        return {}, {"kind": kind, "rule": rule, "thresholds": policy.thresholds, "shift": policy.shift}
    if kind in RULES:
        return {}, {"kind": kind, **asdict(policy)}
    raise InputError(f"Expected a policy of this package to save, got {kind}.")


def _put_together(config: dict[str, Any], tensors: dict[str, Any]) -> Any:
    kind = config.pop("kind")
    if kind == "LearnedPolicy":
        box = gym.spaces.Box(np.float32(config["low"]), np.float32(config["high"]), dtype=np.float32)
        network = ActorCriticPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, net_arch=config["net_arch"])
        network.load_state_dict(tensors)
        return LearnedPolicy(network.eval(), config["observation"], config["threshold"], config["settings"])
    if kind == "PerTimestep":
        return PerTimestep(_put_together(config["rule"], {}), tuple(config["thresholds"]), config["shift"])
    if kind not in RULES:
        raise unknown_name("policy", kind, [*RULES, "LearnedPolicy", "PerTimestep"])
    return RULES[kind](**config)
