"""Test of the backbone contract.

check_backbone(my_backbone, images)         # returns the rounding, or raises with the promise that is broken
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backbones.argument_checks import check_kinds
from backbones.contract.inputs import as_tensor, check_images
from backbones.contract.protocol import Backbone, State
from backbones.contract.running import advanced, check_protocol
from backbones.errors import InputError, counted
from backbones.state_tree import named_leaves

ROUNDING = 2e-6
"""Largest accepted difference between two runs of a row at one place, in parts of the largest logit."""
AMPLIFIED = 1e-3
"""The same at another place, where no rounding flips a spike."""


class BackboneError(AssertionError):
    """A backbone breaks its contract; the message is the promise."""


@dataclass(frozen=True)
class Rounding:
    """Differences of a row's logits by its place in the batch, which the equality contract allows."""

    largest: float
    """The largest difference between two places, in parts of the largest logit; 0 where all are equal to the bit."""
    rows: float
    """The largest fraction of rows that differ at a timestep. A rounding may flip a spike, and so grow in a few."""


@check_kinds
def check_backbone(backbone: Backbone, inputs: Tensor, keys: Tensor | None = None) -> Rounding:
    """Try every promise of the `Backbone` protocol on some inputs.

    A row at its own place has to keep its logits and state, within a few millionths, while the contents of other
    rows change: larger differences are a leak between rows. A row at another place may round differently, and a
    rounding may flip a spike: more than half of the rows have to keep their logits within a thousandth.

    Args:
        backbone: the network.
        inputs: `[B, …]`, at least 4 different rows.
        keys: `[B]` int64 names of the rows (default: 0…B-1).

    Raises:
        BackboneError: for the first promise that is broken.
        InputError: for inputs of another form (see `images.check_images`).
    """
    _promised(check_protocol, backbone)
    inputs = as_tensor(inputs, "inputs")
    check_images(inputs, backbone, what="inputs")
    B = len(inputs)
    _expect(B >= 4, f"check_backbone needs at least 4 rows of inputs, got {B}.")
    keys = torch.arange(B) if keys is None else torch.as_tensor(keys)
    fingerprint = backbone.fingerprint
    _expect(isinstance(fingerprint, str) and fingerprint != "", "fingerprint must be a string that is not empty.")

    alone, states = _run(backbone, inputs, keys)
    for t, logits in enumerate(alone, 1):
        _expect(len(logits) == B, f"step must give logits of all {B} rows, got {len(logits)} at timestep {t}.")
        _expect(bool(torch.isfinite(logits).all()), f"logits must be finite; at timestep {t} some are not.")

    places = _Places(max(logits.abs().max().item() for logits in alone))
    _expect(
        any((logits - logits[0]).abs().max().item() > ROUNDING * places.scale for logits in alone),
        "all rows gave the same logits at every timestep: nothing can be checked; pass other inputs.",
    )

    again, _ = _run(backbone, inputs, keys)
    places.same(alone, again, "the same inputs and keys must give the same logits; a second run gave others.")
    _check_pure(backbone, inputs, keys, places)
    logits = torch.cat(alone, 1).double().cpu()
    unlike = torch.cdist(logits, logits).argmax(1)  # `[B]` the row with the most different logits, of each row
    for kept, shown in _mixtures(unlike):
        mixed, mixed_states = _run(backbone, inputs[shown], keys[shown])
        message = "rows are independent: other neighbours must not change a row's"
        places.same([x[kept] for x in alone], [x[kept] for x in mixed], f"{message} logits.")
        for name, one in states.items():
            if one is not None and (other := mixed_states.get(name)) is not None:
                scale = one.abs().max().item() if one.is_floating_point() else 0.0
                places.same([one[kept]], [other[kept]], f"{message} state: {name} differs after T timesteps.", scale)

    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    permuted, _ = _run(backbone, inputs[order], keys[order])
    places.close([x[order] for x in alone], permuted, "rows are independent: permuting them must permute the logits.")
    _check_refill(backbone, inputs, keys, alone, unlike, places)
    _expect(
        backbone.fingerprint == fingerprint,
        "the network is frozen: stepping must not change its fingerprint.",
    )
    return Rounding(places.largest, places.rows)


