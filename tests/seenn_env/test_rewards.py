"""Rewards are their formulas, stay in their ranges, and a user's own goes the same way."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from agents import train
from backbones import InputError
from seenn_env import ChooseTimestepVectorEnv, EarlyExitEnv, EarlyExitVectorEnv, Traces, evaluate, make_reward
from seenn_env.rewards import REWARDS, Energy, EnergyReward, LinearReward, SeennReward
from tests.helpers.recorded import few_samples, full_traces, small_backbone


@dataclass(frozen=True)
class Thrifty:
    """A user's own: the share of energy saved, if right."""

    scale: float = 2.0
    name = "thrifty"
    needs_energy = True

    def __call__(self, correct, timestep, timesteps, energy=None):
        return self.scale * correct * (1 - energy.spent_pj / energy.full_pj)

    def range(self, timesteps):
        return 0.0, self.scale


class Crooked(Thrifty):
    def __call__(self, correct, timestep, timesteps, energy=None):
        return np.full(np.shape(correct), np.nan)


class Last:
    """Never exits."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.zeros(len(observation), np.int64), None


def test_energy_is_correct_less_the_share_of_the_rows_energy_times_cost():
    energy = Energy(np.array([1.0, 3.0]), np.array([4.0, 4.0]))
    paid = EnergyReward(0.2)(np.array([True, False]), np.array([1, 2]), 4, energy)
    assert paid.dtype == np.float32
    assert paid == pytest.approx([1 - 0.2 / 4, -0.2 * 3 / 4])


@pytest.mark.parametrize("reward", [*REWARDS, f"{__name__}:Thrifty"])
def test_rewards_of_traces_lie_in_their_range(reward):
    made, traces = make_reward(reward), full_traces()
    low, high = made.range(4)
    steps = np.broadcast_to(np.arange(1, 5), traces.correct.shape)
    paid = made(traces.correct, steps, 4, traces.energy())
    assert paid.shape == traces.correct.shape
    assert low <= paid.min() <= paid.max() <= high


@pytest.mark.parametrize("reward", [*REWARDS, f"{__name__}:Thrifty", Thrifty(3.0)])
def test_single_vector_and_evaluation_pay_the_same(reward):
    traces = full_traces()
    single, vector = EarlyExitEnv(traces, reward=reward), EarlyExitVectorEnv(24, traces, reward=reward)
    one_shot = ChooseTimestepVectorEnv(24, traces, reward=reward)
    exact = evaluate(Last(), traces, reward=single.reward).rewards
    vector.reset(options={"samples": np.arange(24)})
    one_shot.reset(options={"samples": np.arange(24)})
    assert np.array_equal(one_shot.step(np.full(24, 3))[1], exact)
    for _ in range(3):
        rewards = vector.step(np.zeros(24, np.int64))[1]
    assert np.array_equal(rewards, exact)
    for row in range(24):
        single.reset(options={"samples": row})
        assert [single.step(0)[1] for _ in range(3)] == [0, 0, exact[row]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyExitEnv("digits", reward="energy"),
        lambda: EarlyExitVectorEnv(2, "digits", reward="energy"),
    ],
)
def test_energy_is_refused_where_none_was_recorded(make):
    with pytest.raises(InputError, match="Expected traces with energy_pj for the reward 'energy'"):
        make()


@pytest.mark.parametrize(
    ("reward", "options", "message"),
    [
        ("sean", None, "Expected the name of a known reward"),
        ("linear", {"beta": 1}, "known option of the reward 'linear', got 'beta'. Known: cost"),
        ("energy", {"cost": -1}, "Expected cost to be a number of 0 or more, got -1"),
        (
            f"{__name__}:Nothing",
            None,
            f"Expected the reward '{__name__}:Nothing' to be importable",
        ),
        (Thrifty(), {"scale": 1}, "Expected no reward_options beside a reward object"),
        (len, None, "Expected a reward with __call__ and range"),
    ],
)
def test_values_that_make_no_reward_are_refused(reward, options, message):
    with pytest.raises(InputError, match=message):
        make_reward(reward, options)


def test_a_reward_that_is_not_finite_is_refused():
    with pytest.raises(
        InputError, match=r"finite rewards in the range 0…2 of .*, got nan for a \w+ prediction at timest"
    ):
        EarlyExitVectorEnv(2, full_traces(), reward=Crooked())


@pytest.mark.parametrize("live", [False, True])
def test_a_reward_outside_of_its_range_is_refused(live):
    place = {"backbone": small_backbone(), "samples": few_samples()} if live else {"traces": full_traces()}

    class Generous(Paying):
        def __call__(self, correct, timestep, timesteps, energy=None):
            return np.where(np.asarray(timestep) < 3, super().__call__(correct, timestep, timesteps), 1.5)

    with pytest.raises(
        InputError, match=r"in the range 0…1 of .*, got 1.5 for a \w+ prediction at timestep 3: correct"
    ):
        EarlyExitEnv(**place, reward=Generous())


def test_options_reach_a_users_reward_by_name():
    assert make_reward(f"{__name__}:Thrifty", {"scale": 5.0}).scale == 5.0


class Paying:
    """A user's own reward."""

    name = "paying"

    def __call__(self, correct, timestep, timesteps, energy=None):
        return np.asarray(correct, np.float32)

    def range(self, timesteps):
        return 0.0, 1.0


