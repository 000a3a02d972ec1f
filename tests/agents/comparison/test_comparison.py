"""Comparisons: the figures in the table, and intervals that cover at their stated rate."""

import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from agents import Confidence, Margin, Oracle, PerTimestep, Uniform, calibrate, compare
from agents.calibration.curve import exit_curve
from agents.comparison.bootstrap import Clusters, mean_interval
from agents.comparison.matched_accuracy import paired_difference
from agents.main import main
from backbones import InputError
from seenn_env import Traces, evaluate
from tests.helpers.commands import refused
from tests.helpers.compared import Outsider, entries
from tests.helpers.traces import make_traces


@pytest.fixture(scope="module")
def held_out() -> Traces:
    return make_traces(1000, split="test", seed=5)


def test_rows_are_those_of_evaluation(held_out):
    comparison = compare(entries(), held_out)
    for name, policy in entries().items():
        group = policy if isinstance(policy, list) else [policy]
        results = [evaluate(p, held_out) for p in group]
        row = comparison[name]
        assert row.accuracy.estimate == pytest.approx(np.mean([r.accuracy for r in results]))
        assert row.mean_timesteps == pytest.approx(np.mean([r.mean_timesteps for r in results]))
        assert row.accuracy.low <= row.accuracy.estimate <= row.accuracy.high
        assert row.exit_shares.sum() == pytest.approx(1)


def test_learned_policies_are_compared_with_the_nearest_rule_of_each_kind(held_out):
    comparison = compare(entries(), held_out)
    pairs = {(d.policy, d.rival) for d in comparison.differences if d.policy == "learned"}
    assert len(pairs) == 3
    spent = comparison["learned"].mean_timesteps
    for _, rival in pairs:
        kind = rival.split(" @")[0]
        others = [row for row in comparison.rows if row.name.startswith(kind)]
        assert min(others, key=lambda row: abs(row.mean_timesteps - spent)).name == rival


def test_a_policy_against_its_own_kind_at_any_level_differs_by_nothing(held_out):
    clusters = Clusters(held_out.sample)
    result = evaluate(Margin(0.5), held_out)
    found = paired_difference([result], Margin(0.9), held_out, clusters)
    assert found.estimate == pytest.approx(0, abs=2e-3)
    assert found.low <= 0 <= found.high
    assert found.high - found.low < 0.01


def test_the_difference_is_the_gap_between_the_curves(held_out):
    clusters = Clusters(held_out.sample)
    result = evaluate(Margin(0.5), held_out)
    curve = exit_curve(Confidence(), held_out)
    rival = np.interp(result.mean_timesteps, curve.mean_timesteps, curve.accuracy)
    found = paired_difference([result], Confidence(), held_out, clusters)
    assert found.estimate == pytest.approx(result.accuracy - rival, abs=1.5e-3)


def test_intervals_of_the_mean_cover_the_truth_at_their_stated_rate():
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


def test_the_report_is_a_table_a_picture_json_and_tensorboard(held_out, tmp_path):
    comparison = compare(entries(), held_out, log_dir=tmp_path)
    table = (tmp_path / "table.txt").read_text()
    for row in comparison.rows:
        assert row.name in table
        assert f"{100 * row.accuracy.estimate:.2f}" in table
    stored = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["name"] for row in stored["rows"]] == [row.name for row in comparison.rows]
    assert Image.open(tmp_path / "comparison.png").size[0] > 800


def test_rules_are_compared_with_the_best_rule_alone(held_out):
    comparison = compare(entries(), held_out)
    assert comparison.reference in ("confidence", "margin", "per-timestep")
    others = {"confidence", "margin", "per-timestep"} - {comparison.reference}
    for target in (1.3, 2.0):
        for name in others:
            assert comparison.difference(f"{name} @ {target}").rival == f"{comparison.reference} @ {target}"
        assert comparison.difference(f"{comparison.reference} @ {target}") is None
    spread = {name: np.mean([comparison[f"{name} @ {t}"].accuracy.estimate for t in (1.3, 2.0)]) for name in others}
    best = np.mean([comparison[f"{comparison.reference} @ {t}"].accuracy.estimate for t in (1.3, 2.0)])
    assert best >= max(spread.values()) - 0.002


