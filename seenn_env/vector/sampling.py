"""Sampling orders of the slots of a vector environment: shuffled, independent or sequential.

Letters: N rows, S slots that start afresh.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from gymnasium.utils import seeding

from seenn_env.environments.reset_arguments import Seeds


class Order(Protocol):
    """A sampling order over N rows for `num_envs` slots."""

    def seed(self, seed: Seeds) -> None:
        """Start from this seed: slot i has seed + i, or its own of a list."""

    def draw(self, slots: np.ndarray) -> np.ndarray:
        """`[S]` the next row of each of these slots."""


class _Epoch:
    """Shuffled without replacement over the whole vector: every row once before any comes again.

    A list of seeds is one seed for the whole vector.
    """

    def __init__(self, N: int, num_envs: int) -> None:
        self.N = N
        self._begin(np.random.default_rng())

    def _begin(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.remaining = np.empty(0, np.int64)

    def seed(self, seed: Seeds) -> None:
        self._begin(np.random.default_rng(seed if isinstance(seed, int) else [s or 0 for s in seed]))

    def draw(self, slots: np.ndarray) -> np.ndarray:
        count = len(slots)
        while len(self.remaining) < count:
            self.remaining = np.concatenate([self.remaining, self.rng.permutation(self.N)])
        rows, self.remaining = self.remaining[:count], self.remaining[count:]
        return rows


class _Independent:
    """A stream for each slot, equal to that of a single environment seeded with seed + i."""

    def __init__(self, N: int, num_envs: int) -> None:
        self.N = N
        self.rngs = [seeding.np_random()[0] for _ in range(num_envs)]

    def seed(self, seed: Seeds) -> None:
        seeds = [seed + i for i in range(len(self.rngs))] if isinstance(seed, int) else seed
        for slot, own in enumerate(seeds):
            if own is not None:
                self.rngs[slot] = seeding.np_random(own)[0]

    def draw(self, slots: np.ndarray) -> np.ndarray:
        return np.array([self.rngs[slot].integers(self.N) for slot in slots.tolist()], np.int64)


class _Sequential:
    """Rows in their order, from row 0 again after the last: for evaluation."""

    def __init__(self, N: int, num_envs: int) -> None:
        self.N, self.next = N, 0

    def seed(self, seed: Seeds) -> None:
        self.next = 0

    def draw(self, slots: np.ndarray) -> np.ndarray:
        rows = (self.next + np.arange(len(slots))) % self.N
        self.next = (self.next + len(slots)) % self.N
        return rows


ORDERS: dict[str, Callable[[int, int], Order]] = {
    "epoch": _Epoch,
    "independent": _Independent,
    "sequential": _Sequential,
}
"""By name, each made of N and `num_envs`."""
