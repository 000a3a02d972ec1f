"""A torch module as a graph of layers that can be saved, or a sentence on why it cannot be one.

ann = trace(torchvision.models.resnet18().eval(), images, max_pool="average")        # a network without time
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from backbones.contract.inputs import as_tensor
from backbones.conversion.qcfs_modules import is_staircase, read_staircase
from backbones.conversion.torch_layers import ADDITIONS, FUNCTIONS, MODULES, PASSING, Layer, flattens, is_batch_size
from backbones.data.samples import Samples
from backbones.errors import InputError, unknown_name
from backbones.networks.building import build
from backbones.networks.graph import IMAGE, NEURON, Node
from backbones.networks.network import SpikingNetwork
from backbones.networks.neurons.activations import QCFS

MAX_POOL = ("refuse", "average", "spikes")

Activations = Mapping[type[nn.Module], Callable[[Any], tuple[float, int]]]
"""`{class of a QCFS module: function(module) -> (λ, L)}`."""

Staircase = tuple[float, int]
"""λ and L of a QCFS module."""


def trace(
    module: nn.Module,
    images: Tensor | np.ndarray | Samples,
    *,
    max_pool: str = "refuse",
    activations: Activations | None = None,
    mean: float | list[float] = 0.0,
    std: float | list[float] = 1.0,
) -> SpikingNetwork:
    """The module as a network without time (neuron "relu" or "qcfs", T = 1), with a copy of its weights.

    Understood are ReLUs, convolutions, linear layers, batch norms (as in evaluation), average pools, sums,
    concatenations, flattening, means and dropout (left out), as modules or functions: ResNets, VGGs and
    DenseNets of torchvision among others. Weights computed of others (pruned, weight-normed, spectral-normed) are
    copied as they are in evaluation. A module of somebody else's that computes QCFS (one λ) is recognised by what
    it answers. Whether the graph computes what the module does, averages in the place of replaced pools, is tried
    on the first images and on noise.

    Args:
        module: takes `[B, C, H, W]` floats and gives `[B, K]` logits.
        images: `[N, C, H, W]` uint8 or floats in [0, 1].
        max_pool: see `backbones.conversion.converter.convert`.
        activations: likewise.
        mean: of the intensities, taken off before the module sees them.
        std: likewise, divided by.

    Raises:
        InputError: for what a graph cannot hold, by its path.
    """
    if max_pool not in MAX_POOL:
        raise unknown_name("max_pool", max_pool, MAX_POOL)
    if not isinstance(module, nn.Module):
        raise InputError(f"Expected a torch module to convert, got {type(module).__name__}.")
    activations = {} if activations is None else activations
    if not isinstance(activations, Mapping) or not all(
        isinstance(kind, type) and callable(read) for kind, read in activations.items()
    ):
        raise InputError(f"Expected activations as {{class: function(module) -> (λ, L)}}, got {activations!r}.")
    images = as_images(images)
    if images.dim() != 4 or len(images) == 0:
        raise InputError(f"Expected images [N, C, H, W], got {list(images.shape)}.")
    mean, std = _numbers("mean", mean), _numbers("std", std)
    first = images[:8]
    with _in_evaluation(module), torch.no_grad():
        staircases = _staircases_of(module, activations)
        with _refusing("that torch.fx can trace", " Leave out control flow that depends on tensors (and len(x))."):
            traced = fx.GraphModule(module, _Tracer(staircases).trace(module))
            reader = _Reader(traced, module, max_pool, staircases)
        with _refusing(f"that takes images {list(images.shape)}"):
            answer = module(_normed(first, mean, std, module))
        _check_logits(answer, len(first))
        wanted = []
        for rows in (first, _noise_like(first)):
            with _refusing(f"that takes images {list(images.shape)}"):
                given, again = module(_normed(rows, mean, std, module)), traced(_normed(rows, mean, std, module))
                if not _alike(given, again):
                    raise _other_logits()
                wanted.append(_Replacing(traced, reader.replaced).run(_normed(rows, mean, std, module)))
        network = build(
            "graph",
            num_classes=answer.shape[1],
            timesteps=1,
            input_shape=images.shape[1:],
            neuron=_neuron_of(reader),
            mean=mean,
            std=std,
            nodes=reader.nodes,
        )
        _copy_weights(network, reader)
        network.to(answer.device)
        for rows, logits in zip((first, _noise_like(first)), wanted, strict=True):
            try:
                same = _alike(logits, network.step(network.start(rows))[0])
            except RuntimeError as error:
                raise _other_logits() from error
            if not same:
                raise _other_logits()
    return network


def _numbers(name: str, value: Any) -> Any:
    """A number or a list of them, as JSON has them."""
    try:
        return np.asarray(value, float).tolist()
    except (TypeError, ValueError) as error:
        raise InputError(f"Expected {name} as a number or one a channel, got {value!r}.") from error


def as_images(images: Tensor | np.ndarray | Samples) -> Tensor:
    """Images of a tensor, an array or `Samples`, as a tensor.

    Raises:
        InputError: for anything else.
    """
    return as_tensor(images.images if isinstance(images, Samples) else images)


class _Tracer(fx.Tracer):
    """Leaves modules that compute QCFS whole."""

    def __init__(self, staircases: Mapping[nn.Module, Staircase]) -> None:
        super().__init__()
        self.staircases = staircases

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node."""
        return m in self.staircases or super().is_leaf_module(m, module_qualified_name)


