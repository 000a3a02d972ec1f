"""The checker of vector environments names each defect of resetting, and each difference from single environments."""

import numpy as np
import pytest
from gymnasium.utils import seeding

from tests.helpers.counting import DISABLED, LIMIT, NEXT, CountVector
from tests.helpers.defects import after_step, check_is_named, defects

defect, DEFECTS = defects()


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
    """Breaks a reset with a mask, and keeps the one without."""

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


@pytest.mark.parametrize(("broken", "mode", "single", "match"), DEFECTS)
def test_each_defect_is_named(broken, mode, single, match):
    check_is_named(broken, mode, single, match)
