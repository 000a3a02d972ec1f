"""Base of the vector environments: slots that step, end and start afresh together.

Letters: B slots (num_envs), S of them at once, N rows, T timesteps.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MethodType
from typing import Any, ClassVar, NamedTuple, Unpack

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from backbones import InputError
from backbones.argument_checks import Positive, check_kinds
from backbones.errors import shown, unknown_name
from backbones.tensors import as_array
from seenn_env.environments.dynamics import Settings, make_dynamics, observation_space
from seenn_env.environments.episode_env import NO_PREDICTION
from seenn_env.environments.reset_arguments import checked_options, checked_seeds
from seenn_env.rendering.frame import HEIGHT
from seenn_env.rendering.modes import RENDER_METADATA, check_mode, draw, warn_of_no_mode
from seenn_env.traces.traces import Traces
from seenn_env.vector.sampling import ORDERS

AUTORESET_MODES: dict[Any, AutoresetMode] = {mode.name.lower(): mode for mode in AutoresetMode}
INFO_NAMES = ("label", "prediction", "correct", "timestep", "sample")


class Step(NamedTuple):
    """The result of one step, in arrays of their own."""

    observations: np.ndarray
    """`[B, …]` after it."""
    rewards: np.ndarray
    """`[B]` float32."""
    ended: np.ndarray
    """`[B]` bool: terminated or truncated."""
    terminated: np.ndarray
    """`[B]` bool."""
    truncated: np.ndarray
    """`[B]` bool: by `max_episode_steps`."""
    slots: np.ndarray
    """`[S]` those that ended."""
    rows: np.ndarray
    """`[S]` their rows."""
    timesteps: np.ndarray
    """`[S]` of their exits."""
    predictions: np.ndarray
    """`[S]` int64."""
    success: np.ndarray
    """`[S]` bool: whether the prediction is correct."""
    last: np.ndarray
    """`[S, …]` last observations; empty unless the mode is "same_step"."""


class EpisodeVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """B episodes over rows; derived classes define the effect of actions, and describe the arguments."""

    metadata: dict[str, Any] = {**RENDER_METADATA, "render_modes": ["rgb_array", "ansi"]}  # noqa: RUF012
    one_shot: ClassVar[bool]
    """Whether one action, the number of timesteps, is the whole episode."""

    @check_kinds
    def __init__(
        self,
        num_envs: Positive = 1,
        traces: Traces | str | Path | None = None,
        *,
        order: str = "epoch",
        autoreset_mode: str | AutoresetMode = "same_step",
        max_episode_steps: Positive | None = None,
        render_mode: str | None = None,
        render_size: Positive = HEIGHT,
        **settings: Unpack[Settings],
    ) -> None:
        dynamics = make_dynamics(traces, one_shot=self.one_shot, num_envs=num_envs, **settings)
        mode = AUTORESET_MODES.get(autoreset_mode, autoreset_mode)
        if not isinstance(mode, AutoresetMode):
            raise unknown_name("autoreset_mode", mode, AUTORESET_MODES)
        self.autoreset_mode = mode
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode, "partial_reset": True}
        check_mode(render_mode, render_size, self.metadata["render_modes"])
        self.render_mode, self.render_size = render_mode, render_size
        self.num_envs = num_envs
        if render_mode is not None:
            dynamics.keep_activity()
        self.dynamics, self.reward, self.timesteps = dynamics, dynamics.reward, dynamics.shape.timesteps
        self.traces: Traces | None = dynamics.traces
        self.origin = dynamics.origin
        self.observation_names, self.single_observation_space = observation_space(dynamics)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._num_actions = self.timesteps if self.one_shot else 2
        self.single_action_space = gym.spaces.Discrete(self._num_actions)
        self.action_space = batch_space(self.single_action_space, num_envs)
        if order not in ORDERS:
            raise unknown_name("order", order, ORDERS)
        self._order = ORDERS[order](len(dynamics.labels), num_envs)
        self._first_timestep = 1 if dynamics.static is None else 0
        self._all_slots = np.arange(num_envs)
        self._row = np.zeros(num_envs, np.int64)
        self._timestep = np.zeros(num_envs, np.int64)
        self._ended = np.ones(num_envs, np.bool_)
        self._ready = False
        self.max_episode_steps = max_episode_steps
        self._steps = np.zeros(num_envs, np.int64)

    @abstractmethod
    def _act(self, actions: np.ndarray) -> np.ndarray:
        """Advance `self._timestep` by the actions `[B]`; returns `[B]` bool, fresh: the episodes that ended."""

    def _observe(self, slots: np.ndarray, rows: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        """`[S, …]` observations of these slots, which hold these rows, at these timesteps: fresh."""
        return self.dynamics.observe(slots, rows, np.ones_like(timesteps) if self.one_shot else timesteps)

    def reset(
        self,
        *,
        seed: int | np.integer | Sequence[int | None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every slot, or those of `options["reset_mask"]`, on a new row.

        `options["samples"]` `[B]` chooses the rows instead of the order. An `InputError` for another number of seeds
        than B, or options that are no rows; a `ResetNeeded` for some of the slots, where not all have started yet.
        """
        seeds = None if seed is None else checked_seeds(seed, self.num_envs)
        options = checked_options(options)
        mask = self._reset_mask(options.get("reset_mask"))
        if not self._ready and not mask.all():
            raise gym.error.ResetNeeded("Expected reset() of all slots before one of some.")
        if seeds is not None:
            self._order.seed(seeds)
        slots = np.flatnonzero(mask)
        self._begin(slots, self._chosen(options.get("samples"), slots))
        self._ready = True
        rows, timesteps = self._row[slots], self._timestep[slots]
        predictions = self.dynamics.predictions(slots, rows, timesteps)
        infos = self._infos(self._info_columns(rows, timesteps, predictions), slots, mask)
        return self._observe(self._all_slots, self._row, self._timestep), infos

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One action `[B]` for each slot."""
        step = self.advance(actions)
        infos: dict[str, Any] = {}
        if len(step.slots):
            columns = self._info_columns(step.rows, step.timesteps, step.predictions)
            infos = self._infos(columns, step.slots, step.ended)
            infos["is_success"], infos["_is_success"] = infos["correct"] & step.terminated, step.terminated.copy()
            if self.autoreset_mode is AutoresetMode.SAME_STEP:
                final = np.empty(self.num_envs, dtype=object)  # of None
                final[step.slots] = [*step.last]
                infos = {
                    "final_obs": final,
                    "_final_obs": step.ended.copy(),
                    "final_info": infos,
                    "_final_info": step.ended.copy(),
                }
        return step.observations, step.rewards, step.terminated, step.truncated, infos

    @property
    def has_array_steps(self) -> bool:
        """Whether `advance` is equal to `step`: in the mode "same_step", without truncation or an overridden `step`."""
        own_step = self.step != MethodType(EpisodeVectorEnv.step, self)
        return self.autoreset_mode is AutoresetMode.SAME_STEP and self.max_episode_steps is None and not own_step

    def advance(self, actions: np.ndarray) -> Step:
        """`step` without dictionaries, for loops of one's own; an `InputError` for actions of another shape, or out of
        range; a `ResetNeeded` before the first reset, and in the mode "disabled" after an episode's end.
        """
        if not self._ready:
            raise gym.error.ResetNeeded("Expected reset() before the first step().")
        actions, A = as_array(actions, "actions"), self._num_actions
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise InputError(f"Expected actions [{self.num_envs}] of whole numbers, got {shown(actions)}.")
        if actions.min() < 0 or actions.max() >= A:
            raise InputError(f"Expected actions in 0…{A - 1}, got {actions.min()}…{actions.max()}.")
        same_step, waiting = self.autoreset_mode is AutoresetMode.SAME_STEP, None
        if not same_step and self._ended.any():
            if self.autoreset_mode is AutoresetMode.DISABLED:
                raise gym.error.ResetNeeded(
                    "Expected a reset of the rows that have ended: call reset(options={'reset_mask': mask})."
                )
            waiting = self._ended.nonzero()[0]
        terminated = self._act(actions)
        self._steps += 1
        if waiting is not None:
            terminated[waiting] = False
            self._begin(waiting, self._order.draw(waiting))
        ended, truncated = terminated, np.zeros(self.num_envs, np.bool_)
        if self.max_episode_steps is not None:
            truncated = self._steps >= self.max_episode_steps
            ended = terminated | truncated
        slots = ended.nonzero()[0]
        rows, timesteps = self._row[slots], self._timestep[slots]
        predictions = self.dynamics.predictions(slots, rows, timesteps)
        rewards = np.zeros(self.num_envs, np.float32)
        rewards[slots] = self.dynamics.rewards(slots, rows, timesteps)
        if self.max_episode_steps is not None:
            rewards[~terminated] = 0
        if same_step:
            last = self._observe(slots, rows, timesteps)
            self._begin(slots, self._order.draw(slots))
        else:
            last = self._observe(slots[:0], rows[:0], timesteps[:0])
            self._ended = ended.copy()
        observations = self._observe(self._all_slots, self._row, self._timestep)
        success = predictions == self.dynamics.labels.take(rows)
        ends = (ended, terminated, truncated, slots, rows, timesteps)
        return Step(observations, rewards, *ends, predictions, success, last)

    def final_infos(self, step: Step) -> list[dict[str, Any]]:
        """`[S]` the infos of the episodes that terminated in a step."""
        columns = self._info_columns(step.rows, step.timesteps, step.predictions)
        return [
            {
                "label": label,
                "prediction": prediction,
                "correct": correct,
                "timestep": timestep,
                "sample": sample,
                "is_success": correct,
            }
            for label, prediction, correct, timestep, sample in zip(*(c.tolist() for c in columns), strict=True)
        ]

    def _info_columns(self, rows: np.ndarray, timesteps: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, ...]:
        """`[S]` for each of `INFO_NAMES`."""
        labels = self.dynamics.labels.take(rows)
        if self._first_timestep == 0:
            predictions = np.where(timesteps == 0, NO_PREDICTION, predictions)
        return labels, predictions, labels == predictions, timesteps, self.dynamics.sample.take(rows)

    def render(self) -> tuple[Any, ...] | None:
        """A frame `[H, W, 3]` or a text of each slot's episode so far."""
        if self.render_mode is None:
            warn_of_no_mode(self)
            return None
        if not self._ready:
            raise gym.error.ResetNeeded("Expected reset() before render().")
        slots = zip(self._row.tolist(), self._timestep.tolist(), self._ended.tolist(), strict=True)
        episodes = (self.dynamics.episode(slot, *episode) for slot, episode in enumerate(slots))
        return tuple(draw(episode, self.render_mode, self.render_size) for episode in episodes)

    def _begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        self._row[slots] = rows
        self._timestep[slots] = self._first_timestep
        self._ended[slots] = False
        self._steps[slots] = 0
        self.dynamics.begin(slots, rows)

    def _infos(self, columns: tuple[np.ndarray, ...], slots: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        infos: dict[str, Any] = {}
        for name, value in zip(INFO_NAMES, columns, strict=True):
            column = np.zeros(self.num_envs, value.dtype)
            column[slots] = value
            infos[name], infos[f"_{name}"] = column, mask.copy()
        return infos

    def _reset_mask(self, mask: np.ndarray | None) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise InputError(f"Expected options['reset_mask'] to be a bool array [{self.num_envs}], got {shown(mask)}.")
        if not mask.any():
            raise InputError("Expected options['reset_mask'] to name at least one slot, got none.")
        return mask

    def _chosen(self, samples: Any, slots: np.ndarray) -> np.ndarray:
        if samples is None:
            return self._order.draw(slots)
        rows, N = as_array(samples, "rows of samples"), len(self.dynamics.labels)
        if rows.shape != (self.num_envs,) or rows.dtype.kind not in "iu" or rows.min() < 0 or rows.max() >= N:
            raise InputError(
                f"Expected options['samples'] [{self.num_envs}] of rows in 0…{N - 1}, got {shown(samples)}."
            )
        return rows[slots]