class NoMethod(Paying):
    range = (0.0, 1.0)


class Property(Paying):
    range = property(lambda self: (0.0, 1.0))


class NoPair(Paying):
    def range(self, timesteps):
        return 1.0


class FewArguments(Paying):
    def __call__(self, correct):
        return correct


class Words(Paying):
    def __call__(self, correct, timestep, timesteps, energy=None):
        return np.full(np.shape(correct), "much")


class NumbersInWords(Paying):
    def __call__(self, correct, timestep, timesteps, energy=None):
        return np.full(np.shape(correct), "0.5")


made = Paying()


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (NoMethod(), "with __call__ and range, methods"),
        (f"{__name__}:NoMethod", "with __call__ and range, methods"),
        (Property(), "with __call__ and range, methods"),
        (Paying, "an object of such a class"),
        (3, "with __call__ and range, methods"),
        (FewArguments(), r"of \(correct, timestep, timesteps, energy\), but"),
        (NoPair(), r"highest reward from range\(timesteps\) of"),
        (Words(), "Expected numbers from"),
        (NumbersInWords(), "Expected numbers from .*, but: it returned <U3"),
    ],
)
def test_objects_that_are_no_reward_are_refused_at_once_in_one_sentence(reward, message, traces):
    for run in (
        lambda: EarlyExitEnv(traces, reward=reward),
        lambda: EarlyExitVectorEnv(2, traces, reward=reward),
        lambda: ChooseTimestepVectorEnv(2, traces, reward=reward, observation="features"),
        lambda: train("exact", traces, reward=reward),
    ):
        with pytest.raises(InputError, match=message):
            run()


@pytest.mark.parametrize("algorithm", ["ppo", "exact", "optimal-stopping"])
@pytest.mark.parametrize(
    ("reward", "options"),
    [
        ("linear", {"cots": 1}),
        ("linear", {"beta": 1}),
        ("linear", {"cost": "much"}),
        ("linear", {"cost": np.ones(2)}),
        (f"{__name__}:Paying", {"cost": 1}),
        (f"{__name__}:made", {"cost": 1}),
        (made, {"cost": 1}),
    ],
)
def test_options_without_effect_are_refused_at_once(algorithm, reward, options, traces):
    both = Traces.merge(traces, replace(traces, split="calibration"))
    with pytest.raises(InputError, match=r"Expected (options|no reward_options|cost|the name of a known option)"):
        train(algorithm, both, reward=reward, reward_options=options, target_timesteps=1.5)


def test_rewards_are_their_formulas():
    correct, timestep = np.array([True, True, False]), np.array([1, 3, 3])
    assert SeennReward(beta=2)(correct, timestep, 4).tolist() == [1, 0.25, -2]
    assert LinearReward(cost=0.3)(correct, timestep, 4).tolist() == pytest.approx([1, 0.8, -0.2])
    assert LinearReward(cost=0.3)(np.array([True]), np.array([1]), 1).tolist() == [1]


@pytest.mark.parametrize("reward", [SeennReward(0.5), LinearReward(0.3)])
def test_rewards_stay_in_their_range(reward):
    low, high = reward.range(6)
    grid = reward(np.array([[True], [False]]), np.arange(1, 7), 6)
    assert grid.dtype == np.float32
    assert grid.min() == pytest.approx(low)
    assert grid.max() == pytest.approx(high)


@pytest.mark.parametrize(
    ("correct", "timestep", "message"),
    [
        ([True, False], [1, 0], r"timestep in 1…4, got 0…1"),
        ([True, False], [1, 5], r"timestep in 1…4, got 1…5"),
        ([True, False], [1.0, 2.0], "timestep of whole numbers"),
        ([1, 0], [1, 2], "correct of True or False"),
        ([True, False], [1, 2, 3], "of shapes that fit"),
    ],
)
def test_a_reward_refuses_exits_that_there_are_not(correct, timestep, message):
    for name in ("seenn", "linear"):
        with pytest.raises(InputError, match=message):
            make_reward(name)(np.array(correct), np.array(timestep), 4)
