"""The checker of vector environments names each defect of spaces, results, arrays, seeds and rows."""

import numpy as np
import pytest
from gymnasium.vector.utils import batch_space

from tests.helpers.counting import NEXT, CountVector
from tests.helpers.defects import after_step, check_is_named, defects

defect, DEFECTS = defects()


# Attributes and signatures


@defect(r"metadata\['autoreset_mode'\] to be .*AutoresetMode, got None: set it", single=False)
class MissingAutoresetMode(CountVector):
    def __init__(self, mode):
        super().__init__(mode)
        self.metadata = {}


@defect(r"metadata\['autoreset_mode'\] to be .*AutoresetMode, got 'SameStep'")
class AutoresetModeAsText(CountVector):
    def __init__(self, mode):
        super().__init__(mode)
        self.metadata = {"autoreset_mode": "SameStep"}


@defect(r"observation_space to be batch_space\(single_observation_space, 4\)")
class ObservationSpaceNotBatched(CountVector):
    def __init__(self, mode):
        super().__init__(mode)
        self.observation_space = self.single_observation_space


@defect(r"action_space to be batch_space\(single_action_space, 4\)")
class ActionSpaceOfOtherSize(CountVector):
    def __init__(self, mode):
        super().__init__(mode)
        self.action_space = batch_space(self.single_action_space, 5)


@defect("num_envs to be an int of 1 or more, got 4.0")
class FractionalNumEnvs(CountVector):
    def __init__(self, mode):
        super().__init__(mode)
        self.num_envs = 4.0


@defect(r"Expected reset\(self, \*, seed=None, options=None\)")
class ResetWithoutOptions(CountVector):
    def reset(self, *, seed=None):
        return super().reset(seed=seed)


# The form of what comes back


@defect(r"reset to return \(observations, infos\), got an array")
class ResetWithoutInfos(CountVector):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed, options=options)[0]


