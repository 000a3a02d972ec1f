"""A small environment that counts, alone and for all rows at once, correct, for checkers to be tried on."""

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
LIMIT = 7
OBSERVATION_SPACE = gym.spaces.Box(0, 1000, (2,), np.float32)


class Count(gym.Env):
    """Count from a random start by the actions until 7 is added."""

    observation_space = OBSERVATION_SPACE
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start, self.added = int(self.np_random.integers(50)), 0
        return self._observation(), {}

    def step(self, action):
        self.added += int(action)
        return self._observation(), float(self.added), self.added >= LIMIT, False, {"added": self.added}

    def _observation(self):
        return np.array([self.start, self.added], np.float32)


class CountVector(VectorEnv):
    """`Count` for all rows at once; every defect breaks it in one place."""

    def __init__(self, mode=SAME, num_envs=4):
        self.num_envs = num_envs
        self.mode = mode
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = OBSERVATION_SPACE, gym.spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.streams = [seeding.np_random()[0] for _ in range(num_envs)]
        self.state = np.zeros((num_envs, 2), np.float32)
        self.ended = np.zeros(num_envs, bool)

    def reset(self, *, seed=None, options=None):
        mask = self._mask(options)
        if seed is not None:
            self._seed(seed, mask)
        self._begin(mask)
        return self.state.copy(), {}

    def step(self, actions):
        if self.mode is DISABLED and self.ended.any():
            raise gym.error.ResetNeeded
        resetting = self.ended if self.mode is NEXT else np.zeros(self.num_envs, bool)
        self.state[:, 1] += np.where(resetting, 0, actions)
        rewards = np.where(resetting, 0.0, self.state[:, 1].astype(np.float64))
        terminations = (self.state[:, 1] >= LIMIT) & ~resetting
        infos = self._infos(~resetting)
        if resetting.any():
            self._begin(resetting)
        self.ended = terminations.copy()
        if self.mode is SAME:
            infos = self._infos(~terminations)
            if terminations.any():
                infos |= self._final(terminations)
                self._begin(terminations)
        return self.state.copy(), rewards, terminations, np.zeros(self.num_envs, bool), infos

    def _seed(self, seed, mask):
        for row in np.flatnonzero(mask):
            self.streams[row] = seeding.np_random(seed + int(row))[0]

    def _mask(self, options):
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ValueError(f"Expected a bool reset_mask [{self.num_envs}], got {mask}.")
        return mask

    def _begin(self, mask):
        for row in np.flatnonzero(mask):
            self.state[row] = self.streams[row].integers(50), 0
        self.ended[mask] = False

    def _infos(self, mask):
        return {"added": np.where(mask, self.state[:, 1], 0).astype(int), "_added": mask.copy()} if mask.any() else {}

    def _final(self, mask):
        return {
            "final_obs": self.state.copy(),
            "_final_obs": mask.copy(),
            "final_info": self._infos(mask),
            "_final_info": mask.copy(),
        }
