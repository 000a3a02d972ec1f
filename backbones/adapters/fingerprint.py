"""The parts of a fingerprint: a module's settings as text, and a hash of its weights."""

import functools
import types
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.hashing import hash_bytes, hash_tensors

_INTERNAL = frozenset(vars(nn.Module()))
_DEEPEST = 4


def settings_of(module: nn.Module) -> list[str]:
    """One line for every part of a module, in order of paths: its class and its settings (not tensors and `_names`)."""
    lines = []
    for path, part in sorted(module.named_modules(), key=lambda named: named[0]):
        values = {
            name: described(value)
            for name, value in sorted(vars(part).items())
            if name not in _INTERNAL and not name.startswith("_") and not isinstance(value, Tensor)
        }
        shown = " ".join(f"{name}={value}" for name, value in values.items() if value)
        wires = wiring(part.graph) if isinstance(part, torch.fx.GraphModule) else ""
        lines.append(f"{path}: {_name(type(part))} {shown}{wires}")
    return lines


def wiring(graph: torch.fx.Graph) -> str:
    """Hashes of the computations of a graph, independent of the order of its nodes and summands."""
    hashes: dict[torch.fx.Node, str] = {}
    for node in graph.nodes:
        inputs = [torch.fx.node.map_arg(value, hashes.__getitem__) for value in (node.args, node.kwargs)]
        terms = described(sorted(inputs[0], key=str) if node.target is torch.add else inputs[0])
        text = f"{node.op} {described(node.target)} {terms} {described(inputs[1])}"
        hashes[node] = hash_bytes(text.encode())[:32]
    ends = {hashes[node] for node in graph.nodes if node.op == "output" or node.target == "__setitem__"}
    return " ".join(sorted(ends))


def described(value: Any, depth: int = 0) -> str:
    """A value as text, the same in every process; empty for values without such a text."""
    if value is None or isinstance(value, bool | int | float | str | torch.dtype):
        return repr(value)
    if isinstance(value, np.generic | np.ndarray):
        return described(value.tolist(), depth)
    if isinstance(value, Tensor):
        return hash_tensors({"": value})[:32]
    if depth == _DEEPEST:
        return ""
    if isinstance(value, functools.partial):
        return described((value.func, value.args, value.keywords), depth + 1)
    if isinstance(value, tuple | list):
        return "(" + ", ".join(described(each, depth + 1) for each in value) + ")"
    if isinstance(value, dict):
        if any(isinstance(each, Tensor) for each in value.values()):
            return ""  # recordings of past runs
        items = sorted((str(key), described(each, depth + 1)) for key, each in value.items())
        return "{" + ", ".join(f"{key}: {text}" for key, text in items) + "}"
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return _name(value) + described(cells, depth + 1)
    if isinstance(value, type | types.BuiltinFunctionType):
        return _name(value)
    if isinstance(value, types.MethodType):
        return _name(value.__func__)
    if isinstance(value, nn.Module):
        return _name(type(value))
    if hasattr(value, "__dict__"):
        return _name(type(value)) + described({str(k): v for k, v in sorted(vars(value).items())}, depth + 1)
    return _name(type(value))


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"
