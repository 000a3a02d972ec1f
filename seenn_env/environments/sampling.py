"""Which rows the slots of a vector environment show next.

Each order has `seed(seeds)` and `draw(slots) -> rows`, for slots `[S]` that start afresh, in their order.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium.utils import seeding

from backbones import InputError
from backbones.errors import unknown_name

Seeds = int | list[int | None]
"""One seed for the whole vector, or one (or None) for each slot."""


class Order(Protocol):
    """A sampling order over N rows for `num_envs` slots."""

    def seed(self, seed: Seeds) -> None:
        """Start from this seed: slot i has seed + i, or its own of a list."""

    def draw(self, slots: np.ndarray) -> np.ndarray:
        """`[S]` the rows that these slots show next."""


class Epoch:
    """Shuffled without replacement over the whole vector: every row once before any comes again."""

    def __init__(self, N: int, num_envs: int) -> None:
        self.N = N
        self._begin(np.random.default_rng())

    def _begin(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.left = np.empty(0, np.int64)

    def seed(self, seed: Seeds) -> None:
        """See `Order.seed`; a list is one seed for the whole vector."""
        self._begin(np.random.default_rng(seed if isinstance(seed, int) else [s or 0 for s in seed]))

    def draw(self, slots: np.ndarray) -> np.ndarray:
        """See `Order.draw`."""
        count = len(slots)
        while len(self.left) < count:
            self.left = np.concatenate([self.left, self.rng.permutation(self.N)])
        rows, self.left = self.left[:count], self.left[count:]
        return rows


class Independent:
    """Each slot draws from a stream of its own, as a single environment seeded with seed + i does."""

    def __init__(self, N: int, num_envs: int) -> None:
        self.N = N
        self.rngs = [seeding.np_random()[0] for _ in range(num_envs)]

    def seed(self, seed: Seeds) -> None:
        """See `Order.seed`."""
        seeds = [seed + i for i in range(len(self.rngs))] if isinstance(seed, int) else seed
        for slot, own in enumerate(seeds):
            if own is not None:
                self.rngs[slot] = seeding.np_random(own)[0]

    def draw(self, slots: np.ndarray) -> np.ndarray:
        """See `Order.draw`."""
        return np.array([self.rngs[slot].integers(self.N) for slot in slots.tolist()], np.int64)


class Sequential:
    """Row after row in their order, round and round: for evaluation."""

    def __init__(self, N: int, num_envs: int) -> None:
        self.N, self.next = N, 0

    def seed(self, seed: Seeds) -> None:
        """Begin with row 0 again."""
        self.next = 0

    def draw(self, slots: np.ndarray) -> np.ndarray:
        """See `Order.draw`."""
        rows = (self.next + np.arange(len(slots))) % self.N
        self.next = (self.next + len(slots)) % self.N
        return rows


ORDERS: dict[str, type] = {"epoch": Epoch, "independent": Independent, "sequential": Sequential}


def one_seed(seed: Any) -> int:
    """A seed, of Python's whole numbers or numpy's, as Gymnasium takes it.

    Raises:
        InputError: for something else, or a number below 0.
    """
    given = seed.item() if isinstance(seed, np.ndarray) and seed.ndim == 0 else seed
    if not isinstance(given, int | np.integer) or isinstance(given, bool) or given < 0:
        raise InputError(f"Expected a seed that is a whole number of 0 or more, got {seed!r}.")
    return int(given)


def make_seeds(seed: Any, num_envs: int) -> Seeds:
    """The seed of a vector environment, or one for each of its slots.

    Raises:
        InputError: for a list of another length, or something that is no seed.
    """
    if isinstance(seed, list | tuple | range) or (isinstance(seed, np.ndarray) and seed.ndim == 1):
        if len(seed) != num_envs:
            raise InputError(f"Expected one seed, or one for each of the {num_envs} environments, got {len(seed)}.")
        return [None if each is None else one_seed(each) for each in seed]
    return one_seed(seed)


def checked_options(options: Any) -> Mapping[str, Any]:
    """The options of a `reset`; none are an empty dictionary.

    Raises:
        InputError: for something else than a dictionary.
    """
    if not isinstance(options, Mapping | None):
        raise InputError(f"Expected options to be a dictionary, or None, got {options!r}.")
    return options or {}


def make_order(name: str, N: int, num_envs: int) -> Order:
    """The order of that name.

    Raises:
        InputError: for a name that is not known.
    """
    if name not in ORDERS:
        raise unknown_name("order", name, ORDERS)
    order: Order = ORDERS[name](N, num_envs)
    return order