def _promised(call: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call, whose refusal of the backbone is a broken promise."""
    try:
        return call(*arguments)
    except InputError as error:
        raise BackboneError(str(error)) from error


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise BackboneError(message)


class _Places:
    """Compares runs whose rows are at the same or at other places in parts of `scale`, and remembers the roundings."""

    def __init__(self, scale: float) -> None:
        self.scale, self.largest, self.rows = scale, 0.0, 0.0

    def same(self, expected: list[Tensor], got: list[Tensor], message: str, scale: float | None = None) -> None:
        """Refuse differences of more than a few millionths of the scale, of rows at the same places."""
        most = ROUNDING * (self.scale if scale is None else scale)
        for t, gap in self._gaps(expected, got):
            if gap.numel() and (worst := gap.max().item()) > most:
                raise BackboneError(f"{message} First seen at timestep {t}, largest difference {worst:.3g}.")

    def close(self, expected: list[Tensor], got: list[Tensor], message: str) -> None:
        """Refuse differences of more than a thousandth in half of the rows or more, of rows at other places."""
        for t, gap in self._gaps(expected, got):
            rows = gap.amax(1)
            self.largest = max(self.largest, rows.max().item() / self.scale)
            self.rows = max(self.rows, (rows > 0).double().mean().item())
            if 2 * int((rows > AMPLIFIED * self.scale).sum()) >= len(rows):
                raise BackboneError(
                    f"{message} First seen at timestep {t}, largest difference {rows.max().item():.3g}."
                )

    @staticmethod
    def _gaps(expected: list[Tensor], got: list[Tensor]) -> Iterator[tuple[int, Tensor]]:
        for t, (one, other) in enumerate(zip(expected, got, strict=True), 1):
            if not torch.equal(one, other):
                yield t, (one.double().nan_to_num() - other.double().nan_to_num()).abs()


def _mixtures(unlike: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """`[B]` bool: rows that keep their contents; and `[B]`: the row whose contents each row gets.

    Of any two rows, one mixture keeps the one and changes the other; two rows are each among copies of themselves.
    """
    rows = torch.arange(len(unlike))
    for bit in range((len(unlike) - 1).bit_length()):
        for value in (0, 1):
            kept = (rows >> bit & 1) == value
            yield kept, torch.where(kept, rows, unlike)
    for row in (0, int(unlike[0])):
        yield rows == row, torch.full_like(rows, row)


def _check_state(state: State, B: int) -> dict[str, Tensor | None]:
    """The leaves of a state by their paths, checked to be tensors with leading dimension B."""
    leaves = named_leaves(state)
    for where, leaf in leaves.items():
        if leaf is None:
            continue
        _expect(isinstance(leaf, Tensor), f"state must be a tree of tensors; {where} is {type(leaf).__name__}.")
        _expect(
            leaf.dim() >= 1 and len(leaf) == B,
            f"every tensor of the state must have leading dimension B = {B}; {where} is {list(leaf.shape)}.",
        )
    return leaves


def _run(backbone: Backbone, inputs: Tensor, keys: Tensor) -> tuple[list[Tensor], dict[str, Tensor | None]]:
    """The logits of each timestep, and the leaves of the state after the last."""
    state = backbone.start(inputs, keys)
    leaves = _check_state(state, len(inputs))
    outputs = []
    for _ in range(backbone.timesteps):
        logits, state = _promised(advanced, backbone, backbone.step, state)
        leaves = _check_state(state, len(inputs))
        outputs.append(logits.clone())
    return outputs, leaves


def _check_pure(backbone: Backbone, inputs: Tensor, keys: Tensor, places: _Places) -> None:
    state = backbone.start(inputs, keys)
    for t in range(1, backbone.timesteps + 1):
        first, after = backbone.step(state)
        first = first.clone()
        second, _ = backbone.step(state)
        message = f"step must not change the state that it is given; stepping it twice at timestep {t} differs."
        places.same([first], [second], message)
        state = after


def _check_refill(
    backbone: Backbone, inputs: Tensor, keys: Tensor, alone: list[Tensor], unlike: Tensor, places: _Places
) -> None:
    T = backbone.timesteps
    others = torch.arange(len(inputs)) % 2 == 0
    rows = torch.nonzero(~others).flatten()
    shown = torch.where(others, torch.arange(len(inputs)), unlike)
    new_inputs, new_keys = inputs[shown], keys[shown]
    fresh, _ = _run(backbone, new_inputs, new_keys)
    first: list[Tensor] = []
    for moment in sorted({0, 1, T // 2} & set(range(T))):
        state = backbone.start(inputs.clone(), keys.clone())
        for _ in range(moment):
            _, state = backbone.step(state)
        state = backbone.refill(state, rows.to(backbone.device), new_inputs[rows], new_keys[rows])
        after = []
        for _ in range(T - moment):
            logits, state = backbone.step(state)
            after.append(logits.clone())
        message = f"refilled rows must run like fresh ones; refilled after {counted(moment, 'timestep')} they do not."
        refilled = [logits[rows] for logits in after]
        places.close([logits[rows] for logits in fresh[: len(after)]], refilled, message)
        first = first or refilled
        places.same(first[: len(after)], refilled, message)
        message = f"a refill must not change the other rows; after {counted(moment, 'timestep')} it does."
        places.same([logits[others] for logits in alone[moment:]], [logits[others] for logits in after], message)
