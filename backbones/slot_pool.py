"""A fixed number of rows that step together; a row that is done is refilled with the next input at once.

    pool = SlotPool(backbone, num_slots=128)
    pool.refill(np.arange(128), images[:128], keys[:128])
    logits = pool.step()                                  # [B, K], every row one timestep further
    pool.refill(rows_that_exit, more_images, more_keys)   # the others go on untouched

Letters: B slots, R rows that are refilled, K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from backbones.errors import InputError
from backbones.protocol import Advancing, Backbone, State
from backbones.running import probe

Rows = np.ndarray | Tensor | Sequence[int]

CHUNKS = (8, 16, 32, 64, 128, 256)
"""Sizes in which fresh rows may be computed: the least from B/8 on that gives the bits of a whole batch."""


class SlotPool:
    """Live stepping of a backbone with refill by row.

    All shapes are constant: a step has B rows, and fresh rows are computed in chunks of one size, the last
    one padded with copies. Rows never influence each other. Rows that were never filled show copies of the
    first input until they are.

    Args:
        backbone: the frozen network.
        num_slots: B.

    Raises:
        InputError: for fewer slots than 1.
    """

    def __init__(self, backbone: Backbone, num_slots: int) -> None:
        if num_slots < 1:
            raise InputError(f"Expected num_slots ≥ 1, got {num_slots}.")
        self.backbone = backbone
        self.timestep = np.zeros(num_slots, np.int64)
        """`[B]` timesteps that each row has done since it was filled."""
        self.chunk = num_slots
        """How many fresh rows are computed at once."""
        self._state: State = None

    @property
    def num_slots(self) -> int:
        """B."""
        return len(self.timestep)

    @property
    def state(self) -> State:
        """The rows' state, for those who look; it is used up by the next call."""
        return self._state

    def refill(self, rows: Rows, inputs: np.ndarray | Tensor, keys: np.ndarray | Tensor | None = None) -> None:
        """Those rows start afresh on new inputs; the others continue untouched.

        Args:
            rows: `[R]` which ones, each once.
            inputs: `[R, …]`.
            keys: `[R]` int64 names of the inputs (default: all 0).

        Raises:
            InputError: for rows that are not in 0…B-1 or come twice, or counts that differ.
        """
        rows = np.asarray(rows, np.int64)
        R = len(rows)
        if R == 0:
            return
        if rows.min() < 0 or rows.max() >= self.num_slots or len(np.unique(rows)) < R:
            raise InputError(f"Expected different rows in 0…{self.num_slots - 1}, got {rows.tolist()}.")
        if isinstance(inputs, np.ndarray) and not inputs.flags.writeable:
            inputs = inputs.copy()  # of a mapped file, which torch does not take
        inputs = torch.as_tensor(inputs)
        keys = torch.zeros(R, dtype=torch.int64) if keys is None else torch.as_tensor(keys)
        if len(inputs) != R or len(keys) != R:
            raise InputError(f"Expected {R} inputs and keys for {R} rows, got {len(inputs)} and {len(keys)}.")
        if self._state is None:
            self._begin(rows, inputs, keys)
        else:
            for begin in range(0, R, self.chunk):
                at: slice | np.ndarray = slice(begin, begin + self.chunk)
                if begin + self.chunk > R:
                    # Copies of the last row fill up the last chunk: written twice, the same both times.
                    at = np.minimum(np.arange(begin, begin + self.chunk), R - 1)
                where = torch.from_numpy(rows[at]).to(self.backbone.device)
                self._state = self.backbone.refill(self._state, where, inputs[at], keys[at])
        self.timestep[rows] = 0

    def step(self) -> Tensor:
        """One timestep for every row: `[B, K]` the running logits.

        Raises:
            InputError: before the first refill.
        """
        if self._state is None:
            raise InputError("Expected filled rows to step, got none: call refill first.")
        step = self.backbone.advance if isinstance(self.backbone, Advancing) else self.backbone.step
        logits, self._state = step(self._state)
        self.timestep += 1
        return logits

    def probe(self, names: Sequence[str]) -> dict[str, Tensor]:
        """`{name: [B, F]}` those of `Probed.probe`'s, of the last step."""
        return probe(self.backbone, self._state, names)

    def shrink(self, rows: Rows) -> None:
        """Keep only these rows, in this order, as slots 0…R-1: for the tail, when no inputs are left.

        Another batch shape may round differently (see the equality contract of `Backbone`).
        """
        rows = np.asarray(rows, np.int64)
        if len(rows) < 1:
            raise InputError("Expected at least one row to keep, got none.")
        where = torch.from_numpy(rows).to(self.backbone.device)
        self._state = pytree.tree_map(lambda leaf: None if leaf is None else leaf[where], self._state)
        self.timestep = self.timestep[rows]
        self.chunk = min(self.chunk, len(rows))

    def _begin(self, rows: np.ndarray, inputs: Tensor, keys: Tensor) -> None:
        """Start all rows, and find out how few fresh rows can be computed at once with the same bits."""
        shown = np.zeros(self.num_slots, np.int64)
        shown[rows] = np.arange(len(rows))
        inputs, keys = inputs[shown], keys[shown]
        self._state = self.backbone.start(inputs, keys)
        for chunk in (size for size in CHUNKS if self.num_slots <= 8 * size < 8 * self.num_slots):
            if _equal(self.backbone.start(inputs[:chunk], keys[:chunk]), self._state):
                self.chunk = chunk
                break


def _equal(part: State, whole: State) -> bool:
    """Whether the rows of `part` are the first of `whole`, bit for bit."""
    leaves, others = pytree.tree_leaves(part), pytree.tree_leaves(whole)
    return all(one is None or torch.equal(one, other[: len(one)]) for one, other in zip(leaves, others, strict=True))
