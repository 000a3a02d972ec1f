"""A pool of slots that step together; a slot whose row exits is refilled with the next input at once.

    pool = SlotPool(backbone, num_slots=128)
    pool.refill(np.arange(128), images[:128], keys[:128])
    logits = pool.step()                                  # [B, K], every slot one timestep further
    pool.refill(rows_that_exit, more_images, more_keys)   # the others continue

Letters: B slots, R rows that are refilled, K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from backbones.argument_checks import Positive, check_kinds
from backbones.contract.inputs import as_tensor, keys_of, whole_numbers
from backbones.contract.protocol import Advancing, Backbone, State
from backbones.contract.running import advanced, check_protocol, probe
from backbones.errors import InputError, counted
from backbones.state_tree import leaves_of, map_leaves

Rows = np.ndarray | Tensor | Sequence[int]

_SIZES = 8
"""Most sizes in which fresh rows are computed."""
_AT_ONCE = 64
"""Most fresh rows computed together on a CPU: memory for more would come from the system each time."""


class SlotPool:
    """Live stepping of a backbone with refill by row.

    Shapes are constant: a step has B rows; fresh rows are computed together (on a CPU up to 64), padded with copies to
    one of a few sizes that give the bits of a whole batch. Slots that were never filled show copies of the first input.

    Args:
        backbone: the frozen network.
        num_slots: B.
    """

    @check_kinds
    def __init__(self, backbone: Backbone, num_slots: Positive) -> None:
        check_protocol(backbone)
        self.backbone = backbone
        self.timestep = np.zeros(num_slots, np.int64)
        """`[B]` timesteps since each slot was filled."""
        self.sizes: tuple[int, ...] = (num_slots,)
        """Sizes in which fresh rows may be computed: the smallest sufficient one is used."""
        self._at_once = num_slots
        self._state: State = None
        self._advance = backbone.advance if isinstance(backbone, Advancing) else backbone.step

    @property
    def num_slots(self) -> int:
        """B."""
        return len(self.timestep)

    @property
    def state(self) -> State:
        """The state of the slots; the next call uses it up."""
        return self._state

    def refill(self, rows: Rows, inputs: np.ndarray | Tensor, keys: Rows | None = None) -> None:
        """Start some slots afresh on new inputs; the others continue.

        Args:
            rows: `[R]` the slots, each once.
            inputs: `[R, …]`.
            keys: `[R]` int64 names of the inputs (default: all 0).

        Raises:
            InputError: for rows that are not in 0…B-1 or come twice, counts that differ, or keys of other numbers.
        """
        rows = whole_numbers(rows, "rows").cpu().numpy()
        R = len(rows)
        if R == 0:
            return
        numbers = rows.tolist()
        if min(numbers) < 0 or max(numbers) >= self.num_slots or len(set(numbers)) < R:
            raise InputError(f"Expected different rows in 0…{self.num_slots - 1}, got {numbers}.")
        inputs = as_tensor(inputs, "inputs")
        if len(inputs) != R:
            raise InputError(f"Expected {counted(R, 'input')} for {counted(R, 'row')}, got {len(inputs)}.")
        keys = keys_of(keys, R).cpu()
        if numbers != sorted(numbers):
            order = np.argsort(rows)
            rows, inputs, keys = rows[order], inputs[order], keys[order]
        if self._state is None:
            self._begin(rows, inputs, keys)
        elif self.num_slots == R:
            self._state = self.backbone.start(inputs, keys)
        else:
            for at in range(0, R, self._at_once):
                now = slice(at, at + self._at_once)
                self._refill(torch.from_numpy(rows[now]), inputs[now], keys[now])
        self.timestep[rows] = 0

    def step(self) -> Tensor:
        """One timestep for every row: `[B, K]` the running logits; an `InputError` before the first refill."""
        if self._state is None:
            raise InputError("Expected filled rows to step, got none: call refill first.")
        logits, self._state = advanced(self.backbone, self._advance, self._state)
        self.timestep += 1
        return logits

    def probe(self, names: Sequence[str]) -> dict[str, Tensor]:
        """`{name: [B, F]}` those of `Probed.probe`'s, of the last step."""
        return probe(self.backbone, self._state, names)

    def shrink(self, rows: Rows) -> None:
        """Keep only these rows, in this order, as slots 0…R-1: for the tail, when no inputs remain.

        Another batch shape may round differently (see the equality contract of `Backbone`).
        """
        rows = whole_numbers(rows, "rows").cpu().numpy()
        if self._state is None or len(rows) < 1 or rows.min() < 0 or rows.max() >= self.num_slots:
            raise InputError(
                f"Expected filled rows in 0…{self.num_slots - 1} to keep, at least one, got {rows.tolist()}."
            )
        where = torch.from_numpy(rows).to(self.backbone.device)
        self._state = map_leaves(lambda leaf: None if leaf is None else leaf[where], self._state)
        self.timestep = self.timestep[rows]
        self.sizes = (*(size for size in self.sizes if size < len(rows)), len(rows))

    def _refill(self, rows: Tensor, inputs: Tensor, keys: Tensor) -> None:
        """Refill some slots at once, padded with copies of the last row."""
        R = len(rows)
        size = next(size for size in self.sizes if size >= R)
        if size > R:
            filled = torch.arange(size).clamp_(max=R - 1)
            rows, inputs, keys = (each.index_select(0, filled.to(each.device)) for each in (rows, inputs, keys))
        self._state = self.backbone.refill(self._state, rows.to(self.backbone.device), inputs, keys)

    def _begin(self, rows: np.ndarray, inputs: Tensor, keys: Tensor) -> None:
        """Start all slots, and find the sizes in which fresh rows have the same bits."""
        B = self.num_slots
        shown = np.zeros(B, np.int64)
        shown[rows] = np.arange(len(rows))
        inputs, keys = inputs[shown], keys[shown]
        self._state = self.backbone.start(inputs, keys)
        step = 4 * -(-B // (4 * _SIZES))
        less = (size for size in range(step, B, step) if self._same_bits(inputs[:size], keys[:size]))
        self.sizes = (*less, B)
        few = [size for size in self.sizes if size <= _AT_ONCE]
        self._at_once = few[-1] if few and self.backbone.device.type == "cpu" else B

    def _same_bits(self, inputs: Tensor, keys: Tensor) -> bool:
        """Whether fewer rows, started alone, equal those of the whole batch bit for bit."""
        pairs = zip(leaves_of(self.backbone.start(inputs, keys)), leaves_of(self._state), strict=True)
        return all(one is None or torch.equal(one, other[: len(one)]) for one, other in pairs)
