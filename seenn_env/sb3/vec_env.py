"""Adapter of any Gymnasium vector environment to a Stable-Baselines3 `VecEnv`.

    vector_env = gymnasium.make_vec("CartPole-v1", num_envs=64)
    model = PPO("MlpPolicy", to_sb3(vector_env))
    model.learn(100_000)

Letters: N rows of the vector environment (B slots, S of them, where it steps by arrays), F rows that finished.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from backbones.argument_checks import check_kinds
from backbones.errors import InputError, shown
from backbones.tensors import as_array
from seenn_env.sb3.rows import (
    ENDINGS,
    copy_batch,
    fill_infos,
    map_parts,
    overwrite_rows,
    row_observations,
    stack_rows,
)
from seenn_env.sb3.sub_environments import SubEnvironments


@runtime_checkable
class ArrayVectorEnv(Protocol):
    """A vector environment that can step without dictionaries."""

    has_array_steps: bool
    """Whether `advance` is equal to `step`."""

    def advance(self, actions: np.ndarray) -> Any:
        """One action `[B]` for each slot; the result of the step, in arrays that belong to the caller.

        `observations` `[B, …]` after the reset of the slots that ended, `rewards` `[B]` float32, `ended` `[B]` bool,
        `slots` `[S]` those that ended, and of these `last` `[S, …]` observations and `success` `[S]` bool.
        """

    def final_infos(self, step: Any) -> list[dict[str, Any]]:
        """`[S]` the infos of the episodes that ended in a step, fresh."""


@check_kinds
def to_sb3(
    vector_env: VectorEnv,
    *,
    infos: Literal["finished", "episode", "all"] = "finished",
    partial_reset: bool | None = None,
) -> VecEnv:
    """Present a Gymnasium vector environment as a Stable-Baselines3 `VecEnv`.

    SB3 resets in the same step: a finished row shows its next episode's first observation, and its last one
    is `info["terminal_observation"]`. `SAME_STEP` environments do that themselves; for `DISABLED` ones the
    adapter resets the finished rows. `NEXT_STEP` ones are treated the same way wherever rows can be reset
    alone: Gymnasium's `SyncVectorEnv`, and `AsyncVectorEnv` with shared memory.

    Any other `NEXT_STEP` environment (such as Gymnasium's native CartPole) resets a row in a step of its own, and SB3
    cannot skip a row. The adapter warns, and returns that step as an episode that starts and ends at the last
    observation: reward 0, done, no `info["episode"]`, and `TimeLimit.truncated` of the real end. After a truncation
    it pulls the value V there towards gamma V. Logged episodes are exact; `num_timesteps` counts the extra steps.

    Finished rows also have `info["episode"]` (return, length, seconds since construction), so no `Monitor` is needed
    and `env_is_wrapped(Monitor)` is True; figures of a sub-environment's own `Monitor` are kept.

    An environment with steps as arrays (`ArrayVectorEnv`) is stepped by them, unless `infos="all"`.

    Args:
        vector_env: the environment; closing the adapter closes it.
        infos: rows with the environment's infos: `"finished"`, or `"all"` (slower). `"episode"` keeps `is_success`
            alone of a finished row's (faster; the keys that SB3 itself needs are always there).
        partial_reset: whether a `NEXT_STEP` environment resets the rows of `reset(options={"reset_mask": rows})`
            alone. None: by its `metadata["partial_reset"]`, else as above.
    """
    return SB3VecEnv(vector_env, infos=infos, partial_reset=partial_reset)


class SB3VecEnv(VecEnv):
    """See `to_sb3`."""

    def __init__(
        self, vector_env: VectorEnv, *, infos: Literal["finished", "episode", "all"], partial_reset: bool | None
    ) -> None:
        if "autoreset_mode" not in vector_env.metadata:
            raise InputError(
                "Expected metadata['autoreset_mode'] to say when finished rows restart, got no such key; "
                "set it to a gymnasium.vector.AutoresetMode."
            )
        mode = AutoresetMode(vector_env.metadata["autoreset_mode"])
        if partial_reset is None:
            partial_reset = vector_env.metadata.get("partial_reset")
        if mode is AutoresetMode.NEXT_STEP and partial_reset is None:
            partial_reset = _resets_single_rows(vector_env)
            if not partial_reset:
                warnings.warn(
                    f"{type(vector_env.unwrapped).__name__} resets rows in the step after their last, so SB3 "
                    "sees one extra step per episode (see to_sb3); prefer AutoresetMode.SAME_STEP, or pass "
                    "partial_reset=True if its reset honours options['reset_mask'].",
                    stacklevel=4,
                )
        self.vector_env = vector_env
        self._inside = SubEnvironments(vector_env)
        self.spec = vector_env.spec
        self._same_step = mode is AutoresetMode.SAME_STEP
        self._extra_step = mode is AutoresetMode.NEXT_STEP and not partial_reset
        self._all_infos = infos == "all"
        self._episode_infos = infos == "episode"
        self._has_reset_infos = False
        self._closed = False
        self._start = time.time()
        self._actions = np.empty(0)
        super().__init__(vector_env.num_envs, vector_env.single_observation_space, vector_env.single_action_space)
        self.metadata: dict[str, Any] = {**vector_env.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self._monitored = any(self._inside.wrapped(Monitor))
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._ended: dict[int, dict[str, Any]] = {}  # rows that the environment's next step resets
        self._array_env: ArrayVectorEnv | None = None
        # A wrapper forwards attributes but changes steps.
        if not isinstance(vector_env, VectorWrapper) and isinstance(vector_env, ArrayVectorEnv):
            self._array_env = vector_env if vector_env.has_array_steps and not self._all_infos else None

    def reset(self) -> VecEnvObs:
        """Reset every row, with the seed and options set since the last reset."""
        observations, infos = self.vector_env.reset(seed=self._seeds[0], options=self._options[0] or None)
        self._keep_reset_infos(infos, np.ones(self.num_envs, dtype=bool))
        self._returns[:] = 0
        self._lengths[:] = 0
        self._ended = {}
        self._reset_seeds()
        self._reset_options()
        return map_parts(copy_batch, self.observation_space, observations)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`: `[N]` or `[N, A]`."""
        self._actions = as_array(actions, "actions")

    def step_wait(self) -> VecEnvStepReturn:
        """Step; observations `[N, …]`, rewards `[N]` and dones `[N]` are fresh and belong to the caller."""
        if self._array_env is not None:
            return self._step_arrays(self._array_env)
        batch, raw_rewards, terminations, truncations, infos = self.vector_env.step(self._actions)
        observations = map_parts(copy_batch, self.observation_space, batch)
        rewards = np.array(raw_rewards, dtype=np.float32)
        terminations = np.asarray(terminations, dtype=bool)
        dones = terminations | np.asarray(truncations, dtype=bool)
        self._returns += np.asarray(raw_rewards)
        self._lengths += 1

        row_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if self._all_infos:
            fill_infos(list(compress(row_infos, ~dones)), infos, ~dones)
            for info in row_infos:
                info["TimeLimit.truncated"] = False

        ended, self._ended = self._ended, {}
        if dones.any():
            if self._same_step:
                ending = infos.get("final_info", {})
                last = self._last_observations(infos, dones)
            else:
                ending = infos
                last = row_observations(self.observation_space, observations, dones)
            finished = self._endings(ending, last, ~terminations[dones], dones)
            for row, info in zip(np.flatnonzero(dones).tolist(), finished, strict=True):
                row_infos[row] = info
            self._returns[dones] = 0
            self._lengths[dones] = 0
            if self._extra_step:
                kept = ("terminal_observation", "TimeLimit.truncated")
                endings = [{key: info[key] for key in kept} for info in finished]
                self._ended = dict(zip(np.flatnonzero(dones).tolist(), endings, strict=True))
            else:
                if not self._same_step:
                    fresh, infos = self.vector_env.reset(options={"reset_mask": dones.copy()})
                    map_parts(partial(overwrite_rows, dones), self.observation_space, observations, fresh)
                self._keep_reset_infos(infos, dones)

        if ended:
            extra = np.zeros(self.num_envs, dtype=bool)
            extra[list(ended)] = True
            rewards[extra] = self._returns[extra] = self._lengths[extra] = 0
            self._keep_reset_infos(infos, extra)
            for row, info in ended.items():
                row_infos[row] = info
            dones |= extra
        return observations, rewards, dones, row_infos

    def _step_arrays(self, env: ArrayVectorEnv) -> VecEnvStepReturn:
        step = env.advance(self._actions)
        self._returns += step.rewards
        self._lengths += 1
        returns, lengths = self._returns[step.slots].round(6), self._lengths[step.slots]
        self._returns[step.slots] = self._lengths[step.slots] = 0
        successes, seconds = step.success.tolist(), self._seconds()
        finals = [{"is_success": each} for each in successes] if self._episode_infos else env.final_infos(step)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        endings = zip(step.slots.tolist(), step.last, returns.tolist(), lengths.tolist(), finals, strict=True)
        for slot, observation, total, length, info in endings:
            info["terminal_observation"] = observation
            info["TimeLimit.truncated"] = False
            info["episode"] = {"r": total, "l": length, "t": seconds}
            infos[slot] = info
        self._keep_reset_infos({}, step.ended)
        return step.observations, step.rewards, step.ended, infos

    def _seconds(self) -> float:
        return round(time.time() - self._start, 6)

    def _endings(
        self, infos: Mapping[str, Any], last: list[Any], truncated: np.ndarray, dones: np.ndarray
    ) -> list[dict[str, Any]]:
        """F infos: the environment's own, and the keys that SB3 reads at the end of an episode."""
        finished: list[dict[str, Any]] = [
            {"terminal_observation": observation, "TimeLimit.truncated": cut}
            for observation, cut in zip(last, truncated.tolist(), strict=True)
        ]
        if not self._monitored:
            seconds = self._seconds()
            returns, lengths = self._returns[dones].round(6).tolist(), self._lengths[dones].tolist()
            for info, total, length in zip(finished, returns, lengths, strict=True):
                info["episode"] = {"r": total, "l": length, "t": seconds}
        if self._episode_infos:
            infos = {key: infos[key] for key in ("is_success", "_is_success") if key in infos}
        fill_infos(finished, infos, dones, replace=self._monitored)
        return finished

    def _last_observations(self, infos: Mapping[str, Any], dones: np.ndarray) -> list[Any]:
        """F last observations of rows that are reset already."""
        if "final_obs" not in infos:
            raise KeyError(
                f"Expected infos['final_obs'] in a SAME_STEP step with finished rows, got {sorted(infos)}; "
                "the environment must provide it."
            )
        last = infos["final_obs"]
        if isinstance(last, np.ndarray) and last.dtype == object:
            if isinstance(self.observation_space, spaces.Box):
                rows: list[Any] = last[dones].tolist()
                if all(isinstance(row, np.ndarray) and row.dtype == self.observation_space.dtype for row in rows[:1]):
                    return rows
            last = map_parts(stack_rows, self.observation_space, *last[dones])
            dones = np.ones(np.count_nonzero(dones), dtype=bool)
        return row_observations(self.observation_space, last, dones)

    def _keep_reset_infos(self, infos: Mapping[str, Any], mask: np.ndarray) -> None:
        if not infos.keys() - ENDINGS:
            if self._has_reset_infos:
                self.reset_infos = [{} for _ in range(self.num_envs)]
                self._has_reset_infos = False
            return
        self._has_reset_infos = True
        rows = np.flatnonzero(mask).tolist()
        for row in rows:
            self.reset_infos[row] = {}
        fill_infos([self.reset_infos[row] for row in rows], infos, mask)

    @check_kinds
    def set_options(self, options: list[dict] | dict | None = None) -> None:
        """Options for the next reset; Gymnasium's takes one dictionary for all rows."""
        if isinstance(options, Sequence) and len({repr(option) for option in options}) != 1:
            raise InputError(
                "Expected the same options for every row, got different ones, or none: pass one dictionary."
            )
        super().set_options(options)

    @check_kinds
    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of each sub-environment, or the vector environment's own for each row."""
        return self._inside.get(attr_name, self._rows(indices))

    @check_kinds
    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set the attribute where it is found: in sub-environments, else in the vector environment."""
        self._inside.set(attr_name, value, self._rows(indices))

    @check_kinds
    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call the method of each sub-environment, or the vector environment's own, once, for all rows."""
        return self._inside.call(method_name, self._rows(indices), *method_args, **method_kwargs)

    @check_kinds
    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """Whether each row has the wrapper; True for SB3's `Monitor`, which the adapter replaces."""
        wrapped = [True] * self.num_envs if wrapper_class is Monitor else self._inside.wrapped(wrapper_class)
        return [wrapped[row] for row in self._rows(indices)]

    def _rows(self, indices: VecEnvIndices) -> list[int]:
        rows = np.atleast_1d(as_array(self._get_indices(indices), "indices"))
        known = rows.size == 0 or (rows.dtype.kind in "iu" and 0 <= rows.min() <= rows.max() < self.num_envs)
        if rows.ndim != 1 or not known:
            raise InputError(f"Expected indices in 0…{self.num_envs - 1}, or None for all, got {shown(indices)}.")
        return list(map(int, rows))

    def get_images(self) -> list[np.ndarray | None]:
        """One frame for each row."""
        frames: Any = self.vector_env.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def close(self) -> None:
        """Close the vector environment, once."""
        if not self._closed:
            self._closed = True
            self.vector_env.close()


def _resets_single_rows(vector_env: VectorEnv) -> bool:
    """Whether a `NEXT_STEP` environment of Gymnasium's own honours `reset(options={"reset_mask": mask})`."""
    base = vector_env.unwrapped
    # Without shared memory, an AsyncVectorEnv's workers reset once more in the step after a partial reset.
    return isinstance(base, SyncVectorEnv) or (isinstance(base, AsyncVectorEnv) and base.shared_memory)
