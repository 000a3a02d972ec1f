"""Early-exit episodes over a slot pool: the network runs, nothing is recorded.

    envs = LiveVectorEnv(128, backbone=backbone, samples=splits.policy)
    observations, infos = envs.reset(seed=0)
    observations, rewards, terminations, truncations, infos = envs.step(actions)

Letters: B slots (num_envs), S of them at once, N rows, T timesteps, K classes, F columns.
"""

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from backbones import Backbone, Samples, SlotPool
from seenn_env.observations import AnyObservation
from seenn_env.rendering_episode import Episode
from seenn_env.rewards import Reward, make_reward, pay
from seenn_env.slots import SlotsVectorEnv
from seenn_env.sources import Live, columns_of, open_source
from seenn_env.streaming import rounded


class LiveAnswers:
    """What a pool's rows have said since they began, kept until they begin anew.

    A step of the pool moves all rows. Where only some are asked for, the others run ahead, and are not
    stepped again until they are asked for more.
    """

    def __init__(self, source: Live, num_envs: int, reward: Reward) -> None:
        shape, spec = source.shape, source.observation
        assert spec is not None
        T = shape.timesteps
        self.source, self.spec, self.reward, self.timesteps = source, spec, reward, T
        self.labels, self.sample = source.labels, source.sample
        self.pool = SlotPool(source.backbone, num_envs)
        self.logits = np.zeros((num_envs, T, shape.num_classes), source.dtype)
        self.columns = np.zeros((num_envs, T, len(spec.names)), np.float32)
        self._every = np.arange(num_envs)

    def begin(self, slots: np.ndarray, rows: np.ndarray) -> None:
        """See `Answers.begin`."""
        source = self.source
        self.pool.refill(slots, source.samples.images[source.shows[rows]], source.keys[rows])

    def reach(self, slots: np.ndarray | slice, timestep: np.ndarray) -> None:
        """Step the pool until these slots have done that many timesteps."""
        while (self.pool.timestep[slots] < timestep).any():
            logits = rounded(self.pool.step(), self.source.dtype)
            given = self.pool.probe(self.spec.needs)
            needs = {name: rounded(values, self.source.dtype, name) for name, values in given.items()}
            now = np.minimum(self.pool.timestep, self.timesteps)
            previous = self.logits[self._every, np.maximum(now - 2, 0)]
            columns = self.spec(logits, previous, now, **needs)
            within = self.pool.timestep <= self.timesteps  # the others run on for nothing
            at = self._every[within], now[within] - 1
            self.logits[at], self.columns[at] = logits[within], columns[within]

    def predictions(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.predictions`."""
        self.reach(slots, timestep)
        return self.logits[slots, timestep - 1].argmax(-1)

    def rewards(self, slots: np.ndarray, rows: np.ndarray, timestep: np.ndarray) -> np.ndarray:
        """See `Answers.rewards`."""
        correct = self.predictions(slots, rows, timestep) == self.labels[rows]
        return pay(self.reward, correct, timestep, self.timesteps)

    def episode(self, slot: int, row: int, timestep: int, exited: bool) -> Episode:
        """See `Answers.episode`."""
        samples = self.source.samples
        image = samples.images[self.source.shows[row]]
        return Episode(
            logits=self.logits[slot, :timestep].astype(np.float32),
            label=int(self.labels[row]),
            timesteps=self.timesteps,
            exited=exited,
            class_names=samples.class_names,
            image=image if image.ndim == 3 and image.dtype == np.uint8 else None,
        )


class LiveVectorEnv(SlotsVectorEnv):
    """`EarlyExitVectorEnv` with the network run live: the same spaces, observations, rewards, infos and orders.

    For training or evaluation without a recording. With `num_envs` equal to a recording's `batch_size`, its
    dtype and repeats, everything equals a replay of it bit for bit. A step runs the network once, and once
    more where an episode has come to T and another begins in the same step.

    Args:
        num_envs: B.
        backbone: the network, a file of one, or "digits", the packaged one.
        samples: the images, or the name of a dataset.
        split: of a dataset given by name.
        observation: name of the observation, or a user's own.
        reward: name of the reward, with `reward_options`, or a user's own.
        order: see `EarlyExitVectorEnv`.
        autoreset_mode: "same_step", "next_step" or "disabled".
        repeats: rows of each sample, as in `record`.
        dtype: of a trace that this is to equal, as in `record`.
        render_mode: "rgb_array", "ansi" or None.

    Raises:
        InputError: for bad numbers or unknown names.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        backbone: Backbone | str | Path,
        samples: Samples | str | None = None,
        split: str = "policy",
        observation: AnyObservation = "features",
        reward: str | Reward = "seenn",
        reward_options: dict[str, Any] | None = None,
        order: str = "epoch",
        autoreset_mode: str | AutoresetMode = "same_step",
        repeats: int = 1,
        dtype: str = "float32",
        render_mode: str | None = None,
    ) -> None:
        source = open_source(
            None,
            backbone=backbone,
            samples=samples,
            split=split,
            observation=observation,
            repeats=repeats,
            batch_size=1,
            dtype=dtype,
        )
        assert isinstance(source, Live)
        made = make_reward(reward, reward_options)
        pay(made, np.array(True), np.array(1), source.shape.timesteps)  # or refuse it now
        names, space = columns_of(source)
        super().__init__(
            num_envs,
            LiveAnswers(source, max(1, num_envs), made),
            space,
            2,
            first_timestep=1,
            order=order,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
        self.observation_names = names
        self._live: LiveAnswers = self.answers  # type: ignore[assignment]

    def _act(self, actions: np.ndarray) -> np.ndarray:
        if self.timesteps == 1:
            return np.ones(self.num_envs, np.bool_)
        self._timestep += actions == 0
        return (actions == 1) | (self._timestep == self.timesteps)

    def _look(self, slots: np.ndarray | slice, rows: np.ndarray, timesteps: np.ndarray) -> np.ndarray:
        self._live.reach(slots, timesteps)
        return self._live.columns[np.arange(self.num_envs)[slots], timesteps - 1]
