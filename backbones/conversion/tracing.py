"""Tracing of a torch module into a network without time that can be saved and converted.

ann = trace(torchvision.models.resnet18().eval(), images, max_pool="average")
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, fx, nn

from backbones.argument_checks import check_kinds
from backbones.contract.inputs import as_tensor
from backbones.conversion.graph_reader import GraphReader, first_weight
from backbones.conversion.qcfs_modules import Staircase, is_staircase, read_staircase
from backbones.data.samples import Samples
from backbones.errors import InputError, first_line, refusing
from backbones.networks.building import build
from backbones.networks.network import SpikingNetwork

MaxPool = Literal["refuse", "average", "spikes"]

Activations = Mapping[type[nn.Module], Callable[[Any], tuple[float, int]]]
"""`{class of a QCFS module: function(module) -> (λ, L)}`."""


@check_kinds
def trace(
    module: nn.Module,
    images: Tensor | np.ndarray | Samples,
    *,
    max_pool: MaxPool = "refuse",
    activations: Activations | None = None,
    mean: float | list[float] | np.ndarray = 0.0,
    std: float | list[float] | np.ndarray = 1.0,
) -> SpikingNetwork:
    """The module as a network without time (neuron "relu" or "qcfs", T = 1), with a copy of its weights.

    The module may have ReLUs, convolutions, linear layers, batch norms (as in evaluation), average pools, sums,
    concatenations, flattening, means and dropout (ignored), as modules or functions: ResNets, VGGs and DenseNets of
    torchvision among others. Weights computed from others (pruned, weight-normed, spectral-normed) are copied as in
    evaluation. A foreign module that computes QCFS (one λ) is recognised by its outputs. The graph is compared with the
    module, with averages in the place of replaced pools, on the first images and on noise.

    Args:
        module: takes `[B, C, H, W]` floats and gives `[B, K]` logits.
        images: `[N, C, H, W]` uint8 or floats in [0, 1].
        max_pool: see `backbones.conversion.converter.convert`.
        activations: likewise.
        mean: of the intensities, subtracted from the module's inputs.
        std: of the intensities, by which they are divided.

    Raises:
        InputError: for a layer or function that a graph cannot have, by its path.
    """
    images = as_images(images)
    if images.dim() != 4 or len(images) == 0:
        raise InputError(f"Expected images [N, C, H, W], got {list(images.shape)}.")
    with refusing("Expected mean and std as a number or one a channel"):
        scale: dict[str, Any] = {"mean": np.asarray(mean, float).tolist(), "std": np.asarray(std, float).tolist()}
    first = images[:8]
    with _in_evaluation(module), torch.no_grad():
        staircases = _staircases_of(module, activations or {})
        with refusing(
            "Expected a module that torch.fx can trace",
            advice=" Leave out control flow that depends on tensors (and len(x)).",
        ):
            traced = fx.GraphModule(module, _Tracer(staircases).trace(module))
            reader = GraphReader(traced, module, max_pool, staircases)
        with refusing(f"Expected a module that takes images {list(images.shape)}"):
            answer = module(_normed(first, module, **scale))
        _check_logits(answer, len(first))
        wanted = []
        for rows in (first, _noise_like(first)):
            with refusing(f"Expected a module that takes images {list(images.shape)}"):
                inputs = _normed(rows, module, **scale)
                if not _alike(module(inputs), traced(inputs)):
                    raise _other_logits()
                wanted.append(_Replacing(traced, reader.replaced).run(inputs))
        network = build(
            "graph",
            num_classes=answer.shape[1],
            timesteps=1,
            input_shape=images.shape[1:],
            neuron=reader.neuron(),
            **scale,
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


def as_images(images: Tensor | np.ndarray | Samples) -> Tensor:
    """Images of a tensor, an array or `Samples`, as a tensor; else an `InputError`."""
    return as_tensor(images.images if isinstance(images, Samples) else images)


class _Tracer(fx.Tracer):
    """A tracer that does not trace into modules that compute QCFS."""

    def __init__(self, staircases: Mapping[nn.Module, Staircase]) -> None:
        super().__init__()
        self.staircases = staircases

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one node."""
        return m in self.staircases or super().is_leaf_module(m, module_qualified_name)


