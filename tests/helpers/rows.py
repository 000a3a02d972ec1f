"""Vector environments for the adapter to stable-baselines3 to be tried on."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space


class Counter(VectorEnv):
    """Row i counts to i + 2 and starts again; hands out its own buffer, and final_obs as one array."""

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.SAME_STEP}
    render_mode = "rgb_array"
    speed = 1

    def __init__(self, num_envs=4):
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces.Box(0, 99, (1,)), spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.counts = np.zeros((num_envs, 1), np.float32)
        self.rewards = np.ones(num_envs)

    def reset(self, *, seed=None, options=None):
        self.counts[:] = 0
        return self.counts, {"version": 3}

    def step(self, actions):
        self.counts += 1
        done = self.counts[:, 0] >= np.arange(self.num_envs) + 2
        infos = {"count": self.counts[:, 0].copy()}
        if done.any():
            even = np.arange(self.num_envs) % 2 == 0
            final_info = {"is_success": even, "count": self.counts[:, 0].copy(), "version": 3}
            infos |= {"final_obs": self.counts.copy(), "final_info": final_info}
        self.counts[done] = 0
        infos["shown"] = self.counts[:, 0].copy()
        return self.counts, self.rewards, done, np.zeros_like(done), infos

    def render(self):
        return tuple(np.full((2, 2, 3), row, np.uint8) for row in range(self.num_envs))

    def levels(self):
        return [10 * row for row in range(self.num_envs)]

    def close_extras(self):
        self.closings = getattr(self, "closings", 0) + 1
        if self.closings > 1:
            raise RuntimeError("closed twice")


class UnknownCartPole(CartPoleVectorEnv):
    """A NEXT_STEP environment whose rows cannot be reset alone; it rewards resets too."""

    def step(self, action):
        obs, rewards, *rest = super().step(action)
        return obs, np.ones_like(rewards), *rest


def cartpole(num_envs, **kwargs):
    return gym.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="sync", **kwargs)
