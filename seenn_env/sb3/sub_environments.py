"""Wrappers of a Gymnasium vector environment, and attributes of its sub-environments.

Letters: N rows of the vector environment.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper

from backbones.errors import InputError


def chain(env: Any) -> Iterator[Any]:
    """The environment, single or vector, and those inside its wrappers, down to the base."""
    yield env
    while isinstance(env, VectorWrapper | gym.Wrapper):
        env = env.env
        yield env


class SubEnvironments:
    """Attributes of the sub-environments, or of the vector environment where it has none."""

    def __init__(self, vector_env: VectorEnv) -> None:
        self.vector_env = vector_env
        self.base: Any = vector_env.unwrapped
        self.num_envs = vector_env.num_envs

    def get(self, name: str, rows: Sequence[int]) -> list[Any]:
        """The attribute of each of the rows; an `AttributeError` where there is none."""
        if isinstance(self.base, SyncVectorEnv):
            return [self.base.envs[row].get_wrapper_attr(name) for row in rows]
        if isinstance(self.base, AsyncVectorEnv):
            values = self._call_workers(name)
            return [values[row] for row in rows]
        return [getattr(self._owner(name), name) for _ in rows]

    def set(self, name: str, value: Any, rows: Sequence[int]) -> None:
        """Set the attribute where it is found; an `InputError` for some of the rows where only all can be reached."""
        if isinstance(self.base, SyncVectorEnv):
            for row in rows:
                self.base.envs[row].set_wrapper_attr(name, value)
            return
        self._require_all(rows)
        if isinstance(self.base, AsyncVectorEnv):
            self.base.set_attr(name, [value] * self.num_envs)
        else:
            setattr(self._owner(name), name, value)

    def call(self, name: str, rows: Sequence[int], *args: Any, **kwargs: Any) -> list[Any]:
        """The method's result for each of the rows; the vector environment's own is called once for all. An
        `AttributeError` where there is none; an `InputError` for some of the rows where only all can be reached.
        """
        if isinstance(self.base, SyncVectorEnv):
            return [method(*args, **kwargs) for method in self.get(name, rows)]
        self._require_all(rows)
        if isinstance(self.base, AsyncVectorEnv):
            return list(self._call_workers(name, *args, **kwargs))
        result = getattr(self._owner(name), name)(*args, **kwargs)
        per_row = isinstance(result, list | tuple | np.ndarray) and len(result) == self.num_envs
        return list(result) if per_row else [result] * self.num_envs

    def wrapped(self, wrapper_class: type) -> list[bool]:
        """`[N]` whether each row has the wrapper, around itself or around the vector environment."""
        if any(isinstance(env, wrapper_class) for env in chain(self.vector_env)):
            return [True] * self.num_envs
        if isinstance(self.base, SyncVectorEnv):
            return [any(isinstance(each, wrapper_class) for each in chain(env)) for env in self.base.envs]
        if isinstance(self.base, AsyncVectorEnv):  # the wrappers are in other processes, known by name
            return [f"<{wrapper_class.__name__}<" in text for text in self.base.call("__str__")]
        return [False] * self.num_envs

    def _require_all(self, rows: Sequence[int]) -> None:
        if sorted(rows) != list(range(self.num_envs)):
            raise InputError(
                f"Expected indices=None, as {type(self.base).__name__} reaches all rows at once, got {list(rows)}; "
                "use a SyncVectorEnv to reach single rows."
            )

    def _call_workers(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        if not all(self.base.call("has_wrapper_attr", name)):  # an AttributeError there would end the worker
            raise AttributeError(f"The sub-environments have no attribute {name!r}.")
        return self.base.call(name, *args, **kwargs)

    def _owner(self, name: str) -> VectorEnv:
        return next((env for env in chain(self.vector_env) if hasattr(env, name)), self.base)