@defect(r"step to return .* got a tuple of 4: return a tuple of 5")
@after_step
def FourResults(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    return observations, rewards, terminations | truncations, infos


@defect("rewards to be an array of dtype floating .* got an array of dtype int64")
@after_step
def IntegerRewards(env, actions, observations, rewards, *rest):  # noqa: N802
    return observations, rewards.astype(np.int64), *rest


@defect("rewards to be writable")
@after_step
def ReadOnlyRewards(env, actions, observations, rewards, *rest):  # noqa: N802
    rewards.flags.writeable = False
    return observations, rewards, *rest


@defect(r"terminations to be an array of dtype bool_? and shape \(4,\), got .* shape \(4, 1\)")
@after_step
def TerminationsAsColumn(env, actions, observations, rewards, terminations, *rest):  # noqa: N802
    return observations, rewards, terminations[:, None], *rest


@defect("truncations to be an array of dtype bool_? .* got an array of dtype int64")
@after_step
def IntegerTruncations(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    return observations, rewards, terminations, truncations.astype(np.int64), infos


@defect("observations of step to be an array of dtype float32 .* got an array of dtype float64")
@after_step
def DoubleObservations(env, actions, observations, *rest):  # noqa: N802
    return observations.astype(np.float64), *rest


@defect("observations of reset to be an array of dtype float32 .* got an array of dtype float64")
class DoubleObservationsOfReset(CountVector):
    def reset(self, *, seed=None, options=None):
        observations, infos = super().reset(seed=seed, options=options)
        return observations.astype(np.float64), infos


@defect(r"observations of step to lie in Box\(0.0, 1000.0")
@after_step
def ObservationsOutOfBounds(env, actions, observations, *rest):  # noqa: N802
    return observations - 5000, *rest


@defect(r"mask infos\['_bonus'\] .* beside infos\['bonus'\], got nothing")
@after_step
def InfoWithoutMask(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    return observations, rewards, terminations, truncations, {**infos, "bonus": rewards.copy()}


@defect(r"mask infos\['final_info'\]\['_added'\]")
class FinalInfoWithoutMasks(CountVector):
    def _final(self, mask):
        final = super()._final(mask)
        del final["final_info"]["_added"]
        return final


@defect(r"infos\['bonus'\] to be an array with a row for each of 4 environments, got .* shape \(3,\)")
@after_step
def InfoOfOtherLength(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    infos = {**infos, "bonus": rewards[:3].copy(), "_bonus": np.ones(4, bool)}
    return observations, rewards, terminations, truncations, infos


@defect("infos to be one dictionary of arrays, got a list")
@after_step
def InfosAsList(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    return observations, rewards, terminations, truncations, [{}] * 4


# Fresh arrays


@defect("rewards to stay as returned .* return a copy")
class RewardsInReusedBuffer(CountVector):
    def step(self, actions):
        observations, rewards, *rest = super().step(actions)
        self.buffer = getattr(self, "buffer", np.zeros(4))
        self.buffer[:] = rewards
        return observations, self.buffer, *rest


@defect("fresh arrays from every call, but rewards shares memory")
class RewardsInRotatingBuffers(CountVector):
    """Two buffers in turn, both always zero, so that only the shared memory gives it away."""

    def __init__(self, mode):
        super().__init__(mode)
        self.buffers = [np.zeros(4), np.zeros(4)]

    def step(self, actions):
        self.buffers.reverse()
        observations, _, *rest = super().step(actions)
        return observations, self.buffers[0], *rest


@defect("observations to stay as returned .* return a copy")
@after_step
def ObservationsViewState(env, actions, observations, *rest):  # noqa: N802
    return env.state[:], *rest


@defect("unmoved by a caller who writes into the arrays returned at call .* return copies")
class ObservationsViewATable(CountVector):
    """Every call shows another part of a table, so that only a caller's writing gives it away."""

    def __init__(self, mode):
        super().__init__(mode)
        self.table = np.tile(np.arange(40, dtype=np.float32)[:, None, None], (1, 4, 2))
        self.at = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed, options=options)
        self.at = (seed or 0) % 40
        return self._look(), {}

    def step(self, actions):
        return self._look(), *super().step(actions)[1:]

    def _look(self):
        self.at = (self.at + 1) % 40
        return self.table[self.at]


@defect("leave the caller's actions as they are, but actions should be")
class ActionsModifiedInPlace(CountVector):
    def step(self, actions):
        actions %= 2
        return super().step(actions)


# Seeds


@defect("two copies with one seed and the same actions to agree at call 0, but observations", single=False)
class SeedIgnored(CountVector):
    def _seed(self, seed, mask):
        pass


@defect(r"two copies with one seed and the same actions to agree at call \d+, but rewards")
@after_step
def NoisyRewards(env, actions, observations, rewards, *rest):  # noqa: N802
    return observations, rewards + np.random.default_rng().normal(size=4), *rest


@defect("two copies with one seed .* but infos", single=False)
class NondeterministicInfos(CountVector):
    def _infos(self, mask):
        return super()._infos(mask) | {"id": np.random.default_rng().random(4), "_id": mask.copy()}


@defect("second reset with one seed to give the same again", NEXT)
class ResetLeavesEndedRowsPending(CountVector):
    """As AsyncVectorEnv(shared_memory=False) of Gymnasium 1.4."""

    def _begin(self, mask):
        ended = self.ended.copy()
        super()._begin(mask)
        if mask.all():
            self.ended = ended


# Rows


@defect(r"row \d to be independent of the actions of other rows", single=False)
class RowsLeak(CountVector):
    def step(self, actions):
        return super().step(np.where(np.roll(actions, 1) == 2, 1, actions))


@defect(r"row \d to be independent of the actions of other rows, but reward")
@after_step
def RewardsCentred(env, actions, observations, rewards, *rest):  # noqa: N802
    return observations, rewards - rewards.mean(), *rest


@pytest.mark.parametrize(("broken", "mode", "single", "match"), DEFECTS)
def test_each_defect_is_named(broken, mode, single, match):
    check_is_named(broken, mode, single, match)
