"""Streaming inference under a policy: a slot pool over any number of inputs, each exit refilled at once.

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
from backbones.errors import shown, users_own
from seenn_env.evaluation import (
    STEP_ACTIONS,
    Policy,
    check_columns,
    check_trained_for,
    decides,
    name_episodes,
    normaliser_of,
    observation_of,
    predicted,
    timesteps_at_start,
)
from seenn_env.observations.observation import AnyObservation, Observation, make_observation, reads_logits_alone
from seenn_env.traces.fields import Dtype, as_array, finite_array

Inputs = np.ndarray | Tensor
Feed = Callable[[int], tuple[Inputs, np.ndarray]]
"""`feed(count)` returns the next inputs `[M, …]` and their keys `[M]`, M ≤ count; M = 0 is the end."""


class ArrayFeed:
    """The rows of an array, in their order.

    Rows have `keys` `[N]` int64 (default: 0…N-1), and show inputs `[M, …]` by their indices `shows` `[N]` (default:
    0…N-1).
    """

    @check_kinds
    def __init__(self, inputs: Inputs, keys: np.ndarray | None = None, shows: np.ndarray | None = None) -> None:
        count = len(inputs) if shows is None else len(shows)
        self.inputs, self.shows = inputs, as_array(shows)
        self.keys = np.arange(count) if keys is None else as_array(keys)
        places = np.arange(0) if shows is None else self.shows
        for name, column in (("keys", self.keys), ("shows", places)):
            if column.ndim != 1 or column.dtype.kind not in "iu":
                raise InputError(f"Expected {name} [N] of whole numbers, got {list(column.shape)} of {column.dtype}.")
        if len(self.keys) != count or (places.size and not 0 <= places.min() <= places.max() < len(inputs)):
            raise InputError(f"Expected {count} keys, and places in 0…{len(inputs) - 1}, got {len(self.keys)} keys.")
        self.position = 0

    @check_kinds
    def __call__(self, count: Natural) -> tuple[Inputs, np.ndarray]:
        """See `Feed`."""
        rows = slice(self.position, self.position + count)
        self.position += count
        return self.inputs[rows if self.shows is None else self.shows[rows]], self.keys[rows]


@dataclass(frozen=True)
class Exits:
    """The inputs that exited in one step."""

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
    dtype: Dtype = "float32",
    deterministic: bool = True,
    shrink: bool = False,
) -> Iterator[Exits]:
    """Run the pool until the feed has ended and every input has exited.

    Slots are filled in their order: of the slots refilled in one step, a lower one gets the earlier input. Nothing is
    read ahead: the feed is called with the number of free slots.

    Args:
        pool: slots of the backbone; their present rows are overwritten.
        feed: of the inputs.
        policy: decides for all slots at once; those with a new input have `episode_start`. One that decides at the
            start gets each input once, when it is fed.
        observation: that of a policy without an `observation` of its own.
        dtype: logits, spikes and potentials are rounded through it, as by traces of that dtype.
        deterministic: passed to `predict`.
        shrink: at the end, continue with a smaller batch whenever half of the slots are empty.

    Yields:
        the exits of each step with any, in the order of their slots.

    Raises:
        InputError: for a policy that decides in hindsight, was made for another T or returns other actions than 0 and
            1, or logits that are not finite; of a policy for another backbone, a warning.
    """
    when = decides(policy)
    if when == "end":
        raise InputError(f"Expected a policy that decides as it goes, got {shown(policy)}: it decides in hindsight.")
    B, T = pool.num_slots, pool.backbone.timesteps
    check_trained_for(policy, pool.backbone, transfer=True)
    reads, normalised = observation_of(policy, observation), normaliser_of(policy)
    due = np.full(B, T)  # of policies that decide at the start
    spec: Observation | None = None
    slots = np.arange(B)  # of the pool's rows, which become fewer when it shrinks
    places, names = np.full(B, -1), np.zeros(B, np.int64)
    fed, ended, state = 0, False, None
    logits, before = np.zeros((B, 0), dtype), None  # prepared logits of the timestep before
    columns = np.zeros((B, 0), np.float32)
    while True:
        free = np.flatnonzero(places < 0)
        if len(free) and not ended:
            with users_own("feed(count) to return inputs and keys"):
                inputs, keys = feed(len(free))
            filled, ended = free[: len(keys)], len(keys) == 0
            places[filled] = fed + np.arange(len(filled))
            names[slots[filled]] = np.asarray(keys)
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
        timestep = np.minimum(pool.timestep, T)  # empty slots run past T
        if when == "start":
            exits = timestep >= due[slots]
        else:
            if spec is None:
                spec = _make_observation(reads, pool)
                columns = np.zeros((B, len(spec.names)), np.float32)
                check_columns(policy, reads, columns.shape[1:])
            now = spec.prepared(logits)
            probes = {name: finite_array(values, dtype, name) for name, values in pool.probe(spec.probes).items()}
            columns[slots] = spec.of_prepared(now, now if before is None else before, timestep, len(slots), probes)
            before = now
            starts = np.zeros(B, bool)
            starts[slots] = busy & (pool.timestep == 1)
            if starts.any():
                state = name_episodes(policy, state, starts, names, deterministic)
            memory = {"state": state, "episode_start": starts, "deterministic": deterministic}
            actions, state = predicted(policy, normalised(columns), 2, STEP_ACTIONS, **memory)
            exits = (actions[slots] == 1) | (timestep == T)
        exiting = np.flatnonzero(busy & exits)
        if len(exiting):
            yield Exits(places[exiting], logits[exiting].argmax(-1), timestep[exiting], logits[exiting])
            places[exiting] = -1


def _make_observation(reads: AnyObservation, pool: SlotPool) -> Observation:
    """The observation of the policy, for the backbone's sizes."""
    backbone, sizes = pool.backbone, {}
    if not reads_logits_alone(reads) and isinstance(backbone, Probed):
        sizes = {name: values.shape[1] for name, values in backbone.probe(pool.state).items()}
    return make_observation(reads, timesteps=backbone.timesteps, num_classes=backbone.num_classes, **sizes)
