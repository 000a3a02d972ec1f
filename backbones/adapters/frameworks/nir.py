"""NIR: a graph of neurons in continuous time, wired by `nirtorch.nir_to_torch` and stepped by forward Euler.

The equations are those of the NIR's definition (Pedersen et al., Neuromorphic intermediate representation, Nature
Communications 2024): a neuron fires above its threshold (`>`) and is then set to its reset potential. The length `dt`
of a timestep is not part of a graph. Shapes in a graph have no batch axis; here rows come first.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from backbones.adapters.frameworks.nir_neurons import NEURONS, Neuron, as_floats
from backbones.adapters.passed_state import PassedState
from backbones.errors import InputError, kind_of, refusing


def to_module(graph: Any, dt: float | None) -> Any:
    """A torch module `(inputs, state) -> (output, state)` of a graph, a path or such a module; or an `InputError`."""
    import nir
    import nirtorch

    if isinstance(graph, str | Path):
        if not Path(graph).is_file():
            raise InputError(f"Expected the path of a NIR graph, got {graph}, which is no file.")
        with refusing(f"Expected a NIR graph that can be read in {graph}", advice=" Write it again with nir.write."):
            graph = nir.read(graph)
    if isinstance(graph, nn.Module):
        if dt is not None:
            raise InputError(f"Expected a NIR graph to apply dt={dt} to, got a module, whose neurons have theirs.")
        return graph
    if not isinstance(graph, nir.NIRGraph):
        raise InputError(f"Expected a NIR graph, got {type(graph).__name__}.")
    if dt is None or not dt > 0:
        raise InputError(
            f"Expected dt, the length of a timestep in the unit of the graph's time constants, got {dt}: it is "
            "no part of a graph; use the one of the network's training."
        )
    makers = {getattr(nir, name): make for name, make in _LAYERS.items()}
    makers |= {getattr(nir, name): lambda node: Neuron(node, dt) for name in NEURONS}
    if not _leaves(graph, tuple(getattr(nir, name) for name in NEURONS)):
        raise InputError(f"Expected a NIR graph with neurons ({', '.join(NEURONS)}), got one without any.")
    for path, node in _leaves(graph, (nir.NIRNode,)).items():
        if type(node) not in makers:
            raise InputError(
                f"Expected nodes that keep their state by row, got {path}, {kind_of(node)}. "
                f"Known: {', '.join(sorted(kind.__name__ for kind in makers))}."
            )
    with refusing("Expected a NIR graph whose nodes and edges fit together", advice=" Check its edges and shapes."):
        return nirtorch.nir_to_torch(graph, makers, default_map={}).eval()


def default_time_axis(module: nn.Module) -> int | None:
    """None: the layers take one timestep."""
    return None


make_stepper = partial(PassedState, "nir")


def _leaves(graph: Any, kinds: tuple[type, ...], path: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        if hasattr(node, "nodes"):
            leaves |= _leaves(node, kinds, f"{path}{name}.")
        elif isinstance(node, kinds):
            leaves[path + name] = node
    return leaves


class _Scale(nn.Module):
    """y = s·x."""

    scale: Tensor

    def __init__(self, scale: Any) -> None:
        super().__init__()
        self.register_buffer("scale", as_floats(scale))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs


class _Threshold(nn.Module):
    """1 above the threshold, else 0."""

    threshold: Tensor

    def __init__(self, threshold: Any) -> None:
        super().__init__()
        self.register_buffer("threshold", as_floats(threshold))

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs > self.threshold).to(inputs.dtype)


def _affine(node: Any) -> nn.Linear:
    layer = nn.Linear(node.weight.shape[-1], node.weight.shape[-2], bias=hasattr(node, "bias"))
    return _filled(layer, node)


def _convolution(kind: type[nn.Conv1d] | type[nn.Conv2d]) -> Callable[[Any], nn.Module]:
    def make(node: Any) -> nn.Module:
        out, into, *kernel = node.weight.shape
        settings: dict[str, Any] = {"stride": _size(node.stride), "dilation": _size(node.dilation)}
        settings["padding"] = node.padding if isinstance(node.padding, str) else _size(node.padding)
        groups = int(node.groups)
        return _filled(kind(into * groups, out, tuple(kernel), groups=groups, **settings), node)

    return make


def _flatten(node: Any) -> nn.Flatten:
    """Axes are counted without the batch."""
    start, end = int(node.start_dim), int(node.end_dim)
    return nn.Flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end)


def _filled(layer: Any, node: Any) -> Any:
    layer.weight.data = as_floats(node.weight)
    if layer.bias is not None:
        layer.bias.data = as_floats(node.bias)
    return layer


def _size(value: Any) -> Any:
    return int(value) if np.ndim(value) == 0 else tuple(int(each) for each in value)


_LAYERS: dict[str, Callable[[Any], nn.Module]] = {
    "Affine": _affine,
    "AvgPool2d": lambda node: nn.AvgPool2d(_size(node.kernel_size), _size(node.stride), _size(node.padding)),
    "Conv1d": _convolution(nn.Conv1d),
    "Conv2d": _convolution(nn.Conv2d),
    "Flatten": _flatten,
    "Input": lambda node: nn.Identity(),
    "Linear": _affine,
    "Output": lambda node: nn.Identity(),
    "Scale": lambda node: _Scale(node.scale),
    "SumPool2d": lambda node: nn.AvgPool2d(
        _size(node.kernel_size), _size(node.stride), _size(node.padding), divisor_override=1
    ),
    "Threshold": lambda node: _Threshold(node.threshold),
}
