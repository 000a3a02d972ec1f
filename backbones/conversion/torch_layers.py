"""Modules and functions of torch that a graph network has layers for."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from backbones.networks.graph import NEURON

Layer = tuple[str, dict[str, Any]]
"""Name and settings."""


def _settings(*names: str) -> Callable[[Any], dict[str, Any]]:
    return lambda module: {name: getattr(module, name) for name in names}


MODULES: dict[type[nn.Module], tuple[str, Callable[[Any], dict[str, Any]]]] = {
    nn.AdaptiveAvgPool2d: ("adaptive-average-pool", _settings("output_size")),
    nn.AvgPool2d: (
        "average-pool",
        _settings("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    ),
    nn.BatchNorm1d: ("batch-norm-1d", _settings("num_features", "eps", "affine")),
    nn.BatchNorm2d: ("batch-norm", _settings("num_features", "eps", "affine")),
    nn.Conv2d: (
        "conv",
        lambda m: {
            **_settings("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")(m),
            "bias": m.bias is not None,
        },
    ),
    nn.Flatten: ("flatten", _settings("start_dim", "end_dim")),
    nn.Linear: ("linear", lambda m: {**_settings("in_features", "out_features")(m), "bias": m.bias is not None}),
    nn.MaxPool2d: ("max-pool", _settings("kernel_size", "stride", "padding", "dilation", "ceil_mode")),
    nn.ReLU: (NEURON, lambda m: {}),
}
"""Modules with a layer in a graph; those of `PASSING` get none."""

PASSING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)


def _average_pool(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Layer:
    return "average-pool", locals()


def _max_pool(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Layer:
    del return_indices
    return "max-pool", locals()


FUNCTIONS: dict[Any, Callable[..., Layer]] = {
    F.adaptive_avg_pool2d: lambda output_size: ("adaptive-average-pool", {"output_size": output_size}),
    F.avg_pool2d: _average_pool,
    F.max_pool2d: _max_pool,
    "flatten": lambda start_dim=0, end_dim=-1: ("flatten", {"start_dim": start_dim, "end_dim": end_dim}),
    "mean": lambda dim, keepdim=False: (
        "mean",
        {"dim": [dim] if isinstance(dim, int) else list(dim), "keepdim": keepdim},
    ),
    "relu": lambda inplace=False: (NEURON, {}),
    "dropout": lambda *settings, **named: ("", {}),
}
"""Layers of functions of one tensor, by function or by name of a function or method; "" gets none."""

ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")


def is_batch_size(node: fx.Node) -> bool:
    """Whether a node is `x.size(0)`, `x.size()`, `x.shape` or its first entry."""
    if node.op == "call_method" and node.target == "size":
        return bool(node.args[1:] in ((), (0,)))
    if node.op == "call_function" and node.target is getattr:
        return bool(node.args[1] == "shape")
    if node.op == "call_function" and node.target is operator.getitem:
        source, place = node.args
        return isinstance(source, fx.Node) and is_batch_size(source) and isinstance(place, int) and bool(place == 0)
    return False


def flattens(node: fx.Node) -> bool:
    """Whether a node is a view or reshape to `[B, -1]`."""
    shape: Any = node.args[1:]
    if len(shape) == 1 and isinstance(shape[0], tuple | list):
        shape = tuple(shape[0])
    if len(shape) != 2:
        return False
    rows = is_batch_size(shape[0]) if isinstance(shape[0], fx.Node) else shape[0] == -1
    return bool(rows) and isinstance(shape[1], int)
