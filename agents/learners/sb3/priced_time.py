"""A price of time outside the environment, for stable-baselines3, so that it can move towards a target.

env = PricedTime(env, timesteps=8, price=0.1)
model.learn(600_000, callback=FollowTarget(env, target_timesteps=1.5))

Letters: B environments, T timesteps.
"""

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class PricedTime(VecEnvWrapper):
    """Subtracts price / (T - 1) from the reward of every step that continues: price · share of time over an episode.

    The reward of the environment has no price of time; this one is that of all T timesteps, in units of accuracy.
    """

    def __init__(self, env: VecEnv, timesteps: int, price: float) -> None:
        super().__init__(env)
        self.timesteps, self.price = timesteps, price
        self._actions = np.zeros(0, np.int64)
        self._continued = self._ended = 0

    def reset(self) -> VecEnvObs:
        """See `VecEnv.reset`."""
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """See `VecEnv.step_async`."""
        self._actions = np.asarray(actions)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """See `VecEnv.step_wait`."""
        observations, rewards, dones, infos = self.venv.step_wait()
        continues = self._actions == 0
        self._continued += int(continues.sum())
        self._ended += int(dones.sum())
        charge = np.float32(self.price / (self.timesteps - 1))
        return observations, rewards - charge * continues, dones, infos

    def spent(self) -> float:
        """Mean timesteps of an episode since the last call."""
        found = 1 + self._continued / max(self._ended, 1)
        self._continued = self._ended = 0
        return found


class FollowTarget(BaseCallback):
    """Augmented Lagrangian: after every rollout, λ rises by rate · ρ · excess, and the price becomes λ + ρ · excess.

    The excess is the mean share of time above that of `target_timesteps`; ρ is the `penalty`.
    """

    def __init__(self, env: PricedTime, target_timesteps: float, penalty: float = 10.0, rate: float = 0.1) -> None:
        super().__init__()
        self.env, self.penalty, self.rate = env, penalty, rate
        self.target = target_timesteps
        self.multiplier = env.price

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        pull = self.penalty * (self.env.spent() - self.target) / (self.env.timesteps - 1)
        self.multiplier = max(self.multiplier + self.rate * pull, 0.0)
        self.env.price = self.multiplier + pull
