"""A neuron's timestep in three passes over memory that is there already.

    v ← v_init                                      fresh rows only, with the next
    v ← v_rest + decay·(v - v_rest) + current       leak and integrate
    s = 1 if v > v_threshold (or ≥) else 0          fire, written over the current
    v ← v - v·s (hard), v - v_threshold·s (soft)    reset

New memory is what costs on a CPU: a big tensor's pages come one by one from the system. Currents of another dtype than
the potentials' are first put into theirs, and spikes back: passes over two dtypes at once are many times slower. And
between convolutions, which leave nothing else in the cache, every further kind of operation costs as much as a pass
over several rows: fresh and other rows go through the same three passes, each row with a decay of its own.

Letters: B rows.
"""

import itertools
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor

from backbones.neurons import LIF
from backbones.stretches import stretches_of

_TOGETHER = 1 << 17
"""Neurons that are worked on together: few enough for the processor's cache."""

Part = tuple[Tensor, bool]
"""Currents of some rows, and whether all of these rows are fresh."""


class InPlaceFire:
    """What a body's `fire` does with some rows of the membranes, which it changes.

    Args:
        membranes: `[B, …]` a layer, float32, in the order in which they fire; where there are too few, they
            are appended, and all rows are to be fresh.
        batch: B.
        rows: which rows the currents are of.
        fresh: `[B]` bool: rows that start from the neurons' initial potential; None for none, or for all where
            there are no membranes.
        keep: a current that is not to be written over.
        parts: what `keep` stands for: pieces one after another, and whether all rows of one are fresh.
        finite: potentials are known to be; then a fresh row's old one may be taken times 0.
    """

    def __init__(
        self,
        membranes: list[Tensor],
        batch: int,
        rows: slice,
        fresh: Tensor | None,
        keep: Tensor | None,
        parts: Sequence[Part] = (),
        finite: bool = False,
    ) -> None:
        self.membranes, self.batch, self.rows, self.keep, self.finite = membranes, batch, rows, keep, finite
        if fresh is None and not membranes:
            fresh = torch.ones(batch, dtype=torch.bool, device=None if keep is None else keep.device)
        self.mask = None if fresh is None else fresh[rows]
        # On a GPU a look at the mask would wait for it.
        self.lengths, self.fresh = ([], []) if self.mask is None or self.mask.is_cuda else stretches_of(self.mask)
        self.all_fresh = self.fresh == [1]
        fresh_parts = sum(len(part) for part, is_fresh in parts if is_fresh)
        if parts and fresh_parts != sum(itertools.compress(self.lengths, self.fresh)):
            parts = [(_together([part for part, _ in parts]), self.all_fresh)]
        self.parts = parts
        self.layer = 0
        self.last: tuple[Tensor, float]
        """Spikes of the layer that fired last, and their height."""
        self._leaks: dict[float, Tensor] = {}

    def __call__(self, neuron: LIF, current: Tensor) -> Tensor:
        """Spikes in the current's dtype and layout."""
        if self.layer == len(self.membranes):
            self.membranes.append(_like(current, self.batch))
        v = self.membranes[self.layer]
        if len(v) > len(current):
            v = v[self.rows]
        self.layer += 1
        keep = current is self.keep
        parts = (keep and self.parts) or [(current, self.all_fresh)]
        if not is_plain(cast(Any, type(neuron))):
            spikes, after = neuron(_together([part for part, _ in parts]), v, self.mask)
            v.copy_(after)
            spikes = spikes.to(current.dtype)
            self.last = spikes, neuron.height
            return spikes
        leak = float(neuron.leak())
        leaks: Tensor | None = None
        if self.mask is not None and self.mask.is_cuda:
            v.masked_fill_(self.mask.view(-1, *[1] * (v.dim() - 1)), neuron.v_init)
        elif not forgets(neuron):
            self._fill(v, neuron.v_init)
            parts = [(part, False) for part, _ in parts]
        elif len(parts) == 1 and any(self.fresh) and not self.all_fresh:
            if self.finite and rounds_alike(leak):
                leaks = self._leak_of_rows(leak).view(-1, *[1] * (v.dim() - 1))
            else:
                self._fill(v, 0.0)
        spikes = torch.empty_like(current) if keep else current
        step_in_place(neuron, leak if leaks is None else leaks, parts, v, spikes)
        self.last = spikes, neuron.height
        return spikes

    def _fill(self, v: Tensor, value: float) -> None:
        if any(self.fresh):
            for rows in itertools.compress(v.split_with_sizes(self.lengths), self.fresh):
                rows.fill_(value)

    def _leak_of_rows(self, leak: float) -> Tensor:
        """`[rows]`, 0 of fresh ones."""
        if leak not in self._leaks:
            assert self.mask is not None
            self._leaks[leak] = torch.where(self.mask, 0.0, leak)
        return self._leaks[leak]


def forgets(neuron: LIF) -> bool:
    """Whether a fresh row's potential is its current: v_rest + decay·(v_init - v_rest) = 0."""
    return neuron.v_rest == neuron.v_init == 0


