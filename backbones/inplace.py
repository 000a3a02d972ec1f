"""A neuron's timestep in three passes over memory that is there already.

    v ← v_init                                      fresh rows only
    v ← v_rest + decay·(v - v_rest) + current       leak and integrate
    s = 1 if v > v_threshold (or ≥) else 0          fire, written over the current
    v ← v - v·s (hard), v - v_threshold·s (soft)    reset

New memory is what costs on a CPU: a big tensor's pages come one by one from the system. Currents of another dtype than
the potentials' are first put into theirs, and spikes back: passes over two dtypes at once are many times slower.

Letters: B rows.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from backbones.neurons import LIF
from backbones.stretches import Stretch, stretches_of

_MANY = 1 << 14
"""Neurons of a row from which on potentials that are about to be forgotten are left alone."""
_TOGETHER = 1 << 17
"""Neurons that are worked on together: few enough for the processor's cache."""


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
        self.fresh = None if self.mask is None or self.mask.is_cuda else stretches_of(self.mask)
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
        if self.fresh is None and self.mask is not None:
            v.masked_fill_(self.mask.view(-1, *[1] * (v.dim() - 1)), neuron.v_init)
        spikes = torch.empty_like(current) if current is self.keep else current
        return step_in_place(neuron, current, v, spikes, self.fresh or ())


def is_plain(neuron: LIF) -> bool:
    """Whether a neuron's dynamics are `LIF`'s own."""
    own = type(neuron)
    return all(getattr(own, name) is getattr(LIF, name) for name in ("forward", "charge", "fire", "reset"))


def step_in_place(neuron: LIF, current: Tensor, v: Tensor, spikes: Tensor, fresh: tuple[Stretch, ...] = ()) -> Tensor:
    """One timestep; `v` becomes the potential after the reset, `spikes` (it may be the current itself) the spikes.

    `fresh` are stretches of rows that start from the initial potential.
    """
    if v.is_cuda:
        _integrate(neuron, current, v)
        _fire(neuron, v, v, spikes)
        return spikes
    size = v[0].numel()
    most = max(1, _TOGETHER // size)
    room = None if current.dtype == v.dtype else torch.empty_like(v[:most])
    if size < _MANY and fresh:  # their own passes would be too many small ones
        for is_fresh, v_ in _in_pieces(fresh, len(v), v):
            if is_fresh:
                v_.fill_(neuron.v_init)
        fresh = ()
    forgets = neuron.v_rest == neuron.v_init == 0  # then decay·0 + current is the current
    for is_fresh, current_, v_, spikes_ in _in_pieces(fresh, most, current, v, spikes):
        before = v_
        if is_fresh and forgets:
            if room is None and spikes is not current:
                before = current_  # it can be read for as long as it is needed
            else:
                v_.copy_(current_)
        else:
            if is_fresh:
                v_.fill_(neuron.v_init)
            _integrate(neuron, current_ if room is None else room[: len(v_)].copy_(current_), v_)
        fired = spikes_ if room is None else room[: len(v_)]
        _fire(neuron, before, v_, fired)
        if room is not None:
            spikes_.copy_(fired)
    return spikes


def _integrate(neuron: LIF, current: Tensor, v: Tensor) -> None:
    leak, rest = float(neuron.leak()), neuron.v_rest
    torch.add(current, v, alpha=leak, out=v)
    if rest and leak != 1:
        v.add_((1 - leak) * rest)


def _fire(neuron: LIF, before: Tensor, v: Tensor, spikes: Tensor) -> None:
    """Spikes of the potential before the reset, and `v`, which may be that, after it."""
    (torch.ge if neuron.inclusive else torch.gt)(before, neuron.v_threshold, out=spikes)
    if neuron.v_reset is None:
        torch.sub(before, spikes, alpha=neuron.v_threshold, out=v)
    else:
        torch.addcmul(before, before, spikes, value=-1, out=v)
        if neuron.v_reset:
            v.add_(spikes, alpha=neuron.v_reset)


def _like(current: Tensor, batch: int, value: float) -> Tensor:
    """`[B, …]` float32 in the layout of a current of other rows."""
    layout = torch.contiguous_format
    if current.dim() == 4 and not current.is_contiguous():
        layout = torch.channels_last
    empty = torch.empty(batch, *current.shape[1:], device=current.device, memory_format=layout)
    return empty.fill_(value)


def _in_pieces(fresh: tuple[Stretch, ...], most: int, *tensors: Tensor) -> Iterator[Any]:
    """Stretches of at most `most` rows, none of both kinds: whether they are fresh, and each tensor's."""
    counts, are_fresh = _pieces(fresh, len(tensors[0]), most)
    return zip(are_fresh, *(tensor.split(counts) for tensor in tensors), strict=True)


@lru_cache(maxsize=16)  # every layer of a timestep asks for the same
def _pieces(fresh: tuple[Stretch, ...], count: int, most: int) -> tuple[list[int], list[bool]]:
    """All rows in stretches of at most `most`: how many each has, and whether it is fresh."""
    counts: list[int] = []
    are_fresh: list[bool] = []
    at = 0
    for begin, end in (*fresh, (count, count)):
        for until, is_fresh in ((begin, False), (end, True)):
            while at < until:
                counts.append(min(most, until - at))
                are_fresh.append(is_fresh)
                at += counts[-1]
    return counts, are_fresh
