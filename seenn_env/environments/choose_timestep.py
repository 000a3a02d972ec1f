"""The one-shot environment: look at the image once, and say how many timesteps the network shall run.

env = gym.make("seenn_env:seenn_env/ChooseTimestep-v0")
image, info = env.reset(seed=0)
image, reward, terminated, truncated, info = env.step(2)              # run 3 timesteps
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from backbones import Backbone, InputError, Samples
from backbones.argument_checks import Positive, check_kinds
from seenn_env.environments.episode_env import EpisodeEnv, one_action
from seenn_env.environments.first_observation import AnyGlance, is_static, open_glance
from seenn_env.environments.sources import columns_of, open_source
from seenn_env.rewards import AnyReward, make_reward
from seenn_env.traces.traces import Traces


class ChooseTimestepEnv(EpisodeEnv):
    """How many timesteps does this image need?

    ## Description
    SEENN-II as the paper has it: a policy sees the image, before the spiking network does, and chooses how
    many timesteps the network runs on it. One image, one action, one step. The network is replayed from
    traces, or run live, with the same observations, rewards and infos.

    ## Action Space
    `Discrete(T)`: action k runs k + 1 timesteps and gives the answer after them.

    ## Observation Space
    Chosen by name:

    | name | what is seen | space |
    | --- | --- | --- |
    | `"image"` | the image, channel first | `Box(0, 255, (C, H, W), uint8)` |
    | `"image_float"` | the image / 255 | `Box(0, 1, (C, H, W), float32)` |
    | an array `[M, F]`, or a .npy file | an embedding; row m is of image m | `Box(-100, 100, (F,), float32)` |
    | any of `EarlyExit`'s, such as `"hidden"` | its columns after timestep 1 | as there |

    The last is the network's own embedding: timestep 1 has run when it is seen, and is the first of the
    k + 1. The images are those of the traces (recorded with `images=True`) or of `samples`, found by sample
    index; an embedding's rows are in the order of the same images, or of the traces' rows where there are
    no images. `observation_names` names the columns; images have none.

    ## Reward
    As `EarlyExit`'s, of the answer after t = k + 1 timesteps.

    ## Episode End
    After one step; always `terminated`, never `truncated`. The last observation is the first one.

    `info` has `label`, `prediction`, `correct`, `timestep` and `sample`, and at the end `is_success`: was
    the answer right? Its mean is the accuracy. Where nothing has run yet (at `reset`, unless the
    observation is of timestep 1), `timestep` is 0, `prediction` -1 and `correct` False.

    ## Arguments
    - `traces`: `Traces`, a file, or the name of packaged ones (default, unless there is a backbone: "digits")
    - `backbone`: a `Backbone`, a file of one or the name of a packaged one ("digits"): run live
    - `samples`: `Samples` or the name of a dataset, whose images are shown, and run when live
    - `split`: which split's samples to show (default "policy")
    - `observation` (default "image"), `reward` (default "seenn"), `reward_options`: see above
    - `render_mode`: as `EarlyExit`'s; before the step, the image is shown alone
    - `repeats`, `batch_size`, `dtype`: when live, as in `record`; equal values give equal bits

    `reset(options={"samples": row})` chooses a row of `env.unwrapped.traces` (when live: of the samples
    with their repeats).

    ## Registered Configurations
    On the packaged digits:
    - `seenn_env/ChooseTimestep-v0`: all arguments at their defaults
    - `seenn_env/ChooseTimestepFeatures-v0`: `observation="features"`

    ## Version History
    - v0: first version
    """

    @check_kinds
    def __init__(
        self,
        traces: Traces | str | Path | None = None,
        *,
        backbone: Backbone | str | Path | None = None,
        samples: Samples | str | None = None,
        split: str = "policy",
        observation: AnyGlance = "image",
        reward: AnyReward = "seenn",
        reward_options: dict[str, Any] | None = None,
        repeats: Positive = 1,
        batch_size: Positive = 1,
        dtype: str = "float32",
        render_mode: str | None = None,
    ) -> None:
        static = is_static(observation)
        source = open_source(
            traces,
            backbone=backbone,
            samples=None if backbone is None else samples,
            split=split,
            observation=None if static else observation,  # type: ignore[arg-type]
            reward=make_reward(reward, reward_options),
            repeats=repeats,
            batch_size=batch_size,
            dtype=dtype,
        )
        super().__init__(source, render_mode)
        self._glance = open_glance(observation, source, samples, split) if static else None
        if self._glance is None:
            self.observation_names, self.observation_space = columns_of(source)
        else:
            self.observation_names, self.observation_space = self._glance.names, self._glance.space
        self.action_space = gym.spaces.Discrete(self.timesteps)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Take an image at random, or row `options["samples"]`."""
        self._begin(seed, options)
        if self._glance is None:
            self._run(1)
        self._observed = self._observe() if self._glance is None else self._glance.of(self._row)
        self._shown()
        return self._observed.copy(), self._info()

    def step(self, action: np.int64 | int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Run `action + 1` timesteps in all."""
        self._check_running()
        chosen = one_action(action)
        if not 0 <= chosen < self.timesteps:
            raise InputError(f"Expected an action in 0…{self.timesteps - 1} (timesteps less one), got {action!r}.")
        self._run(chosen + 1)
        reward, info = self._end()
        return self._observed.copy(), reward, True, False, info
