"""State machine: a replayed vector environment against a model of a few lines, under random resets and steps."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from backbones import InputError
from seenn_env import EarlyExitVectorEnv
from tests.helpers.searches import repeatable
from tests.helpers.traces import make_traces

B = 3


class Machine(RuleBasedStateMachine):
    """Each slot is a row and a timestep; the model says the observation, the reward and the end of every step."""

    @initialize(seed=st.integers(0, 5), T=st.integers(1, 4))
    def make(self, seed, T):
        self.traces = make_traces(7, T=T, seed=seed)
        self.env = EarlyExitVectorEnv(B, self.traces, order="sequential", reward="linear")
        self.columns, self.rewards = self.traces.columns("features"), self.traces.rewards("linear")
        self.observation, _ = self.env.reset(seed=seed)
        self.row, self.timestep = np.arange(B), np.ones(B, int)

    @rule(samples=st.lists(st.integers(0, 6), min_size=B, max_size=B))
    def restart(self, samples):
        self.observation, _ = self.env.reset(options={"samples": samples})
        self.row, self.timestep = np.array(samples), np.ones(B, int)

    @rule(actions=st.lists(st.integers(0, 1), min_size=B, max_size=B))
    def step(self, actions):
        actions, T = np.array(actions), self.traces.timesteps
        seen = np.where(actions == 1, self.timestep, np.minimum(self.timestep + 1, T))
        ends = (actions == 1) | (seen == T)
        before = self.row.copy()
        self.observation, rewards, terminated, truncated, infos = self.env.step(actions)
        assert terminated.tolist() == ends.tolist()
        assert not truncated.any()
        assert rewards[ends] == pytest.approx(self.rewards[before, seen - 1][ends])
        assert not rewards[~ends].any()
        self.timestep = np.where(ends, 1, seen)
        if ends.any():
            final = infos["final_info"]
            assert final["prediction"][ends].tolist() == self.traces.predictions[before, seen - 1][ends].tolist()
            for slot in np.flatnonzero(ends):
                found = np.flatnonzero((self.columns[:, 0] == self.observation[slot]).all(1))
                assert len(found), "a slot starts anew with the first observation of a row"
                self.row[slot] = found[0]

    @rule(actions=st.sampled_from([[0], [0, 1, 2], [-1, 0, 0], [0.5, 0, 0], [None] * B, [[0]] * B]))
    def nonsense(self, actions):
        with pytest.raises(InputError):
            self.env.step(actions)

    @invariant()
    def observations_are_those_of_the_rows(self):
        assert np.array_equal(self.observation, self.columns[self.row, self.timestep - 1])


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_the_environment_and_its_model_agree(count):
    run_state_machine_as_test(Machine, settings=repeatable(count))
