"""Early-exit episodes over a slot pool: the network runs, nothing is recorded.

envs = LiveVectorEnv(128, backbone=backbone, samples=splits.policy)
observations, infos = envs.reset(seed=0)
observations, rewards, terminations, truncations, infos = envs.step(actions)
"""

from pathlib import Path
from typing import Any

from backbones import Backbone
from backbones.argument_checks import Positive, check_kinds
from seenn_env.vector.early_exit import EarlyExitVectorEnv


class LiveVectorEnv(EarlyExitVectorEnv):
    """`EarlyExitVectorEnv` of a backbone: for training or evaluation without a recording.

    Args:
        num_envs: B.
        backbone: the network, a file of one, or "digits", the packaged one.
        settings: the others of `EarlyExitVectorEnv`.

    Raises:
        InputError: for bad numbers or unknown names.
    """

    @check_kinds
    def __init__(self, num_envs: Positive = 1, *, backbone: Backbone | str | Path, **settings: Any) -> None:
        super().__init__(num_envs, backbone=backbone, **settings)
