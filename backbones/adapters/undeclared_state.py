"""Detection of state that a module keeps outside the state variables of its framework."""

from collections import deque
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.stepping import same, whole_batch
from backbones.errors import InputError
from backbones.state_tree import map_leaves

_INTERNAL = frozenset(vars(nn.Module()))
_SIMPLE = (bool, int, float, str)


def root_of(kind: type) -> str:
    """The package that a class comes from."""
    return kind.__module__.split(".")[0]


def constants_of(module: nn.Module, framework: str, state: frozenset[str]) -> dict[str, Any]:
    """Copies, by path, of everything in a module that has to stay the same while the network runs.

    Of the framework's own layers these are numbers and buffers but for `state`, the paths of the state variables (their
    other tensors do not matter); of other layers also tensors and collections.
    """
    constants: dict[str, Any] = {}
    for path, part in module.named_modules():
        own = root_of(type(part)) == framework
        for name, value in vars(part).items():
            where = f"{path}.{name}".lstrip(".")
            if name in _INTERNAL or where in state:
                continue
            if isinstance(value, _SIMPLE) or (not own and isinstance(value, Tensor | list | tuple | dict | deque)):
                constants[where] = copied(value)
    for where, buffer in module.named_buffers():
        if where not in state:
            constants[where] = buffer.clone()
    return constants


def refuse_changes(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Raise an `InputError` where one of the constants has changed."""
    for where, value in after.items():
        if where in before and not same(before[where], value):
            if isinstance(value, _SIMPLE):
                raise whole_batch(where, f"which went from {before[where]!r} to {value!r} in one timestep")
            raise InputError(
                f"Expected state of single rows only, got {where}, which changed in one timestep outside the "
                "framework's own state, so that a row of it could not be reset: let the framework's layers keep it, or "
                "let forward take it and give it back."
            )


def copied(value: Any) -> Any:
    """A deep copy of a value's tensors and collections."""
    return map_leaves(lambda leaf: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf, value)


@torch.no_grad()
def rows_alike(value: Tensor) -> bool:
    """Whether all rows of `[B, …]` are equal."""
    return bool((value == value[:1]).all())
