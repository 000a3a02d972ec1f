"""Policies on disk: configuration and safetensors in one file, never pickle.

save(policy, "policy.safetensors")
policy = load("policy.safetensors")
policy = load("cifar10-jpeg/ppo")                # one of those that are packaged
"""

import json
from pathlib import Path
from typing import Any

from agents.policies import POLICIES, AnyPolicy
from agents.rules.score import ScoredPolicy, field_tensors, of_fields
from backbones import InputError
from backbones.argument_checks import check_kinds
from backbones.errors import unknown_name
from backbones.tensor_files import load_tensor_file, save_tensor_file

FORMAT = "seenn_env.policy/1"
_PACKAGED = Path(__file__).parent / "data"


@check_kinds
def save(policy: AnyPolicy, path: str | Path) -> Path:
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
def load(path: str | Path) -> AnyPolicy:
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


def _taken_apart(policy: AnyPolicy) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and facts; another policy in a field becomes facts, with its tensors in place of the outer one's."""
    kind = type(policy).__name__
    if POLICIES.get(kind) is not type(policy):
        raise InputError(f"Expected a policy of this package to save, got {kind}.")
    tensors, facts = policy.to_tensors() if isinstance(policy, ScoredPolicy) else field_tensors(policy)
    for name, value in facts.items():
        if isinstance(value, ScoredPolicy):
            tensors, facts[name] = _taken_apart(value)
    return tensors, {"kind": kind, **facts}


def _put_together(facts: dict[str, Any], tensors: dict[str, Any]) -> Any:
    kind = facts.pop("kind")
    if kind not in POLICIES:
        raise unknown_name("policy", kind, POLICIES)
    for name, value in facts.items():
        if name != "settings" and isinstance(value, dict) and "kind" in value:
            facts[name], tensors = _put_together(value, tensors), {}
    made = POLICIES[kind]
    return made.from_tensors(tensors, facts) if issubclass(made, ScoredPolicy) else of_fields(made, tensors, facts)
