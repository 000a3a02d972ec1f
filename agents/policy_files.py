"""Policies on disk: configuration and safetensors in one file, never pickle.

save(policy, "policy.safetensors")
policy = load("policy.safetensors")
policy = load("cifar10-jpeg/ppo")                # a packaged one
"""

import json
import os
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.policies import POLICIES, AnyPolicy
from agents.rules.score import ScoredPolicy
from backbones import InputError
from backbones.argument_checks import check_kinds
from backbones.errors import damaged, unknown_name
from backbones.tensor_files import load_tensor_file, save_tensor_file
from seenn_env.entry_points import is_entry_point

FORMAT, _UNSEALED = "seenn_env.policy/2", "seenn_env.policy/1"
PACKAGED = Path(__file__).parent / "data"
_DEEPEST = 4


@check_kinds
def save(policy: AnyPolicy, path: str | Path, *, about: Mapping[str, Any] | None = None) -> Path:
    """Write a policy of this package to one file, atomically; an existing one is replaced.

    Args:
        policy: the policy.
        path: the file.
        about: facts of its making, such as its target, that `seenn info` shows and `load` ignores.

    Raises:
        InputError: for a policy that is not of this package, or one with settings that JSON cannot hold.
    """
    tensors, facts = _to_tensors(policy)
    try:
        metadata = {"format": FORMAT, "config": json.dumps(facts, sort_keys=True)}
        metadata |= {"about": json.dumps(about, sort_keys=True)} if about else {}
    except TypeError as error:
        raise InputError(
            f"Expected a policy of facts that JSON holds to save, but {error}: give observation and reward by name, "
            "your own as 'module:name'."
        ) from error
    return save_tensor_file(path, tensors, metadata)


def packaged_policies() -> tuple[str, ...]:
    """Names of the packaged policies, TRACES/POLICY; `docs/cards/policies.md` has their accuracies."""
    return tuple(sorted(f"{file.parent.name}/{file.stem}" for file in PACKAGED.glob("*/*.safetensors")))


@check_kinds
def load(path: str | Path) -> AnyPolicy:
    """Read a policy that `save` wrote, or a packaged one by its name; an `InputError` for a file that is missing,
    damaged or no policy, an unknown name, or a policy that reads a user's own observation ("module:name") whose module
    is not imported yet.
    """
    name = Path(path).as_posix()
    if os.path.isfile(path) and zipfile.is_zipfile(path):
        raise InputError(
            f"Expected a policy file, got the zip {path}: read one that stable-baselines3 saved by "
            "agents.learners.load_sb3."
        )
    if not Path(path).suffix and not os.path.exists(path):
        if name not in packaged_policies():
            raise unknown_name("packaged policy (or a file)", name, packaged_policies())
        path = PACKAGED / f"{name}.safetensors"
    tensors, metadata = load_tensor_file(path, kind="a policy", format=FORMAT, unsealed=_UNSEALED)
    try:
        with damaged("a policy", path):
            return _from_tensors(json.loads(metadata["config"]), tensors)
    except InputError as error:
        raise (error if str(path) in str(error) else InputError(f"The policy in {path} is refused: {error}")) from error


def _to_tensors(policy: AnyPolicy) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and facts; a policy in a field becomes facts, and its tensors replace the outer policy's (none)."""
    name = type(policy).__name__
    if POLICIES.get(name) is not type(policy):
        raise InputError(f"Expected a policy of this package to save, got {name}.")
    tensors, facts = policy.to_tensors() if isinstance(policy, ScoredPolicy) else ({}, dict(vars(policy)))
    for field, value in facts.items():
        if isinstance(value, ScoredPolicy):
            tensors, facts[field] = _to_tensors(value)
    return tensors, {"kind": name, **facts}


def _from_tensors(facts: dict[str, Any], tensors: dict[str, Any], depth: int = 0) -> Any:
    name = facts.pop("kind")
    if name not in POLICIES:
        raise unknown_name("policy", name, POLICIES)
    if depth > _DEEPEST:
        raise InputError(f"Expected policies in policies at most {_DEEPEST} deep, got deeper ones.")
    for part in str(facts.get("observation")).split("+"):
        module = part.partition(":")[0]
        if is_entry_point(part) and (module not in sys.modules or module.split(".")[0] in sys.stdlib_module_names):
            raise InputError(
                f"Expected an observation of this package, got a policy that reads {part!r}: a file imports no "
                "module. Import yours first if you trust it (seenn --import MODULE COMMAND …)."
            )
    for field, value in facts.items():
        if field != "settings" and isinstance(value, dict) and "kind" in value:
            facts[field], tensors = _from_tensors(value, tensors, depth + 1), {}
    policy = POLICIES[name]
    return policy.from_tensors(tensors, facts) if issubclass(policy, ScoredPolicy) else policy(**facts)
