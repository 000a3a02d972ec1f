"""Comparisons: the figures in the table, and intervals that hold what they promise."""

import json

import numpy as np
import pytest
from conftest import make_traces
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import Confidence, FixedTimestep, Margin, Oracle, PerTimestep, calibrate, compare
from agents.curves import exit_curve
from agents.statistics import Clusters, mean_interval, paired_difference
from backbones import InputError
from seenn_env import Traces, evaluate


class Outsider:
    """A policy with a score that is none of the rules: it counts as learned."""

    observation = "features"

    def __init__(self, threshold: float) -> None:
        self.inner = Margin(threshold)
        self.score, self.predict, self.level = self.inner.score, self.inner.predict, self.inner.level

    def at_level(self, level):
        return Outsider(self.inner.at_level(level).threshold)


@pytest.fixture(scope="module")
def test_traces() -> Traces:
    return make_traces(1000, split="test", seed=5)


def entries() -> dict:
    calibration = make_traces(1000, split="calibration", seed=6)
    rules = {
        "confidence": Confidence(),
        "margin": Margin(),
        "per-timestep": PerTimestep(Margin()),
    }
    found = {
        f"{name} @ {t}": calibrate(rule, calibration, target_timesteps=t)
        for t in (1.3, 2.0)
        for name, rule in rules.items()
    }
    return {"fixed t=2": FixedTimestep(2), **found, "learned": [Outsider(0.5), Outsider(0.6)], "oracle": Oracle()}


def test_rows_are_what_evaluation_gives(test_traces):
    comparison = compare(entries(), test_traces)
    for name, policy in entries().items():
        group = policy if isinstance(policy, list) else [policy]
        results = [evaluate(p, test_traces) for p in group]
        row = comparison[name]
        assert row.accuracy.estimate == pytest.approx(np.mean([r.accuracy for r in results]))
        assert row.mean_timesteps == pytest.approx(np.mean([r.mean_timesteps for r in results]))
        assert row.accuracy.low <= row.accuracy.estimate <= row.accuracy.high
        assert row.exit_shares.sum() == pytest.approx(1)


def test_learned_policies_are_compared_with_the_nearest_rule_of_each_kind(test_traces):
    comparison = compare(entries(), test_traces)
    pairs = {(d.policy, d.rival) for d in comparison.differences}
    assert {policy for policy, _ in pairs} == {"learned"}
    assert len(pairs) == 3
    spent = comparison["learned"].mean_timesteps
    for _, rival in pairs:
        kind = rival.split(" @")[0]
        others = [row for row in comparison.rows if row.name.startswith(kind)]
        assert min(others, key=lambda row: abs(row.mean_timesteps - spent)).name == rival


def test_a_policy_against_its_own_kind_at_any_level_differs_by_nothing(test_traces):
    clusters = Clusters(test_traces.sample)
    result = evaluate(Margin(0.5), test_traces)
    found = paired_difference([result], Margin(0.9), test_traces, clusters)
    assert found.estimate == pytest.approx(0, abs=2e-3)
    assert found.low <= 0 <= found.high
    assert found.high - found.low < 0.01


def test_the_difference_is_the_gap_between_the_curves(test_traces):
    clusters = Clusters(test_traces.sample)
    result = evaluate(Margin(0.5), test_traces)
    curve = exit_curve(Confidence(), test_traces)
    rival = np.interp(result.mean_timesteps, curve.mean_timesteps, curve.accuracy)
    found = paired_difference([result], Confidence(), test_traces, clusters)
    assert found.estimate == pytest.approx(result.accuracy - rival, abs=1.5e-3)


def test_intervals_of_the_mean_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.random(80) < 0.8, 3) & (rng.random(240) < 0.9)
        interval = mean_interval(values, Clusters(np.repeat(np.arange(80), 3), resamples=400, seed=seed))
        covered += interval.low <= 0.72 <= interval.high
    assert 0.89 <= covered / 200 <= 0.99


def test_repeats_of_a_sample_do_not_make_intervals_narrower():
    values = np.random.default_rng(0).random(200) < 0.7
    once = mean_interval(values, Clusters(np.arange(200)))
    often = mean_interval(np.repeat(values, 50), Clusters(np.repeat(np.arange(200), 50)))
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.1)


def test_the_report_is_a_table_a_picture_json_and_tensorboard(test_traces, tmp_path):
    comparison = compare(entries(), test_traces, log_dir=tmp_path)
    table = (tmp_path / "table.txt").read_text()
    for row in comparison.rows:
        assert row.name in table
        assert f"{100 * row.accuracy.estimate:.2f}" in table
    stored = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["name"] for row in stored["rows"]] == [row.name for row in comparison.rows]
    assert Image.open(tmp_path / "comparison.png").size[0] > 800
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    assert "accuracy/oracle" in log.Tags()["scalars"]
    assert "comparison/accuracy_over_timesteps" in log.Tags()["images"]


def test_a_seed_gives_the_same_comparison(test_traces):
    assert compare(entries(), test_traces).to_dict() == compare(entries(), test_traces).to_dict()


def test_bad_arguments_are_one_sentence(test_traces):
    with pytest.raises(InputError, match="at least one policy to compare, got none"):
        compare({}, test_traces)
    with pytest.raises(InputError, match=r"rivals to be policies with a score.*got 'oracle'"):
        compare({"oracle": Oracle()}, test_traces, rivals=["oracle"])