@lru_cache(maxsize=64)
def rounds_alike(leak: float) -> bool:
    """Whether it makes no difference to the bits that each row has a leak of its own."""
    current = torch.arange(2.0 * 4099).sin().view(2, -1)
    v = torch.arange(2.0 * 4099).cos().view(2, -1) * 3
    each = torch.addcmul(current, v, torch.full((2, 1), leak))
    return torch.equal(torch.add(current, v, alpha=leak), each)


@lru_cache(maxsize=64)
def is_plain(own: Any) -> bool:
    """Whether the dynamics of a kind of neuron are `LIF`'s own."""
    return all(getattr(own, name) is getattr(LIF, name) for name in ("forward", "charge", "fire", "reset"))


def step_in_place(neuron: LIF, leak: float | Tensor, current: Sequence[Part], v: Tensor, spikes: Tensor) -> None:
    """One timestep of some rows.

    Args:
        neuron: a plain one.
        leak: its own, or each row's, `[B, 1, …]`.
        current: `[B, …]` in parts; where one is fresh its potentials are the currents, whatever `v` is.
        v: `[B, …]` float32, becomes the potential after the reset.
        spikes: `[B, …]` becomes the spikes; it may be the only part of the current.
    """
    if v.is_cuda:
        _integrate(neuron, leak, _together([part for part, _ in current]), v)
        _fire(neuron, v, v, spikes)
        return
    most = max(1, _TOGETHER // v[0].numel())
    lengths, are_fresh = _pieces(tuple((len(part), is_fresh) for part, is_fresh in current), most)
    room = None if spikes.dtype == v.dtype else torch.empty_like(v[: max(lengths)])
    first = current[0][0]
    apart = room is None and spikes is not first  # then currents can be read for as long as they are needed
    spikes_in = spikes.split_with_sizes(lengths)
    pieces: Sequence[Tensor] = spikes_in
    if spikes is not first:
        pieces = first.split_with_sizes(lengths) if len(current) == 1 else _split(current, lengths)
    leaks: Sequence[float | Tensor] = (
        leak.split_with_sizes(lengths) if isinstance(leak, Tensor) else [leak] * len(lengths)
    )
    for x, is_fresh, leak_, v_, spikes_ in zip(
        pieces, are_fresh, leaks, v.split_with_sizes(lengths), spikes_in, strict=True
    ):
        now = x if room is None else room[: len(v_)].copy_(x)
        if not is_fresh:
            _integrate(neuron, leak_, now, v_)
        elif not apart:
            v_.copy_(now)
        fired = spikes_ if room is None else now
        _fire(neuron, now if is_fresh and apart else v_, v_, fired)
        if room is not None:
            spikes_.copy_(fired)


@lru_cache(maxsize=64)  # layers and timesteps ask for the same
def _pieces(parts: tuple[tuple[int, bool], ...], most: int) -> tuple[list[int], list[bool]]:
    """Parts cut to pieces of at most `most` rows: how many each has, and whether they are fresh."""
    pieces = [(min(most, rows - at), is_fresh) for rows, is_fresh in parts for at in range(0, rows, most)]
    return [rows for rows, _ in pieces], [is_fresh for _, is_fresh in pieces]


def _split(parts: Sequence[Part], lengths: list[int]) -> list[Tensor]:
    """Parts in pieces of those lengths, each of one part."""
    pieces: list[Tensor] = []
    at = 0
    for part, _ in parts:
        begin = 0
        while begin < len(part):
            pieces.append(part[begin : begin + lengths[at]])
            begin, at = begin + lengths[at], at + 1
    return pieces


def _together(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _integrate(neuron: LIF, leak: float | Tensor, current: Tensor, v: Tensor) -> None:
    if isinstance(leak, Tensor):
        torch.addcmul(current, v, leak, out=v)
        return
    torch.add(current, v, alpha=leak, out=v)
    if neuron.v_rest and leak != 1:
        v.add_((1 - leak) * neuron.v_rest)


def _fire(neuron: LIF, before: Tensor, v: Tensor, spikes: Tensor) -> None:
    """Spikes of the potential before the reset, and `v`, which may be that, after it."""
    (torch.ge if neuron.inclusive else torch.gt)(before, neuron.v_threshold, out=spikes)
    if neuron.v_reset is None:
        torch.sub(before, spikes, alpha=neuron.v_threshold, out=v)
    else:
        torch.addcmul(before, before, spikes, value=-1, out=v)
        if neuron.v_reset:
            v.add_(spikes, alpha=neuron.v_reset)


def _like(current: Tensor, batch: int) -> Tensor:
    """`[B, …]` float32, of no value yet, in the layout of a current of other rows."""
    layout = torch.contiguous_format
    if current.dim() == 4 and not current.is_contiguous():
        layout = torch.channels_last
    return torch.empty(batch, *current.shape[1:], device=current.device, memory_format=layout)
