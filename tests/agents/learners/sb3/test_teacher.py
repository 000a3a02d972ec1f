"""Networks of stable-baselines3 begin as the policy of the exact learner."""

import numpy as np
import pytest
import torch

from agents import train
from agents.calibration.best_rule import best_threshold
from agents.learners.sb3.presets import PRESETS
from agents.learners.sb3.teacher import Teacher
from seenn_env import EarlyExitVectorEnv, Traces, evaluate, to_sb3
from tests.helpers.programs import load_program
from tests.helpers.traces import make_traces

slowly_rising = load_program("benchmarks/policies/synthetic_traces").slowly_rising

BEGINNING = {"total_timesteps": 1, "learning_rate": 0.0}


def test_continuing_is_worth_the_expected_reward_of_the_rest_of_the_row():
    traces = make_traces(60)
    teacher = Teacher.at(traces, 2.0, cost=0.3)
    right, chances = traces.correct.astype(float), teacher.chances.double().numpy()
    for row in range(0, 60, 7):
        worth = right[row, 3]
        for t in (2, 1, 0):
            assert teacher.exits[row, t] == right[row, t]
            assert float(teacher.continues[row, t]) == pytest.approx(worth - 0.1, abs=1e-5)
            worth = chances[row, t] * right[row, t] + (1 - chances[row, t]) * (worth - 0.1)


def test_a_taught_actor_exits_with_the_chances_of_its_teacher():
    traces = make_traces(400, split="policy")
    network = PRESETS["ppo"].algorithm()("MlpPolicy", _env(traces), device="cpu", seed=0).policy
    teacher = Teacher.at(traces, 2.0)
    teacher.teach(network)
    with torch.no_grad():
        logits = network.get_distribution(teacher.columns.flatten(0, 1)).distribution.logits
    exits = logits.softmax(1)[:, 1].reshape(teacher.chances.shape)
    assert float((exits - teacher.chances).abs().mean()) < 0.1


@pytest.mark.parametrize(
    "algorithm", ["ppo", *(pytest.param(name, marks=pytest.mark.slow) for name in PRESETS if name != "ppo")]
)
def test_every_network_begins_level_with_the_best_threshold_over_many_timesteps(algorithm):
    if algorithm in ("qrdqn", "recurrent-ppo"):
        pytest.importorskip("sb3_contrib")
    traces = slowly_rising(500)
    calibration = traces.select("calibration")
    begun = train(algorithm, traces, target_timesteps=8, **BEGINNING)
    accuracy = evaluate(begun, calibration).accuracy
    assert accuracy > evaluate(best_threshold(calibration, 8), calibration).accuracy + 0.02
    assert begun.settings["cost"] > 0


def test_a_value_based_network_and_its_target_begin_alike():
    network = train("dqn", _two_splits(), target_timesteps=2, **BEGINNING).network
    for mine, target in zip(network.q_net.parameters(), network.q_net_target.parameters(), strict=True):
        assert np.array_equal(mine.detach(), target.detach())


def _two_splits():
    return Traces.merge(make_traces(200, split="policy"), make_traces(200, split="calibration"))


def _env(traces):
    return to_sb3(EarlyExitVectorEnv(8, traces))
