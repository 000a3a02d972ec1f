"""Headroom: honest gains over confidence, on rows that were not fitted on."""

import json

import numpy as np
import pytest

from agents.comparison.learning_headroom import folds_of, headroom
from agents.main import main
from backbones import InputError
from seenn_env import Traces
from tests.helpers.traces import make_traces


@pytest.fixture(scope="module")
def found():
    return headroom(make_traces(600, split="calibration", seed=3), targets=(1.3, 2.0), folds=3)


def test_stronger_ways_are_seldom_far_below_confidence(found):
    for intervals in found.gains.values():
        assert len(intervals) == 2
        for interval in intervals:
            assert interval.low <= interval.estimate <= interval.high
            assert interval.high > -0.03
    assert found.samples == 600
    assert all(0.4 < base.estimate < 1 for base in found.confidence)


def test_where_nothing_can_be_foreseen_nothing_is_gained():
    rng = np.random.default_rng(0)
    noise = Traces(
        logits=rng.normal(size=(600, 3, 4)).astype(np.float32), labels=rng.integers(4, size=600), split="policy"
    )
    for intervals in headroom(noise, targets=(1.5,), folds=3).gains.values():
        assert intervals[0].low < 0.01  # fitted in sample, trees would promise several points


def test_a_predictive_column_is_found():
    """The class predicted at timestep 1, and not its margin, determines the rows that improve."""
    rng = np.random.default_rng(1)
    N = 2000
    first, label = rng.integers(2, size=N), rng.integers(2, size=N)
    improves = (first == 0) & (label == 1)
    logits = np.zeros((N, 2, 3), np.float32)
    logits[np.arange(N), 0, first] = 2
    logits[:, 1] = logits[:, 0]
    logits[improves, 1] = [0, 3, 0]
    traces = Traces(logits=logits, labels=label, split="policy")
    gains = headroom(traces, targets=(1.5,), folds=3, observation="logits").gains
    assert gains["optimal stopping"][0].low > 0.05
    assert abs(gains["per-timestep margin"][0].estimate) < 0.05


def test_hindsight_keeps_the_accuracy_of_all_timesteps(found):
    accuracy, spent = found.stable
    assert accuracy == pytest.approx(found.full)
    assert 1 < spent < 4
    assert "exits when the answer is final" in found.table()


def test_the_command_excludes_test_rows(tmp_path, capsys):
    merged = Traces.merge(make_traces(300, split="policy"), make_traces(300, split="test", seed=1))
    merged.save(tmp_path / "both.safetensors")
    settings = ["headroom", "--traces", str(tmp_path / "both.safetensors"), "--targets", "1.5", "--folds", "2"]
    main([*settings, "--output", str(tmp_path / "found.json")])
    assert "300 samples" in capsys.readouterr().out
    assert json.loads((tmp_path / "found.json").read_text())["samples"] == 300


def test_bad_arguments_are_one_sentence():
    traces = make_traces(60)
    with pytest.raises(InputError, match="nothing is chosen on test"):
        headroom(make_traces(60, split="test"))
    with pytest.raises(InputError, match="folds from 2 to the number of samples, 60, got 1"):
        headroom(traces, folds=1)
    with pytest.raises(InputError, match=r"targets from 1 to T = 4, got 9"):
        headroom(traces, targets=(9,))
    with pytest.raises(InputError, match="at least 2 timesteps"):
        headroom(make_traces(60, T=1))


def test_it_reports_the_split_of_its_rows(tmp_path, capsys):
    parts = [make_traces(200, split=split, seed=seed) for seed, split in enumerate(("policy", "calibration", "test"))]
    file = str(Traces.merge(*parts).save(tmp_path / "all.safetensors"))
    command = ["headroom", "--traces", file, "--targets", "1.5", "--folds", "2"]
    for options, split in (([], "policy+calibration"), (["--split", "calibration"], "calibration")):
        main([*command, *options])
        assert f"split {split}, 2 folds" in capsys.readouterr().out


def test_folds_keep_the_rows_of_a_sample_together_and_hold_each_row_out_once(packaged):
    traces = packaged.select("policy")[::4]
    seen = np.zeros(len(traces), int)
    for learned, held in folds_of(traces, 4):
        seen[held] += 1
        assert not set(traces.sample[learned]) & set(traces.sample[held])
        assert len(learned) + len(held) == len(traces)
    assert (seen == 1).all()
