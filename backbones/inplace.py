"""A neuron's timestep in three passes over memory that is there already.

    v ← v_init                                      fresh rows only
    v ← v_rest + decay·(v - v_rest) + current       leak and integrate
    s = 1 if v > v_threshold (or ≥) else 0          fire, written over the current
    v ← v - v·s (hard), v - v_threshold·s (soft)    reset

New memory is what costs on a CPU: a big tensor's pages come one by one from the system.

Letters: B rows.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from backbones.neurons import LIF

_MANY = 1 << 15
"""Neurons of a row from which on it pays to leave potentials alone that are about to be forgotten."""


class InPlaceFire:
    """What a body's `fire` does with some rows of the membranes, which it changes.

    Args:
        membranes: `[B, …]` a layer, float32, in the order in which they fire; where there are too few, they
            are appended, and all rows of them count as fresh.
        batch: B.
        rows: which rows the currents are of.
        fresh: `[B]` bool: rows that start from the neurons' initial potential; None for none.
        keep: a current that is not to be written over.
    """

    def __init__(
        self, membranes: list[Tensor], batch: int, rows: slice, fresh: Tensor | None, keep: Tensor | None
    ) -> None:
        self.membranes, self.batch, self.rows, self.keep = membranes, batch, rows, keep
        self.mask = None if fresh is None else fresh[rows]
        # On a GPU a look at the mask would wait for it.
        self.runs = None if self.mask is None or self.mask.is_cuda else _runs(self.mask)
        self.layer = 0

    def __call__(self, neuron: LIF, current: Tensor) -> Tensor:
        """Spikes in the current's dtype and layout."""
        if self.layer == len(self.membranes):
            self.membranes.append(_like(current, self.batch, neuron.v_init))
        v = self.membranes[self.layer][self.rows]
        self.layer += 1
        if not is_plain(neuron):
            spikes, after = neuron(current, v, self.mask)
            v.copy_(after)
            return spikes
        if self.runs is None and self.mask is not None:
            v.masked_fill_(self.mask.view(-1, *[1] * (v.dim() - 1)), neuron.v_init)
        spikes = torch.empty_like(current) if current is self.keep else current
        return step_in_place(neuron, current, v, spikes, self.runs or ())


def is_plain(neuron: LIF) -> bool:
    """Whether a neuron's dynamics are `LIF`'s own."""
    own = type(neuron)
    return all(getattr(own, name) is getattr(LIF, name) for name in ("forward", "charge", "fire", "reset"))


def step_in_place(
    neuron: LIF, current: Tensor, v: Tensor, spikes: Tensor, fresh: Sequence[tuple[int, int]] = ()
) -> Tensor:
    """One timestep; `v` becomes the potential after the reset, `spikes` (it may be the current itself) the spikes.

    `fresh` are stretches of rows that start from the initial potential.
    """
    leak, rest, threshold = float(neuron.leak()), neuron.v_rest, neuron.v_threshold
    if fresh and rest == neuron.v_init == 0 and v[0].numel() >= _MANY:
        for begin, end in fresh:  # decay·0 + current
            v[begin:end].copy_(current[begin:end])
        for begin, end in _between(fresh, len(v)):
            torch.add(current[begin:end], v[begin:end], alpha=leak, out=v[begin:end])
    else:
        for begin, end in fresh:
            v[begin:end].fill_(neuron.v_init)
        torch.add(current, v, alpha=leak, out=v)
        if rest and leak != 1:
            v.add_((1 - leak) * rest)
    (torch.ge if neuron.inclusive else torch.gt)(v, threshold, out=spikes)
    if neuron.v_reset is None:
        torch.sub(v, spikes, alpha=threshold, out=v)
    else:
        torch.addcmul(v, v, spikes, value=-1, out=v)
        if neuron.v_reset:
            v.add_(spikes, alpha=neuron.v_reset)
    return spikes


def _like(current: Tensor, batch: int, value: float) -> Tensor:
    """`[B, …]` float32 in the layout of a current of other rows."""
    layout = torch.contiguous_format
    if current.dim() == 4 and not current.is_contiguous():
        layout = torch.channels_last
    empty = torch.empty(batch, *current.shape[1:], device=current.device, memory_format=layout)
    return empty.fill_(value)


def _runs(mask: Tensor) -> Sequence[tuple[int, int]]:
    """Stretches of True."""
    edges: list[Any] = (
        torch.diff(mask.to(torch.int8), prepend=mask.new_zeros(1).to(torch.int8)).nonzero()[:, 0].tolist()
    )
    return list(zip(edges[::2], [*edges[1::2], *([len(mask)] if len(edges) % 2 else [])], strict=True))


def _between(runs: Sequence[tuple[int, int]], count: int) -> list[tuple[int, int]]:
    """The stretches of 0…count-1 that are in none of the runs."""
    starts, ends = [0, *(end for _, end in runs)], [*(begin for begin, _ in runs), count]
    return [(begin, end) for begin, end in zip(starts, ends, strict=True) if begin < end]