def _staircases_of(module: nn.Module, activations: Activations) -> dict[nn.Module, Staircase]:
    """λ and L of the parts that compute QCFS, by what `activations` says or what they answer."""
    found: dict[nn.Module, Staircase] = {}
    for path, part in module.named_modules():
        read = next((read for kind, read in activations.items() if isinstance(part, kind)), None)
        if read is not None:
            found[part] = _given_staircase(part, path, read)
        elif path and not type(part).__module__.startswith("torch.nn"):
            staircase = read_staircase(part)
            if staircase is not None:
                found[part] = staircase
    return found


def _given_staircase(module: nn.Module, path: str, read: Callable[[Any], tuple[float, int]]) -> Staircase:
    kind = type(module).__name__
    try:
        threshold, levels = read(module)
        threshold, levels = float(threshold), int(levels)
    except Exception as error:
        raise InputError(
            f"Expected activations[{kind}] to give (threshold, levels) of {path}, but: {_first_line(error)}."
        ) from error
    if not is_staircase(module, threshold, levels):
        raise InputError(
            f"Expected {kind} at {path} to compute λ·clip(floor(z·L/λ + ½)/L, 0, 1) with λ = {threshold:.4g} and "
            f"L = {levels}, as activations says, but it answers otherwise: give its own, and set it to its form "
            "without time."
        )
    return threshold, levels


class _Replacing(fx.Interpreter):
    """Runs a traced module, with functions of one tensor in the place of some nodes."""

    def __init__(self, traced: fx.GraphModule, replaced: dict[fx.Node, Callable[[Tensor], Tensor]]) -> None:
        super().__init__(traced)
        self.replaced = replaced

    def run_node(self, n: fx.Node) -> Any:
        """A node's value."""
        if n in self.replaced:
            return self.replaced[n](self.env[n.all_input_nodes[0]])
        return super().run_node(n)


_TAKEN = frozenset({IMAGE, *dir(nn.ModuleDict())})
"""Names that a layer cannot have."""


