"""The backbone contract as a test that ships: which promise does a backbone break?

check_backbone(my_backbone, images)         # passes, or says what is wrong
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from backbones.images import check_images
from backbones.kinds import check_kinds
from backbones.protocol import Backbone, State


class BackboneError(AssertionError):
    """A backbone breaks its contract; the message is the promise."""


@check_kinds
def check_backbone(backbone: Backbone, inputs: Tensor, keys: Tensor | None = None) -> None:
    """Try every promise of the `Backbone` protocol on some inputs.

    Args:
        backbone: the network.
        inputs: `[B, …]`, at least 4 different rows.
        keys: `[B]` int64 names of the rows (default: 0…B-1).

    Raises:
        BackboneError: for the first promise that is broken.
        InputError: for inputs of another form (see `images.check_images`).
    """
    check_images(inputs, backbone, what="inputs")
    B = len(inputs)
    _expect(B >= 4, f"check_backbone needs at least 4 rows of inputs, got {B}.")
    keys = torch.arange(B) if keys is None else keys
    T, K = backbone.timesteps, backbone.num_classes
    _expect(isinstance(T, int) and T >= 1, f"timesteps must be a whole number of at least 1, got {T!r}.")
    _expect(isinstance(K, int) and K >= 2, f"num_classes must be a whole number of at least 2, got {K!r}.")
    fingerprint = backbone.fingerprint
    _expect(isinstance(fingerprint, str) and fingerprint != "", "fingerprint must be a string that is not empty.")

    alone = _logits(backbone, inputs, keys, states=_check_states(B))
    for t, logits in enumerate(alone, 1):
        _expect(
            tuple(logits.shape) == (B, K),
            f"step must give logits [B, K] = [{B}, {K}], got {list(logits.shape)} at timestep {t}.",
        )
        _expect(bool(torch.isfinite(logits).all()), f"logits must be finite; at timestep {t} some are not.")
        _expect(not logits.requires_grad, "the network is frozen: logits must not carry gradients.")

    _expect(
        any(bool((logits != logits[0]).any()) for logits in alone),
        "all rows gave the same logits at every timestep: nothing can be checked; pass other inputs.",
    )

    again = _logits(backbone, inputs, keys)
    _same(alone, again, "the same inputs and keys must give the same logits; a second run gave others.")
    _check_pure(backbone, inputs, keys)

    order = torch.randperm(B, generator=torch.Generator().manual_seed(0))
    permuted = _logits(backbone, inputs[order], keys[order])
    _same([x[order] for x in alone], permuted, "rows are independent: permuting them must permute the logits.")

    half = torch.arange(B) < B // 2
    mixed_inputs, mixed_keys = inputs.clone(), keys.clone()
    mixed_inputs[~half], mixed_keys[~half] = inputs.flip(0)[~half], keys.flip(0)[~half]
    mixed = _logits(backbone, mixed_inputs, mixed_keys)
    _same(
        [x[half] for x in alone],
        [x[half] for x in mixed],
        "rows are independent: other neighbours must not change a row's logits.",
    )
    _check_refill(backbone, inputs, keys, alone)
    _expect(
        backbone.fingerprint == fingerprint,
        "the network is frozen: stepping must not change its fingerprint.",
    )


def _expect(holds: bool, message: str) -> None:
    if not holds:
        raise BackboneError(message)


def _same(expected: list[Tensor], got: list[Tensor], message: str) -> None:
    for t, (one, other) in enumerate(zip(expected, got, strict=True), 1):
        if not torch.equal(one, other):
            gap = (one - other).abs().max().item()
            raise BackboneError(f"{message} First seen at timestep {t}, largest difference {gap:.3g}.")


def _check_states(B: int) -> Iterator[State]:
    while True:
        state = yield
        for path, leaf in pytree.tree_flatten_with_path(state)[0]:
            if leaf is None:
                continue
            where = pytree.keystr(path)
            _expect(
                isinstance(leaf, Tensor),
                f"state must be a tree of tensors; {where} is {type(leaf).__name__}.",
            )
            _expect(
                leaf.dim() >= 1 and len(leaf) == B,
                f"every tensor of the state must have leading dimension B = {B}; {where} is {list(leaf.shape)}.",
            )


def _logits(backbone: Backbone, inputs: Tensor, keys: Tensor, states: Iterator[State] | None = None) -> list[Tensor]:
    state = backbone.start(inputs, keys)
    watch = states.send if states is not None else (lambda _: None)  # type: ignore[attr-defined]
    if states is not None:
        next(states)
    watch(state)
    found = []
    for _ in range(backbone.timesteps):
        logits, state = backbone.step(state)
        watch(state)
        found.append(logits.clone())
    return found


def _check_pure(backbone: Backbone, inputs: Tensor, keys: Tensor) -> None:
    state = backbone.start(inputs, keys)
    for t in range(1, backbone.timesteps + 1):
        first, after = backbone.step(state)
        first = first.clone()
        second, _ = backbone.step(state)
        _same(
            [first],
            [second],
            f"step must leave the state it is given as it is; stepping it twice at timestep {t} differs.",
        )
        state = after


def _check_refill(backbone: Backbone, inputs: Tensor, keys: Tensor, alone: list[Tensor]) -> None:
    B, T = len(inputs), backbone.timesteps
    rows = torch.tensor([1, B - 1])
    others = torch.ones(B, dtype=torch.bool)
    others[rows] = False
    new_inputs, new_keys = inputs.roll(2, 0), keys.roll(2, 0)
    fresh = _logits(
        backbone, torch.where(_like(others, inputs), inputs, new_inputs), torch.where(others, keys, new_keys)
    )
    for moment in {0, 1, T // 2} & set(range(T)):
        state = backbone.start(inputs.clone(), keys.clone())
        for _ in range(moment):
            _, state = backbone.step(state)
        state = backbone.refill(state, rows.to(backbone.device), new_inputs[rows], new_keys[rows])
        for t in range(T - moment):
            logits, state = backbone.step(state)
            _same(
                [fresh[t][rows]],
                [logits[rows]],
                f"refilled rows must run like fresh ones; refilled after {moment} timesteps they do not.",
            )
            _same(
                [alone[t + moment][others]],
                [logits[others]],
                f"a refill must leave the other rows alone; after {moment} timesteps it does not.",
            )


def _like(mask: Tensor, inputs: Tensor) -> Tensor:
    return mask.view(-1, *[1] * (inputs.dim() - 1))
