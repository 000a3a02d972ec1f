"""Rows of a batch of which new ones stay where they were computed, until it shows that they are needed again.

    rows = LateRows(base)                        # [B, …]
    rows.put(where, new)                         # kept beside the base, not copied
    rows.parts(0, B)                             # the rows, as a few neighbouring pieces of memory
    rows.settle()                                # those that were there before the last settling go into the base

Under early exit most rows live for one timestep. Putting what they start from among the others is a pass over memory
that only those need that go on.

Letters: B rows, R new ones.
"""

from torch import Tensor
from torch.utils import _pytree as pytree

_BASE = -1


class LateRows:
    """`[B, …]`, on a CPU. As a tree (`torch.utils._pytree`) it is one tensor of all rows.

    Args:
        base: the rows; it is written to.
    """

    def __init__(self, base: Tensor) -> None:
        self.base = base
        self._late: dict[int, Tensor] = {}
        self._settled = self._count = 0
        self._owner = [_BASE] * len(base)  # which of the late tensors a row is in
        self._place = list(range(len(base)))  # and where in it

    def put(self, rows: Tensor, new: Tensor) -> None:
        """Rows `[R]` become `new` `[R, …]`, which is kept; the last row may come several times, with the same."""
        where = rows.tolist()
        for place, row in enumerate(where[: where.index(where[-1]) + 1]):
            self._owner[row], self._place[row] = self._count, place
        needed = set(self._owner)
        self._late = {of: late for of, late in self._late.items() if of in needed}
        self._late[self._count] = new
        self._count += 1

    def parts(self, begin: int, end: int) -> list[tuple[Tensor, bool]]:
        """The rows from `begin` up to, and without, `end`, in pieces one after another, and whether these are late."""
        runs = self._runs(begin, end)
        return [(self._late.get(of, self.base)[at : at + size], of != _BASE) for _, size, of, at in runs]

    def settle(self) -> None:
        """Copy into the base what was put before the last call; what was put since stays late."""
        self._settle(self._settled)
        self._settled = self._count

    def whole(self) -> Tensor:
        """All rows as one tensor: the base."""
        self._settle(self._count)
        return self.base

    def _settle(self, until: int) -> None:
        for row, size, of, at in self._runs(0, len(self.base)):
            if _BASE < of < until:
                self.base[row : row + size].copy_(self._late[of][at : at + size])
                self._owner[row : row + size], self._place[row : row + size] = [_BASE] * size, range(row, row + size)
        self._late = {of: late for of, late in self._late.items() if of >= until}

    def _runs(self, begin: int, end: int) -> list[tuple[int, int, int, int]]:
        """Rows that lie beside each other: the first, how many, whose they are, and from where on there."""
        found = []
        while begin < end:
            of, at = self._owner[begin], self._place[begin]
            row = begin + 1
            while row < end and self._owner[row] == of and self._place[row] == at + row - begin:
                row += 1
            found.append((begin, row - begin, of, at))
            begin = row
        return found


pytree.register_pytree_node(LateRows, lambda rows: ([rows.whole()], None), lambda leaves, _: next(iter(leaves)))
