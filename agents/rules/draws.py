"""Draws of policies as a function of the seed and the episode's name, so that they are the same live and in replay.

`evaluate` and `stream` name an episode by the key of its row (sample and repeat, see `backbones.contract.make_keys`),
whatever the order of rows; elsewhere episodes are numbered as they begin.

Letters: B rows.
"""

from typing import Any, NamedTuple

import numpy as np


class Draws(NamedTuple):
    """The state of a policy that draws."""

    inner: Any
    """The state of its scores."""
    episode: np.ndarray
    """`[B]` int64 name of each row's episode."""
    step: np.ndarray
    """`[B]` int64 steps since its start."""
    begun: int
    """Episodes so far."""
    named: bool = False
    """Whether `name_episodes` gave the names."""


def name_episodes(state: Any, starts: np.ndarray, names: np.ndarray) -> Draws:
    """The state of `predict` in which the rows that start `[B]` have the names `[B]`."""
    if not isinstance(state, Draws):
        state = Draws(state, np.zeros(len(names), np.int64), np.full(len(names), -1), 0)
    return state._replace(episode=np.where(starts, names, state.episode), named=True)


def next_draws(state: Any, episode_start: np.ndarray | None, rows: int) -> Draws:
    """The draws of one call of `predict`, which leaves `state` as it is.

    A call without state or start draws anew each time.
    """
    if isinstance(state, Draws):
        inner, episode, step, begun, named = state
    else:
        begun = (
            0 if episode_start is not None and np.any(episode_start) else int(np.random.default_rng().integers(2**62))
        )
        inner, episode, step, named = state, begun + np.arange(rows), np.full(rows, -1), False
    starts = np.zeros(rows, bool) if episode_start is None else np.asarray(episode_start, bool)
    if not named:
        episode = np.where(starts, begun + np.cumsum(starts) - 1, episode)
    return Draws(inner, episode, np.where(starts, 0, step + 1), begun + int(starts.sum()), named)


def uniform(seed: int, names: np.ndarray, step: np.ndarray | int = 0) -> np.ndarray:
    """`[B]` in [0, 1) for whole numbers `names` and `step`, by SplitMix64 (Steele et al. 2014)."""
    mixed = np.zeros(len(names), np.uint64)
    for part in (seed % 2**64, names, step):
        mixed = mixed + np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(11)) * 2.0**-53
