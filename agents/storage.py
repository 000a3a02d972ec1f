"""Policies on disk: configuration and safetensors in one file, never pickle.

save(policy, "policy.safetensors")
policy = load("policy.safetensors")
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import safetensors
import safetensors.torch
from stable_baselines3.common.policies import ActorCriticPolicy

from agents.learned import LearnedPolicy
from agents.per_timestep import PerTimestep
from agents.rules import Confidence, Entropy, FixedTimestep, Margin, Oracle, Uniform
from backbones import InputError, unknown_name

FORMAT = "seenn_env.policy/1"
RULES: dict[str, type] = {kind.__name__: kind for kind in (Confidence, Entropy, FixedTimestep, Margin, Oracle, Uniform)}


def save(policy: Any, path: str | Path) -> Path:
    """Write a policy of this package to one file, atomically.

    Raises:
        InputError: for a policy of another kind.
    """
    tensors, config = _taken_apart(policy)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    metadata = {"format": FORMAT, "config": json.dumps(config, sort_keys=True)}
    try:
        safetensors.torch.save_file(tensors, temporary, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load(path: str | Path) -> Any:
    """Read a policy that `save` wrote.

    Raises:
        InputError: for a file that is missing, not whole, or no policy.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Expected a policy file, found nothing at {path}. `seenn train` makes one.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise InputError(f"Expected a policy file, but {path} is not whole ({error}).") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"Expected a policy file ({FORMAT}), got format {metadata.get('format')!r} in {path}.")
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
        return {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, config
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
