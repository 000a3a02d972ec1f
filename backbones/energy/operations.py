"""Exact count of each row's synaptic operations while a network runs.

    with count_operations(network) as counter:
        state = network.start(images)
        logits, state = network.step(state)
        operations = counter.take()         # since the last take
    operations.effective_acs                # [B]

The definitions are NeuroBench's "synaptic operations" (Yik et al., *The NeuroBench framework for benchmarking
neuromorphic computing algorithms and systems*, Nature Communications 2025), applied to each row alone.

Letters: B rows.
"""

import weakref
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.argument_checks import check_kinds
from backbones.energy.fan_out import ExactDot, counted_layers, fan_out
from backbones.errors import InputError, counted, kind_of
from backbones.networks.neurons.neuron import LIF

_PASSING = (nn.Identity, nn.Flatten, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVERAGING = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
"""Modules whose outputs are spikes if their inputs are: always, or where they average single values."""
_CHUNK = 2**16
"""Inputs that are read together: few enough for the processor's cache."""


class Operations(NamedTuple):
    """Counts of B rows."""

    counts: Tensor
    """`[B, 4]` int64: the columns below."""

    @property
    def effective_macs(self) -> Tensor:
        """`[B]` multiply-accumulates: weights other than 0 times inputs other than 0.

        Of layers whose inputs, in this row, have values besides -1, 0 and 1.
        """
        return self.counts[:, 0]

    @property
    def effective_acs(self) -> Tensor:
        """`[B]` accumulates: the same of layers whose inputs have no other values."""
        return self.counts[:, 1]

    @property
    def dense(self) -> Tensor:
        """`[B]` all synapses of all inputs."""
        return self.counts[:, 2]

    @property
    def spikes(self) -> Tensor:
        """`[B]` spikes of the neurons (`LIF` and its subclasses)."""
        return self.counts[:, 3]

    def metrics(self) -> dict[str, float]:
        """Means over the rows, by NeuroBench's names."""
        return dict(zip(NEUROBENCH, self.counts[:, :3].double().mean(0).tolist(), strict=True))


NEUROBENCH = ("Effective_MACs", "Effective_ACs", "Dense")
"""NeuroBench's names of the first three columns."""
_MACS, _ACS, _DENSE, _SPIKES = range(4)


class OperationCounter:
    """Counts operations inside its `with`, by hooks on linear layers, convolutions and neurons.

    The rows are along the first dimension of each layer. The weights must not change. Computations outside of the
    modules (a compiled graph, a fused kernel, `functional.linear`) are not counted. An `InputError` for a network with
    layers that cannot be counted, or with none.
    """

    def __init__(self, network: nn.Module) -> None:
        self._layers = counted_layers(network)
        self._neurons = [module for module in network.modules() if isinstance(module, LIF)]
        self._of_height_1 = all(neuron.height == 1 for neuron in self._neurons)
        self._passing = [module for module in network.modules() if isinstance(module, _PASSING + _AVERAGING)]
        self._hooks: list[Any] = []
        self._dots: dict[Any, tuple[ExactDot, int]] = {}
        self._fired: dict[int, tuple[weakref.ref[Tensor], int]] = {}
        self._parts: list[tuple[int, int, Tensor]] = []
        self._dense = 0
        self._scratch = torch.empty(0)
        self.sees_spikes = bool(self._neurons)
        """Whether the network has neurons whose spikes are counted."""
        self.rows: int | None = None
        """B of the counts since the last `take`; None without any."""
        self.batch: int | None = None
        """B where it is known, to find rows behind a time axis of length 1."""

    def __enter__(self) -> "OperationCounter":
        self._hooks = [layer.register_forward_pre_hook(self._count, with_kwargs=True) for layer in self._layers]
        self._hooks += [neuron.register_forward_hook(self._count_spikes) for neuron in self._neurons]
        self._hooks += [module.register_forward_hook(self._pass_on) for module in self._passing]
        self._forget()
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._fired.clear()

    def take(self, rows: int | None = None, device: torch.device | None = None) -> Operations:
        """The counts since the last `take`; zeros of `rows` rows on `device` where nothing ran."""
        if self.rows is None:
            return Operations(torch.zeros(rows or 0, 4, dtype=torch.int64, device=device))
        columns, units, parts = zip(*self._parts, strict=True)
        sums = torch.stack(parts).long()
        of_parts = torch.tensor([columns, units], device=sums.device)
        counts = sums.new_zeros(4, self.rows).index_add_(0, of_parts[0], sums * of_parts[1][:, None])
        counts[_DENSE] = self._dense
        self._forget()
        return Operations(counts.T.contiguous())

    def _forget(self) -> None:
        self._parts, self._dense, self.rows = [], 0, None

    def _add(self, column: int, parts: list[tuple[Tensor, int]]) -> None:
        self._parts += [(column, unit, part) for part, unit in parts]

    def _check_rows(self, module: nn.Module, values: Tensor) -> None:
        if self.rows not in (None, values.shape[0]):
            raise InputError(
                f"Expected every layer to see the {counted(self.rows, 'row')} along its first dimension, got "
                f"{list(values.shape)} at {kind_of(module)}: count one timestep at a time, or take() between."
            )
        self.rows = values.shape[0]

    def _count(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values: Tensor = args[0] if args else kwargs["input"]
        if self.batch not in (None, len(values)) and values.shape[:2] == (1, self.batch):
            values = values[0]
        least = 2 if isinstance(layer, nn.Linear) else layer.weight.dim()  # type: ignore[operator]
        if values.dim() < least:
            raise InputError(
                f"Expected inputs of rows [B, …] at {kind_of(layer)}, got {list(values.shape)}: batch them."
            )
        self._check_rows(layer, values)
        flat, order = _flat(values.detach())
        dot, dense = self._dot(layer, values, order)
        self._dense += dense
        if self._are_spikes(values):
            self._add(_ACS, dot.parts(self._as_ones(flat)))
        elif self._binary(flat):
            self._add(_ACS, dot.parts(flat))
        else:
            self._add_mixed(flat, dot)

    def _count_spikes(self, neuron: nn.Module, args: Any, output: Any) -> None:
        spikes: Tensor = output[0]
        self._check_rows(neuron, spikes)
        self._mark_as_spikes(spikes)
        flat, _ = _flat(spikes.detach())
        self._add(_SPIKES, [(self._as_ones(flat).sum(1, dtype=torch.float32), 1)])

    def _as_ones(self, spikes: Tensor) -> Tensor:
        """Spikes of any height as 0 and 1."""
        return spikes if self._of_height_1 else spikes != 0

    def _pass_on(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not args or not isinstance(output, Tensor) or not self._are_spikes(args[0]):
            return
        if isinstance(module, _PASSING) or output.shape == args[0].shape:
            self._mark_as_spikes(output)

    def _mark_as_spikes(self, values: Tensor) -> None:
        self._fired[id(values)] = weakref.ref(values), _version(values)

    def _are_spikes(self, values: Tensor) -> bool:
        """Whether this very tensor was fired and not written to since."""
        fired, version = self._fired.get(id(values), (None, 0))
        return fired is not None and fired() is values and version == _version(values)

    def _binary(self, flat: Tensor) -> bool:
        """Whether every input is 0 or 1 (x - x² = 0), by a few rows at a time."""
        step = _rows_at_once(flat)
        if (
            self._scratch.dtype != flat.dtype
            or self._scratch.device != flat.device
            or len(self._scratch) < step * flat.shape[1]
        ):
            with torch.inference_mode(False):
                self._scratch = flat.new_empty(step * flat.shape[1])
        for some in flat.split(step):
            scratch = self._scratch[: some.numel()].view_as(some)
            low, high = torch.addcmul(some, some, some, value=-1, out=scratch).aminmax()
            if low.item() != 0 or high.item() != 0:
                return False
        return True

    def _add_mixed(self, flat: Tensor, dot: ExactDot) -> None:
        """Count rows of -1, 0 and 1 alone as accumulates, the others as multiply-accumulates."""
        counts, spiking = [], []
        for some in flat.split(_rows_at_once(flat)):
            counts.append(dot.parts(some != 0))
            spiking.append(((some == 0) | (some.abs() == 1)).all(1))
        spikes = torch.cat(spiking)
        for pieces in zip(*counts, strict=True):
            unit, part = pieces[0][1], torch.cat([part for part, _ in pieces])
            self._add(_ACS, [(part * spikes, unit)])
            self._add(_MACS, [(part * ~spikes, unit)])

    def _dot(self, layer: nn.Module, values: Tensor, order: tuple[int, ...]) -> tuple[ExactDot, int]:
        shape = values.shape[1:]
        key = (layer, shape, order, values.device)
        if key not in self._dots:
            reached = fan_out(layer, shape).permute(order).reshape(-1)
            missing = bool((layer.weight == 0).any())  # type: ignore[union-attr]
            dense = fan_out(layer, shape, dense=True) if missing else reached
            self._dots[key] = ExactDot(reached, values.device), int(dense.sum())
        return self._dots[key]


def _rows_at_once(flat: Tensor) -> int:
    return max(1, _CHUNK // flat.shape[1])


def _version(values: Tensor) -> int:
    """Number of writes to a tensor (`Tensor._version`, which has no public form)."""
    return 0 if values.is_inference() else values._version


def _flat(values: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """`[B, n]`, without a copy where possible, and the order of the other dimensions in it."""
    order = tuple(range(values.dim() - 1))
    if values.dim() >= 4 and not values.is_contiguous():
        last = (*order[1:], 0)
        turned = values.permute(0, *(place + 1 for place in last))
        if turned.is_contiguous():
            return turned.flatten(1), last
    return values.flatten(1), order


@check_kinds
def count_operations(network: nn.Module) -> OperationCounter:
    """A counter of a network's operations inside its `with`."""
    return OperationCounter(network)
