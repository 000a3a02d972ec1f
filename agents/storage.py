"""Policies on disk: configuration and safetensors in one file, never pickle.

save(policy, "policy.safetensors")
policy = load("policy.safetensors")
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.conformal import ConformalSets
from agents.fitted_confidence import PerformanceConfidence, ScaledConfidence
from agents.learned import LearnedPolicy
from agents.mixed import Mixed
from agents.per_timestep import PerTimestep
from agents.rules import Confidence, Entropy, FixedTimestep, Gap, Margin, Oracle, Patience, SummedConfidence, Uniform
from backbones import InputError, load_tensor_file, save_tensor_file, unknown_name

FORMAT = "seenn_env.policy/1"
PLAIN: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Confidence,
        ConformalSets,
        Entropy,
        FixedTimestep,
        Gap,
        Margin,
        Oracle,
        Patience,
        PerformanceConfidence,
        ScaledConfidence,
        SummedConfidence,
        Uniform,
    )
}
"""Dataclasses whose fields are JSON-able, or arrays."""


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
        tensors, rule = _taken_apart(policy.rule)
        return tensors, {"kind": kind, "rule": rule, "thresholds": policy.thresholds, "shift": policy.shift}
    if isinstance(policy, Mixed):
        tensors, inner = _taken_apart(policy.policy)
        facts = {"other": policy.other, "share": policy.share, "seed": policy.seed}
        return tensors, {"kind": kind, "policy": inner, **facts}
    if kind in PLAIN:
        values = {field.name: getattr(policy, field.name) for field in fields(policy)}
        arrays = {name: torch.from_numpy(value) for name, value in values.items() if isinstance(value, np.ndarray)}
        return arrays, {"kind": kind, **{name: value for name, value in values.items() if name not in arrays}}
    raise InputError(f"Expected a policy of this package to save, got {kind}.")


def _put_together(config: dict[str, Any], tensors: dict[str, Any]) -> Any:
    kind = config.pop("kind")
    if kind == "LearnedPolicy":
        box = gym.spaces.Box(np.float32(config["low"]), np.float32(config["high"]), dtype=np.float32)
        network = ActorCriticPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, net_arch=config["net_arch"])
        network.load_state_dict(tensors)
        return LearnedPolicy(network.eval(), config["observation"], config["threshold"], config["settings"])
    if kind == "PerTimestep":
        return PerTimestep(_put_together(config["rule"], tensors), tuple(config["thresholds"]), config["shift"])
    if kind == "Mixed":
        return Mixed(_put_together(config.pop("policy"), tensors), **config)
    if kind not in PLAIN:
        raise unknown_name("policy", kind, [*PLAIN, "LearnedPolicy", "Mixed", "PerTimestep"])
    return PLAIN[kind](**config, **{name: tensor.numpy() for name, tensor in tensors.items()})
