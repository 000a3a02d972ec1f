"""The one-shot vector environment: thousands of choices of a timestep as one look-up a step.

    envs = gym.make_vec("seenn_env:seenn_env/ChooseTimestep-v0", num_envs=1024)
    images, infos = envs.reset(seed=0)
    images, rewards, terminations, truncations, infos = envs.step(actions)

Letters: B slots (num_envs), N rows of the traces, T timesteps.
"""

import numpy as np

from seenn_env.vector.episode_vector_env import EpisodeVectorEnv


class ChooseTimestepVectorEnv(EpisodeVectorEnv):
    """`ChooseTimestepEnv`, B episodes at a time, replayed or live; spaces, rewards and infos are the same.

    Args:
        num_envs: B.
        traces, backbone, samples, split, observation, reward, reward_options, repeats, dtype: see `ChooseTimestepEnv`.
        order, autoreset_mode, max_episode_steps, batch_size, render_mode, render_size: see `EarlyExitVectorEnv`.

    Raises:
        InputError: for bad numbers or unknown names, or images that are missing.
    """

    one_shot = True

    def _act(self, actions: np.ndarray) -> np.ndarray:
        self._timestep = actions.astype(np.int64) + 1
        return np.ones(self.num_envs, np.bool_)