def test_a_seed_gives_the_same_comparison(held_out):
    assert compare(entries(), held_out).to_dict() == compare(entries(), held_out).to_dict()


def test_bad_arguments_are_one_sentence(held_out):
    with pytest.raises(InputError, match="at least one policy to compare, got none"):
        compare({}, held_out)
    with pytest.raises(InputError, match="the key 1 of policies to be a string, got 1"):
        compare({1: Margin()}, held_out)
    with pytest.raises(
        InputError, match=r"Expected a policy with predict .*, got 'margin': load the policy of that name"
    ):
        compare({"margin": "margin"}, held_out)
    with pytest.raises(InputError, match=r"rivals to be policies with a score.*got 'oracle'"):
        compare({"oracle": Oracle()}, held_out, rivals=["oracle"])


def test_of_several_splits_test_is_compared_and_named(held_out, tmp_path, capsys):
    own = make_traces(300, split="policy", seed=9)
    both = Traces.merge(own, held_out)
    comparison = compare(entries(), both)
    assert comparison.split == evaluate(Margin(), both).split == "test"
    assert "split test, 1000 samples" in comparison.table()
    assert comparison.to_dict() == compare(entries(), held_out).to_dict()
    assert compare(entries(), both, split="policy").samples == 300
    assert evaluate(Margin(0.5), both, split="policy").accuracy == evaluate(Margin(0.5), own).accuracy
    without = Traces.merge(own, make_traces(300, split="calibration", seed=8))
    for run in (lambda: compare(entries(), without), lambda: evaluate(Margin(), without)):
        with pytest.raises(InputError, match=r"rows of 'test', got split 'policy\+calibration': choose one"):
            run()
    file = str(both.save(tmp_path / "both.safetensors"))
    main(["compare", "--traces", file, "--output", str(tmp_path / "a")])
    assert "split test, 1000 samples" in capsys.readouterr().out
    main(["compare", "--traces", file, "--split", "policy", "--output", str(tmp_path / "b")])
    assert "split policy, 300 samples" in capsys.readouterr().out


def test_bare_models_read_the_observation_that_is_given_for_all_or_by_name(held_out):
    class OnLogits:
        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            assert observation.shape[1] == 6 if self.features else observation.shape[1] == held_out.num_classes + 1
            return (observation[:, 0] > 0.5).astype(int), None

        def __init__(self, features):
            self.features = features

    both = {"logits": OnLogits(False), "features": OnLogits(True)}
    compare(both, held_out, observation={"logits": "logits"})
    compare({"logits": both["logits"]}, held_out, observation="logits")
    with pytest.raises(InputError, match="policy of observation, got 'other'"):
        compare(both, held_out, observation={"other": "logits"})


def test_p_values_of_many_differences_can_be_small_and_state_their_floor(held_out):
    calibration = make_traces(1000, split="calibration", seed=6)
    targets = np.linspace(1.2, 3, 14)
    many = {f"margin @ {t:g}": calibrate(Margin(), calibration, target_timesteps=t) for t in targets}
    many |= {f"confidence @ {t:g}": calibrate(Confidence(), calibration, target_timesteps=t) for t in targets}

    class Worse(Outsider):
        """The rule with its sign reversed."""

        sign = -1

    comparison = compare({**many, **{f"worse {i}": Worse(0.3 + 0.01 * i) for i in range(28)}}, held_out)
    assert len(comparison.differences) == 56 + 14
    assert max(d.adjusted_p for d in comparison.differences if d.policy.startswith("worse")) < 0.01
    assert min(d.adjusted_p for d in comparison.differences) == pytest.approx(1 / (comparison.resamples + 1))
    assert "p (max-t over all 70, not below 0.0005)" in comparison.table()


