"""Checks of the arguments of `reset`: seeds and options, as Gymnasium takes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from backbones import InputError
from backbones.errors import shown

Seeds = int | list[int | None]
"""One seed for the whole vector, or one (or None) for each slot."""


def checked_seed(seed: Any) -> int:
    """A seed as a Python integer; an `InputError` for something else than a whole number of 0 or more."""
    number = seed.item() if isinstance(seed, np.ndarray) and seed.ndim == 0 else seed
    if not isinstance(number, int | np.integer) or isinstance(number, bool) or not 0 <= number < 2**63:
        raise InputError(f"Expected a seed that is a whole number of 0 or more and below 2**63, got {shown(seed)}.")
    return int(number)


def checked_seeds(seed: Any, num_envs: int) -> Seeds:
    """The seed of a vector environment, or one for each of its slots; an `InputError` for others."""
    if isinstance(seed, list | tuple | range) or (isinstance(seed, np.ndarray) and seed.ndim == 1):
        if len(seed) != num_envs:
            raise InputError(f"Expected one seed, or one for each of the {num_envs} environments, got {len(seed)}.")
        return [None if each is None else checked_seed(each) for each in seed]
    return checked_seed(seed)


def checked_options(options: Any) -> Mapping[str, Any]:
    """The options of a `reset`; None is an empty dictionary. An `InputError` for something else than a dictionary."""
    if options is not None and not isinstance(options, Mapping):
        raise InputError(f"Expected options to be a dictionary, or None, got {shown(options)}.")
    return options or {}
