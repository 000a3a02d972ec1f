"""Rewards of every exit, which traces determine without an environment.

Letters: N rows, T timesteps.
"""

from typing import Any

import numpy as np

from seenn_env import Traces, make_reward
from seenn_env.rewards import AnyReward, pay


def exit_rewards(traces: Traces, reward: AnyReward, options: dict[str, Any] | None) -> np.ndarray:
    """`[N, T]` float32 reward of each row for exiting at each timestep.

    Args:
        traces: the rows.
        reward: a name, or a reward.
        options: of the reward.
    """
    N, T = traces.predictions.shape
    timesteps = np.broadcast_to(np.arange(1, T + 1), (N, T))
    return pay(make_reward(reward, options), traces.correct, timesteps, T, traces.energy())
