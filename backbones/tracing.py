"""A torch module as a graph of layers that can be saved, or a sentence on why it cannot be one.

ann = trace(torchvision.models.resnet18().eval(), images, max_pool="average")        # a network without time
"""

from typing import Any

import torch
from torch import Tensor, fx, nn

from backbones.building import build
from backbones.errors import InputError, unknown_name
from backbones.graphs import IMAGE, NEURON, Node
from backbones.known_layers import ADDITIONS, FUNCTIONS, MODULES, PASSING, Layer, flattens, is_batch_size
from backbones.network import SpikingNetwork

MAX_POOL = ("refuse", "average", "spikes")


def trace(
    module: nn.Module,
    images: Tensor,
    *,
    max_pool: str = "refuse",
    mean: float | list[float] = 0.0,
    std: float | list[float] = 1.0,
) -> SpikingNetwork:
    """The module as a network without time (`neuron="relu"`, T = 1), with a copy of its weights.

    Understood are ReLUs, convolutions, linear layers, batch norms (as in evaluation), average pools, sums,
    concatenations, flattening, means and dropout (left out), as modules or functions: ResNets, VGGs and
    DenseNets of torchvision among others. Whether the graph computes what the module does is tried on
    the first images.

    Args:
        module: takes `[B, C, H, W]` floats and gives `[B, K]` logits.
        images: `[N, C, H, W]` uint8 or floats in [0, 1].
        max_pool: see `backbones.conversion.convert`.
        mean: of the intensities, taken off before the module sees them.
        std: likewise, divided by.

    Raises:
        InputError: for what a graph cannot hold, by its path.
    """
    if max_pool not in MAX_POOL:
        raise unknown_name("max_pool", max_pool, MAX_POOL)
    if images.dim() != 4 or len(images) == 0:
        raise InputError(f"Expected images [N, C, H, W], got {list(images.shape)}.")
    was_training = {part: part.training for part in module.modules()}
    try:
        traced = fx.symbolic_trace(module.eval())
        reader = _Reader(traced, module, max_pool)
        try:
            first = images[:8]
            answer = module(_normed(first, mean, std, module))
        except (RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"Expected a module that takes images {list(images.shape)}, but: {error}.") from error
    except (fx.proxy.TraceError, TypeError, NotImplementedError) as error:
        raise InputError(
            f"Expected a module that torch.fx can trace, but: {error}. Leave out control flow that depends on tensors."
        ) from error
    finally:
        for part, training in was_training.items():
            part.training = training
    if not isinstance(answer, Tensor) or answer.dim() != 2 or answer.shape[1] < 2:
        got = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise InputError(f"Expected a module that gives logits [B, K], got {got}.")
    network = build(
        "graph",
        num_classes=answer.shape[1],
        timesteps=1,
        input_shape=images.shape[1:],
        neuron="relu",
        mean=mean,
        std=std,
        nodes=reader.nodes,
    )
    _copy_weights(network, reader.sources)
    network.to(answer.device)
    if not reader.replaced:
        again, _ = network.step(network.start(first))
        if not torch.allclose(again, answer.detach(), rtol=1e-3, atol=1e-3 * float(answer.detach().abs().max())):
            raise InputError(
                "Expected a module whose graph gives its own logits, got others: something in it is not in the graph "
                "(a value changed in place after it was used, or code outside the layers)."
            )
    return network


class _Reader:
    """Reads a traced module into nodes."""

    def __init__(self, traced: fx.GraphModule, module: nn.Module, max_pool: str) -> None:
        self.modules = dict(module.named_modules())
        self.max_pool = max_pool
        self.replaced = False
        self.nodes: list[Node] = []
        self.sources: dict[str, nn.Module] = {}
        """Whose weights a node has."""
        self.names: dict[fx.Node, str] = {}
        """What each traced node's value is called here."""
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
        if type(module) not in MODULES:
            raise _unsupported(node, type(module).__name__)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is None:
            raise _unsupported(node, f"{type(module).__name__} without running statistics")
        if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
            raise _unsupported(node, f"Conv2d with padding_mode={module.padding_mode!r}")
        if isinstance(module, nn.MaxPool2d) and module.return_indices:
            raise _unsupported(node, "MaxPool2d with return_indices")
        kind, settings = MODULES[type(module)]
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
            given = dict(node.kwargs)
            source = node.args[:1] or (given.pop("input", None),)
            if known is None:
                raise _unsupported(node, f"the function {name}")
            try:
                layer = known(*node.args[1:], **given)
            except TypeError as error:
                raise _unsupported(node, f"the function {name} with these arguments") from error
            if layer[0] == "":
                self.names[node] = self._inputs(node, source)[0]
            else:
                self._add(node, layer, source)

    def _add(self, node: fx.Node, layer: Layer, sources: tuple[Any, ...]) -> str:
        inputs, (kind, settings) = self._inputs(node, sources), layer
        moves = bool(self.dynamic & set(inputs))
        if kind == "max-pool" and moves and self.max_pool != "spikes":
            kind, settings = self._pool(node, settings)
        settings = {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
        name = node.name
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
        self.replaced = True
        kept = {key: settings[key] for key in ("kernel_size", "stride", "padding", "ceil_mode")}
        return "average-pool", {**kept, "count_include_pad": False}

    def _inputs(self, node: fx.Node, sources: tuple[Any, ...]) -> list[str]:
        for source in sources:
            if not isinstance(source, fx.Node) or source not in self.names:
                raise _unsupported(node, f"an input ({source}) that is not the output of a layer")
        return [self.names[source] for source in sources]


def _needed(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output is made of, and the inputs."""
    waiting = [node for node in graph.nodes if node.op in ("output", "placeholder")]
    found = set(waiting)
    while waiting:
        for source in waiting.pop().all_input_nodes:
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def _path(node: fx.Node) -> str:
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    *_, (inside, _kind) = list(stack.values()) or [("", None)]
    return f"{inside}.{node.name}" if inside else node.name


def _unsupported(node: fx.Node, what: str) -> InputError:
    return InputError(
        f"Expected ReLUs and linear layers to convert, got {what} at {_path(node)}: put another layer in its place."
    )


def _normed(images: Tensor, mean: Any, std: Any, module: nn.Module) -> Tensor:
    weight = next(module.parameters(), torch.zeros(()))
    values = images.to(weight.device, weight.dtype) / (255 if images.dtype == torch.uint8 else 1)
    mean, std = (
        torch.as_tensor(value, dtype=weight.dtype, device=weight.device).view(-1, 1, 1) for value in (mean, std)
    )
    return (values - mean) / std


@torch.no_grad()
def _copy_weights(network: SpikingNetwork, sources: dict[str, nn.Module]) -> None:
    for part in (network.stem, network.body, network.head):
        for name, layer in part.layers.items():  # type: ignore[union-attr, operator]
            if name in sources:
                layer.load_state_dict(sources[name].state_dict())
