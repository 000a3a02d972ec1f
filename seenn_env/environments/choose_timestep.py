"""The one-shot environment: one action chooses the number of timesteps from the image.

env = gym.make("seenn_env:seenn_env/ChooseTimestep-v0")
image, info = env.reset(seed=0)
image, reward, terminated, truncated, info = env.step(2)              # run 3 timesteps
"""

from seenn_env.environments.episode_env import EpisodeEnv


class ChooseTimestepEnv(EpisodeEnv):
    """One image an episode, one action: the number of timesteps to run (one-shot SEENN-II).

    ## Description
    SEENN-II as in the paper: a policy observes the image, before the spiking network runs, and chooses the
    number of timesteps. One image, one action, one step. The network is replayed from traces, or run live,
    with the same observations, rewards and infos.

    ## Action Space
    `Discrete(T)`: action k runs k + 1 timesteps and returns the prediction after them.

    ## Observation Space
    Chosen by name:

    | name | observation | space |
    | --- | --- | --- |
    | `"image"` | the image, channel first | `Box(0, 255, (C, H, W), uint8)` |
    | `"image_float"` | the image / 255 | `Box(0, 1, (C, H, W), float32)` |
    | an array `[M, F]`, or a .npy file | an embedding; row m is of image m | `Box(-100, 100, (F,), float32)` |
    | any of `EarlyExit`'s, such as `"hidden"` | its columns after timestep 1 | as there |

    The last is the network's own embedding: timestep 1 has run already, as the first of the k + 1. The images
    are those of the traces (recorded with `images=True`) or of `samples`, found by sample index; an embedding's
    rows are in the order of the same images, or of the traces' rows where there are no images.
    `observation_names` names the columns; images have none.

    ## Reward
    As `EarlyExit`'s, of the prediction after t = k + 1 timesteps.

    ## Episode End
    After one step; always `terminated`, never `truncated`. The last observation is the first one.

    `info` has `label`, `prediction`, `correct`, `timestep` and `sample`, and at the end `is_success`, equal to
    `correct`; its mean is the accuracy. Where nothing has run yet (at `reset`, unless the
    observation is of timestep 1), `timestep` is 0, `prediction` -1 and `correct` False.

    ## Arguments
    As `EarlyExit`'s, but for
    - `samples`: the images to observe, beside traces too
    - `observation` (default "image"): see above
    - `render_mode`: before the step, the image alone

    `reset(options={"samples": row})` chooses a row, as there.

    ## Registered Configurations
    On the packaged digits:
    - `seenn_env/ChooseTimestep-v0`: all arguments at their defaults
    - `seenn_env/ChooseTimestepFeatures-v0`: `observation="features"`

    ## Version History
    - v0: first version
    """

    one_shot = True

    def _act(self, action: int) -> bool:
        self._run(action + 1)
        return True
