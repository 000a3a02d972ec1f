"""What the vector environments share: slots that look up, end and start afresh, all at once.

Letters: B slots (num_envs), S of them at once, N rows to be shown, T timesteps.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from backbones import InputError, unknown_name
from seenn_env.answers import Answers
from seenn_env.episodes import NOTHING
from seenn_env.orders import make_order
from seenn_env.rendering import RENDER_METADATA, RENDERERS, check_render_mode, warn_of_no_mode

AUTORESET_MODES = {
    "same_step": AutoresetMode.SAME_STEP,
    "next_step": AutoresetMode.NEXT_STEP,
    "disabled": AutoresetMode.DISABLED,
}


class SlotsVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """B episodes over rows; derived ones say what is seen and what an action does.

    Args:
        num_envs: B.
        answers: what the network says of the rows.
        observation_space: of one slot.
        num_actions: of one slot.
        first_timestep: how many timesteps have run when an episode starts, 0 or 1.
        order: name of the sampling order.
        autoreset_mode: "same_step", "next_step" or "disabled".
        render_mode: "rgb_array", "ansi" or None.
    """

    metadata: dict[str, Any] = {**RENDER_METADATA, "render_modes": ["rgb_array", "ansi"]}  # noqa: RUF012
    INFOS: ClassVar[tuple[str, ...]] = ("label", "prediction", "correct", "timestep", "sample")

    def __init__(
        self,
        num_envs: int,
        answers: Answers,
        observation_space: gym.Space,
        num_actions: int,
        *,
        first_timestep: int,
        order: str,
        autoreset_mode: str | AutoresetMode,
        render_mode: str | None,
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
        self.render_mode = check_render_mode(render_mode, ("rgb_array", "ansi"))
        self.num_envs = num_envs
        self.answers, self.timesteps, self.reward = answers, answers.timesteps, answers.reward
        self.single_observation_space = observation_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = gym.spaces.Discrete(num_actions)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._order = make_order(order, len(answers.labels), num_envs)
        self._first_timestep = first_timestep
        self._row = np.zeros(num_envs, np.int64)
        self._timestep = np.zeros(num_envs, np.int64)
        self._ended = np.ones(num_envs, np.bool_)
        self._nowhere = np.zeros(num_envs, np.bool_)

    @abstractmethod
    def _act(self, actions: np.ndarray) -> np.ndarray:
        """Move `self._timestep` by the actions `[B]`; `[B]` bool, fresh: which episodes ended."""

    @abstractmethod
    def _look(self, slots: np.ndarray | slice) -> np.ndarray:
        """`[S, …]` what these slots see now: fresh."""

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every slot, or those of `options["reset_mask"]`, on a new row.

        `options["samples"]` `[B]` chooses the rows instead of the order.
        """
        if seed is not None:
            self._order.seed(seed)
        options = options or {}
        mask = self._reset_mask(options.get("reset_mask"))
        slots = np.flatnonzero(mask)
        self._begin(slots, self._chosen(options.get("samples"), slots))
        return self._look(slice(None)), self._infos(slots, mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One action `[B]` for each slot."""
        actions, A = np.asarray(actions), int(self.single_action_space.n)  # type: ignore[attr-defined]
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise InputError(f"Expected actions [{self.num_envs}] of whole numbers, got {actions!r}.")
        if actions.min() < 0 or actions.max() >= A:
            raise InputError(f"Expected actions in 0…{A - 1}, got {actions.min()}…{actions.max()}.")
        waiting = None
        if self.autoreset_mode is not AutoresetMode.SAME_STEP and self._ended.any():
            if self.autoreset_mode is AutoresetMode.DISABLED:
                raise gym.error.ResetNeeded(
                    "Expected a reset of the rows that have ended: call reset(options={'reset_mask': mask})."
                )
            waiting = np.flatnonzero(self._ended)
        ended = self._act(actions)
        if waiting is not None:
            ended[waiting] = False
            self._begin(waiting, self._order.draw(waiting))
        slots = ended.nonzero()[0]
        rewards = np.zeros(self.num_envs, np.float32)
        infos: dict[str, Any] = {}
        if len(slots):
            rewards[slots] = self.answers.rewards(slots, self._row[slots], self._timestep[slots])
            infos = self._infos(slots, ended)
            infos["is_success"], infos["_is_success"] = infos["correct"].copy(), ended.copy()
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            self._ended = ended.copy()
        elif len(slots):
            final = np.empty(self.num_envs, dtype=object)  # of None
            final[slots] = [*self._look(slots)]
            infos = {
                "final_obs": final,
                "_final_obs": ended.copy(),
                "final_info": infos,
                "_final_info": ended.copy(),
            }
            self._begin(slots, self._order.draw(slots))
        return self._look(slice(None)), rewards, ended, self._nowhere.copy(), infos

    def render(self) -> tuple[Any, ...] | None:
        """A frame `[H, W, 3]` or a text for each slot, as it stands now."""
        if self.render_mode is None:
            warn_of_no_mode(self)
            return None
        if (self._ended & (self._timestep == 0)).any():
            raise gym.error.ResetNeeded("Expected reset() before render().")
        draw = RENDERERS[self.render_mode]
        slots = zip(self._row.tolist(), self._timestep.tolist(), self._ended.tolist(), strict=True)
        return tuple(draw(self.answers.episode(slot, *what)) for slot, what in enumerate(slots))

    def _begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        self._row[slots] = rows
        self._timestep[slots] = self._first_timestep
        self._ended[slots] = False
        self.answers.begin(slots, rows)

    def _infos(self, slots: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        rows, timesteps = self._row[slots], self._timestep[slots]
        labels = self.answers.labels.take(rows)
        predictions = self.answers.predictions(slots, rows, timesteps)
        if self._first_timestep == 0:
            predictions[timesteps == 0] = NOTHING
        values = (labels, predictions, labels == predictions, timesteps, self.answers.sample.take(rows))
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
        rows, N = np.asarray(samples), len(self.answers.labels)
        if rows.shape != (self.num_envs,) or rows.min() < 0 or rows.max() >= N:
            raise InputError(f"Expected options['samples'] [{self.num_envs}] of rows in 0…{N - 1}, got {samples!r}.")
        return rows[slots]
