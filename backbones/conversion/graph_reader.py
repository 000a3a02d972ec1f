"""Reading of a module traced by torch.fx into the nodes of a graph network (`backbones.networks.graph`)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from backbones.conversion.qcfs_modules import Staircase
from backbones.conversion.torch_layers import ADDITIONS, FUNCTIONS, MODULES, PASSING, Layer, flattens, is_batch_size
from backbones.errors import InputError
from backbones.networks.graph import IMAGE, NEURON, Node
from backbones.networks.neurons.activations import QCFS

_TAKEN = frozenset({IMAGE, *dir(nn.ModuleDict())})
"""Names that a layer cannot have."""


class GraphReader:
    """Nodes of a graph network, read from a module as torch.fx traced it; an `InputError` by its path for what a graph
    cannot have.

    `staircases` has λ and L of the parts that compute QCFS; for `max_pool` see
    `backbones.conversion.converter.convert`.
    """

    def __init__(
        self, traced: fx.GraphModule, module: nn.Module, max_pool: str, staircases: Mapping[nn.Module, Staircase]
    ) -> None:
        self.modules = dict(module.named_modules())
        self.max_pool = max_pool
        self.staircases = staircases
        self.replaced: dict[fx.Node, Callable[[Tensor], Tensor]] = {}
        """Functions that replace traced nodes."""
        self.learned: dict[str, Staircase] = {}
        """λ and L of each QCFS activation, by name of the node."""
        self.nodes: list[Node] = []
        self.sources: dict[str, nn.Module] = {}
        """The module with the weights of a node, by its name."""
        self.names: dict[fx.Node, str] = {}
        """Name of each traced node's value."""
        self.dynamic: set[str] = set()
        """Values that differ from timestep to timestep."""
        needed = _needed(traced.graph)
        for node in traced.graph.nodes:
            if node in needed and node.op != "output":
                self._read(node)
        (result,) = (node for node in traced.graph.nodes if node.op == "output")
        if not isinstance(result.args[0], fx.Node):
            raise InputError(f"Expected a module that gives logits [B, K], got {type(result.args[0]).__name__}.")
        if not self.nodes or self.names.get(result.args[0]) != self.nodes[-1]["name"]:
            raise InputError("Expected a module whose output is made of its input by layers, got another.")

    def _read(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if self.names:
                raise InputError(f"Expected a module of one input, got a second one: {node.target}.")
            self.names[node] = IMAGE
        elif node.op == "call_module":
            self._module(node, self.modules[str(node.target)])
        elif is_batch_size(node):
            pass
        elif node.op == "get_attr":
            raise _unsupported(node, f"the tensor {node.target} of its own")
        else:
            self._function(node)

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        if isinstance(module, PASSING):
            self.names[node] = self._inputs(node, node.args[:1])[0]
            return
        if module in self.staircases:
            threshold, levels = self.staircases[module]
            name = self._add(node, (NEURON, {"levels": levels}), node.args[:1] or tuple(node.kwargs.values()))
            self.learned[name] = threshold, levels
            self.replaced[node] = QCFS(levels, threshold).to(first_weight(module)).fire
            return
        known = type_before_parametrizations(module)
        if known not in MODULES:
            raise _unsupported(node, known.__name__)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is None:
            raise _unsupported(node, f"{type(module).__name__} without running statistics")
        if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
            raise _unsupported(node, f"Conv2d with padding_mode={module.padding_mode!r}")
        if isinstance(module, nn.MaxPool2d) and module.return_indices:
            raise _unsupported(node, "MaxPool2d with return_indices")
        kind, settings = MODULES[known]
        name = self._add(node, (kind, settings(module)), node.args[:1] or tuple(node.kwargs.values()))
        self.sources[name] = module

    def _function(self, node: fx.Node) -> None:
        target: Any = node.target
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target)).rstrip("_")
        if target in ADDITIONS:
            values = [value for value in node.args if isinstance(value, fx.Node)]
            if len(values) != 2 or node.kwargs:
                raise _unsupported(node, "a sum with something that is not the output of a layer")
            self._add(node, ("add", {}), tuple(values))
        elif name in ("cat", "concat"):
            parts: Any = node.args[0] if node.args else node.kwargs["tensors"]
            dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            self._add(node, ("concatenate", {"dim": dim}), tuple(parts))
        elif name in ("view", "reshape") and flattens(node):
            self._add(node, ("flatten", {"start_dim": 1, "end_dim": -1}), node.args[:1])
        else:
            known = FUNCTIONS.get(target) or FUNCTIONS.get(name.rstrip("_"))
            options = dict(node.kwargs)
            source = node.args[:1] or (options.pop("input", None),)
            if known is None:
                raise _unsupported(node, f"the function {name}")
            if len(node.all_input_nodes) != 1:
                raise _unsupported(node, f"the function {name} with a size or a tensor that depends on the input")
            try:
                layer = known(*node.args[1:], **options)
            except TypeError as error:
                raise _unsupported(node, f"the function {name} with these arguments") from error
            if layer[0] == "":
                self.names[node] = self._inputs(node, source)[0]
            else:
                self._add(node, layer, source)

    def _add(self, node: fx.Node, layer: Layer, sources: tuple[Any, ...]) -> str:
        inputs, (kind, settings) = self._inputs(node, sources), layer
        dims = settings.get("dim", settings.get("start_dim"))
        if dims == 0 or (isinstance(dims, list) and 0 in dims):
            raise _unsupported(node, f"the layer {kind!r} over the batch")
        moves = bool(self.dynamic & set(inputs))
        if kind == "max-pool" and moves and self.max_pool != "spikes":
            kind, settings = self._pool(node, settings)
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
        name = node.name
        while name in _TAKEN or name in self.names.values():
            name += "_"
        self.nodes.append({"name": name, "layer": kind, "inputs": inputs, "settings": settings})
        self.names[node] = name
        if moves or kind == NEURON:
            self.dynamic.add(name)
        return name

    def _pool(self, node: fx.Node, settings: dict[str, Any]) -> Layer:
        if self.max_pool == "refuse":
            raise InputError(
                f"Expected no max-pooling of spikes, got one at {_path(node)}: pass max_pool='average' to put average "
                "pooling in its place (exact, but train it so), or max_pool='spikes' to keep it (not exact)."
            )
        if settings["dilation"] not in (1, (1, 1)):
            raise _unsupported(node, "MaxPool2d with dilation")
        kept = {key: settings[key] for key in ("kernel_size", "stride", "padding", "ceil_mode")}
        settings = {**kept, "count_include_pad": False}
        self.replaced[node] = partial(F.avg_pool2d, **settings)
        return "average-pool", settings

    def _inputs(self, node: fx.Node, sources: tuple[Any, ...]) -> list[str]:
        for source in sources:
            if not isinstance(source, fx.Node) or source not in self.names:
                raise _unsupported(node, f"an input ({source}) that is not the output of a layer")
        return [self.names[source] for source in sources]

    def neuron(self) -> str:
        """The kind of activation of the graph; an `InputError` for more than one."""
        if 0 < len(self.learned) < sum(node["layer"] == NEURON for node in self.nodes):
            raise InputError("Expected one kind of activation, got QCFS and ReLUs: put one of them in all places.")
        return "qcfs" if self.learned else "relu"


def _needed(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output depends on, and the inputs."""
    waiting = [node for node in graph.nodes if node.op in ("output", "placeholder")]
    needed = set(waiting)
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in needed:
                needed.add(source)
                waiting.append(source)
    return needed


def _path(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    *_, (inside, _kind) = list(stack.values()) or [("", None)]
    return f"{inside}.{node.name}" if inside else node.name


def _unsupported(node: fx.Node, what: str) -> InputError:
    return InputError(
        f"Expected ReLUs and linear layers to convert, got {what} at {_path(node)}: put another layer in its place "
        "(or pass activations=… for a QCFS activation of your own)."
    )


def first_weight(module: nn.Module) -> Tensor:
    """A parameter with the module's device and dtype."""
    return next(module.parameters(), torch.zeros(()))