def _staircases_of(module: nn.Module, activations: Activations) -> dict[nn.Module, Staircase]:
    """λ and L of the parts that compute QCFS, by `activations` or by their outputs."""
    staircases: dict[nn.Module, Staircase] = {}
    for path, part in module.named_modules():
        read = next((read for kind, read in activations.items() if isinstance(part, kind)), None)
        if read is not None:
            staircases[part] = _given_staircase(part, path, read)
        elif path and not type(part).__module__.startswith("torch.nn"):
            staircase = read_staircase(part)
            if staircase is not None:
                staircases[part] = staircase
    return staircases


def _given_staircase(module: nn.Module, path: str, read: Callable[[Any], tuple[float, int]]) -> Staircase:
    kind = type(module).__name__
    try:
        threshold, levels = read(module)
        threshold, levels = float(threshold), int(levels)
    except Exception as error:
        raise InputError(
            f"Expected activations[{kind}] to give (threshold, levels) of {path}, but: {first_line(error)}."
        ) from error
    if not is_staircase(module, threshold, levels):
        raise InputError(
            f"Expected {kind} at {path} to compute λ·clip(floor(z·L/λ + ½)/L, 0, 1) with λ = {threshold:.4g} and "
            f"L = {levels}, as activations says, but it does not: give its own, and set it to its form "
            "without time."
        )
    return threshold, levels


class _Replacing(fx.Interpreter):
    """An interpreter of a traced module with functions of one tensor in the place of some nodes."""

    def __init__(self, traced: fx.GraphModule, replaced: dict[fx.Node, Callable[[Tensor], Tensor]]) -> None:
        super().__init__(traced)
        self.replaced = replaced

    def run_node(self, n: fx.Node) -> Any:
        """A node's value."""
        if n in self.replaced:
            return self.replaced[n](self.env[n.all_input_nodes[0]])
        return super().run_node(n)


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
        raise InputError("Expected finite logits on the first images, got NaN or inf: check images and weights.")


def _alike(wanted: Any, got: Any) -> bool:
    """Whether logits differ by their rounding only."""
    if not isinstance(wanted, Tensor) or not isinstance(got, Tensor) or wanted.shape != got.shape:
        return False
    part = max(1e-4, 32 * torch.finfo(wanted.dtype).eps)
    wanted, got = wanted.float(), got.float()
    largest = float(wanted.nan_to_num(0, 0, 0).abs().max())
    return torch.allclose(got, wanted, rtol=part, atol=part * largest, equal_nan=True)


@contextmanager
def _in_evaluation(module: nn.Module) -> Iterator[None]:
    was_training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in was_training.items():
            part.training = training


def _noise_like(images: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if images.dtype == torch.uint8:
        return torch.randint(256, images.shape, dtype=torch.uint8, generator=generator)
    return torch.rand(images.shape, generator=generator).to(images.dtype)


def _normed(images: Tensor, module: nn.Module, mean: Any, std: Any) -> Tensor:
    weight = first_weight(module)
    values = images.to(weight.device, weight.dtype) / (255 if images.dtype == torch.uint8 else 1)
    mean, std = (
        torch.as_tensor(value, dtype=weight.dtype, device=weight.device).view(-1, 1, 1) for value in (mean, std)
    )
    return (values - mean) / std


@torch.no_grad()
def _copy_weights(network: SpikingNetwork, reader: GraphReader) -> None:
    for part in (network.stem, network.body, network.head):
        for name, layer in part.layers.items():  # type: ignore[union-attr, operator]
            if name in reader.sources:
                for tensor, value in layer.state_dict().items():  # computed ones are attributes, not in a state_dict
                    value.copy_(getattr(reader.sources[name], tensor))
            if name in reader.learned:
                layer.threshold.fill_(reader.learned[name][0])
