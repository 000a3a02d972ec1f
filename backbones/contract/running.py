"""A backbone over many images, all T timesteps, in batches of one shape.

for rows, logits in run(backbone, images, keys, batch_size=256): …            # logits [b, T, K]
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.argument_checks import Positive, check_kinds
from backbones.contract.inputs import as_tensor
from backbones.contract.protocol import Backbone, Probed, State
from backbones.errors import USAGE_ERRORS, InputError, counted, first_line, kind_of, shown, users_own


def check_protocol(backbone: Backbone) -> None:
    """Refuse a backbone whose T, K or device are none, or whose methods take other arguments; nothing runs.

    Raises:
        InputError: naming the attribute or the method.
    """
    kind = kind_of(backbone)
    for name, least in (("timesteps", 1), ("num_classes", 2)):
        value = getattr(backbone, name)
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise InputError(f"Expected {name} of {kind} to be a whole number of {least} or more, got {shown(value)}.")
    if not isinstance(backbone.device, torch.device):
        raise InputError(f"Expected device of {kind} to be a torch.device, got {shown(backbone.device)}.")
    for call in ("start(inputs, keys)", "step(state)", "refill(state, rows, inputs, keys)"):
        name, arguments = call[:-1].split("(")
        with users_own(f"{call} of {kind}"):
            inspect.signature(getattr(backbone, name)).bind(*arguments.split(", "))


def advanced(backbone: Backbone, step: Callable[[State], tuple[Tensor, State]], state: State) -> tuple[Tensor, State]:
    """One timestep by `step`: logits `[B, K]` and the next state.

    Raises:
        InputError: for a step that returns something else.
    """
    try:
        logits, state = step(state)
    except InputError:
        raise
    except USAGE_ERRORS as error:
        raise InputError(
            f"Expected step(state) of {kind_of(backbone)} to return logits [B, K] and the next state, but: "
            f"{first_line(error)}."
        ) from error
    K = backbone.num_classes
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[1] != K or logits.requires_grad:
        got = shown(logits) if isinstance(logits, Tensor) else kind_of(logits)
        raise InputError(
            f"Expected step(state) of {kind_of(backbone)} to return a tensor of logits [B, {K}] without gradients, got "
            f"{'one with gradients' if getattr(logits, 'requires_grad', False) else got}."
        )
    return logits, state


def run(backbone: Backbone, images: np.ndarray, keys: np.ndarray, **settings: Any) -> Iterator[tuple[slice, Tensor]]:
    """`run_probed` without probes: the rows of each batch, and their logits `[b, T, K]` on the backbone's device."""
    for rows, fields in run_probed(backbone, images, keys, **settings):
        yield rows, fields["logits"]


@check_kinds
def run_probed(
    backbone: Backbone,
    images: np.ndarray,
    keys: np.ndarray,
    *,
    probes: Sequence[str] = (),
    shows: np.ndarray | None = None,
    batch_size: Positive = 256,
    begins: Iterable[int] | None = None,
    timesteps: Positive | None = None,
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """The running logits and probes of all timesteps, a batch at a time.

    Every batch is run with `batch_size` rows: the last one is padded with copies.

    Args:
        backbone: the frozen network.
        images: `[M, …]`.
        keys: `[N]` int64, one a row.
        probes: names of `Probed.probe`.
        shows: `[N]` the image that each row shows (default: row i shows image i).
        batch_size: rows of a batch.
        begins: the first row of each batch to run (default: all batches).
        timesteps: number of timesteps (default: the backbone's T).

    Yields:
        rows: the rows of the batch.
        fields: "logits" `[b, T, K]`, and each probe `[b, T, F]`, on the backbone's device.
    """
    check_protocol(backbone)
    numbers = np.asarray(keys)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise InputError(f"Expected keys [N] of whole numbers, got {list(numbers.shape)} of {numbers.dtype}.")
    N = len(keys)
    shown_images = N if shows is None else len(shows)
    if shown_images != N or len(images) < (N if shows is None else max(shows, default=-1) + 1):
        raise InputError(
            f"Expected a key for each image that is shown, got {list(np.shape(keys))} keys, {shown_images} places and "
            f"{counted(len(images), 'image')}."
        )
    starts = list(range(0, N, batch_size) if begins is None else begins)
    if not all(isinstance(begin, int | np.integer) for begin in starts):
        raise InputError(f"Expected begins of whole numbers, the first row of each batch, got {starts}.")
    for begin in starts:
        rows = slice(begin, min(begin + batch_size, N))
        padded = np.minimum(np.arange(begin, begin + batch_size), N - 1)
        shown = padded if shows is None else shows[padded]
        state = backbone.start(torch.as_tensor(images[shown]), torch.as_tensor(keys[padded]))
        steps: dict[str, list[Tensor]] = {name: [] for name in ("logits", *probes)}
        for _ in range(timesteps or backbone.timesteps):
            logits, state = advanced(backbone, backbone.step, state)
            steps["logits"].append(logits)
            for name, values in probe(backbone, state, probes).items():
                steps[name].append(values)
        yield rows, {name: torch.stack(each, 1)[: rows.stop - rows.start] for name, each in steps.items()}


def probe(backbone: Backbone, state: State, names: Sequence[str]) -> dict[str, Tensor]:
    """`{name: [B, F]}` probes of a `step`'s state; an `InputError` for a backbone without them."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise InputError(f"Expected names of probes, such as ('hidden',), got {shown(names)}.")
    if not names:
        return {}
    probes = backbone.probe(state) if isinstance(backbone, Probed) else {}
    for name in names:
        if name not in probes:
            raise InputError(
                f"Expected a backbone whose probe(state) gives {name!r} [B, F], got {kind_of(backbone)} that does not: "
                f"add it, or do without {name!r}."
            )
    return {name: probes[name] for name in names}


@check_kinds
def probe_sizes(backbone: Backbone, images: np.ndarray, names: Sequence[str] | None = None) -> dict[str, int]:
    """`{name: F}` of these probes (default: all), by one timestep of some images; an `InputError` without them."""
    if names is None and not isinstance(backbone, Probed):
        return {}
    check_protocol(backbone)
    _, state = advanced(backbone, backbone.step, backbone.start(as_tensor(images)))
    probes = backbone.probe(state) if names is None else probe(backbone, state, names)  # type: ignore[attr-defined]
    return {name: values.shape[1] for name, values in probes.items()}


@check_kinds
def accuracy(
    backbone: Backbone, images: np.ndarray, labels: np.ndarray, keys: np.ndarray, *, timesteps: int | None = None
) -> np.ndarray:
    """`[T]` fraction of correct predictions after each timestep (of the first `timesteps`)."""
    if not labels.shape == keys.shape == images.shape[:1]:
        shapes = [list(each.shape) for each in (images, labels, keys)]
        raise InputError(f"Expected images [N, …] with a label and a key for each, got {shapes}.")
    right, labels = np.zeros(max(0, timesteps or backbone.timesteps)), np.asarray(labels)
    for rows, logits in run(backbone, images, keys, timesteps=timesteps):
        right += (logits.argmax(-1).cpu().numpy() == labels[rows, None]).sum(0)
    return right / max(1, len(labels))
