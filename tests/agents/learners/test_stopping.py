"""Backward induction finds the optimum where it is known, its trees are scikit-learn's, and it is saved."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from agents import Confidence, Oracle, calibrate, load, save, train
from agents.learners import OptimalStopping, TabularStopping
from agents.learners.stopping.trees import fit_trees, run_trees
from backbones import InputError
from seenn_env import Traces, evaluate
from seenn_env.rewards import LinearReward
from tests.helpers.traces import make_traces, trivial


def two_kinds(split: str = "policy", N: int = 4000) -> Traces:
    """Rows with confidence .8 are right always; those with .6 at first in 30 %, after T = 2 in 90 %."""
    rng = np.random.default_rng(0)
    sure = rng.random(N) < 0.5
    right = np.stack([sure | (rng.random(N) < 0.3), sure | (rng.random(N) < 0.9)], 1)
    p = np.where(sure, 0.8, 0.6)[:, None, None]
    logits = np.log(np.where(np.arange(2) == np.where(right, 0, 1)[..., None], p, 1 - p)).astype(np.float32)
    return Traces(logits=logits, labels=np.zeros(N, int), split=split)


@pytest.mark.parametrize(("right_from", "timestep"), [(1, 1), (3, 3)])
def test_it_learns_trivial_traces(right_from, timestep):
    result = evaluate(train("optimal-stopping", trivial(right_from)), trivial(right_from))
    assert result.accuracy == 1
    assert result.mean_timesteps == pytest.approx(timestep, abs=0.02)


@pytest.mark.parametrize("kind", ["trees", "table"])
@pytest.mark.parametrize(("cost", "wait"), [(0.3, True), (0.9, False)])
def test_it_waits_exactly_where_waiting_pays(kind, cost, wait):
    traces = two_kinds()  # for the unsure, waiting gains 0.6 and costs `cost`
    if kind == "table":
        policy = TabularStopping.fit(traces, bins=2, cost=cost)
    else:
        policy = train("optimal-stopping", traces, reward_options={"cost": cost})
    unsure = traces.columns("features")[:, 0, 0] < 0.7
    exits = evaluate(policy, traces).exit_timesteps
    assert (exits[~unsure] == 1).all()
    assert (exits[unsure] == (2 if wait else 1)).all()
    gain = policy.trace_scores(traces)[unsure, 0].mean()
    assert gain == pytest.approx(cost - 0.6, abs=0.03)


def test_stored_trees_are_scikit_learns():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(3000, 4)).astype(np.float32)
    target = columns[:, 0] * (columns[:, 1] > 0) + rng.normal(size=3000)
    arguments = {"max_iter": 60, "max_leaf_nodes": 8, "min_samples_leaf": 60, "learning_rate": 0.08, "random_state": 0}
    trees, base = fit_trees(columns, target, **arguments)
    model = HistGradientBoostingRegressor(early_stopping=False, **arguments).fit(columns, target)
    fresh = rng.normal(size=(1000, 4)).astype(np.float32)
    assert run_trees(trees, fresh) + base == pytest.approx(model.predict(fresh), abs=1e-9)


def test_it_meets_a_target_is_saved_and_comes_back(tmp_path):
    both = Traces.merge(make_traces(1500), make_traces(1500, split="calibration", seed=1))
    policy = train("optimal-stopping", both, target_timesteps=1.6)
    calibration = both.select("calibration")
    found = evaluate(policy, calibration)
    assert found.mean_timesteps == pytest.approx(1.6, abs=0.03)
    rule = evaluate(calibrate(Confidence(), calibration, target_timesteps=1.6), calibration)
    assert rule.accuracy - 0.02 < found.accuracy <= evaluate(Oracle(), calibration).accuracy
    again = load(save(policy, tmp_path / "policy.safetensors"))
    assert isinstance(again, OptimalStopping)
    assert again.settings == policy.settings
    assert np.array_equal(evaluate(again, calibration).exit_timesteps, found.exit_timesteps)
    assert policy.macs > 0


def test_a_table_is_the_best_of_all_tables_on_its_rows(tmp_path):
    traces, reward = make_traces(2000), LinearReward(0.2)
    policy = TabularStopping.fit(traces, bins=12, cost=0.2)
    earned = evaluate(policy, traces, reward=reward).rewards.mean()
    for target in (1.0, 1.5, 2.0, 3.0, 4.0):
        rule = calibrate(Confidence(), traces, target_timesteps=target)
        assert earned > evaluate(rule, traces, reward=reward).rewards.mean() - 0.004  # bins are coarser than thresholds
    again = load(save(policy, tmp_path / "table.safetensors"))
    assert np.array_equal(evaluate(again, traces).exit_timesteps, evaluate(policy, traces).exit_timesteps)
    mixed = calibrate(policy, traces, target_timesteps=1.7, randomise=True)
    assert evaluate(mixed, traces).mean_timesteps == pytest.approx(1.7, abs=0.05)


def test_bad_input_is_one_sentence(traces):
    for run, message in [
        (lambda: train("optimal-stopping", traces, leaves=1), "leaves to be a whole number of 2 or more"),
        (lambda: TabularStopping.fit(make_traces(20, split="test")), "nothing is chosen on test"),
        (lambda: TabularStopping.fit(traces, bins=0), "bins to be a whole number of 1 or more, got 0"),
    ]:
        with pytest.raises(InputError, match=message):
            run()
