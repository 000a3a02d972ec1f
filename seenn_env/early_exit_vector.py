"""Thousands of early-exit episodes as one gather a step.

    envs = gym.make_vec("seenn_env:seenn_env/EarlyExit-v0", num_envs=1024)
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(actions)

Letters: B slots (num_envs), N rows of the traces, T timesteps, F columns.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from backbones import InputError, unknown_name
from seenn_env.orders import make_order
from seenn_env.rewards import Reward, make_reward
from seenn_env.traces import Traces

AUTORESET_MODES = {
    "same_step": AutoresetMode.SAME_STEP,
    "next_step": AutoresetMode.NEXT_STEP,
    "disabled": AutoresetMode.DISABLED,
}


class EarlyExitVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """`EarlyExitEnv` over traces, B episodes at a time; spaces, rewards and episode ends are the same.

    Infos are given for finished rows only (in `final_info` when the mode is "same_step"), and for all rows
    by `reset`: dictionaries are what costs.

    Args:
        num_envs: B.
        traces: `Traces`, a file, or the name of packaged ones.
        split: which split's rows to show.
        observation: name of the observation.
        reward: name of the reward, with `reward_options`.
        order: "epoch" (shuffled without replacement over the whole vector), "independent" (slot i has a
            stream of its own, seed + i: step for step equal to `SyncVectorEnv` over single environments)
            or "sequential" (row after row).
        autoreset_mode: "same_step", "next_step" or "disabled".
        render_mode: None.

    Raises:
        InputError: for bad numbers or unknown names.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    INFOS: ClassVar[tuple[str, ...]] = ("label", "prediction", "correct", "timestep", "sample")

    def __init__(
        self,
        num_envs: int = 1,
        traces: Traces | str | Path = "digits",
        *,
        split: str = "policy",
        observation: str = "features",
        reward: str | Reward = "seenn",
        reward_options: dict[str, Any] | None = None,
        order: str = "epoch",
        autoreset_mode: str | AutoresetMode = "same_step",
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"Expected num_envs ≥ 1, got {num_envs}.")
        if isinstance(autoreset_mode, AutoresetMode):
            self.autoreset_mode = autoreset_mode
        elif autoreset_mode in AUTORESET_MODES:
            self.autoreset_mode = AUTORESET_MODES[autoreset_mode]
        else:
            raise unknown_name("autoreset_mode", autoreset_mode, AUTORESET_MODES)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode, "partial_reset": True}
        self.render_mode = render_mode
        self.num_envs = num_envs
        self.traces = Traces.load(traces, split=split)
        self.reward = make_reward(reward, reward_options)
        N, T = len(self.traces), self.traces.timesteps
        self.timesteps = T
        spec = self.traces.observation(observation)
        self.observation_names = spec.names
        self.single_observation_space = gym.spaces.Box(spec.low, spec.high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = gym.spaces.Discrete(2)
        self.action_space = batch_space(self.single_action_space, num_envs)

        # Everything that an episode can meet, one entry a (row, timestep): steps only look up.
        self._columns = self.traces.columns(spec).reshape(N * T, -1)
        correct = self.traces.correct
        self._rewards = self.reward(correct, np.arange(1, T + 1), T).reshape(-1)
        self._predictions = self.traces.predictions.reshape(-1)
        self._order = make_order(order, N, num_envs)
        self._row = np.zeros(num_envs, np.int64)
        self._timestep = np.zeros(num_envs, np.int64)
        self._ended = np.ones(num_envs, np.bool_)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every slot, or those of `options["reset_mask"]`, on a new row.

        `options["samples"]` `[B]` chooses the rows of `traces` instead of the order.
        """
        if seed is not None:
            self._order.seed(seed)
        options = options or {}
        mask = self._reset_mask(options.get("reset_mask"))
        slots = np.flatnonzero(mask)
        self._begin(slots, self._chosen(options.get("samples"), slots))
        return self._columns[self._at()], self._infos(mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Continue (0) or exit (1), `[B]`."""
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() > 1:
            raise InputError(f"Expected actions [{self.num_envs}] of 0 (continue) or 1 (exit), got {actions!r}.")
        goes_on = actions == 0
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            waiting = None
        elif self.autoreset_mode is AutoresetMode.NEXT_STEP:
            waiting = np.flatnonzero(self._ended)
            goes_on[waiting] = False
        elif self._ended.any():
            raise gym.error.ResetNeeded(
                "Expected a reset of the rows that have ended: call reset(options={'reset_mask': mask})."
            )
        else:
            waiting = None
        if self.timesteps > 1:
            self._timestep += goes_on
            ended = ~goes_on
            ended |= self._timestep == self.timesteps
        else:
            ended = np.ones(self.num_envs, np.bool_)
        if waiting is not None and len(waiting):
            ended[waiting] = False
            self._begin(waiting, self._order.draw(waiting))
        at = self._at()
        rewards = np.where(ended, self._rewards[at], np.float32(0))
        truncations = np.zeros(self.num_envs, np.bool_)
        infos: dict[str, Any] = {}
        slots = np.flatnonzero(ended)
        if len(slots):
            infos = self._infos(ended)
            infos["is_success"], infos["_is_success"] = infos["correct"], ended.copy()
        self._ended = ended.copy()
        if self.autoreset_mode is AutoresetMode.SAME_STEP and len(slots):
            final = np.full(self.num_envs, None, dtype=object)
            final[slots] = list(self._columns[at[slots]])
            infos = {
                "final_obs": final,
                "_final_obs": ended.copy(),
                "final_info": infos,
                "_final_info": ended.copy(),
            }
            self._begin(slots, self._order.draw(slots))
            at = self._at()
        return self._columns[at], rewards, ended, truncations, infos

    def _begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        self._row[slots] = rows
        self._timestep[slots] = 1
        self._ended[slots] = False

    def _at(self) -> np.ndarray:
        at: np.ndarray = self._row * self.timesteps + self._timestep - 1
        return at

    def _infos(self, mask: np.ndarray) -> dict[str, Any]:
        slots = np.flatnonzero(mask)
        rows, timesteps = self._row[slots], self._timestep[slots]
        labels = self.traces.labels[rows]
        predictions = self._predictions[rows * self.timesteps + timesteps - 1]
        values = (labels, predictions, labels == predictions, timesteps, self.traces.sample[rows])
        infos: dict[str, Any] = {}
        for name, value in zip(self.INFOS, values, strict=True):
            column = np.zeros(self.num_envs, value.dtype)
            column[slots] = value
            infos[name], infos[f"_{name}"] = column, mask.copy()
        return infos

    def _reset_mask(self, mask: np.ndarray | None) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise InputError(f"Expected options['reset_mask'] to be a bool array [{self.num_envs}], got {mask!r}.")
        if not mask.any():
            raise InputError("Expected options['reset_mask'] to name at least one slot, got none.")
        return mask

    def _chosen(self, samples: Any, slots: np.ndarray) -> np.ndarray:
        if samples is None:
            return self._order.draw(slots)
        rows, N = np.asarray(samples), len(self.traces)
        if rows.shape != (self.num_envs,) or rows.min() < 0 or rows.max() >= N:
            raise InputError(f"Expected options['samples'] [{self.num_envs}] of rows in 0…{N - 1}, got {samples!r}.")
        return rows[slots]
