"""A neuron's timestep in the memory of its membrane and its current.

    v ← v_init where fresh
    v ← v_rest + decay·(v - v_rest) + current       leak and integrate
    s = 1 if v > v_threshold (or ≥) else 0          fire, written over the current
    v ← v - v·s (hard), v - v_threshold·s (soft)    reset

New memory is slow on a CPU: the system maps a big tensor page by page. Currents of another dtype are first cast to the
potentials', and spikes back: operations on two dtypes are many times slower.

Letters: B rows.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor

from backbones.networks.neurons.neuron import LIF

_TOGETHER = 1 << 17
"""Neurons computed together: few enough for the processor's cache."""


class InPlaceFire:
    """A body's `fire` that updates some rows of the membranes in place.

    Args:
        membranes: `[B, …]` a layer, float32, in the order in which they fire; missing ones are appended, at the
            neuron's initial potential.
        batch: B.
        rows: the rows of the currents.
        fresh: `[B]` bool: rows that start from the initial potential; None for none.
        keep: a current that is not overwritten.
    """

    def __init__(
        self, membranes: list[Tensor], batch: int, rows: slice, fresh: Tensor | None, *, keep: Tensor | None = None
    ) -> None:
        self.membranes, self.batch, self.rows, self.keep = membranes, batch, rows, keep
        self.fresh = None if fresh is None else fresh[rows]
        self._is_fresh: list[bool] = []
        if self.fresh is not None and not self.fresh.is_cuda:  # a list waits for a GPU
            self._is_fresh = self.fresh.tolist()
        self.layer = 0
        self.last: tuple[Tensor, float]
        """Spikes of the layer that fired last, and their height."""

    def __call__(self, neuron: LIF, current: Tensor) -> Tensor:
        """Spikes in the current's dtype and layout."""
        if self.layer == len(self.membranes):
            self.membranes.append(_initial(neuron, current, self.batch))
        v = self.membranes[self.layer][self.rows]
        self.layer += 1
        if _is_plain(cast(Any, type(neuron))):
            if v.is_cuda and self.fresh is not None:
                v.masked_fill_(self.fresh.view(-1, *[1] * (v.dim() - 1)), neuron.v_init)
            spikes = torch.empty_like(current) if current is self.keep else current
            step_in_place(neuron, current, v, spikes, self._is_fresh)
        else:
            spikes, after = neuron(current, v, self.fresh)
            v.copy_(after)
            spikes = spikes.to(current.dtype)
        self.last = spikes, neuron.height
        return spikes


@lru_cache(maxsize=64)
def _is_plain(own: Any) -> bool:
    """Whether a class of neurons has `LIF`'s own dynamics."""
    return all(getattr(own, name) is getattr(LIF, name) for name in ("forward", "charge", "fire", "reset"))


def step_in_place(neuron: LIF, current: Tensor, v: Tensor, spikes: Tensor, fresh: Sequence[bool] = ()) -> None:
    """One timestep of some rows.

    Args:
        neuron: a neuron with `LIF`'s own dynamics.
        current: `[B, …]`.
        v: `[B, …]` float32 potential before the timestep, then after the reset.
        spikes: `[B, …]` memory for the spikes; it may be the current.
        fresh: `[B]` rows that start from the initial potential; empty for none.
    """
    leak = float(neuron.leak())
    most = len(v) if v.is_cuda else max(1, _TOGETHER // v[0].numel())
    room = None if v.is_cuda or spikes.dtype == v.dtype else torch.empty_like(v[:most])
    for begin in range(0, len(v), most):
        x, v_, spikes_ = (tensor[begin : begin + most] for tensor in (current, v, spikes))
        row = begin
        for starts, run in groupby(fresh[begin : begin + most]):  # an eighth of the time of a masked fill
            stop = row + len(list(run))
            if starts:
                v[row:stop].fill_(neuron.v_init)
            row = stop
        fired = spikes_ if room is None else room[: len(v_)].copy_(x)
        torch.add(x if room is None else fired, v_, alpha=leak, out=v_)
        if neuron.v_rest and leak != 1:
            v_.add_((1 - leak) * neuron.v_rest)
        (torch.ge if neuron.inclusive else torch.gt)(v_, neuron.v_threshold, out=fired)
        if neuron.v_reset is None:
            v_.sub_(fired, alpha=neuron.v_threshold)
        else:
            v_.addcmul_(v_, fired, value=-1)
            if neuron.v_reset:
                v_.add_(fired, alpha=neuron.v_reset)
        if room is not None:
            spikes_.copy_(fired)


def _initial(neuron: LIF, current: Tensor, batch: int) -> Tensor:
    """`[B, …]` float32 initial potentials, in the layout of a current of other rows."""
    layout = torch.contiguous_format
    if current.dim() == 4 and not current.is_contiguous():
        layout = torch.channels_last
    shape = (batch, *current.shape[1:])
    return torch.empty(shape, device=current.device, memory_format=layout).fill_(neuron.v_init)
