"""Policies on disk: configuration and safetensors in one file, never pickle.

save(policy, "policy.safetensors")
policy = load("policy.safetensors")
policy = load("cifar10-jpeg/ppo")                # one of those that are packaged
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from agents.conformal import ConformalSets
from agents.exit_network import ExitNetwork
from agents.fitted_confidence import PerformanceConfidence, ScaledConfidence
from agents.heads import HEADS, head_of
from agents.learned import LearnedPolicy, Normaliser
from agents.mixed import Mixed
from agents.optimal_stopping import OptimalStopping
from agents.per_timestep import PerTimestep
from agents.rules import Confidence, Entropy, FixedTimestep, Gap, Margin, Oracle, Patience, SummedConfidence, Uniform
from agents.tabular_stopping import TabularStopping
from agents.timestep_network import TimestepNetwork, make_timestep_network
from backbones import InputError, load_tensor_file, save_tensor_file, unknown_name
from backbones.kinds import check_kinds

FORMAT = "seenn_env.policy/1"
_PACKAGED = Path(__file__).parent / "data"
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
OTHERS = (
    "ExitNetwork",
    "LearnedPolicy",
    "Mixed",
    "OptimalStopping",
    "PerTimestep",
    "TabularStopping",
    "TimestepNetwork",
)


@check_kinds
def save(policy: Any, path: str | Path) -> Path:
    """Write a policy of this package to one file, atomically.

    Raises:
        InputError: for a policy of another kind, or one that holds more than JSON does.
    """
    tensors, config = _taken_apart(policy)
    try:
        written = json.dumps(config, sort_keys=True)
    except TypeError as error:
        raise InputError(
            f"Expected a policy of facts that JSON holds to save, but {error}: give observation and reward by name, "
            "your own as 'module:name'."
        ) from error
    return save_tensor_file(path, tensors, {"format": FORMAT, "config": written})


def packaged_policies() -> tuple[str, ...]:
    """Names of the packaged policies, TRACES/POLICY; `docs/cards/policies.md` has the accuracy of each."""
    return tuple(sorted(f"{file.parent.name}/{file.stem}" for file in _PACKAGED.glob("*/*.safetensors")))


@check_kinds
def load(path: str | Path) -> Any:
    """Read a policy that `save` wrote, or a packaged one by its name.

    Raises:
        InputError: for a file that is missing, not whole, or no policy, or a name that is not known.
    """
    name = Path(path).as_posix()
    if (_PACKAGED / name.split("/")[0]).is_dir() and not Path(path).suffix and not Path(path).exists():
        if name not in packaged_policies():
            raise unknown_name("packaged policy", name, packaged_policies())
        path = _PACKAGED / f"{name}.safetensors"
    tensors, metadata = load_tensor_file(path, kind="a policy", format=FORMAT)
    return _put_together(json.loads(metadata["config"]), tensors)


def _taken_apart(policy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    kind = type(policy).__name__
    if isinstance(policy, LearnedPolicy):
        network, head = policy.network, head_of(policy.network)
        box = network.observation_space
        assert isinstance(box, gym.spaces.Box)
        config = {
            "kind": kind,
            "head": head.name,
            "observation": policy.observation,
            "threshold": policy.threshold,
            "settings": policy.settings,
            "normaliser": None if policy.normaliser is None else vars(policy.normaliser),
            "seed": policy.seed,
            "low": box.low.tolist(),
            "high": box.high.tolist(),
            **head.arguments(network),
        }
        return network.state_dict(), config
    if isinstance(policy, ExitNetwork | OptimalStopping):
        values = {entry.name: getattr(policy, entry.name) for entry in fields(policy) if entry.name != "tensors"}
        return policy.tensors, {"kind": kind, **values}
    if isinstance(policy, TimestepNetwork):
        names = ("shape", "timesteps", "width", "threshold", "settings", "seed")
        return policy.network.state_dict(), {"kind": kind, **{name: getattr(policy, name) for name in names}}
    if isinstance(policy, TabularStopping):
        tables = {name: torch.from_numpy(getattr(policy, name)) for name in ("edges", "gains")}
        return tables, {"kind": kind, "threshold": policy.threshold, "settings": policy.settings}
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
        box = gym.spaces.Box(np.float32(config.pop("low")), np.float32(config.pop("high")), dtype=np.float32)
        facts = {name: config.pop(name) for name in ("observation", "threshold", "settings")}
        facts["seed"], normaliser = config.pop("seed", 0), config.pop("normaliser", None)
        if normaliser is not None:
            facts["normaliser"] = Normaliser(tuple(normaliser["mean"]), tuple(normaliser["scale"]), normaliser["clip"])
        network = HEADS[config.pop("head", "actor-critic")].make(box, config)
        network.load_state_dict(tensors)
        return LearnedPolicy(network.eval(), **facts)
    if kind == "ExitNetwork":
        return ExitNetwork(tensors, **config)
    if kind == "TimestepNetwork":
        config["shape"] = tuple(config["shape"])
        convolutions = make_timestep_network(config["shape"], config["timesteps"], config["width"])
        convolutions.load_state_dict(tensors)
        return TimestepNetwork(convolutions.eval(), **config)
    if kind == "OptimalStopping":
        return OptimalStopping(tensors=tensors, **config)
    if kind == "TabularStopping":
        return TabularStopping(**{name: tensor.numpy() for name, tensor in tensors.items()}, **config)
    if kind == "PerTimestep":
        return PerTimestep(_put_together(config["rule"], tensors), tuple(config["thresholds"]), config["shift"])
    if kind == "Mixed":
        return Mixed(_put_together(config.pop("policy"), tensors), **config)
    if kind not in PLAIN:
        raise unknown_name(
            "policy", kind, [*PLAIN, "ExitNetwork", "LearnedPolicy", "Mixed", "PerTimestep", "TimestepNetwork"]
        )
    return PLAIN[kind](**config, **{name: tensor.numpy() for name, tensor in tensors.items()})
