"""Rows of batched observations and infos of a Gymnasium vector environment.

Letters: N rows of the vector environment, F rows that finished.
"""

from collections.abc import Callable, Mapping
from itertools import compress
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

ENDINGS = frozenset({"final_obs", "_final_obs", "final_info", "_final_info"})
"""Keys of `infos` for episodes that ended, beside those of the rows."""


def map_parts(function: Callable, space: gym.Space, *observations: Any) -> Any:
    """Apply `function(space, *arrays)` to each part of Dict and Tuple observations, or to plain ones."""
    if isinstance(space, spaces.Dict):
        return {key: map_parts(function, part, *(o[key] for o in observations)) for key, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(map_parts(function, part, *(o[i] for o in observations)) for i, part in enumerate(space))
    return function(space, *observations)


def copy_batch(space: gym.Space, batch: Any) -> np.ndarray:
    """`[N, …]` in the space's dtype, always a copy."""
    # A vector environment may return its own buffer, a view, other floats, a JAX array.
    return np.array(batch, dtype=space.dtype, order="C")


def stack_rows(space: gym.Space, *rows: Any) -> np.ndarray:
    """`[F, …]` of F rows."""
    return np.array(rows, dtype=space.dtype)


def overwrite_rows(mask: np.ndarray, _: gym.Space, batch: np.ndarray, fresh: Any) -> None:
    """Copy the mask's rows of `fresh` into `batch`."""
    batch[mask] = np.asarray(fresh)[mask]


def row_observations(space: gym.Space, batch: Any, mask: np.ndarray) -> list[Any]:
    """The observations of the mask's rows, one by one, as copies."""
    if isinstance(space, spaces.Dict):
        columns = [row_observations(part, batch[key], mask) for key, part in space.items()]
        return [dict(zip(space, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(space, spaces.Tuple):
        return list(zip(*(row_observations(*pair, mask) for pair in zip(space, batch, strict=True)), strict=True))
    return list(np.asarray(batch)[mask])


def fill_infos(rows: list[dict[str, Any]], infos: Mapping[str, Any], mask: np.ndarray, *, replace: bool = True) -> None:
    """Add to `rows` the mask's rows of Gymnasium's infos: `key: [N, …]` with an optional mask `_key: [N]`."""
    for key, values in infos.items():
        if key in ENDINGS or (key.startswith("_") and key[1:] in infos) or (key == "episode" and not replace):
            continue
        present = np.asarray(infos.get(f"_{key}", mask))[mask]
        pairs = zip(rows, _row_values(values, mask), strict=True)
        for info, value in pairs if present.all() else compress(pairs, present):
            info[key] = value


def _row_values(values: Any, mask: np.ndarray) -> list[Any]:
    """Scalars as Python's, arrays as rows, nested infos as dictionaries; a value without rows for every row."""
    count = np.count_nonzero(mask)
    if isinstance(values, Mapping):
        rows: list[dict[str, Any]] = [{} for _ in range(count)]
        fill_infos(rows, values, mask)
        return rows
    if isinstance(values, list | tuple):
        return list(compress(values, mask)) if len(values) == len(mask) else [values] * count
    array = np.asarray(values)
    if array.shape[:1] != mask.shape:
        return [values] * count
    return array[mask].tolist() if array.ndim == 1 else list(array[mask])