class _Reader:
    """Reads a traced module into nodes."""

    def __init__(
        self, traced: fx.GraphModule, module: nn.Module, max_pool: str, staircases: Mapping[nn.Module, Staircase]
    ) -> None:
        self.modules = dict(module.named_modules())
        self.max_pool = max_pool
        self.staircases = staircases
        self.replaced: dict[fx.Node, Callable[[Tensor], Tensor]] = {}
        """What traced nodes stand for here, where it is not what they compute to the bit."""
        self.learned: dict[str, Staircase] = {}
        """λ and L of each QCFS activation, by node."""
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
        if module in self.staircases:
            threshold, levels = self.staircases[module]
            self.learned[
                self._add(node, (NEURON, {"levels": levels}), node.args[:1] or tuple(node.kwargs.values()))
            ] = (
                threshold,
                levels,
            )
            self.replaced[node] = QCFS(levels, threshold).to(_like_weights(module)).activate
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
            given = dict(node.kwargs)
            source = node.args[:1] or (given.pop("input", None),)
            if known is None:
                raise _unsupported(node, f"the function {name}")
            if len(node.all_input_nodes) != 1:
                raise _unsupported(node, f"the function {name} with a size or a tensor that depends on the input")
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


def _neuron_of(reader: _Reader) -> str:
    """The kind of activation of the graph.

    Raises:
        InputError: for more than one.
    """
    if 0 < len(reader.learned) < sum(node["layer"] == NEURON for node in reader.nodes):
        raise InputError("Expected one kind of activation, got QCFS and ReLUs: put one of them in all places.")
    return "qcfs" if reader.learned else "relu"


def _unsupported(node: fx.Node, what: str) -> InputError:
    return InputError(
        f"Expected ReLUs and linear layers to convert, got {what} at {_path(node)}: put another layer in its place "
        "(or pass activations=… for a QCFS activation of your own)."
    )


def _other_logits() -> InputError:
    return InputError(
        "Expected a module whose graph gives its own logits, got others: something in it is not in the graph "
        "(a value changed in place after it was used, or code outside the layers)."
    )


def _check_logits(answer: Any, rows: int) -> None:
    if not isinstance(answer, Tensor) or answer.dim() != 2 or len(answer) != rows or answer.shape[1] < 2:
        got = list(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise InputError(f"Expected a module that gives logits [B, K], got {got}.")
    if not answer.isfinite().all():
        raise InputError("Expected finite logits on the first images, got NaN or inf: look at images and weights.")


def _alike(wanted: Any, found: Any) -> bool:
    """Whether logits differ by their rounding only."""
    if not isinstance(wanted, Tensor) or not isinstance(found, Tensor) or wanted.shape != found.shape:
        return False
    part = max(1e-4, 32 * torch.finfo(wanted.dtype).eps)
    wanted, found = wanted.float(), found.float()
    largest = float(wanted.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(found, wanted, rtol=part, atol=part * largest, equal_nan=True)


@contextmanager
def _in_evaluation(module: nn.Module) -> Iterator[None]:
    was_training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in was_training.items():
            part.training = training


@contextmanager
def _refusing(what: str, advice: str = "") -> Iterator[None]:
    """Whatever somebody else's module raises, as one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"Expected a module {what}, but: {_first_line(error)}.{advice}") from error


def _first_line(error: Exception) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return line.rstrip(".!") or type(error).__name__


def _like_weights(module: nn.Module) -> Tensor:
    return next(module.parameters(), torch.zeros(()))


def _noise_like(images: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if images.dtype == torch.uint8:
        return torch.randint(256, images.shape, dtype=torch.uint8, generator=generator)
    return torch.rand(images.shape, generator=generator).to(images.dtype)


def _normed(images: Tensor, mean: Any, std: Any, module: nn.Module) -> Tensor:
    weight = _like_weights(module)
    values = images.to(weight.device, weight.dtype) / (255 if images.dtype == torch.uint8 else 1)
    mean, std = (
        torch.as_tensor(value, dtype=weight.dtype, device=weight.device).view(-1, 1, 1) for value in (mean, std)
    )
    return (values - mean) / std


@torch.no_grad()
def _copy_weights(network: SpikingNetwork, reader: _Reader) -> None:
    for part in (network.stem, network.body, network.head):
        for name, layer in part.layers.items():  # type: ignore[union-attr, operator]
            if name in reader.sources:
                for tensor, value in layer.state_dict().items():  # computed ones are attributes, not in a state_dict
                    value.copy_(getattr(reader.sources[name], tensor))
            if name in reader.learned:
                layer.threshold.fill_(reader.learned[name][0])
