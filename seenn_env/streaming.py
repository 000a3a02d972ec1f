"""Any number of inputs through a slot pool under a policy: a row that exits is refilled at once.

    pool = SlotPool(backbone, 128)
    for exits in stream(pool, ArrayFeed(images), policy):
        exits.places, exits.predictions, exits.timesteps          # in the order in which they finish

Letters: B slots, S rows that exit in one step, M inputs, K classes, T timesteps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from backbones import InputError, SlotPool
from backbones.argument_checks import Natural, check_kinds
from backbones.contract import Probed
from seenn_env.evaluation import Policy, decides, normaliser_of, observation_of, timesteps_at_start
from seenn_env.observations.observation import AnyObservation, Observation, make_observation, reads_logits_alone
from seenn_env.traces.fields import as_array, check_dtype, finite_array

Inputs = np.ndarray | Tensor
Feed = Callable[[int], tuple[Inputs, np.ndarray]]
"""`feed(count)` gives the next inputs `[M, …]` and their keys `[M]`, M ≤ count; M = 0 is the end."""


class ArrayFeed:
    """The rows of an array, in their order.

    Args:
        inputs: `[M, …]`.
        keys: `[N]` int64 names of the rows (default: 0…N-1).
        shows: `[N]` which input each row shows (default: row i shows input i).
    """

    @check_kinds
    def __init__(self, inputs: Inputs, keys: np.ndarray | None = None, shows: np.ndarray | None = None) -> None:
        count = len(inputs) if shows is None else len(shows)
        self.inputs, self.shows = inputs, as_array(shows)
        self.keys = np.arange(count) if keys is None else as_array(keys)
        places = np.arange(0) if shows is None else self.shows
        for name, given in (("keys", self.keys), ("shows", places)):
            if given.ndim != 1 or given.dtype.kind not in "iu":
                raise InputError(f"Expected {name} [N] of whole numbers, got {list(given.shape)} of {given.dtype}.")
        if len(self.keys) != count or (places.size and not 0 <= places.min() <= places.max() < len(inputs)):
            raise InputError(f"Expected {count} keys, and places in 0…{len(inputs) - 1}, got {len(self.keys)} keys.")
        self.given = 0

    @check_kinds
    def __call__(self, count: Natural) -> tuple[Inputs, np.ndarray]:
        """See `Feed`."""
        rows = slice(self.given, self.given + count)
        self.given += count
        return self.inputs[rows if self.shows is None else self.shows[rows]], self.keys[rows]


@dataclass(frozen=True)
class Exits:
    """What left the pool in one step."""

    places: np.ndarray
    """`[S]` int64: the inputs' places in the stream, from 0."""
    predictions: np.ndarray
    """`[S]` int64."""
    timesteps: np.ndarray
    """`[S]` int64 in 1…T."""
    logits: np.ndarray
    """`[S, K]` the running logits at the exit."""


@check_kinds
def stream(
    pool: SlotPool,
    feed: Feed,
    policy: Policy | Any,
    *,
    observation: AnyObservation | None = None,
    dtype: str = "float32",
    deterministic: bool = True,
    shrink: bool = False,
) -> Iterator[Exits]:
    """Run the pool until the feed has ended and every input has left.

    Slots are filled in their order: of the rows that are refilled in one step, a lower slot shows the
    earlier input. Nothing is read ahead: the feed is asked for as many inputs as there are free slots.

    Args:
        pool: rows of the backbone; what they hold is overwritten.
        feed: where the inputs come from.
        policy: decides for all rows at once; rows that show a new input have `episode_start`. One that decides at the
            start sees each input once, when it is fed.
        observation: what it reads, where it does not say so itself.
        dtype: logits, spikes and potentials are rounded through it, as by traces of that dtype.
        deterministic: passed on to `predict`.
        shrink: at the end, when half of the slots are empty, go on with a smaller batch.

    Yields:
        those that left in a step, if there are any, in the order of their slots.

    Raises:
        InputError: for a policy that decides in hindsight, or gives other actions than 0 and 1, or logits
            that are not finite.
    """
    check_dtype(dtype)
    when = decides(policy)
    if when == "end":
        raise InputError(f"Expected a policy that decides as it goes, got {policy!r}: it only knows afterwards.")
    B, T = pool.num_slots, pool.backbone.timesteps
    reads, normalised = observation_of(policy, observation), normaliser_of(policy)
    due = np.full(B, T)  # of policies that decide at the start
    spec: Observation | None = None
    slots = np.arange(B)  # of the pool's rows, which become fewer when it shrinks
    places = np.full(B, -1)
    fed, ended, state = 0, False, None
    logits, before = np.zeros((B, 0), dtype), None  # what the observation takes of the timestep before
    columns = np.zeros((B, 0), np.float32)
    while True:
        free = np.flatnonzero(places < 0)
        if len(free) and not ended:
            try:
                inputs, keys = feed(len(free))
            except TypeError as error:
                raise InputError(f"Expected feed(count) to give inputs and keys, but {error}.") from error
            filled, ended = free[: len(keys)], len(keys) == 0
            places[filled] = fed + np.arange(len(filled))
            fed += len(filled)
            if when == "start" and len(filled):
                due[filled] = timesteps_at_start(policy, inputs, T, deterministic=deterministic)
            pool.refill(filled, inputs, keys)
        busy = places >= 0
        if ended and not busy.any():
            return
        if ended and shrink and 2 * np.count_nonzero(busy) <= len(slots):
            pool.shrink(np.flatnonzero(busy))
            before = None if spec is None else spec.prepared(logits[busy])
            slots, places, busy = slots[busy], places[busy], busy[busy]
        logits = finite_array(pool.step(), dtype, "logits")
        timestep = np.minimum(pool.timestep, T)  # empty slots run on
        if when == "start":
            exits = timestep >= due[slots]
        else:
            if spec is None:
                spec = _made(reads, pool)
                columns = np.zeros((B, len(spec.names)), np.float32)
            now = spec.prepared(logits)
            probes = {name: finite_array(values, dtype, name) for name, values in pool.probe(spec.probes).items()}
            columns[slots] = spec.of_prepared(now, now if before is None else before, timestep, len(slots), probes)
            before = now
            starts = np.zeros(B, bool)
            starts[slots] = pool.timestep == 1
            actions, state = policy.predict(
                normalised(columns), state=state, episode_start=starts, deterministic=deterministic
            )
            actions = np.asarray(actions)
            if actions.shape != (B,) or not ((actions == 0) | (actions == 1)).all():
                raise InputError(f"Expected actions [{B}] of 0 (continue) or 1 (exit) from {policy!r}.")
            exits = (actions[slots] == 1) | (timestep == T)
        leaving = np.flatnonzero(busy & exits)
        if len(leaving):
            yield Exits(places[leaving], logits[leaving].argmax(-1), timestep[leaving], logits[leaving])
            places[leaving] = -1


def _made(reads: AnyObservation, pool: SlotPool) -> Observation:
    """The observation that is read, sized for what the backbone gives."""
    backbone, sizes = pool.backbone, {}
    if not reads_logits_alone(reads) and isinstance(backbone, Probed):
        sizes = {name: values.shape[1] for name, values in backbone.probe(pool.state).items()}
    return make_observation(reads, timesteps=backbone.timesteps, num_classes=backbone.num_classes, **sizes)
