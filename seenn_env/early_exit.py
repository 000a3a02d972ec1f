"""The environment: one image an episode, one timestep a step, continue or exit.

env = gym.make("seenn_env:seenn_env/EarlyExit-v0")
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(1)         # exit
"""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from backbones import Backbone, InputError, Samples, load, load_dataset
from seenn_env.observations import make_observation
from seenn_env.rewards import Reward, make_reward
from seenn_env.sources import Live, Replay, Source
from seenn_env.traces import Traces

CONTINUE, EXIT = 0, 1


class EarlyExitEnv(gym.Env[np.ndarray, np.int64]):
    """Stop now, or look for another timestep?

    ## Description
    A frozen spiking network reads one image over T timesteps and its answer gets better as it goes. After
    each timestep the agent decides whether that answer will do. The network is replayed from traces, or
    run live, with the same observations, rewards and infos.

    ## Action Space
    `Discrete(2)`: 0 continues with the next timestep, 1 exits with the present answer.

    ## Observation Space
    A `Box` of float32 columns, by name; `observation_names` has one name a column.

    | name | columns | bounds |
    | --- | --- | --- |
    | `"features"` | confidence, margin, entropy, agreement, change, elapsed (see `observations.features`) | 0 to 1 |
    | `"logits"` | the K running logits, clipped; elapsed = timestep / T | ±20; 0 to 1 |

    ## Reward
    0 until the episode ends, then by name:

    | name | formula | option |
    | --- | --- | --- |
    | `"seenn"` | 2^-(t-1) if right, else -β | `beta` = 1 |
    | `"linear"` | correct - cost·(t-1)/max(T-1, 1) | `cost` = 0.1 |

    ## Episode End
    `reset` runs timestep 1. Exit ends the episode with the answer of the timestep seen. Continue runs the
    next one, and where that is T the episode ends there, with T's answer; with T = 1 either action exits.
    Always `terminated`, never `truncated`.

    `info` has `label`, `prediction`, `correct`, `timestep` and `sample`, and at the end `is_success`: was
    the answer right? Its mean is the accuracy.

    ## Arguments
    - `traces`: `Traces`, a file, or the name of packaged ones (default, unless there is a backbone: "digits")
    - `backbone`, `samples`: a `Backbone` or a file of one, and `Samples` or the name of a dataset: run live
    - `split`: which split's samples to show (default "policy")
    - `observation`: "features" or "logits"; `reward`, `reward_options`: see above
    - `repeats`, `batch_size`, `dtype`: when live, as in `record`; equal values give equal bits

    `reset(options={"samples": row})` chooses a row of `env.unwrapped.traces` (when live: of the samples
    with their repeats).

    ## Registered Configurations
    - `seenn_env/EarlyExit-v0`

    ## Version History
    - v0: first version
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        traces: Traces | str | Path | None = None,
        *,
        backbone: Backbone | str | Path | None = None,
        samples: Samples | str | None = None,
        split: str = "policy",
        observation: str = "features",
        reward: str | Reward = "seenn",
        reward_options: dict[str, Any] | None = None,
        repeats: int = 1,
        batch_size: int = 1,
        dtype: str = "float32",
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self.reward = make_reward(reward, reward_options)
        self.traces: Traces | None = None
        self.source: Source
        if backbone is None:
            if samples is not None:
                raise InputError("Expected a backbone with the samples, got samples alone: pass backbone=….")
            self.traces = Traces.load("digits" if traces is None else traces, split=split)
            T, K = self.traces.timesteps, self.traces.num_classes
            spec = make_observation(observation, timesteps=T, num_classes=K)
            self.source = Replay(self.traces, spec)
        else:
            if traces is not None or samples is None:
                raise InputError("Expected either traces, or a backbone and samples: pass one or the other.")
            network = load(backbone) if isinstance(backbone, str | Path) else backbone
            if isinstance(samples, str):
                samples = load_dataset(samples)[split]
            T, K = network.timesteps, network.num_classes
            spec = make_observation(observation, timesteps=T, num_classes=K)
            self.source = Live(network, samples, spec, repeats=repeats, batch_size=batch_size, dtype=dtype)
        self.timesteps = T
        self.observation_names = spec.names
        self.observation_space = gym.spaces.Box(spec.low, spec.high, dtype=np.float32)
        self.action_space = gym.spaces.Discrete(2)
        self._row = -1
        self._timestep = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Take an image at random, or row `options["samples"]`, and run timestep 1."""
        super().reset(seed=seed)
        N = len(self.source.labels)
        chosen = (options or {}).get("samples")
        if chosen is None:
            self._row = int(self.np_random.integers(N))
        else:
            self._row = int(np.asarray(chosen).reshape(-1)[0])
            if not 0 <= self._row < N:
                raise InputError(f"Expected samples to be a row in 0…{N - 1}, got {self._row}.")
        self._timestep = 1
        self._observed, self._prediction = self.source.watch(self._row, 1)
        return self._observed.copy(), self._info()

    def step(self, action: np.int64 | int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Continue (0) or exit (1)."""
        if self._timestep == 0:
            raise gym.error.ResetNeeded("Expected reset() before step(), and again after an episode's end.")
        if action not in (CONTINUE, EXIT):
            raise InputError(f"Expected action 0 (continue) or 1 (exit), got {action!r}.")
        if action == CONTINUE and self._timestep < self.timesteps:
            self._timestep += 1
            self._observed, self._prediction = self.source.watch(self._row, self._timestep)
        info = self._info()
        reward = 0.0
        terminated = bool(action == EXIT) or self._timestep == self.timesteps
        if terminated:
            reward = float(self.reward(np.array(info["correct"]), np.array(self._timestep), self.timesteps))
            info["is_success"] = info["correct"]
            self._timestep = 0
        return self._observed.copy(), reward, terminated, False, info

    def _info(self) -> dict[str, Any]:
        label = int(self.source.labels[self._row])
        return {
            "label": label,
            "prediction": self._prediction,
            "correct": self._prediction == label,
            "timestep": self._timestep,
            "sample": int(self.source.sample[self._row]),
        }
