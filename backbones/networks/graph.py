"""Networks described by a list of layers, as JSON: `backbones.conversion.trace` makes one of a torch module.

    {"name": "conv1", "layer": "conv", "inputs": ["image"], "settings": {"in_channels": 3, …}}

Nodes are in topological order; the last one's output is the readout. The layer "neuron" spikes; as a QCFS activation
it may have "levels" of its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import InputError, unknown_name
from backbones.networks.neurons.activations import QCFS
from backbones.networks.stepped_network import Fire, MakeNeuron, Parts

IMAGE = "image"
"""Name of the input."""
NEURON = "neuron"

Node = dict[str, Any]


class Add(nn.Module):
    """The sum of two tensors."""

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """`one + other`."""
        return one + other


class Concatenate(nn.Module):
    """Concatenation along `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *parts: Tensor) -> Tensor:
        """The parts as one tensor."""
        return torch.cat(parts, self.dim)


class Mean(nn.Module):
    """Mean over dimensions."""

    def __init__(self, dim: list[int], keepdim: bool) -> None:
        super().__init__()
        self.dim, self.keepdim = dim, keepdim

    def forward(self, values: Tensor) -> Tensor:
        """Means without the dimensions, or with size 1 there."""
        return values.mean(self.dim, self.keepdim)


LAYERS: dict[str, Callable[..., nn.Module]] = {
    "adaptive-average-pool": nn.AdaptiveAvgPool2d,
    "add": Add,
    "average-pool": nn.AvgPool2d,
    "batch-norm": nn.BatchNorm2d,
    "batch-norm-1d": nn.BatchNorm1d,
    "concatenate": Concatenate,
    "conv": nn.Conv2d,
    "flatten": nn.Flatten,
    "linear": nn.Linear,
    "max-pool": nn.MaxPool2d,
    "mean": Mean,
}
"""Layers by name, made from the node's settings; "neuron" is made by the network's own maker."""


class Layers(nn.Module):
    """Consecutive nodes of a graph as a module from one tensor to one tensor."""

    def __init__(self, source: str, nodes: list[Node], neuron: MakeNeuron) -> None:
        super().__init__()
        self.source, self.nodes = source, nodes
        made = {node["name"]: _make(node, neuron) for node in nodes}
        self.layers = nn.ModuleDict(made)
        used = {name: place for place, node in enumerate(nodes) for name in node["inputs"]}
        self.done = [[name for name, last in used.items() if last == place] for place in range(len(nodes))]

    def forward(self, current: Tensor, fire: Fire | None = None) -> Tensor:
        """The last node's output."""
        values = {self.source: current}
        for node, done in zip(self.nodes, self.done, strict=True):
            inputs = [values[name] for name in node["inputs"]]
            layer = self.layers[node["name"]]
            for name in done:
                del values[name]
            if node["layer"] == NEURON:
                assert fire is not None
                (name,) = node["inputs"]
                if name not in done and name != self.source:  # `fire` may overwrite its input
                    inputs = [inputs[0].clone()]
                current = fire(layer, *inputs)  # type: ignore[arg-type]
            else:
                current = layer(*inputs)
            values[node["name"]] = current
        return current


def _make(node: Node, neuron: MakeNeuron) -> nn.Module:
    if node["layer"] == NEURON:
        made = neuron()
        if isinstance(made, QCFS) and "levels" in node["settings"]:
            made.levels = node["settings"]["levels"]
        return made
    if node["layer"] not in LAYERS:
        raise unknown_name("layer", node["layer"], (*LAYERS, NEURON))
    return LAYERS[node["layer"]](**node["settings"])


def graph(config: dict[str, Any], neuron: MakeNeuron) -> Parts:
    """Stem, body and head of a graph; an `InputError` where nothing spikes or the nodes do not fit together.

    The stem ends at the last place before the first neuron where the rest needs one tensor only; the head begins at the
    first such place after the last neuron. Options: `nodes`.
    """
    nodes: list[Node] = config["options"].get("nodes", [])
    spiking = [place for place, node in enumerate(nodes) if node["layer"] == NEURON]
    if not spiking:
        raise InputError("Expected nodes with at least one neuron, got a graph in which nothing spikes.")
    cuts = _cuts(nodes)
    begin = max(place for place in cuts if place <= spiking[0])
    end = min(place for place in cuts if place > spiking[-1])
    names = [IMAGE, *(node["name"] for node in nodes)]
    parts = [
        Layers(names[first], nodes[first:last], neuron) for first, last in ((0, begin), (begin, end), (end, len(nodes)))
    ]
    return parts[0], parts[1], parts[2]


def _cuts(nodes: list[Node]) -> list[int]:
    """Places p such that the nodes from p on need, of those before, the last one's output only."""
    place = {IMAGE: 0}  # k: the output of nodes[k - 1]
    earliest = [len(nodes)] * (len(nodes) + 1)  # of the outputs that nodes[p:] take
    for number, node in enumerate(nodes, 1):
        for name in node["inputs"]:
            if name not in place:
                raise InputError(f"Expected nodes after those that they take, got {node['name']!r} before {name!r}.")
        place[node["name"]] = number
    reach = len(nodes)
    for number in range(len(nodes), 0, -1):
        reach = min([reach, *(place[name] for name in nodes[number - 1]["inputs"])])
        earliest[number - 1] = reach
    return [p for p in range(len(nodes) + 1) if earliest[p] >= p]
