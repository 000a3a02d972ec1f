"""A backbone over many images, all T timesteps, in batches of one shape.

for rows, logits in run(backbone, images, keys, batch_size=256):
…                                                       # logits [b, T, K]
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from backbones.protocol import Backbone

REPEAT_BITS = 16


def make_keys(index: np.ndarray, repeat: np.ndarray | int = 0) -> np.ndarray:
    """`[N]` int64 row names of dataset indices and repeats (below 2¹⁶)."""
    return (np.asarray(index, np.int64) << REPEAT_BITS) | np.asarray(repeat, np.int64)


def run(
    backbone: Backbone,
    images: np.ndarray,
    keys: np.ndarray,
    *,
    shows: np.ndarray | None = None,
    batch_size: int = 256,
    first: int = 0,
    timesteps: int | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """The running logits of all timesteps, a batch at a time.

    Every batch has `batch_size` rows: the last is padded with copies, which are cut off again.

    Args:
        backbone: the frozen network.
        images: `[M, …]`.
        keys: `[N]` int64, one a row.
        shows: `[N]` which image each row shows (default: row i shows image i).
        batch_size: rows of a batch.
        first: the row to begin with.
        timesteps: how many to run (default: the backbone's T).

    Yields:
        rows: which rows these are.
        logits: `[b, T, K]` on the backbone's device.
    """
    N = len(keys)
    for begin in range(first, N, batch_size):
        rows = slice(begin, min(begin + batch_size, N))
        padded = np.minimum(np.arange(begin, begin + batch_size), N - 1)
        shown = padded if shows is None else shows[padded]
        state = backbone.start(torch.from_numpy(images[shown]), torch.from_numpy(keys[padded]))
        steps = []
        for _ in range(timesteps or backbone.timesteps):
            logits, state = backbone.step(state)
            steps.append(logits)
        yield rows, torch.stack(steps, 1)[: rows.stop - rows.start]


def accuracy(
    backbone: Backbone, images: np.ndarray, labels: np.ndarray, keys: np.ndarray, *, timesteps: int | None = None
) -> np.ndarray:
    """`[T]` fraction of right answers after each timestep (of the first `timesteps`)."""
    right = np.zeros(timesteps or backbone.timesteps)
    for rows, logits in run(backbone, images, keys, timesteps=timesteps):
        right += (logits.argmax(-1).cpu().numpy() == labels[rows, None]).sum(0)
    return right / len(labels)
