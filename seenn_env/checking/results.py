"""Results of resets and steps of a vector environment, checked for form, copied and compared.

>>> recorder = Recorder(make_vector())
>>> first, again = recorder.reset(seed=0), recorder.reset(seed=0)
>>> assert difference(vars(first), vars(again)) is None

Letters: `B` the number of rows, `env.num_envs`.
"""

from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space, spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import iterate

from backbones.errors import counted

RESULTS_KEPT = 4  # a rotation among up to this many buffers is detected


class VectorEnvError(AssertionError):
    """A vector environment broke a promise; the message says which, and the remedy."""


@dataclass(frozen=True)
class Result:
    """A copy of the result of a step; of a reset, with rewards 0 and no row done.

    observations: a batch in the environment's `observation_space`.
    rewards, terminations, truncations: `[B]`.
    infos: Gymnasium's dictionary of arrays and their masks.
    """

    observations: Any
    rewards: np.ndarray
    terminations: np.ndarray
    truncations: np.ndarray
    infos: dict[str, Any]

    @property
    def done(self) -> np.ndarray:
        """`[B]` the rows whose episode ended."""
        return self.terminations | self.truncations


class Recorder:
    """A vector environment with every result checked and copied.

    scribble: write garbage into every array returned, as a careless caller may, and check no form.
    """

    def __init__(self, env: VectorEnv, *, scribble: bool = False) -> None:
        self.env = env
        self.num_envs = env.num_envs
        self.mode: AutoresetMode = env.metadata["autoreset_mode"]
        self._scribble = scribble
        self._recent: deque[tuple[dict, dict]] = deque(maxlen=RESULTS_KEPT)

    def reset(self, *, seed: int | None = None, mask: np.ndarray | None = None) -> Result:
        """Reset all rows, or those in the boolean `mask` `[B]`."""
        options = None if mask is None else {"reset_mask": mask.copy()}
        returned = self.env.reset(seed=seed, options=options)
        check_tuple(returned, ("observations", "infos"), "reset")
        observations, infos = returned
        rewards, nothing = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=bool)
        return self._record("reset", (observations, rewards, nothing, nothing.copy(), infos))

    def step(self, actions: Any) -> Result:
        """Take one step with a copy of `actions`."""
        passed = deepcopy(actions)
        returned = self.env.step(passed)
        require_same(actions, passed, "step to leave the caller's actions as they are", "copy them", "actions")
        check_tuple(returned, ("observations", "rewards", "terminations", "truncations", "infos"), "step")
        return self._record("step", returned)

    def rows(self, observations: Any) -> list[Any]:
        """A batch of observations as a list of `B`."""
        return list(iterate(self.env.observation_space, observations))

    def outcomes(self, result: Result) -> list[dict[str, Any]]:
        """The outcome of each row's action: of an ended episode its own last observation and info."""
        outcomes = []
        for row, observation in enumerate(self.rows(result.observations)):
            info = row_info(result.infos, row)
            final_observation, final_info = info.pop("final_obs", None), info.pop("final_info", None)
            if self.mode is AutoresetMode.SAME_STEP and result.done[row]:
                observation, info = final_observation, final_info
            outcomes.append(
                {
                    "observation": observation,
                    "reward": result.rewards[row],
                    "terminated": result.terminations[row],
                    "truncated": result.truncations[row],
                    "info": info,
                }
            )
        return outcomes

    def play(self, actions: list, seed: int | None) -> Iterator[Result]:
        """A reset and a step for each of `actions`, and in DISABLED a reset of ended rows between them."""
        result = self.reset(seed=seed)
        yield result
        for action in actions:
            if self.mode is AutoresetMode.DISABLED and result.done.any():
                yield self.reset(mask=result.done)
            result = self.step(action)
            yield result

    def play_until_done(self, actions: list, seed: int) -> None:
        """Play until an episode ends, or to the end of `actions`."""
        any(result.done.any() for result in self.play(actions, seed))

    def _record(self, caller: str, returned: tuple) -> Result:
        observations, rewards, terminations, truncations, infos = returned
        if not self._scribble:
            check_in_space(self.env.observation_space, observations, f"the observations of {caller}")
            check_rows(rewards, np.floating, self.num_envs, "rewards")
            check_rows(terminations, np.bool_, self.num_envs, "terminations")
            check_rows(truncations, np.bool_, self.num_envs, "truncations")
            check_infos(infos, self.num_envs)
        result = Result(*deepcopy(returned))
        live = dict(arrays(dict(zip(vars(result), returned, strict=True))))
        if self._scribble:
            for array in live.values():
                scribble(array)
        else:
            self._check_fresh(live)
            self._recent.append((live, dict(arrays(vars(result)))))
        return result

    def _check_fresh(self, live: dict[str, np.ndarray]) -> None:
        for old, copies in self._recent:
            for name, array in old.items():
                promise = f"{name} to stay as returned by one call through the next ones"
                require_same(copies[name], array, promise, "return a copy", name)
                new = live.get(name)
                if new is not None and new.flags.writeable and np.shares_memory(array, new):
                    raise VectorEnvError(
                        f"Expected fresh arrays from every call, but {name} shares memory with the next "
                        "ones: return a copy."
                    )


def require_same(expected: Any, got: Any, promise: str, remedy: str, name: str = "") -> None:
    """Raise with the promise, the first difference and the remedy, unless both are equal."""
    if found := difference(expected, got, name):
        raise VectorEnvError(f"Expected {promise}, but {found}: {remedy}.")


def check_tuple(returned: Any, names: tuple[str, ...], caller: str) -> None:
    """Raise unless a method returned a tuple of these names."""
    if not isinstance(returned, tuple) or len(returned) != len(names):
        raise VectorEnvError(
            f"Expected {caller} to return ({', '.join(names)}), got {describe(returned)}: "
            f"return a tuple of {len(names)}."
        )


