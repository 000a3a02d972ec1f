"""The checker passes Gymnasium's environments and a plain correct one, and names each seeded defect."""

import re
import warnings
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import seeding
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space

from seenn_env.check_vector import VectorEnvError, check_vector_env

NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
MODES = pytest.mark.parametrize("mode", [NEXT, SAME, DISABLED], ids=lambda mode: mode.name)
LIMIT = 7
OBSERVATION_SPACE = gym.spaces.Box(0, 1000, (2,), np.float32)


class Count(gym.Env):
    """Count from a random start by the actions until 7 is added."""

    observation_space = OBSERVATION_SPACE
    action_space = gym.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start, self.added = int(self.np_random.integers(50)), 0
        return self._observation(), {}

    def step(self, action):
        self.added += int(action)
        return self._observation(), float(self.added), self.added >= LIMIT, False, {"added": self.added}

    def _observation(self):
        return np.array([self.start, self.added], np.float32)


class CountVector(VectorEnv):
    """`Count` for all rows at once: what every defect below breaks in one place."""

    def __init__(self, mode=SAME, num_envs=4):
        self.num_envs = num_envs
        self.mode = mode
        self.metadata = {"autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = OBSERVATION_SPACE, gym.spaces.Discrete(3)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.streams = [seeding.np_random()[0] for _ in range(num_envs)]
        self.state = np.zeros((num_envs, 2), np.float32)
        self.ended = np.zeros(num_envs, bool)

    def reset(self, *, seed=None, options=None):
        mask = self._mask(options)
        if seed is not None:
            self._seed(seed, mask)
        self._begin(mask)
        return self.state.copy(), {}

    def step(self, actions):
        if self.mode is DISABLED and self.ended.any():
            raise gym.error.ResetNeeded
        resetting = self.ended if self.mode is NEXT else np.zeros(self.num_envs, bool)
        self.state[:, 1] += np.where(resetting, 0, actions)
        rewards = np.where(resetting, 0.0, self.state[:, 1].astype(np.float64))
        terminations = (self.state[:, 1] >= LIMIT) & ~resetting
        infos = self._infos(~resetting)
        if resetting.any():
            self._begin(resetting)
        self.ended = terminations.copy()
        if self.mode is SAME:
            infos = self._infos(~terminations)
            if terminations.any():
                infos |= self._final(terminations)
                self._begin(terminations)
        return self.state.copy(), rewards, terminations, np.zeros(self.num_envs, bool), infos

    def _seed(self, seed, mask):
        for row in np.flatnonzero(mask):
            self.streams[row] = seeding.np_random(seed + int(row))[0]

    def _mask(self, options):
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ValueError(f"Expected a bool reset_mask [{self.num_envs}], got {mask}.")
        return mask

    def _begin(self, mask):
        for row in np.flatnonzero(mask):
            self.state[row] = self.streams[row].integers(50), 0
        self.ended[mask] = False

    def _infos(self, mask):
        return {"added": np.where(mask, self.state[:, 1], 0).astype(int), "_added": mask.copy()} if mask.any() else {}

    def _final(self, mask):
        return {
            "final_obs": self.state.copy(),
            "_final_obs": mask.copy(),
            "final_info": self._infos(mask),
            "_final_info": mask.copy(),
        }


DEFECTS = []


def defect(match, mode=SAME, single=True):
    """Register a broken `CountVector`, the mode to run it in and what the checker must say of it."""

    def register(broken):
        DEFECTS.append(pytest.param(broken, mode, single, match, id=broken.__name__))
        return broken

    return register


def after_step(change):
    """A defect that changes what `step` returns."""

    class Changed(CountVector):
        def step(self, actions):
            return change(self, actions, *super().step(actions))

    Changed.__name__ = change.__name__
    return Changed


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
    """What AsyncVectorEnv(shared_memory=False) of Gymnasium 1.4 does."""

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


# Autoreset in the same step


@defect(r"Expected infos\['final_obs'\] where an episode ended")
class MissingFinalObs(CountVector):
    def _final(self, mask):
        return {key: value for key, value in super()._final(mask).items() if "final_obs" not in key}


@defect(r"Expected infos\['final_info'\] where an episode ended")
class MissingFinalInfo(CountVector):
    def _final(self, mask):
        return {key: value for key, value in super()._final(mask).items() if "final_info" not in key}


@defect(r"infos\['_final_obs'\] to mark the rows whose episode ended", single=False)
class WrongFinalObsMask(CountVector):
    def _final(self, mask):
        return super()._final(mask) | {"_final_obs": np.ones(4, bool)}


@defect(r"infos\['_final_info'\] to mark the rows whose episode ended")
class WrongFinalInfoMask(CountVector):
    def _final(self, mask):
        return super()._final(mask) | {"_final_info": ~mask}


@defect(r"infos\['_final_obs'\] to mark the rows whose episode ended, .* terminations \| truncations")
@after_step
def TerminationsForgottenByTheReset(env, actions, observations, rewards, terminations, *rest):  # noqa: N802
    return observations, rewards, np.zeros(4, bool), *rest


@defect(r"infos\['final_info'\] to be a dictionary of arrays")
class FinalInfoAsArrayOfDictionaries(CountVector):
    def _final(self, mask):
        return super()._final(mask) | {"final_info": np.array([{"added": LIMIT}] * 4, dtype=object)}


@defect(r"infos\['final_obs'\]\[\d\] to lie in Box")
class FinalObsOutOfBounds(CountVector):
    def _final(self, mask):
        return super()._final(mask) | {"final_obs": self.state - 5000}


@defect("new episode's first observation after each end, .* in SAME_STEP", single=False)
@after_step
def FinalObsEqualsNewObs(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    if "final_obs" in infos:
        infos["final_obs"] = observations.copy()
    return observations, rewards, terminations, truncations, infos


@defect("new episode's first observation after each end, .* in SAME_STEP", single=False)
@after_step
def ObservationsStayTheEndedEpisodes(  # noqa: N802
    env, actions, observations, rewards, terminations, truncations, infos
):
    observations = np.where(terminations[:, None], infos.get("final_obs", observations), observations)
    return observations, rewards, terminations, truncations, infos


@defect(r"row \d to equal its single environment seeded \d at call \d+, but .*observation")
class AutoresetKeepsOldState(CountVector):
    """The first observation is right; the count goes on from the old episode."""

    def step(self, actions):
        added = self.state[:, 1] + actions
        results = super().step(actions)
        self.state[:, 1] = np.where(results[2], added % LIMIT + 1, self.state[:, 1])
        return results


# Autoreset in the next step


@defect("the rewards of the rows that a step resets to be 0", NEXT, single=False)
class RewardInTheResetStep(CountVector):
    def step(self, actions):
        resetting = self.ended.copy()
        observations, rewards, *rest = super().step(actions)
        return observations, rewards + resetting, *rest


@defect("the truncations of the rows that a step resets to be 0 or False", NEXT)
class TruncatedInTheResetStep(CountVector):
    def step(self, actions):
        resetting = self.ended.copy()
        observations, rewards, terminations, _, infos = super().step(actions)
        return observations, rewards, terminations, resetting, infos


@defect("step after an end to ignore the row's action", NEXT, single=False)
class ResetStepTakesTheAction(CountVector):
    def step(self, actions):
        resetting = self.ended.copy()
        results = super().step(actions)
        self.state[resetting, 1] += actions[resetting]
        return self.state.copy(), *results[1:]


@defect("new episode's first observation after each end, .* in NEXT_STEP", NEXT, single=False)
class NeverResets(CountVector):
    def step(self, actions):
        resetting, old = self.ended.copy(), self.state.copy()
        results = super().step(actions)
        self.state[resetting] = old[resetting]
        return self.state.copy(), *results[1:]


# Autoreset disabled


class SeparateMask(CountVector):
    """Breaks what a reset with a mask does, and leaves the one without as it is."""

    def reset(self, *, seed=None, options=None):
        if options is None:
            return super().reset(seed=seed)
        return self.masked_reset(seed, self._mask(options))


@defect("new episode's first observation after each end, .* in DISABLED", DISABLED, single=False)
class ResetMaskIgnored(SeparateMask):
    def masked_reset(self, seed, mask):
        self.ended[:] = False
        return self.state.copy(), {}


@defect("a reset_mask of all rows to be the same as a full reset", DISABLED, single=False)
class ResetMaskWithoutSeed(SeparateMask):
    def masked_reset(self, seed, mask):
        return CountVector.reset(self, options={"reset_mask": mask})


@defect(r"row \d, outside reset_mask, to keep its observation", DISABLED, single=False)
class ResetMaskResetsOthersToo(SeparateMask):
    def masked_reset(self, seed, mask):
        return CountVector.reset(self, seed=seed)


@defect(r"row \d, outside reset_mask, to continue as without the reset", DISABLED, single=False)
class ResetMaskMovesOthersUnseen(SeparateMask):
    def masked_reset(self, seed, mask):
        observations, infos = CountVector.reset(self, seed=seed, options={"reset_mask": mask})
        self.state[~mask, 1] += 1
        return observations, infos


@defect(r"reset_mask of dtype bool and shape \(5,\) to be refused", DISABLED)
class AnyMaskShapeTaken(CountVector):
    def _mask(self, options):
        if options is None:
            return super()._mask(None)
        return super()._mask({"reset_mask": options["reset_mask"][:4]})


@defect(r"reset_mask of dtype int64 and shape \(4,\) to be refused", DISABLED)
class AnyMaskDtypeTaken(CountVector):
    def _mask(self, options):
        if options is None:
            return super()._mask(None)
        return super()._mask({"reset_mask": options["reset_mask"].astype(bool)})


# Equality with single environments


@defect(r"row 0 to equal its single environment seeded 0 at call 1, but reward should be \d.0, got \d.0")
@after_step
def RewardsOffByOne(env, actions, observations, rewards, *rest):  # noqa: N802
    return observations, rewards + 1, *rest


@defect(r"row 1 to equal its single environment seeded 1 at call 0, but observation")
class RowsSeededAlike(CountVector):
    def _seed(self, seed, mask):
        for row in np.flatnonzero(mask):
            self.streams[row] = seeding.np_random(seed)[0]


@defect(r"row \d to equal .* but info\['added'\] should be")
class FinalInfoOfOtherStep(CountVector):
    def _final(self, mask):
        final = super()._final(mask)
        final["final_info"]["added"] -= 1
        return final


@defect(r"row \d to equal .* but info should have the keys \['added'\], got \[\]")
class FinalInfoEmpty(CountVector):
    def _final(self, mask):
        return super()._final(mask) | {"final_info": {}}


@defect(r"row \d to equal .* but info should have the keys \['added'\], got \['added', 'bonus'\]", NEXT)
@after_step
def InfoUnknownToTheSingle(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    infos = {**infos, "bonus": np.zeros(4), "_bonus": np.ones(4, bool)}
    return observations, rewards, terminations, truncations, infos


@defect(r"row \d to equal .* but infos should have the keys \['final_info', 'final_obs'\], got \['added', ")
@after_step
def EndedInfosOutsideFinalInfo(env, actions, observations, rewards, terminations, truncations, infos):  # noqa: N802
    added = infos.get("added", np.zeros(4, int)) + LIMIT * terminations
    return (
        observations,
        rewards,
        terminations,
        truncations,
        {**infos, "added": added, "_added": np.ones(4, bool)},
    )


@defect(r"row \d to equal its single environment seeded \d at call 0, but observation")
class UnseededResetRepeatsTheEpisode(CountVector):
    def reset(self, *, seed=None, options=None):
        self.last = getattr(self, "last", 0) if seed is None else seed
        return super().reset(seed=self.last, options=options)


@defect("a second one to do nothing, but it raised")
class ClosesOnce(CountVector):
    def close(self):
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True


# Tests


@MODES
def test_a_correct_native_environment_passes(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_vector_env(partial(CountVector, mode), lambda row: Count())
        check_vector_env(partial(CountVector, mode))


@MODES
def test_one_row_is_enough(mode):
    check_vector_env(partial(CountVector, mode, num_envs=1), lambda row: Count(), steps=50)


@pytest.mark.parametrize(("broken", "mode", "single", "match"), DEFECTS)
def test_each_defect_is_named(broken, mode, single, match):
    with pytest.raises(VectorEnvError) as caught:
        check_vector_env(partial(broken, mode), (lambda row: Count()) if single else None, steps=60)
    assert re.search(match, str(caught.value)), str(caught.value)


def make_cartpole(row=0):
    return gym.make("CartPole-v1")


@MODES
def test_gymnasiums_sync_vector_env_passes(mode):
    check_vector_env(partial(SyncVectorEnv, [make_cartpole] * 3, autoreset_mode=mode), make_cartpole)


@MODES
def test_gymnasiums_async_vector_env_passes_with_two_processes(mode):
    make_vector = partial(AsyncVectorEnv, [make_cartpole] * 2, autoreset_mode=mode)
    check_vector_env(make_vector, make_cartpole, steps=60)


@pytest.mark.skipif(gym.__version__ != "1.4.0", reason="defects of Gymnasium 1.4.0")
@pytest.mark.parametrize(
    ("make_vector", "match"),
    [
        pytest.param(
            lambda: gym.wrappers.vector.RecordEpisodeStatistics(SyncVectorEnv([make_cartpole] * 3)),
            r"mask infos\['episode'\]\['_r'\]",
            id="RecordEpisodeStatistics-nests-infos-without-masks",
        ),
        pytest.param(
            lambda: AsyncVectorEnv([make_cartpole] * 2, shared_memory=False),
            "second reset with one seed to give the same again at call 1",
            id="AsyncVectorEnv-without-shared-memory-resets-an-ended-row-twice",
        ),
        pytest.param(
            lambda: SyncVectorEnv([lambda: gym.make("FrozenLake-v1")] * 3, autoreset_mode=SAME),
            r"independent of the actions of other rows, but info\['prob'\]",
            id="a-reset-rows-integer-info-truncates-the-other-rows-floats",
        ),
    ],
)
def test_defects_of_gymnasium_itself_are_found(make_vector, match):
    with pytest.raises(VectorEnvError, match=match):
        check_vector_env(make_vector)


def test_gymnasiums_native_cartpole_passes_as_its_rows_share_a_stream():
    check_vector_env(lambda: gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point"))


def test_gymnasiums_native_cartpole_rows_are_not_its_single_environments():
    with pytest.raises(VectorEnvError, match="row 0 to equal its single environment seeded 0 at call 0"):
        check_vector_env(
            lambda: gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="vector_entry_point"),
            make_cartpole,
        )


def test_an_environment_that_shares_its_observations_is_refused():
    with pytest.raises(VectorEnvError, match="observations to stay as returned"):
        check_vector_env(lambda: SyncVectorEnv([make_cartpole] * 3, copy=False))


class NestedSpaces(gym.Env):
    """Dictionaries and tuples as observations and actions."""

    observation_space = gym.spaces.Dict(
        {"at": gym.spaces.Box(0, 1, (3,)), "pair": gym.spaces.Tuple([gym.spaces.Discrete(9)] * 2)}
    )
    action_space = gym.spaces.Dict({"go": gym.spaces.Discrete(2), "by": gym.spaces.Box(0, 1, (1,))})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observation(), {"name": "start"}

    def step(self, action):
        self.time += 1 + int(action["go"])
        return (
            self._observation(),
            float(action["by"][0]),
            False,
            self.time >= 4,
            {"nested": {"time": self.time}},
        )

    def _observation(self):
        return {
            "at": self.np_random.random(3, np.float32),
            "pair": (self.time, int(self.np_random.integers(9))),
        }


@MODES
def test_dictionaries_and_tuples_pass(mode):
    make_vector = partial(SyncVectorEnv, [NestedSpaces] * 3, autoreset_mode=mode)
    check_vector_env(make_vector, lambda row: NestedSpaces(), steps=40)


def test_a_seed_that_changes_nothing_is_a_warning_and_so_are_rows_that_are_copies():
    class Constant(CountVector):
        def _begin(self, mask):
            self.state[mask] = 3, 0
            self.ended[mask] = False

    with (
        pytest.warns(UserWarning, match="Five seeds gave the same play"),
        pytest.warns(UserWarning, match="all rows are copies of one"),
    ):
        check_vector_env(Constant)


def test_a_play_in_which_no_episode_ends_is_a_warning():
    with pytest.warns(UserWarning, match="No episode ended and was reset in 2 steps"):
        check_vector_env(CountVector, steps=2)


def test_the_same_object_twice_is_refused():
    env = CountVector()
    with pytest.raises(VectorEnvError, match="fresh copy each time"):
        check_vector_env(lambda: env)


def test_a_single_environment_of_other_spaces_is_refused():
    with pytest.raises(VectorEnvError, match="single environment's observation_space"):
        check_vector_env(CountVector, make_cartpole)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="Expected steps >= 1, got 0"):
        check_vector_env(CountVector, steps=0)