@pytest.mark.parametrize("split", ["train", "policy", "calibration"])
def test_a_comparison_on_rows_that_chose_something_says_so(split, tmp_path):
    rows = make_traces(100, split=split, seed=9)
    choices = {"train": "the backbone", "policy": "learned policies", "calibration": "thresholds and settings"}
    found = compare({"margin": Margin(0.5)}, rows, log_dir=tmp_path)
    assert found.caution == found.to_dict()["caution"] == found.table().splitlines()[-1]
    assert found.caution.startswith(f"Rows of split {split} chose ")
    assert choices[split] in found.caution
    page = html.unescape((tmp_path / "report.html").read_text())
    assert f'<p class="caution" role="note">{found.caution}' in page


def test_a_second_report_in_a_folder_keeps_no_run_of_the_first(held_out, tmp_path):
    compare({"margin": Margin(0.5), "careful": Margin(0.9)}, held_out, log_dir=tmp_path)
    (tmp_path / "tensorboard" / "margin" / "mine.txt").touch()
    compare({"confidence": Confidence(0.5)}, held_out, log_dir=tmp_path)
    runs = {file.parent.name for file in (tmp_path / "tensorboard").rglob("events.out.*")}
    assert runs == {"tensorboard", "confidence"}
    assert (tmp_path / "tensorboard" / "margin" / "mine.txt").exists()
    assert not (tmp_path / "tensorboard" / "careful").exists()


def test_names_are_no_formulas_in_the_pictures(held_out, tmp_path):
    compare({r"$\frac$": Margin(0.5), "$": Confidence(0.5)}, held_out, log_dir=tmp_path)
    assert (tmp_path / "comparison.png").exists()


def test_a_comparison_on_test_has_no_caution(held_out, tmp_path):
    found = compare({"margin": Margin(0.5)}, held_out, log_dir=tmp_path)
    assert found.caution is found.to_dict()["caution"] is None
    assert 'class="caution"' not in (tmp_path / "report.html").read_text()


def test_only_differences_have_p_values(held_out):
    facts = compare(entries(), held_out).to_dict()
    assert all(set(row["accuracy"]) == {"estimate", "low", "high"} for row in facts["rows"])
    for each in facts["differences"]:
        assert 0 < each["p_value"] <= each["adjusted_p"] <= 1


def test_policies_of_one_name_are_seeds_of_one_policy(held_out, tmp_path, capsys):
    pairs = {
        "Confidence on features and Margin on features": [Confidence(), Margin()],
        r"PerTimestep\(Margin\) on features and Margin on features": [PerTimestep(Margin(), (0.5, 0.5, 0.5)), Margin()],
        "Oracle and Uniform on features": [Oracle(), Uniform()],
    }
    for words, group in pairs.items():
        with pytest.raises(
            InputError, match=f"seeds of one policy, got {words} as 'mine': give each a name of its own"
        ):
            compare({"margin": Margin(), "mine": group}, held_out)
    assert compare({"mine": [Margin(0.5), Margin(0.6)]}, held_out)["mine"].seeds == 2
    policies = ("PPO=digits/ppo", "DQN=digits/dqn", "PPO=digits/exact")
    out = ("--output", tmp_path / "out")
    message = refused(capsys, "compare", "--traces", "digits", "--policies", *policies, *out)
    assert "got ppo on features and exact on features as 'PPO'" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/b", "a_b"], "differ as 'a_b' too, got 'a/b' and 'a_b'"),
        ([".."], "that folders can have, got '..'"),
        ([" @ 2"], "that folders can have, got ''"),
        (["x" * 300], "that folders can have"),
        (["\udcff"], "of printable characters"),
        (["\x1b[2J"], "of printable characters"),
    ],
    ids=str,
)
def test_names_whose_runs_of_tensorboard_cannot_be_are_refused(names, message, held_out, tmp_path):
    with pytest.raises(InputError, match=re.escape(message)):
        compare(dict.fromkeys(names, Margin(0.5)), held_out, log_dir=tmp_path / "report")
    assert not (tmp_path / "report").exists()