def check_in_space(space: Space, value: Any, name: str) -> None:
    """Raise unless `value` is in `space`, with exactly its dtype and shape."""
    if isinstance(space, spaces.Dict) and isinstance(value, dict) and value.keys() == space.spaces.keys():
        for key, part in space.spaces.items():
            check_in_space(part, value[key], f"{name}['{key}']")
    elif isinstance(space, spaces.Tuple) and isinstance(value, tuple) and len(value) == len(space.spaces):
        for index, part in enumerate(space.spaces):
            check_in_space(part, value[index], f"{name}[{index}]")
    else:
        if isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary) and not (
            isinstance(value, np.ndarray) and value.dtype == space.dtype and value.shape == space.shape
        ):
            raise VectorEnvError(
                f"Expected {name} to be an array of dtype {space.dtype} and shape {space.shape}, "
                f"got {describe(value)}: make it so, or declare another space."
            )
        if not space.contains(value):
            raise VectorEnvError(f"Expected {name} to lie in {space}, got {brief(value)}: clip it, or widen the space.")


def check_rows(array: Any, kind: type[np.generic], num_envs: int, name: str) -> None:
    """Raise unless `array` is a writable array `[B]` whose dtype is a `kind`."""
    if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, kind) or array.shape != (num_envs,):
        raise VectorEnvError(
            f"Expected {name} to be an array of dtype {kind.__name__} and shape ({num_envs},), "
            f"got {describe(array)}: return one number per row."
        )
    if not array.flags.writeable:
        raise VectorEnvError(
            f"Expected {name} to be writable, got a read-only array: return a copy, as learners write to it."
        )


def check_infos(infos: Any, num_envs: int, name: str = "infos") -> None:
    """Raise unless every value comes with its boolean mask, nested ones too, as Gymnasium 1.x has it."""
    if not isinstance(infos, dict):
        raise VectorEnvError(f"Expected {name} to be one dictionary of arrays, got {describe(infos)}: use _add_info.")
    for key in values(infos):
        mask, value = infos.get(f"_{key}"), infos[key]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
            raise VectorEnvError(
                f"Expected a mask {name}['_{key}'] of dtype bool and shape ({num_envs},) beside "
                f"{name}['{key}'], got {describe(mask)}: set it to the rows that have the value."
            )
        if isinstance(value, dict):
            check_infos(value, num_envs, f"{name}['{key}']")
        elif not isinstance(value, np.ndarray) or value.shape[:1] != (num_envs,):
            raise VectorEnvError(
                f"Expected {name}['{key}'] to be an array with a row for each of {num_envs} environments, "
                f"got {describe(value)}: fill the other rows with zeros or None."
            )


def values(infos: dict[str, Any]) -> list[str]:
    """The keys of infos that are not masks."""
    return [key for key in infos if not (key.startswith("_") and key[1:] in infos)]


def row_info(infos: dict[str, Any], row: int) -> dict[str, Any]:
    """The info of one row, as its single environment would give it."""
    return {
        key: row_info(infos[key], row) if isinstance(infos[key], dict) else infos[key][row]
        for key in values(infos)
        if infos[f"_{key}"][row]
    }


def difference(expected: Any, got: Any, name: str = "") -> str | None:
    """The first difference in words, or None; floats are compared in the precision of `got`."""
    if isinstance(expected, dict) and isinstance(got, dict):
        if expected.keys() != got.keys():
            return f"{name or 'it'} should have the keys {sorted(expected)}, got {sorted(got)}"
        parts = [(expected[key], got[key], f"{name}['{key}']" if name else str(key)) for key in expected]
    elif isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        if len(expected) != len(got):
            return f"{name or 'it'} should have {counted(len(expected), 'part')}, got {len(got)}"
        parts = [(a, b, f"{name}[{i}]") for i, (a, b) in enumerate(zip(expected, got, strict=True))]
    else:
        return None if same(expected, got) else f"{name or 'it'} should be {brief(expected)}, got {brief(got)}"
    return next((found for part in parts if (found := difference(*part))), None)


def same(expected: Any, got: Any) -> bool:
    """Whether two arrays, numbers or objects are equal; a NaN equals a NaN."""
    a, b = np.asarray(expected), np.asarray(got)
    if a.shape != b.shape:
        return False
    if a.dtype == object or b.dtype == object:
        if a.ndim == 0:
            comparable = type(expected).__eq__ is not object.__eq__
            return bool(expected == got) if comparable else type(expected) is type(got)
        return not any(difference(x, y) for x, y in zip(a.flat, b.flat, strict=True))
    if a.dtype.kind == b.dtype.kind == "f":
        return np.array_equal(a.astype(b.dtype), b, equal_nan=True)
    return np.array_equal(a, b)


def arrays(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every named array inside dictionaries, tuples and arrays of objects."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from arrays(part, f"{name}['{key}']" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from arrays(part, f"{name}[{index}]")
    elif isinstance(value, np.ndarray):
        yield name, value
        if value.dtype == object:
            yield from arrays(list(value.flat), name)


def scribble(array: np.ndarray) -> None:
    """Write garbage into an array of numbers, where it can be written to."""
    if array.flags.writeable and array.dtype.kind in "biufc":
        array[...] = ~array if array.dtype == np.bool_ else 77


def brief(value: Any) -> str:
    """A value on one line, shortened in the middle where it is long."""
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:100]} … {text[-100:]}"


def describe(value: Any) -> str:
    """A value's type, with an array's dtype and shape or a tuple's length."""
    if isinstance(value, np.ndarray):
        return f"an array of dtype {value.dtype} and shape {value.shape}"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
