"""The early-exit environment: one image an episode, one timestep a step, continue or exit.

env = gym.make("seenn_env:seenn_env/EarlyExit-v0")
observation, info = env.reset(seed=0)
observation, reward, terminated, truncated, info = env.step(1)         # exit
"""

from seenn_env.environments.episode_env import EpisodeEnv

CONTINUE, EXIT = 0, 1


class EarlyExitEnv(EpisodeEnv):
    """One image an episode, one timestep a step: continue, or exit with the present prediction.

    ## Description
    A frozen spiking network reads one image over T timesteps, and its prediction improves with time. After
    each timestep the agent decides whether to stop. The network is replayed from traces, or run live, with
    the same observations, rewards and infos.

    ## Action Space
    `Discrete(2)`: 0 continues with the next timestep, 1 exits with the present prediction.

    ## Observation Space
    A `Box` of float32 columns, by name, or by several names joined: `"rich+hidden"` has the columns of both, each once.
    `observation_names` has one name a column.

    | name | columns | bounds |
    | --- | --- | --- |
    | `"features"` | confidence, margin, entropy, agreement, change, elapsed (see `columns.features`) | 0 to 1 |
    | `"logits"` | the K running logits, clipped; elapsed = timestep / T | ±20; 0 to 1 |
    | `"hidden"` | the features; the last hidden layer's F spikes, averaged over space | 0 to 1 |
    | `"membrane"` | the features; that layer's F membrane potentials, averaged and clipped | 0 to 1; ±5 |
    | `"rich"` | the features; gap, log-sum-exp, largest probabilities, … (see `columns.rich`) | stated |
    | `"classes"` | the features; the likeliest class and the second, one-hot | 0 to 1 |

    `"hidden"` and `"membrane"` need traces recorded with them, as the packaged "digits-hidden" are, or a live backbone
    whose `probe(state)` returns them. A user's own is an `Observation`, a function of a `TraceShape` that makes one, or
    the "module:name" of such a function, which can be joined to others too.

    ## Reward
    0 until the episode ends, then by name:

    | name | formula | option |
    | --- | --- | --- |
    | `"seenn"` | 2^-(t-1) if correct, else -β | `beta` = 1 |
    | `"linear"` | correct - cost·(t-1)/max(T-1, 1) | `cost` = 0.1 |
    | `"energy"` | correct - cost·E_t/E_T, with E_t the row's energy up to timestep t | `cost` = 0.1 |

    `"energy"` needs traces with `energy_pj` (`record(…, energy=True)`), or a live backbone whose operations can
    be counted; live, the timesteps after the exit run once for each row, for E_T. A user's own is an object
    with `__call__` and `range` (see `rewards.Reward`), or "module:name" of a class, made with `reward_options`.

    ## Episode End
    `reset` runs timestep 1. Exit ends the episode with the prediction of the timestep observed. Continue runs
    the next one, and where that is T the episode ends with T's prediction; with T = 1 either action exits.
    Always `terminated`, never `truncated`.

    `info` has `label`, `prediction`, `correct`, `timestep` and `sample`, and at the end `is_success`, equal to
    `correct`; its mean is the accuracy.

    ## Arguments
    - `traces`: `Traces`, a file, or the name of packaged ones (default, unless there is a backbone: "digits")
    - `backbone`, `samples`: a `Backbone` or a file of one, and `Samples` or the name of a dataset: run live;
      `backbone="digits"` is the packaged one, on its own dataset
    - `split`: split of the samples (default "policy")
    - `observation` (default "features"), `reward` (default "seenn"), `reward_options`: see above
    - `render_mode`: "rgb_array" (a frame `[H, W, 3]`), "ansi" (text), or "human" (a window; without a display,
      the terminal): the image, spikes and potentials if there are any; after each timestep the class probabilities
      and the margin (in `seenn watch`, the policy's score and threshold); the reward so far and what time costs
    - `render_size`: H, the height of frames in pixels, a multiple of 16 from 272 to 2176 (default 544)
    - `repeats`, `batch_size`, `dtype`: when live, as in `record`; equal values give equal bits

    `reset(options={"samples": row})` chooses a row of `env.unwrapped.traces` (when live: of the samples
    with their repeats).

    ## Registered Configurations
    On the packaged digits:
    - `seenn_env/EarlyExit-v0`: all arguments at their defaults
    - `seenn_env/EarlyExitLogits-v0`: `observation="logits"`
    - `seenn_env/EarlyExitLinear-v0`: `reward="linear"`
    - `seenn_env/EarlyExitHidden-v0`, `seenn_env/EarlyExitMembrane-v0`: `traces="digits-hidden"`, each image once
      with spikes and potentials, and `observation="hidden"` or `"membrane"`
    - `seenn_env/EarlyExitLive-v0`: the packaged backbone run live, on the samples and repeats of the traces

    On the packaged CIFAR-10 (JPEG copy), T = 4:
    - `seenn_env/EarlyExit-Cifar10-v0`: `traces="cifar10-jpeg"`

    ## Version History
    - v0: first version
    """

    one_shot = False

    def _act(self, action: int) -> bool:
        if action == CONTINUE and self._timestep < self.timesteps:
            self._run(self._timestep + 1)
        return action == EXIT or self._timestep == self.timesteps
